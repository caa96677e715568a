# SPDX-License-Identifier: Apache-2.0
"""The 2 mm grid of the atlas's right half, and cheapest paths on it."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

ORIGIN = np.array([-98.0, -134.0, -72.0])
STEP = 2.0
"""Corner of the whole template in RAS, and edge of a voxel, mm."""


def coordinates(shape: tuple[int, ...], step: float) -> tuple[np.ndarray, ...]:
    """Return atlas mm of the voxels of a right-half grid."""
    i, j, k = np.meshgrid(*[np.arange(n) * step for n in shape], indexing="ij", sparse=True)
    return i, j + ORIGIN[1], k + ORIGIN[2]


def infratentorial(shape: tuple[int, ...], step: float) -> np.ndarray:
    """Return what lies below the tentorium, drawn as a smooth surface."""
    x, y, z = coordinates(shape, step)
    roof = -22 + 24 * np.exp(-((x / 20) ** 2) - ((y + 54) / 17) ** 2)
    stem = (x < 19 - 0.25 * np.clip(z + 14, -30, 0)) & (y < -10) & (z < -14)
    return ((y < -36 - 0.12 * x) & (z < roof)) | (stem & (y > -40))


def index_of(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return flat 2 mm grid indices of atlas points on the right."""
    ijk = np.round((points - [0.0, ORIGIN[1], ORIGIN[2]]) / STEP).astype(int)
    return np.ravel_multi_index(tuple(np.clip(ijk, 0, np.array(shape) - 1).T), shape)


def graph(cost: np.ndarray) -> sparse.csr_matrix:
    """Return the 26-neighbour graph of finite-cost voxels, weights in mm times mean cost."""
    number = np.arange(cost.size).reshape(cost.shape)
    rows, columns, weights = [], [], []
    for di, dj, dk in np.ndindex(3, 3, 3):
        shift = np.array([di - 1, dj - 1, dk - 1])
        if tuple(shift) <= (0, 0, 0):
            continue
        a = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, cost.shape, strict=True))
        b = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, cost.shape, strict=True))
        ok = np.isfinite(cost[a]) & np.isfinite(cost[b])
        rows.append(number[a][ok])
        columns.append(number[b][ok])
        weights.append((0.5 * (cost[a] + cost[b]) * STEP * np.linalg.norm(shift))[ok])
    r, c, w = map(np.concatenate, (rows, columns, weights))
    return sparse.coo_matrix((np.r_[w, w], (np.r_[r, c], np.r_[c, r])), (cost.size, cost.size)).tocsr()


def from_sources(g: sparse.csr_matrix, sources: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and predecessors from many sources with different head starts."""
    n = g.shape[0]
    extra = sparse.coo_matrix((start + 1e-3, (np.full(sources.size, n), sources)), (n + 1, n + 1))
    wide = sparse.block_diag([g, sparse.csr_matrix((1, 1))]).tocsr() + extra.tocsr()
    distance, predecessor = dijkstra(wide, indices=n, return_predecessors=True)
    return distance[:n], predecessor[:n]
