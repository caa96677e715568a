# SPDX-License-Identifier: Apache-2.0
"""Labeled blood through arteries, capillaries and tissue: how much each picture voxel holds of a never-ending bolus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import BoolArray, FloatArray
from .capillary_table import (
    STEP_S,
    TISSUE_T1_S,
    TRANSITS_S,
    CapillaryTable,
    capillary_table,
    relaxation_weights,
    transit_weights,
)
from .deposit import Grid, cut
from .laminar import amount_integral
from .values import T1_BLOOD_S, Exchange, Forest, Index

SERIES_STEP_S = 0.05
PERMEABILITY = 138.0
"""Permeability-surface product of water, mL/100 g/min."""

_CAPILLARIES = (50, 150)
_BLOOD_SHARE, _BLOOD_POWER, _BLOOD_FLOW = 0.02, 0.38, 50.0
_CHUNK = 400_000


def arterial_label(
    forest: Forest, shear: float, entry_s: FloatArray, times_s: FloatArray, grid: Grid, *, seen: BoolArray | None = None
) -> FloatArray:
    """Return the label in arteries.

    Parameters
    ----------
    forest : Forest
        Arteries.
    shear : float, 1/s
        Wall shear rate.
    entry_s : ndarray, shape (nodes,), s
        When labeled blood enters at each node's root.
    times_s : ndarray, shape (T,), s
        Since the start of labeling.
    grid : Grid
        Picture voxels.
    seen : ndarray of bool, shape (nodes,), optional
        Count the label of these segments only.

    Returns
    -------
    ndarray, shape (voxels, T), mm3
        Blood-equivalents.

    Notes
    -----
    The amount in a piece from plug delay a to b is ``q`` times the integral of the mean concentration from a to b,
    since area times length is flow times delay: no quadrature in space is needed.
    """
    transit, arrival = forest.transit(shear), forest.arrival(shear)
    total = np.zeros((grid.size, times_s.size))
    order = np.argsort(forest.root, kind="stable")
    limits = np.flatnonzero(np.diff(forest.root[order])) + 1
    where, held = [], []
    for nodes in np.split(order, limits):
        for part in np.array_split(nodes, 1 + nodes.size // _CHUNK):
            pieces = cut(forest, part if seen is None else part[seen[part]])
            if pieces.segment.size == 0:
                continue
            before = arrival[pieces.segment] - transit[pieces.segment]
            ends = before[None] + np.stack([pieces.start, pieces.end]) * transit[pieces.segment]
            entry = float(entry_s[nodes[0]])
            low, high = amount_integral(ends, times_s - entry)
            where.append(grid.of_points(pieces.middle))
            held.append((high - low) * (forest.flow[pieces.segment] * np.exp(-entry / T1_BLOOD_S)).astype(np.float32)[:, None])
        if sum(map(len, where)) > _CHUNK:
            total += grid.gather(np.concatenate(where), np.concatenate(held))
            where, held = [], []
    return total + grid.gather(np.concatenate(where), np.concatenate(held)) if where else total


def capillary_volume(flow: FloatArray) -> FloatArray:
    """Return the capillary blood of 1 mm3 of tissue: 2 % at 50 mL/100 g/min, more where flow is higher.

    Parameters
    ----------
    flow : ndarray, mm3/s
        Flow of the voxel.

    Returns
    -------
    ndarray, mm3
        Volume.
    """
    return np.asarray(_BLOOD_SHARE * (flow * 6000.0 / _BLOOD_FLOW) ** _BLOOD_POWER)


def extraction(flow: FloatArray, exchange: Exchange) -> FloatArray:
    """Return the share of labeled water that leaves the capillaries and stays in tissue.

    Parameters
    ----------
    flow : ndarray, mm3/s
        Flow of 1 mm3 of tissue.
    exchange : {"none", "one-way"}
        Kind of exchange.

    Returns
    -------
    ndarray
        ``1 - exp(-PS / Q)``, or 0.
    """
    if exchange == "none":
        return np.zeros_like(flow)
    return np.asarray(1.0 - np.exp(-PERMEABILITY / (6000.0 * flow)))


def transit_histogram(flow: FloatArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the capillaries of voxels and return which share of the flow takes how long.

    Parameters
    ----------
    flow : ndarray, shape (n,), mm3/s
        Flow of each voxel of 1 mm3.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    ndarray, shape (n, 24)
        Shares of the transit times `TRANSITS_S`.
    """
    count = rng.integers(_CAPILLARIES[0], _CAPILLARIES[1] + 1, flow.size)
    first = np.cumsum(count) - count
    draws = np.float32(0.5) + rng.random((3, int(count.sum())), dtype=np.float32)
    volume, share = draws[0] ** 2 * draws[1], draws[2]
    share /= np.repeat(np.add.reduceat(share, first), count)
    scale = capillary_volume(flow) / flow / np.add.reduceat(volume, first)
    low, upper = transit_weights(np.repeat(scale.astype(np.float32), count) * volume / share)
    cell = np.repeat(np.arange(flow.size, dtype=np.int32) * np.int32(TRANSITS_S.size), count) + low
    size = flow.size * TRANSITS_S.size
    upper *= share
    histogram = np.bincount(cell, share - upper, size) + np.bincount(cell + 1, upper, size)[:size]
    return np.asarray(histogram.reshape(flow.size, -1), np.float32)


