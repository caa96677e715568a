# SPDX-License-Identifier: Apache-2.0
"""The automatic choice of the venous output function, whose area tells how much blood an arterial voxel holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.geometry import BoolArray, FloatArray
from ..core.values import InputFunction
from ..prepare.calm import calm_region
from . import transport
from .arterial import SMOOTH_VARIANCE, matched
from .arterial_criteria import CALM_SHARE, starts_quietly
from .neighbors import components
from .pool import Pool, build_pool, check_inputs, smoothed
from .quality import describe, judge_vof, with_findings

TOP_SHARE = 0.01
HIGHEST_BASELINE_HU = 75.0
"""Unenhanced blood has 40-60 HU; a voxel of the sinus above that shares its space with bone, which motion brings in and out."""

PEAK_GAP_S = (2.0, 25.0)
"""Through a brain behind a blockage, or of an old or weak heart, blood takes 15 s and more."""

SHIFTS_S, MEANS_S = np.linspace(1.0, 10.0, 4), np.array([2.0, 4.0, 7.0, 11.0, 16.0])
"""Delays and dispersions of the veins that the search is prepared for."""

WIDEST_S = 35.0
"""Strong recirculation keeps a vein above half of its peak for long."""

RISE_GAPS_S = (1.5, 1.0)
MIDLINE_MM = 15.0
CORE_LEVEL, CORE_NOISE = 0.98, 0.6
MOST_VOXELS = 30
SMALLEST = 3
USUAL_SHARE = 0.2
MOST_MOTION = 0.5
"""Veins lie beside bone and rise late, as motion often does: part of a vein passes for motion."""

LOWEST_PEAK = 0.25
MIDLINE_BONUS = 1.08
TEMPLATE_SHARE, TEMPLATE_ROUNDS = 0.3, 2
MOST_GROUPS, MOST_JUDGED = 10, 6

MISFIT_WEIGHT, LEAST_TRUST = 14.0, 0.1
COURSES, MOST_APART, LEAST_KIN = 6, 0.1, 0.1
"""Leading courses of the veins that the search is prepared for, how much of a voxel's curve may lie apart from them at first, and
what the height of one that lies so far apart counts: bone that moves in is taller than any vein, and would crowd veins out."""

LEAST_FED, LEAST_GAIN, LEAST_WEIGHT = 0.8, 1.1, 0.5
"""What an artery feeds is tissue if it holds clearly less contrast than the artery. A vein with hardly more may be an artery
itself, behind a blockage: others come first, unless they are less than half as sure."""


def select_vof(
    concentration: NDArray[Any],
    times_s: ArrayLike,
    *,
    mask: NDArray[Any],
    affine: ArrayLike,
    aif: InputFunction,
    baseline: NDArray[Any] | None = None,
) -> InputFunction | None:
    """Choose venous voxels and return their mean curve.

    Candidates are tall, peak 2-25 s after the artery and arrive later. Among connected groups the one wins whose voxels surely
    hold most blood (see `sure_level`); groups at the back near the midline (sagittal sinus, torcula) are preferred. What no
    artery can have fed, and what holds hardly more contrast than the artery, is taken only where nothing else is found.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    mask : ndarray of bool, shape (I, J, K)
        Brain, sinuses included where possible.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.
    aif : InputFunction
        The arterial curve.
    baseline : ndarray, shape (I, J, K), HU, optional
        Unenhanced CT: bone and voxels that share their space with it are left out.

    Returns
    -------
    InputFunction or None
        None when no voxel qualifies; callers then report the finding ``vof_missing`` (see `scale_to_vof`, which
        accepts None and does so). ``truncated_venous`` is flagged when the curve ends above 30 % of its peak.

    Raises
    ------
    InvalidInputError
        If shapes or times do not fit, or nothing enhances.
    """
    data, times, inside, matrix = check_inputs(concentration, times_s, mask, affine)
    calm = None if baseline is None else calm_region(baseline, inside, matrix)
    if baseline is not None:
        inside = inside & (np.asarray(baseline) <= HIGHEST_BASELINE_HU)
    if not inside.any():
        return None
    veins = transport.courses(aif, times, SHIFTS_S, MEANS_S)  # no calm voxel shows them: sinuses lie beside bone
    pool = build_pool(data, times, inside, share=3.0 * TOP_SHARE, calm=calm, most_motion=MOST_MOTION, known=veins)
    kin = _kinship(pool, veins)
    group = _best_group(pool, aif, kin, inside, matrix)
    if group is None:
        return None
    index, score = group
    values = pool.data[index].mean(axis=0, dtype=np.float64)
    quality = describe(times, values, voxels=index.size, tissue_ttp_s=pool.tissue_ttp_s)
    quality["aif_vof_delay_s"] = quality["ttp_s"] - float(aif.times_s[int(np.argmax(aif.values))])
    chosen = np.flatnonzero(np.isin(pool.index, index))
    quality["motion_share"] = float(np.median(pool.motion_share[chosen]))
    heights = smoothed(pool.data[pool.index[chosen]].astype(np.float64)).max(axis=1)
    quality["misfit"] = 1.0 - float(np.median(sure_level(pool, chosen, aif) / np.maximum(heights, 1e-9)))
    quality["stands_out"] = _stands_out(pool, kin, chosen, quality["rise_s"] - RISE_GAPS_S[0])
    curve = InputFunction(times, values, pool.voxels(index), "vof", score, quality=quality)
    return with_findings(curve, *judge_vof(quality))


def _kinship(pool: Pool, veins: FloatArray) -> FloatArray:
    """Return how far candidates are mixtures of delayed and dispersed copies of the artery: 1 to `LEAST_KIN`."""
    unit = veins / np.maximum(np.linalg.norm(veins, axis=1, keepdims=True), 1e-9)
    basis = np.linalg.svd(unit, full_matrices=False)[2][:COURSES]
    curves = smoothed(pool.data[pool.index].astype(np.float64))
    along = ((curves @ basis.T) ** 2).sum(axis=1)
    rest = (curves**2).sum(axis=1) - along - SMOOTH_VARIANCE * pool.noise_sd**2 * (pool.times_s.size - COURSES)
    apart = np.sqrt(np.maximum(rest, 0.0) / np.maximum(along, 1e-9))
    result: FloatArray = np.maximum(1.0 - (1.0 - LEAST_KIN) * apart / MOST_APART, LEAST_KIN)
    return result


def _stands_out(pool: Pool, kin: FloatArray, chosen: NDArray[np.int64], earliest_s: float) -> float:
    """Return how much taller the chosen voxels are than the next ones like them; the middle of a wide vein does not stand out."""
    alike = pool.features.peak[(kin > LEAST_KIN) & (pool.features.rise_s >= earliest_s)]
    rank = min(MOST_VOXELS, alike.size)
    return float(np.median(pool.features.peak[chosen]) / np.sort(alike)[-rank]) if rank else 1.0


def _best_group(
    pool: Pool, aif: InputFunction, kin: FloatArray, mask: BoolArray, affine: FloatArray
) -> tuple[NDArray[np.int64], float] | None:
    f = pool.features
    artery = describe(aif.times_s, aif.values)
    like_bolus = starts_quietly(pool) & (f.minimum > -0.3 * f.peak)
    gap, rise = f.ttp_s - artery["ttp_s"], f.rise_s - artery["rise_s"]
    in_time = (gap >= PEAK_GAP_S[0] - 1e-6) & (gap <= PEAK_GAP_S[1])
    narrow = f.fwhm_s <= WIDEST_S
    late = [in_time & narrow & (rise >= RISE_GAPS_S[0]), (gap >= 0) & narrow & (rise >= RISE_GAPS_S[1])]
    late.append(in_time & (rise >= RISE_GAPS_S[1]))
    fed = like_bolus & (kin > LEAST_KIN)
    seen: list[_Candidate] = []
    for among, timing in (
        (fed, late[0]),
        *((like_bolus, timing) for timing in late),
    ):  # from what a vein is to what may pass for one
        tall = f.peak >= LOWEST_PEAK * np.quantile(f.peak[among], 0.98) if among.any() else among
        members = np.flatnonzero(tall & among & timing)
        found = _candidates(pool, members, aif, kin, mask, affine) if members.size >= SMALLEST else []
        seen += [c for c in found if among is like_bolus or c.passage.factor >= LEAST_FED]
        fuller = [c for c in seen if c.passage.fits and c.passage.factor >= LEAST_GAIN]
        sure = [c for c in fuller if c.weight >= LEAST_WEIGHT * max(c.weight for c in seen if c.passage.fits)]
        if sure:
            return sure[0].index, sure[0].score
    fitting = [candidate for candidate in seen if candidate.passage.fits] or seen
    return (fitting[0].index, fitting[0].score) if fitting else None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Voxels that may be a vein: flat indices, how far they stand out of the noise, relation to the artery, how sure they are."""

    index: NDArray[np.int64]
    score: float
    passage: transport.Transport
    weight: float


