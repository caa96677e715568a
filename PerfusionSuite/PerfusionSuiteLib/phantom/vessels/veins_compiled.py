# SPDX-License-Identifier: Apache-2.0
"""Veins segment by segment with numba; only imported when numba is installed (see `veins.venous_label`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True)
def _pass_on(series: Any, above: Any, steps: float, decay: float) -> None:
    """Add a series to the one of the parent, later by a number of steps."""
    whole = int(steps)
    upper = np.float32(steps - whole)
    here, before = np.float32(decay) * (np.float32(1.0) - upper), np.float32(decay) * upper
    if whole < series.size:
        above[whole] += here * series[0]
    for m in range(whole + 1, series.size):
        above[m] += here * series[m - whole] + before * series[m - whole - 1]


@njit(cache=True, fastmath=True)
def _count(series: Any, late: float, factor: float, times: Any, step: float, row: Any) -> None:
    """Add a series at the picture times, later by a delay, to a picture voxel."""
    last = series.size - 1
    for m in range(times.size):
        place = (times[m] - late) / step
        if place > 0:
            low = min(int(place), last - 1)
            upper = min(place - low, 1.0)
            row[m] += factor * ((1.0 - upper) * series[low] + upper * series[low + 1])


@njit(cache=True)
def _voxel(node: Any, parent: Any, back: float, block: Any, pictures: Any) -> int:
    """Return the picture voxel at a share of the way from a node to its parent."""
    voxel = 0
    for axis in range(3):
        at = node[axis] + back * (parent[axis] - node[axis])
        voxel = voxel * pictures[axis] + min(pictures[axis] - 1, max(0, int(at / block[axis])))
    return voxel


@njit(cache=True, fastmath=True)
def propagate(
    order: Any,
    depth: Any,
    parent: Any,
    position: Any,
    length: Any,
    flow: Any,
    transit: Any,
    source: Any,
    outflow: Any,
    lines: Any,
    shares: Any,
    times: Any,
    block: Any,
    pictures: Any,
    step: float,
    t1: float,
    piece_mm: float,
    total: Any,
) -> None:
    """Send series from the leaves to the roots; one buffer per depth is enough in this order (see `veins.backwards`)."""
    samples = outflow.shape[1]
    series = np.zeros((lines.size, depth.max() + 1, samples), np.float32)
    for u in order:
        d, p = depth[u], parent[u]
        if p < 0:
            series[:, d] = 0
            continue
        if source[u] >= 0:
            for g in range(lines.size):
                for m in range(samples):
                    series[g, d, m] += outflow[source[u], m] * flow[u]
        count = int(np.ceil(length[u] / piece_mm)) if length[u] > 1e-9 else 0
        for i in range(count):
            back = (i + 0.5) / count
            row = total[_voxel(position[u], position[p], back, block, pictures)]
            for g in range(lines.size):
                late = transit[u] / (2.0 * lines[g]) * back
                _count(series[g, d], late, shares[g] * transit[u] / count * np.exp(-late / t1), times, step, row)
        for g in range(lines.size):
            delay = transit[u] / (2.0 * lines[g])
            if delay / step < samples:
                _pass_on(series[g, d], series[g, d - 1], delay / step, np.exp(-delay / t1))
            series[g, d] = 0
