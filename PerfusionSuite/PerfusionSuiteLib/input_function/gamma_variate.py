# SPDX-License-Identifier: Apache-2.0
"""First pass of a bolus as a gamma variate, for one curve or for many at once.

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
    """Gamma variates; each field has one entry per curve, or no axis for a single curve.

    Parameters
    ----------
    height : ndarray
        Value at the peak, in the unit of the curve.
    start_s : ndarray, s
        Arrival ``t0``.
    alpha : ndarray
        Shape.
    beta_s : ndarray, s
        Time constant of the washout.
    rms : ndarray
        Root mean square of the residual within the fitted window, over the peak.
    success : ndarray of bool
        False when the fit did not converge, misses by more than 20 % of the peak, or `beta_s` lies at a bound;
        the measured curve should be used then.
    """

    height: FloatArray
    start_s: FloatArray
    alpha: FloatArray
    beta_s: FloatArray
    rms: FloatArray
    success: BoolArray

    @property
    def peak_s(self) -> FloatArray:
        """Time of the peak in s."""
        return self.start_s + self.alpha * self.beta_s

    @property
    def mean_s(self) -> FloatArray:
        """Mean time of the curve in s."""
        return self.start_s + (self.alpha + 1.0) * self.beta_s

    @property
    def area(self) -> FloatArray:
        """Area under the whole curve, unit of the curve times s."""
        shape = np.exp(self.alpha - self.alpha * np.log(self.alpha) + gammaln(self.alpha + 1.0))
        result: FloatArray = self.height * self.beta_s * shape
        return result

    def curve(self, times_s: ArrayLike) -> FloatArray:
        """Return the fitted curves.

        Parameters
        ----------
        times_s : array-like, shape (T,), s
            Where to evaluate.

        Returns
        -------
        ndarray, shape (..., T)
            Values in the unit of the fitted curves.
        """
        return evaluate(times_s, self.height, self.start_s, self.alpha, self.beta_s)


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
    """Fit the first pass of one curve with a robust loss.

    Parameters
    ----------
    curve : array-like, shape (T,)
        Enhancement or delta R2*, baseline at zero.
    times_s : array-like, shape (T,), s
        Frame times; they need not be uniform.

    Returns
    -------
    GammaFit
        With fields of shape ``()``.

    Raises
    ------
    InvalidInputError
        If the curve has missing values.
    """
    values, times = _checked(np.asarray(curve, np.float64)[None], times_s)
    values, unit = _normalized(values)
    start, window, valid = _start(values, times)
    if not valid[0]:
        return _first(_result(start, values, times, window, valid, unit))
    y, t = values[0, window[0]], times[window[0]]
    scale = float(start[0, 0])
    low, high = _bounds(values, times)

    def residual(p: FloatArray) -> FloatArray:
        difference: FloatArray = evaluate(t, p[0], p[1], np.exp(p[2]), np.exp(p[3])) - y
        return difference

    found = least_squares(
        residual,
        np.clip(start[0], low[0] + 1e-6, high[0] - 1e-6),
        jac=lambda p: _jacobian(t[None], p[None])[1][0],
        bounds=(low[0], high[0]),
        loss="soft_l1",
        f_scale=LOSS_SCALE * scale,
        x_scale=np.array([scale, 1.0, 0.5, 0.5]),
        max_nfev=200,
    )
    return _first(_result(found.x[None], values, times, window, valid & bool(found.success), unit))


def fit_many(curves: ArrayLike, times_s: ArrayLike, *, iterations: int = 12) -> GammaFit:
    """Fit the first pass of many curves at once by damped Gauss-Newton steps with soft-L1 weights.

    Parameters
    ----------
    curves : array-like, shape (..., T)
        Enhancement or delta R2*, baseline at zero.
    times_s : array-like, shape (T,), s
        Frame times; they need not be uniform.
    iterations : int
        Number of steps.

    Returns
    -------
    GammaFit
        With fields of shape ``(...)``.

    Raises
    ------
    InvalidInputError
        If a curve has missing values.
    """
    array = np.asarray(curves, np.float64)
    values, times = _checked(array.reshape(-1, array.shape[-1]), times_s)
    values, unit = _normalized(values)
    p, window, valid = _start(values, times)
    low, high = _bounds(values, times)
    p = np.clip(p, low, high)
    scale = np.maximum(p[:, 0].copy(), 1e-12)
    damping = np.full(p.shape[0], 1e-2)
    model, jacobian = _jacobian(times, p)
    cost = _cost(values - model, window, scale)
    for _ in range(iterations):
        step = _step(values - model, jacobian, window, scale, damping)
        trial = np.clip(p + step, low, high)
        trial_model, trial_jacobian = _jacobian(times, trial)
        trial_cost = _cost(values - trial_model, window, scale)
        better = trial_cost < cost
        p = np.where(better[:, None], trial, p)
        model = np.where(better[:, None], trial_model, model)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        cost = np.where(better, trial_cost, cost)
        damping = np.clip(np.where(better, damping * 0.2, damping * 8.0), 1e-8, 1e6)
    fitted = _result(p, values, times, window, valid, unit)
    shape = array.shape[:-1]
    return GammaFit(*(np.reshape(getattr(fitted, name), shape) for name in GammaFit.__slots__))


def _checked(values: FloatArray, times_s: ArrayLike) -> tuple[FloatArray, FloatArray]:
    times = check_times(times_s, values.shape[-1])
    if not np.isfinite(values).all():
        msg = "A curve has missing values. Leave such voxels out before fitting a gamma variate."
        raise InvalidInputError(msg)
    return values, times


def _normalized(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return curves with a peak of 1 and what to multiply them by, so that no step depends on the unit."""
    unit = values.max(axis=1)
    unit = np.where(unit > 0, unit, 1.0)
    return values / unit[:, None], unit


