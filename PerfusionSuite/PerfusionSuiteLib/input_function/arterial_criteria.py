# SPDX-License-Identifier: Apache-2.0
"""What is asked of a voxel that shall stand for an artery, taken alone: its place, its curve, its part of blood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from .features import curve_features
from .neighbors import any_near, components, offsets_within
from .pool import Pool

BONE_HU = 150.0
GUARD_MM = 3.0
EARLY_LEVEL = 0.2
"""Arteries that fill soon after the start have some contrast in their baseline and begin below zero."""

NARROWEST_S, WIDEST_S = 4.0, 18.0
BLOOD_VOXELS = 20
CALM_SHARE = 0.2
"""Part of remaining motion in a curve up to which it is used before any other."""

WIDEST_VEIN_S, HIGHEST_TAIL = 25.0, 0.6
MUCH_BLOOD, LEAST_BLOOD = 0.35, 0.25
"""Part of blood, estimated by area, of a voxel that stands for an artery: wanted, and asked for while any group has it."""

LEAST_OVER_NOISE = 2.5
LEAST_OVER_TISSUE = 2.5
"""A voxel with a fifth of arterial blood is about six times as tall as tissue, which holds 2-5 % of blood."""


def guarded(
    pool: Pool, mask: BoolArray, affine: FloatArray, baseline: NDArray[np.floating] | None, exclude: BoolArray | None
) -> BoolArray:
    """Return which candidates lie clear of bone, of the mask edge and of excluded voxels.

    Parameters
    ----------
    pool : Pool
        Candidates.
    mask : ndarray of bool, shape (I, J, K)
        Search region.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    baseline : ndarray, shape (I, J, K), HU, optional
        Unenhanced CT.
    exclude : ndarray of bool, shape (I, J, K), optional
        Voxels that must not be chosen.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where a candidate may be used.
    """
    steps = offsets_within(affine, GUARD_MM)
    flat_steps = steps[steps[:, 2] == 0]
    good = ~any_near(~mask, pool.index, flat_steps, outside=True)
    if baseline is not None:
        good &= ~any_near(np.asarray(baseline) > BONE_HU, pool.index, steps, outside=False)
    if exclude is not None:
        good &= ~np.asarray(exclude, bool).reshape(-1)[pool.index]
    return good


def shaped_like_arteries(pool: Pool) -> BoolArray:
    """Return which candidates have the curve of an artery, whatever their height.

    Parameters
    ----------
    pool : Pool
        Candidates.

    Returns
    -------
    ndarray of bool, shape (n,)
        Peak in time and above noise and tissue, no deep dip, a plausible width, a quiet start.
    """
    f = pool.features
    interval = float(np.median(np.diff(pool.times_s)))
    # Strong recirculation keeps an artery above half of its peak for long, and tissue behind it for longer.
    widest = max(WIDEST_S, float(curve_features(pool.tissue[None], pool.times_s).fwhm_s[0]))
    good = early_and_tall(pool) & starts_quietly(pool) & (f.minimum > -0.3 * f.peak)
    result: BoolArray = good & (f.fwhm_s >= min(3.0 * interval, NARROWEST_S)) & (f.fwhm_s <= widest)
    return result


def starts_quietly(pool: Pool) -> BoolArray:
    """Return which candidates lie near zero before the bolus, unlike voxels that the moving skull passes.

    Parameters
    ----------
    pool : Pool
        Candidates.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where the first frames and all frames before the arrival are small.
    """
    f = pool.features
    allowed = np.maximum(np.maximum(5.0 * f.baseline_sd, 1.5 * pool.noise_sd), EARLY_LEVEL * f.peak)
    level = np.abs(f.early_mean) <= allowed
    result: BoolArray = level & (f.early_maximum < 0.3 * f.peak)
    return result


def early_and_tall(pool: Pool) -> BoolArray:
    """Return which candidates peak no later than tissue and stand out of noise and tissue: the least asked of an artery.

    Parameters
    ----------
    pool : Pool
        Candidates.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where that holds.
    """
    f = pool.features
    least = np.maximum(LEAST_OVER_NOISE * pool.noise_sd, LEAST_OVER_TISSUE * float(pool.tissue.max()))
    in_time = (f.ttp_s >= pool.tissue_ttp_s - 15.0) & (f.ttp_s <= pool.tissue_ttp_s + 1.0)
    result: BoolArray = in_time & (f.peak > least)
    return result


def blood_part(pool: Pool) -> FloatArray:
    """Estimate how much of each candidate is blood.

    Parameters
    ----------
    pool : Pool
        Candidates.

    Returns
    -------
    ndarray, shape (n,)
        Area over that of the fullest vessels of the scan (large veins, as a rule), which are taken as pure blood.
    """
    f = pool.features
    like_bolus = starts_quietly(pool) & (f.minimum > -0.3 * f.peak) & (f.fwhm_s <= WIDEST_VEIN_S) & (f.tail < HIGHEST_TAIL)
    calm = pool.motion_share <= CALM_SHARE
    like_bolus &= calm if (like_bolus & calm).sum() >= BLOOD_VOXELS else True
    connected = components(pool.index, pool.shape)  # a lone voxel may be an artifact
    like_bolus &= np.bincount(connected)[connected] >= 3
    top = np.sort(f.area[like_bolus] if like_bolus.any() else f.area)[-BLOOD_VOXELS:]
    result: FloatArray = f.area / max(float(np.median(top)), 1e-9)
    return result
