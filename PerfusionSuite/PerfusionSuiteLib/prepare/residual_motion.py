# SPDX-License-Identifier: Apache-2.0
"""What motion correction leaves: courses over time that the skull shows, taken out of the curves of the brain.

Thick slices cannot be moved back exactly along their axis: interpolation leaves a trace, and those at the ends keep all of it.
To first order, what remains in a voxel is the course of the motion times the local slope of the image. The courses are read off
the skull, which holds much slope and no contrast; how much of each lies in a curve of the brain is estimated beside its
enhancement. A head may nod just when contrast arrives, so that a course resembles enhancement. Two things tell them apart: the
slopes of an image change their sign from voxel to voxel while enhancement is alike all around, and flat parts of the image hold
no motion.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, voxel_sizes
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

FLAT_QUANTILE = 0.9
LOCAL_MM, LOCAL_SPREADS, LOCAL_ROUNDS = 6.0, 2.0, 2
"""Gaussian SD in plane of the neighborhood whose mean amount is taken for enhancement, and how many robust standard deviations
from it a voxel of the flatter parts of the image counts with."""

RESEMBLING = 0.5
"""Squared correlation with the curve of tissue from which on a course can be confused with it; below, amounts that are alike
all around but do not grow with enhancement are rather motion too."""

TRIMMED = 0.01
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
    A curve is the sum of enhancement, a constant, courses and noise, all Gaussian, which gives the amount of each course by
    generalized least squares. Where a course resembles the mean curve of tissue, the mean amount of the surroundings is left in
    the curves: it is enhancement. Of other courses the part of it is left that grows with enhancement: residues that differ from
    those that were expected look like a little of each course everywhere. What deviates is shrunken by how much more it
    scatters, among voxels of similar slope, than noise and enhancement would make it (empirical Bayes).
    """
    report = progress or no_progress
    mask, count = concentration.mask, concentration.data.shape[3]
    changed = concentration.data.reshape(-1, count)
    if not overwrite:
        changed = changed.copy()
    index = np.flatnonzero(mask.ravel())
    tissue = _robust_peak(changed, index) <= tallest
    if not tissue.any():
        return replace(concentration, data=changed.reshape(concentration.data.shape))
    report(0.1, "Remaining motion")
    rest = expected + noise_sd**2 * np.eye(count) + (30.0 * noise_sd) ** 2
    amounts = _expected_amounts(concentration, changed, index, tissue, courses, rest)
    before = slice(0, max(1, concentration.baseline_frames))
    for start in range(0, index.size, BLOCK_VOXELS):
        report(0.3 + 0.7 * start / index.size, "Remaining motion")
        here = slice(start, start + BLOCK_VOXELS)
        rows = index[here][tissue[here]]
        curves = changed[rows] - amounts[here][tissue[here]] @ courses.T.astype(np.float32)
        changed[rows] = curves - curves[:, before].mean(axis=1, keepdims=True)
    return replace(concentration, data=changed.reshape(concentration.data.shape))