def _first(many: GammaFit) -> GammaFit:
    return GammaFit(*(getattr(many, name)[0] for name in GammaFit.__slots__))


def _start(values: FloatArray, times: FloatArray) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return start parameters (n, 4), the window of the first pass (n, T) and which curves can be fitted."""
    n, frames = values.shape
    rows, index = np.arange(n), np.arange(frames)
    peak_index = values.argmax(axis=1)
    peak = values[rows, peak_index]
    before = (index <= peak_index[:, None]) & (values < RISE_LEVEL * peak[:, None])
    first = np.where(before.any(1), frames - 1 - before[:, ::-1].argmax(1), 0)
    after = (index > peak_index[:, None]) & (values < FALL_LEVEL * peak[:, None])
    last = np.where(after.any(1), after.argmax(1), frames - 1)
    window = (index >= first[:, None]) & (index <= last[:, None])
    arrival = np.minimum(arrival_times(values, times), times[peak_index] - 1e-3 * (times[-1] - times[0]))
    beta = np.clip((times[peak_index] - arrival) / 3.0, *BETA_BOUNDS_S)
    valid = (peak > 0) & (window.sum(1) >= MIN_SAMPLES)
    height = np.where(peak > 0, peak, 1.0)
    return np.stack([height, arrival, np.full(n, np.log(3.0)), np.log(beta)], axis=1), window, valid


def _bounds(values: FloatArray, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    peak_index = values.argmax(axis=1)
    height = np.maximum(values.max(axis=1), 1e-12)
    duration = times[-1] - times[0]
    ones = np.ones(values.shape[0])
    low = np.stack([0.2 * height, (times[0] - 0.5 * duration) * ones, *(np.log(b[0]) * ones for b in _SHAPES)], 1)
    high = np.stack([3.0 * height, times[peak_index] + 1e-6, *(np.log(b[1]) * ones for b in _SHAPES)], 1)
    return low, high


_SHAPES = (ALPHA_BOUNDS, BETA_BOUNDS_S)


def _jacobian(times: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return curves (n, T) and their derivatives (n, T, 4) by height, start, ln alpha and ln beta."""
    h, t0, a, b = p[:, 0:1], p[:, 1:2], np.exp(p[:, 2:3]), np.exp(p[:, 3:4])
    x = np.maximum((times - t0) / (a * b), 1e-9)
    log_x = np.log(x)
    unit = np.where(times > t0, np.exp(a * (log_x + 1.0 - x)), 0.0)
    curve = h * unit
    return curve, np.stack([unit, curve * (1.0 - 1.0 / x) / b, curve * a * log_x, curve * a * (x - 1.0)], axis=-1)


def _cost(residual: FloatArray, window: BoolArray, scale: FloatArray) -> FloatArray:
    z = (residual / (LOSS_SCALE * scale[:, None])) ** 2
    cost: FloatArray = (np.where(window, np.sqrt(1.0 + z) - 1.0, 0.0)).sum(1)
    return cost


def _step(residual: FloatArray, jacobian: FloatArray, window: BoolArray, scale: FloatArray, damping: FloatArray) -> FloatArray:
    weight = np.where(window, 1.0 / np.sqrt(1.0 + (residual / (LOSS_SCALE * scale[:, None])) ** 2), 0.0)
    weighted = jacobian * weight[..., None]
    normal = np.einsum("nti,ntj->nij", weighted, jacobian, optimize=True)
    gradient = np.einsum("nti,nt->ni", weighted, residual, optimize=True)
    diagonal = np.einsum("nii->ni", normal)
    floor = 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-12
    normal = normal + np.eye(4) * (damping[:, None] * diagonal + floor)[:, None, :]
    step: FloatArray = np.linalg.solve(normal, gradient[..., None])[..., 0]
    return step


def _result(
    p: FloatArray, values: FloatArray, times: FloatArray, window: BoolArray, valid: BoolArray, unit: FloatArray
) -> GammaFit:
    alpha, beta = np.exp(p[:, 2]), np.exp(p[:, 3])
    residual = np.where(window, values - evaluate(times, p[:, 0], p[:, 1], alpha, beta), 0.0)
    peak = np.maximum(values.max(axis=1), 1e-12)
    rms = np.sqrt((residual**2).sum(1) / np.maximum(window.sum(1), 1)) / peak
    inside = (beta > BETA_BOUNDS_S[0] * 1.001) & (beta < BETA_BOUNDS_S[1] * 0.999)
    return GammaFit(p[:, 0] * unit, p[:, 1], alpha, beta, rms, valid & inside & (rms <= WORST_RMS))
