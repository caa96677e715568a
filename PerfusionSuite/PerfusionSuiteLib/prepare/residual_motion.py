# SPDX-License-Identifier: Apache-2.0
"""What motion correction leaves: courses over time that the skull shows, taken out of the curves of the brain.

Thick slices cannot be moved back along their axis, and interpolation leaves a trace of its own. To first order, what remains in
a voxel is the course of the motion times the local slope of the image. The courses are read off the skull, which holds much
slope and no contrast; how much of each lies in a curve of the brain is estimated beside its enhancement.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, no_progress
from ..core.series import PerfusionSeries
from ..core.values import Concentration, TissueMasks

BONE_HU, GAP_VOXELS = 150.0, 2
MIN_VOXELS = 500
SKULL_SAMPLE = 60_000
WILD_SHARE = 0.01
"""Share of skull voxels, those that vary most, which would decide alone."""

NOTICEABLE_HU = 4.0
"""Standard deviation of a course at the skull below which it means nothing in the brain, where slopes are many times less."""

OVER_NOISE = 10.0
MOST_COURSES = 2

SLOPE_CLASSES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Quantiles of the image's slope between which voxels share a prior."""

ROUNDS = 15
BLOCK_VOXELS = 65_536


def motion_courses(series: PerfusionSeries, masks: TissueMasks) -> FloatArray:
    """Read the courses of motion that a series still holds off the skull.

    Parameters
    ----------
    series : PerfusionSeries
        CT perfusion in HU, after motion correction.
    masks : TissueMasks
        Brain; a rim around it is kept clear of.

    Returns
    -------
    ndarray, shape (T, n)
        Courses with mean 0 and mean square 1, the strongest first; n is 0 where the head was still.

    Notes
    -----
    Principal components of curves that hold no signal of interest, as in Behzadi et al., NeuroImage 37:90 (2007).
    """
    count = series.times_s.size
    none = np.zeros((count, 0))
    static = series.data[..., : max(2, count // 10)].mean(axis=3)
    rim = ndimage.binary_dilation(masks.brain, np.ones((3, 3, 1)), iterations=GAP_VOXELS)
    index = np.flatnonzero((static > BONE_HU) & ~rim)
    if index.size < MIN_VOXELS:
        return none
    curves = series.data.reshape(-1, count)[index[:: max(1, index.size // SKULL_SAMPLE)]].astype(np.float64)
    curves -= curves.mean(axis=1, keepdims=True)
    power = np.einsum("nt,nt->n", curves, curves)
    curves = curves[(power <= np.quantile(power, 1.0 - WILD_SHARE)) & np.isfinite(power)]
    variance, vectors = np.linalg.eigh(curves.T @ curves / max(1, len(curves)))
    variance, vectors = variance[::-1], vectors[:, ::-1]
    spread = np.sqrt(np.maximum(variance / count, 0.0))
    # With eigenvalues as sums over frames, the noise of one frame is the root of their middle.
    noise = float(np.sqrt(max(np.median(variance), 0.0)))
    noticeable = (np.sqrt(np.maximum(variance, 0.0)) > OVER_NOISE * noise) & (spread > NOTICEABLE_HU)
    used = int(np.argmin(np.append(noticeable[:MOST_COURSES], False)))
    chosen = vectors[:, :used] - vectors[:, :used].mean(axis=0)
    scale = np.sqrt(np.mean(chosen**2, axis=0))
    return np.asarray(chosen / scale)


def without_courses(
    concentration: Concentration,
    courses: FloatArray,
    tallest: float,
    expected: FloatArray,
    noise_sd: float,
    *,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Concentration:
    """Take courses of motion out of the curves of the mask.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    courses : ndarray, shape (T, n)
        From `motion_courses`, at the times of the concentration.
    tallest : float
        Curves that reach it are vessels and are left as they are: what is expected of tissue would take them for motion.
    expected : ndarray, shape (T, T)
        Second moments of the enhancement of tissue.
    noise_sd : float
        Noise of a sample.
    overwrite : bool
        Change the given curves themselves, which saves their size in memory.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Concentration
        With changed curves; their mean before contrast is zero again.

    Notes
    -----
    A curve is the sum of enhancement, a constant, courses and noise, all Gaussian; the courses are subtracted with their
    expected amounts given the curve. The prior variance of the amounts is the one that explains the curves of a class of slopes
    best (expectation maximization).
    """
    report = progress or no_progress
    mask, data = concentration.mask, concentration.data
    slope = through_slope(concentration.baseline)[mask]
    edges = np.quantile(slope, SLOPE_CLASSES)
    group = np.clip(np.searchsorted(edges, slope, side="right") - 1, 0, len(edges) - 2)
    index = np.flatnonzero(mask.ravel())
    count = data.shape[3]
    group[_robust_peak(data.reshape(-1, count), index) > tallest] = -1
    rest = expected + noise_sd**2 * np.eye(count) + (30.0 * noise_sd) ** 2
    changed = data.reshape(-1, count)
    if not overwrite:
        changed = changed.copy()
    before = slice(0, max(1, concentration.baseline_frames))
    for number in range(len(edges) - 1):
        report(number / (len(edges) - 1), "Remaining motion")
        rows = index[group == number]
        if not rows.size:
            continue
        prior = _prior(changed[rows[:: max(1, rows.size // BLOCK_VOXELS)]], courses, rest)
        lifted = courses * prior
        weights = np.linalg.solve(rest + lifted @ courses.T, lifted).T
        for start in range(0, rows.size, BLOCK_VOXELS):
            here = rows[start : start + BLOCK_VOXELS]
            curves = changed[here]
            centered = curves - curves.mean(axis=1, keepdims=True)
            curves = curves - (centered @ weights.T.astype(np.float32)) @ courses.T.astype(np.float32)
            changed[here] = curves - curves[:, before].mean(axis=1, keepdims=True)
    return replace(concentration, data=changed.reshape(data.shape))


def through_slope(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the root mean square difference to the slices above and below.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Static image.

    Returns
    -------
    ndarray, shape (I, J, K)
        Zero for a single slice.
    """
    square = np.zeros(image.shape, np.float32)
    if image.shape[2] < 2:
        return square
    steps = np.diff(image, axis=2) ** 2
    square[:, :, :-1] += steps
    square[:, :, 1:] += steps
    return np.asarray(np.sqrt(square / 2.0), np.float32)


def _robust_peak(flat: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Largest mean of three successive values, which a single noisy or shaken frame does not decide."""
    peak = np.empty(index.size, np.float32)
    for start in range(0, index.size, BLOCK_VOXELS):
        curves = flat[index[start : start + BLOCK_VOXELS]]
        peak[start : start + BLOCK_VOXELS] = ((curves[:, :-2] + curves[:, 1:-1] + curves[:, 2:]) / 3.0).max(axis=1)
    return peak


def _prior(sample: NDArray[np.float32], courses: FloatArray, rest: FloatArray) -> FloatArray:
    """Variance (n,) of the amounts of the courses that explains a sample of curves best."""
    curves = sample.astype(np.float64)
    curves -= curves.mean(axis=1, keepdims=True)
    prior = np.full(courses.shape[1], 4.0)
    for _ in range(ROUNDS):
        lifted = courses * prior
        weights = np.linalg.solve(rest + lifted @ courses.T, lifted).T
        amounts = curves @ weights.T
        wild = np.quantile(np.abs(amounts), 0.98, axis=0)
        prior = np.mean(np.clip(amounts, -wild, wild) ** 2, axis=0) + prior - np.diag(weights @ lifted)
    return np.asarray(prior)
