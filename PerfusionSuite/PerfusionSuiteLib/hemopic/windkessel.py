# SPDX-License-Identifier: Apache-2.0
"""Experimental: a vascular bed that fills or empties while the bolus passes (two-element Windkessel with conserved mass).

Volume follows ``dV/dt = F - Q``, tracer ``dM/dt = F C_in - (Q / V) M``, and outflow relaxes to inflow,
``Q(t) = F + (Q0 - F) exp(-(t - t0) / tau)`` from the arrival t0 of the bolus on; with Q0 = F this is one well-mixed compartment.
DSC images a steady state, so the data rarely say anything about tau and Q0 / F; each region is told whether they do (hemopic.md
10.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import integrate, optimize

from ..core.geometry import FloatArray
from .physical_response import STEP_S, Input

PRESSURE_DROP_MMHG = 85.0
"""Assumed fall of the mean pressure from arteries to veins; turns an absolute flow into a resistance."""

TAU_RANGE_S = (0.3, 60.0)
RATIO_RANGE = (0.2, 5.0)
LEAST_GAIN = 9.2
"""Fall of chi-squared by two more parameters that chance reaches in one of a hundred."""

LARGEST_SD = 0.5
"""Standard deviation of ln tau and ln Q0 / F up to which they count as known."""

ARRIVAL_SHARE = 0.05
"""The bolus arrives where its curve first exceeds this share of its peak."""


@dataclass(frozen=True, slots=True)
class WindkesselFit:
    """The extension for one region.

    Parameters
    ----------
    volume : float
        Amplitude, in units of the input.
    mtt_s, delay_s, tau_s : float, s
        Transit time V0 / F, arrival, and time constant.
    outflow_ratio : float
        Outflow over inflow when the bolus arrives.
    gain : float
        Chi-squared of the compartment in steady state minus that of this fit.
    sds : tuple of float
        Standard deviations of ln tau and of ln of the ratio.
    identified : bool
        Whether the data say anything about tau and the ratio.
    curve : ndarray, shape (T,)
        Fitted curve.
    """

    volume: float
    mtt_s: float
    delay_s: float
    tau_s: float
    outflow_ratio: float
    gain: float
    sds: tuple[float, float]
    identified: bool
    curve: FloatArray


def arrival_s(source: Input) -> float:
    """Return when the bolus arrives at the input.

    Parameters
    ----------
    source : Input
        The input.

    Returns
    -------
    float, s
        Last time before the peak at which it lies below a twentieth of the peak.
    """
    peak = int(source.values.argmax())
    below = np.flatnonzero(source.values[: peak + 1] < ARRIVAL_SHARE * source.values[peak])
    return float(source.knots_s[below[-1]]) if below.size else source.start_s


def content(source: Input, times_s: FloatArray, mtt_s: float, delay_s: float, tau_s: float, ratio: float) -> FloatArray:
    """Return the tracer content of a bed of unit volume at rest.

    Parameters
    ----------
    source : Input
        Concentration that flows in.
    times_s : ndarray, shape (T,), s
        When.
    mtt_s, delay_s, tau_s : float, s
        Volume at rest over inflow, arrival, time constant.
    ratio : float
        Outflow over inflow when the bolus arrives.

    Returns
    -------
    ndarray, shape (T,)
        Content, in units of the input.

    Notes
    -----
    With ``K(t)`` the integral of Q / V the solution is ``M(t) = exp(-K(t)) * integral of F C_in exp(K)``, by trapezoids on the
    fine axis. Q / V is ``F / V - d ln V / dt``, of which only the first part needs quadrature.
    """
    flow = 1.0 / mtt_s
    time = source.knots_s
    since = np.maximum(time - arrival_s(source), 0.0)
    volume = np.maximum(1.0 + flow * (1.0 - ratio) * tau_s * (1.0 - np.exp(-since / tau_s)), 0.05)
    exponent = integrate.cumulative_trapezoid(flow / volume, dx=STEP_S, initial=0.0) - np.log(volume)
    exponent = np.minimum(exponent, 600.0)
    grown = integrate.cumulative_trapezoid(flow * source.values * np.exp(exponent), dx=STEP_S, initial=0.0)
    content_at = grown * np.exp(-exponent)
    found: FloatArray = np.interp(times_s - delay_s, time, content_at, left=0.0)
    return found


def fit_windkessel(
    curve: FloatArray, times_s: FloatArray, source: Input, start: tuple[float, float], variance: float, weights: FloatArray
) -> WindkesselFit:
    """Fit the extension to the curve of a region.

    Parameters
    ----------
    curve : ndarray, shape (T,)
        Mean curve.
    times_s : ndarray, shape (T,), s
        Frame times.
    source : Input
        What flows in.
    start : tuple of float, s
        Transit time and delay to begin with.
    variance : float
        Noise variance of a sample.
    weights : ndarray, shape (T,)
        Weights of the frames.

    Returns
    -------
    WindkesselFit
        Parameters, and whether they mean anything.
    """
    root = np.sqrt(weights / variance)

    def shape_of(x: FloatArray) -> FloatArray:
        return content(source, times_s, float(np.exp(x[0])), float(x[1]), float(np.exp(x[2])), float(np.exp(x[3])))

    def design(x: FloatArray) -> FloatArray:
        return np.stack([shape_of(x), np.ones(times_s.size)], axis=1)

    def amplitude(x: FloatArray) -> FloatArray:
        found: FloatArray = np.linalg.lstsq(design(x) * root[:, None], curve * root, rcond=None)[0]
        return found

    def residual(x: FloatArray) -> FloatArray:
        found: FloatArray = (curve - design(x) @ amplitude(x)) * root
        return found

    def steady(y: FloatArray) -> FloatArray:
        return residual(np.array([y[0], y[1], 1.0, 0.0]))

    low, high = np.log(0.8), np.log(40.0)
    begin = np.array([np.clip(np.log(start[0]), low + 0.01, high - 0.01), np.clip(start[1], -5.9, 15.9)])
    plain = optimize.least_squares(steady, begin, bounds=([low, -6.0], [high, 16.0]), diff_step=1e-3)
    limits = (
        [low, -6.0, np.log(TAU_RANGE_S[0]), np.log(RATIO_RANGE[0])],
        [high, 16.0, np.log(TAU_RANGE_S[1]), np.log(RATIO_RANGE[1])],
    )
    fits = [
        optimize.least_squares(residual, [*plain.x, np.log(tau), np.log(ratio)], bounds=limits, diff_step=1e-3, max_nfev=60)
        for tau in (2.0, 10.0)
        for ratio in (0.7, 1.4)
    ]
    best = min(fits, key=lambda found: float(found.cost))
    sds = np.sqrt(np.maximum(np.diag(np.linalg.pinv(best.jac.T @ best.jac)), 0.0))[2:]
    gain = 2.0 * float(plain.cost - best.cost)
    inside = bool(np.all(best.x[2:] > np.array(limits[0])[2:] + 0.02) and np.all(best.x[2:] < np.array(limits[1])[2:] - 0.02))
    identified = gain > LEAST_GAIN and inside and bool((sds < LARGEST_SD).all())
    scale, offset = amplitude(best.x)
    values = np.exp(best.x)
    return WindkesselFit(
        float(scale), float(values[0]), float(best.x[1]), float(values[2]), float(values[3]), gain,
        (float(sds[0]), float(sds[1])), identified, scale * shape_of(best.x) + offset,
    )  # fmt: skip
