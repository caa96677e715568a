# SPDX-License-Identifier: Apache-2.0
"""How much of a voxel is gray matter, as the static image of a CT scan shows it: gray matter is a little denser than white."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from ..core.geometry import BoolArray
from .in_plane import smooth_in_plane

TISSUE_HU = (15.0, 50.0)
"""Densities that brain tissue has before contrast arrives; below lies fluid, above blood, calcification and bone."""

SMOOTHING_MM = 1.7
LEAST_CONTRAST_HU, NOISE_FACTOR = 3.0, 2.5
"""The image is not believed if both kinds of tissue differ by less than this, or by less than so many times what smoothing leaves
of its noise: noise alone splits at 1.6 times. Real gray and white matter differ by 5 to 9 HU."""

ROUNDS = 30
LEAST_VOXELS = 500


def gray_share(image: NDArray[Any], mask: BoolArray, spacing_mm: Any) -> NDArray[np.float32] | None:
    """Read the share of gray matter off the density of tissue without contrast.

    Parameters
    ----------
    image : ndarray, shape (I, J, K), HU
        Static image without contrast.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that count.
    spacing_mm : array-like, shape (3,), mm
        Voxel sizes.

    Returns
    -------
    ndarray, shape (N,), or None
        Between 0 (white) and 1 (gray) for the voxels of the mask; None if the image cannot tell.

    Notes
    -----
    Two means of the densities between `TISSUE_HU`, after a Gaussian of `SMOOTHING_MM` within each slice and the mask.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    known = mask & np.isfinite(image)
    weight = smooth_in_plane(known.astype(np.float32), SMOOTHING_MM, spacing)
    total = smooth_in_plane(np.where(known, image, 0.0).astype(np.float32), SMOOTHING_MM, spacing)
    density = total[mask] / np.maximum(weight[mask], 1e-6)
    tissue = density[(density > TISSUE_HU[0]) & (density < TISSUE_HU[1])]
    if tissue.size < LEAST_VOXELS:
        return None
    start = np.quantile(tissue, (0.25, 0.75))
    if start[1] - start[0] <= 0.0:
        return None
    white, gray = np.sort(kmeans2(tissue, start, iter=ROUNDS, minit="matrix")[0])
    rest = 1.4826 * float(np.median(np.abs(image[known] - (total[known] / weight[known]))))
    left = rest / max(1.0, 2.0 * SMOOTHING_MM * math.sqrt(math.pi / (spacing[0] * spacing[1])))
    if gray - white < max(LEAST_CONTRAST_HU, NOISE_FACTOR * left):
        return None
    share: NDArray[np.float32] = np.clip((density - white) / (gray - white), 0.0, 1.0).astype(np.float32)
    return share
