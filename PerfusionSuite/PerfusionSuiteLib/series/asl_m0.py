# SPDX-License-Identifier: Apache-2.0
"""A separate M0 image on the grid of the ASL scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError
from ..core.geometry import FloatArray, voxel_sizes
from .notes import Notes

_SAME_SHARE = 0.05
_LEAST_OVERLAP = 0.5


def m0_on_grid(
    values: NDArray[np.float32], affine: FloatArray, shape: tuple[int, int, int], grid: FloatArray, notes: Notes
) -> NDArray[np.float32]:
    """Average the volumes of an M0 scan and resample them when they lie on another grid.

    Parameters
    ----------
    values : ndarray, shape (I', J', K') or (I', J', K', N)
        The M0 scan.
    affine : ndarray, shape (4, 4), mm
        Its voxel to RAS.
    shape : tuple of int
        (I, J, K) of the ASL scan.
    grid : ndarray, shape (4, 4), mm
        Voxel to RAS of the ASL scan.
    notes : Notes
        Gets the finding ``m0_resampled``.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        M0 by linear interpolation in the scanner's coordinates.

    Raises
    ------
    GridMismatchError
        If the M0 scan covers less than half of the ASL scan.
    """
    image = np.nan_to_num(np.asarray(values, np.float32))
    if image.ndim == 4:
        if image.shape[3] > 1:
            notes.decide(f"The {image.shape[3]} volumes of the M0 scan were averaged.")
        image = image.mean(axis=3, dtype=np.float32)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    apart = float(np.linalg.norm(((affine - grid) @ corners)[:3], axis=0).max())
    if image.shape == tuple(shape) and apart < _SAME_SHARE * float(voxel_sizes(grid).min()):
        return image
    to_m0 = np.linalg.inv(affine) @ grid
    index = np.indices(shape, np.float32).reshape(3, -1)
    at = to_m0[:3, :3] @ index + to_m0[:3, 3:]
    last = np.array(image.shape, float)[:, None] - 1.0
    inside = float(((at >= -0.5) & (at <= last + 0.5)).all(axis=0).mean())
    if inside < _LEAST_OVERLAP:
        msg = (
            f"The M0 image covers only {inside:.0%} of the ASL scan. Check that both were taken of the same head in one session."
        )
        raise GridMismatchError(msg)
    moved: NDArray[np.float32] = ndimage.map_coordinates(image, at, order=1, mode="nearest", output=np.float32).reshape(shape)
    size = " x ".join(map(str, image.shape))
    message = f"The M0 image ({size}, up to {apart:.1f} mm away) was resampled to the grid of the ASL scan."
    notes.find("m0_resampled", "info", message, "Check that M0 and the perfusion map lie on each other.")
    return moved
