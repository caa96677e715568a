# SPDX-License-Identifier: Apache-2.0
"""Images between a scan's own grid and the voxels that QTMnet knows, without the outside of the mask leaking in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray

NEAR = 0.01
"""Voxel sizes that differ by less are left as they are."""

_LEAST_SHARE = 0.5
"""Of a voxel of the network that must lie in the mask."""


def axis_weights(count: int, size_mm: float, target_mm: float) -> FloatArray:
    """Return the matrix that resamples one axis about its middle.

    Parameters
    ----------
    count : int
        Voxels of the scan.
    size_mm, target_mm : float, mm
        Their size, and that of the new ones.

    Returns
    -------
    ndarray, shape (M, count)
        Rows sum to 1. Smaller voxels are averaged over the new ones, larger ones interpolated linearly.
    """
    if abs(size_mm / target_mm - 1.0) < NEAR:
        return np.eye(count)
    length = max(1, int(np.ceil(count * size_mm / target_mm - 1e-6)))
    places = (np.arange(length) - (length - 1) / 2.0) * target_mm / size_mm + (count - 1) / 2.0  # in voxels of the scan
    if size_mm < target_mm:
        half = 0.5 * target_mm / size_mm
        edges = np.arange(count + 1) - 0.5
        low, high = places[:, None] - half, places[:, None] + half
        weights = np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0.0, None)
    else:
        weights = np.clip(1.0 - np.abs(np.clip(places, 0, count - 1)[:, None] - np.arange(count)), 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Resampling:
    """The way from a scan to the network's voxels, and back.

    Parameters
    ----------
    there, back : tuple of ndarray
        Matrices of the three axes.
    """

    there: tuple[FloatArray, FloatArray, FloatArray]
    back: tuple[FloatArray, FloatArray, FloatArray]

    @classmethod
    def between(cls, shape: tuple[int, ...], sizes_mm: tuple[float, ...], target_mm: tuple[float, ...]) -> Resampling:
        """Make it for a grid.

        Parameters
        ----------
        shape : tuple of int
            Of the scan.
        sizes_mm, target_mm : tuple of float, mm
            Its voxels, and those of the network.

        Returns
        -------
        Resampling
            Middle on middle.
        """
        there = [axis_weights(n, size, target) for n, size, target in zip(shape, sizes_mm, target_mm, strict=True)]
        back = [
            _linear_back(matrix.shape[0], n, size, t)
            for matrix, n, size, t in zip(there, shape, sizes_mm, target_mm, strict=True)
        ]
        return cls((there[0], there[1], there[2]), (back[0], back[1], back[2]))

    @property
    def noise_factor(self) -> float:
        """What averaging leaves of independent noise."""
        return float(np.prod([np.sqrt(np.square(matrix).sum(axis=1).mean()) for matrix in self.there]))

    def forth(self, images: NDArray[np.float32], mask: BoolArray) -> tuple[NDArray[np.float32], BoolArray]:
        """Bring images to the network's voxels; only what lies in the mask counts.

        Parameters
        ----------
        images : ndarray, shape (I, J, K, D)
            Images.
        mask : ndarray of bool, shape (I, J, K)
            Brain.

        Returns
        -------
        images : ndarray, shape (L, M, N, D)
            Zero outside the new mask.
        mask : ndarray of bool, shape (L, M, N)
            Voxels that lie in the mask by half or more.
        """
        share = _apply(self.there, mask.astype(np.float32)[..., None])
        sums = _apply(self.there, np.where(mask[..., None], images, np.float32(0.0)))
        inside = share[..., 0] >= _LEAST_SHARE - 1e-6
        return np.where(inside[..., None], sums / np.maximum(share, 1e-6), np.float32(0.0)), inside

    def home(self, values: NDArray[np.float32], inside: BoolArray, mask: BoolArray) -> NDArray[np.float32]:
        """Bring a map back to the scan's grid by linear interpolation of what is known.

        Parameters
        ----------
        values : ndarray, shape (L, M, N)
            A map.
        inside : ndarray of bool, shape (L, M, N)
            Where it is known.
        mask : ndarray of bool, shape (I, J, K)
            Where it is wanted.

        Returns
        -------
        ndarray, shape (I, J, K)
            NaN outside the mask, and where nothing near is known.
        """
        share = _apply(self.back, inside.astype(np.float32)[..., None])[..., 0]
        sums = _apply(self.back, np.where(inside, values, np.float32(0.0))[..., None])[..., 0]
        found = np.where(share > 1e-3, sums / np.maximum(share, 1e-3), np.float32(np.nan))
        lost = mask & ~np.isfinite(found)
        if lost.any() and np.isfinite(found).any():
            from scipy.ndimage import distance_transform_edt

            nearest = distance_transform_edt(~np.isfinite(found), return_distances=False, return_indices=True)
            found = found[tuple(nearest)]
        return np.where(mask, found, np.float32(np.nan)).astype(np.float32)


def _linear_back(count: int, wanted: int, size_mm: float, target_mm: float) -> FloatArray:
    """Return the matrix that interpolates `count` new voxels at the places of the scan's `wanted` ones."""
    if abs(size_mm / target_mm - 1.0) < NEAR:
        return np.eye(count)
    places = (np.arange(wanted) - (wanted - 1) / 2.0) * size_mm / target_mm + (count - 1) / 2.0
    return np.asarray(np.clip(1.0 - np.abs(np.clip(places, 0, count - 1)[:, None] - np.arange(count)), 0.0, None))


def _apply(matrices: tuple[FloatArray, FloatArray, FloatArray], images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply one matrix to each of the first three axes."""
    result = images
    for axis, matrix in enumerate(matrices):
        if matrix.shape[0] != matrix.shape[1] or not np.array_equal(matrix, np.eye(matrix.shape[0])):
            result = np.moveaxis(np.tensordot(matrix.astype(np.float32), result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result, np.float32)
