# SPDX-License-Identifier: Apache-2.0
"""Voxel grids: a 4x4 affine takes voxel indices (i, j, k) to millimetres in RAS (right, anterior, superior)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import GridMismatchError, InvalidInputError

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK use LPS; multiplying an affine from the left by this gives RAS (and back)."""


def check_affine(affine: ArrayLike) -> FloatArray:
    """Return the affine as float64 or say what is wrong with it.

    Parameters
    ----------
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    ndarray, shape (4, 4)
        A float64 copy.

    Raises
    ------
    InvalidInputError
        If it is not a finite, invertible 4x4 matrix.
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        msg = f"The affine must be a finite, invertible 4x4 matrix, not one of shape {matrix.shape}. Check the image header."
        raise InvalidInputError(msg)
    return matrix


def voxel_sizes(affine: ArrayLike) -> FloatArray:
    """Return the voxel spacing along i, j and k.

    Parameters
    ----------
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    ndarray, shape (3,), mm
        Lengths of the affine's columns.
    """
    sizes: FloatArray = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    return sizes


def voxel_volume_ml(affine: ArrayLike) -> float:
    """Return the volume of one voxel.

    Parameters
    ----------
    affine : array-like, shape (4, 4), mm
        Voxel to RAS; shears (gantry tilt) are accounted for by the determinant.

    Returns
    -------
    float, mL
        Absolute determinant / 1000.
    """
    return float(abs(np.linalg.det(np.asarray(affine, float)[:3, :3])) / 1000.0)


def axis_codes(affine: ArrayLike) -> tuple[str, str, str]:
    """Return the anatomical direction in which each voxel axis grows.

    Parameters
    ----------
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    tuple of str
        For example ``("L", "P", "S")``: i grows to the left, j to posterior, k upwards.
    """
    direction = np.asarray(affine, float)[:3, :3] / voxel_sizes(affine)
    codes = ["", "", ""]
    free_world, free_voxel = {0, 1, 2}, {0, 1, 2}
    for _ in range(3):
        world, voxel = max(((w, v) for w in free_world for v in free_voxel), key=lambda p: abs(direction[p]))
        codes[voxel] = (("L", "R"), ("P", "A"), ("I", "S"))[world][int(direction[world, voxel] > 0)]
        free_world.remove(world)
        free_voxel.remove(voxel)
    return codes[0], codes[1], codes[2]


def canonical_orientation(affine: ArrayLike) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Say how to permute and flip voxel axes so that they run to right, anterior and superior.

    Parameters
    ----------
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    axes : tuple of int
        Argument for ``transpose`` of the spatial axes.
    flips : tuple of bool
        Which of the transposed axes must be reversed.
    """
    codes = axis_codes(affine)
    axes = tuple(next(v for v in range(3) if codes[v] in pair) for pair in ("LR", "PA", "IS"))
    flips = tuple(codes[axis] in "LPI" for axis in axes)
    return axes, flips  # type: ignore[return-value]  # both have three entries by construction


def check_same_grid(
    name: str, shape: tuple[int, ...], affine: ArrayLike, other_shape: tuple[int, ...], other_affine: ArrayLike
) -> None:
    """Raise an error when two images do not share one grid.

    Parameters
    ----------
    name : str
        What the first image is called in the message.
    shape, other_shape : tuple of int
        Spatial shapes.
    affine, other_affine : array-like, shape (4, 4), mm
        Voxel to RAS of each.

    Raises
    ------
    GridMismatchError
        If shapes differ, or any corner lies more than 5 % of a voxel apart.
    """
    if tuple(shape[:3]) != tuple(other_shape[:3]):
        msg = f"{name} has {tuple(shape[:3])} voxels but the scan has {tuple(other_shape[:3])}. Resample it to the scan's grid."
        raise GridMismatchError(msg)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]], [1], indexing="ij")).reshape(4, -1)
    apart = np.linalg.norm(((np.asarray(affine, float) - np.asarray(other_affine, float)) @ corners)[:3], axis=0).max()
    if apart > 0.05 * voxel_sizes(other_affine).min():
        msg = f"{name} lies up to {apart:.2f} mm away from the scan's grid. Resample it to the scan."
        raise GridMismatchError(msg)
