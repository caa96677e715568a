# SPDX-License-Identifier: Apache-2.0
"""Automatic choice of the arterial input: scored candidates, connected groups, the bright core of the best one.

Which voxels are candidates is decided in `arterial_criteria`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from .arterial_criteria import CALM_SHARE, LEAST_BLOOD, blood_part, shaped_like_arteries
from .features import CurveFeatures, curve_features
from .neighbors import any_near, components
from .pool import Pool, smoothed

PEAK_WEIGHT, ARRIVAL_WEIGHT, WIDTH_WEIGHT = 1.0, 3.5, 1.0
"""Weights of the standardised features (Straka et al., J. Magn. Reson. Imaging 32:1024, 2010)."""

BASELINE_HU = (10.0, 100.0)
LATEST_RISE_S = 2.0
"""Blood takes 3 s or more through the brain; arteries of one patient differ by less, unless one is blocked."""

LEAST_TIME_SPREAD_S = 1.0
"""Candidates that all arrive together differ by noise only, which must not be blown up to unit variance."""

DOUBT = 3.0
"""How many times the misfit of a curve is taken off its height."""

CORE_VOXELS = 5
OTHERS = 5
"""Groups beside the best one whose voxels are kept, in case tissue cannot have been fed by that."""

FEWEST_VOXELS, MOST_VOXELS = 3, 15
KEEP_LEVEL, SAME_TIME_S, REFINING_ROUNDS = 0.6, 0.2, 3
MOST_DELAY_S, EARLY_SHARE, EARLY_SHARE_MOVED = 1.0, 0.15, 0.3
SMOOTH_VARIANCE = 0.4
"""What smoothing in time leaves of the variance of noise."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Chosen voxels.

    Parameters
    ----------
    index : ndarray of int
        Flat indices.
    score : float
        Mean score of the core, larger is better.
    wider : bool
        True when only the wider second search found something.
    others : tuple of ndarray of int
        Voxels that other groups lead to, the best first.
    """

    index: NDArray[np.int64]
    score: float
    wider: bool = False
    others: tuple[NDArray[np.int64], ...] = ()


def beside_veins(pool: Pool, allowed: BoolArray, rank: int) -> BoolArray:
    """Return which candidates touch a large vein in their slice, whose blood might leak into them.

    Parameters
    ----------
    pool : Pool
        Candidates.
    allowed : ndarray of bool, shape (n,)
        Candidates for arteries.
    rank : int
        How many of them rise early.

    Returns
    -------
    ndarray of bool, shape (n,)
        True beside a voxel with much blood that rises clearly later than the first arteries.
    """
    members = np.flatnonzero(allowed)
    if members.size == 0:
        return np.zeros(pool.index.size, bool)
    late = (blood_part(pool) >= LEAST_BLOOD) & (pool.features.rise_s > _latest_rise(pool, members, rank))
    flag = np.zeros(pool.shape, bool)
    flag.reshape(-1)[pool.index[late]] = True
    steps = np.array([(i, j, 0) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    return any_near(flag, pool.index, steps, outside=False)


def search(pool: Pool, allowed: BoolArray, baseline: NDArray[np.floating] | None, smallest: int, share: float) -> Choice | None:
    """Return the best connected group of arterial candidates.

    Parameters
    ----------
    pool : Pool
        Candidates.
    allowed : ndarray of bool, shape (n,)
        Which of them may be used.
    baseline : ndarray, shape (I, J, K), HU, optional
        Unenhanced CT; a group of calcified or fluid-like voxels is refused.
    smallest : int
        Least number of voxels of a group.
    share : float
        Part of the scored candidates that forms groups.

    Returns
    -------
    Choice or None
        None when no group is large enough.
    """
    members = np.flatnonzero(allowed)
    if members.size < smallest:
        return None
    members = _earliest(pool, members, 2 * smallest)
    scale = _Scale.of(pool.features, members)
    score = scale.score(pool.features)
    count = max(int(np.ceil(share * members.size)), min(members.size, 4 * smallest))
    best = np.sort(members[np.argsort(-score[members], kind="stable")[:count]])
    labels = components(pool.index[best], pool.shape)
    groups = [best[labels == label] for label in np.unique(labels)]
    groups = [g for g in groups if g.size >= smallest and _plausible_tissue(pool, g, baseline)]
    if not groups:
        return None
    cores = [group[np.argsort(-score[group], kind="stable")[:CORE_VOXELS]] for group in groups]
    means = np.stack([pool.curves[core].mean(axis=0) for core in cores])
    values = scale.score(curve_features(means, pool.times_s))  # of mean curves: features of single voxels are noisier
    order = np.argsort(-values, kind="stable")
    if baseline is not None:
        own = np.asarray(baseline).reshape(-1)[pool.index[members]]
        members = members[(own >= BASELINE_HU[0]) & (own <= BASELINE_HU[1])]
    found: dict[bytes, NDArray[np.int64]] = {}
    for n in order[: 1 + OTHERS]:  # several groups can lead to the same voxels
        voxels = _refined(pool, cores[n], np.union1d(members, cores[n]))
        found.setdefault(np.sort(voxels).tobytes(), voxels)
    chosen, *others = found.values()
    return Choice(chosen, float(values[order[0]]), others=tuple(others))


def _earliest(pool: Pool, members: NDArray[np.int64], rank: int) -> NDArray[np.int64]:
    """Drop what rises clearly later than the first few: veins, which are many and tall, and branches behind a blockage."""
    result: NDArray[np.int64] = members[pool.features.rise_s[members] <= _latest_rise(pool, members, rank)]
    return result


def _latest_rise(pool: Pool, members: NDArray[np.int64], rank: int) -> float:
    interval = float(np.median(np.diff(pool.times_s)))
    first = float(np.sort(pool.features.rise_s[members])[min(rank, members.size) - 1])
    return first + max(LATEST_RISE_S, 0.75 * interval)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Mean and spread of the three scored features."""

    means: FloatArray
    spreads: FloatArray

    @classmethod
    def of(cls, features: CurveFeatures, members: NDArray[np.int64]) -> _Scale:
        table = np.stack([features.peak[members], features.rise_s[members], features.fwhm_s[members]])
        spreads = np.maximum(table.std(axis=1), [1e-9, LEAST_TIME_SPREAD_S, LEAST_TIME_SPREAD_S])
        return cls(table.mean(axis=1), spreads)

    def score(self, features: CurveFeatures) -> FloatArray:
        table = np.stack([features.peak, features.rise_s, features.fwhm_s], axis=1)
        result: FloatArray = ((table - self.means) / self.spreads) @ np.array([PEAK_WEIGHT, -ARRIVAL_WEIGHT, -WIDTH_WEIGHT])
        return result


