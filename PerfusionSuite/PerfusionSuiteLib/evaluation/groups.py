# SPDX-License-Identifier: Apache-2.0
"""Two groups side by side: medians with the Mann-Whitney test, counts with Fisher's test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .roc import checked

_TABLES = 20_000


@dataclass(frozen=True, slots=True)
class Spread:
    """A number in one group.

    Parameters
    ----------
    n : int
        Cases.
    median, lower, upper : float
        Median and quartiles.
    """

    n: int
    median: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class NumberComparison:
    """A number in both groups.

    Parameters
    ----------
    positive, negative, everybody : Spread
        With the outcome, without it, and together.
    u, p : float
        Mann-Whitney statistic of the positive group, and its two-sided p value.
    """

    positive: Spread
    negative: Spread
    everybody: Spread
    u: float
    p: float


@dataclass(frozen=True, slots=True)
class CategoryComparison:
    """Categories in both groups.

    Parameters
    ----------
    levels : tuple of str
        Categories, in the order of their names.
    positive, negative : tuple of int
        Cases of each category with and without the outcome.
    p : float or None
        Fisher's exact test; None with a single category.
    exact : bool
        Whether p is exact (two categories) or from random tables with the same margins.
    """

    levels: tuple[str, ...]
    positive: tuple[int, ...]
    negative: tuple[int, ...]
    p: float | None
    exact: bool


def compare_numbers(values: ArrayLike, positive: ArrayLike) -> NumberComparison:
    """Compare a number between the groups.

    Parameters
    ----------
    values : array-like, shape (n,)
        The number, without missing values.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    NumberComparison
        Median [quartiles], and the Mann-Whitney test (exact up to 8 cases in a group without ties, else the normal approximation
        with ties and continuity corrected; scipy).

    Raises
    ------
    InvalidInputError
        If a class is empty or a value is missing.
    """
    numbers, truth = checked(values, positive)
    test = stats.mannwhitneyu(numbers[truth], numbers[~truth])
    return NumberComparison(
        _spread(numbers[truth]), _spread(numbers[~truth]), _spread(numbers), float(test.statistic), float(test.pvalue)
    )


def compare_categories(values: Sequence[str], positive: ArrayLike, *, seed: int = 0) -> CategoryComparison:
    """Compare categories between the groups.

    Parameters
    ----------
    values : sequence of str
        Category of each case, without missing ones.
    positive : array-like of bool, shape (n,)
        The outcome.
    seed : int
        Of the random tables when there are more than two categories.

    Returns
    -------
    CategoryComparison
        Counts, and Fisher's exact test (Freeman and Halton's extension for more than two categories, from 20 000 random tables).

    References
    ----------
    Fisher, J R Stat Soc 85:87, 1922; Freeman and Halton, Biometrika 38:141, 1951.
    """
    truth, names = np.asarray(positive, bool), np.asarray(values, str)
    levels = sorted(set(names.tolist()))
    counts = np.array([[int((names[group] == level).sum()) for level in levels] for group in (truth, ~truth)])
    p: float | None = None
    if len(levels) == 2:
        p = float(stats.fisher_exact(counts).pvalue)
    elif len(levels) > 2:
        chance: Any = stats.MonteCarloMethod(n_resamples=_TABLES, rng=np.random.default_rng(seed))
        p = float(stats.fisher_exact(counts, method=chance).pvalue)
    return CategoryComparison(tuple(levels), tuple(counts[0].tolist()), tuple(counts[1].tolist()), p, len(levels) == 2)


def _spread(values: np.ndarray) -> Spread:
    lower, median, upper = np.percentile(values, [25, 50, 75])
    return Spread(values.size, float(median), float(lower), float(upper))
