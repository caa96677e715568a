# SPDX-License-Identifier: Apache-2.0
"""The published search: bounded Powell over the logarithms of five parameters, and the prior where it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from ..core.geometry import FloatArray
from .compat_model import (
    BROKEN,
    EPSILON,
    RegionParameters,
    RegionPriors,
    data_term,
    outflow,
    penalty,
    time_weights,
    tracer_curve,
)

MAX_TAU_S = 300.0
MAX_RESISTANCE = 5000.0
MIN_RESISTANCE = 1e-10
FALLBACK_MESSAGE = "fallback_to_priors"
AT_BOUND = 1e-3


@dataclass(frozen=True, slots=True)
class FittedRegion:
    """What the search found for one region.

    Parameters
    ----------
    parameters : RegionParameters
        The five parameters; the priors where the search failed.
    outflow : ndarray, shape (T,), mL / 100 g / min
        Q(t) of these parameters.
    curve : ndarray, shape (T,)
        Tracer curve of these parameters; NaN where the search failed.
    loss : float
        Data term alone; 1e9 where the search failed.
    success : bool
        The optimizer's flag, and finite results.
    message : str
        The optimizer's words.
    at_bound : tuple of str
        Parameters that ended at an edge of their box.
    """

    parameters: RegionParameters
    outflow: FloatArray
    curve: FloatArray
    loss: float
    success: bool
    message: str
    at_bound: tuple[str, ...] = ()


def fit_region(observed: FloatArray, reference: FloatArray, dt_s: float, priors: RegionPriors) -> FittedRegion:
    """Fit the five parameters of a region to its smoothed mean curve.

    Parameters
    ----------
    observed : ndarray, shape (T,)
        Smoothed mean curve of the region.
    reference : ndarray, shape (T,)
        Reference curve with maximum 1.
    dt_s : float, s
        Interval between frames.
    priors : RegionPriors
        F0, V0 and C0.

    Returns
    -------
    FittedRegion
        Parameters, outflow, curve and how the search ended.

    Notes
    -----
    One start, SciPy's Powell with its default tolerances. With flows per minute and steps in seconds the data determine little
    more than the amplitude of the inlet, tau and the product R F: F and V stay where the priors hold them.
    """
    times = np.arange(observed.size) * dt_s
    weights = time_weights(reference)
    lower, upper = search_box(priors, dt_s, float(times[-1]))
    begin = np.clip([1.0, 0.30 * times[-1], priors.volume, priors.flow, priors.inlet], lower, upper)

    def loss(point: FloatArray) -> float:
        parameters = _parameters(point)
        flows = outflow(times, flow=parameters.flow, resistance=parameters.resistance, tau_s=parameters.tau_s)
        fit = BROKEN
        if np.isfinite(flows).all():
            fit = data_term(tracer_curve(reference, dt_s, flows, parameters), observed, weights)
        return fit + penalty(parameters, priors)

    with np.errstate(all="ignore"):
        found: Any = minimize(loss, np.log(begin), method="Powell", bounds=Bounds(np.log(lower), np.log(upper)))
        parameters = _parameters(np.asarray(found.x, dtype=np.float64))
        flows = outflow(times, flow=parameters.flow, resistance=parameters.resistance, tau_s=parameters.tau_s)
        curve = tracer_curve(reference, dt_s, flows, parameters)
        misfit = data_term(curve, observed, weights)
    if not (found.success and np.isfinite(found.x).all() and np.isfinite(flows).all() and np.isfinite(misfit)):
        return fall_back(priors, observed.size)
    return FittedRegion(parameters, flows, curve, misfit, True, str(found.message), _edges(found.x, lower, upper))


def search_box(priors: RegionPriors, dt_s: float, last_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the box of the search.

    Parameters
    ----------
    priors : RegionPriors
        F0, V0 and C0.
    dt_s : float, s
        Interval between frames.
    last_s : float, s
        Time of the last frame.

    Returns
    -------
    lower, upper : ndarray, shape (5,)
        Of R, tau, V, F and the inlet, in their own units.
    """
    low_tau = max(dt_s, 0.001)
    high_tau = min(MAX_TAU_S, 0.98 * last_s)
    if high_tau <= low_tau:
        high_tau = low_tau + 20.0 * dt_s
    low_volume, low_flow = max(0.2 * priors.volume, EPSILON), max(0.2 * priors.flow, EPSILON)
    low_inlet = max(0.1 * priors.inlet, EPSILON)
    lower = np.array([MIN_RESISTANCE, low_tau, low_volume, low_flow, low_inlet])
    upper = np.array(
        [
            MAX_RESISTANCE,
            high_tau,
            max(5.0 * priors.volume, 1.1 * low_volume),
            max(5.0 * priors.flow, 1.1 * low_flow),
            max(10.0 * priors.inlet, 1.1 * low_inlet),
        ]
    )
    return lower, upper


def fall_back(priors: RegionPriors, frames: int) -> FittedRegion:
    """Return the priors in place of a search that failed.

    Parameters
    ----------
    priors : RegionPriors
        F0, V0 and C0.
    frames : int
        Number of frames.

    Returns
    -------
    FittedRegion
        Constant outflow F0, no curve, loss 1e9.
    """
    parameters = RegionParameters(1.0, 1.0, priors.volume, priors.flow, priors.inlet)
    nothing = np.full(frames, np.nan)
    return FittedRegion(parameters, np.full(frames, priors.flow), nothing, BROKEN, False, FALLBACK_MESSAGE)


def _parameters(point: FloatArray) -> RegionParameters:
    resistance, tau, volume, flow, inlet = np.exp(point).tolist()
    return RegionParameters(resistance, tau, volume, flow, inlet)


def _edges(point: FloatArray, lower: FloatArray, upper: FloatArray) -> tuple[str, ...]:
    near = np.minimum(point - np.log(lower), np.log(upper) - point) < AT_BOUND
    return tuple(name for name, edge in zip(("R", "tau", "V", "F", "Cin"), near, strict=True) if edge)
