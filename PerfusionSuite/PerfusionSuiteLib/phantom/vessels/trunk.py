# SPDX-License-Identifier: Apache-2.0
"""The large vessels of a head as the forest that all others grow from: hand-drawn in the atlas, placed in the patient."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from ...core.geometry import FloatArray
from ..anatomy import Pose
from ..atlas import Atlas, VesselTree
from ..vessel_tubes import both_sides
from .values import Forest, Index, flow_from_terminals

_THINNEST_MM = {"arteries": 0.62, "veins": 0.9}
_SPACING_MM = 6.0
_BRIDGE_MM = 8.0
_OUTLET_MM = -60.0  # in the atlas: the jugular bulbs lie below, everything else above


def make_trunk(kind: str, pose: Pose, atlas: Atlas, to_domain: FloatArray, tissue: FloatArray, need: FloatArray) -> Forest:
    """Place the large vessels of a patient.

    Parameters
    ----------
    kind : {"arteries", "veins"}
        Carotid and vertebral arteries with the circle and the first orders of its branches, or sinuses and large veins.
    pose : Pose
        The head's geometry.
    atlas : Atlas
        With the drawn centre lines.
    to_domain : ndarray, shape (4, 4)
        RAS mm to positions in the domain.
    tissue : ndarray, shape (n, 3), mm
        Positions in the domain of some of the voxels that need blood.
    need : ndarray, shape (n,), mm3/s
        What they and those around them need.

    Returns
    -------
    Forest
        Roots are where blood enters (arteries) or leaves (veins) the head; each segment's flow is that of the tissue
        to which it or a vessel behind it is nearest, a guide for the growth.
    """
    tree = atlas.arteries if kind == "arteries" else atlas.veins
    points, edges = _graph(tree, _THINNEST_MM[kind])
    if kind == "arteries":
        roots = np.flatnonzero(points[:, 2] < _OUTLET_MM)
        ends = np.bincount(edges.ravel(), minlength=len(points)) == 1
        roots = roots[ends[roots]]
    else:
        edges = _bridged(points, edges)
        low = points[:, 2] < _OUTLET_MM
        roots = np.array(
            [np.flatnonzero(low & side)[points[low & side, 2].argmin()] for side in (points[:, 0] > 0, points[:, 0] < 0)]
        )
    points, parent = _rooted(points, edges, roots)
    points, parent = _thinned(points, parent)
    position = (to_domain @ np.vstack([pose.to_scanner(points.T.copy()), np.ones(len(points))]))[:3].T
    nearest = cKDTree(position).query(tissue)[1]
    own = np.bincount(nearest, need, len(position)).astype(float)
    forest = Forest(position, parent, own, np.full(len(position), -1, np.int64))
    return Forest(position, parent, np.maximum(flow_from_terminals(parent, own, forest.depth), 1e-6), forest.terminal)


def _graph(tree: VesselTree, thinnest: float) -> tuple[FloatArray, Index]:
    """Return atlas positions and undirected edges of both sides; a mirrored midline node is the original."""
    whole, _ = both_sides(tree)
    n = len(tree.parents)
    same = np.arange(2 * n)
    middle = np.flatnonzero(np.abs(tree.nodes[:, 0]) < 0.05)
    same[middle + n] = middle
    child = np.flatnonzero((whole.parents >= 0) & (whole.nodes[:, 3] >= thinnest))
    edges = np.unique(np.sort(np.stack([same[child], same[whole.parents[child]]], axis=1), axis=1), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    used, numbers = np.unique(edges, return_inverse=True)
    return np.asarray(whole.nodes[used, :3], float), numbers.reshape(-1, 2).astype(np.int64)


def _links(points: FloatArray, edges: Index) -> sparse.csr_matrix:
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1) + 1e-6
    return sparse.csr_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(points), len(points)))


def _bridged(points: FloatArray, edges: Index) -> Index:
    """Join drawn veins that end near another one: the internal veins and the straight sinus."""
    while True:
        _, part = sparse.csgraph.connected_components(_links(points, edges), directed=False)
        bridges = []
        for number in np.unique(part):
            mine, others = np.flatnonzero(part == number), np.flatnonzero(part != number)
            if others.size == 0:
                return edges
            distance, place = cKDTree(points[others]).query(points[mine])
            if distance.min() < _BRIDGE_MM:
                bridges.append([mine[distance.argmin()], others[place[distance.argmin()]]])
        if not bridges:
            return edges
        edges = np.concatenate([edges, np.array(bridges)])


def _rooted(points: FloatArray, edges: Index, roots: Index) -> tuple[FloatArray, Index]:
    """Direct edges away from the nearest root; what no root reaches is left out."""
    reach, before, _ = dijkstra(_links(points, edges), directed=False, indices=roots, return_predecessors=True, min_only=True)
    kept = np.isfinite(reach)
    number = np.cumsum(kept) - 1
    parent = np.where(before[kept] >= 0, number[np.maximum(before[kept], 0)], -1)
    return points[kept], parent.astype(np.int64)


def _thinned(points: FloatArray, parent: Index) -> tuple[FloatArray, Index]:
    """Keep roots, branchings, ends and now and then a node between, so that the way to the root has few segments."""
    children = np.bincount(parent[parent >= 0], minlength=parent.size)
    kept = (children != 1) | (parent < 0)
    order = np.argsort(Forest(points, parent, np.ones(parent.size), np.full(parent.size, -1)).depth, kind="stable")
    since = np.zeros(parent.size)
    above = parent.copy()
    for node in order:
        p = parent[node]
        if p < 0:
            continue
        since[node] = (0.0 if kept[p] else since[p]) + np.linalg.norm(points[node] - points[p])
        above[node] = p if kept[p] else above[p]
        kept[node] |= since[node] >= _SPACING_MM
    number = np.cumsum(kept) - 1
    return points[kept], np.where(parent[kept] >= 0, number[np.maximum(above[kept], 0)], -1).astype(np.int64)
