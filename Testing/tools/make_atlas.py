# SPDX-License-Identifier: Apache-2.0
"""Make the atlas of the digital patients from the ICBM 2009a templates that come with nilearn's wheel.

Usage: python make_atlas.py WHEEL-OR-FOLDER [OUT]

The tissue maps are the template's. Trunks of vessels are drawn by hand (atlas_vessels.py); branches are cheapest
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
from atlas_grid import ORIGIN, STEP, coordinates, from_sources, graph, index_of, infratentorial
from atlas_vessels import Tree, arteries, divided_below, veins
from scipy import ndimage

TEMPLATE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
GROUPS = ("none", "aca", "m2-superior", "m2-inferior", "deep", "pca", "basilar")
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
