# SPDX-License-Identifier: Apache-2.0
"""Regions of alike curves within each tissue class: k-means of the curves' shape with a weak pull towards compactness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray, voxel_volume_ml
from .physical_features import CurveFeatures

TISSUES: Mapping[int, str] = MappingProxyType({1: "GM", 2: "WM", 3: "CSF", 4: "BrainStem"})
"""Tissue labels that are divided, in this order."""

STARTS = 10
SAMPLE = 20_000
"""Voxels of a class that the centres are found on; all are assigned afterwards."""

ITERATIONS = 40
POSITION_SCALE_MM = 50.0
"""Distance that weighs as much as one robust standard deviation of a feature, before `position_weight`."""

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class RegionRules:
    """How a brain is divided.

    Parameters
    ----------
    counts : mapping of int to int
        Regions of each tissue label (see `TISSUES`); labels that are left out become one region.
    min_volume_ml : float, mL
        Smaller regions join their most alike neighbor.
    position_weight : float
        Weight of the position, 0 for none.
    delay_weight : float
        Weight of the mean time of the first pass, 0 for none.
    seed : int
        Seed of the starts; the same seed gives the same regions.
    """

    counts: Mapping[int, int]
    min_volume_ml: float = 2.0
    position_weight: float = 0.1
    delay_weight: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Regions:
    """Which voxel belongs to which region.

    Parameters
    ----------
    number : ndarray of int32, shape (n,)
        Region of each voxel from 1 on; 0 for voxels that belong to none.
    tissue : tuple of str
        Tissue of each region, the first for region 1.
    """

    number: NDArray[np.int32]
    tissue: tuple[str, ...]


def robust_scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract medians and divide by robust standard deviations, column by column.

    Parameters
    ----------
    values : ndarray, shape (n, f)
        Features.

    Returns
    -------
    ndarray of float32, shape (n, f)
        Scaled features; a column without any spread becomes zero.

    Notes
    -----
    The median absolute deviation is zero when half of the voxels share one value, as times to peak do; then the interquartile
    range serves, then the standard deviation (hemopic.md, weakness 14).
    """
    shifted = values - np.median(values, axis=0)
    scaled = np.zeros(values.shape, np.float32)
    for column in range(values.shape[1]):
        x = shifted[:, column]
        quarters = np.percentile(x, [25, 75])
        for spread in (1.4826 * np.median(np.abs(x)), (quarters[1] - quarters[0]) / 1.349, x.std()):
            if spread > 1e-9 * max(1.0, float(np.abs(x).max())):
                scaled[:, column] = x / spread
                break
    return scaled


def region_features(
    features: CurveFeatures, index: NDArray[np.int64], shape: tuple[int, ...], affine: FloatArray, rules: RegionRules
) -> NDArray[np.float32]:
    """Return what regions are told apart by.

    Parameters
    ----------
    features : CurveFeatures
        Of each voxel.
    index : ndarray of int, shape (n,)
        Flat indices of the voxels into the grid.
    shape : tuple of int, (I, J, K)
        Grid.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    rules : RegionRules
        Weights.

    Returns
    -------
    ndarray of float32, shape (n, f)
        Scaled features; positions are in mm, whatever the spacing.
    """
    shown = np.stack([features.peak, features.ttp_s, features.area, features.mean_s], axis=1)
    weights = np.array([1.0, 1.0, 1.0, rules.delay_weight], np.float32)
    columns = [robust_scaled(np.nan_to_num(shown)) * weights]
    if rules.position_weight > 0:
        voxel = np.stack(np.unravel_index(index, shape), axis=1)
        place = voxel @ np.asarray(affine)[:3, :3].T
        columns.append(((place - place.mean(axis=0)) * (rules.position_weight * 10.0 / POSITION_SCALE_MM)).astype(np.float32))
    return np.concatenate(columns, axis=1)