def capillary_label(
    flow: FloatArray,
    arrival_s: FloatArray,
    entry_s: FloatArray,
    t1_tissue_s: FloatArray,
    exchange: Exchange,
    times_s: FloatArray,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the label in capillaries and tissue of voxels, and what leaves them.

    Parameters
    ----------
    flow : ndarray, shape (n,), mm3/s
        Flow of each voxel of 1 mm3.
    arrival_s : ndarray, shape (n,), s
        Plug-flow delay of its arteriole.
    entry_s : ndarray, shape (n,), s
        When labeled blood enters at its root.
    t1_tissue_s : ndarray, shape (n,), s
        Relaxation of tissue; used with exchange.
    exchange : {"none", "one-way"}
        Whether labeled water leaves the capillaries.
    times_s : ndarray, shape (T,), s
        Since the start of labeling.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    ndarray, shape (n, T), mm3
        Blood-equivalents held.
    ndarray, shape (n, S)
        Concentration that leaves the capillaries every `SERIES_STEP_S` from 0 on.
    """
    table = capillary_table()
    share = extraction(flow, exchange)
    weight = np.concatenate(
        [transit_histogram(flow, rng) * (1.0 - share)[:, None], relaxation_weights(t1_tissue_s) * share[:, None]], axis=1
    ).astype(np.float32)
    weight *= np.exp(-entry_s / T1_BLOOD_S).astype(np.float32)[:, None]
    series_s = np.arange(0.0, times_s.max() + SERIES_STEP_S, SERIES_STEP_S)
    held = np.empty((flow.size, times_s.size), np.float32)
    left = np.empty((flow.size, series_s.size), np.float32)
    cell, upper = table.cells(arrival_s)
    order = np.argsort(cell, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(cell[order])) + 1):
        amount, outflow = _responses(table, weight[rows], int(cell[rows[0]]), upper[rows].astype(np.float32))
        held[rows] = flow[rows, None] * _shifted(amount, entry_s[rows], times_s)
        left[rows] = _shifted(outflow, entry_s[rows], series_s)
    return held, left


def _responses(
    table: CapillaryTable, weight: NDArray[np.float32], cell: int, upper: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return amount and outflow over the table's times of voxels whose arrivals share an interval."""
    both = np.concatenate([weight * (1.0 - upper)[:, None], weight * upper[:, None]], axis=1)
    bins, kinds = TRANSITS_S.size, TRANSITS_S.size + TISSUE_T1_S.size
    capillary = np.concatenate([both[:, :bins], both[:, kinds : kinds + bins]], axis=1)
    times = table.time_s.size
    return both @ table.amount[cell : cell + 2].reshape(-1, times), capillary @ table.outflow[cell : cell + 2].reshape(-1, times)


def _shifted(curve: NDArray[np.float32], entry_s: FloatArray, times_s: FloatArray) -> NDArray[np.float32]:
    """Interpolate curves of the table at times after each one's own entry, shape (n, times)."""
    place = ((times_s[None] - entry_s[:, None]) * (1.0 / STEP_S)).astype(np.float32)
    place = np.clip(place, 0.0, curve.shape[1] - 1.001)
    low: Index = place.astype(np.int64)
    upper = place - low.astype(np.float32)
    below, above = np.take_along_axis(curve, low, axis=1), np.take_along_axis(curve, low + 1, axis=1)
    return np.asarray(below + upper * (above - below))