def _expected_amounts(
    concentration: Concentration,
    curves: NDArray[np.float32],
    index: NDArray[np.int64],
    tissue: BoolArray,
    courses: FloatArray,
    rest: FloatArray,
) -> NDArray[np.float32]:
    """Expected amounts (n, q) of the courses in the curves of the mask; `rest` (T, T) is what else varies in them."""
    weighed = np.linalg.solve(rest, courses)
    variance = np.linalg.inv(courses.T @ weighed)
    amounts = _amounts(curves, index, (variance @ weighed.T).astype(np.float32))
    slope = through_slope(concentration.baseline)[concentration.mask]
    flat = tissue & (slope <= np.quantile(slope, FLAT_QUANTILE))
    sample = index[tissue][:: max(1, int(tissue.sum()) // BLOCK_VOXELS)]
    usual = curves[sample].mean(axis=0, dtype=np.float64)
    usual -= usual.mean()
    alike = _resemblance(courses, usual)
    strength = _amounts(curves, index, (usual / max(float(usual @ usual), 1e-12)).astype(np.float32)[None])
    around, strength = (
        _around(values, concentration.mask, flat, voxel_sizes(concentration.affine)) for values in (amounts, strength)
    )
    amounts -= around * alike + _unexpected(around, strength, flat) * (1.0 - alike)
    edges = np.quantile(slope, SLOPE_CLASSES)
    group = np.clip(np.searchsorted(edges, slope, side="right") - 1, 0, len(edges) - 2)
    for number in np.unique(group[tissue]):
        rows = tissue & (group == number)
        amounts[rows] = amounts[rows] @ _shrinkage(amounts[rows], variance).T.astype(np.float32)
    return amounts


def _amounts(flat: NDArray[np.float32], index: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Amounts (n, q) of the courses by weights (q, T)."""
    parts = []
    for start in range(0, index.size, BLOCK_VOXELS):
        curves = flat[index[start : start + BLOCK_VOXELS]]
        parts.append((curves - curves.mean(axis=1, keepdims=True)) @ weights.T)
    return np.concatenate(parts)


def _resemblance(courses: FloatArray, usual: FloatArray) -> NDArray[np.float32]:
    """How much (q,) of each course is enhancement: 0 up to `RESEMBLING`, 1 for the mean curve of tissue itself (centered)."""
    square = (courses.T @ usual) ** 2 / np.maximum((courses**2).sum(axis=0) * float(usual @ usual), 1e-12)
    return np.asarray(np.clip((square - RESEMBLING) / (1.0 - RESEMBLING), 0.0, 1.0), np.float32)


def _unexpected(around: NDArray[np.float32], strength: NDArray[np.float32], counted: BoolArray) -> NDArray[np.float32]:
    """Amounts (n, q) that grow with enhancement: what it differs by from what was expected of it, for motion does not.

    `around` (n, q) and `strength` (n, 1) of enhancement are means of the surroundings. The line goes through the origin: over a
    whole brain slopes cancel, too.
    """
    known = strength[counted, 0].astype(np.float64)
    per_strength = known @ around[counted] / max(float(known @ known), 1e-12)
    unexpected: NDArray[np.float32] = strength * per_strength.astype(np.float32)
    return unexpected


def _around(amounts: NDArray[np.float32], mask: BoolArray, counted: BoolArray, spacing_mm: FloatArray) -> NDArray[np.float32]:
    """Mean amounts (n, q) of the surroundings in plane, single outliers limited; `counted` (n,) says which voxels have a say."""
    sigma = (LOCAL_MM / spacing_mm[0], LOCAL_MM / spacing_mm[1], 0.0)
    weight, image = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.float32)
    weight[mask] = counted
    total = np.maximum(ndimage.gaussian_filter(weight, sigma, truncate=3.0)[mask], 1e-3)
    middle = np.median(amounts[counted] if counted.any() else amounts, axis=0)
    spread = LOCAL_SPREADS * 1.4826 * np.median(np.abs(amounts - middle), axis=0)
    around = np.tile(middle, (len(amounts), 1)).astype(np.float32)
    for q in range(amounts.shape[1]):
        for _ in range(LOCAL_ROUNDS):
            off = np.clip(amounts[:, q] - around[:, q], -spread[q], spread[q]) + around[:, q] - middle[q]
            image[mask] = off * counted
            around[:, q] = middle[q] + ndimage.gaussian_filter(image, sigma, truncate=3.0)[mask] / total
    return around


def _shrinkage(amounts: NDArray[np.float32], variance: FloatArray) -> FloatArray:
    """Matrix (q, q) that turns amounts found with an error of the given covariance into expected ones."""
    usual = np.clip(amounts, *np.quantile(amounts, [TRIMMED, 1.0 - TRIMMED], axis=0)).astype(np.float64)
    total = usual.T @ usual / len(usual)  # about zero: what is left of their mean is motion, too
    values, vectors = np.linalg.eigh(total - variance)
    prior = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray(prior @ np.linalg.inv(prior + variance))


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
