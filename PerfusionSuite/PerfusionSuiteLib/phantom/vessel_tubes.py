# SPDX-License-Identifier: Apache-2.0
"""Arteries and veins as tapering tubes whose volume enters the voxels they pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..core.geometry import FloatArray
from .anatomy import FineGrid, Pose
from .atlas import Atlas, VesselTree
from .draws import stream

SAMPLES_PER_MM3 = 14.0
_EXTRA_S_PER_MM = 1.3 / 300.0  # cortical branches about 300 mm from the carotid's base fill after 1.3 s


@dataclass(frozen=True)
class Tubes:
    """Vessels of one kind in a patient, as short cylinders.

    Parameters
    ----------
    start, end : ndarray, shape (3, n), mm
        Ends in RAS.
    radii : ndarray, shape (2, n), mm
        Radii at the ends.
    delay_s : ndarray, shape (n,), s
        Arrival after the feeding artery.
    filled : ndarray of bool, shape (n,)
        False where blood does not flow (thrombus).
    """

    start: FloatArray
    end: FloatArray
    radii: FloatArray
    delay_s: FloatArray
    filled: NDArray[np.bool_]


@dataclass(frozen=True)
class VesselVolume:
    """Vessels on the fine grid, at the voxels that hold any.

    Parameters
    ----------
    where : ndarray of int, shape (n,)
        Flat indices into the fine grid.
    fraction : ndarray, shape (n,)
        Volume fraction of flowing blood.
    delay_s : ndarray, shape (n,), s
        Mean arrival after the feeding artery.
    clot : ndarray, shape (n,)
        Volume fraction of thrombus.
    """

    where: NDArray[np.int64]
    fraction: NDArray[np.float32]
    delay_s: NDArray[np.float32]
    clot: NDArray[np.float32]


def both_sides(tree: VesselTree) -> tuple[VesselTree, NDArray[np.bool_]]:
    """Mirror a tree to the left; vessels in the midline are kept once.

    Parameters
    ----------
    tree : VesselTree
        The right half.

    Returns
    -------
    VesselTree
        Both halves.
    ndarray of bool
        Which nodes lie on the left.
    """
    n = len(tree.parents)
    mirrored = tree.nodes.copy()
    mirrored[:, 0] *= -1.0
    parents = np.where(tree.parents >= 0, tree.parents + n, -1)
    joined = np.append(tree.parents, parents)
    twin = (np.abs(np.concatenate([tree.nodes, mirrored])[:, 0]) < 0.05) & (np.arange(2 * n) >= n)
    lone = twin & (joined >= 0)
    joined[lone] = -2  # the mirror image of a midline vessel is itself: drawn once
    return VesselTree(np.concatenate([tree.nodes, mirrored]), joined), np.arange(2 * n) >= n


def make_arteries(
    seed: int, pose: Pose, atlas: Atlas, extra_delay: Callable[[FloatArray, NDArray[Any]], FloatArray], closed: Callable[..., Any]
) -> Tubes:
    """Place the arterial tree in the patient.

    Parameters
    ----------
    seed : int
        The patient.
    pose : Pose
        The head's geometry.
    atlas : Atlas
        The average brain with its vessels.
    extra_delay : callable
        Takes nodes' atlas positions (3, n) and territories (n,); gives the delay (s) that a lesion adds.
    closed : callable
        Takes nodes (n, 7) and whether they lie on the left; says which are blocked.

    Returns
    -------
    Tubes
        Arteries.
    """
    rng = stream(seed, "vessels")
    tree, left = both_sides(atlas.arteries)
    nodes, parents = tree.nodes, tree.parents
    # The partial volume of a patient's arteries spreads the ratio of venous to arterial areas as in clinical scans.
    scale = float(np.clip(1.02 * np.exp(0.25 * special.ndtri(rng.uniform(0.005, 0.995))), 0.56, 1.65))
    pace = rng.uniform(0.75, 1.25)
    delay = pace * _EXTRA_S_PER_MM * nodes[:, 4] + extra_delay(nodes[:, :3].T, nodes[:, 5])
    edge = np.flatnonzero(parents >= 0)
    placed = pose.to_scanner(nodes[:, :3].T.copy())
    return Tubes(
        placed[:, parents[edge]],
        placed[:, edge],
        scale * np.stack([nodes[parents[edge], 3], nodes[edge, 3]]),
        delay[edge],
        ~np.asarray(closed(nodes, left), bool)[edge],
    )


def make_veins(seed: int, pose: Pose, atlas: Atlas) -> Tubes:
    """Place sinuses and cortical veins in the patient; delays are relative to the torcula's curve.

    Parameters
    ----------
    seed : int
        The patient.
    pose : Pose
        The head's geometry.
    atlas : Atlas
        The average brain with its vessels.

    Returns
    -------
    Tubes
        Veins.
    """
    rng = stream(seed, "vessels", 1)
    tree, left = both_sides(atlas.veins)
    nodes, parents = tree.nodes.copy(), tree.parents
    scale, dominance = rng.uniform(0.65, 1.2), rng.normal(0.0, 0.15)
    lateral = nodes[:, 5] == 2
    nodes[lateral, 3] *= 1.0 + np.clip(dominance, -0.35, 0.35) * np.where(left[lateral], -1.0, 1.0)
    cortical = nodes[:, 3] < 1.6
    front = (nodes[:, 1] + 90.0) / 160.0
    delay = np.where(cortical, -1.2, -0.5 * front) + np.where(lateral, 0.4, 0.0) - 0.4 * (nodes[:, 5] == 3)
    edge = np.flatnonzero(parents >= 0)
    placed = pose.to_scanner(nodes[:, :3].T.copy())
    radii = scale * np.stack([nodes[parents[edge], 3], nodes[edge, 3]])
    return Tubes(placed[:, parents[edge]], placed[:, edge], radii, delay[edge], np.ones(edge.size, bool))


def fill_voxels(seed: int, kind: int, tubes: Tubes, grid: FineGrid) -> VesselVolume:
    """Put tubes into the fine grid by scattering points through their volume.

    Parameters
    ----------
    seed : int
        The patient.
    kind : int
        0 for arteries, 1 for veins: separate random streams.
    tubes : Tubes
        Vessels.
    grid : FineGrid
        The grid.

    Returns
    -------
    VesselVolume
        Volume fractions and delays.
    """
    rng = stream(seed, "vessels", 2, kind)
    length = np.linalg.norm(tubes.end - tubes.start, axis=0)
    volume = np.pi * length * (tubes.radii[0] ** 2 + tubes.radii[0] * tubes.radii[1] + tubes.radii[1] ** 2) / 3.0
    count = np.maximum(8, np.ceil(volume * SAMPLES_PER_MM3)).astype(int)
    owner = np.repeat(np.arange(count.size), count)
    t, rho, angle = rng.random(owner.size), np.sqrt(rng.random(owner.size)), 2 * np.pi * rng.random(owner.size)
    axis = (tubes.end - tubes.start) / np.maximum(length, 1e-6)
    first = np.cross(axis.T, np.where(np.abs(axis[0]) < 0.7, np.eye(3)[:, :1], np.eye(3)[:, 1:2]).T).T
    first /= np.linalg.norm(first, axis=0)
    second = np.cross(axis.T, first.T).T
    radius = rho * (tubes.radii[0, owner] * (1 - t) + tubes.radii[1, owner] * t)
    points = tubes.start[:, owner] + t * (tubes.end - tubes.start)[:, owner]
    points += radius * (np.cos(angle) * first[:, owner] + np.sin(angle) * second[:, owner])
    weight = volume[owner] / count[owner] / grid.step_mm**3
    index = np.linalg.inv(grid.affine) @ np.vstack([points, np.ones(owner.size)])
    return _collect(index[2::-1], weight, tubes.delay_s[owner], tubes.filled[owner], grid.shape)


def _collect(
    index: FloatArray, weight: FloatArray, delay: FloatArray, filled: NDArray[np.bool_], shape: tuple[int, int, int]
) -> VesselVolume:
    """Share each point among its eight voxels; `index` is (k, j, i)."""
    low = np.floor(index).astype(np.int64)
    rest = index - low
    size = int(np.prod(shape))
    blood, clot, moment = np.zeros(size), np.zeros(size), np.zeros(size)
    for corner in np.ndindex(2, 2, 2):
        at = low + np.array(corner)[:, None]
        share = weight * np.prod(np.where(np.array(corner)[:, None] == 1, rest, 1.0 - rest), axis=0)
        ok = ((at >= 0) & (at < np.array(shape)[:, None])).all(axis=0)
        flat = np.ravel_multi_index(tuple(at[:, ok]), shape)
        share, flowing = share[ok], filled[ok]
        blood += np.bincount(flat, share * flowing, size)
        clot += np.bincount(flat, share * ~flowing, size)
        moment += np.bincount(flat, share * flowing * delay[ok], size)
    total = blood + clot
    where = np.flatnonzero(total > 2e-3)
    shrink = np.minimum(1.0, 1.0 / total[where])
    mean = moment[where] / np.maximum(blood[where], 1e-9)
    return VesselVolume(
        where, (blood[where] * shrink).astype(np.float32), mean.astype(np.float32), (clot[where] * shrink).astype(np.float32)
    )
