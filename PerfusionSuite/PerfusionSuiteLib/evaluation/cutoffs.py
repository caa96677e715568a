# SPDX-License-Identifier: Apache-2.0
"""What a cut-off is worth: sensitivity, specificity, predictive values and accuracy with Wilson's intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import require_package
from .roc import checked

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share with its confidence interval.

    Parameters
    ----------
    count, total : int
        The share as two counts.
    value, low, high : float or None
        The share and its limits, 0 to 1; None when `total` is 0.
    """

    count: int
    total: int
    value: float | None
    low: float | None
    high: float | None


def proportion(count: int, total: int, *, level: float = 0.95) -> Proportion:
    """Return a share with Wilson's score interval.

    Parameters
    ----------
    count, total : int
        How many of how many.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    Proportion
        The share.

    Raises
    ------
    MissingPackageError
        If statsmodels is not installed.

    References
    ----------
    Wilson, J Am Stat Assoc 22:209, 1927.
    """
    if total == 0:
        return Proportion(count, total, None, None, None)
    require_package("statsmodels", "compute statistics of a cohort")
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(count, total, alpha=1.0 - level, method="wilson")
    share = count / total
    # At 0 and 1 the limit is the share itself; rounding must not put it on the other side.
    return Proportion(count, total, share, min(max(float(low), 0.0), share), max(min(float(high), 1.0), share))


def is_called_positive(scores: ArrayLike, cutoff: float, *, higher: bool = True) -> np.ndarray:
    """Apply a cut-off.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    cutoff : float
        The cut-off; a value equal to it is called positive.
    higher : bool
        Whether large values point to the outcome.

    Returns
    -------
    ndarray of bool, shape (n,)
        What is called positive.
    """
    values = np.asarray(scores, float)
    return np.asarray(values >= cutoff if higher else values <= cutoff)


def measure_cutoff(
    scores: ArrayLike, positive: ArrayLike, cutoff: float, *, higher: bool = True, level: float = 0.95
) -> dict[str, Proportion]:
    """Measure how well a cut-off tells two groups apart.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome.
    cutoff : float
        The cut-off; a value equal to it is called positive.
    higher : bool
        Whether large values point to the outcome.
    level : float
        Confidence, 0 to 1.

    Returns
    -------
    dict of str to Proportion
        By the names in `MEASURES`. Predictive values are those at this cohort's share of positive cases.

    Raises
    ------
    InvalidInputError
        If a class is empty or a value is missing.
    """
    values, truth = checked(scores, positive)
    called = is_called_positive(values, cutoff, higher=higher)
    hits, alarms = int((called & truth).sum()), int((called & ~truth).sum())
    misses, quiet = int((~called & truth).sum()), int((~called & ~truth).sum())
    counts = {
        "sensitivity": (hits, hits + misses),
        "specificity": (quiet, quiet + alarms),
        "ppv": (hits, hits + alarms),
        "npv": (quiet, quiet + misses),
        "accuracy": (hits + quiet, truth.size),
    }
    return {name: proportion(*counts[name], level=level) for name in MEASURES}
