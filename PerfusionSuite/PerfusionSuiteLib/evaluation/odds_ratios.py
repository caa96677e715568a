# SPDX-License-Identifier: Apache-2.0
"""Odds ratios of a logistic model with Wald and profile-likelihood intervals, per any step of the predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from ..core.errors import InvalidInputError, NumericalError
from .firth import maximize
from .logistic import LogisticFit
from .roc import Float64

_FARTHEST_SE = 400.0


@dataclass(frozen=True, slots=True)
class OddsRatio:
    """How the odds change with one predictor.

    Parameters
    ----------
    name : str
        The predictor, or ``(intercept)``.
    step : float
        Per how much of the predictor; 1 is its own unit.
    coefficient, se : float
        Log odds ratio per step, and its standard error.
    odds_ratio : float
        Its exponential.
    wald_low, wald_high, wald_p : float
        Interval and test from the standard error.
    profile_low, profile_high : float or None
        Interval from the profile of the (penalized) likelihood; None for a side that has no end, or for the intercept.
    profile_p : float or None
        Likelihood-ratio test of no effect.
    """

    name: str
    step: float
    coefficient: float
    se: float
    odds_ratio: float
    wald_low: float
    wald_high: float
    wald_p: float
    profile_low: float | None = None
    profile_high: float | None = None
    profile_p: float | None = None


def odds_ratios(fit: LogisticFit, *, steps: Mapping[str, float] | None = None, level: float = 0.95) -> list[OddsRatio]:
    """Return the odds ratios of all predictors.

    Parameters
    ----------
    fit : LogisticFit
        The model.
    steps : mapping of str to float, optional
        Per how much of a predictor, above 0; 1 for one that is not named. A standard deviation makes effects comparable.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    list of OddsRatio
        The intercept first.

    Raises
    ------
    InvalidInputError
        If a step is not above 0.

    References
    ----------
    Venzon and Moolgavkar, Appl Stat 37:87, 1988 (profile intervals); Heinze and Schemper, Stat Med 21:2409, 2002 (with Firth's
    penalty).
    """
    if any(not step > 0.0 for step in (steps or {}).values()):
        msg = f"The steps {dict(steps or {})} of the odds ratios must be above 0. Give for example 0.1."
        raise InvalidInputError(msg)
    quantile = float(stats.norm.ppf(0.5 + level / 2.0))
    rows = []
    for at, name in enumerate(("(intercept)", *fit.names)):
        step = 1.0 if at == 0 else float((steps or {}).get(name, 1.0))
        estimate, se = step * float(fit.coefficients[at]), step * float(np.sqrt(fit.covariance[at, at]))
        low, high, p = _profile(fit, at, level) if at else (None, None, None)
        row = OddsRatio(
            name=name,
            step=step,
            coefficient=estimate,
            se=se,
            odds_ratio=_exp(estimate),
            wald_low=_exp(estimate - quantile * se),
            wald_high=_exp(estimate + quantile * se),
            wald_p=float(2.0 * stats.norm.sf(abs(estimate) / se)),
            profile_low=None if low is None else _exp(low * step),
            profile_high=None if high is None else _exp(high * step),
            profile_p=p,
        )
        rows.append(row)
    return rows


def _profile(fit: LogisticFit, at: int, level: float) -> tuple[float | None, float | None, float]:
    """Return the ends of the profile interval of a coefficient, in its own unit, and the p value of no effect."""
    center, scale = fit.x.mean(axis=0), fit.x.std(axis=0)
    design = np.column_stack([np.ones(len(fit.x)), (fit.x - center) / scale])
    best = maximize(design, fit.positive, penalized=fit.penalized, start=_inner(fit, center, scale))
    estimate, se = float(best.coefficients[at]), float(np.sqrt(best.covariance[at, at]))
    limit = float(stats.chi2.ppf(level, 1))

    def drop(value: float) -> float:
        inner = maximize(design, fit.positive, penalized=fit.penalized, fixed={at: value}, start=best.coefficients)
        return 2.0 * (best.log_likelihood - inner.log_likelihood)

    ends = [_crossing(drop, estimate, side * se, limit) for side in (-1.0, 1.0)]
    p = float(stats.chi2.sf(max(drop(0.0), 0.0), 1))
    low, high = (None if end is None else end / float(scale[at - 1]) for end in ends)
    return low, high, p


def _crossing(drop: Callable[[float], float], estimate: float, step: float, limit: float) -> float | None:
    """Walk away from the maximum until the likelihood has dropped by `limit`, then find the place."""
    near, far = estimate, estimate + 1.5 * step
    while True:
        try:
            if drop(far) > limit:
                break
        except NumericalError:
            return None
        near, far = far, estimate + 1.6 * (far - estimate)
        if abs(far - estimate) > _FARTHEST_SE * abs(step):
            return None
    return float(brentq(lambda value: drop(value) - limit, near, far, xtol=1e-10, rtol=1e-12))


def _inner(fit: LogisticFit, center: Float64, scale: Float64) -> Float64:
    return np.concatenate([[fit.coefficients[0] + center @ fit.coefficients[1:]], fit.coefficients[1:] * scale])


def _exp(value: float) -> float:
    return float(np.exp(np.clip(value, -700.0, 700.0)))
