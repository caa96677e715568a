# SPDX-License-Identifier: Apache-2.0
"""One checked deconvolution problem: voxel curves, arterial input and time grid. Bad input ends here with a clear error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError, InvalidInputError, TimingError
from ..core.geometry import BoolArray, FloatArray
from ..core.series import check_enough_times, check_times
from .timegrid import TimeGrid, make_grid, spline_on_grid, trapezoid_weights

Curves = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything a method needs to know.

    Parameters
    ----------
    flat : ndarray, shape (V, T)
        All voxel curves, in the unit of the arterial input.
    index : ndarray of int, shape (M,), optional
        Rows to compute; None for all of them.
    shape : tuple of int
        Spatial shape of the maps.
    times_s : ndarray, shape (T,), s
        Measured frame times.
    aif : ndarray, shape (T,)
        Arterial input at the frame times.
    grid : TimeGrid
        Uniform grid and the matrix that leads to it.
    aif_on_grid : ndarray, shape (N,)
        Arterial input on the grid.
    area_weights : ndarray, shape (T,), s
        Trapezoid weights of the frame times.
    aif_area : float
        Area of the arterial input.
    """

    flat: NDArray[Any]
    index: NDArray[np.int64] | None
    shape: tuple[int, ...]
    times_s: FloatArray
    aif: FloatArray
    grid: TimeGrid
    aif_on_grid: FloatArray
    area_weights: FloatArray
    aif_area: float

    @property
    def count(self) -> int:
        """Number of voxels to compute."""
        return int(self.flat.shape[0] if self.index is None else self.index.size)

    def curves(self, start: int, stop: int) -> Curves:
        """Return the curves of voxels `start` to `stop` of the mask as float32, shape (stop - start, T)."""
        rows = self.flat[start:stop] if self.index is None else self.flat[self.index[start:stop]]
        return np.ascontiguousarray(rows, dtype=np.float32)

    def at(self, rows: NDArray[np.int64]) -> Curves:
        """Return the curves of some voxels of the mask as float32, shape (n, T)."""
        return np.asarray(self.flat[rows if self.index is None else self.index[rows]], np.float32)

    def sample(self, most: int = 20000) -> NDArray[np.float64]:
        """Return at most `most` finite curves, evenly spread over the mask, for statistics of the scan."""
        rows = np.arange(self.flat.shape[0]) if self.index is None else self.index
        chosen = rows[:: max(1, rows.size // most)]
        curves = self.flat[chosen].astype(np.float64)
        return curves[np.isfinite(curves).all(axis=1)]


def check_aif(aif: Any, times_s: FloatArray) -> FloatArray:
    """Return the arterial input as float64 or say why it cannot be used.

    Parameters
    ----------
    aif : array-like, shape (T,)
        Arterial input.
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    ndarray, shape (T,)
        The curve.

    Raises
    ------
    InvalidInputError
        If its length differs from the number of frames, a value is missing, it never rises, or its first pass has no area.
    """
    curve = np.array(aif, dtype=np.float64)
    if curve.ndim != 1 or curve.size != times_s.size:
        msg = f"The AIF has {curve.size} values but the series has {times_s.size} frames. Give one AIF value for each frame."
        raise InvalidInputError(msg)
    missing = int((~np.isfinite(curve)).sum())
    if missing:
        msg = f"{missing} of {curve.size} AIF values are missing. Choose other AIF voxels or correct the file."
        raise InvalidInputError(msg)
    peak = int(curve.argmax())
    if curve[peak] <= 0:
        msg = f"The AIF never rises above zero (its maximum is {curve[peak]:.3g}). Choose AIF voxels inside an artery."
        raise InvalidInputError(msg)
    low = np.flatnonzero(curve[peak:] <= 0.1 * curve[peak])
    end = peak + int(low[0]) + 1 if low.size else curve.size
    area = float(np.trapezoid(curve[:end], times_s[:end]))
    if area <= 0:
        msg = f"The first pass of the AIF has no positive area ({area:.3g}). Check the baseline, or choose other AIF voxels."
        raise InvalidInputError(msg)
    return curve


def _check_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    if mask is None:
        return None
    chosen: BoolArray = np.asarray(mask, dtype=bool)
    if chosen.shape != shape:
        msg = f"The mask has shape {chosen.shape} but the maps have shape {shape}. Resample the mask to the series."
        raise GridMismatchError(msg)
    index = np.flatnonzero(chosen.ravel())
    if not index.size:
        msg = "The mask is empty. Check the brain mask, or leave it out to compute every voxel."
        raise InvalidInputError(msg)
    return None if index.size == chosen.size else index


def make_problem(concentration: Any, aif: Any, times_s: Any, mask: Any = None) -> Problem:
    """Check the input of a deconvolution or voxel fit and bring it into the form that methods use.

    Parameters
    ----------
    concentration : array-like, shape (..., T)
        Tissue curves.
    aif : array-like, shape (T,)
        Arterial input, in the same unit.
    times_s : array-like, shape (T,), s
        Frame times.
    mask : array-like of bool, shape (...), optional
        Voxels to compute.

    Returns
    -------
    Problem
        Ready for a method.

    Raises
    ------
    InvalidInputError
        If curve, AIF, times or mask cannot be used or do not fit together.
    """
    data = np.asarray(concentration)
    if data.ndim < 1 or data.size == 0:
        msg = f"There are no curves to compute: the concentration has shape {data.shape}. Choose another series."
        raise InvalidInputError(msg)
    if data.dtype.kind not in "fiu":
        msg = f"Concentration must be real numbers, not {data.dtype}. Convert the series first."
        raise InvalidInputError(msg)
    if np.size(times_s) != data.shape[-1]:
        msg = f"The series has {data.shape[-1]} frames but {np.size(times_s)} frame times. Give one time for each frame."
        raise TimingError(msg)
    times = check_times(times_s, data.shape[-1])
    check_enough_times(times)
    curve = check_aif(aif, times)
    shape = data.shape[:-1]
    grid, weights = make_grid(times), trapezoid_weights(times)
    area = float(curve @ weights)
    if area <= 0:
        msg = f"The area of the AIF is not positive ({area:.3g}). Check the baseline, or choose other AIF voxels."
        raise InvalidInputError(msg)
    return Problem(
        data.reshape(-1, times.size), _check_mask(mask, shape), shape, times, curve, grid,
        spline_on_grid(times, curve, grid.times_s), weights, area,
    )  # fmt: skip
