# SPDX-License-Identifier: Apache-2.0
"""Perfusion maps of cubes: regions grown from random seeds, and scenes that resemble gray and white matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ...core.geometry import FloatArray
from .acceleration import compiled
from .values import FLOOR_FLOW, Index, Preset

REGIONS = 40
HIGHEST_FLOW = 80.0
FLUCTUATION = 0.1
TISSUE_T1_S = (0.9, 1.5)
GRAY, WHITE = (40.0, 80.0), (15.0, 30.0)
GRAY_T1_S, WHITE_T1_S = (1.15, 1.5), (0.75, 1.05)
_LONELY_MM = 6.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a cube's tissue is like.

    Parameters
    ----------
    perfusion : ndarray, shape (n, n, n), mL/100 g/min
        0 where there is no tissue.
    t1_tissue_s : ndarray, shape (n, n, n), s
        Relaxation time of tissue.
    kind : str
        ``regions`` or ``tissue``, with ``+ischemia`` when a part is.
    """

    perfusion: FloatArray
    t1_tissue_s: FloatArray
    kind: str


def _spread_regions(label: Any, front: Any, filled: Any, alive: Any, rng: Any) -> None:
    """Let regions grow voxel by voxel in random turns until all is owned (plain loops, compiled when possible)."""
    n = label.shape[0]
    living = alive.size
    while living > 0:
        turn = int(rng.random() * living)
        region = alive[turn]
        if filled[region] == 0:
            living -= 1
            alive[turn] = alive[living]
            continue
        place = int(rng.random() * filled[region])
        voxel = front[region, place]
        x, y, z = voxel // (n * n), (voxel // n) % n, voxel % n
        free = 0
        chosen = -1
        for d in range(6):
            u, v, w = x, y, z
            step = 1 if d % 2 == 0 else -1
            if d < 2:
                u += step
            elif d < 4:
                v += step
            else:
                w += step
            if min(u, v, w) < 0 or max(u, v, w) >= n or label[u, v, w] >= 0:
                continue
            free += 1
            if rng.random() * free < 1.0:
                chosen = (u * n + v) * n + w
        if free <= 1:  # none, or the one that is taken now
            filled[region] -= 1
            front[region, place] = front[region, filled[region]]
        if chosen >= 0:
            label[chosen // (n * n), (chosen // n) % n, chosen % n] = region
            front[region, filled[region]] = chosen
            filled[region] += 1


def region_map(size: int, rng: np.random.Generator, regions: int = REGIONS) -> NDArray[np.int32]:
    """Divide a cube into connected random regions.

    Parameters
    ----------
    size : int
        Voxels per edge.
    rng : numpy.random.Generator
        Draws.
    regions : int
        How many.

    Returns
    -------
    ndarray of int, shape (size, size, size)
        Number of each voxel's region.
    """
    label = np.full((size, size, size), -1, np.int32)
    seeds = rng.choice(size**3, regions, replace=False)
    label.ravel()[seeds] = np.arange(regions)
    front = np.empty((regions, size**3), np.int32)
    front[:, 0] = seeds
    compiled(_spread_regions)(label, front, np.ones(regions, np.int64), np.arange(regions), rng)
    return label


def make_scene(preset: Preset, rng: np.random.Generator) -> Scene:
    """Draw the tissue of a cube.

    Parameters
    ----------
    preset : Preset
        Which scenes may come.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    Scene
        Perfusion and relaxation.
    """
    n = preset.size_mm
    label = region_map(n, rng)
    if rng.random() < preset.tissue_share:
        flow, t1 = _tissue(n, label, rng)
        kind = "tissue"
    else:
        flow = (HIGHEST_FLOW * rng.random(REGIONS))[label]
        t1 = rng.uniform(*TISSUE_T1_S, REGIONS)[label]
        kind = "regions"
    if rng.random() < preset.ischemia_share:
        flow = flow * np.where(_ball(n, rng), rng.uniform(0.2, 0.5), 1.0)
        kind += "+ischemia"
    within = flow > 0
    varied = flow * rng.uniform(1.0 - FLUCTUATION, 1.0 + FLUCTUATION, flow.shape)
    return Scene(np.where(within, np.maximum(FLOOR_FLOW, varied), 0.0), t1, kind)


def _tissue(n: int, label: Index | NDArray[np.int32], rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a folded ribbon of gray matter around white matter, sometimes with fluid beyond it."""
    field = ndimage.gaussian_filter(rng.standard_normal((n, n, n)), rng.uniform(3.0, 5.0), mode="nearest")
    rank = field.ravel().argsort().argsort().reshape(field.shape) / field.size
    fluid = rng.uniform(0.05, 0.35) if rng.random() < 0.5 else 0.0
    ribbon = fluid + rng.uniform(0.3, 0.6) * (1.0 - fluid)
    gray, white = rank < ribbon, rank >= ribbon
    regions = int(label.max()) + 1
    flow = np.where(gray, rng.uniform(*GRAY, regions)[label], rng.uniform(*WHITE, regions)[label])
    t1 = np.where(white, rng.uniform(*WHITE_T1_S), rng.uniform(*GRAY_T1_S))
    return _without_crumbs(np.where(rank < fluid, 0.0, flow)), t1


def _without_crumbs(flow: FloatArray) -> FloatArray:
    """Leave out single voxels in the fluid that no vessel could reach."""
    place = np.argwhere(flow > 0)
    if len(place) == flow.size:
        return flow
    lonely = place[cKDTree(place).query(place, k=2)[0][:, 1] > _LONELY_MM]
    kept = flow.copy()
    kept[tuple(lonely.T)] = 0.0
    return kept


def _ball(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return an ellipsoid somewhere in the cube."""
    middle, axes = rng.uniform(0.0, n, 3), rng.uniform(0.2 * n, 0.6 * n, 3)
    grid = np.stack(np.meshgrid(*[np.arange(n) + 0.5] * 3, indexing="ij"), axis=-1)
    return np.asarray((((grid - middle) / axes) ** 2).sum(axis=-1) < 1.0)
