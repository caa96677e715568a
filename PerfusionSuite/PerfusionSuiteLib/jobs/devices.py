# SPDX-License-Identifier: Apache-2.0
"""What this machine can compute on, as a worker sees it: the process that asks never imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from .runner import SubprocessRunner
from .spec import JobSpec


@dataclass(frozen=True, slots=True)
class Device:
    """Something to compute on.

    Parameters
    ----------
    name : str
        What settings call it: ``cpu`` or ``cuda:0``.
    label : str
        What people call it.
    """

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Devices:
    """All devices of a machine.

    Parameters
    ----------
    devices : tuple of Device
        The CPU first.
    note : str
        Why there is no GPU; empty when there is one.
    has_torch : bool
        Whether the worker's Python has PyTorch.
    """

    devices: tuple[Device, ...]
    note: str = ""
    has_torch: bool = True

    @classmethod
    def from_result(cls, result: dict[str, Any]) -> Devices:
        """Read the result of the task ``devices``.

        Parameters
        ----------
        result : dict
            From `Job.result`.

        Returns
        -------
        Devices
            The devices.
        """
        return cls(tuple(Device(**item) for item in result["devices"]), result["note"], result["torch"])


@cache
def devices(python: str | None = None) -> Devices:
    """Ask a worker what it can compute on. Takes as long as importing torch; asked once per process.

    Parameters
    ----------
    python : str, optional
        The worker's interpreter, see `SubprocessRunner`.

    Returns
    -------
    Devices
        The CPU and all CUDA GPUs.

    Raises
    ------
    PerfusionError
        If the worker failed.
    """
    job = SubprocessRunner(python).start(JobSpec("devices"))
    job.wait()
    return Devices.from_result(job.result())
