# SPDX-License-Identifier: Apache-2.0
"""The published regional model: a Windkessel's outflow, the tracer recursion that it drives, and what a fit minimizes.

The published program multiplies flows per minute by seconds and does not conserve tracer. Both are kept here, since this mode
exists to compare results line by line; nothing in it is a resistance or a compliance of a vessel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.geometry import FloatArray

EPSILON = 1e-6
FLOW_FLOOR = 0.02
START_PRESSURE = 1.0
MAX_EXPONENT = 60.0
BROKEN = 1e9

WEIGHT_RESISTANCE = 0.002
WEIGHT_FLOW = 0.04
WEIGHT_VOLUME = 0.04
WEIGHT_INLET = 0.06


@dataclass(frozen=True, slots=True)
class RegionParameters:
    """The five parameters of a region.

    Parameters
    ----------
    resistance : float
        R, without a unit since the pressure is fixed at 1.
    tau_s : float, s
        Time constant of the outflow.
    volume : float, mL / 100 g
        V.
    flow : float, mL / 100 g / min
        F.
    inlet : float
        Amplitude of the inlet curve, in the unit of the tissue curves.
    """

    resistance: float
    tau_s: float
    volume: float
    flow: float
    inlet: float


@dataclass(frozen=True, slots=True)
class RegionPriors:
    """What a region's parameters are drawn towards.

    Parameters
    ----------
    flow : float, mL / 100 g / min
        F0.
    volume : float, mL / 100 g
        V0.
    inlet : float
        C0, in the unit of the tissue curves.
    """

    flow: float
    volume: float
    inlet: float


def outflow(times_s: FloatArray, *, flow: float, resistance: float, tau_s: float) -> FloatArray:
    """Return the step response of a two-element Windkessel.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Times since the first frame.
    flow : float, mL / 100 g / min
        Constant inflow F.
    resistance : float
        R.
    tau_s : float, s
        Time constant, R times the compliance.

    Returns
    -------
    ndarray, shape (T,), mL / 100 g / min
        Q(t) = F + (p0 / R - F) exp(-t / tau) with p0 = 1.

    References
    ----------
    Lee and Liu, HemoPIC, arXiv:2607.08799; independent implementation from a description of the released program.
    """
    start = START_PRESSURE / resistance
    response: FloatArray = flow + (start - flow) * np.exp(-times_s / tau_s)
    return response


def tracer_curve(reference: FloatArray, dt_s: float, flows: FloatArray, parameters: RegionParameters) -> FloatArray:
    """Return the tracer curve of a region by the published recursion.

    Parameters
    ----------
    reference : ndarray, shape (T,)
        Reference curve h(t) with maximum 1, which stands for the arterial input.
    dt_s : float, s
        Interval between frames.
    flows : ndarray, shape (T,), mL / 100 g / min
        Outflow (see `outflow`); negative and non-finite values count as 0.
    parameters : RegionParameters
        V, F and the amplitude of the inlet are read.

    Returns
    -------
    ndarray, shape (T,)
        C(t) in the unit of the inlet; the first sample is 0.

    Notes
    -----
    C[n+1] = a C[n] + (1 - a) (F / Q) Cin[n] with a = exp(-Q dt / V), Q floored at 2 % of F. The flow is per minute and dt in
    seconds, as in the published program.
    """
    floor = max(FLOW_FLOOR * parameters.flow, 1e-12)
    usable = np.where(np.isfinite(flows), flows, 0.0)
    usable = np.maximum(usable, floor)
    exponent = usable * (dt_s / parameters.volume)
    kept = np.where(exponent > MAX_EXPONENT, 0.0, np.exp(-np.minimum(exponent, MAX_EXPONENT)))
    gained = (1.0 - kept) * (parameters.flow / usable) * (parameters.inlet * reference)
    # Plain floats: for so few steps numpy's overhead per element would dominate the whole fit.
    content, curve = 0.0, [0.0]
    for keep, gain in zip(kept[:-1].tolist(), gained[:-1].tolist(), strict=True):
        content = keep * content + gain
        curve.append(content)
    return np.array(curve)


def time_weights(reference: FloatArray) -> FloatArray:
    """Return the weights of the samples, from 0.2 before the bolus to 1 at its peak.

    Parameters
    ----------
    reference : ndarray, shape (T,)
        Reference curve.

    Returns
    -------
    ndarray, shape (T,)
        0.2 + 0.8 (h - min h) / (max h - min h); 0.2 throughout for a constant curve.
    """
    low = float(reference.min())
    span = max(float(reference.max()) - low, 1e-12)
    weights: FloatArray = 0.2 + 0.8 * (reference - low) / span
    return weights


def data_term(curve: FloatArray, observed: FloatArray, weights: FloatArray) -> float:
    """Return the weighted misfit relative to the weighted power of the observed curve.

    Parameters
    ----------
    curve, observed : ndarray, shape (T,)
        Model and data.
    weights : ndarray, shape (T,)
        Of the samples (see `time_weights`).

    Returns
    -------
    float
        mean(w r^2) / (mean(w c^2) + 1e-12).
    """
    residual = curve - observed
    count = observed.size
    power = float(weights @ (observed * observed)) / count
    return float(weights @ (residual * residual)) / count / (power + 1e-12)


def penalty(parameters: RegionParameters, priors: RegionPriors) -> float:
    """Return what the priors add to the data term; the time constant has none.

    Parameters
    ----------
    parameters : RegionParameters
        A point of the search.
    priors : RegionPriors
        Invalid ones count as 1e-6.

    Returns
    -------
    float
        Weighted sum of squared logarithms.
    """
    return (
        WEIGHT_RESISTANCE * math.log(parameters.resistance) ** 2
        + WEIGHT_FLOW * math.log(parameters.flow / valid_prior(priors.flow)) ** 2
        + WEIGHT_VOLUME * math.log(parameters.volume / valid_prior(priors.volume)) ** 2
        + WEIGHT_INLET * math.log(parameters.inlet / valid_prior(priors.inlet)) ** 2
    )


def valid_prior(value: float) -> float:
    """Return a prior, or 1e-6 in place of one that is not positive and finite.

    Parameters
    ----------
    value : float
        A prior.

    Returns
    -------
    float
        A positive number.
    """
    return value if math.isfinite(value) and value > 0 else EPSILON
