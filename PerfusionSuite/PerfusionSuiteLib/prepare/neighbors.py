# SPDX-License-Identifier: Apache-2.0
"""Averages over neighboring voxels: of alike curves, as one sparse matrix per strip of a slice, and by a Gaussian in plane."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, no_progress

WeightOf = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes squared distances between features and returns weights."""

SMALLEST_WEIGHT = 0.004

STRIP_ROWS = 32
"""Rows of a slice that are worked on at once: their weights take tens of MB, those of a slice hundreds."""


def window(radius_mm: float, spacing_mm: FloatArray, *, max_radius: int = 6, min_radius: int = 2) -> list[tuple[int, int, int]]:
    """List the in-plane offsets of a round neighborhood, its center excluded.

    Parameters
    ----------
    radius_mm : float, mm
        Radius of the neighborhood.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.
    max_radius, min_radius : int
        Limits of the radius in steps. On a fine grid only every n-th voxel is visited: neighbors closer than the resolution of
        the image carry the same noise and add work, not information.

    Returns
    -------
    list of tuple of int
        Offsets (di, dj, dk).
    """
    size = float(np.sqrt(spacing_mm[0] * spacing_mm[1]))
    step = max(1, round(radius_mm / size / max_radius))
    reach = max(min_radius, min(max_radius, round(radius_mm / size / step)))
    span = range(-reach, reach + 1)
    return [(i * step, j * step, 0) for i in span for j in span if 0 < i * i + j * j <= reach * reach + 1e-6]


def distance_mm(offset: tuple[int, int, int], spacing_mm: FloatArray) -> float:
    """Return the length of an offset.

    Parameters
    ----------
    offset : tuple of int
        Steps along i, j and k.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    float, mm
        Euclidean length.
    """
    return float(np.linalg.norm(np.asarray(offset) * np.asarray(spacing_mm)))


def threads() -> int:
    """Return how many slices are worked on at once.

    Returns
    -------
    int
        ``OMP_NUM_THREADS`` when it is set, else the number of processors, at most 8.
    """
    value = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(8, int(value) if value.isdigit() else (os.cpu_count() or 1)))


def smooth_curves(
    data: NDArray[np.float32],
    mask: BoolArray,
    sigma: tuple[float, float],
    *,
    truncate: float = 4.0,
    progress: ProgressCallback = no_progress,
) -> NDArray[np.float32]:
    """Smooth with a Gaussian in plane, normalised within the mask.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        Curves in their places.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part; all others neither give nor receive.
    sigma : tuple of float, voxels
        Standard deviations along the first two axes.
    truncate : float
        Standard deviations at which the Gaussian ends.
    progress : callable
        Called after each slice.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Smoothed curves of the voxels in the mask, in its order.
    """
    result = np.empty((int(mask.sum()), data.shape[3]), np.float32)
    start = np.concatenate([[0], np.cumsum(mask.sum(axis=(0, 1)))])
    order = np.argsort(np.nonzero(mask)[2], kind="stable")  # voxels in the order of the mask, sorted by slice

    def one_slice(k: int) -> None:
        inside = mask[:, :, k]
        weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, mode="constant", truncate=truncate)
        curves = np.where(inside[..., None], data[:, :, k], 0.0).astype(np.float32)
        for axis in (0, 1):
            curves = ndimage.gaussian_filter1d(curves, sigma[axis], axis=axis, mode="constant", truncate=truncate)
        result[order[start[k] : start[k + 1]]] = curves[inside] / weight[inside][:, None]

    slices = [int(k) for k in np.flatnonzero(mask.any(axis=(0, 1)))]
    with ThreadPoolExecutor(threads()) as pool:
        for done, _ in enumerate(pool.map(one_slice, slices)):
            progress((done + 1) / len(slices), "Noise reduction")
    return result


def weighted_average(
    curves: NDArray[np.float32],
    features: NDArray[np.float32],
    mask: BoolArray,
    offsets: list[tuple[tuple[int, int, int], float]],
    weight_of: WeightOf,
    progress: ProgressCallback,
) -> NDArray[np.float32]:
    """Replace each curve by a mean over its neighbors, weighted by place and likeness.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves of the voxels in the mask, in its order.
    features : ndarray, shape (N, R)
        What likeness is judged by.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part; all others neither give nor receive.
    offsets : list of (offset, float)
        Neighbors and their weight by distance; the voxel itself has weight 1.
    weight_of : callable
        From the squared feature distance to the weight by likeness.
    progress : callable
        Called after each strip.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Averaged curves.
    """
    index = np.full(mask.shape, -1, np.int32)
    index[mask] = np.arange(curves.shape[0], dtype=np.int32)
    reach = np.abs(np.array([offset for offset, _ in offsets])).max(axis=0)
    padded = np.pad(index, [(int(r), int(r)) for r in reach], constant_values=-1)
    result = np.empty_like(curves)

    def one_strip(k: int, start: int) -> None:
        rows = index[start : start + STRIP_ROWS, :, k]
        inside = rows >= 0
        own = rows[inside]
        here = padded[start : start + rows.shape[0] + 2 * int(reach[0]), :, k : k + 2 * int(reach[2]) + 1]
        result[own] = _weights(own, inside, here, reach, features, offsets, weight_of, curves.shape[0]) @ curves

    used = np.asarray(mask.any(axis=1))
    starts = range(0, mask.shape[0], STRIP_ROWS)
    strips = [(int(k), n) for k in np.flatnonzero(used.any(axis=0)) for n in starts if used[n : n + STRIP_ROWS, k].any()]
    with ThreadPoolExecutor(threads()) as pool:
        for done, _ in enumerate(pool.map(lambda strip: one_strip(*strip), strips)):
            progress((done + 1) / len(strips), "Noise reduction")
    return result


def _weights(
    own: NDArray[np.int32],
    inside: BoolArray,
    padded: NDArray[np.int32],
    reach: NDArray[np.int64],
    features: NDArray[np.float32],
    offsets: list[tuple[tuple[int, int, int], float]],
    weight_of: WeightOf,
    total: int,
) -> sparse.csr_matrix:
    """Row-normalised weights (voxels of the strip) x (all voxels); `padded` is the index around the strip."""
    count = own.size
    columns = np.empty((count, len(offsets) + 1), np.int32)
    weights = np.zeros((count, len(offsets) + 1), np.float32)
    columns[:, 0], weights[:, 0] = own, 1.0
    mine = features[own]
    for n, ((di, dj, dk), nearness) in enumerate(offsets, start=1):
        i, j = int(reach[0]) + di, int(reach[1]) + dj
        other = padded[i : i + inside.shape[0], j : j + inside.shape[1], int(reach[2]) + dk][inside]
        columns[:, n] = other
        difference = features[np.maximum(other, 0)]
        difference -= mine
        weight = weight_of(np.einsum("nr,nr->n", difference, difference)) * np.float32(nearness)
        weight[other < 0] = 0.0
        weights[:, n] = weight
    kept = weights > SMALLEST_WEIGHT
    weights[~kept] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    pointer = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    return sparse.csr_matrix((weights[kept], columns[kept], pointer), shape=(count, total))
