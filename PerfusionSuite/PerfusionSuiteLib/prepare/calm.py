# SPDX-License-Identifier: Apache-2.0
"""Where the skull cannot be moved in: the part of the brain whose curves show contrast even when the head moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, voxel_sizes

BONE_NEAR_HU = 120.0
CALM_MM = 6.0
"""How far from bone in the plane; in the neighboring slices there must be none either, since motion mixes slices."""


def calm_region(baseline: NDArray[Any], mask: BoolArray, affine: FloatArray) -> BoolArray:
    """Return where no bone can be moved in: far from it in the slice, none in the slices above and below, no end slice.

    Parameters
    ----------
    baseline : ndarray, shape (I, J, K), HU
        Unenhanced CT.
    mask : ndarray of bool, shape (I, J, K)
        Where curves exist.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The calm part of the mask.
    """
    sizes = voxel_sizes(affine)
    reach = [int(np.ceil(CALM_MM / size)) for size in sizes]
    bone = np.asarray(baseline) > BONE_NEAR_HU
    near = ndimage.maximum_filter(bone, size=tuple(2 * r + 1 for r in reach), mode="nearest")
    calm: BoolArray = mask & ~near
    if calm.shape[2] > 2:
        calm[:, :, [0, -1]] = False
    return calm
