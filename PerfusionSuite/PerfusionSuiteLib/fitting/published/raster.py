# SPDX-License-Identifier: Apache-2.0
"""The raster a volume fit runs in: the scan's own, or the standard frame that learned starts belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.geometry import BoolArray, FloatArray
from ...core.progress import ProgressCallback
from ..request import FitRequest
from ..standard_frame import STANDARD_SHAPE, into_grid, mask_into_grid, standard_affine

COVERED = 0.5
"""A voxel of another raster takes part when at least this share of what it is interpolated from was measured."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Curves of the voxels that are fitted.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Finite curves; may be overwritten.
    mask : ndarray of bool, shape (I, J, K)
        Their voxels, in row-major order.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    """

    curves: NDArray[np.float32]
    mask: BoolArray
    affine: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels."""
        i, j, k = self.mask.shape
        return i, j, k


def finite_rows(request: FitRequest) -> NDArray[np.int64]:
    """Return the rows of the flattened raster that are asked for and whose curves are finite.

    Parameters
    ----------
    request : FitRequest
        What is fitted.

    Returns
    -------
    ndarray of int, shape (N,)
        Increasing.

    Raises
    ------
    InvalidInputError
        If there are none.
    """
    problem = request.problem
    rows = np.arange(problem.flat.shape[0]) if problem.index is None else problem.index
    blocks = [rows[at : at + 65536] for at in range(0, rows.size, 65536)]
    found = np.concatenate([block[np.isfinite(problem.flat[block]).all(axis=1)] for block in blocks])
    if not found.size:
        msg = "No curve is complete: every one has missing values. Check the series and the mask."
        raise InvalidInputError(msg)
    return np.asarray(found)


def scan_raster(request: FitRequest, rows: NDArray[np.int64]) -> Raster:
    """Return the scan's own raster.

    Parameters
    ----------
    request : FitRequest
        What is fitted.
    rows : ndarray of int
        From `finite_rows`.

    Returns
    -------
    Raster
        With a copy of the curves.
    """
    mask = np.zeros(request.problem.flat.shape[0], bool)
    mask[rows] = True
    affine = np.eye(4) if request.affine is None else request.affine
    curves = np.ascontiguousarray(request.problem.flat[rows], dtype=np.float32)
    return Raster(curves, mask.reshape(request.problem.shape), affine)


def standard_raster(request: FitRequest, rows: NDArray[np.int64], progress: ProgressCallback) -> Raster:
    """Resample a scan into the standard frame, without mixing in what lies outside of its mask.

    Parameters
    ----------
    request : FitRequest
        What is fitted.
    rows : ndarray of int
        From `finite_rows`.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    Raster
        The standard frame with the head upright in its middle.
    """
    own = scan_raster(request, rows)
    frame = standard_affine(own.mask, own.affine)
    share = into_grid(own.mask.astype(np.float32), own.affine, frame, STANDARD_SHAPE)
    mask = mask_into_grid(own.mask, own.affine, frame, STANDARD_SHAPE) & (share >= COVERED)
    if not mask.any():
        msg = "The mask has no voxel in the standard frame. Fit in the scan's own frame, or use a larger mask."
        raise InvalidInputError(msg)
    curves = np.empty((int(mask.sum()), own.curves.shape[1]), np.float32)
    volume = np.zeros(own.shape, np.float32)
    for frame_number in range(curves.shape[1]):
        progress(frame_number / curves.shape[1], "Resampling into the standard frame")
        volume[own.mask] = own.curves[:, frame_number]
        curves[:, frame_number] = into_grid(volume, own.affine, frame, STANDARD_SHAPE)[mask]
    curves /= share[mask][:, None]
    return Raster(curves, mask, frame)
