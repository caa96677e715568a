# SPDX-License-Identifier: Apache-2.0
"""Whether predicted probabilities are right: intercept, slope, bins, a smooth curve, Brier score, Hosmer-Lemeshow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit, logit, ndtri

from ..core.errors import InvalidInputError, NumericalError
from .cutoffs import Proportion, proportion
from .firth import maximize
from .roc import Float64, checked

_CLOSEST = 1e-9
_KNOTS = (0.10, 0.50, 0.90)


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its confidence interval.

    Parameters
    ----------
    value, low, high : float
        The number and its limits.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of similar predicted probability.

    Parameters
    ----------
    predicted : float
        Their mean predicted probability.
    observed : Proportion
        Share that has the outcome.
    """

    predicted: float
    observed: Proportion


@dataclass(frozen=True, slots=True)
class SmoothCurve:
    """Observed against predicted probability, without bins.

    Parameters
    ----------
    predicted, observed, low, high : ndarray, shape (n,)
        Predicted probability, expected outcome there, and its pointwise limits.
    """

    predicted: Float64
    observed: Float64
    low: Float64
    high: Float64


def checked_probabilities(probabilities: ArrayLike, positive: ArrayLike) -> tuple[Float64, np.ndarray]:
    """Check predictions and their outcome.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    tuple of ndarray
        Both as arrays; 0 and 1 themselves are moved inside by 1e-9.

    Raises
    ------
    InvalidInputError
        If a probability is not between 0 and 1, a value is missing or a class is empty.
    """
    chances, truth = checked(probabilities, positive)
    if chances.min() < 0.0 or chances.max() > 1.0:
        msg = f"Predicted probabilities go from {chances.min():.3g} to {chances.max():.3g}. Give numbers between 0 and 1."
        raise InvalidInputError(msg)
    return np.clip(chances, _CLOSEST, 1.0 - _CLOSEST), truth


def brier_score(probabilities: ArrayLike, positive: ArrayLike) -> float:
    """Return the mean squared error of probabilities.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    float
        0 is perfect; always predicting the share of positive cases p gives p (1 - p).

    References
    ----------
    Brier, Mon Weather Rev 78:1, 1950.
    """
    _, truth = checked_probabilities(probabilities, positive)
    return float(np.mean((np.asarray(probabilities, float) - truth) ** 2))


def calibration_intercept(probabilities: ArrayLike, positive: ArrayLike, *, level: float = 0.95) -> Measured:
    """Return calibration-in-the-large: by how much log odds are too low (above 0) or too high on average.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    Measured
        Intercept of a logistic model with the predicted log odds as offset, with its Wald interval.

    References
    ----------
    Cox, Biometrika 45:562, 1958; Steyerberg et al., Epidemiology 21:128, 2010.
    """
    chances, truth = checked_probabilities(probabilities, positive)
    solution = maximize(np.ones((truth.size, 1)), truth, penalized=False, offset=logit(chances))
    return _wald(float(solution.coefficients[0]), float(solution.covariance[0, 0]), level)


def calibration_slope(probabilities: ArrayLike, positive: ArrayLike, *, level: float = 0.95) -> Measured:
    """Return the slope of the observed on the predicted log odds: below 1 predictions are too extreme.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    Measured
        Slope with its Wald interval; with Firth's penalty where the predictions separate the groups.

    Raises
    ------
    InvalidInputError
        If all predictions are equal.
    """
    chances, truth = checked_probabilities(probabilities, positive)
    odds = logit(chances)
    if np.ptp(odds) < 1e-9:
        msg = f"All {truth.size} predicted probabilities are {chances[0]:.3g}, so calibration has no slope. Use another model."
        raise InvalidInputError(msg)
    solution = _fit(np.column_stack([np.ones(truth.size), odds]), truth)
    return _wald(float(solution[0][1]), float(solution[1][1, 1]), level)


def calibration_bins(probabilities: ArrayLike, positive: ArrayLike, *, bins: int = 10, level: float = 0.95) -> list[Bin]:
    """Gather cases into bins of equal size by predicted probability.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.
    bins : int
        How many; fewer result when many predictions are equal, since equal ones stay together.
    level : float
        Confidence of the observed shares, 0 to 1.

    Returns
    -------
    list of Bin
        In the order of predicted probability.
    """
    chances, truth = checked_probabilities(probabilities, positive)
    edges = np.unique(np.quantile(chances, np.arange(1, bins) / bins))
    number = np.searchsorted(edges, chances, side="left")
    found = []
    for at in np.unique(number):
        inside = number == at
        observed = proportion(int(truth[inside].sum()), int(inside.sum()), level=level)
        found.append(Bin(float(chances[inside].mean()), observed))
    return found


