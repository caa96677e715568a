# SPDX-License-Identifier: Apache-2.0
"""Uncertainty of areas under ROC curves: DeLong's intervals and paired test, and the stratified bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..core.errors import InvalidInputError
from ..core.progress import ProgressCallback, no_progress
from .roc import Float64, checked

_CHUNK = 250


@dataclass(frozen=True, slots=True)
class AucInterval:
    """An area under a ROC curve with its confidence interval.

    Parameters
    ----------
    auc, se, low, high : float
        Area, standard error and limits, 0 to 1.
    """

    auc: float
    se: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AucDifference:
    """Difference of two areas measured on the same cases.

    Parameters
    ----------
    difference, se, low, high : float
        First minus second area, its standard error and limits.
    z, p : float
        Test of no difference, two-sided.
    """

    difference: float
    se: float
    low: float
    high: float
    z: float
    p: float


def delong_covariance(scores: ArrayLike, positive: ArrayLike) -> tuple[Float64, Float64]:
    """Return the areas of several predictors and their covariance.

    Parameters
    ----------
    scores : array-like, shape (k, n)
        Predictors on the same cases; large values point to the outcome (turn the sign where they do not).
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    areas : ndarray, shape (k,)
        Areas.
    covariance : ndarray, shape (k, k)
        Their estimated covariance.

    Raises
    ------
    InvalidInputError
        If a class has fewer than two cases or a value is missing.

    Notes
    -----
    A case's structural component is the share of the other class that it is ranked above (below), ties counting half; it follows
    from two sets of mid-ranks.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics 44:837, 1988, equations 3 to 6. Mid-ranks: Sun and Xu, IEEE Signal Process Lett
    21:1389, 2014.
    """
    table = np.atleast_2d(np.asarray(scores, float))
    truth = np.asarray(positive, bool)
    for row in table:
        checked(row, truth)
    m, n = int(truth.sum()), int((~truth).sum())
    if min(m, n) < 2:
        msg = f"There are {m} cases with and {n} without the outcome. Give at least two of each to know how sure an area is."
        raise InvalidInputError(msg)
    everybody = stats.rankdata(table, axis=1)
    above = (everybody[:, truth] - stats.rankdata(table[:, truth], axis=1)) / n
    below = 1.0 - (everybody[:, ~truth] - stats.rankdata(table[:, ~truth], axis=1)) / m
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return above.mean(axis=1), covariance


def delong_interval(scores: ArrayLike, positive: ArrayLike, *, higher: bool = True, level: float = 0.95) -> AucInterval:
    """Return an area with DeLong's confidence interval.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome.
    higher : bool
        Whether large values point to the outcome.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    AucInterval
        Normal approximation, cut at 0 and 1. Perfect separation has no estimated variance: both limits are then 1.

    Raises
    ------
    InvalidInputError
        If a class has fewer than two cases or a value is missing.
    """
    signed = np.asarray(scores, float) * (1.0 if higher else -1.0)
    areas, covariance = delong_covariance(signed, positive)
    area, se = float(areas[0]), float(np.sqrt(max(covariance[0, 0], 0.0)))
    half = float(stats.norm.ppf(0.5 + level / 2.0)) * se
    return AucInterval(area, se, max(area - half, 0.0), min(area + half, 1.0))


def delong_test(first: ArrayLike, second: ArrayLike, positive: ArrayLike, *, level: float = 0.95) -> AucDifference:
    """Compare the areas of two predictors on the same cases.

    Parameters
    ----------
    first, second : array-like, shape (n,)
        The predictors; large values point to the outcome (turn the sign where they do not).
    positive : array-like of bool, shape (n,)
        The outcome.
    level : float
        Confidence of the interval, 0 to 1.

    Returns
    -------
    AucDifference
        Two predictors of one order have difference 0 and p = 1.

    Raises
    ------
    InvalidInputError
        If a class has fewer than two cases or a value is missing.
    """
    areas, covariance = delong_covariance(np.stack([np.asarray(first, float), np.asarray(second, float)]), positive)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    if variance <= 1e-14:
        return AucDifference(difference, 0.0, difference, difference, 0.0, 1.0)
    se = float(np.sqrt(variance))
    half, z = float(stats.norm.ppf(0.5 + level / 2.0)) * se, difference / se
    return AucDifference(difference, se, difference - half, difference + half, z, float(2.0 * stats.norm.sf(abs(z))))


def bootstrap_interval(
    scores: ArrayLike,
    positive: ArrayLike,
    *,
    higher: bool = True,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> AucInterval:
    """Return an area with the percentile interval of a stratified bootstrap.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome; each resample keeps the size of both classes.
    higher : bool
        Whether large values point to the outcome.
    level : float
        Confidence, 0 to 1.
    resamples : int
        How many resamples.
    seed : int
        Of the random numbers: equal seeds give equal limits.
    progress : callable, optional
        Called between blocks of resamples.

    Returns
    -------
    AucInterval
        The area of the cases themselves, and the spread of the resampled ones.

    Raises
    ------
    InvalidInputError
        If a class is empty or a value is missing.

    References
    ----------
    Carpenter and Bithell, Stat Med 19:1141, 2000 (percentile interval).
    """
    values, truth = checked(scores, positive)
    with_outcome, without = (np.sort(values[chosen] * (1.0 if higher else -1.0)) for chosen in (truth, ~truth))
    first, last = (np.searchsorted(without, with_outcome, side=side) for side in ("left", "right"))
    generator, areas = np.random.default_rng(seed), np.empty(resamples)
    m, n = with_outcome.size, without.size
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        weights = generator.multinomial(m, np.full(m, 1.0 / m), size=count)
        others = generator.multinomial(n, np.full(n, 1.0 / n), size=count)
        # How many resampled cases without the outcome lie below each value: half of the ties count.
        cumulated = np.concatenate([np.zeros((count, 1)), others.cumsum(axis=1)], axis=1)
        below = (cumulated[:, first] + cumulated[:, last]) / 2.0
        areas[start : start + count] = (weights * below).sum(axis=1) / (m * n)
        (progress or no_progress)((start + count) / resamples, "Bootstrap")
    low, high = np.percentile(areas, [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return AucInterval(float((first + last).mean() / (2.0 * n)), float(areas.std(ddof=1)), float(low), float(high))
