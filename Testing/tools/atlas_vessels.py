# SPDX-License-Identifier: Apache-2.0
"""Arteries and veins of the atlas: hand-drawn trunks, and branches that grow from them along sulcal fluid."""

from __future__ import annotations

import numpy as np
from atlas_grid import ORIGIN, STEP, from_sources, graph, index_of, infratentorial
from scipy import ndimage

# Hand-drawn trunks on the right, atlas mm: name -> (points, radius at both ends in mm). "0" marks midline vessels.
ARTERIES = {
    "ica": (
        [(26, -20, -72), (25, -20, -58), (27, -15, -48), (20, -6, -42), (14, -4, -38), (13, 6, -34), (13, 11, -29)],
        (2.5, 2.3),
    ),
    "ica-top": ([(13, 11, -29), (12, 6, -25), (14, 2, -20), (14, 3, -17)], (2.2, 1.9)),
    "m1": ([(14, 3, -17), (20, 4, -19), (27, 5, -19), (33, 6, -17)], (1.45, 1.3)),
    "m2-superior": ([(33, 6, -17), (37, 9, -11), (40, 10, -4), (39, 9, 5), (39, 0, 12), (38, -10, 15)], (1.1, 0.8)),
    "m2-inferior": ([(33, 6, -17), (38, 2, -14), (41, -5, -9), (41, -14, -2), (39, -24, 4)], (1.1, 0.9)),
    "a1": ([(14, 3, -17), (10, 8, -16), (5, 11, -14), (2.5, 14, -11)], (1.15, 1.05)),
    "a2": (
        [(2.5, 14, -11), (2, 24, -9), (2, 33, -3), (2, 37, 5), (2, 34, 16), (2, 25, 25), (2, 10, 30), (2, -10, 33), (2, -28, 32)],
        (1.05, 0.6),
    ),
    "pca": (
        [(0, -11, -19), (7, -12, -18), (15, -18, -16), (20, -26, -12), (20, -33, -7), (18, -42, -2), (14, -52, 3)],
        (1.15, 0.8),
    ),
    "sca": ([(0, -12, -22), (9, -16, -22), (18, -26, -24), (22, -40, -20), (16, -54, -14)], (0.8, 0.5)),
    "pica": ([(6, -27, -58), (14, -36, -60), (20, -50, -58), (24, -64, -52)], (0.8, 0.5)),
    "vertebral": ([(16, -40, -72), (9, -32, -64), (4, -25, -56), (0, -22, -50)], (1.7, 1.6)),
    "basilar0": ([(0, -22, -50), (0, -15, -40), (0, -11, -30), (0, -11, -19)], (1.8, 1.6)),
}
PARENT = {
    "ica-top": "ica", "m1": "ica-top", "m2-superior": "m1", "m2-inferior": "m1", "a1": "ica-top", "a2": "a1",
    "pca": "basilar0", "sca": "basilar0", "pica": "vertebral", "basilar0": "vertebral",
}  # fmt: skip
ROOTS = {"a2": 1, "m2-superior": 2, "m2-inferior": 3, "pca": 5}
HEAD_START = {"a2": 22.0, "m2-superior": 6.0, "m2-inferior": 0.0, "pca": 38.0}
VEINS = {
    "straight0": ([(0, -42, 4), (0, -56, 4), (0, -72, -4), (0, -88, -14)], (2.0, 2.8)),
    "internal": ([(2, -2, 17), (2, -18, 17), (2, -32, 12), (0, -42, 4)], (0.9, 1.4)),
    "basal": ([(18, -4, -17), (17, -18, -12), (13, -30, -4), (0, -42, 4)], (0.9, 1.2)),
}


