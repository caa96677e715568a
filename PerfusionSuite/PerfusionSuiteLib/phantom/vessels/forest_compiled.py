# SPDX-License-Identifier: Apache-2.0
"""Grow a forest point by point with numba; only imported when numba is installed (see `forest.grow`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

_CANDIDATES = 3


class State(NamedTuple):
    """Arrays of a growing forest; ``head`` and ``after`` chain the segments that pass each 1 mm cell."""

    position: Any
    parent: Any
    flow: Any
    weight: Any  # flow to the power 2/3
    length: Any
    terminal: Any
    head: Any
    after: Any
    segment: Any
    stamp: Any
    count: Any  # nodes, entries, queries, 1 when entries overflowed


@njit(cache=True, fastmath=True)
def distance2(p: Any, a: Any, b: Any) -> float:
    """Return the squared distance of a point from a segment."""
    along = 0.0
    length2 = 0.0
    for axis in range(3):
        edge = b[axis] - a[axis]
        length2 += edge * edge
        along += (p[axis] - a[axis]) * edge
    t = 0.0 if length2 < 1e-18 else min(1.0, max(0.0, along / length2))
    total = 0.0
    for axis in range(3):
        off = p[axis] - a[axis] - t * (b[axis] - a[axis])
        total += off * off
    return total


@njit(cache=True, fastmath=True)
def _spread(corners: Any, weights: Any, x: float, y: float, z: float) -> float:
    total = 0.0
    for j in range(3):
        dx, dy, dz = corners[j, 0] - x, corners[j, 1] - y, corners[j, 2] - z
        total += weights[j] * np.sqrt(dx * dx + dy * dy + dz * dz)
    return total


@njit(cache=True, fastmath=True)
def _best_corner(corners: Any, weights: Any) -> int:
    """Return the corner that is itself the best branching point, or -1."""
    for i in range(3):
        gx, gy, gz = 0.0, 0.0, 0.0
        for j in range(3):
            dx, dy, dz = corners[j, 0] - corners[i, 0], corners[j, 1] - corners[i, 1], corners[j, 2] - corners[i, 2]
            d = np.sqrt(dx * dx + dy * dy + dz * dz)
            if j != i and d > 1e-12:
                gx += weights[j] * dx / d
                gy += weights[j] * dy / d
                gz += weights[j] * dz / d
        if gx * gx + gy * gy + gz * gz <= weights[i] * weights[i]:
            return i
    return -1


@njit(cache=True, fastmath=True)
def branching_point(corners: Any, weights: Any, found: Any) -> float:
    """Find the point with the least weighted distance to three corners (Weiszfeld); return that sum."""
    corner = _best_corner(corners, weights)
    if corner >= 0:
        found[:] = corners[corner]
        return _spread(corners, weights, found[0], found[1], found[2])
    x, y, z = 0.0, 0.0, 0.0
    total = weights[0] + weights[1] + weights[2]
    for j in range(3):
        x += weights[j] * corners[j, 0] / total
        y += weights[j] * corners[j, 1] / total
        z += weights[j] * corners[j, 2] / total
    for _ in range(40):
        sx, sy, sz, s = 0.0, 0.0, 0.0, 0.0
        for j in range(3):
            dx, dy, dz = corners[j, 0] - x, corners[j, 1] - y, corners[j, 2] - z
            w = weights[j] / (np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-12)
            sx += w * corners[j, 0]
            sy += w * corners[j, 1]
            sz += w * corners[j, 2]
            s += w
        moved = abs(sx / s - x) + abs(sy / s - y) + abs(sz / s - z)
        x, y, z = sx / s, sy / s, sz / s
        if moved < 1e-4:
            break
    found[0], found[1], found[2] = x, y, z
    return _spread(corners, weights, x, y, z)


@njit(cache=True, fastmath=True)
def _register(state: State, shape: Any, s: int) -> None:
    """Enter a segment into the cells that it passes; measure its length."""
    a, b = state.position[state.parent[s]], state.position[s]
    state.length[s] = np.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2 + (b[2] - a[2]) ** 2)
    steps = int(state.length[s] / 0.5) + 1
    last = -1
    for i in range(steps + 1):
        t = i / steps
        x = min(shape[0] - 1, max(0, int(a[0] + t * (b[0] - a[0]))))
        y = min(shape[1] - 1, max(0, int(a[1] + t * (b[1] - a[1]))))
        z = min(shape[2] - 1, max(0, int(a[2] + t * (b[2] - a[2]))))
        cell = (x * shape[1] + y) * shape[2] + z
        if cell != last:
            entry = state.count[1]
            if entry >= state.after.size:
                state.count[3] = 1
                return
            state.segment[entry], state.after[entry] = s, state.head[cell]
            state.head[cell] = entry
            state.count[1] += 1
            last = cell


@njit(cache=True)
def _rebuild(state: State, shape: Any) -> None:
    """Enter all segments anew, without the stale entries of segments that were split."""
    state.head[:] = -1
    state.count[1] = 0
    state.count[3] = 0
    for s in range(state.count[0]):
        if state.parent[s] >= 0:
            _register(state, shape, s)


@njit(cache=True, fastmath=True)
def _look(state: State, cell: int, p: Any, limit2: float, near: Any, near2: Any, held: int) -> int:
    """Compare the segments of a cell with the nearest ones so far."""
    entry = state.head[cell]
    query = state.count[2]
    while entry >= 0:
        s = state.segment[entry]
        entry = state.after[entry]
        if state.stamp[s] == query:
            continue
        state.stamp[s] = query
        d2 = distance2(p, state.position[state.parent[s]], state.position[s])
        if d2 < limit2 and (held < _CANDIDATES or d2 < near2[held - 1]):
            held = min(held + 1, _CANDIDATES)
            i = held - 1
            while i > 0 and near2[i - 1] > d2:
                near2[i], near[i] = near2[i - 1], near[i - 1]
                i -= 1
            near2[i], near[i] = d2, s
    return held


@njit(cache=True, fastmath=True)
def _nearest(state: State, shape: Any, p: Any, longest: float, near: Any, near2: Any) -> int:
    """Find up to three nearest segments, shell of cells by shell of cells."""
    state.count[2] += 1
    vx, vy, vz = int(p[0]), int(p[1]), int(p[2])
    held = 0
    for shell in range(int(np.ceil(longest)) + 1):
        if held == _CANDIDATES and shell >= 1 and near2[held - 1] <= (shell - 1.0) ** 2:
            break
        for x in range(max(0, vx - shell), min(shape[0] - 1, vx + shell) + 1):
            for y in range(max(0, vy - shell), min(shape[1] - 1, vy + shell) + 1):
                full = abs(x - vx) == shell or abs(y - vy) == shell
                step = 1 if full or shell == 0 else 2 * shell
                for z in range(vz - shell, vz + shell + 1, step):
                    if 0 <= z < shape[2]:
                        held = _look(state, (x * shape[1] + y) * shape[2] + z, p, longest * longest, near, near2, held)
    return held


@njit(cache=True, fastmath=True)
def _widening(state: State, node: int, flow: float, enough: float) -> float:
    """Return what more flow costs all ancestors of a segment; stops once it is more than enough."""
    total = 0.0
    while state.parent[node] >= 0 and total < enough:
        total += state.length[node] * (np.cbrt(state.flow[node] + flow) ** 2 - state.weight[node])
        node = state.parent[node]
    return total


@njit(cache=True, fastmath=True)
def _attach(state: State, shape: Any, p: Any, voxel: int, flow: float, near: Any, held: int) -> None:
    """Join a terminal to the candidate segment that costs least."""
    corners, weights = np.empty((3, 3)), np.empty(3)
    point, best_point = np.empty(3), np.empty(3)
    best, chosen = 1e30, -1
    weights[2] = np.cbrt(flow) ** 2
    corners[2] = p
    for i in range(held):
        s = near[i]
        corners[0], corners[1] = state.position[state.parent[s]], state.position[s]
        weights[0], weights[1] = np.cbrt(state.flow[s] + flow) ** 2, state.weight[s]
        cost = branching_point(corners, weights, point) - state.length[s] * state.weight[s]
        if cost < best:
            cost += _widening(state, state.parent[s], flow, best - cost)
        if cost < best:
            best, chosen = cost, s
            best_point[:] = point
    joint, leaf = state.count[0], state.count[0] + 1
    state.count[0] += 2
    state.position[joint], state.position[leaf] = best_point, p
    state.parent[joint], state.parent[chosen], state.parent[leaf] = state.parent[chosen], joint, joint
    state.flow[joint], state.flow[leaf] = state.flow[chosen], flow
    state.weight[leaf] = weights[2]
    state.terminal[leaf] = voxel
    node = joint
    while node >= 0:
        state.flow[node] += flow
        state.weight[node] = np.cbrt(state.flow[node]) ** 2
        node = state.parent[node]
    _register(state, shape, joint)
    _register(state, shape, chosen)
    _register(state, shape, leaf)


@njit(cache=True)
def _partner(need: Any, served: Any, shape: Any, p: Any, voxel: int, longest: float, rng: Any, other: Any) -> int:
    """Draw the end of a new tree's first segment: a point within reach in another voxel without terminal, or -1."""
    for _ in range(50):
        reach = longest * np.cbrt(rng.random())
        up = 2.0 * rng.random() - 1.0
        turn = 2.0 * np.pi * rng.random()
        flat = np.sqrt(1.0 - up * up)
        other[0] = p[0] + reach * flat * np.cos(turn)
        other[1] = p[1] + reach * flat * np.sin(turn)
        other[2] = p[2] + reach * up
        if min(other[0], other[1], other[2]) < 0 or other[0] >= shape[0] or other[1] >= shape[1] or other[2] >= shape[2]:
            continue
        found = (int(other[0]) * shape[1] + int(other[1])) * shape[2] + int(other[2])
        if found != voxel and not served[found] and need[found] > 0:
            return found
    return -1


