# SPDX-License-Identifier: Apache-2.0
"""When contrast arrives: on one curve, on many curves at once, and in the arteries of a whole scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.series import check_times

MAX_BASELINE_FRAMES = 10

BRIGHTEST_FRACTION = 0.005
EARLY_PEAK = 6
ARTERIAL_POOL, EARLIEST_FRACTION = 0.015, 0.2


def arrival_time(curves: NDArray[Any], times_s: FloatArray) -> FloatArray:
    """Find when each curve leaves its baseline, searching backwards from its peak.

    The backward search is not fooled by a noise spike early in the baseline.

    Parameters
    ----------
    curves : ndarray, shape (..., T)
        Enhancement curves.
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    ndarray, shape (...), s
        Arrival, linear between frames; the first frame time when a curve never lies below its threshold; NaN where a curve has a
        missing value or no rise.

    Raises
    ------
    TimingError
        If the times do not fit the curves.

    Notes
    -----
    Threshold ``max(median + 3 SD, median + 0.1 (peak - median))``, median and robust SD (1.4826 MAD) over the first half of the
    frames before the peak. A peak within the first six frames whose baseline is steeper than noisy is measured from its minimum.
    """
    curves = np.asarray(curves, np.float64)
    times = check_times(times_s, curves.shape[-1])
    flat = curves.reshape(-1, times.size)
    arrival = np.full(flat.shape[0], np.nan)
    finite = np.isfinite(flat).all(axis=1)
    peaks = np.where(finite, np.argmax(np.where(np.isfinite(flat), flat, -np.inf), axis=1), -1)
    for peak in np.unique(peaks[peaks >= 0]):  # curves with one peak frame share the length of their baseline
        rows = np.flatnonzero(peaks == peak)
        arrival[rows] = _arrival_before(flat[rows], times, int(peak))
    return arrival.reshape(curves.shape[:-1])


def _arrival_before(curves: FloatArray, times: FloatArray, peak: int) -> FloatArray:
    """Arrival of curves that all peak at one frame."""
    height = curves[:, peak]
    first_half = curves[:, : min(max(3, peak // 2), times.size)]
    level = np.median(first_half, axis=1)
    spread = 1.4826 * np.median(np.abs(first_half - level[:, None]), axis=1)
    if peak < EARLY_PEAK:  # the few frames before an early peak may already hold the rise, which is no noise
        rising = 3.0 * spread > 0.5 * (height - level)
        level = np.where(rising, curves[:, : peak + 1].min(axis=1), level)
        spread = np.where(rising, 0.0, spread)
    threshold = np.minimum(np.maximum(level + 3.0 * spread, level + 0.1 * (height - level)), height)
    below = curves[:, : peak + 1] < threshold[:, None]
    last = peak - np.argmax(below[:, ::-1], axis=1)
    rows = np.arange(curves.shape[0])
    following = np.minimum(last + 1, peak)
    low, high = curves[rows, last], curves[rows, following]
    part = np.divide(threshold - low, high - low, out=np.zeros_like(low), where=high > low)
    found = np.where(below.any(axis=1), times[last] + part * (times[following] - times[last]), times[0])
    constant = curves.max(axis=1) <= curves.min(axis=1)
    return np.where(constant, np.nan, found)


def running_median(curves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each frame and its two neighbors; one flickering frame disappears.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves; the first and the last frame are kept as they are.

    Returns
    -------
    ndarray, shape (N, T)
        Filtered copy.
    """
    if curves.shape[-1] < 3:
        return curves.copy()
    before, now, after = curves[:, :-2], curves[:, 1:-1], curves[:, 2:]
    low, high = np.minimum(before, now), np.maximum(before, now)
    result = curves.copy()
    result[:, 1:-1] = np.maximum(low, np.minimum(high, after))
    return result


