# SPDX-License-Identifier: Apache-2.0
"""Logistic likelihood with Firth's penalty, some coefficients held fixed if wanted: separated groups and likelihood profiles.

Maximum likelihood itself is left to statsmodels; the penalty and the profiles are what it does not offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ..core.errors import NumericalError
from ..core.geometry import BoolArray
from .roc import Float64

_MOST_STEPS, _MOST_HALVINGS = 200, 30
_LARGEST_STEP = 5.0
_SMALLEST_SCORE = 1e-9


@dataclass(frozen=True, slots=True)
class Solution:
    """The largest likelihood and where it is.

    Parameters
    ----------
    coefficients : ndarray, shape (k,)
        Of the columns of the design.
    covariance : ndarray, shape (k, k)
        Inverse of the information.
    log_likelihood : float
        Penalized when a penalty was asked for.
    """

    coefficients: Float64
    covariance: Float64
    log_likelihood: float


def maximize(
    design: Float64,
    positive: BoolArray,
    *,
    penalized: bool = True,
    fixed: Mapping[int, float] | None = None,
    start: Float64 | None = None,
    offset: Float64 | None = None,
) -> Solution:
    """Maximize the logistic likelihood by Newton's method with step control.

    Parameters
    ----------
    design : ndarray, shape (n, k)
        Predictors with a column of ones, of full rank.
    positive : ndarray of bool, shape (n,)
        The outcome.
    penalized : bool
        Add half of the log-determinant of the information (Jeffreys' prior), which keeps estimates finite.
    fixed : mapping of int to float, optional
        Columns whose coefficient is given. The penalty still uses the information of all columns.
    start : ndarray, shape (k,), optional
        First guess.
    offset : ndarray, shape (n,), optional
        Known part of the linear predictor.

    Returns
    -------
    Solution
        The maximum.

    Raises
    ------
    NumericalError
        If it is not found, as for separated groups without a penalty.

    References
    ----------
    Firth, Biometrika 80:27, 1993; Heinze and Schemper, Stat Med 21:2409, 2002, equation 2 (modified score) and profile intervals.
    """
    truth, known = positive.astype(float), np.zeros(len(design)) if offset is None else offset
    at = np.zeros(design.shape[1]) if start is None else start.astype(float).copy()
    for column, value in (fixed or {}).items():
        at[column] = value
    free = np.array([column for column in range(design.shape[1]) if column not in (fixed or {})], int)
    state = _state(design, truth, known, at, penalized)
    for _ in range(_MOST_STEPS):
        score = state.score[free]
        if free.size == 0 or np.abs(score).max() < _SMALLEST_SCORE:
            return Solution(at, np.asarray(np.linalg.inv(state.information), float), state.log_likelihood)
        step = np.zeros_like(at)
        step[free] = np.linalg.solve(state.information[np.ix_(free, free)], score)
        step *= min(1.0, _LARGEST_STEP / np.abs(step).max())
        for _ in range(_MOST_HALVINGS):
            candidate = _state(design, truth, known, at + step, penalized)
            if candidate.log_likelihood >= state.log_likelihood - 1e-12 * (1.0 + abs(state.log_likelihood)):
                break
            step /= 2.0
        at, state = at + step, candidate
    msg = "The logistic model does not converge. Leave out predictors, or use Firth's penalty when groups are separated."
    raise NumericalError(msg)


@dataclass(frozen=True, slots=True)
class _State:
    log_likelihood: float
    score: Float64
    information: Float64


def _state(x: Float64, truth: Float64, known: Float64, at: Float64, penalized: bool) -> _State:
    linear = known + x @ at
    chance = expit(linear)
    weight = np.maximum(chance * (1.0 - chance), 1e-300)
    information = (x * weight[:, None]).T @ x
    likelihood = float((truth * linear - np.logaddexp(0.0, linear)).sum())
    residual = truth - chance
    if penalized:
        sign, log_determinant = np.linalg.slogdet(information)
        if sign <= 0 or not np.isfinite(log_determinant):
            return _State(-np.inf, np.zeros(x.shape[1]), information)
        leverage = weight * np.einsum("ij,ij->i", x, np.linalg.solve(information, x.T).T)
        likelihood += 0.5 * float(log_determinant)
        residual = residual + leverage * (0.5 - chance)
    return _State(likelihood, x.T @ residual, information)
