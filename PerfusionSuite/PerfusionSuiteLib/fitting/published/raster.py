# SPDX-License-Identifier: Apache-2.0
"""The raster whose coordinates a volume fit uses: the scan's own, or the standard frame that learned starts belong to.

Curves stay on the voxels they were measured on. Since a field has a value everywhere, it is the field that is laid over the scan,
so that nothing is blurred by resampling 4D data there and maps back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.geometry import BoolArray, FloatArray
from ..request import FitRequest
from ..standard_frame import STANDARD_SHAPE, mask_into_grid, standard_affine

LEAST_INSIDE = 0.9
"""A scan with a smaller share of its voxels in the frame does not belong there."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Where voxels lie in a raster.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Fitted voxels, in the raster.
    affine : ndarray, shape (4, 4), mm
        Voxel of the raster to RAS.
    points : ndarray, shape (N, 3)
        Voxels of the scan in voxel coordinates of the raster.
    """

    mask: BoolArray
    affine: FloatArray
    points: FloatArray

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


def scan_curves(request: FitRequest, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a copy of the curves of rows, shape (N, T)."""
    return np.array(request.problem.flat[rows], dtype=np.float32, order="C")


def scan_raster(mask: BoolArray, affine: Any) -> Raster:
    """Return the scan's own raster.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Fitted voxels.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    Raster
        Points are the indices of the mask.
    """
    return Raster(mask, np.asarray(affine, np.float64), np.argwhere(mask).astype(np.float64))


def standard_raster(mask: BoolArray, affine: Any) -> Raster:
    """Lay the standard frame over a scan, the head upright in its middle.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Fitted voxels.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    Raster
        The standard frame.

    Raises
    ------
    InvalidInputError
        If much of the mask lies outside of it.
    """
    frame = standard_affine(mask, affine)
    change = np.linalg.inv(frame) @ np.asarray(affine, np.float64)
    points = np.argwhere(mask) @ change[:3, :3].T + change[:3, 3]
    inside = ((points > -0.5) & (points < np.array(STANDARD_SHAPE) - 0.5)).all(axis=1).mean()
    if inside < LEAST_INSIDE:
        msg = (
            f"Only {100 * inside:.0f} % of the mask lie in the standard frame, which holds an adult brain. "
            "Fit in the scan's own frame (frame=scan, no learned start), or correct the mask."
        )
        raise InvalidInputError(msg)
    return Raster(mask_into_grid(mask, affine, frame, STANDARD_SHAPE), frame, points)
