# SPDX-License-Identifier: Apache-2.0
"""Connected clusters and thin parts of a mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, axis_codes, voxel_sizes

NEIGHBORS_26 = np.ones((3, 3, 3), bool)


def without_small_clusters(mask: BoolArray, voxel_ml: float, min_ml: float) -> BoolArray:
    """Remove 26-connected clusters below a volume.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    voxel_ml : float, mL
        Volume of a voxel.
    min_ml : float, mL
        A cluster of exactly this volume stays; 0 keeps everything.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask without small clusters.
    """
    if min_ml <= 0 or not mask.any():
        return mask.copy()
    labels, count = ndimage.label(mask, NEIGHBORS_26)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    keep = sizes >= min_ml - 1e-9  # a volume like 8 x 0.125 mL must not fail by rounding
    keep[0] = False
    result: BoolArray = keep[labels]
    return result


def without_thin_parts(mask: BoolArray, affine: FloatArray, half_width_mm: float) -> BoolArray:
    """Remove what is thin within its slice: rims of fluid, vessels and moved edges, which are late but no tissue.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    half_width_mm : float, mm
        Parts survive where a diamond of this half width fits in; 0, or less than a voxel, keeps everything.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The opened mask, grown back by one voxel within the mask, so that corners stay.
    """
    size = voxel_sizes(affine)
    slices = next(axis for axis, code in enumerate(axis_codes(affine)) if code in "IS")
    steps = int((half_width_mm + 0.05) / max(size[axis] for axis in range(3) if axis != slices))
    if steps < 1 or not mask.any():
        return mask.copy()
    cross = np.expand_dims(ndimage.generate_binary_structure(2, 1), slices)
    inner = ndimage.binary_erosion(mask, cross, iterations=steps, border_value=1)
    result: BoolArray = ndimage.binary_dilation(inner, cross, iterations=steps + 1) & mask
    return result


def largest_cluster_ml(mask: BoolArray, voxel_ml: float) -> float:
    """Return the volume of the largest 26-connected cluster.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    voxel_ml : float, mL
        Volume of a voxel.

    Returns
    -------
    float, mL
        0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    labels, _ = ndimage.label(mask, NEIGHBORS_26)
    return float(np.bincount(labels.ravel())[1:].max() * voxel_ml)
