# SPDX-License-Identifier: Apache-2.0
"""First pass of a bolus as a gamma variate.

The curve is written by its peak, ``C = h x**a exp(a (1 - x))`` with ``x = (t - t0) / (a b)`` (Madsen, Phys. Med. Biol.
37:1597, 1992), because height, start, ln(a) and ln(b) are nearly uncorrelated in that form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.special import gammaln

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.series import check_times
from .features import arrival_times

ALPHA_BOUNDS = (0.5, 10.0)
BETA_BOUNDS_S = (0.3, 10.0)
LOSS_SCALE = 0.05
"""Where the soft-L1 loss turns from square to linear, as a part of the peak."""

WORST_RMS = 0.2
RISE_LEVEL = 0.10
FALL_LEVEL = 0.35
MIN_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class GammaFit:
    """The gamma variate of a curve.

    Parameters
    ----------
    height : float
        Value at the peak, in the unit of the curve.
    start_s : float, s
        Arrival ``t0``.
    alpha : float
        Shape.
    beta_s : float, s
        Time constant of the washout.
    rms : float
        Root mean square of the residual within the fitted window, over the peak.
    success : bool
        False when the fit did not converge, misses by more than 20 % of the peak, or `beta_s` lies at a bound;
        the measured curve should be used then.
    """

    height: float
    start_s: float
    alpha: float
    beta_s: float
    rms: float
    success: bool

    @property
    def area(self) -> float:
        """Area under the whole curve, unit of the curve times s."""
        shape = np.exp(self.alpha - self.alpha * np.log(self.alpha) + gammaln(self.alpha + 1.0))
        return float(self.height * self.beta_s * shape)


def evaluate(times_s: ArrayLike, height: ArrayLike, start_s: ArrayLike, alpha: ArrayLike, beta_s: ArrayLike) -> FloatArray:
    """Evaluate gamma variates in peak form.

    Parameters
    ----------
    times_s : array-like, shape (T,), s
        Where to evaluate.
    height : array-like, shape (...)
        Value at the peak.
    start_s : array-like, shape (...), s
        Arrival.
    alpha : array-like, shape (...)
        Shape.
    beta_s : array-like, shape (...), s
        Time constant of the washout; the peak lies at ``start_s + alpha * beta_s``.

    Returns
    -------
    ndarray, shape (..., T)
        Zero up to the arrival.
    """
    h, t0, a, b = (np.asarray(v, np.float64)[..., None] for v in (height, start_s, alpha, beta_s))
    x = (np.asarray(times_s, np.float64) - t0) / (a * b)
    log_x = np.log(np.maximum(x, 1e-12))
    curve: FloatArray = np.where(x > 0, h * np.exp(a * (log_x + 1.0 - x)), 0.0)
    return curve


def fit(curve: ArrayLike, times_s: ArrayLike) -> GammaFit:
    """Fit the first pass of a curve with a robust loss.

    Parameters
    ----------
    curve : array-like, shape (T,)
        Enhancement or delta R2*, baseline at zero.
    times_s : array-like, shape (T,), s
        Frame times; they need not be uniform.

    Returns
    -------
    GammaFit
        Its `success` says whether it can be used.

    Raises
    ------
    InvalidInputError
        If the curve has missing values.
    """
    measured = np.asarray(curve, np.float64)
    times = check_times(times_s, measured.size)
    if not np.isfinite(measured).all():
        msg = "A curve has missing values. Leave such voxels out before fitting a gamma variate."
        raise InvalidInputError(msg)
    # A peak of 1, so that no step depends on the unit.
    unit = float(measured.max()) if measured.max() > 0 else 1.0
    values = measured / unit
    start, window = _start(values, times)
    if not (values.max() > 0 and window.sum() >= MIN_SAMPLES):
        return _result(start, values, times, window, unit, converged=False)
    low, high = _bounds(values, times)
    t, y = times[window], values[window]
    found = least_squares(
        lambda p: evaluate(t, p[0], p[1], np.exp(p[2]), np.exp(p[3])) - y,
        np.clip(start, low + 1e-6, high - 1e-6),
        jac=lambda p: _jacobian(t, p),
        bounds=(low, high),
        loss="soft_l1",
        f_scale=LOSS_SCALE,
        x_scale=np.array([1.0, 1.0, 0.5, 0.5]),
        max_nfev=200,
    )
    return _result(found.x, values, times, window, unit, converged=bool(found.success))


def _start(values: FloatArray, times: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return start parameters (height, start, ln alpha, ln beta) and the frames of the first pass."""
    index, peak_index = np.arange(values.size), int(values.argmax())
    peak = float(values[peak_index])
    before = np.flatnonzero((index <= peak_index) & (values < RISE_LEVEL * peak))
    after = np.flatnonzero((index > peak_index) & (values < FALL_LEVEL * peak))
    first, last = before[-1] if before.size else 0, after[0] if after.size else values.size - 1
    arrival = min(float(arrival_times(values[None], times)[0]), float(times[peak_index] - 1e-3 * (times[-1] - times[0])))
    beta = np.clip((times[peak_index] - arrival) / 3.0, *BETA_BOUNDS_S)
    height = peak if peak > 0 else 1.0
    return np.array([height, arrival, np.log(3.0), np.log(beta)]), (index >= first) & (index <= last)


def _bounds(values: FloatArray, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    height, earliest = float(values.max()), float(times[0] - 0.5 * (times[-1] - times[0]))
    shapes = np.log([ALPHA_BOUNDS, BETA_BOUNDS_S])
    low = np.array([0.2 * height, earliest, *shapes[:, 0]])
    return low, np.array([3.0 * height, float(times[values.argmax()]) + 1e-6, *shapes[:, 1]])


def _jacobian(times: FloatArray, p: FloatArray) -> FloatArray:
    """Return derivatives (T, 4) by height, start, ln alpha and ln beta."""
    h, t0, a, b = p[0], p[1], np.exp(p[2]), np.exp(p[3])
    x = np.maximum((times - t0) / (a * b), 1e-9)
    log_x = np.log(x)
    unit = np.where(times > t0, np.exp(a * (log_x + 1.0 - x)), 0.0)
    curve = h * unit
    return np.stack([unit, curve * (1.0 - 1.0 / x) / b, curve * a * log_x, curve * a * (x - 1.0)], axis=-1)


def _result(p: FloatArray, values: FloatArray, times: FloatArray, window: BoolArray, unit: float, *, converged: bool) -> GammaFit:
    alpha, beta = float(np.exp(p[2])), float(np.exp(p[3]))
    residual = (values - evaluate(times, p[0], p[1], alpha, beta))[window]
    rms = float(np.sqrt((residual**2).sum() / max(residual.size, 1)) / max(float(values.max()), 1e-12))
    inside = BETA_BOUNDS_S[0] * 1.001 < beta < BETA_BOUNDS_S[1] * 0.999
    return GammaFit(float(p[0]) * unit, float(p[1]), alpha, beta, rms, converged and inside and rms <= WORST_RMS)
