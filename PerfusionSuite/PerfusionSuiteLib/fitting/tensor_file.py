# SPDX-License-Identifier: Apache-2.0
"""Arrays with a description in one safetensors file: what fields, starts and checkpoints are kept in. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError, require_package
from ..core.files import plain, written_beside

Tensors = dict[str, NDArray[Any]]

_ENTRY = "perfusion_suite"
"""Name of the description in the header of the file."""


def write_tensors(
    path: str | Path, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], *, kind: str, version: int
) -> Path:
    """Write arrays and their description, atomically.

    Parameters
    ----------
    path : path-like
        The file.
    tensors : mapping of str to ndarray
        Arrays of numbers or truth values.
    facts : mapping
        Their description in plain values (JSON).
    kind : str
        What the file is, as `read_tensors` expects it.
    version : int
        Version of that kind.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    MissingPackageError
        If safetensors is not installed.
    """
    require_package("safetensors", "write fitted fields")
    from safetensors.numpy import save

    text = json.dumps({"kind": kind, "version": version, "facts": plain(dict(facts))}, allow_nan=False)
    content = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, {_ENTRY: text})
    with written_beside(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def read_tensors(path: str | Path, *, kind: str, version: int, what: str) -> tuple[Tensors, dict[str, Any]]:
    """Read arrays and their description.

    Parameters
    ----------
    path : path-like
        A file of `write_tensors`.
    kind : str
        What the file must be.
    version : int
        Newest version that can be read.
    what : str
        What the file is called in a message, such as "fitted field".

    Returns
    -------
    tensors : dict of ndarray
        The arrays.
    facts : dict
        Their description.

    Raises
    ------
    InvalidInputError
        If the file is missing, damaged, of another kind or of a newer version.
    MissingPackageError
        If safetensors is not installed.
    """
    require_package("safetensors", f"read a {what}")
    from safetensors import SafetensorError, safe_open

    name = Path(path).name
    if not Path(path).is_file():
        msg = f"There is no file '{path}'. Give a {what} (.safetensors)."
        raise InvalidInputError(msg)
    try:
        with safe_open(str(path), framework="numpy") as stream:
            facts = _facts(stream.metadata(), name, kind, version, what)
            tensors = {key: np.array(stream.get_tensor(key)) for key in stream.keys()}  # noqa: SIM118  # not a mapping
    except (SafetensorError, OSError, TypeError) as error:
        msg = f"'{name}' is damaged or no safetensors file ({_short(error)}). Make or copy the {what} again."
        raise InvalidInputError(msg) from error
    return tensors, facts


def _facts(metadata: Mapping[str, str] | None, name: str, kind: str, version: int, what: str) -> dict[str, Any]:
    """Return the description after checking that the file is what it should be."""
    try:
        head = json.loads((metadata or {})[_ENTRY])
        found, written, facts = head["kind"], int(head["version"]), dict(head["facts"])
    except (KeyError, TypeError, ValueError):
        found, written, facts = None, 0, {}
    if found != kind:
        msg = f"'{name}' is not a {what} of Perfusion Suite. Choose another file."
        raise InvalidInputError(msg)
    if written > version:
        msg = f"'{name}' was written by a newer Perfusion Suite ({what} version {written}, known is {version}). Update this one."
        raise InvalidInputError(msg)
    return facts


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