class Tree:
    """Nodes ``x y z radius path group branch`` with the index of each one's parent."""

    def __init__(self) -> None:
        self.nodes: list[list[float]] = []
        self.parents: list[int] = []

    def line(self, points: list[tuple[float, ...]], radii: tuple[float, float], parent: int, group: int) -> list[int]:
        """Add a hand-drawn trunk as a smooth line of 2 mm steps; return its nodes."""
        p = np.array(points, float)
        at = np.r_[0, np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))]
        s = np.linspace(0, at[-1], max(3, int(at[-1] / 2)))
        fine = ndimage.gaussian_filter1d(np.stack([np.interp(s, at, p[:, d]) for d in range(3)], 1), 1.5, axis=0, mode="nearest")
        start = self.nodes[parent][4] if parent >= 0 else 0.0
        added = []
        for n, q in enumerate(fine):
            radius = radii[0] + (radii[1] - radii[0]) * s[n] / s[-1]
            added.append(self.add([*q, radius, start + s[n], group, 0], added[-1] if added else parent))
        return added

    def add(self, node: list[float], parent: int) -> int:
        self.nodes.append(node)
        self.parents.append(parent)
        return len(self.nodes) - 1

    def smooth(self, fixed: int) -> None:
        """Take the staircase out of everything after the first `fixed` nodes."""
        p, parent = np.array(self.nodes), np.array(self.parents)
        for _ in range(4):
            children = np.zeros((len(p), 3))
            count = np.bincount(parent[parent >= 0], minlength=len(p))
            for d in range(3):
                children[:, d] = np.bincount(parent[parent >= 0], p[parent >= 0, d], minlength=len(p))
            inner = (count > 0) & (parent >= 0)
            inner[:fixed] = False
            mean = children[inner] / count[inner, None]
            p[inner, :3] = 0.4 * p[inner, :3] + 0.3 * p[parent[inner], :3] + 0.3 * mean
        self.nodes = p.tolist()

    def radii(self, fixed: int, leaf: float, largest: float) -> None:
        """Widen branches with the cube root of the leaves they feed (Murray 1926)."""
        leaves = np.zeros(len(self.nodes))
        has_child = np.zeros(len(self.nodes), bool)
        has_child[[q for q in self.parents if q >= 0]] = True
        for n in range(len(self.nodes) - 1, -1, -1):
            leaves[n] += not has_child[n]
            if self.parents[n] >= 0:
                leaves[self.parents[n]] += leaves[n]
            if n >= fixed:
                self.nodes[n][3] = min(leaf * leaves[n] ** (1 / 3), largest)


def spread(candidates: np.ndarray, apart_mm: float, seed: int) -> np.ndarray:
    """Return indices of candidates (n, 3) that keep a distance from each other."""
    order = np.random.default_rng(seed).permutation(len(candidates))
    chosen: list[int] = []
    points = candidates * STEP
    free = np.ones(len(candidates), bool)
    for n in order:
        if free[n]:
            chosen.append(int(n))
            free &= np.linalg.norm(points - points[n], axis=1) > apart_mm
    return np.array(chosen)


def grow(tree: Tree, cost: np.ndarray, targets: np.ndarray, roots: list[int], start: np.ndarray, limit: float) -> np.ndarray:
    """Add cheapest paths from root nodes to targets; return the grid's group of the nearest root."""
    where = index_of(np.array([tree.nodes[n][:3] for n in roots]), cost.shape)
    cost.ravel()[where] = np.minimum(cost.ravel()[where], 1.5)
    distance, before = from_sources(graph(cost), where, start)
    node_of = {int(v): n for n, v in zip(roots, where, strict=True)}
    for target in targets[np.argsort(distance[targets])]:
        if not np.isfinite(distance[target]) or distance[target] > limit:
            continue
        chain, v = [], int(target)
        while v not in node_of:
            chain.append(v)
            v = int(before[v])
        for u in reversed(chain):
            i, j, k = np.unravel_index(u, cost.shape)
            base = tree.nodes[node_of[v]]
            here = np.array([i * STEP, j * STEP + ORIGIN[1], k * STEP + ORIGIN[2]])
            path = base[4] + float(np.linalg.norm(here - base[:3]))
            node_of[u] = tree.add([*here, 0.5, path, base[5], 0], node_of[v])
            v = u
    return distance