def _candidates(
    pool: Pool, members: NDArray[np.int64], aif: InputFunction, kin: FloatArray, mask: BoolArray, affine: FloatArray
) -> list[_Candidate]:
    """Return the connected groups whose voxels surely hold most blood, the fullest first."""
    labels = components(pool.index[members], pool.shape)
    central = _posterior_midline(pool, members, mask, affine)
    found: dict[bytes, tuple[float, float, NDArray[np.int64]]] = {}
    for group in _largest_groups(labels, pool.features.peak[members] * kin[members]):
        level = sure_level(pool, members[group], aif)
        level = level * (1.0 - np.clip(pool.motion_share[members[group]] - USUAL_SHARE, 0.0, 1.0))
        for part, bonus in ((np.ones(group.size, bool), 1.0), (central[group], MIDLINE_BONUS)):
            if part.sum() < SMALLEST:
                continue
            order = np.flatnonzero(part)[np.argsort(-level[part], kind="stable")]
            reference = float(level[order[SMALLEST - 1]])
            if reference > 0:
                core = order[level[order] >= CORE_LEVEL * reference - CORE_NOISE * pool.noise_sd][:MOST_VOXELS]
                index = np.sort(pool.index[members[group[core]]])
                trust = float(np.median(kin[members[group[core]]]))
                found[index.tobytes()] = (bonus * reference * trust, reference, index)
    tallest = sorted(found.values(), key=lambda one: -one[0])[:MOST_JUDGED]
    judged = [_judged(pool, index, level, reference, aif) for level, reference, index in tallest]
    return sorted(judged, key=lambda candidate: -candidate.weight)


