# SPDX-License-Identifier: Apache-2.0
"""How much better a model looks on the cases it was fitted to than on new ones, by the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..core.errors import InvalidInputError, NumericalError
from ..core.geometry import BoolArray
from ..core.progress import ProgressCallback, no_progress
from .calibration import brier_score, calibration_intercept, calibration_slope, smooth_calibration
from .logistic import LogisticFit, Penalty, fit_logistic
from .roc import Float64, auc


@dataclass(frozen=True, slots=True)
class Corrected:
    """A measure of a model, as seen and as expected on new cases of the same kind.

    Parameters
    ----------
    apparent, optimism, corrected : float
        On the fitted cases, the mean excess, and their difference.
    """

    apparent: float
    optimism: float
    corrected: float


@dataclass(frozen=True, slots=True)
class OptimismResult:
    """What the bootstrap says about a model.

    Parameters
    ----------
    measures : mapping of str to Corrected
        ``auc``, ``brier``, ``slope``, ``intercept``.
    predicted, curve : ndarray, shape (n,)
        Predicted probabilities, and the smooth calibration curve there, corrected.
    resamples, dropped : int
        How many resamples were used, and how many could not be fitted.
    """

    measures: Mapping[str, Corrected]
    predicted: Float64
    curve: Float64
    resamples: int
    dropped: int


def bootstrap_optimism(
    fit: LogisticFit, *, resamples: int = 500, seed: int = 0, points: int = 101, progress: ProgressCallback | None = None
) -> OptimismResult:
    """Correct a model's measures and its calibration curve for optimism.

    Parameters
    ----------
    fit : LogisticFit
        The model.
    resamples : int
        How many resamples of the cases, drawn with replacement.
    seed : int
        Of the random numbers.
    points : int
        Points of the curve, between the smallest and the largest prediction.
    progress : callable, optional
        Called now and then.

    Returns
    -------
    OptimismResult
        Every modeling step (the choice of Firth's penalty included) is repeated in each resample; optimism is the mean (of
        the slope the median) of the measure in the resample minus that of the resample's model on the original cases.

    Raises
    ------
    NumericalError
        If fewer than half of the resamples can be fitted.

    References
    ----------
    Efron, J Am Stat Assoc 78:316, 1983; Harrell, Lee and Mark, Stat Med 15:361, 1996.
    """
    own = fit.predict(fit.x)
    grid = np.linspace(own.min(), own.max(), points)
    apparent, curve = _measures(own, fit.positive), smooth_calibration(own, fit.positive, at=grid).observed
    penalty: Penalty = "firth" if fit.penalized and fit.separation == "none" else "auto"
    generator, gains, bends = np.random.default_rng(seed), [], []
    for number in range(resamples):
        rows = generator.integers(0, fit.positive.size, fit.positive.size)
        found = _one(fit, rows, grid, penalty)
        if found is not None:
            gains.append(found[0])
            bends.append(found[1])
        if number % 20 == 19:
            (progress or no_progress)((number + 1) / resamples, "Optimism of the models")
    if len(gains) < resamples / 2:
        msg = f"Only {len(gains)} of {resamples} resamples could be fitted. Use fewer predictors or more cases."
        raise NumericalError(msg)
    measures = {}
    for key, value in apparent.items():
        excess = [gain[key] for gain in gains]
        # The slope of a resample's model is a ratio of coefficients: where effects are weak its mean is ruled by a few resamples.
        optimism = float(np.median(excess) if key == "slope" else np.mean(excess))
        measures[key] = Corrected(value, optimism, value - optimism)
    corrected = np.clip(curve - np.mean(bends, axis=0), 0.0, 1.0)
    return OptimismResult(measures, grid, corrected, len(gains), resamples - len(gains))


def _one(fit: LogisticFit, rows: np.ndarray, grid: Float64, penalty: Penalty) -> tuple[dict[str, float], Float64] | None:
    """Return by how much one resample flatters its model; None when it cannot be fitted."""
    x, truth = fit.x[rows], fit.positive[rows]
    if truth.all() or not truth.any():
        return None
    try:
        model = fit_logistic(x, truth, fit.names, penalty=penalty, null=False)
        inside, outside = model.predict(x), model.predict(fit.x)
        seen, real = _measures(inside, truth), _measures(outside, fit.positive)
        bend = smooth_calibration(inside, truth, at=grid).observed - smooth_calibration(outside, fit.positive, at=grid).observed
    except (InvalidInputError, NumericalError, np.linalg.LinAlgError):
        return None
    return {key: seen[key] - real[key] for key in seen}, bend


def _measures(chances: Float64, truth: BoolArray) -> dict[str, float]:
    return {
        "auc": auc(chances, truth),
        "brier": brier_score(chances, truth),
        "slope": calibration_slope(chances, truth).value,
        "intercept": calibration_intercept(chances, truth).value,
    }
