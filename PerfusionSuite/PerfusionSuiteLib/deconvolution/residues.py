# SPDX-License-Identifier: Apache-2.0
"""What a method gives to the engine: the residue of a block of voxels; and what is read off a residue."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .problem import Curves

Floats = NDArray[np.float32]


class ResidueBlock(NamedTuple):
    """Flow-scaled residues of a block of voxels.

    Parameters
    ----------
    k : ndarray, shape (W, M), 1/s
        Residues; lags first, so that every reduction runs along the voxels.
    shift_s : ndarray, shape (M,), s, optional
        Added to the lags of each voxel, for methods that move the AIF.
    delay_s : ndarray, shape (M,), s, optional
        Arrival, for methods that estimate it otherwise than from the residue.
    """

    k: Floats
    shift_s: Floats | None = None
    delay_s: Floats | None = None


class ResidueEstimator(Protocol):
    """A method that was prepared for one scan; called from several threads at once."""

    @property
    def lags_s(self) -> FloatArray:
        """Lags of the rows of a block, uniform, shape (W,), s."""

    def __call__(self, curves: Curves) -> ResidueBlock:
        """Return the residues of curves of shape (M, T)."""


class Peaks(NamedTuple):
    """Maximum of each residue, its position and that of the half height before it, in rows."""

    height: Floats
    position: Floats
    half_rise: Floats


def first_of(table: NDArray[np.floating[Any]], value: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the first row in which each column equals a value; whole-array steps instead of a search per column.

    Parameters
    ----------
    table : ndarray, shape (W, M)
        At most 65534 rows.
    value : ndarray, shape (M,)
        For example the maximum of each column.

    Returns
    -------
    ndarray of int, shape (M,)
        Row numbers; the last row where nothing is equal (NaN).
    """
    rows = table.shape[0]
    falling = np.arange(rows, 0, -1, dtype=np.uint8 if rows < 255 else np.uint16)[:, None]
    found = ((table == value).view(np.uint8) * falling).max(axis=0).astype(np.int64)
    return np.asarray(np.minimum(rows - found, rows - 1))


def find_peaks(k: Floats) -> Peaks:
    """Find the maximum of each residue by a parabola through three samples, and where it rises through half of it.

    Parameters
    ----------
    k : ndarray, shape (W, M), 1/s
        Residues, lags first.

    Returns
    -------
    Peaks
        Height is the largest sample; position and half rise are fractional row numbers. A maximum at the border of the
        window has no parabola; a residue that is above half its height from the first row on has half rise 0.
    """
    rows, voxels = k.shape
    height = k.max(axis=0)
    place = first_of(k, height)
    flat, column = k.ravel(), np.arange(voxels)
    before = flat[np.maximum(place - 1, 0) * voxels + column]
    after = flat[np.minimum(place + 1, rows - 1) * voxels + column]
    bend = before - 2.0 * height + after
    inner = (place > 0) & (place < rows - 1) & (bend < 0)
    offset = np.where(inner, 0.5 * (before - after) / np.where(inner, bend, -1.0), 0.0)
    half = np.float32(0.5) * height
    number = np.arange(1, rows + 1, dtype=np.uint8 if rows < 255 else np.uint16)[:, None]
    low = ((k < half) & (number <= place.astype(number.dtype))).view(np.uint8)
    last = (low * number).max(axis=0).astype(np.int64)  # rows counted from 1; 0 when there is none
    under = flat[np.maximum(last - 1, 0) * voxels + column]
    over = flat[np.minimum(last, rows - 1) * voxels + column]
    gap = over - under
    rise = np.where((last > 0) & (gap > 0), last - 1 + (half - under) / np.where(gap > 0, gap, 1.0), 0.0)
    return Peaks(height, (place + np.clip(offset, -0.5, 0.5)).astype(np.float32), rise.astype(np.float32))


class LinearEstimator:
    """A method that is one matrix for all voxels.

    Parameters
    ----------
    operator : ndarray, shape (T, W), 1/s
        ``k = curves @ operator``.
    lags_s : ndarray, shape (W,), s
        Lags of the columns.
    """

    def __init__(self, operator: FloatArray, lags_s: FloatArray) -> None:
        self.lags_s = lags_s
        self._operator = np.ascontiguousarray(operator.T, dtype=np.float32)

    def __call__(self, curves: Curves) -> ResidueBlock:
        """Return the residues of curves of shape (M, T)."""
        return ResidueBlock(self._operator @ curves.T)
