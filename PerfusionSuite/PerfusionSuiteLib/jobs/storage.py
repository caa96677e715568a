# SPDX-License-Identifier: Apache-2.0
"""The package's values as JSON and ``.npy`` files that can be mapped into memory; no pickles."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core import QUANTITIES, InvalidInputError, PerfusionMaps, Quantity
from ..core.files import write_text

_CORE = __package__.rpartition(".")[0] + ".core."
_MAPPED_BYTES = 1 << 20
"""Larger files are mapped, smaller ones read."""

KnownArrays = dict[tuple[Any, ...], str]


def save_value(value: Any, path: Path, *, known: KnownArrays | None = None) -> KnownArrays:
    """Write a value as a JSON file with its arrays beside it.

    Parameters
    ----------
    value : object
        A dataclass of ``core``, arrays, plain values, and containers of these.
    path : Path
        The JSON file; arrays are named after it.
    known : dict, optional
        Arrays that are on disk already, as `load_inputs` or an earlier call said: they are referred to, not written again.

    Returns
    -------
    dict
        The arrays that are on disk now.

    Raises
    ------
    InvalidInputError
        If the value contains something else, or the disk is full.
    """
    writer = _Writer(path, dict(known or {}))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = writer.encode(value, "value")
        write_text(path, json.dumps(document, allow_nan=False))
    except OSError as error:
        msg = f"Writing '{path.name}' failed ({error.strerror or error}). Free disk space or choose another folder."
        raise InvalidInputError(msg) from error
    return writer.known


def load_value(path: Path) -> Any:
    """Read what `save_value` wrote; large arrays stay on disk until they are looked at.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    object
        The value. Its arrays may be changed, which does not change the files.

    Raises
    ------
    InvalidInputError
        If the file or one of its arrays cannot be read.
    """
    return _Reader(path, mode="c").value()


def load_inputs(path: Path) -> tuple[Any, KnownArrays]:
    """Read a value whose arrays must not be changed, and say which of them are on disk.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    value : object
        The value; its large arrays are read-only.
    known : dict
        The large arrays, for `save_value`. Valid as long as the value lives.

    Raises
    ------
    InvalidInputError
        If the file or one of its arrays cannot be read.
    """
    reader = _Reader(path, mode="r")
    return reader.value(), reader.known


def elsewhere(known: KnownArrays, prefix: str) -> KnownArrays:
    """Return known arrays as seen from another folder.

    Parameters
    ----------
    known : dict
        From `save_value`.
    prefix : str
        Way from the other folder to the one of the arrays, such as ``../inputs/``.

    Returns
    -------
    dict
        For `save_value`.
    """
    return {identity: prefix + name for identity, name in known.items()}


def _identity(array: NDArray[Any]) -> tuple[Any, ...]:
    """Equal for two views of the same numbers."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


class _Writer:
    """Turns a value into JSON; each array becomes a file once, numbered in the order of the fields."""

    def __init__(self, path: Path, known: KnownArrays) -> None:
        self._path = path
        self._count = 0
        self._alive: list[NDArray[Any]] = []  # an address stays taken as long as its array lives
        self.known = known

    def encode(self, value: Any, name: str) -> Any:
        """Return what stands for `value` in the JSON file."""
        if isinstance(value, np.ndarray):
            return {"array": self._file_of(value, name)}
        if isinstance(value, Quantity):
            return {"quantity": value.key}
        if isinstance(value, PerfusionMaps):
            return {"maps": [self.encode(item, key) for key, item in value.items()]}
        if is_dataclass(value) and not isinstance(value, type):
            return {
                "class": _name_of(type(value)),
                "fields": {item.name: self.encode(getattr(value, item.name), item.name) for item in fields(value)},
            }
        if isinstance(value, Mapping):
            return {"mapping": [[self.encode(key, "key"), self.encode(item, str(key))] for key, item in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [self.encode(item, name) for item in value]}
        if isinstance(value, list):
            return [self.encode(item, name) for item in value]
        return _plain(value)

    def _file_of(self, array: NDArray[Any], name: str) -> str:
        identity = _identity(array)
        if array.size and identity in self.known:
            return self.known[identity]
        self._count += 1
        word = re.sub(r"\W+", "", name)[:24]
        file = f"{self._path.stem}-{self._count:03d}-{word}.npy"
        with (self._path.parent / file).open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
        self._alive.append(array)
        self.known[identity] = file
        return file


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, Path):
        return str(value)
    msg = f"A job cannot carry a value of type {type(value).__name__}. Give arrays, numbers, texts or values of the package."
    raise InvalidInputError(msg)


def _name_of(kind: type) -> str:
    if not kind.__module__.startswith(_CORE):
        msg = f"A job cannot carry a value of type {kind.__name__}. Give arrays, numbers, texts or values of the package."
        raise InvalidInputError(msg)
    return f"{kind.__module__.removeprefix(_CORE)}.{kind.__name__}"


def _class_of(name: str) -> type:
    module, _, kind = name.partition(".")
    if not (module.isidentifier() and kind.isidentifier()):
        msg = f"'{name}' is no value of the package"
        raise ValueError(msg)
    found = getattr(import_module(_CORE + module), kind)
    if not (isinstance(found, type) and is_dataclass(found)):
        msg = f"'{name}' is no value of the package"
        raise ValueError(msg)
    return found


class _Reader:
    """Turns JSON back into values."""

    def __init__(self, path: Path, mode: Literal["r", "c"]) -> None:
        self._path = path
        self._mode = mode
        self.known: KnownArrays = {}

    def value(self) -> Any:
        """Return the value of the file."""
        try:
            return self._decode(json.loads(self._path.read_text(encoding="utf-8")))
        except InvalidInputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"The job's file '{self._path.name}' cannot be read ({type(error).__name__}: {error}). Run the job again."
            raise InvalidInputError(msg) from error

    def _decode(self, document: Any) -> Any:
        if isinstance(document, list):
            return [self._decode(item) for item in document]
        if not isinstance(document, dict):
            return document
        kind = next(iter(document))
        content = document[kind]
        if kind == "class":
            return _class_of(content)(**{name: self._decode(item) for name, item in document["fields"].items()})
        if kind == "mapping":
            return {self._decode(key): self._decode(item) for key, item in content}
        if kind == "array":
            return self._array(content)
        return _SIMPLE[kind](content if kind in {"quantity", "float"} else [self._decode(item) for item in content])

    def _array(self, name: str) -> NDArray[Any]:
        path = self._path.parent / name
        if path.stat().st_size <= _MAPPED_BYTES:
            small: NDArray[Any] = np.load(path, allow_pickle=False)
            return small
        array: NDArray[Any] = np.load(path, mmap_mode=self._mode, allow_pickle=False)
        self.known[_identity(array)] = name
        return array


_SIMPLE: Mapping[str, Any] = {"quantity": QUANTITIES.__getitem__, "float": float, "tuple": tuple, "maps": PerfusionMaps}
