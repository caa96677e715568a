# SPDX-License-Identifier: Apache-2.0
"""A fitted field as one file, so that a scan can be sampled again at any resolution long after it was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.fields import FieldKind, FittedField
from ..core.geometry import BoolArray, check_affine
from ..core.series import check_times
from .tensor_file import Tensors, read_tensors, write_tensors

KIND, VERSION = "field", 1

HALF_RANGE = (6e-5, 6e4)
"""Weights whose largest magnitude lies outside lose their meaning as 16-bit numbers and stay as they are."""


def save_field(field: FittedField, path: str | Path, *, half: bool = False) -> Path:
    """Write a fitted field to one safetensors file.

    Parameters
    ----------
    field : FittedField
        The field.
    path : path-like
        The file; ``.safetensors`` by convention.
    half : bool
        Store weights as 16-bit numbers: half the size, at a relative precision of 5e-4. Without it a loaded field gives the
        same maps bit for bit.

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
    tensors: Tensors = {f"weights/{name}": _stored(np.asarray(value), half) for name, value in field.weights.items()}
    tensors |= {f"history/{name}": np.asarray(value, np.float64) for name, value in field.history.items()}
    tensors["mask"] = np.packbits(field.mask.ravel())
    tensors["times_s"] = np.asarray(field.times_s, np.float64)
    tensors["aif"] = np.asarray(field.aif, np.float64)
    if field.fitted_aif is not None:
        tensors["fitted_aif"] = np.asarray(field.fitted_aif, np.float64)
    facts = {
        "method": field.method,
        "kind": field.kind,
        "shape": list(field.shape),
        "affine": np.asarray(field.affine, float).tolist(),
        "settings": field.settings,
    }
    return write_tensors(path, tensors, facts, kind=KIND, version=VERSION)


def load_field(path: str | Path) -> FittedField:
    """Read a fitted field.

    Parameters
    ----------
    path : path-like
        A file of `save_field`.

    Returns
    -------
    FittedField
        The field; weights that were stored as 16-bit numbers are float32 again.

    Raises
    ------
    InvalidInputError
        If the file is missing, damaged, foreign or newer than this version.
    MissingPackageError
        If safetensors is not installed.
    """
    tensors, facts = read_tensors(path, kind=KIND, version=VERSION, what="fitted field")
    try:
        return _field(tensors, facts)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        msg = f"'{Path(path).name}' holds no complete fitted field ({error}). Fit the scan again."
        raise InvalidInputError(msg) from error


def _field(tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> FittedField:
    """Put a field together, refusing what does not fit together."""
    i, j, k = (int(n) for n in facts["shape"])
    if min(i, j, k) < 1 or facts["kind"] not in get_args(FieldKind):
        msg = f"raster {i} x {j} x {k}, kind '{facts['kind']}'"
        raise ValueError(msg)
    times = check_times(tensors["times_s"], tensors["times_s"].size)
    aif = tensors["aif"]
    if aif.shape != times.shape or not np.isfinite(aif).all():
        msg = "the arterial curve does not belong to the frame times"
        raise ValueError(msg)
    return FittedField(
        str(facts["method"]),
        facts["kind"],
        {name: _restored(value) for name, value in _part(tensors, "weights/").items()},
        (i, j, k),
        check_affine(facts["affine"]),
        _mask(tensors["mask"], (i, j, k)),
        times,
        aif,
        dict(facts["settings"]),
        _part(tensors, "history/"),
        tensors.get("fitted_aif"),
    )


def _mask(bits: NDArray[np.uint8], shape: tuple[int, int, int]) -> BoolArray:
    count = int(np.prod(shape))
    if bits.dtype != np.uint8 or bits.size != -(-count // 8):
        msg = f"a mask of {bits.size} bytes for {count} voxels"
        raise ValueError(msg)
    return np.unpackbits(bits, count=count).astype(bool).reshape(shape)


def _part(tensors: Mapping[str, NDArray[Any]], prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _stored(values: NDArray[Any], half: bool) -> NDArray[Any]:
    if not half or values.dtype.kind != "f":
        return values
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    return values.astype(np.float16) if largest == 0.0 or HALF_RANGE[0] < largest < HALF_RANGE[1] else values


def _restored(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values