@njit(cache=True)
def _plant(state: State, shape: Any, p: Any, other: Any, voxel: int, flow: float) -> None:
    """Start a new tree with one segment."""
    root, leaf = state.count[0], state.count[0] + 1
    state.count[0] += 2
    state.position[root], state.position[leaf] = p, other
    state.parent[leaf] = root
    state.flow[root] = state.flow[leaf] = flow
    state.weight[root] = state.weight[leaf] = np.cbrt(flow) ** 2
    state.terminal[leaf] = voxel
    _register(state, shape, leaf)


@njit(cache=True)
def grow(state: State, need: Any, shape: Any, new_tree: float, longest: float, rng: Any, patience: int) -> int:
    """Serve every voxel that needs flow; return how many stayed without.

    Parameters
    ----------
    state : State
        Starting segments, or empty.
    need : ndarray, shape (voxels,), mm3/s
        Flow of each voxel, 0 where none is needed.
    shape : tuple of int
        Of the domain.
    new_tree : float
        Chance that a point starts a new tree.
    longest : float, mm
        Reach.
    rng : numpy.random.Generator
        Draws.
    patience : int
        Number of draws in vain, in a row, after which to stop.
    """
    waiting = np.flatnonzero(need > 0)
    left = waiting.size
    served = np.zeros(need.size, np.bool_)
    p, other = np.empty(3), np.empty(3)
    near, near2 = np.empty(_CANDIDATES, np.int64), np.empty(_CANDIDATES)
    vain = 0
    _rebuild(state, shape)
    while left > 0 and vain < patience:
        slot = int(rng.random() * left)
        voxel = waiting[slot]
        if served[voxel]:
            left -= 1
            waiting[slot] = waiting[left]
            continue
        p[0] = voxel // (shape[1] * shape[2]) + rng.random()
        p[1] = (voxel // shape[2]) % shape[1] + rng.random()
        p[2] = voxel % shape[2] + rng.random()
        vain += 1
        if rng.random() < new_tree:
            found = _partner(need, served, shape, p, voxel, longest, rng, other)
            if found >= 0:
                _plant(state, shape, p, other, found, need[found])
                served[found] = True
                vain = 0
        else:
            held = _nearest(state, shape, p, longest, near, near2)
            if held > 0:
                _attach(state, shape, p, voxel, need[voxel], near, held)
                served[voxel] = True
                vain = 0
        if state.count[3] > 0:
            _rebuild(state, shape)
    remaining = 0
    for i in range(left):
        if not served[waiting[i]]:
            remaining += 1
    return remaining
