# SPDX-License-Identifier: Apache-2.0
"""How well single predictors tell the classes apart: description, ROC, comparisons, cut-offs, cross-validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback
from ..evaluation import cross_validation, cutoffs, delong, groups, roc
from .question import FEWEST, Question
from .variables import Outcome, Variable


@dataclass(frozen=True, slots=True)
class Curve:
    """A ROC curve with what its legend says.

    Parameters
    ----------
    label : str
        The predictor.
    roc : RocCurve
        The curve.
    interval : AucInterval
        DeLong's.
    n : int
        Cases.
    """

    label: str
    roc: roc.RocCurve
    interval: delong.AucInterval
    n: int


@dataclass(frozen=True, slots=True)
class Scored:
    """A predictor on its complete cases.

    Parameters
    ----------
    name, label : str
        The column, and what it is called.
    values : ndarray, shape (n,)
        Numbers.
    positive : ndarray of bool, shape (n,)
        The outcome.
    cases : ndarray of int, shape (n,)
        Rows of the table.
    higher : bool
        Whether large values point to the outcome.
    given : bool
        Whether that was said beforehand.
    """

    name: str
    label: str
    values: FloatArray
    positive: BoolArray
    cases: np.ndarray
    higher: bool
    given: bool


def describe(variables: Iterable[Variable], outcome: Outcome, seed: int) -> list[dict[str, Any]]:
    """Describe variables in both classes.

    Parameters
    ----------
    variables : iterable of Variable
        Predictors and others.
    outcome : Outcome
        The classes.
    seed : int
        Of the random tables of Fisher's test.

    Returns
    -------
    list of dict
        A row per number and per category.
    """
    rows: list[dict[str, Any]] = []
    for variable in variables:
        use = variable.known & outcome.known
        truth = outcome.positive[use]
        common = {"variable": variable.name, "label": variable.label, "n": int(use.sum()), "missing": int((~use).sum())}
        if truth.all() or not truth.any():
            continue
        if variable.numbers is not None and not _is_binary(variable.numbers[use]):
            rows.append(common | _number_row(groups.compare_numbers(variable.numbers[use], truth)))
        else:
            found = groups.compare_categories(_texts(variable, use), truth, seed=seed)
            rows += [common | row for row in _category_rows(found)]
    return rows


def _is_binary(numbers: FloatArray) -> bool:
    return set(np.unique(numbers).tolist()) <= {0.0, 1.0}


def _texts(variable: Variable, use: BoolArray) -> list[str]:
    if variable.numbers is not None:
        return [f"{value:g}" for value in variable.numbers[use]]
    return [str(text) for text, used in zip(variable.categories or (), use, strict=True) if used]


def _number_row(found: groups.NumberComparison) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": "median [IQR]", "level": None, "p": found.p, "test": "Mann-Whitney"}
    for group in ("positive", "negative", "everybody"):
        spread: groups.Spread = getattr(found, group)
        row |= {
            f"{group}_n": spread.n,
            f"{group}_median": spread.median,
            f"{group}_q1": spread.lower,
            f"{group}_q3": spread.upper,
        }
    return row


def _category_rows(found: groups.CategoryComparison) -> list[dict[str, Any]]:
    totals = sum(found.positive), sum(found.negative)
    test = "Fisher, exact" if found.exact else "Fisher-Freeman-Halton, Monte Carlo"
    rows = []
    for at, (level, yes, no) in enumerate(zip(found.levels, found.positive, found.negative, strict=True)):
        row: dict[str, Any] = {"kind": "n (%)", "level": level, "p": found.p if at == 0 else None, "test": test}
        for group, count, total in (
            ("positive", yes, totals[0]),
            ("negative", no, totals[1]),
            ("everybody", yes + no, sum(totals)),
        ):
            row |= {f"{group}_n": total, f"{group}_count": count, f"{group}_percent": 100.0 * count / total}
        rows.append(row)
    return rows


def score(variable: Variable, outcome: Outcome, question: Question) -> Scored | None:
    """Take a predictor's complete cases.

    Parameters
    ----------
    variable : Variable
        The predictor; two categories become 0 and 1.
    outcome : Outcome
        The classes.
    question : Question
        May know the direction.

    Returns
    -------
    Scored or None
        None with more than two categories, or with fewer than ten complete cases in a class.
    """
    names, table = variable.columns() if variable.numbers is not None or len(variable.levels) == 2 else ([], np.zeros((0, 0)))
    if not names:
        return None
    use = variable.known & outcome.known
    values, truth = table[use, 0], outcome.positive[use]
    if min(int(truth.sum()), int((~truth).sum())) < FEWEST:
        return None
    said = question.directions.get(variable.name)
    higher = roc.points_higher(values, truth) if said is None else said == "higher"
    label = variable.label if variable.numbers is not None else f"{variable.label} = {variable.levels[1]}"
    return Scored(variable.name, label, values, truth, np.flatnonzero(use), higher, said is not None)


def roc_row(scored: Scored, question: Question, progress: ProgressCallback) -> tuple[dict[str, Any], Curve]:
    """Measure a predictor's area with both intervals and by cross-validation.

    Parameters
    ----------
    scored : Scored
        The predictor.
    question : Question
        The choices.
    progress : callable
        Called now and then.

    Returns
    -------
    row : dict
        For ``roc.csv``.
    curve : Curve
        For ``roc.png``.
    """
    values, truth, higher = scored.values, scored.positive, scored.higher
    sure = delong.delong_interval(values, truth, higher=higher, level=question.level)
    drawn = delong.bootstrap_interval(
        values, truth, higher=higher, level=question.level, resamples=question.resamples, seed=question.seed, progress=progress
    )
    validated = cross_validation.cross_validate(
        values[:, None], truth, cross_validation.by_direction(higher if scored.given else None),
        folds=question.folds, repeats=question.repeats, seed=question.seed, progress=progress,
    )  # fmt: skip
    curve = Curve(scored.label, roc.roc_curve(values, truth, higher=higher), sure, truth.size)
    row = {
        "predictor": scored.name,
        "label": scored.label,
        "kind": "predictor",
        "direction": "higher" if higher else "lower",
        "direction_from": "given" if scored.given else "medians",
        "n": truth.size,
        "positives": int(truth.sum()),
        "negatives": int((~truth).sum()),
        "auc": sure.auc,
        "se_delong": sure.se,
        "delong_low": sure.low,
        "delong_high": sure.high,
        "bootstrap_low": drawn.low,
        "bootstrap_high": drawn.high,
        "p_mann_whitney": groups.compare_numbers(values, truth).p,
    }
    return row | validation_columns(validated, higher), curve


def validation_columns(found: cross_validation.CrossValidation, higher: bool) -> dict[str, Any]:
    """Return the cross-validated columns of a row.

    Parameters
    ----------
    found : CrossValidation
        The numbers.
    higher : bool
        The direction: cut-offs are turned back to the predictor's own sign.

    Returns
    -------
    dict
        Columns ``cv_*``.
    """
    middle, first, last = found.cutoff if higher else (-found.cutoff[0], -found.cutoff[2], -found.cutoff[1])
    row: dict[str, Any] = {"cv_auc_mean": found.auc_mean, "cv_auc_sd": found.auc_sd, "cv_auc_repeat_sd": found.repeat_sd}
    for name in ("sensitivity", "specificity", "accuracy"):
        mean, deviation = getattr(found, name)
        row |= {f"cv_{name}_mean": mean, f"cv_{name}_sd": deviation}
    return row | {"cv_cutoff_median": middle, "cv_cutoff_q1": first, "cv_cutoff_q3": last}


def cutoff_rows(scored: Scored, question: Question) -> list[dict[str, Any]]:
    """Measure Youden's and the fixed cut-offs of a predictor.

    Parameters
    ----------
    scored : Scored
        The predictor.
    question : Question
        The choices.

    Returns
    -------
    list of dict
        Rows for ``cutoffs.csv``: the optimized one first.
    """
    curve = roc.roc_curve(scored.values, scored.positive, higher=scored.higher)
    best, _ = curve.youden
    chosen = [("Youden", best)] if np.isfinite(best) else []
    rows = []
    for kind, cutoff in (*chosen, *(("fixed", value) for value in question.fixed_cutoffs(scored.name))):
        found = cutoffs.measure_cutoff(scored.values, scored.positive, cutoff, higher=scored.higher, level=question.level)
        row: dict[str, Any] = {
            "predictor": scored.name, "label": scored.label, "kind": kind, "cutoff": cutoff,
            "rule": "at or above" if scored.higher else "at or below", "n": scored.positive.size,
        }  # fmt: skip
        for name, share in found.items():
            row |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
            row |= {f"{name}_count": share.count, f"{name}_total": share.total}
        parts = found["sensitivity"].value, found["specificity"].value
        row["youden"] = float(parts[0] or 0.0) + float(parts[1] or 0.0) - 1.0
        rows.append(row)
    return rows


def comparison_rows(scored: list[Scored], level: float) -> list[dict[str, Any]]:
    """Compare all pairs of predictors on their common cases.

    Parameters
    ----------
    scored : list of Scored
        The predictors.
    level : float
        Confidence.

    Returns
    -------
    list of dict
        Rows for ``comparisons.csv``, p values also adjusted by Holm's method; pairs with fewer than ten common cases in a class
        are left out.
    """
    rows: list[dict[str, Any]] = []
    for first, second in combinations(scored, 2):
        _, at_first, at_second = np.intersect1d(first.cases, second.cases, return_indices=True)
        truth = first.positive[at_first]
        if min(int(truth.sum()), int((~truth).sum())) < FEWEST:
            continue
        one, two = _signed(first)[at_first], _signed(second)[at_second]
        found = delong.delong_test(one, two, truth, level=level)
        rows.append(
            {
                "first": first.name, "second": second.name, "first_label": first.label, "second_label": second.label,
                "n": truth.size, "auc_first": roc.auc(one, truth), "auc_second": roc.auc(two, truth),
                "difference": found.difference, "low": found.low, "high": found.high, "z": found.z, "p": found.p,
            }
        )  # fmt: skip
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def holm(p_values: list[float]) -> list[float]:
    """Adjust p values for their number.

    Parameters
    ----------
    p_values : list of float
        Of a family of tests.

    Returns
    -------
    list of float
        In the same order.

    References
    ----------
    Holm, Scand J Stat 6:65, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def _signed(scored: Scored) -> FloatArray:
    return scored.values if scored.higher else -scored.values