def arteries(csf: np.ndarray, brain: np.ndarray, grey: np.ndarray) -> Tree:
    """Draw the trunks and grow the pial branches."""
    tree, ends, roots, start = Tree(), {}, [], []
    order = ("ica", "ica-top", "m1", "m2-superior", "m2-inferior", "a1", "a2", "vertebral", "basilar0", "pca", "sca", "pica")
    for name in order:
        points, radii = ARTERIES[name]
        parent = PARENT.get(name)
        nearest = -1
        if parent:
            nearest = min(ends[parent], key=lambda n: float(np.linalg.norm(np.array(tree.nodes[n][:3]) - points[0])))
        group = ROOTS.get(name, 6 if name in ("sca", "pica", "basilar0", "vertebral") else 0)
        ends[name] = tree.line(points, radii, nearest, group)
        if name in ROOTS:
            roots += ends[name][2:]
            start += [HEAD_START[name]] * len(ends[name][2:])
    fixed = len(tree.nodes)
    below = infratentorial(brain.shape, STEP)
    room = ndimage.binary_dilation(brain, iterations=1) & ~below
    cost = np.where(room, 1.0 / (0.06 + csf), np.inf)
    cost[0] *= 3.0
    surface = (csf > 0.25) & (ndimage.uniform_filter(grey, 3) > 0.3) & room
    candidates = np.argwhere(surface)
    targets = np.ravel_multi_index(tuple(candidates[spread(candidates, 9.0, 1)].T), brain.shape)
    grow(tree, cost, targets, roots, np.array(start), 420.0)
    tree.smooth(fixed)
    tree.radii(fixed, 0.38, 0.95)
    name_branches(tree, fixed)
    for node in tree.nodes[fixed:]:
        if node[5] in (2, 3):
            node[5] = 2 + int(divided_below(node[1], node[2]))
    return tree


def divided_below(y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray | bool:
    """Return True where the inferior division of the middle cerebral artery feeds: below and behind the Sylvian fissure."""
    return (z < -8 - 0.62 * y) | (y < -48 + 0.15 * z)


def name_branches(tree: Tree, fixed: int) -> None:
    """Number the subtrees that leave the trunks (column 6), for occlusions of single branches."""
    number = 0
    for n in range(fixed, len(tree.nodes)):
        parent = tree.parents[n]
        if parent < fixed:
            number += 1
            tree.nodes[n][6] = number
        else:
            tree.nodes[n][6] = tree.nodes[parent][6]


def sinus_line(hull: np.ndarray, angles: np.ndarray) -> list[tuple[float, ...]]:
    """Return the sagittal sinus: where rays in the midline leave the brain."""
    points = []
    for angle in np.deg2rad(angles):
        direction = np.array([0.0, np.cos(angle), np.sin(angle)])
        ray = np.array([0.0, -18.0, 8.0]) + np.arange(20, 110, 0.5)[:, None] * direction
        inside = hull.ravel()[index_of(ray, hull.shape)]
        points.append(tuple(ray[np.flatnonzero(inside)[-1]] + 1.0 * direction))
    return points


def veins(csf: np.ndarray, brain: np.ndarray, hull: np.ndarray) -> Tree:
    """Draw the sinuses and grow cortical veins towards them."""
    tree = Tree()
    sss = tree.line(sinus_line(hull, np.arange(-15, 206, 6)), (1.2, 4.2), -1, 1)
    torcula = np.array(tree.nodes[sss[-1]][:3])
    lateral = [
        tuple(torcula),
        (14, torcula[1] + 1, torcula[2] - 2),
        (34, -88, -24),
        (52, -70, -27),
        (60, -52, -30),
        (54, -44, -38),
    ]
    lateral += [(46, -42, -48), (40, -42, -58), (34, -36, -68)]
    transverse = tree.line(lateral, (3.6, 3.2), sss[-1], 2)
    back = tree.line(VEINS["straight0"][0], VEINS["straight0"][1], -1, 3)
    tree.line([tree.nodes[back[-1]][:3], tuple(torcula)], (2.8, 3.4), back[-1], 3)
    for name in ("internal", "basal"):
        tree.line(*VEINS[name], -1, 3)
    fixed = len(tree.nodes)
    outer = ndimage.binary_dilation(hull, iterations=1) & ~ndimage.binary_erosion(hull, iterations=2)
    room = outer & (~brain | (csf > 0.15)) & ~infratentorial(brain.shape, STEP)
    cost = np.where(room, 1.0 / (0.15 + csf), np.inf)
    candidates = np.argwhere(room & ndimage.binary_erosion(hull, iterations=1))
    targets = np.ravel_multi_index(tuple(candidates[spread(candidates, 20.0, 2)].T), brain.shape)
    roots = sss[::4] + transverse[8:-12:4]
    grow(tree, cost, targets, roots, np.zeros(len(roots)), 130.0)
    tree.smooth(fixed)
    tree.radii(fixed, 0.75, 1.5)
    return tree
