# SPDX-License-Identifier: Apache-2.0
"""The empirical ROC curve of a number that shall tell two groups apart: area, direction, the best cut-off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Sensitivity and specificity at every cut-off that changes them.

    Parameters
    ----------
    cutoffs : ndarray, shape (n,)
        Half way between neighboring values, and an infinite one at either end; in the order of growing sensitivity.
    sensitivity, specificity : ndarray, shape (n,)
        Shares, 0 to 1.
    auc : float
        Area under the curve, 0 to 1.
    higher : bool
        Whether values at or above a cut-off, or those at or below it, are called positive.
    """

    cutoffs: Float64
    sensitivity: Float64
    specificity: Float64
    auc: float
    higher: bool

    @property
    def youden(self) -> tuple[float, float]:
        """The cut-off with the largest sensitivity + specificity - 1, and that sum; of equals the one nearest the corner."""
        sums = self.sensitivity + self.specificity - 1.0
        best = np.flatnonzero(sums >= sums.max() - 1e-12)
        corner = (1.0 - self.sensitivity[best]) ** 2 + (1.0 - self.specificity[best]) ** 2
        at = best[np.argmin(corner)]
        return float(self.cutoffs[at]), float(sums[at])


def auc(scores: ArrayLike, positive: ArrayLike, *, higher: bool = True) -> float:
    """Return the empirical area under the ROC curve, ties counting half.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome.
    higher : bool
        Whether large values point to the outcome.

    Returns
    -------
    float
        0 to 1; from the mid-ranks, as the Mann-Whitney statistic divided by the number of pairs.

    Raises
    ------
    InvalidInputError
        If a class is empty or a value is missing.

    References
    ----------
    Hanley and McNeil, Radiology 143:29, 1982.
    """
    values, truth = checked(scores, positive)
    m, n = int(truth.sum()), int((~truth).sum())
    ranks = stats.rankdata(values if higher else -values)
    return float((ranks[truth].sum() - m * (m + 1) / 2.0) / (m * n))


def roc_curve(scores: ArrayLike, positive: ArrayLike, *, higher: bool = True) -> RocCurve:
    """Return the empirical ROC curve.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome.
    higher : bool
        Whether large values point to the outcome.

    Returns
    -------
    RocCurve
        From (0, 0) to (1, 1).

    Raises
    ------
    InvalidInputError
        If a class is empty or a value is missing.
    """
    values, truth = checked(scores, positive)
    sign = 1.0 if higher else -1.0
    distinct, inverse = np.unique(-sign * values, return_inverse=True)  # the most suspicious value first
    hits = np.bincount(inverse, weights=truth, minlength=distinct.size).cumsum() / truth.sum()
    alarms = np.bincount(inverse, weights=~truth, minlength=distinct.size).cumsum() / (~truth).sum()
    between = (distinct[:-1] + distinct[1:]) / 2.0
    return RocCurve(
        cutoffs=-sign * np.concatenate([[-np.inf], between, [np.inf]]),
        sensitivity=np.concatenate([[0.0], hits]),
        specificity=1.0 - np.concatenate([[0.0], alarms]),
        auc=auc(values, truth, higher=higher),
        higher=higher,
    )


def points_higher(scores: ArrayLike, positive: ArrayLike) -> bool:
    """Find out whether large values point to the outcome.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    bool
        True when the median with the outcome is above the one without; for equal medians, when the area is at least one half.

    Raises
    ------
    InvalidInputError
        If a class is empty or a value is missing.

    Notes
    -----
    A direction read from the data favors the predictor a little; one that is known beforehand should be given instead.
    """
    values, truth = checked(scores, positive)
    difference = float(np.median(values[truth]) - np.median(values[~truth]))
    return difference > 0.0 if difference else auc(values, truth) >= 0.5


def checked(scores: ArrayLike, positive: ArrayLike) -> tuple[Float64, BoolArray]:
    """Check a predictor and its outcome.

    Parameters
    ----------
    scores : array-like, shape (n,)
        The predictor.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    tuple of ndarray
        Both as arrays.

    Raises
    ------
    InvalidInputError
        If the lengths differ, a class is empty or a value is missing.
    """
    values, truth = np.asarray(scores, float), np.asarray(positive, bool)
    if values.ndim != 1 or values.shape != truth.shape:
        msg = f"{values.shape} values and {truth.shape} outcomes do not belong together. Give one of each per case."
        raise InvalidInputError(msg)
    if not np.isfinite(values).all():
        msg = f"{int((~np.isfinite(values)).sum())} of {values.size} values are missing or not finite. Leave those cases out."
        raise InvalidInputError(msg)
    if truth.all() or not truth.any():
        msg = f"All {truth.size} cases have the same outcome, so nothing can be told apart. Give cases of both classes."
        raise InvalidInputError(msg)
    return values, truth
