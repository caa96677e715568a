# SPDX-License-Identifier: Apache-2.0
"""The automatic choice of the venous output function, whose area tells how much blood an arterial voxel holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.geometry import BoolArray, FloatArray
from ..core.values import InputFunction
from .arterial import WIDEST_VEIN_S, correlation, starts_quietly
from .neighbors import components
from .motion_artifact import calm_region
from .pool import Pool, build_pool, check_inputs
from .quality import describe, judge_vof, with_findings

TOP_SHARE = 0.01
HIGHEST_BASELINE_HU = 75.0
"""Unenhanced blood has 40-60 HU; a voxel of the sinus above that shares its space with bone, which motion brings in and out."""

PEAK_GAP_S = (2.0, 15.0)
ARRIVAL_GAPS_S = (2.0, 1.0)
RISE_GAP_S = 1.0
LEAST_LIKENESS = 0.97
MIDLINE_MM = 15.0
CORE_LEVEL = 0.93
MOST_VOXELS = 15
SMALLEST = 3


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

    Candidates belong to the tallest 1 % of the mask, peak 2-15 s after the artery and arrive later; the tallest core of the
    largest group wins, where groups at the back near the midline (sagittal sinus, torcula) count three times.

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
    pool = build_pool(data, times, inside, share=3.0 * TOP_SHARE, calm=calm)
    group = _best_group(pool, aif, inside, matrix)
    if group is None:
        return None
    index, score = group
    values = pool.data[index].mean(axis=0, dtype=np.float64)
    quality = describe(times, values, voxels=index.size, tissue_ttp_s=pool.tissue_ttp_s)
    quality["aif_vof_delay_s"] = quality["ttp_s"] - float(aif.times_s[int(np.argmax(aif.values))])
    curve = InputFunction(times, values, pool.voxels(index), "vof", score, quality=quality)
    return with_findings(curve, *judge_vof(quality))


def _best_group(pool: Pool, aif: InputFunction, mask: BoolArray, affine: FloatArray) -> tuple[NDArray[np.int64], float] | None:
    f = pool.features
    artery = describe(aif.times_s, aif.values)
    count = max(int(TOP_SHARE * mask.sum()), 4 * SMALLEST)
    like_bolus = starts_quietly(pool) & (f.minimum > -0.3 * f.peak)
    gap, arrival, rise = f.ttp_s - artery["ttp_s"], f.bat_s - artery["bat_s"], f.rise_s - artery["rise_s"]
    in_time = (gap >= PEAK_GAP_S[0] - 1e-6) & (gap <= PEAK_GAP_S[1])
    narrow = f.fwhm_s <= WIDEST_VEIN_S
    late = [in_time & narrow & (arrival >= least) for least in ARRIVAL_GAPS_S]
    late += [in_time & narrow & (rise >= RISE_GAP_S), (gap >= 0) & narrow & (rise >= RISE_GAP_S), in_time & (rise >= RISE_GAP_S)]
    tall = np.zeros(pool.index.size, bool)
    tall[np.argsort(-np.where(like_bolus, f.peak, -np.inf), kind="stable")[:count]] = True
    for timing in late:  # from what a vein should be to what may just pass for one
        found = _largest(pool, np.flatnonzero(tall & like_bolus & timing), mask, affine)
        if found is not None:
            return found
    return None


def _largest(
    pool: Pool, members: NDArray[np.int64], mask: BoolArray, affine: FloatArray
) -> tuple[NDArray[np.int64], float] | None:
    if members.size < SMALLEST:
        return None
    labels = components(pool.index[members], pool.shape)
    central = _posterior_midline(pool, members, mask, affine)
    peaks = pool.features.peak[members]
    best: tuple[float, NDArray[np.int64]] | None = None
    for label in np.unique(labels):
        group = np.flatnonzero(labels == label)
        if group.size < SMALLEST:
            continue
        weight = float((peaks[group] * np.where(central[group], 3.0, 1.0)).sum())
        if best is None or weight > best[0]:
            best = weight, group
    if best is None:
        return None
    group = best[1]
    if central[group].sum() >= SMALLEST:
        group = group[central[group]]
    group = _alike(pool, members, group, peaks)
    order = group[np.argsort(-peaks[group], kind="stable")]
    level = float(np.median(peaks[order[:SMALLEST]]))
    core = order[peaks[order] >= CORE_LEVEL * level][:MOST_VOXELS]
    if core.size < SMALLEST:
        core = order[:SMALLEST]
    return pool.index[members[core]], float(level / max(pool.noise_sd, 1e-9))


def _alike(pool: Pool, members: NDArray[np.int64], group: NDArray[np.int64], peaks: FloatArray) -> NDArray[np.int64]:
    """Drop voxels whose time course differs from that of the group's taller half, such as those that the skull passes."""
    curves = pool.curves[members[group]]
    typical = np.median(curves[peaks[group] >= np.median(peaks[group])], axis=0)
    alike = group[correlation(curves, typical) >= LEAST_LIKENESS]
    return alike if alike.size >= SMALLEST else group


def _posterior_midline(pool: Pool, members: NDArray[np.int64], mask: BoolArray, affine: FloatArray) -> BoolArray:
    """Return which voxels lie behind the center of the brain and near its middle, in patient space."""
    brain = np.argwhere(mask)[:: max(1, int(mask.sum()) // 20000)]
    center = (brain @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    place = pool.voxels(pool.index[members]) @ affine[:3, :3].T + affine[:3, 3]
    result: BoolArray = (np.abs(place[:, 0] - center[0]) <= MIDLINE_MM) & (place[:, 1] < center[1])
    return result
