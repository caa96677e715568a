# SPDX-License-Identifier: Apache-2.0
"""The standard frame that learned starts refer to: 256 x 256 x 32 voxels of 0.91 x 0.91 x 5 mm, the head upright in its middle.

Its axes run to the right, to anterior and upwards; the mid-sagittal plane lies halfway along the first one. It is laid over a
scan, whose curves stay on their own voxels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage, optimize

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray, check_affine

STANDARD_SHAPE = (256, 256, 32)
STANDARD_SPACING_MM = (0.91, 0.91, 5.0)

LARGEST_TURN_DEG = 20.0
"""A mask of the brain that seems to be turned further is no good guide."""

HEAD_MM = ((100.0, 190.0), (115.0, 235.0), (40.0, 220.0))
FULLEST = 0.92
"""Extent of a brain from side to side, front to back and bottom to top, and the largest share of its box that is full."""

_MASK_MM = 4.0


def standard_affine(mask: BoolArray, affine: Any, *, midplane: Any = None) -> FloatArray:
    """Place the standard frame on a scan.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The brain.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS of the mask.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane ``n . x = d`` with the unit normal to the patient's right; found from the symmetry of the mask when it
        is not given.

    Returns
    -------
    ndarray, shape (4, 4), mm
        Voxel to RAS of the frame. The middle of the frame lies on the mid-sagittal plane, at the middle of the mask from front to
        back and from bottom to top.

    Raises
    ------
    InvalidInputError
        If the mask is empty.
    """
    index = np.argwhere(mask)
    if not len(index):
        msg = "The brain mask is empty, so the head cannot be placed in the standard frame. Check the mask."
        raise InvalidInputError(msg)
    matrix = check_affine(affine)
    points = index[:: max(1, len(index) // 200_000)] @ matrix[:3, :3].T + matrix[:3, 3]
    plane = mask_midplane(points) if midplane is None else np.asarray(midplane, np.float64)
    right = plane[:3] / np.linalg.norm(plane[:3])
    up = np.array([0.0, 0.0, 1.0]) - right[2] * right
    up /= np.linalg.norm(up)
    axes = np.stack([right, np.cross(up, right), up], axis=1)
    middle = 0.5 * (points @ axes).min(axis=0) + 0.5 * (points @ axes).max(axis=0)
    middle[0] = plane[3] / np.linalg.norm(plane[:3])
    frame = np.eye(4)
    frame[:3, :3] = axes * STANDARD_SPACING_MM
    frame[:3, 3] = axes @ middle - frame[:3, :3] @ (0.5 * (np.array(STANDARD_SHAPE) - 1))
    return frame


def shows_head(mask: BoolArray, affine: Any) -> bool:
    """Tell whether a mask is about as large as a brain, so that its place in the standard frame is known.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The brain.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS of the mask.

    Returns
    -------
    bool
        False for a crop, a thin slab or a phantom of tiles.
    """
    matrix = check_affine(affine)
    index = np.argwhere(mask)
    if not len(index):
        return False
    ras = index @ matrix[:3, :3].T
    extent = ras.max(axis=0) - ras.min(axis=0)
    whole = len(index) * abs(np.linalg.det(matrix[:3, :3])) / max(float(np.prod(extent)), 1.0)
    fits = all(low <= size <= high for size, (low, high) in zip(extent, HEAD_MM, strict=True))
    # An ellipsoid fills half of the box around it, a crop nearly all.
    return bool(fits and whole < FULLEST)


def mask_midplane(points: FloatArray) -> FloatArray:
    """Find the vertical plane about which a mask is most symmetric.

    Parameters
    ----------
    points : ndarray, shape (n, 3), mm
        Centers of its voxels in RAS.

    Returns
    -------
    ndarray, shape (4,)
        Unit normal to the right, and offset. The turn is limited to `LARGEST_TURN_DEG`.
    """
    low = points.min(axis=0) - 8 * _MASK_MM
    size = np.ceil((points.max(axis=0) + 8 * _MASK_MM - low) / _MASK_MM).astype(int) + 1
    cells = np.rint((points - low) / _MASK_MM).astype(int)
    image = np.zeros(size)
    np.add.at(image, tuple(cells.T), 1.0)
    image = ndimage.gaussian_filter(np.minimum(image / max(1.0, float(np.median(image[image > 0]))), 1.0), 1.0)
    grid = np.argwhere(image > 0.05) * _MASK_MM + low
    values = image[image > 0.05]

    def apart(turn_and_offset: FloatArray) -> float:
        normal = np.array([np.cos(turn_and_offset[0]), np.sin(turn_and_offset[0]), 0.0])
        beyond = grid @ normal - turn_and_offset[1]
        mirrored = (grid - 2.0 * beyond[:, None] * normal - low) / _MASK_MM
        there = ndimage.map_coordinates(image, mirrored.T, order=1, mode="constant")
        return float(((there - values) ** 2).mean())

    limit = np.radians(LARGEST_TURN_DEG)
    middle = points[:, 0].mean()
    starts = [(apart(np.array([turn, middle])), turn) for turn in np.linspace(-limit, limit, 9)]
    best = optimize.minimize(
        apart, [min(starts)[1], middle], method="Nelder-Mead",
        options={"initial_simplex": [[min(starts)[1], middle], [min(starts)[1] + 0.05, middle], [min(starts)[1], middle + 4.0]]},
    ).x  # fmt: skip
    turn = float(np.clip(best[0], -limit, limit))
    return np.array([np.cos(turn), np.sin(turn), 0.0, best[1]])


def mask_into_grid(mask: BoolArray, affine: Any, grid_affine: Any, grid_shape: tuple[int, int, int]) -> BoolArray:
    """Resample a mask: a voxel belongs to it when its center lies in a voxel that does.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.
    grid_affine, grid_shape : array-like (4, 4) mm, tuple of int
        The new grid.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        The mask there.
    """
    change = np.linalg.inv(check_affine(affine)) @ check_affine(grid_affine)
    found = ndimage.affine_transform(
        mask.astype(np.float32), change[:3, :3], change[:3, 3], output_shape=grid_shape, order=0, mode="grid-constant"
    )
    return np.asarray(found > 0.5)
