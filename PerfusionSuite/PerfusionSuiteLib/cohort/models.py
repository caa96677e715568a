# SPDX-License-Identifier: Apache-2.0
"""Logistic models of the outcome, one predictor at a time and all together, and how far their probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback
from ..evaluation import calibration, cross_validation, delong, groups, roc
from ..evaluation.logistic import LogisticFit, events_per_variable, fit_logistic, variance_inflation
from ..evaluation.odds_ratios import odds_ratios
from ..evaluation.optimism import OptimismResult, bootstrap_optimism
from .discrimination import Curve, validation_columns
from .question import FEWEST, Question
from .variables import Outcome, Variable

FEW_EVENTS = 10.0
MULTIVARIABLE = "multivariable"


@dataclass(frozen=True, slots=True)
class Model:
    """A logistic model of some variables on their complete cases.

    Parameters
    ----------
    name, label : str
        The predictor or ``multivariable``, and what it is called.
    fit : LogisticFit
        The model.
    missing : int
        Cases with a known outcome that lack a value.
    """

    name: str
    label: str
    fit: LogisticFit
    missing: int


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """What a panel of ``calibration.png`` shows.

    Parameters
    ----------
    label : str
        The model.
    probabilities, positive : ndarray, shape (n,)
        Predictions and outcomes.
    bins : list of Bin
        By predicted probability.
    smooth : SmoothCurve
        Smooth curve with its limits.
    optimism : OptimismResult
        Corrected curve and measures.
    """

    label: str
    probabilities: FloatArray
    positive: BoolArray
    bins: list[calibration.Bin]
    smooth: calibration.SmoothCurve
    optimism: OptimismResult


def fit_model(name: str, label: str, variables: Sequence[Variable], outcome: Outcome, question: Question) -> Model | None:
    """Fit a model of variables on the cases that have all of them.

    Parameters
    ----------
    name, label : str
        The predictor or ``multivariable``, and what it is called.
    variables : sequence of Variable
        Its members.
    outcome : Outcome
        The classes.
    question : Question
        The choices.

    Returns
    -------
    Model or None
        None with fewer than ten complete cases in a class.

    Raises
    ------
    InvalidInputError
        If a predictor is constant or follows from the others.
    """
    use = outcome.known & np.logical_and.reduce([variable.known for variable in variables])
    truth = outcome.positive[use]
    if min(int(truth.sum()), int((~truth).sum())) < FEWEST:
        return None
    parts = [variable.columns() for variable in variables]
    names = [each for part in parts for each in part[0]]
    table = np.concatenate([part[1] for part in parts], axis=1)[use]
    fit = fit_logistic(table, truth, names, penalty=question.penalty)
    return Model(name, label, fit, int(outcome.known.sum() - use.sum()))


def logistic_rows(model: Model, question: Question) -> list[dict[str, Any]]:
    """Tell a model's odds ratios.

    Parameters
    ----------
    model : Model
        The model.
    question : Question
        The choices.

    Returns
    -------
    list of dict
        Rows for ``logistic.csv``.
    """
    fit = model.fit
    deviations = dict(zip(fit.names, fit.x.std(axis=0, ddof=1).tolist(), strict=True))
    steps = {name: float(question.steps.get(name, deviations[name] if question.standardize else 1.0)) for name in fit.names}
    inflation = variance_inflation(fit.x) if len(fit.names) > 1 else [None] * len(fit.names)
    rows = []
    for each, factor in zip(odds_ratios(fit, steps=steps, level=question.level), [None, *inflation], strict=True):
        column = each.name.partition(" = ")[0]
        of_sd = question.standardize and column not in question.steps and each.name != "(intercept)"
        rows.append(
            {
                "model": model.name, "term": each.name, "label": _term_label(each.name, question),
                "per": "SD" if of_sd else "unit" if each.step == 1.0 else f"{each.step:g}", "step": each.step,
                "n": fit.positive.size, "positives": int(fit.positive.sum()), "missing": model.missing,
                "coefficient": each.coefficient, "se": each.se, "odds_ratio": each.odds_ratio,
                "wald_low": each.wald_low, "wald_high": each.wald_high, "wald_p": each.wald_p,
                "profile_low": each.profile_low, "profile_high": each.profile_high, "likelihood_ratio_p": each.profile_p,
                "vif": factor, "estimation": "Firth" if fit.penalized else "maximum likelihood", "separation": fit.separation,
                "events_per_variable": events_per_variable(fit.positive, len(fit.names)),
                "log_likelihood": fit.log_likelihood, "model_p": fit.likelihood_ratio_p,
            }
        )  # fmt: skip
    return rows


def model_findings(model: Model) -> list[QualityFinding]:
    """Say what weakens a model.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    list of QualityFinding
        Few events per variable, separated groups, entangled predictors.
    """
    fit, found = model.fit, []
    events = events_per_variable(fit.positive, len(fit.names))
    if events < FEW_EVENTS:
        text = f"The model '{model.label}' has {events:.1f} cases of the smaller class per variable, fewer than 10."
        found.append(QualityFinding("few_events", "warning", text, "Read its odds ratios with care or use fewer predictors."))
    if fit.separation != "none":
        text = f"In the model '{model.label}' the groups are separated ({fit.separation}), so Firth's penalty was used."
        found.append(QualityFinding("separated", "warning", text, "Trust its profile intervals, not the Wald intervals."))
    if len(fit.names) > 1:
        factors = dict(zip(fit.names, variance_inflation(fit.x).tolist(), strict=True))
        worst = max(factors, key=lambda name: factors[name])
        if factors[worst] > 5.0:
            text = f"In the model '{model.label}' the variance of '{worst}' is inflated {factors[worst]:.1f}-fold by the others."
            found.append(QualityFinding("collinear", "warning", text, "Their effects cannot be told apart: leave one out."))
    return found


def calibrate(model: Model, question: Question, progress: ProgressCallback) -> tuple[list[dict[str, Any]], CalibrationCurve]:
    """Measure a model's calibration, as seen and corrected for optimism.

    Parameters
    ----------
    model : Model
        The model.
    question : Question
        The choices.
    progress : callable
        Called now and then.

    Returns
    -------
    rows : list of dict
        For ``calibration.csv``, one per measure.
    curve : CalibrationCurve
        For ``calibration.png`` and ``calibration_curves.csv``.
    """
    fit, level = model.fit, question.level
    chances, truth = fit.predict(fit.x), fit.positive
    optimism = bootstrap_optimism(fit, resamples=question.bootstraps, seed=question.seed, progress=progress)
    bins = calibration.calibration_bins(chances, truth, level=level)
    limits: dict[str, Any] = {
        "auc": delong.delong_interval(chances, truth, level=level),
        "slope": calibration.calibration_slope(chances, truth, level=level),
        "intercept": calibration.calibration_intercept(chances, truth, level=level),
    }
    rows = []
    for name, values in optimism.measures.items():
        ends = limits.get(name)
        rows.append(
            _measure(model, name, values.apparent, None if ends is None else ends.low, None if ends is None else ends.high)
            | {"optimism": values.optimism, "corrected": values.corrected, "resamples": optimism.resamples}
        )
    share = float(truth.mean())
    rows.append(_measure(model, "brier_scaled", 1.0 - optimism.measures["brier"].apparent / (share * (1.0 - share))))
    rows.append(_measure(model, "integrated_calibration_index", calibration.integrated_calibration_index(chances, truth)))
    tested = calibration.hosmer_lemeshow(bins)
    if tested is not None:
        names = ("hosmer_lemeshow_chi_square", "hosmer_lemeshow_df", "hosmer_lemeshow_p")
        rows += [_measure(model, name, float(value)) for name, value in zip(names, tested, strict=True)]
    smooth = calibration.smooth_calibration(chances, truth, at=optimism.predicted, level=level)
    return rows, CalibrationCurve(model.label, chances, truth, bins, smooth, optimism)


def model_roc(model: Model, question: Question, progress: ProgressCallback) -> tuple[dict[str, Any], Curve]:
    """Measure the area of a model's probabilities, on its own cases and by cross-validation.

    Parameters
    ----------
    model : Model
        The model.
    question : Question
        The choices.
    progress : callable
        Called now and then.

    Returns
    -------
    row : dict
        For ``roc.csv``; the areas on its own cases are flattering, the cross-validated one is not.
    curve : Curve
        For ``roc.png``.
    """
    fit = model.fit
    chances, truth = fit.predict(fit.x), fit.positive
    sure = delong.delong_interval(chances, truth, level=question.level)
    drawn = delong.bootstrap_interval(
        chances, truth, level=question.level, resamples=question.resamples, seed=question.seed, progress=progress
    )
    validated = cross_validation.cross_validate(
        fit.x, truth, _training(fit, question), folds=question.folds, repeats=question.repeats, seed=question.seed,
        progress=progress,
    )  # fmt: skip
    row = {
        "predictor": model.name, "label": model.label, "kind": "model, on its own cases", "direction": "higher",
        "direction_from": "model", "n": truth.size, "positives": int(truth.sum()), "negatives": int((~truth).sum()),
        "auc": sure.auc, "se_delong": sure.se, "delong_low": sure.low, "delong_high": sure.high,
        "bootstrap_low": drawn.low, "bootstrap_high": drawn.high, "p_mann_whitney": groups.compare_numbers(chances, truth).p,
    }  # fmt: skip
    return row | validation_columns(validated, higher=True), Curve(model.label, roc.roc_curve(chances, truth), sure, truth.size)


def curve_rows(name: str, curve: CalibrationCurve) -> list[dict[str, Any]]:
    """Return the points of a calibration picture.

    Parameters
    ----------
    name : str
        The model.
    curve : CalibrationCurve
        Its curve.

    Returns
    -------
    list of dict
        Rows for ``calibration_curves.csv``.
    """
    rows: list[dict[str, Any]] = [
        {
            "model": name, "kind": "bin", "predicted": each.predicted, "observed": each.observed.value,
            "low": each.observed.low, "high": each.observed.high, "n": each.observed.total, "positives": each.observed.count,
        }
        for each in curve.bins
    ]  # fmt: skip
    smooth = curve.smooth
    for at, predicted in enumerate(smooth.predicted):
        rows.append(
            {
                "model": name, "kind": "smooth", "predicted": float(predicted), "observed": float(smooth.observed[at]),
                "low": float(smooth.low[at]), "high": float(smooth.high[at]), "corrected": float(curve.optimism.curve[at]),
            }
        )  # fmt: skip
    return rows


def _training(fit: LogisticFit, question: Question) -> cross_validation.Train:
    def train(x: FloatArray, positive: BoolArray) -> Callable[[FloatArray], FloatArray]:
        varies = np.ptp(x, axis=0) > 0  # a rare category may be absent from the training cases
        if not varies.any():
            return lambda other: np.zeros(len(other))
        names = [name for name, used in zip(fit.names, varies, strict=True) if used]
        model = fit_logistic(x[:, varies], positive, names, penalty=question.penalty, null=False)
        return lambda other: model.predict(other[:, varies])

    return train


def _measure(model: Model, name: str, value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {
        "model": model.name, "label": model.label, "measure": name, "n": model.fit.positive.size,
        "apparent": value, "low": low, "high": high,
    }  # fmt: skip


def _term_label(term: str, question: Question) -> str:
    column, equals, level = term.partition(" = ")
    return question.label(column) + equals + level
