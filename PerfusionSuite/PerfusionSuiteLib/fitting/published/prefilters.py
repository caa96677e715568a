# SPDX-License-Identifier: Apache-2.0
"""The filters that the original SPPINN applies to a scan before it is fitted, for phantoms and for patients."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.geometry import BoolArray, FloatArray
from ...core.progress import ProgressCallback

RANGE_HU, DOMAIN_MM = 20.0, 3.0
"""Bilateral filter of the patients."""

TEMPORAL = np.array([0.25, 0.5, 0.25])


def smoothed_in_time(curves: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return curves (..., T) averaged with weights 1/4, 1/2, 1/4; the first and last sample are repeated at the ends."""
    return np.asarray(ndimage.correlate1d(curves, TEMPORAL, axis=-1, mode="nearest", output=curves.dtype))


def filtered(
    curves: NDArray[np.float32], mask: BoolArray, affine: FloatArray, kind: str, sd_px: float, progress: ProgressCallback
) -> NDArray[np.float32]:
    """Filter the curves of a mask slice by slice; nothing is taken from outside the mask.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves of the mask.
    mask : ndarray of bool, shape (I, J, K)
        Where they lie.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    kind : {"none", "phantom", "patients"}
        Nothing, a Gaussian in the plane and 1/4, 1/2, 1/4 in time, or a bilateral filter of each frame.
    sd_px : float, pixels
        Of the Gaussian; cut off at ``ceil(2 sd)``.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    ndarray, shape (N, T)
        Filtered curves.

    References
    ----------
    de Vries et al., Med Image Anal 90:102971 (2023), with its released defaults. The bilateral filter here sees the enhancement,
    not the CT image with its anatomy.
    """
    if kind == "none" or (kind == "phantom" and sd_px == 0):
        return smoothed_in_time(curves) if kind == "phantom" else curves
    result = curves.copy()
    slices = np.argwhere(mask)[:, 2]
    step = np.linalg.norm(affine[:3, :2], axis=0)
    for k in np.unique(slices):
        progress(float(k) / mask.shape[2], "Filtering")
        here, plane = slices == k, mask[:, :, k]
        image = np.zeros((*plane.shape, curves.shape[1]), np.float32)
        image[plane] = curves[here]
        result[here] = (_gaussian(image, plane, sd_px) if kind == "phantom" else _bilateral(image, plane, step))[plane]
    return smoothed_in_time(result) if kind == "phantom" else result


def _gaussian(image: NDArray[np.float32], plane: BoolArray, sd_px: float) -> NDArray[np.float32]:
    radius = math.ceil(2 * sd_px)

    def smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
        for axis in (0, 1):
            values = ndimage.gaussian_filter1d(values, sd_px, axis=axis, radius=radius, mode="constant")
        return values

    share = smooth(plane.astype(np.float32))
    return np.asarray(smooth(image) / np.maximum(share, 1e-6)[..., None])


def _bilateral(image: NDArray[np.float32], plane: BoolArray, step_mm: FloatArray) -> NDArray[np.float32]:
    reach = np.ceil(2 * DOMAIN_MM / step_mm).astype(int)
    padded = np.pad(image, ((reach[0], reach[0]), (reach[1], reach[1]), (0, 0)))
    inside = np.pad(plane, ((reach[0], reach[0]), (reach[1], reach[1]))).astype(np.float32)
    total, weights = np.zeros_like(image), np.zeros_like(image)
    size = image.shape
    for i in range(2 * reach[0] + 1):
        for j in range(2 * reach[1] + 1):
            distance = ((i - reach[0]) * step_mm[0]) ** 2 + ((j - reach[1]) * step_mm[1]) ** 2
            other = padded[i : i + size[0], j : j + size[1]]
            weight = np.exp((other - image) ** 2 * np.float32(-0.5 / RANGE_HU**2))
            weight *= inside[i : i + size[0], j : j + size[1], None] * np.float32(math.exp(-0.5 * distance / DOMAIN_MM**2))
            total += weight * other
            weights += weight
    return np.asarray(total / np.maximum(weights, np.float32(1e-6)))
