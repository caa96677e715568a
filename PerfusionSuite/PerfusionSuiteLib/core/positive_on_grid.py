# SPDX-License-Identifier: Apache-2.0
"""A map of positive numbers on another grid, without mixing what is known with nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .geometry import FloatArray

_LEAST_SHARE = 0.5


def positive_on_grid(
    values: NDArray[Any], affine: FloatArray, shape: tuple[int, int, int], grid: FloatArray
) -> NDArray[np.float32]:
    """Resample a map by the positions that both grids state.

    Parameters
    ----------
    values : ndarray, shape (I', J', K')
        The map, for example of diffusion; what is not above 0 is not known.
    affine : ndarray, shape (4, 4), mm
        Its voxel to RAS.
    shape : tuple of int
        (I, J, K) of the other grid.
    grid : ndarray, shape (4, 4), mm
        Voxel to RAS of that grid.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        By linear interpolation among known values; 0 where less than half of what surrounds a voxel is known.
    """
    to_map = np.linalg.inv(affine) @ grid
    index = np.stack([*np.indices(shape, dtype=np.float64).reshape(3, -1), np.ones(int(np.prod(shape)))])
    place = (to_map @ index)[:3]
    known = np.isfinite(values) & (values > 0)
    amount, share = (
        ndimage.map_coordinates(part, place, order=1, mode="grid-constant", cval=0.0, output=np.float64)
        for part in (np.where(known, values, 0.0).astype(np.float64), known.astype(np.float64))
    )
    # A voxel reaches half its size beyond its center, the outermost, too.
    found = np.where(share > _LEAST_SHARE, amount / np.maximum(share, _LEAST_SHARE), 0.0)
    return found.reshape(shape).astype(np.float32)
