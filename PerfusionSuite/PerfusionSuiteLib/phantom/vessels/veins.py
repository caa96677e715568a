# SPDX-License-Identifier: Apache-2.0
"""Labeled blood through veins: the outflow of capillaries runs from the terminals to the outlet, streamline by streamline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...core.geometry import BoolArray, FloatArray
from .acceleration import use_compiler
from .deposit import PIECE_MM, Grid, cut
from .transport import SERIES_STEP_S
from .values import T1_BLOOD_S, Forest, Index, levels_of

STREAMLINES = 6
"""Gauss-Legendre nodes in s = 1 - (r/R)^2."""


def venous_label(
    forest: Forest,
    shear: float,
    outflow: NDArray[np.float32],
    row: Index,
    times_s: FloatArray,
    grid: Grid,
    *,
    seen: BoolArray | None = None,
    builder: str = "auto",
) -> FloatArray:
    """Return the label in veins.

    Parameters
    ----------
    forest : Forest
        Veins; roots are outlets.
    shear : float, 1/s
        Wall shear rate.
    outflow : ndarray, shape (n, S)
        Concentration that leaves the capillaries of voxels, every `SERIES_STEP_S`.
    row : ndarray of int, shape (domain voxels,)
        Row of `outflow` of each voxel.
    times_s : ndarray, shape (T,), s
        Since the start of labeling.
    grid : Grid
        Picture voxels.
    seen : ndarray of bool, shape (nodes,), optional
        Count the label of these segments only; it passes through all.
    builder : {"auto", "compiled", "rounds"}
        With numba or numpy; the result is the same.

    Returns
    -------
    ndarray, shape (voxels, T), mm3
        Blood-equivalents.

    Notes
    -----
    Blood enters a terminal with the same concentration over its cross-section. At a junction, at equal s, concentrations
    mix in the ratio of flows; along a segment a streamline is late by its plug delay over 2 s and decays.
    """
    nodes, weights = np.polynomial.legendre.leggauss(STREAMLINES)
    s, share = 0.5 * (nodes + 1.0), 0.5 * weights
    transit = forest.transit(shear)
    source = np.where(forest.terminal >= 0, row[np.maximum(forest.terminal, 0)], -1)
    if use_compiler(builder):
        from .veins_compiled import propagate

        total = np.zeros((grid.size, times_s.size))
        counted = forest.length if seen is None else np.where(seen, forest.length, 0.0)
        propagate(
            backwards(forest), forest.depth, forest.parent, forest.position, counted, forest.flow, transit, source, outflow,
            s, share, times_s, np.array(grid.block, float), np.array(grid.pictures), SERIES_STEP_S, T1_BLOOD_S, PIECE_MM, total,
        )  # fmt: skip
        return total
    return _by_levels(forest, transit, source, outflow, (s, share), times_s, grid, seen)


def backwards(forest: Forest) -> Index:
    """Order nodes so that each subtree is finished before its parent and none is open twice at one depth.

    Parameters
    ----------
    forest : Forest
        Trees.

    Returns
    -------
    ndarray of int, shape (n,)
        Reversed pre-order.
    """
    levels = levels_of(forest.depth)
    size = np.ones(forest.parent.size, np.int64)
    for nodes in reversed(levels[1:]):
        size += np.bincount(forest.parent[nodes], size[nodes], size.size).astype(np.int64)
    place = np.empty(size.size, np.int64)
    place[levels[0]] = np.cumsum(size[levels[0]]) - size[levels[0]]
    for nodes in levels[1:]:
        parent = forest.parent[nodes]
        order = np.argsort(parent, kind="stable")
        nodes, parent = nodes[order], parent[order]
        before = np.cumsum(size[nodes]) - size[nodes]
        first = np.r_[True, parent[1:] != parent[:-1]]
        start = np.maximum.accumulate(np.where(first, before, 0))
        place[nodes] = place[parent] + 1 + before - start
    order = np.empty(size.size, np.int64)
    order[place] = np.arange(size.size)
    return order[::-1].copy()


def _by_levels(
    forest: Forest,
    transit: FloatArray,
    source: Index,
    outflow: NDArray[np.float32],
    streamlines: tuple[FloatArray, FloatArray],
    times_s: FloatArray,
    grid: Grid,
    seen: BoolArray | None,
) -> FloatArray:
    """Propagate all segments of a depth at once; series hold concentration times flow."""
    total = np.zeros((grid.size, times_s.size))
    levels = levels_of(forest.depth)
    pieces = [cut(forest, nodes if seen is None else nodes[seen[nodes]]) for nodes in levels]
    for s, share in zip(*streamlines, strict=True):
        arriving = np.zeros((levels[-1].size, outflow.shape[1]), np.float32)
        for depth in range(len(levels) - 1, 0, -1):
            nodes, part = levels[depth], pieces[depth]
            leaf = source[nodes] >= 0
            arriving[leaf] += outflow[source[nodes[leaf]]] * forest.flow[nodes[leaf], None].astype(np.float32)
            delay = transit / (2.0 * s)
            where = np.searchsorted(nodes, part.segment)
            late = delay[part.segment] * (1.0 - 0.5 * (part.start + part.end))
            held = _late(arriving, where, late, times_s / SERIES_STEP_S)
            held *= (share * transit[part.segment] * (part.end - part.start) * np.exp(-late / T1_BLOOD_S))[:, None]
            total += grid.gather(grid.of_points(part.middle), held)
            moved = _passed_on(arriving, delay[nodes])
            moved *= np.exp(-delay[nodes] / T1_BLOOD_S).astype(np.float32)[:, None]
            above = levels[depth - 1]
            joined = np.searchsorted(above, forest.parent[nodes])
            ones = np.ones(nodes.size, np.float32)
            adder = sparse.csr_matrix((ones, (joined, np.arange(nodes.size))), shape=(above.size, nodes.size))
            arriving = np.asarray(adder @ moved, np.float32)
    return total


def _passed_on(series: NDArray[np.float32], late_s: FloatArray) -> NDArray[np.float32]:
    """Return series at their own samples, each later by its delay: mostly less than one sample, which needs no look-up."""
    steps = late_s / SERIES_STEP_S
    whole = np.minimum(steps.astype(np.int64), series.shape[1])
    upper = (steps - whole).astype(np.float32)[:, None]
    moved = series - upper * series
    moved[:, 1:] += upper * series[:, :-1]
    far = np.flatnonzero(whole)
    if far.size:
        width = series.shape[1]
        padded = np.zeros((far.size, 2 * width), np.float32)
        padded[:, width:] = moved[far]
        start = np.arange(far.size) * 2 * width + width - whole[far]
        moved[far] = padded.ravel()[start[:, None] + np.arange(width)]
    return moved


def _late(series: NDArray[np.float32], row: Index, late_s: FloatArray, steps: FloatArray) -> NDArray[np.float32]:
    """Interpolate rows of series at places (in steps) before each one's delay, 0 before the start."""
    place = (steps[None] - (late_s / SERIES_STEP_S)[:, None]).astype(np.float32)
    clipped = np.clip(place, 0.0, series.shape[1] - 1.001)
    low = clipped.astype(np.int64)
    clipped -= low
    low += (row * series.shape[1])[:, None]
    flat = series.ravel()
    below = flat[low]
    low += 1
    below += clipped * (flat[low] - below)
    below[place <= 0] = 0.0
    return below
