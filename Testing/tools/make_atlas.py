# SPDX-License-Identifier: Apache-2.0
"""Make the atlas of the digital patients from the ICBM 2009a templates that come with nilearn's wheel.

Usage: python make_atlas.py WHEEL-OR-FOLDER [OUT]

The tissue maps are the template's. Trunks of vessels are drawn by hand below; branches are cheapest
paths through sulcal fluid from the trunks to points spread over the cortex, so that they run where
pial vessels run; territories are the tissue nearest, through tissue, to each branch.
The template is exactly symmetric: only its right half is kept.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

TEMPLATE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
ORIGIN = np.array([-98.0, -134.0, -72.0])
STEP = 2.0

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
GROUPS = ("none", "aca", "m2-superior", "m2-inferior", "deep", "pca", "basilar")
ROOTS = {"a2": 1, "m2-superior": 2, "m2-inferior": 3, "pca": 5}
HEAD_START = {"a2": 22.0, "m2-superior": 6.0, "m2-inferior": 0.0, "pca": 38.0}
VEINS = {
    "straight0": ([(0, -42, 4), (0, -56, 4), (0, -72, -4), (0, -88, -14)], (2.0, 2.8)),
    "internal": ([(2, -2, 17), (2, -18, 17), (2, -32, 12), (0, -42, 4)], (0.9, 1.4)),
    "basal": ([(18, -4, -17), (17, -18, -12), (13, -30, -4), (0, -42, 4)], (0.9, 1.2)),
}
NUCLEI = (  # centre, half axes
    ((12, 14, 8), (7, 11, 11)), ((15, -2, 20), (6, 14, 7)), ((25, 3, 0), (11, 19, 12)), ((12, -18, 8), (12, 15, 11)),
)  # fmt: skip


def templates(source: Path) -> dict[str, np.ndarray]:
    """Return the right half (x from 0 to 98 mm) of the grey, white and T1 templates, uint8."""
    maps = {}
    for name in ("gm", "wm", "t1"):
        if source.is_dir():
            image = nibabel.load(source / TEMPLATE.format(name))
        else:
            raw = zipfile.ZipFile(source).read(TEMPLATE.format(name))
            image = nibabel.Nifti1Image.from_bytes(gzip.decompress(raw))
        data = np.asanyarray(image.dataobj)
        if not np.array_equal(data, data[::-1]):
            raise SystemExit("The template is not symmetric: this is not the 2009a symmetric one.")
        maps[name] = data[98:]
    return maps


def coordinates(shape: tuple[int, ...], step: float) -> tuple[np.ndarray, ...]:
    """Return atlas mm of the voxels of a right-half grid."""
    i, j, k = np.meshgrid(*[np.arange(n) * step for n in shape], indexing="ij", sparse=True)
    return i, j + ORIGIN[1], k + ORIGIN[2]


def halve(values: np.ndarray) -> np.ndarray:
    """Return means over 2 mm cells centred on even millimetres."""
    return ndimage.uniform_filter(values.astype(np.float32), 2, mode="nearest", origin=-1)[::2, ::2, ::2]


def nuclei_mask(maps: dict[str, np.ndarray]) -> np.ndarray:
    """Return deep grey nuclei: template grey matter within hand-placed ellipsoids."""
    x, y, z = coordinates(maps["gm"].shape, 1.0)
    inside = np.zeros(maps["gm"].shape, bool)
    for (cx, cy, cz), (ax, ay, az) in NUCLEI:
        inside |= ((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2 + ((z - cz) / az) ** 2 < 1
    inside &= (x < 33) & (maps["gm"] > 45) & (maps["t1"] > 140)
    return ndimage.binary_opening(inside, iterations=1)


def infratentorial(shape: tuple[int, ...], step: float) -> np.ndarray:
    """Return what lies below the tentorium, drawn as a smooth surface."""
    x, y, z = coordinates(shape, step)
    roof = -22 + 24 * np.exp(-((x / 20) ** 2) - ((y + 54) / 17) ** 2)
    stem = (x < 19 - 0.25 * np.clip(z + 14, -30, 0)) & (y < -10) & (z < -14)
    return ((y < -36 - 0.12 * x) & (z < roof)) | (stem & (y > -40))


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


def index_of(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return flat 2 mm grid indices of atlas points on the right."""
    ijk = np.round((points - [0.0, ORIGIN[1], ORIGIN[2]]) / STEP).astype(int)
    return np.ravel_multi_index(tuple(np.clip(ijk, 0, np.array(shape) - 1).T), shape)


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


