# SPDX-License-Identifier: Apache-2.0
"""Repeated stratified cross-validation: everything that is chosen (direction, cut-off, model) is chosen in the training folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, no_progress
from .cutoffs import is_called_positive
from .roc import auc, points_higher, roc_curve

Train = Callable[[FloatArray, BoolArray], Callable[[FloatArray], FloatArray]]
"""Takes training cases (n, k) and outcomes; returns what scores other cases, large values pointing to the outcome."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What is left of a predictor on cases that it was not tuned on.

    Parameters
    ----------
    auc_mean, auc_sd : float
        Mean and standard deviation of the area over all test folds.
    repeat_sd : float
        Standard deviation of a repeat's mean area: what the random split alone changes.
    sensitivity, specificity, accuracy : tuple of float
        Mean and standard deviation over repeats, with the cut-off of the training folds.
    cutoff : tuple of float
        Median and quartiles of the chosen cut-offs, on what `train` returns (with its sign turned where it points downwards).
    folds, repeats : int
        How often.
    """

    auc_mean: float
    auc_sd: float
    repeat_sd: float
    sensitivity: tuple[float, float]
    specificity: tuple[float, float]
    accuracy: tuple[float, float]
    cutoff: tuple[float, float, float]
    folds: int
    repeats: int


def stratified_folds(positive: ArrayLike, folds: int, generator: np.random.Generator) -> np.ndarray:
    """Deal cases to folds so that each has the cohort's share of either class.

    Parameters
    ----------
    positive : array-like of bool, shape (n,)
        The outcome.
    folds : int
        How many.
    generator : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of int, shape (n,)
        Fold of each case. Class sizes of two folds differ by one at most, and so do their total sizes.

    Raises
    ------
    InvalidInputError
        If a class has fewer cases than there are folds.
    """
    truth = np.asarray(positive, bool)
    least = int(min(truth.sum(), (~truth).sum()))
    if least < folds:
        msg = f"The smaller class has {least} cases, too few for {folds} folds. Use fewer folds or more cases."
        raise InvalidInputError(msg)
    dealt = np.empty(truth.size, int)
    order = np.concatenate([generator.permutation(np.flatnonzero(chosen)) for chosen in (truth, ~truth)])
    dealt[order] = np.arange(truth.size) % folds
    return dealt


def by_direction(higher: bool | None = None) -> Train:
    """Return the training of a single predictor: only its direction is learned.

    Parameters
    ----------
    higher : bool, optional
        The direction when it is known beforehand.

    Returns
    -------
    callable
        For `cross_validate`.
    """

    def train(x: FloatArray, positive: BoolArray) -> Callable[[FloatArray], FloatArray]:
        known = points_higher(x[:, 0], positive) if higher is None else higher
        return lambda other: other[:, 0] if known else -other[:, 0]

    return train


def cross_validate(
    x: ArrayLike,
    positive: ArrayLike,
    train: Train,
    *,
    folds: int = 5,
    repeats: int = 20,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> CrossValidation:
    """Cross-validate a predictor or a model, repeatedly and stratified.

    Parameters
    ----------
    x : array-like, shape (n, k)
        Predictors.
    positive : array-like of bool, shape (n,)
        The outcome.
    train : callable
        See `Train`; for a single predictor `by_direction`.
    folds, repeats : int
        How many folds, and how often cases are dealt anew.
    seed : int
        Of the random numbers.
    progress : callable, optional
        Called after each repeat.

    Returns
    -------
    CrossValidation
        Means and spreads. The cut-off (Youden) of a fold is chosen in its training cases only.

    Raises
    ------
    InvalidInputError
        If a class has fewer cases than there are folds.
    """
    table, truth = np.asarray(x, float), np.asarray(positive, bool)
    generator = np.random.default_rng(seed)
    areas, cutoffs = np.empty((repeats, folds)), np.empty((repeats, folds))
    rates = np.empty((repeats, 3))
    for repeat in range(repeats):
        dealt = stratified_folds(truth, folds, generator)
        called = np.zeros(truth.size, bool)
        for fold in range(folds):
            test = dealt == fold
            score = train(table[~test], truth[~test])
            cutoffs[repeat, fold] = roc_curve(score(table[~test]), truth[~test]).youden[0]
            values = score(table[test])
            areas[repeat, fold] = auc(values, truth[test])
            called[test] = is_called_positive(values, cutoffs[repeat, fold])
        rates[repeat] = called[truth].mean(), (~called[~truth]).mean(), (called == truth).mean()
        (progress or no_progress)((repeat + 1) / repeats, "Cross-validation")
    spread = 1 if repeats > 1 else 0
    means, deviations = rates.mean(axis=0), rates.std(axis=0, ddof=spread)
    quartiles = np.percentile(cutoffs[np.isfinite(cutoffs)], [50, 25, 75]) if np.isfinite(cutoffs).any() else np.full(3, np.nan)
    return CrossValidation(
        auc_mean=float(areas.mean()),
        auc_sd=float(areas.std(ddof=1)),
        repeat_sd=float(areas.mean(axis=1).std(ddof=spread)),
        sensitivity=(float(means[0]), float(deviations[0])),
        specificity=(float(means[1]), float(deviations[1])),
        accuracy=(float(means[2]), float(deviations[2])),
        cutoff=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        folds=folds,
        repeats=repeats,
    )
