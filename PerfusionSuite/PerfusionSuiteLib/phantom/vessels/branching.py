# SPDX-License-Identifier: Apache-2.0
"""The cheapest branching point between a vessel's two ends and a new terminal: a weighted Fermat point, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import FloatArray

_ITERATIONS, _CLOSE_MM, _NEWTON_STEPS = 40, 1e-4, 6
_STEP_SHARES = (1.0, 0.5, 0.2, 0.05)


def branching_points(corners: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Find the points whose weighted distances to three corners sum to the least.

    Parameters
    ----------
    corners : ndarray, shape (n, 3, 3), mm
        Three corners (second axis) of each problem.
    weights : ndarray, shape (n, 3)
        Weight of each corner.

    Returns
    -------
    ndarray, shape (n, 3), mm
        The points.
    ndarray, shape (n,)
        Weighted sums of distances.

    Notes
    -----
    A corner is the answer when the other two weighted unit vectors sum to no more than its weight;
    otherwise Weiszfeld's iteration from the weighted centroid comes near, and Newton's method arrives.

    References
    ----------
    Kamiya and Togawa, Bull Math Biophys 34:431, 1972 (branching points of vessels).
    """
    point = (corners * weights[..., None]).sum(axis=1) / weights.sum(axis=1)[:, None]
    at_corner, corner = _best_corners(corners, weights)
    open_ = np.flatnonzero(~at_corner)
    for _ in range(_ITERATIONS):
        if open_.size == 0:
            break
        distance = np.linalg.norm(corners[open_] - point[open_, None], axis=-1)
        pull = weights[open_] / (distance + 1e-12)
        moved = (pull[..., None] * corners[open_]).sum(axis=1) / pull.sum(axis=1)[:, None]
        step = np.abs(moved - point[open_]).sum(axis=1)
        point[open_] = moved
        open_ = open_[step >= _CLOSE_MM]
    inside = np.flatnonzero(~at_corner)
    for _ in range(_NEWTON_STEPS):
        point[inside] = _newton_step(corners[inside], weights[inside], point[inside])
    point[at_corner] = corners[at_corner, corner[at_corner]]
    return point, _cost(corners, weights, point)


def _cost(corners: FloatArray, weights: FloatArray, point: FloatArray) -> FloatArray:
    return np.asarray((weights * np.linalg.norm(corners - point[:, None], axis=-1)).sum(axis=1))


def _newton_step(corners: FloatArray, weights: FloatArray, point: FloatArray) -> FloatArray:
    """Return points after the best part of a step of Newton's method: Weiszfeld's steps are short in flat valleys."""
    off = point[:, None] - corners
    distance = np.linalg.norm(off, axis=-1, keepdims=True) + 1e-12
    unit = off / distance
    slope = (weights[..., None] * unit).sum(axis=1)
    bend = weights[..., None, None] / distance[..., None] * (np.eye(3) - unit[..., :, None] * unit[..., None, :])
    step = np.linalg.solve(bend.sum(axis=1) + 1e-9 * np.eye(3), slope[..., None])[..., 0]
    best, least = point, _cost(corners, weights, point)
    for share in _STEP_SHARES:
        moved = point - share * step
        cost = _cost(corners, weights, moved)
        better = cost < least
        best, least = np.where(better[:, None], moved, best), np.where(better, cost, least)
    return np.asarray(best)


def _best_corners(corners: FloatArray, weights: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return whether a corner is the answer, and which."""
    edge = corners[:, None] - corners[:, :, None]
    length = np.linalg.norm(edge, axis=-1, keepdims=True)
    unit = np.divide(edge, length, out=np.zeros_like(edge), where=length > 1e-12)
    pull = np.linalg.norm((unit * weights[:, None, :, None]).sum(axis=2), axis=-1)
    best = pull <= weights
    return best.any(axis=1), best.argmax(axis=1)
