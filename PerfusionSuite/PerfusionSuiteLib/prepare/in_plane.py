# SPDX-License-Identifier: Apache-2.0
"""Masks and images slice by slice, in mm: thick slices must not be grown, shrunk or smoothed into each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray


def disk(radius_mm: float, spacing_mm: FloatArray) -> BoolArray:
    """Return a flat in-plane structuring element.

    Parameters
    ----------
    radius_mm : float, mm
        Its radius.
    spacing_mm : ndarray, shape (2 or 3,), mm
        Voxel spacing in plane.

    Returns
    -------
    ndarray of bool, shape (n, m)
        At least a cross of one voxel.
    """
    reach = [max(1, int(np.floor(radius_mm / spacing_mm[axis] + 1e-6))) for axis in (0, 1)]
    i, j = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    limit = max(radius_mm, float(spacing_mm[0]), float(spacing_mm[1])) + 1e-6
    element: BoolArray = (i * spacing_mm[0]) ** 2 + (j * spacing_mm[1]) ** 2 <= limit**2
    return element


def smooth_in_plane(image: NDArray[np.float32], sigma_mm: float, spacing_mm: FloatArray) -> NDArray[np.float32]:
    """Filter each slice with a Gaussian.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Image.
    sigma_mm : float, mm
        Standard deviation of the kernel.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Filtered copy.
    """
    sigma = (sigma_mm / spacing_mm[0], sigma_mm / spacing_mm[1], 0.0)
    result: NDArray[np.float32] = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
    return result


def grow(mask: BoolArray, radius_mm: float, spacing_mm: FloatArray) -> BoolArray:
    """Dilate a mask in plane, by Euclidean distance.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Mask.
    radius_mm : float, mm
        How far it grows.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Grown copy.
    """
    if radius_mm <= 0:
        return mask.copy()
    return _distances(~mask, spacing_mm) <= radius_mm + 1e-6


def shrink(mask: BoolArray, radius_mm: float, spacing_mm: FloatArray) -> BoolArray:
    """Erode a mask in plane, by Euclidean distance; the image border does not erode.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Mask.
    radius_mm : float, mm
        How far it shrinks.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Shrunken copy.
    """
    if radius_mm <= 0:
        return mask.copy()
    return _distances(mask, spacing_mm) > radius_mm + 1e-6


def _distances(mask: BoolArray, spacing_mm: FloatArray) -> NDArray[np.float32]:
    """In-plane distance to the outside of a mask; infinite where a slice has no outside."""
    result = np.full(mask.shape, np.inf, np.float32)
    for k in range(mask.shape[2]):
        if not mask[:, :, k].all():
            result[:, :, k] = ndimage.distance_transform_edt(mask[:, :, k], sampling=spacing_mm[:2])
    return result


def holes_filled(mask: BoolArray) -> BoolArray:
    """Fill holes of each slice.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Mask.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Filled copy.
    """
    return np.stack([ndimage.binary_fill_holes(mask[:, :, k]) for k in range(mask.shape[2])], axis=2)


def largest_component(mask: BoolArray) -> BoolArray:
    """Keep the largest 6-connected part of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Mask; an empty one stays empty.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Its largest part.
    """
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    part: BoolArray = labels == int(sizes.argmax())
    return part
