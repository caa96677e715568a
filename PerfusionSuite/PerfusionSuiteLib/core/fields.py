# SPDX-License-Identifier: Apache-2.0
"""A fitted field: a continuous description of a perfusion scan that can be sampled anywhere, at any later time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .geometry import BoolArray, FloatArray

FieldKind = Literal["raster", "lattice", "hash", "slices"]


@dataclass(frozen=True, slots=True)
class FittedField:
    """What a fit learned about a scan.

    Parameters
    ----------
    method : str
        Name of the fitting method.
    kind : {"raster", "lattice", "hash", "slices"}
        How positions become parameters: values on the raster, dense lattices with a perceptron, a hash encoding with
        perceptrons, or one perceptron per slice.
    weights : mapping of str to ndarray
        Everything that was learned, by name; names and shapes are the method's own.
    shape : tuple of int, (I, J, K)
        Raster that the field's coordinates refer to.
    affine : ndarray, shape (4, 4), mm
        That raster's voxel to RAS.
    mask : ndarray of bool, shape (I, J, K)
        Where the field was fitted; elsewhere it says nothing.
    times_s : ndarray, shape (T,), s
        Frame times of the scan.
    aif : ndarray, shape (T,)
        Arterial input that the fit used.
    settings : mapping
        Every choice and normalization that sampling needs, as plain values (JSON).
    history : mapping of str to ndarray, shape (steps,)
        Columns of the loss record: ``step``, ``seconds``, ``loss`` and its parts.
    fitted_aif : ndarray, shape (T,), optional
        Arterial curve as the method fitted it, when it did.
    """

    method: str
    kind: FieldKind
    weights: Mapping[str, NDArray[Any]]
    shape: tuple[int, int, int]
    affine: FloatArray
    mask: BoolArray
    times_s: FloatArray
    aif: FloatArray
    settings: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    fitted_aif: FloatArray | None = None
