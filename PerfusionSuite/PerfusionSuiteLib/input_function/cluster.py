# SPDX-License-Identifier: Apache-2.0
"""Arterial voxels by k-means on curve shapes (Mouridsen et al., Magn. Reson. Med. 55:524, 2006)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from .arterial import Choice
from .features import trapezoid_weights
from .pool import Pool

AREA_SHARE = 0.10
IRREGULAR_SHARE = 0.25
CLUSTERS = 5
ROUNDS = 2
MAX_ITERATIONS = 100


def search(pool: Pool, allowed: BoolArray, mask_voxels: int) -> Choice | None:
    """Return the cluster with the earliest first moment.

    Parameters
    ----------
    pool : Pool
        Candidates; at least the tenth of the mask with the largest enhancement.
    allowed : ndarray of bool, shape (n,)
        Which of them may be used.
    mask_voxels : int
        Size of the mask, of which a tenth is kept.

    Returns
    -------
    Choice or None
        None when fewer than ten candidates are left.
    """
    members = np.flatnonzero(allowed & (pool.features.area > 0))
    keep = min(members.size, max(int(AREA_SHARE * mask_voxels), 2 * CLUSTERS))
    members = members[np.argsort(-pool.features.area[members], kind="stable")[:keep]]
    irregular = pool.features.irregularity[members]
    members = np.sort(members[np.argsort(irregular, kind="stable")[: int(np.ceil((1 - IRREGULAR_SHARE) * members.size))]])
    if members.size < 2 * CLUSTERS:
        return None
    weights = trapezoid_weights(pool.times_s)
    for _ in range(ROUNDS):
        if members.size < 2 * CLUSTERS:
            break
        shapes = pool.curves[members].astype(np.float64)
        shapes /= (shapes @ weights)[:, None]
        moment = shapes @ (weights * pool.times_s)
        labels, centers = _kmeans(shapes, moment)
        used = np.unique(labels)
        first = used[int(np.argmin(centers[used] @ (weights * pool.times_s)))]
        members = members[labels == first]
    spread = pool.features.first_moment_s
    score = float((spread.mean() - spread[members].mean()) / max(float(spread.std()), 1e-9))
    return Choice(pool.index[members], score)


def _kmeans(shapes: FloatArray, moment: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Cluster from a deterministic start: means of the five groups by first moment."""
    groups = np.array_split(np.argsort(moment, kind="stable"), CLUSTERS)
    centers = np.stack([shapes[g].mean(0) for g in groups])
    labels = np.full(shapes.shape[0], -1, np.int64)
    for _ in range(MAX_ITERATIONS):
        distance = (centers**2).sum(1) - 2.0 * shapes @ centers.T
        new = distance.argmin(1)
        if np.array_equal(new, labels):
            break
        labels = new
        for k in np.unique(labels):
            centers[k] = shapes[labels == k].mean(0)
    return labels, centers
