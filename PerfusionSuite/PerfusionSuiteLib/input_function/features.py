# SPDX-License-Identifier: Apache-2.0
"""Numbers that describe a bolus curve, for many curves at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray

ARRIVAL_LEVEL = 0.1
ARRIVAL_SD = 3.0
FIRST_PASS_END = 0.2
TAIL_FRAMES = 3


@dataclass(frozen=True, slots=True)
class CurveFeatures:
    """What a bolus curve looks like; every field has shape (n,).

    Parameters
    ----------
    peak : ndarray
        Maximum, in the unit of the curve.
    peak_index : ndarray of int
        Frame of the maximum.
    ttp_s, bat_s, rise_s, fwhm_s, first_moment_s : ndarray, s
        Time of the peak, arrival, time of half the peak on the way up, full width at half maximum, mean time of the
        first pass.
    area, first_pass_area : ndarray
        Trapezoid over all frames, and from the arrival to the first sample below 20 % of the peak; unit times s.
    irregularity : ndarray
        Sum of squared second differences over the squared peak.
    tail : ndarray
        Mean of the last three frames over the peak.
    minimum, early_maximum, early_mean : ndarray
        Smallest value; largest value before the arrival; mean of the first three frames.
    baseline_sd : ndarray
        Robust standard deviation of the first half before the peak.
    """

    peak: FloatArray
    peak_index: NDArray[np.int64]
    ttp_s: FloatArray
    bat_s: FloatArray
    rise_s: FloatArray
    fwhm_s: FloatArray
    first_moment_s: FloatArray
    area: FloatArray
    first_pass_area: FloatArray
    irregularity: FloatArray
    tail: FloatArray
    minimum: FloatArray
    early_maximum: FloatArray
    early_mean: FloatArray
    baseline_sd: FloatArray


def median_of_three(curves: NDArray[Any]) -> NDArray[Any]:
    """Replace each sample by the median of itself and its neighbors, so that one flickering frame is not a bolus.

    Parameters
    ----------
    curves : ndarray, shape (..., T)
        Curves with at least three samples.

    Returns
    -------
    ndarray, shape (..., T)
        The ends are kept.
    """
    result = curves.copy()
    a, b, c = curves[..., :-2], curves[..., 1:-1], curves[..., 2:]
    result[..., 1:-1] = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return result


def trapezoid_weights(times_s: FloatArray) -> FloatArray:
    """Return the weight of each sample in a trapezoid integral.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Sample times.

    Returns
    -------
    ndarray, shape (T,), s
        Weights that sum to the duration.
    """
    weights = np.zeros(times_s.size)
    weights[:-1] += np.diff(times_s) / 2.0
    weights[1:] += np.diff(times_s) / 2.0
    return weights


def arrival_times(curves: NDArray[Any], times_s: FloatArray) -> FloatArray:
    """Return when the bolus arrives, searched backwards from the peak so that early noise is ignored.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves with their baseline near zero.
    times_s : ndarray, shape (T,), s
        Sample times.

    Returns
    -------
    ndarray, shape (n,), s
        Time at which the curve last crosses ``max(median + 3 SD, median + 0.1 (peak - median))`` of its baseline.
    """
    peak_index = curves.argmax(axis=1)
    return _arrival(curves, times_s, peak_index)[0]


def curve_features(curves: NDArray[Any], times_s: FloatArray) -> CurveFeatures:
    """Describe many curves.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves with their baseline near zero; a filtered copy where noise matters.
    times_s : ndarray, shape (T,), s
        Sample times.

    Returns
    -------
    CurveFeatures
        Fields of shape (n,).
    """
    rows, index = np.arange(curves.shape[0]), np.arange(curves.shape[1])
    peak_index = curves.argmax(axis=1)
    peak = curves[rows, peak_index].astype(np.float64)
    safe = np.where(peak > 0, peak, 1.0)
    bat, sd = _arrival(curves, times_s, peak_index)
    left = _crossing_before(curves, times_s, peak_index, 0.5 * peak)
    right = _crossing_after(curves, times_s, peak_index, 0.5 * peak)
    past = (index > peak_index[:, None]) & (curves < (FIRST_PASS_END * peak)[:, None])
    end = np.where(past.any(1), past.argmax(1), index.size)
    weights = trapezoid_weights(times_s)
    inside = (times_s >= bat[:, None]) & (index < end[:, None])
    weighted = np.where(inside, np.maximum(curves, 0.0), 0.0) * weights
    total = weighted.sum(1)
    moment = np.where(total > 0, (weighted @ times_s) / np.where(total > 0, total, 1.0), times_s[peak_index])
    early = np.where(times_s < bat[:, None], curves, -np.inf)
    early[:, 0] = curves[:, 0]
    return CurveFeatures(
        peak=peak,
        peak_index=peak_index,
        ttp_s=times_s[peak_index],
        bat_s=bat,
        rise_s=left,
        fwhm_s=right - left,
        first_moment_s=moment,
        area=curves @ weights,
        first_pass_area=total,
        irregularity=(np.diff(curves, 2, axis=1) ** 2).sum(1) / safe**2,
        tail=curves[:, -TAIL_FRAMES:].mean(1) / safe,
        minimum=curves.min(1),
        early_maximum=early.max(1),
        early_mean=curves[:, :3].mean(1),
        baseline_sd=sd,
    )


def _arrival(curves: NDArray[Any], times_s: FloatArray, peak_index: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    n = curves.shape[0]
    median, sd = np.zeros(n), np.zeros(n)
    frames_used = np.clip(peak_index // 2, min(3, curves.shape[1]), None)
    for count in np.unique(frames_used):  # at most T/2 groups, so this is not a loop over voxels
        rows = frames_used == count
        head = curves[rows, :count]
        middle = np.median(head, axis=1)
        median[rows] = middle
        sd[rows] = 1.4826 * np.median(np.abs(head - middle[:, None]), axis=1)
    peak = curves[np.arange(n), peak_index]
    level = np.maximum(median + ARRIVAL_SD * sd, median + ARRIVAL_LEVEL * (peak - median))
    level = np.minimum(level, median + 0.5 * np.maximum(peak - median, 0.0))  # a noisy baseline must not exceed the bolus
    return _crossing_before(curves, times_s, peak_index, level), sd


def _crossing_before(curves: NDArray[Any], times_s: FloatArray, peak_index: NDArray[np.int64], level: FloatArray) -> FloatArray:
    """Return the last upward crossing of a level before the peak, or the first frame where there is none."""
    rows, frames = np.arange(curves.shape[0]), curves.shape[1]
    low = (np.arange(frames) <= peak_index[:, None]) & (curves < level[:, None])
    found = low.any(1)
    i = np.where(found, frames - 1 - low[:, ::-1].argmax(1), 0)
    j = np.minimum(i + 1, frames - 1)
    rise = curves[rows, j] - curves[rows, i]
    part = np.clip((level - curves[rows, i]) / np.where(rise > 0, rise, 1.0), 0.0, 1.0)
    crossing: FloatArray = np.where(found, times_s[i] + part * (times_s[j] - times_s[i]), times_s[0])
    return crossing


def _crossing_after(curves: NDArray[Any], times_s: FloatArray, peak_index: NDArray[np.int64], level: FloatArray) -> FloatArray:
    """Return the first downward crossing of a level after the peak, or the last frame where there is none."""
    rows, frames = np.arange(curves.shape[0]), curves.shape[1]
    low = (np.arange(frames) > peak_index[:, None]) & (curves < level[:, None])
    found = low.any(1)
    j = np.where(found, low.argmax(1), frames - 1)
    i = np.maximum(j - 1, 0)
    fall = curves[rows, i] - curves[rows, j]
    part = np.clip((curves[rows, i] - level) / np.where(fall > 0, fall, 1.0), 0.0, 1.0)
    crossing: FloatArray = np.where(found, times_s[i] + part * (times_s[j] - times_s[i]), times_s[-1])
    return crossing