def _judged(pool: Pool, index: NDArray[np.int64], level: float, reference: float, aif: InputFunction) -> _Candidate:
    """Weigh a candidate: its height counts the less, the more of its mean curve no artery can have fed."""
    curve = InputFunction(pool.times_s, pool.data[index].mean(axis=0, dtype=np.float64), kind="vof")
    passage = transport.fit(aif, curve)
    noise = pool.noise_sd / np.sqrt(index.size) / max(float(curve.values.max()), 1e-9)
    trust = max(1.0 - MISFIT_WEIGHT * float(np.sqrt(max(passage.rms**2 - noise**2, 0.0))), LEAST_TRUST)
    return _Candidate(index, reference / max(pool.noise_sd, 1e-9), passage, level * trust)


def _largest_groups(labels: NDArray[np.int64], peaks: FloatArray) -> list[NDArray[np.int64]]:
    """Return the connected groups with the highest peaks (of the third voxel, so that no lone one counts)."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    groups = [group for group in groups if group.size >= SMALLEST]
    groups.sort(key=lambda group: -float(np.sort(peaks[group])[-SMALLEST]))
    return groups[:MOST_GROUPS]


def sure_level(pool: Pool, members: NDArray[np.int64], aif: InputFunction) -> FloatArray:
    """Return how high the venous curve in each voxel of a group surely is.

    A vein is a delayed and dispersed artery; what else a voxel shows (bone that motion brings in, tissue) makes its height
    as uncertain as it is large. The tallest voxels of a scan in motion are mostly such; so from the height several times that
    rest is taken off.

    Parameters
    ----------
    pool : Pool
        Candidates.
    members : ndarray of int, shape (m,)
        Those of one group.
    aif : InputFunction
        The arterial curve.

    Returns
    -------
    ndarray, shape (m,)
        Height in the unit of the curves, below zero for voxels that do not fit.
    """
    times = pool.times_s
    curves = smoothed(pool.data[pool.index[members]].astype(np.float64))
    heights = np.maximum(curves.max(axis=1, keepdims=True), 1e-9)
    share = pool.motion_share[members]
    kept = share <= max(CALM_SHARE, float(np.quantile(share, TEMPLATE_SHARE)))
    level: FloatArray = heights[:, 0]
    for _ in range(TEMPLATE_ROUNDS):
        typical = np.median(curves[kept] / heights[kept], axis=0)
        fitted = transport.fit(aif, InputFunction(times, typical, kind="vof"))
        level, _ = matched(curves, fitted.curve, times, pool.noise_sd)
        relative = level / heights[:, 0]
        kept = relative >= min(np.quantile(relative, 1.0 - TEMPLATE_SHARE), np.sort(relative)[-min(SMALLEST, relative.size)])
    return level


def _posterior_midline(pool: Pool, members: NDArray[np.int64], mask: BoolArray, affine: FloatArray) -> BoolArray:
    """Return which voxels lie behind the center of the brain and near its middle, in patient space."""
    brain = np.argwhere(mask)[:: max(1, int(mask.sum()) // 20000)]
    center = (brain @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    place = pool.voxels(pool.index[members]) @ affine[:3, :3].T + affine[:3, 3]
    result: BoolArray = (np.abs(place[:, 0] - center[0]) <= MIDLINE_MM) & (place[:, 1] < center[1])
    return result
