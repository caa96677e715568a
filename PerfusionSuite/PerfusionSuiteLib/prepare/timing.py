# SPDX-License-Identifier: Apache-2.0
"""One time axis for all slices, and a regular one for deconvolution, by monotone cubic interpolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TimingError
from ..core.findings import QualityFinding
from ..core.geometry import FloatArray
from ..core.memory import sparse_zeros
from ..core.series import PerfusionSeries, check_times
from ..core.values import Concentration
from .arrival import arrival_time, quick_arterial_curve

UNIFORM_TOLERANCE = 0.02
"""Largest deviation from the median interval that still counts as uniform."""

GRID_STEP_S = 1.0
GAP_FACTOR = 1.8

SAMPLED_INTERVAL = "sampled_interval_s"
"""Key in ``acquisition.details``: median interval of the measured frames of a resampled series."""


def pchip(times_s: FloatArray, curves: NDArray[np.float32], grid_s: FloatArray, chunk: int = 8192) -> NDArray[np.float32]:
    """Interpolate many curves at once without overshoot.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Strictly increasing sample times.
    curves : ndarray, shape (N, T)
        Sample values.
    grid_s : ndarray, shape (G,), s
        Where values are wanted; outside the samples the end values are kept.
    chunk : int
        Curves per block.

    Returns
    -------
    ndarray of float32, shape (N, G)
        Interpolated curves.

    References
    ----------
    Fritsch and Butland, SIAM J Sci Stat Comput 5:300 (1984): slopes as weighted harmonic means.

    Notes
    -----
    Only the slopes depend on the data in a nonlinear way; values and slopes enter the result linearly, so that each block is two
    matrix products.
    """
    times, grid = np.asarray(times_s, np.float64), np.asarray(grid_s, np.float64)
    if times.size < 3:
        msg = f"{times.size} frames cannot be interpolated in time. Give at least 3 frames."
        raise TimingError(msg)
    from_values, from_slopes = _hermite_operators(times, np.clip(grid, times[0], times[-1]))
    widths = np.diff(times).astype(np.float32)
    result = np.empty((curves.shape[0], grid.size), np.float32)
    for start in range(0, curves.shape[0], chunk):
        block = np.asarray(curves[start : start + chunk], np.float32)
        result[start : start + chunk] = block @ from_values + _slopes(block, widths) @ from_slopes
    return result


def _hermite_operators(times: FloatArray, grid: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrices (T, G) that take values and slopes to the grid."""
    left = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, times.size - 2)
    width = times[left + 1] - times[left]
    s = (grid - times[left]) / width
    column = np.arange(grid.size)
    values, slopes = np.zeros((times.size, grid.size)), np.zeros((times.size, grid.size))
    values[left, column] = (1 + 2 * s) * (1 - s) ** 2
    values[left + 1, column] = s**2 * (3 - 2 * s)
    slopes[left, column] = width * s * (1 - s) ** 2
    slopes[left + 1, column] = width * s**2 * (s - 1)
    return values.astype(np.float32), slopes.astype(np.float32)