def _plausible_tissue(pool: Pool, group: NDArray[np.int64], baseline: NDArray[np.floating] | None) -> bool:
    if baseline is None:
        return True
    level = float(np.mean(np.asarray(baseline).reshape(-1)[pool.index[group]]))
    return BASELINE_HU[0] <= level <= BASELINE_HU[1]


def _refined(pool: Pool, core: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the voxels of all arteries that carry the core's time course with most blood and least else.

    Each curve is split into the core's course, its derivative (an earlier or later arrival) and a rest. Voxels are ranked by the
    height of the first part less several times the rest; flat indices, the surest first.
    """
    interval = float(np.median(np.diff(pool.times_s)))
    widest = max(SAME_TIME_S, 0.2 * interval)
    curves = smoothed(pool.data[pool.index[members]].astype(np.float64))
    chosen = np.searchsorted(members, np.sort(core))
    for _ in range(REFINING_ROUNDS):
        level, delay = matched(curves, curves[chosen].mean(axis=0), pool.times_s, pool.noise_sd)
        top = float(np.sort(level)[-min(FEWEST_VOXELS, level.size) :].mean())
        full = np.flatnonzero((level >= KEEP_LEVEL * top) & (np.abs(delay) <= MOST_DELAY_S))
        if full.size < min(FEWEST_VOXELS, chosen.size):
            break
        early = float(np.quantile(delay[full], EARLY_SHARE if pool.motion is None else EARLY_SHARE_MOVED))
        order = full[np.argsort(np.abs(delay[full] - early), kind="stable")]
        near = full[np.abs(delay[full] - early) <= widest]
        near = near if near.size >= FEWEST_VOXELS else order[:FEWEST_VOXELS]
        chosen = near[np.argsort(-level[near], kind="stable")][:MOST_VOXELS]
    result: NDArray[np.int64] = pool.index[members[chosen]]
    return result


def doubts(pool: Pool, index: NDArray[np.int64]) -> dict[str, float]:
    """Return numbers that grow as the choice of voxels becomes doubtful.

    Parameters
    ----------
    pool : Pool
        Candidates.
    index : ndarray of int, shape (n,)
        Flat indices of the chosen voxels.

    Returns
    -------
    dict of str to float
        ``motion_share``: median part of motion in their curves. ``misfit``: median part of their height that their mean curve
        does not explain. ``blood_part``: median part of blood, estimated by area. ``blood_delay_s``: by how much their
        half-peak time follows that of the earliest plausible arteries.
    """
    place = np.flatnonzero(np.isin(pool.index, index))
    curves = smoothed(pool.data[index].astype(np.float64))
    shape = curves.mean(axis=0)
    level, _ = matched(curves, shape, pool.times_s, pool.noise_sd)
    part = blood_part(pool)
    arteries = np.flatnonzero(shaped_like_arteries(pool) & (part >= LEAST_BLOOD) & (pool.motion_share <= CALM_SHARE))
    own = float(np.median(pool.features.rise_s[place])) if place.size else float("nan")
    first = np.sort(pool.features.rise_s[arteries])[: 2 * FEWEST_VOXELS]
    return {
        "motion_share": float(np.median(pool.motion_share[place])) if place.size else 0.0,
        "misfit": float(np.median(1.0 - level / np.maximum(curves.max(axis=1), 1e-9))),
        "blood_part": float(np.median(part[place])) if place.size else float("nan"),
        "blood_delay_s": own - float(first[-1]) if first.size else 0.0,
    }


def matched(curves: FloatArray, shape: FloatArray, times_s: FloatArray, noise_sd: float) -> tuple[FloatArray, FloatArray]:
    """Return how high a time course surely is in each curve and how much later it comes.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves smoothed in time.
    shape : ndarray, shape (T,)
        The time course.
    times_s : ndarray, shape (T,), s
        Frame times.
    noise_sd : float
        Noise of a sample before smoothing.

    Returns
    -------
    level : ndarray, shape (n,)
        Height less `DOUBT` times the misfit, in the unit of the curves.
    delay : ndarray, shape (n,), s
        To first order.
    """
    unit = shape / max(float(shape.max()), 1e-9)
    parts = np.stack([unit, np.gradient(unit, times_s)], axis=1)
    weights = np.linalg.lstsq(parts, curves.T, rcond=None)[0]
    rest = ((curves - (parts @ weights).T) ** 2).sum(axis=1)
    noise = SMOOTH_VARIANCE * noise_sd**2 * (times_s.size - 2)
    misfit = np.sqrt(np.maximum(rest - noise, 0.0)) / np.linalg.norm(unit)
    return weights[0] - DOUBT * misfit, -weights[1] / np.maximum(weights[0], 1e-9)