def territories(tree: Tree, brain: np.ndarray, csf: np.ndarray, nuclei: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return group, branch and length of the path to each 2 mm voxel (artery plus tissue)."""
    nodes = np.array(tree.nodes)
    feeding = np.flatnonzero(np.isin(nodes[:, 5], [1, 2, 3, 5]) & (nodes[:, 3] < 1.2))
    below = infratentorial(brain.shape, STEP)
    cost = np.where(brain & ~below, 1.0 + 6.0 * csf, np.inf)
    where = index_of(nodes[feeding, :3], brain.shape)
    cost.ravel()[where] = np.minimum(cost.ravel()[where], 4.0)
    where, first = np.unique(where, return_index=True)
    distance, before = from_sources(graph(cost), where, np.zeros(where.size))
    owner = np.full(brain.size, -1)
    owner[where] = feeding[first]
    for v in np.argsort(distance):
        if np.isfinite(distance[v]) and owner[v] < 0 and before[v] >= 0:
            owner[v] = owner[before[v]]
    owner = owner.reshape(brain.shape)
    known = owner >= 0
    group = np.where(known, nodes[owner, 5], 0).astype(np.uint8)
    branch = np.where(known, nodes[owner, 6], 0).astype(np.uint8)
    path = np.where(known, nodes[owner, 4] + distance.reshape(brain.shape), 0)
    x, y, z = coordinates(brain.shape, STEP)
    middle = (group == 2) | (group == 3)
    group[middle] = 2 + np.broadcast_to(divided_below(y, z), brain.shape)[middle]
    striatal = ((x - 20) / 13) ** 2 + ((y - 3) / 22) ** 2 + ((z - 7) / 19) ** 2 < 1
    thalamus = ((x - 11) / 12) ** 2 + ((y + 19) / 14) ** 2 + ((z - 6) / 13) ** 2 < 1
    group[striatal & brain & (x < 32)] = 4
    group[thalamus & brain] = 5
    group[below & brain] = 6
    path = np.where(group == 4, 25.0 + 0.6 * np.hypot(z + 15, x - 20), path)
    path = np.where(group == 6, 45.0 + 0.5 * np.abs(y + 20) + 0.3 * np.abs(z + 30), path)
    path = np.where(thalamus & brain, 60.0 + 0.5 * np.abs(z + 10), path)
    lost = (group == 0) | (path <= 0)
    fill = ndimage.distance_transform_edt(lost, return_distances=False, return_indices=True)
    return group[tuple(fill)], branch[tuple(fill)], np.clip(path[tuple(fill)] / 2.0, 0, 255).astype(np.uint8)


def vault(hull: np.ndarray) -> np.ndarray:
    """Return slices of the hull with their dents filled: the inside of the skull is round above its base."""
    filled = np.zeros_like(hull)
    for k in range(hull.shape[2]):
        z = ORIGIN[2] + STEP * (k - 12)
        if not hull[:, :, k].any() or z < -34:
            continue
        wide = np.pad(hull[:, :, k], 40)
        grown = ndimage.distance_transform_edt(~wide) <= 30.0
        closed = (ndimage.distance_transform_edt(grown) > 30.0)[40:-40, 40:-40]
        if z < -6:
            closed[:, round((-46 - ORIGIN[1]) / STEP) + 12 :] = False
        filled[:, :, k] = closed
    return filled


def packed(tree: Tree) -> dict[str, object]:
    """Return a tree as short JSON lists."""
    return {"nodes": [[round(float(v), 2) for v in node] for node in tree.nodes], "parents": tree.parents}


def main() -> None:
    """Make the atlas."""
    source = Path(sys.argv[1])
    default = Path(__file__).parents[2] / "PerfusionSuite/PerfusionSuiteLib/data/atlas"
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else default
    maps = templates(source)
    inside = ndimage.binary_fill_holes(maps["t1"] > 0)
    dark = np.where(inside, np.clip(190.0 - maps["t1"], 0, 110) * 2.0, 0)
    fluid = np.where(inside, np.clip((158.0 - maps["t1"]) / 45.0, 0, 1), 0)
    brain, csf, grey = halve(inside) > 0.5, halve(fluid), halve(maps["gm"] / 255.0)
    full = np.concatenate([brain[:0:-1], brain])
    pad = np.pad(full, 12)
    hull = ndimage.binary_closing(pad, iterations=10)
    hull = (hull | vault(hull))[12:-12, 12:-12, 12:-12][-brain.shape[0] :]
    outside = np.where(brain, csf, np.where(ndimage.binary_dilation(hull, iterations=1), 0.6, 0.0))
    nuclei = nuclei_mask(maps)
    red = arteries(outside, brain, grey)
    blue = veins(outside, brain, hull)
    group, branch, path = territories(red, brain, csf, nuclei)
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / "atlas.npz",
        grey=maps["gm"] & 0xF8,
        white=maps["wm"] & 0xF8,
        dark=(dark.astype(np.uint8) & 0xF8),
        brain=np.packbits(inside),
        nuclei=np.packbits(nuclei),
        below=np.packbits(infratentorial(inside.shape, 1.0) & inside),
        hull=np.packbits(hull),
        group=group,
        branch=branch,
        half_path_mm=path,
        origin=np.array([0.0, ORIGIN[1], ORIGIN[2]]),
    )
    text = {"comment": "Right half, atlas mm: x y z radius path group branch", "groups": GROUPS}
    trees = {"arteries": packed(red), "veins": packed(blue)}
    (out / "vessels.json").write_text(json.dumps({**text, **trees}, separators=(",", ":")) + "\n")
    sizes = {name: int((group[brain] == n).sum() * STEP**3 / 1000) for n, name in enumerate(GROUPS)}
    print(f"{len(red.nodes)} arterial and {len(blue.nodes)} venous nodes, {branch.max()} branches, mL per side: {sizes}")


if __name__ == "__main__":
    main()