def _slopes(curves: NDArray[np.float32], widths: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slopes at the samples that keep each interval monotone."""
    secants = np.diff(curves, axis=1) / widths
    before, after = secants[:, :-1], secants[:, 1:]
    weight_before, weight_after = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
    same_sign = before * after > 0
    safe_before, safe_after = np.where(same_sign, before, 1), np.where(same_sign, after, 1)
    harmonic = (weight_before + weight_after) / (weight_before / safe_before + weight_after / safe_after)
    slopes = np.zeros_like(curves)
    slopes[:, 1:-1] = np.where(same_sign, harmonic, 0)
    slopes[:, 0] = _end_slope(secants[:, 0], secants[:, 1], widths[0], widths[1])
    slopes[:, -1] = _end_slope(secants[:, -1], secants[:, -2], widths[-1], widths[-2])
    return slopes


def _end_slope(
    first: NDArray[np.float32], second: NDArray[np.float32], width: np.float32, next_width: np.float32
) -> NDArray[np.float32]:
    """One-sided three-point slope at an end, limited so that the shape is kept."""
    slope = ((2 * width + next_width) * first - width * second) / (width + next_width)
    slope = np.where(slope * first <= 0, 0, slope)
    turns = (first * second <= 0) & (np.abs(slope) > 3 * np.abs(first))
    return np.where(turns, 3 * first, slope).astype(np.float32)


def is_uniform(times_s: FloatArray) -> bool:
    """Tell whether frame times are regular enough to be taken as uniform.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    bool
        True when no interval differs by more than 2 % from the median one.
    """
    steps = np.diff(times_s)
    return bool(np.abs(steps - np.median(steps)).max(initial=0.0) <= UNIFORM_TOLERANCE * np.median(steps)) if steps.size else True


def regular_grid(first_s: float, last_s: float, step_s: float) -> FloatArray:
    """Return the times of a uniform grid within an interval.

    Parameters
    ----------
    first_s, last_s, step_s : float, s
        Start, latest end and step.

    Returns
    -------
    ndarray, shape (G,), s
        Grid times.
    """
    count = int(np.floor((last_s - first_s) / step_s + 1e-6)) + 1
    grid: FloatArray = first_s + step_s * np.linspace(0.0, count - 1.0, count)
    return grid


def gap_finding(times_s: FloatArray, curve: FloatArray) -> tuple[QualityFinding, ...]:
    """Report frames that are missing while the bolus passes.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    curve : ndarray, shape (T,)
        Arterial curve on these times.

    Returns
    -------
    tuple of QualityFinding
        ``gap_in_first_pass`` or nothing.

    Notes
    -----
    An interval counts as a gap when it exceeds 1.8 times the median of the five around it, so that a planned change from 1 s to
    3 s intervals is not one.
    """
    steps = np.diff(times_s)
    local = np.array([np.median(steps[max(0, n - 2) : n + 3]) for n in range(steps.size)])
    peak = int(np.argmax(curve))
    arrival = float(arrival_time(curve, times_s))
    arrival = float(times_s[0]) if not np.isfinite(arrival) else arrival
    end = times_s[peak] + 1.5 * max(times_s[peak] - arrival, 3.0)
    in_pass = (times_s[1:] > arrival) & (times_s[:-1] < end)
    gaps = np.flatnonzero((steps > GAP_FACTOR * local) & in_pass)
    if not gaps.size:
        return ()
    worst = int(gaps[np.argmax(steps[gaps])])
    length, start = steps[worst], times_s[worst]
    message = f"{gaps.size} gap(s) in the frames while the bolus passes; the longest lasts {length:.1f} s after {start:.1f} s."
    return (QualityFinding("gap_in_first_pass", "warning", message, "Check that all frames of the series were read."),)


def common_times(series: PerfusionSeries) -> PerfusionSeries:
    """Bring slices that were taken at different times to one time axis.

    Parameters
    ----------
    series : PerfusionSeries
        Shuttle and jog scans carry ``acquisition.slice_times_s``.

    Returns
    -------
    PerfusionSeries
        The same object when all slices share the frame times. Otherwise a series on a uniform grid from the first to the last
        time that every slice has, with step ``min(median interval, 1 s)`` for CT and the median interval for MR.

    Raises
    ------
    TimingError
        If the slices have too little time in common.
    """
    slice_times = series.acquisition.slice_times_s
    if slice_times is None:
        return series
    times = np.stack([check_times(row, series.data.shape[3]) for row in np.asarray(slice_times, np.float64)])
    interval = float(np.median(np.diff(times, axis=1)))
    if np.abs(times - series.times_s).max() <= UNIFORM_TOLERANCE * interval:
        return series
    first, last = float(times[:, 0].max()), float(times[:, -1].min())
    step = min(interval, GRID_STEP_S) if series.modality == "ctp" else interval
    if last - first < 3 * step:
        msg = f"The slices have only {max(last - first, 0.0):.1f} s in common. Check the times of the table positions."
        raise TimingError(msg)
    grid = regular_grid(first, last, step)
    data = sparse_zeros((*series.shape, grid.size))
    for k in range(series.shape[2]):
        curves = series.data[:, :, k].reshape(-1, series.times_s.size)
        data[:, :, k] = pchip(times[k], curves, grid).reshape(*series.shape[:2], grid.size)
    spread = float(np.ptp(times, axis=0).max())
    middle = int(np.argmin(np.abs(times[:, 0] - np.median(times[:, 0]))))
    curve = quick_arterial_curve(data, grid)
    info = QualityFinding(
        "slices_resampled_in_time",
        "info",
        f"Slices were taken up to {spread:.2f} s apart; all were brought to {grid.size} frames every {step:.2f} s.",
    )
    findings = (info, *gap_finding(times[middle], np.interp(times[middle], grid, curve)))
    details = {**series.acquisition.details, SAMPLED_INTERVAL: interval}
    return replace(
        series,
        data=data,
        times_s=grid,
        acquisition=replace(series.acquisition, slice_times_s=None, details=details),
        source=replace(series.source, findings=(*series.source.findings, *findings)),
    )


def regular_times(concentration: Concentration) -> Concentration:
    """Resample to a uniform time grid when the frame intervals differ.

    Parameters
    ----------
    concentration : Concentration
        Enhancement at the measured times.

    Returns
    -------
    Concentration
        The same object when the intervals agree within 2 %. Otherwise curves on a uniform grid with step
        ``min(median interval, 1 s)`` for CT and the median interval for MR.
    """
    times = concentration.times_s
    if is_uniform(times):
        return concentration
    interval = float(np.median(np.diff(times)))
    step = min(interval, GRID_STEP_S) if concentration.unit == "HU" else interval
    grid = regular_grid(float(times[0]), float(times[-1]), step)
    mask = concentration.mask
    data = sparse_zeros((*mask.shape, grid.size))
    data[mask] = pchip(times, concentration.data[mask], grid)
    before = int(np.searchsorted(grid, times[min(concentration.baseline_frames, times.size) - 1] + 1e-6, side="right"))
    shortest, longest = float(np.diff(times).min()), float(np.diff(times).max())
    info = QualityFinding(
        "frames_resampled_in_time",
        "info",
        f"Frame intervals are {shortest:.2f} to {longest:.2f} s; curves were brought to {grid.size} frames every {step:.2f} s.",
    )
    return replace(
        concentration,
        data=data,
        times_s=grid,
        baseline_frames=max(before, 1),
        findings=(*concentration.findings, info),
    )