def k_means(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Find cluster centres: k-means++ with several starts, the best of which is kept.

    Parameters
    ----------
    points : ndarray, shape (n, f)
        Features.
    count : int
        Clusters; fewer when there are fewer different points.
    seed : int
        Seed.

    Returns
    -------
    ndarray, shape (k, f)
        Centres.

    References
    ----------
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """
    rng = np.random.default_rng(seed)
    sample = points if len(points) <= SAMPLE else points[np.sort(rng.choice(len(points), SAMPLE, replace=False))]
    best, least = sample[:1], np.inf
    for _ in range(STARTS):
        centres = _spread_starts(sample, count, rng)
        for _ in range(ITERATIONS):
            nearest, distance = assign(sample, centres)
            moved = _means(sample, nearest, centres)
            still = np.abs(moved - centres).max() < 1e-4
            centres = moved
            if still:
                break
        total = float(distance.sum())
        if total < least * (1.0 - 1e-9):
            best, least = centres, total
    return best


def _spread_starts(points: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = [points[rng.integers(len(points))]]
    distance = ((points - chosen[0]) ** 2).sum(axis=1).astype(np.float64)
    while len(chosen) < count and distance.sum() > 0:
        chosen.append(points[rng.choice(len(points), p=distance / distance.sum())])
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen, np.float32)


def _means(points: NDArray[np.float32], nearest: NDArray[np.int32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of the clusters; an empty one keeps its centre."""
    sizes = np.bincount(nearest, minlength=len(centres))
    sums = np.stack([np.bincount(nearest, points[:, f], len(centres)) for f in range(points.shape[1])], axis=1)
    return np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres).astype(np.float32)


def assign(points: NDArray[np.float32], centres: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nearest centre of each point, and the squared distance to it.

    Parameters
    ----------
    points : ndarray, shape (n, f)
        Features.
    centres : ndarray, shape (k, f)
        Centres.

    Returns
    -------
    nearest : ndarray of int32, shape (n,)
        Number of the centre.
    distance : ndarray, shape (n,)
        Squared distance.
    """
    nearest, distance = np.empty(len(points), np.int32), np.empty(len(points), np.float32)
    lengths = (centres**2).sum(axis=1)
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        d = lengths - 2.0 * (part @ centres.T)
        nearest[start : start + _CHUNK] = d.argmin(axis=1)
        distance[start : start + _CHUNK] = np.maximum(d.min(axis=1) + (part**2).sum(axis=1), 0.0)
    return nearest, distance


def _without_small(
    points: NDArray[np.float32], number: NDArray[np.int32], centres: NDArray[np.float32], least: float
) -> NDArray[np.int32]:
    """Join small clusters to the large one with the nearest centre, and count from 0 again."""
    sizes = np.bincount(number, minlength=len(centres))
    large = np.flatnonzero(sizes >= least)
    if not large.size:
        return np.zeros_like(number)
    joined, _ = assign(centres, centres[large])
    joined[large] = np.arange(large.size)
    return joined[number].astype(np.int32)


def make_regions(
    features: CurveFeatures,
    tissue: NDArray[np.uint8],
    index: NDArray[np.int64],
    shape: tuple[int, ...],
    affine: FloatArray,
    rules: RegionRules,
) -> Regions:
    """Divide each tissue class into regions of alike curves.

    Parameters
    ----------
    features : CurveFeatures
        Of each voxel.
    tissue : ndarray of uint8, shape (n,)
        Tissue label of each voxel; 0 belongs to no region.
    index : ndarray of int, shape (n,)
        Flat indices of the voxels into the grid.
    shape : tuple of int, (I, J, K)
        Grid.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    rules : RegionRules
        How to divide.

    Returns
    -------
    Regions
        Region of each voxel.

    Raises
    ------
    InvalidInputError
        If a number of regions is not positive or a label is unknown.
    """
    unknown = sorted(set(np.unique(tissue).tolist()) - {0, *TISSUES})
    if unknown:
        msg = (
            f"The tissue labels hold {unknown}; 0 background, 1 gray matter, 2 white matter, 3 fluid and 4 brain stem are known."
        )
        raise InvalidInputError(msg)
    if any(count < 1 for count in rules.counts.values()):
        msg = f"A tissue needs at least one region, not {dict(rules.counts)}. Correct the settings."
        raise InvalidInputError(msg)
    least = rules.min_volume_ml / voxel_volume_ml(affine)
    number, names = np.zeros(tissue.size, np.int32), list[str]()
    for label, name in TISSUES.items():
        here = np.flatnonzero(tissue == label)
        if not here.size:
            continue
        count = rules.counts.get(label, 1)
        own = np.zeros(here.size, np.int32)
        if count > 1 and here.size >= 2 * max(least, 1.0):
            part = CurveFeatures(*(getattr(features, field)[here] for field in CurveFeatures.__slots__))
            points = region_features(part, index[here], shape, affine, rules)
            centres = k_means(points, count, rules.seed + label)
            own = _without_small(points, assign(points, centres)[0], centres, least)
        number[here] = own + 1 + len(names)
        names += [name] * (int(own.max()) + 1)
    return Regions(number, tuple(names))
