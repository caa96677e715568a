# SPDX-License-Identifier: Apache-2.0
"""What a long fit keeps while it runs, so that a cancelled or interrupted one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from .request import FitRequest
from .tensor_file import Tensors, read_tensors, write_tensors

KIND, VERSION = "checkpoint", 1

_SAMPLED_ROWS = 20000
"""Curves that a fingerprint looks at: other data differ in all of them, and hashing all would take seconds."""


def fingerprint(arrays: Mapping[str, NDArray[Any] | None], facts: Mapping[str, Any]) -> str:
    """Return a short text that differs for other data or settings.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The data; None counts as absent.
    facts : mapping
        The settings, in plain values.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True, default=repr).encode())
    for name in sorted(arrays):
        values = arrays[name]
        digest.update(name.encode())
        if values is not None:
            digest.update(f"{values.dtype}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:32]


def request_fingerprint(method: str, request: FitRequest, **more: Any) -> str:
    """Return the fingerprint of a fit; the device is no part of it, for a fit may go on elsewhere.

    Parameters
    ----------
    method : str
        Name of the method.
    request : FitRequest
        Curves and settings.
    **more
        Further plain values that the outcome depends on.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    problem = request.problem
    rows = np.arange(problem.flat.shape[0]) if problem.index is None else problem.index
    arrays = {
        "curves": problem.flat[rows[:: max(1, rows.size // _SAMPLED_ROWS)]],
        "index": problem.index,
        "times_s": problem.times_s,
        "aif": problem.aif,
        "affine": request.affine,
        "guide": None if request.guide is None else request.guide.reshape(-1)[:: max(1, request.guide.size // _SAMPLED_ROWS)],
    }
    facts = {"method": method, "shape": problem.shape, "settings": dict(request.settings), "factor": request.factor, **more}
    return fingerprint(arrays, facts)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Keeps the state of one fit in a folder.

    Parameters
    ----------
    folder : Path or None
        Where; None keeps nothing.
    name : str
        Of the fit; several fits may share a folder under different names.
    belongs_to : str
        From `request_fingerprint`.
    """

    folder: Path | None
    name: str
    belongs_to: str

    @property
    def path(self) -> Path | None:
        """The file."""
        return None if self.folder is None else Path(self.folder) / f"{self.name}.checkpoint.safetensors"

    def save(self, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Keep a state; the one before is replaced only when the new one is complete.

        Parameters
        ----------
        tensors : mapping of str to ndarray
            Weights, moments of the optimizer, losses so far, states of random generators (uint8).
        facts : mapping
            Plain values such as the number of steps that are done.
        """
        if self.path is not None:
            write_tensors(self.path, tensors, {"belongs_to": self.belongs_to, **facts}, kind=KIND, version=VERSION)

    def load(self) -> tuple[Tensors, dict[str, Any]] | None:
        """Return the state that was kept.

        Returns
        -------
        tuple of (dict of ndarray, dict) or None
            Tensors and facts as given to `save`; None when there is nothing.

        Raises
        ------
        InvalidInputError
            If it belongs to other data or settings, or is damaged.
        """
        if self.path is None or not self.path.is_file():
            return None
        tensors, facts = read_tensors(self.path, kind=KIND, version=VERSION, what="checkpoint")
        if facts.pop("belongs_to", None) != self.belongs_to:
            msg = f"The checkpoint '{self.path.name}' belongs to another scan or other settings. Delete it or choose another one."
            raise InvalidInputError(msg)
        return tensors, facts

    def clear(self) -> None:
        """Remove the state, once the fit is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
