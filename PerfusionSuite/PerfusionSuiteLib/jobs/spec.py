# SPDX-License-Identifier: Apache-2.0
"""What a job shall do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import InvalidInputError
from ..core.choosing import check_device

VERSION = 1


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One piece of work for a worker process.

    Parameters
    ----------
    task : str
        A name of `tasks.TASKS`, such as ``run``.
    settings : mapping
        Plain values: numbers, texts, lists and mappings.
    inputs : mapping of str to object
        Data: arrays and values of ``core`` such as a `PerfusionSeries`. They travel as ``.npy`` files.
    output : Path, optional
        Folder for the user's files. Without it the result stays in the job folder.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.

    Raises
    ------
    InvalidInputError
        If a field has a value that cannot be meant.
    """

    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", self.task):
            msg = f"'{self.task}' is no name of a task. Give one such as 'run'."
            raise InvalidInputError(msg)
        for name in ("settings", "inputs"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                msg = f"The {name} of a job must be a mapping with names as keys. Correct the job."
                raise InvalidInputError(msg)
        check_device(self.device)
        if self.output is not None:
            object.__setattr__(self, "output", Path(self.output).absolute())  # the worker runs in another folder

    def as_document(self) -> dict[str, Any]:
        """Return the job as a mapping whose inputs are still data.

        Returns
        -------
        dict
            For `storage.save_value`.
        """
        return {
            "version": VERSION,
            "task": self.task,
            "settings": dict(self.settings),
            "inputs": dict(self.inputs),
            "output": None if self.output is None else str(self.output),
            "device": self.device,
        }

    @classmethod
    def from_document(cls, document: Any) -> JobSpec:
        """Read back what `as_document` gave.

        Parameters
        ----------
        document : object
            From `storage.load_value`.

        Returns
        -------
        JobSpec
            The job.

        Raises
        ------
        InvalidInputError
            If it is no job, or one of another version.
        """
        known = {"version", "task", "settings", "inputs", "output", "device"}
        if not isinstance(document, dict) or set(document) != known:
            msg = f"The job file must hold {', '.join(sorted(known))}. Start the job again."
            raise InvalidInputError(msg)
        if document["version"] != VERSION:
            msg = f"The job file has version {document['version']}, this program reads {VERSION}. Start the job again."
            raise InvalidInputError(msg)
        output = document["output"]
        return cls(
            document["task"],
            document["settings"],
            document["inputs"],
            None if output is None else Path(output),
            document["device"],
        )
