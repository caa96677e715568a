# SPDX-License-Identifier: Apache-2.0
"""Answers a question about a cohort: joins description, ROC analysis, logistic models and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InvalidInputError, NumericalError, require_package
from ..core.findings import QualityFinding
from ..core.progress import ProgressCallback, part_of
from . import discrimination, models
from .discrimination import Curve, Scored
from .models import MULTIVARIABLE, CalibrationCurve, Model
from .question import FEW, FEWEST, Question
from .table_file import Table
from .variables import Outcome, Variable, read_outcome, read_variable

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CohortAnalysis:
    """Everything that was found.

    Parameters
    ----------
    question : Question
        What was asked.
    outcome : Outcome
        The classes.
    cases : int
        Rows of the table.
    descriptive, roc, comparisons, cutoffs, logistic, calibration, calibration_curves : list of dict
        Rows of the files of the same names.
    curves : list of Curve
        For ``roc.png``, the models after the predictors.
    calibrated : list of CalibrationCurve
        For ``calibration.png``, the multivariable model first.
    findings : list of QualityFinding
        What a reader must know.
    """

    question: Question
    outcome: Outcome
    cases: int
    descriptive: Rows = field(default_factory=list)
    roc: Rows = field(default_factory=list)
    comparisons: Rows = field(default_factory=list)
    cutoffs: Rows = field(default_factory=list)
    logistic: Rows = field(default_factory=list)
    calibration: Rows = field(default_factory=list)
    calibration_curves: Rows = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    calibrated: list[CalibrationCurve] = field(default_factory=list)
    findings: list[QualityFinding] = field(default_factory=list)


def analyze(table: Table, question: Question, *, progress: ProgressCallback | None = None) -> CohortAnalysis:
    """Analyze a cohort.

    Parameters
    ----------
    table : Table
        One row per case.
    question : Question
        What is asked, with every choice.
    progress : callable, optional
        Called now and then; may raise `CancelledError`.

    Returns
    -------
    CohortAnalysis
        Tables, curves and findings. Every analysis uses the cases that have all of its values, and says how many.

    Raises
    ------
    InvalidInputError
        If a column is missing, a class has fewer than ten cases, or no predictor can be analyzed.
    MissingPackageError
        If statsmodels is not installed.
    """
    require_package("statsmodels", "compute statistics of a cohort")
    outcome = read_outcome(table, question)
    predictors = [read_variable(table, name, question) for name in question.predictors]
    others = [read_variable(table, name, question) for name in question.describe]
    result = CohortAnalysis(question, outcome, len(table.rows))
    result.findings.extend(_size_findings(outcome))
    result.descriptive.extend(discrimination.describe((*predictors, *others), outcome, question.seed))
    scored = _discriminate(predictors, result, _stage(part_of(progress, 0.0, 0.2), "ROC analysis"))
    _model(predictors, result, _stage(part_of(progress, 0.2, 1.0), "Logistic models and calibration"))
    if not scored and not result.logistic:
        msg = f"No predictor has {FEWEST} complete cases per class. Choose predictors with fewer missing values."
        raise InvalidInputError(msg)
    return result


def _stage(progress: ProgressCallback, name: str) -> ProgressCallback:
    """Show one name for many small steps."""
    return lambda fraction, _: progress(fraction, name)


def _size_findings(outcome: Outcome) -> list[QualityFinding]:
    found = []
    counts = int(outcome.positive.sum()), int((outcome.known & ~outcome.positive).sum())
    if min(counts) < FEW:
        text = f"There are {counts[0]} positive and {counts[1]} negative cases; fewer than {FEW} per class give rough results."
        found.append(QualityFinding("small_cohort", "warning", text, "Read the intervals, not the estimates."))
    unknown = int((~outcome.known).sum())
    if unknown:
        text = f"{unknown} of {outcome.known.size} cases have no outcome and are left out."
        found.append(QualityFinding("missing_outcome", "info", text, ""))
    return found


def _discriminate(predictors: Sequence[Variable], result: CohortAnalysis, progress: ProgressCallback) -> list[Scored]:
    question, scored = result.question, []
    for variable in predictors:
        found = discrimination.score(variable, result.outcome, question)
        missing = int((result.outcome.known & ~variable.known).sum())
        if missing:
            text = f"'{variable.label}' is missing in {missing} of {int(result.outcome.known.sum())} cases with an outcome."
            result.findings.append(QualityFinding("missing_values", "info", text, "They are left out of its analyses."))
        if found is None:
            why = "it has more than two categories" if len(variable.levels) > 2 else f"a class has fewer than {FEWEST} values"
            text = f"There is no ROC curve of '{variable.label}': {why}."
            result.findings.append(QualityFinding("no_roc", "warning", text, ""))
            continue
        scored.append(found)
    for at, each in enumerate(scored):
        row, curve = discrimination.roc_row(each, question, part_of(progress, at / len(scored), (at + 1) / len(scored)))
        result.roc.append(row)
        result.curves.append(curve)
        result.cutoffs.extend(discrimination.cutoff_rows(each, question))
        if row["auc"] in (0.0, 1.0):
            text = f"'{each.label}' separates the classes perfectly: its interval is empty, not infinitely sure."
            result.findings.append(QualityFinding("perfect_area", "warning", text, "Check for an error, or add cases."))
    result.comparisons.extend(discrimination.comparison_rows(scored, question.level))
    return scored


def _model(predictors: Sequence[Variable], result: CohortAnalysis, progress: ProgressCallback) -> None:
    question = result.question
    members = [variable for variable in predictors if not question.model or variable.name in question.model]
    wanted: list[tuple[str, str, list[Variable]]] = [(variable.name, variable.label, [variable]) for variable in predictors]
    if len(members) > 1:
        wanted.insert(0, (MULTIVARIABLE, f"Multivariable model ({len(members)} predictors)", members))
    fitted: list[Model] = []
    for name, label, variables in wanted:
        try:
            model = models.fit_model(name, label, variables, result.outcome, question)
        except (InvalidInputError, NumericalError) as error:
            result.findings.append(QualityFinding("no_model", "warning", f"There is no model '{label}'. {error}", ""))
            continue
        if model is None:
            text = f"There is no model '{label}': a class has fewer than {FEWEST} complete cases."
            result.findings.append(QualityFinding("no_model", "warning", text, ""))
            continue
        fitted.append(model)
        result.logistic.extend(models.logistic_rows(model, question))
        result.findings.extend(models.model_findings(model))
    result.logistic.sort(key=lambda row: row["model"] == MULTIVARIABLE)  # univariable first, as papers do
    for at, model in enumerate(fitted):
        share = part_of(progress, at / len(fitted), (at + 1) / len(fitted))
        rows, curve = models.calibrate(model, question, part_of(share, 0.0, 0.8))
        result.calibration.extend(rows)
        result.calibrated.append(curve)
        result.calibration_curves.extend(models.curve_rows(model.name, curve))
        if model.name == MULTIVARIABLE:
            row, area = models.model_roc(model, question, part_of(share, 0.8, 1.0))
            result.roc.append(row)
            result.curves.append(area)
