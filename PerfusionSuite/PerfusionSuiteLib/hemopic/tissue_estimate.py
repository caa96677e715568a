# SPDX-License-Identifier: Apache-2.0
"""Gray matter, white matter and fluid from the perfusion scan itself, for scans without tissue labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray, voxel_sizes
from .physical_features import CurveFeatures

GRAY, WHITE, FLUID = 1, 2, 3
SMOOTH_MM = 2.0
FLUID_AREA, BRIGHT = 0.6, 1.25
"""Fluid has less area under its curve, and more signal before contrast, than these shares of the medians. Its borders with tissue
are narrow, so it is told voxel by voxel (on development patients 6 to 7 of 10 voxels of fluid and below 1 % of tissue)."""

EMPTY_AREA = 0.25
"""Without a signal before contrast: area below which a voxel counts as fluid, smoothed."""

ROUNDS = 30


def estimate_tissue(
    features: CurveFeatures,
    baseline: NDArray[np.float32] | None,
    index: NDArray[np.int64],
    shape: tuple[int, ...],
    affine: FloatArray,
) -> NDArray[np.uint8]:
    """Estimate the tissue of each voxel.

    Parameters
    ----------
    features : CurveFeatures
        Of each voxel.
    baseline : ndarray, shape (n,), optional
        Signal before contrast; without it fluid is told by its little enhancement alone.
    index : ndarray of int, shape (n,)
        Flat indices of the voxels into the grid.
    shape : tuple of int, (I, J, K)
        Grid.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    ndarray of uint8, shape (n,)
        1 gray matter, 2 white matter, 3 fluid.

    Notes
    -----
    Gray matter holds about twice the blood of white matter, so the area under the curve tells them apart, ill tissue included,
    for ischemia lowers blood volume late. Two normal distributions are fitted to its logarithm, smoothed over 2 mm. The borders
    are approximate; the classes only decide which voxels are divided into regions together.
    """
    area = _smoothed(np.maximum(np.nan_to_num(features.area), 0.0), index, shape, affine)
    typical = float(np.median(area[area > 0])) if (area > 0).any() else 1.0
    fluid = area < EMPTY_AREA * typical
    if baseline is not None:
        signal = np.nan_to_num(baseline)
        fluid = (np.nan_to_num(features.area) < FLUID_AREA * typical) & (signal > BRIGHT * float(np.median(signal)))
    tissue = np.full(area.size, GRAY, np.uint8)
    rest = ~fluid
    if rest.any():
        tissue[rest] = np.where(_upper(np.log(np.maximum(area[rest], 1e-3 * typical))), GRAY, WHITE)
    tissue[fluid] = FLUID
    return tissue


def _smoothed(
    values: NDArray[np.float32], index: NDArray[np.int64], shape: tuple[int, ...], affine: FloatArray
) -> NDArray[np.float32]:
    """Smooth in plane within the mask."""
    sigma = [*(SMOOTH_MM / size for size in voxel_sizes(affine)[:2]), 0.0]
    full, weight = np.zeros((2, int(np.prod(shape))), np.float32)
    full[index], weight[index] = values, 1.0
    above = ndimage.gaussian_filter(full.reshape(shape), sigma).ravel()[index]
    below = ndimage.gaussian_filter(weight.reshape(shape), sigma).ravel()[index]
    smooth: NDArray[np.float32] = above / np.maximum(below, 1e-6)
    return smooth


def _upper(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which values belong to the upper of two normal distributions with one common width."""
    low, high = np.percentile(values, [25, 75])
    means = np.array([low, high], np.float64)
    spread, share = max(0.5 * (high - low), 1e-3), np.array([0.5, 0.5])
    inside = values[(values > low - 2.0 * (high - low) - 1e-3) & (values < high + 2.0 * (high - low) + 1e-3)]
    sample = inside[:: max(1, inside.size // 50_000)].astype(np.float64)
    for _ in range(ROUNDS):
        weight = share * np.exp(-0.5 * ((sample[:, None] - means) / spread) ** 2) + 1e-300
        weight /= weight.sum(axis=1, keepdims=True)
        total = weight.sum(axis=0)
        means, share = (weight * sample[:, None]).sum(axis=0) / total, total / total.sum()
        spread = max(float(np.sqrt((weight * (sample[:, None] - means) ** 2).sum() / total.sum())), 1e-3)
    middle = 0.5 * means.sum() + spread**2 * np.log(share[0] / share[1]) / max(means[1] - means[0], 1e-6)
    upper: NDArray[np.bool_] = values > np.clip(middle, means[0], means[1])
    return upper
