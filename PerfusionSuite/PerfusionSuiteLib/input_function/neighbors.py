# SPDX-License-Identifier: Apache-2.0
"""Neighborhoods on the voxel grid: distance guards, connected groups and growing, for lists of voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, voxel_sizes

Shape = tuple[int, int, int]


def offsets_within(affine: FloatArray, radius_mm: float) -> NDArray[np.int64]:
    """Return voxel steps no longer than a distance, the nearest neighbors in plane included always.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    radius_mm : float, mm
        Distance.

    Returns
    -------
    ndarray of int, shape (m, 3)
        Steps, (0, 0, 0) included.
    """
    sizes = voxel_sizes(affine)
    reach = [int(radius_mm // size) for size in sizes]
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    steps: NDArray[np.int64] = grid[np.linalg.norm(grid * sizes, axis=1) <= radius_mm + 1e-6]
    return steps


def any_near(flag: BoolArray, index: NDArray[np.int64], steps: NDArray[np.int64], *, outside: bool) -> BoolArray:
    """Return which voxels have a flagged voxel within the given steps.

    Parameters
    ----------
    flag : ndarray of bool, shape (I, J, K)
        What to look for.
    index : ndarray of int, shape (n,)
        Flat indices of the voxels.
    steps : ndarray of int, shape (m, 3)
        See `offsets_within`.
    outside : bool
        What voxels beyond the grid count as; the first and last slice do not count as an edge.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where one is near.
    """
    place = np.stack(np.unravel_index(index, flag.shape), axis=1)
    upper = np.array(flag.shape)
    found = np.zeros(index.size, bool)
    for step in steps:
        there = place + step
        inside = ((there >= 0) & (there < upper)).all(axis=1)
        in_plane_out = ((there[:, :2] < 0) | (there[:, :2] >= upper[:2])).any(axis=1)
        there = np.clip(there, 0, upper - 1)
        found |= np.where(inside, flag[there[:, 0], there[:, 1], there[:, 2]], in_plane_out & outside)
    return found


def components(index: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Return a label per voxel: voxels that touch (26 neighbors) share it.

    Parameters
    ----------
    index : ndarray of int, shape (n,)
        Flat indices.
    shape : tuple of int
        Grid.

    Returns
    -------
    ndarray of int, shape (n,)
        Labels from 1 on.
    """
    flag = np.zeros(shape, bool)
    flag.reshape(-1)[index] = True
    labels, _ = ndimage.label(flag, structure=np.ones((3, 3, 3), bool))
    result: NDArray[np.int64] = labels.reshape(-1)[index].astype(np.int64)
    return result


def connected_to(start: int, allowed: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Return the voxels that hang together with one of them.

    Parameters
    ----------
    start : int
        Flat index, one of `allowed`.
    allowed : ndarray of int
        Flat indices.
    shape : tuple of int
        Grid.

    Returns
    -------
    ndarray of int
        Flat indices.
    """
    labels = components(allowed, shape)
    group: NDArray[np.int64] = allowed[labels == labels[allowed == start][0]]
    return group
