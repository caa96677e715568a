# SPDX-License-Identifier: Apache-2.0
"""What one number per patient says about a cohort: bootstrap over patients, paired tests, who wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

RESAMPLES = 2000
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """A number of a cohort with its interval.

    Parameters
    ----------
    value, low, high : float
        The number and the limits of its 95 % interval; NaN where there are fewer than two patients.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two methods on the same patients.

    Parameters
    ----------
    n : int
        Patients that both have a number for.
    mean, median : Interval
        Of the differences, first minus second.
    wins, losses : int
        Patients whose difference is above, below zero.
    p : float
        Wilcoxon's signed-rank test, two-sided; NaN when all differences are zero or there are none.
    """

    n: int
    mean: Interval
    median: Interval
    wins: int
    losses: int
    p: float


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Give a statistic of a cohort with the percentile interval of resampled patients.

    Parameters
    ----------
    values : array-like, shape (n,) or (n, k)
        One row per patient.
    statistic : callable
        Takes an array of shape (m, n) or (m, n, k) and returns one number per resample, shape (m,).
    resamples, seed : int
        How many resamples, and the seed of the random numbers: equal seeds give equal limits.

    Returns
    -------
    Interval
        The statistic of the patients themselves, and the 2.5th and 97.5th percentile of the resamples.

    References
    ----------
    Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13 (percentile interval).
    """
    rows = np.asarray(values, float)
    if rows.shape[0] == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(statistic(rows[None])[0])
    if rows.shape[0] < _FEWEST:
        return Interval(value, float("nan"), float("nan"))
    chosen = np.random.default_rng(seed).integers(0, rows.shape[0], (resamples, rows.shape[0]))
    found = statistic(rows[chosen])
    found = found[np.isfinite(found)]  # a resample of one patient alone has no correlation
    low, high = np.percentile(found, [2.5, 97.5]) if found.size else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def mean_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each resample."""
    result: NDArray[np.float64] = rows.mean(axis=1)
    return result


def median_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each resample."""
    result: NDArray[np.float64] = np.median(rows, axis=1)
    return result


def concordance_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Lin's concordance of the two columns of each resample (Lin, Biometrics 45:255, 1989)."""
    x, y = rows[..., 0], rows[..., 1]
    dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = (dx**2).mean(axis=1) + (dy**2).mean(axis=1) + (x.mean(axis=1) - y.mean(axis=1)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float64] = 2.0 * (dx * dy).mean(axis=1) / spread
    return result


def compare_paired(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """Compare two methods patient by patient.

    Parameters
    ----------
    first, second : array-like, shape (n,)
        One number per patient; pairs with a missing one are left out.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Paired
        Differences with intervals, wins, and the test.

    References
    ----------
    Wilcoxon, Biometrics Bull 1:80, 1945.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    difference = difference[np.isfinite(difference)]
    tested = difference.size >= _FEWEST and bool(difference.any())
    return Paired(
        n=int(difference.size),
        mean=bootstrap(difference, mean_of, resamples=resamples, seed=seed),
        median=bootstrap(difference, median_of, resamples=resamples, seed=seed),
        wins=int((difference > 0).sum()),
        losses=int((difference < 0).sum()),
        p=float(stats.wilcoxon(difference).pvalue) if tested else float("nan"),
    )


def by_patient(rows: Iterable[Mapping[str, Any]], value: str, **where: Any) -> dict[str, float]:
    """Pick one number per patient out of a table.

    Parameters
    ----------
    rows : iterable of mapping
        Rows with a ``patient_id`` or ``patient``.
    value : str
        Column of the number.
    **where
        Columns and what must stand in them.

    Returns
    -------
    dict of str to float
        By patient; missing numbers are NaN.
    """
    found: dict[str, float] = {}
    for row in rows:
        if all(row.get(key) == wanted for key, wanted in where.items()):
            number = row.get(value)
            found[str(row.get("patient_id", row.get("patient")))] = float("nan") if number is None else float(number)
    return found


def paired_rows(
    rows: Sequence[Mapping[str, Any]], values: Sequence[str], *, base: str, column: str = "method", within: str = "metric"
) -> list[dict[str, Any]]:
    """Compare every method with a base method, metric by metric.

    Parameters
    ----------
    rows : sequence of mapping
        One row per patient, method and metric.
    values : sequence of str
        Columns to compare.
    base : str
        The method that the others are compared with.
    column, within : str
        Columns of method and metric.

    Returns
    -------
    list of dict
        ``metric method base value n mean mean_low mean_high median median_low median_high wins losses p_wilcoxon``.
    """
    methods = [name for name in dict.fromkeys(str(row[column]) for row in rows) if name != base]
    found = []
    for metric in dict.fromkeys(str(row[within]) for row in rows):
        for method in methods:
            for value in values:
                one = by_patient(rows, value, **{column: method, within: metric})
                two = by_patient(rows, value, **{column: base, within: metric})
                both = [patient for patient in one if patient in two]
                result = compare_paired([one[p] for p in both], [two[p] for p in both])
                if result.n:
                    found.append({"metric": metric, "method": method, "base": base, "value": value, **paired_columns(result)})
    return found


def paired_columns(result: Paired) -> dict[str, Any]:
    """Write a comparison as columns of a table.

    Parameters
    ----------
    result : Paired
        From `compare_paired`.

    Returns
    -------
    dict
        ``n mean mean_low mean_high median median_low median_high wins losses p_wilcoxon``.
    """
    return {
        "n": result.n,
        "mean": result.mean.value,
        "mean_low": result.mean.low,
        "mean_high": result.mean.high,
        "median": result.median.value,
        "median_low": result.median.low,
        "median_high": result.median.high,
        "wins": result.wins,
        "losses": result.losses,
        "p_wilcoxon": result.p,
    }
