# SPDX-License-Identifier: Apache-2.0
"""From the measured frame times to the uniform grid that deconvolution works on.

Resampling of tissue is one matrix, so that it multiplies into the deconvolution operator and costs nothing per voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from ..core.geometry import FloatArray

UNIFORM_TOLERANCE = 0.02
"""Largest relative deviation of a frame interval from the median that still counts as uniform."""

FINEST_GRID_S = 1.0
"""Non-uniform series are resampled at the median interval, but not coarser than this."""

TAIL_DECAY_S = 15.0
"""Time constant of the tail that is put behind truncated curves."""


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """The uniform grid of a scan.

    Parameters
    ----------
    times_s : ndarray, shape (N,), s
        Grid times.
    interval_s : float, s
        Grid interval.
    resampling : ndarray, shape (T, N)
        ``curve_on_grid = curve @ resampling``; the identity for a uniform series.
    """

    times_s: FloatArray
    interval_s: float
    resampling: FloatArray


def is_uniform(times_s: FloatArray) -> bool:
    """Tell whether the frames are equally spaced within 2 %.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    bool
        True when no resampling is needed.
    """
    steps = np.diff(times_s)
    median = float(np.median(steps))
    return bool(np.abs(steps - median).max() <= UNIFORM_TOLERANCE * median)


def make_grid(times_s: FloatArray) -> TimeGrid:
    """Choose the uniform grid of a scan.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Strictly increasing frame times.

    Returns
    -------
    TimeGrid
        The frame times themselves when they are uniform. Otherwise a grid with the median interval, at most 1 s, and the
        matrix of a piecewise cubic through the samples whose slopes are three-point differences: third-order accurate,
        local, and linear in the data (a monotone cubic is not, and would have to be run voxel by voxel).
    """
    steps = np.diff(times_s)
    if is_uniform(times_s):
        return TimeGrid(times_s, float(steps.mean()), np.eye(times_s.size))
    interval = min(float(np.median(steps)), FINEST_GRID_S)
    count = int(np.floor((times_s[-1] - times_s[0]) / interval + 1e-6)) + 1
    grid = np.minimum(times_s[0] + interval * np.arange(count), times_s[-1])
    unit = np.eye(times_s.size)
    matrix = CubicHermiteSpline(times_s, unit, np.gradient(unit, times_s, axis=0), axis=0)(grid)
    return TimeGrid(grid, interval, np.ascontiguousarray(matrix.T))


def spline_on_grid(times_s: FloatArray, values: FloatArray, grid_s: FloatArray) -> FloatArray:
    """Evaluate a vascular curve by natural cubic spline (linear interpolation would widen it).

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Sample times.
    values : ndarray, shape (T,)
        The curve.
    grid_s : ndarray, s
        Where to evaluate; before the first sample the curve is zero, after the last one it decays exponentially.

    Returns
    -------
    ndarray, same shape as `grid_s`
        The curve.
    """
    spline = CubicSpline(times_s, values, bc_type="natural")
    inside = spline(np.clip(grid_s, times_s[0], times_s[-1]))
    after = np.exp(-np.maximum(grid_s - times_s[-1], 0.0) / TAIL_DECAY_S)
    return np.where(grid_s < times_s[0], 0.0, inside * after)


def trapezoid_weights(times_s: FloatArray) -> FloatArray:
    """Return the weights whose dot product with a curve is its trapezoidal area.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    ndarray, shape (T,), s
        The weights.
    """
    steps = np.diff(times_s)
    weights = np.zeros(times_s.size)
    weights[:-1] += 0.5 * steps
    weights[1:] += 0.5 * steps
    return weights
