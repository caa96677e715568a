# SPDX-License-Identifier: Apache-2.0
"""Clusters of like curves within one tissue class, by the published k-means with NumPy's legacy random stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray

BASELINE_FRAMES = 5
MIN_CLUSTER = 400
POSITION_WEIGHT = 0.10
MAX_SAMPLES = 80_000
MAX_ITERATIONS = 25

_BLOCK = 65536


@dataclass(frozen=True, slots=True)
class CurveShapes:
    """Three numbers of each voxel's own curve above its baseline, not smoothed.

    Parameters
    ----------
    peak : ndarray, shape (N,)
        Largest excess over the baseline's mean, at least 0.
    ttp_s : ndarray, shape (N,), s
        When it is reached, from the first frame.
    area : ndarray, shape (N,)
        Sum of the excess times the interval.
    """

    peak: FloatArray
    ttp_s: FloatArray
    area: FloatArray


def curve_shapes(curves: NDArray[np.float32], dt_s: float) -> CurveShapes:
    """Measure peak, time to peak and area of every curve.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        One curve per voxel.
    dt_s : float, s
        Interval between frames.

    Returns
    -------
    CurveShapes
        Of the excess over the mean of the first five frames, negative parts set to 0.
    """
    count = curves.shape[0]
    peak, ttp, area = np.zeros(count), np.zeros(count), np.zeros(count)
    for start in range(0, count, _BLOCK):  # float64 for all voxels at once would double the memory of the scan
        part = slice(start, start + _BLOCK)
        excess = curves[part].astype(np.float64)
        excess -= excess[:, :BASELINE_FRAMES].mean(axis=1, keepdims=True)
        np.maximum(excess, 0.0, out=excess)
        peak[part], area[part] = excess.max(axis=1), excess.sum(axis=1) * dt_s
        ttp[part] = excess.argmax(axis=1) * dt_s
    return CurveShapes(peak, ttp, area)


def class_clusters(
    shapes: CurveShapes, positions: NDArray[np.integer], members: NDArray[np.intp], *, clusters: int, seed: int, tissue: int
) -> NDArray[np.int32]:
    """Split the voxels of one tissue class.

    Parameters
    ----------
    shapes : CurveShapes
        Of all voxels.
    positions : ndarray of int, shape (N, 3)
        Voxel indices of all voxels.
    members : ndarray of int, shape (M,)
        Which of them belong to the class.
    clusters : int
        Wanted number of clusters.
    seed : int
        Of the random numbers.
    tissue : int
        Number of the class, 1 gray and 2 white matter; it is added to the seed.

    Returns
    -------
    ndarray of int32, shape (M,)
        Cluster of each member, 0 to k' - 1; all 0 in a class of fewer than 800 voxels.
    """
    if members.size < 2 * MIN_CLUSTER or clusters < 2:
        return np.zeros(members.size, np.int32)
    features = features_of(shapes, positions, members)
    sample = features
    if members.size > MAX_SAMPLES:
        # The legacy stream, since results compare line by line only with the published one.
        drawn = np.random.RandomState(seed + tissue + 7).choice(members.size, MAX_SAMPLES, replace=False)
        sample = features[drawn]
    centers = k_means(sample, clusters, seed + tissue + 11)
    return merge_small(nearest_center(features, centers), centers)


def features_of(shapes: CurveShapes, positions: NDArray[np.integer], members: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the six features of a class: peak, time to peak, area and weak position, robustly scaled.

    Parameters
    ----------
    shapes : CurveShapes
        Of all voxels.
    positions : ndarray of int, shape (N, 3)
        Voxel indices; the spacing is ignored as published.
    members : ndarray of int, shape (M,)
        Voxels of the class.

    Returns
    -------
    ndarray of float32, shape (M, 6)
        Each minus its median over 1.4826 times its median absolute deviation; position times 0.10.
    """
    place = positions[members].astype(np.float64)
    place /= np.maximum(place.max(axis=0), 1.0)
    features = np.column_stack([shapes.peak[members], shapes.ttp_s[members], shapes.area[members], place])
    features[~np.isfinite(features)] = 0.0
    features -= np.median(features, axis=0)
    features /= np.maximum(1.4826 * np.median(np.abs(features), axis=0), 1e-12)
    features[:, 3:] *= POSITION_WEIGHT
    return features.astype(np.float32)


def k_means(sample: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.float32]:
    """Find cluster centers by Lloyd's iterations from random samples.

    Parameters
    ----------
    sample : ndarray of float32, shape (M, D)
        Features.
    clusters : int
        How many centers, at most M.
    seed : int
        Of the legacy Mersenne-Twister generator.

    Returns
    -------
    ndarray of float32, shape (clusters, D)
        Centers; iterations stop when no voxel changes its cluster, or after 25.
    """
    random = np.random.RandomState(seed)
    centers = sample[random.choice(sample.shape[0], clusters, replace=False)].copy()
    before: NDArray[np.int32] | None = None
    for _ in range(MAX_ITERATIONS):
        labels = nearest_center(sample, centers)
        if before is not None and np.array_equal(labels, before):
            break
        before = labels
        for cluster in range(clusters):
            own = labels == cluster
            centers[cluster] = sample[own].mean(axis=0) if own.any() else sample[random.randint(sample.shape[0])]
    return centers


def nearest_center(features: NDArray[np.float32], centers: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the index of the nearest center of each row, the lowest one on ties.

    Parameters
    ----------
    features : ndarray of float32, shape (M, D)
        Rows.
    centers : ndarray of float32, shape (K, D)
        Centers.

    Returns
    -------
    ndarray of int32, shape (M,)
        Index of the center.
    """
    best = np.zeros(features.shape[0], np.int32)
    least = np.full(features.shape[0], np.inf, np.float32)
    for index, center in enumerate(centers):
        distance = np.square(features - center).sum(axis=1)
        closer = distance < least
        best[closer], least[closer] = index, distance[closer]
    return best


def merge_small(labels: NDArray[np.int32], centers: NDArray[np.float32]) -> NDArray[np.int32]:
    """Join clusters of fewer than 400 voxels to the large one with the nearest center.

    Parameters
    ----------
    labels : ndarray of int32, shape (M,)
        Cluster of each voxel.
    centers : ndarray of float32, shape (K, D)
        Centers.

    Returns
    -------
    ndarray of int32, shape (M,)
        Renumbered from 0 in ascending order of the old numbers; all 0 when no cluster is large.
    """
    sizes = np.bincount(labels, minlength=len(centers))
    large = np.flatnonzero(sizes >= MIN_CLUSTER)
    if not large.size:
        return np.zeros_like(labels)
    target = np.arange(len(centers))
    for cluster in np.flatnonzero((sizes > 0) & (sizes < MIN_CLUSTER)):
        target[cluster] = large[np.square(centers[large] - centers[cluster]).sum(axis=1).argmin()]
    joined = target[labels]
    numbers: NDArray[np.int32] = np.searchsorted(np.unique(joined), joined).astype(np.int32)
    return numbers
