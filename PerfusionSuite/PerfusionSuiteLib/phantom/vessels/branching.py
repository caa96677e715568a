# SPDX-License-Identifier: Apache-2.0
"""The cheapest branching point between a vessel's two ends and a new terminal: a weighted Fermat point, many at once."""

from __future__ import annotations

import numpy as np

from ...core.geometry import BoolArray, FloatArray

_TINY = 1e-300


def branching_points(corners: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Find the points whose weighted distances to three corners sum to the least.

    Parameters
    ----------
    corners : ndarray, shape (n, 3, 3), mm
        Three corners (second axis) of each problem.
    weights : ndarray, shape (n, 3)
        Weight of each corner, positive.

    Returns
    -------
    ndarray, shape (n, 3), mm
        The points.
    ndarray, shape (n,)
        Weighted sums of distances.

    Notes
    -----
    A corner is the answer when the other two weighted unit vectors sum to no more than its weight. Otherwise the three
    weighted unit vectors close a triangle, whose sides are the weights: its angles tell at which angles the corners are
    seen from the point, and a point that sees the sides of a triangle (angles A, B, C) at angles A', B', C' has the
    barycentric coordinates 1 / (cot A - cot A') and so on. No iteration is needed.

    References
    ----------
    Kamiya and Togawa, Bull Math Biophys 34:431, 1972 (branching points of vessels).
    """
    points = np.ascontiguousarray(corners.transpose(1, 2, 0))  # corner, axis, problem: sums over axes run along memory
    weight = np.ascontiguousarray(weights.T)
    edge = points[[2, 0, 1]] - points[[1, 2, 0]]  # opposite each corner
    side = np.sqrt(_dot(edge, edge))
    inner = -_dot(edge[[1, 2, 0]], edge[[2, 0, 1]])  # of the two edges that leave a corner
    taken = _best_corners(weight, side, inner)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 / np.maximum(_openings(weight, edge, inner), 0.0)  # infinite by rounding: hardly off that corner
    sure = taken.any(axis=0)
    best = np.where(sure, taken.argmax(axis=0), share.argmax(axis=0))
    share = np.where(sure | ~np.isfinite(share).all(axis=0), np.arange(3)[:, None] == best, share)
    share /= share.sum(axis=0)
    found = share[0] * points[0] + share[1] * points[1] + share[2] * points[2]
    off = points - found
    return np.ascontiguousarray(found.T), np.asarray((weight * np.sqrt(_dot(off, off))).sum(axis=0))


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Inner products over the second axis of three."""
    return np.asarray(one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1] + one[:, 2] * other[:, 2])


def _best_corners(weight: FloatArray, side: FloatArray, inner: FloatArray) -> BoolArray:
    """Return which corners are the answer, shape (3, n); two at one place pull each other with any force that is needed."""
    before, after = weight[[1, 2, 0]], weight[[2, 0, 1]]
    reach = side[[1, 2, 0]] * side[[2, 0, 1]]
    cosine = np.divide(inner, reach, out=np.zeros_like(inner), where=reach > _TINY)
    best = before**2 + after**2 + 2.0 * before * after * cosine <= weight**2
    best |= (side[[2, 0, 1]] <= 1e-12) & (after <= weight + before)
    best |= (side[[1, 2, 0]] <= 1e-12) & (before <= weight + after)
    return np.asarray(best)


def _openings(weight: FloatArray, edge: FloatArray, inner: FloatArray) -> FloatArray:
    """Return by how much a triangle's cotangents exceed those of the angles at which its sides are seen, times twice its area."""
    a, b = edge[0], edge[1]
    twice = np.sqrt((a[1] * b[2] - a[2] * b[1]) ** 2 + (a[2] * b[0] - a[0] * b[2]) ** 2 + (a[0] * b[1] - a[1] * b[0]) ** 2)
    squares = weight**2
    total = weight.sum(axis=0)
    heron = total * (total - 2.0 * weight[0]) * (total - 2.0 * weight[1]) * (total - 2.0 * weight[2])
    return np.asarray(inner + twice * (squares.sum(axis=0) - 2.0 * squares) / np.sqrt(heron))
