# SPDX-License-Identifier: Apache-2.0
"""Grow a forest in rounds with numpy: many points look for a vessel at once, at most one joins each segment."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ...core.geometry import FloatArray
from .branching import branching_points
from .values import Forest, Index, flow_from_terminals, sum_to_root

_BATCH = 0.2  # of the present number of segments; larger ones grow other trees than point by point
_LEAST_BATCH = 32
_NEIGHBORS, _CANDIDATES = 8, 3
_SAMPLE_MM = 1.0
_VAIN_ROUNDS = 60
_PARTNER_TRIES = 50


class _Grower:
    """Nodes so far; arrays are as long as the finished forest."""

    def __init__(self, need: FloatArray, start: Forest | None) -> None:
        self.shape = need.shape
        self.need = np.asarray(need, float).ravel()
        self.served = self.need <= 0
        old = 0 if start is None else start.parent.size
        size = old + 2 * int((~self.served).sum()) + 2
        self.position, self.parent = np.zeros((size, 3)), np.full(size, -1, np.int64)
        self.leaf_flow, self.guide = np.zeros(size), np.zeros(size)
        self.terminal = np.full(size, -1, np.int64)
        self.count = old
        if start is not None:
            self.position[:old], self.parent[:old], self.guide[:old] = start.position, start.parent, start.flow

    def voxel(self, points: FloatArray) -> Index:
        cell = np.clip(points.astype(np.int64), 0, np.array(self.shape) - 1)
        return np.asarray(np.ravel_multi_index(tuple(cell.T), self.shape))

    def forest(self) -> Forest:
        """Return the nodes so far with the flow of their terminals (and of the guide)."""
        n = self.count
        nodes = Forest(self.position[:n], self.parent[:n], np.zeros(n), self.terminal[:n])
        flow = flow_from_terminals(nodes.parent, self.leaf_flow[:n], nodes.depth) + self.guide[:n]
        return Forest(nodes.position, nodes.parent, flow, nodes.terminal)

    def plant(self, points: FloatArray, rng: np.random.Generator, longest: float) -> None:
        """Start new trees at points that find a partner within reach in another voxel that waits; the others are dropped."""
        for _ in range(_PARTNER_TRIES):
            if not len(points):
                return
            direction = rng.standard_normal((len(points), 3))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            other = points + direction * longest * np.cbrt(rng.random((len(points), 1)))
            voxel = self.voxel(other)
            good = ((other >= 0) & (other < self.shape)).all(axis=1) & ~self.served[voxel] & (voxel != self.voxel(points))
            first = np.flatnonzero(good)[np.unique(voxel[good], return_index=True)[1]]
            self._plant(points[first], other[first], voxel[first])
            points = np.delete(points, first, axis=0)

    def _plant(self, points: FloatArray, other: FloatArray, voxel: Index) -> None:
        root = self.count + np.arange(voxel.size)
        leaf = root + voxel.size
        self.count += 2 * voxel.size
        self.position[root], self.position[leaf], self.parent[leaf] = points, other, root
        self._serve(leaf, voxel)

    def attach(self, points: FloatArray, voxel: Index, segment: Index, joint_at: FloatArray) -> None:
        """Join points to segments, each by a new node on the way."""
        joint = self.count + np.arange(voxel.size)
        leaf = joint + voxel.size
        self.count += 2 * voxel.size
        self.position[joint], self.position[leaf] = joint_at, points
        self.parent[joint], self.parent[leaf] = self.parent[segment], joint
        self.guide[joint] = self.guide[segment]
        self.parent[segment] = joint
        self._serve(leaf, voxel)

    def _serve(self, leaf: Index, voxel: Index) -> None:
        self.leaf_flow[leaf], self.terminal[leaf] = self.need[voxel], voxel
        self.served[voxel] = True


def grow_in_rounds(
    need: FloatArray, rng: np.random.Generator, start: Forest | None, new_tree: float, longest_mm: float
) -> tuple[Forest, int]:
    """Serve every voxel that needs flow.

    Parameters
    ----------
    need : ndarray, shape (I, J, K), mm3/s
        Flow of each voxel, 0 outside the domain.
    rng : numpy.random.Generator
        Draws.
    start : Forest, optional
        Segments to grow from.
    new_tree : float
        Chance that a point starts a new tree.
    longest_mm : float, mm
        Longest new segment.

    Returns
    -------
    Forest
        The forest.
    int
        Number of voxels that stayed without.
    """
    grower = _Grower(need, start)
    vain, decided = 0, 1.0
    while not grower.served.all() and vain < _VAIN_ROUNDS:
        before = grower.count
        waiting = np.flatnonzero(~grower.served)
        segments = int((grower.parent[: grower.count] >= 0).sum())
        batch = min(waiting.size, max(_LEAST_BATCH, int(_BATCH * segments)))
        voxel = rng.choice(waiting, batch, replace=False)
        points = np.stack(np.unravel_index(voxel, need.shape), axis=1) + rng.random((batch, 3))
        new = rng.random(batch) < new_tree * decided  # those that wait for another round draw again
        if segments == 0 and new_tree > 0:
            new[0] = True
        if new.any():
            grower.plant(points[new], rng, longest_mm)
        rest = ~new & ~grower.served[voxel]
        far = _attach_round(grower, points[rest], voxel[rest], rng, longest_mm) if segments else batch
        vain = vain + 1 if grower.count == before else 0
        decided = min(1.0, (far + (grower.count - before) / 2) / batch)
    return grower.forest(), int((~grower.served).sum())


def _attach_round(grower: _Grower, points: FloatArray, voxel: Index, rng: np.random.Generator, longest: float) -> int:
    """Let points join vessels; return how many were out of reach of all (the others that did not join wait)."""
    forest = grower.forest()
    who, segment = _candidates(forest, points, longest)
    if who.size == 0:
        return len(points)
    flow, own = grower.need[voxel[who]], forest.flow[segment]
    above = forest.parent[segment]
    weights = np.stack([np.cbrt(own + flow) ** 2, np.cbrt(own) ** 2, np.cbrt(flow) ** 2], axis=1)
    corners = np.stack([forest.position[above], forest.position[segment], points[who]], axis=1)
    joint, cost = branching_points(corners, weights)
    slope = np.where(forest.parent >= 0, forest.length * (2.0 / 3.0) / np.cbrt(np.maximum(forest.flow, 1e-12)), 0.0)
    cost += flow * sum_to_root(forest.parent, slope)[above] - forest.length[segment] * weights[:, 1]
    cost[np.linalg.norm(points[who] - joint, axis=1) > longest] = np.inf
    least = np.full(points.shape[0], np.inf)
    np.minimum.at(least, who, cost)
    best = np.flatnonzero((cost <= least[who]) & np.isfinite(cost))
    best = best[np.unique(who[best], return_index=True)[1]]
    best = rng.permutation(best)
    best = best[np.unique(segment[best], return_index=True)[1]]
    grower.attach(points[who[best]], voxel[who[best]], segment[best], joint[best])
    return len(points) - int(np.unique(who).size)


def _candidates(forest: Forest, points: FloatArray, longest: float) -> tuple[Index, Index]:
    """Return pairs of points and their up to three nearest segments within reach."""
    segment = np.flatnonzero(forest.parent >= 0)
    a, b = forest.position[forest.parent[segment]], forest.position[segment]
    pieces = np.maximum(1, np.ceil(forest.length[segment] / _SAMPLE_MM).astype(np.int64))
    owner = np.repeat(np.arange(segment.size), pieces)
    share = (np.arange(owner.size) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[owner]
    tree = cKDTree(a[owner] + share[:, None] * (b - a)[owner])
    k = min(_NEIGHBORS, owner.size)
    distance, sample = tree.query(points, k=k, distance_upper_bound=longest + 0.5 * _SAMPLE_MM)
    distance, sample = distance.reshape(-1, k), sample.reshape(-1, k)
    found = np.isfinite(distance)
    number = np.where(found, owner[np.minimum(sample, owner.size - 1)], -1)
    edge = (b - a)[number]
    along = ((points[:, None] - a[number]) * edge).sum(axis=-1) / np.maximum((edge**2).sum(axis=-1), 1e-18)
    off = points[:, None] - a[number] - np.clip(along, 0.0, 1.0)[..., None] * edge
    exact = np.where(found, np.linalg.norm(off, axis=-1), np.inf)
    exact[exact >= longest] = np.inf
    for place in range(1, k):
        twice = (number[:, :place] == number[:, place : place + 1]).any(axis=1)
        exact[twice, place] = np.inf
    order = np.argsort(exact, axis=1)[:, :_CANDIDATES]
    near = np.isfinite(np.take_along_axis(exact, order, axis=1))
    who, column = np.nonzero(near)
    return who, segment[number[who, order[who, column]]]