def brightest_curve(curves: NDArray[np.float32], fraction: float = BRIGHTEST_FRACTION) -> tuple[FloatArray, NDArray[np.intp]]:
    """Average the curves that change most: large arteries, and veins behind them.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves of brain voxels.
    fraction : float
        Share of curves to average, at least three.

    Returns
    -------
    curve : ndarray, shape (T,)
        Mean of the chosen curves.
    rows : ndarray of int
        Which curves were chosen.

    Raises
    ------
    InvalidInputError
        If there is no curve.
    """
    if not curves.shape[0]:
        msg = "The brain mask is empty, so no artery can be looked for. Check the mask and the rescaling to HU."
        raise InvalidInputError(msg)
    swing = np.empty(curves.shape[0], np.float32)
    for start in range(0, curves.shape[0], 65536):  # small enough to stay in the cache
        smooth = running_median(curves[start : start + 65536])
        smooth = smooth[:, 1:-1] if smooth.shape[1] > 4 else smooth
        swing[start : start + 65536] = smooth.max(axis=1) - smooth.min(axis=1)
    count = min(max(3, round(fraction * swing.size)), swing.size)
    rows = np.sort(np.argpartition(swing, swing.size - count)[swing.size - count :])
    return curves[rows].mean(axis=0, dtype=np.float64), rows


def arterial_curve(curves: NDArray[np.float32], times_s: FloatArray, fraction: float = ARTERIAL_POOL) -> FloatArray:
    """Average the earliest of the brightest curves.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves of brain voxels.
    times_s : ndarray, shape (T,), s
        Frame times.
    fraction : float
        Share of the curves that counts as bright.

    Returns
    -------
    ndarray, shape (T,)
        Mean curve of large arteries.

    Raises
    ------
    InvalidInputError
        If there is no curve.

    Notes
    -----
    The brightest curves of a brain are mostly those of venous sinuses, which fill seconds after the arteries; a baseline that
    lasts until then would contain contrast. So a wider share of bright curves is taken, and of those the fifth that comes first.
    """
    _, rows = brightest_curve(curves, fraction)
    bright = running_median(curves[rows])
    arrival = arrival_time(bright, times_s)
    arrival = np.where(np.isfinite(arrival), arrival, np.inf)
    count = min(max(3, round(EARLIEST_FRACTION * rows.size)), rows.size)
    first = np.argsort(arrival, kind="stable")[:count]
    mean: FloatArray = curves[rows[first]].mean(axis=0, dtype=np.float64)
    return mean


def frames_before_contrast(curve: FloatArray, times_s: FloatArray) -> int:
    """Count the frames that are surely free of contrast.

    Parameters
    ----------
    curve : ndarray, shape (T,)
        Arterial curve.
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    int
        Frames earlier than one frame before arterial arrival, 0 to 10.
    """
    arrival = float(arrival_time(curve, times_s))
    if not np.isfinite(arrival):
        return min(MAX_BASELINE_FRAMES, int(times_s.size))
    reached = int(np.searchsorted(times_s, arrival, side="right")) - 1  # the last frame before arrival
    return min(max(reached, 0), MAX_BASELINE_FRAMES)


def quick_arterial_curve(data: NDArray[np.float32], times_s: FloatArray, stride: int | None = None) -> FloatArray:
    """Estimate the arterial curve before any mask exists, from a part of the voxels.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T), HU
        A CT perfusion scan.
    times_s : ndarray, shape (T,), s
        Frame times.
    stride : int, optional
        Use every n-th voxel in plane; by default about 100 per row.

    Returns
    -------
    ndarray, shape (T,), HU
        Mean of the earliest bright curves of soft tissue far from air and bone.
    """
    step = stride or max(1, data.shape[0] // 100)
    part = data[::step, ::step]
    first = part[..., : min(3, part.shape[3])].mean(axis=3)
    with np.errstate(invalid="ignore"):
        soft = (first > -20.0) & (first < 100.0)
    inside = np.stack([ndimage.binary_erosion(soft[:, :, k], iterations=2) for k in range(soft.shape[2])], axis=2)
    curves = part[inside if inside.sum() >= 1000 else soft]
    curves = curves[np.isfinite(curves).all(axis=1)]
    if not curves.shape[0]:
        return np.asarray(np.nanmean(np.where(np.isfinite(part), part, 0.0), axis=(0, 1, 2)), np.float64)
    return arterial_curve(curves, times_s, 0.02)