def hosmer_lemeshow(bins: list[Bin]) -> tuple[float, int, float] | None:
    """Return Hosmer and Lemeshow's test of a model on the cases it was fitted to.

    Parameters
    ----------
    bins : list of Bin
        From `calibration_bins`.

    Returns
    -------
    tuple of (float, int, float), or None
        Chi-square, degrees of freedom (bins - 2) and p; None with fewer than three bins. It depends on the binning and has
        little power in small cohorts: reported, not relied on.

    References
    ----------
    Hosmer and Lemeshow, Commun Stat Theory Methods 9:1043, 1980.
    """
    if len(bins) < 3:
        return None
    total = np.array([each.observed.total for each in bins], float)
    count = np.array([each.observed.count for each in bins], float)
    chance = np.array([each.predicted for each in bins])
    statistic = float(((count - total * chance) ** 2 / (total * chance * (1.0 - chance))).sum())
    return statistic, len(bins) - 2, float(stats.chi2.sf(statistic, len(bins) - 2))


def smooth_calibration(
    probabilities: ArrayLike, positive: ArrayLike, *, at: ArrayLike | None = None, level: float = 0.95
) -> SmoothCurve:
    """Return a smooth calibration curve with pointwise limits.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.
    at : array-like, shape (m,), optional
        Predicted probabilities of the curve; by default 101 between the smallest and the largest prediction.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    SmoothCurve
        The outcome as a logistic model of a natural cubic spline in the predicted log odds (knots at 10, 50 and 90 %; a straight
        line when fewer than five predictions differ); limits by the delta method on the log odds.

    References
    ----------
    Harrell, Regression Modeling Strategies, 2nd ed., 2015, section 2.4.5 (restricted cubic splines); Austin and Steyerberg, Stat
    Med 33:517, 2014 (smooth calibration curves).
    """
    chances, truth = checked_probabilities(probabilities, positive)
    odds = logit(chances)
    grid = (
        np.linspace(chances.min(), chances.max(), 101) if at is None else np.clip(np.asarray(at, float), _CLOSEST, 1 - _CLOSEST)
    )
    middle, width = float(odds.mean()), float(odds.std()) or 1.0
    knots = np.quantile((odds - middle) / width, _KNOTS)
    curved = np.unique(np.round(chances, 12)).size >= 5 and float(np.diff(knots).min()) > 1e-6
    basis, wanted = (_basis((values - middle) / width, knots if curved else None) for values in (odds, logit(grid)))
    coefficients, covariance = _fit(basis, truth)
    linear = wanted @ coefficients
    half = ndtri(0.5 + level / 2.0) * np.sqrt(np.einsum("ij,jk,ik->i", wanted, covariance, wanted))
    return SmoothCurve(grid, expit(linear), expit(linear - half), expit(linear + half))


def integrated_calibration_index(probabilities: ArrayLike, positive: ArrayLike) -> float:
    """Return the mean distance between predicted probabilities and the smooth calibration curve.

    Parameters
    ----------
    probabilities : array-like, shape (n,)
        Predicted probabilities.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    float
        0 is perfect.

    References
    ----------
    Austin and Steyerberg, Stat Med 38:4051, 2019.
    """
    curve = smooth_calibration(probabilities, positive, at=probabilities)
    return float(np.mean(np.abs(curve.observed - np.asarray(probabilities, float))))


def _basis(values: Float64, knots: Float64 | None) -> Float64:
    """Return ones, the values, and with three knots the natural cubic term."""
    columns = [np.ones(values.size), values]
    if knots is not None:
        first, second, last = knots
        cubes = [np.maximum(values - knot, 0.0) ** 3 for knot in knots]
        bent = cubes[0] - cubes[1] * (last - first) / (last - second) + cubes[2] * (second - first) / (last - second)
        columns.append(bent / (last - first) ** 2)
    return np.column_stack(columns)


def _fit(design: Float64, truth: np.ndarray) -> tuple[Float64, Float64]:
    """Fit by likelihood, or with Firth's penalty where that has no finite answer."""
    try:
        solution = maximize(design, truth, penalized=False)
        if np.abs(design @ solution.coefficients).max() < 30.0:
            return solution.coefficients, solution.covariance
    except (NumericalError, np.linalg.LinAlgError):
        pass
    solution = maximize(design, truth, penalized=True)
    return solution.coefficients, solution.covariance


def _wald(value: float, variance: float, level: float) -> Measured:
    half = float(ndtri(0.5 + level / 2.0) * np.sqrt(variance))
    return Measured(value, value - half, value + half)
