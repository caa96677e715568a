# SPDX-License-Identifier: Apache-2.0
"""``tables.md``: what was found, worded and formatted for the supplement of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .analysis import CohortAnalysis, Rows
from .models import MULTIVARIABLE
from .wording import NOTHING, alike, between, measured, number, p_value, with_limits

_CORRECTED = ("auc", "brier", "slope", "intercept")
_MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


def paper_tables(analysis: CohortAnalysis, software: Sequence[str]) -> str:
    """Write all tables with their captions and the methods.

    Parameters
    ----------
    analysis : CohortAnalysis
        What was found.
    software : sequence of str
        Names with versions.

    Returns
    -------
    str
        Markdown.
    """
    outcome = analysis.outcome
    counts = int(outcome.positive.sum()), int((outcome.known & ~outcome.positive).sum())
    head = [
        "# Cohort statistics",
        f"Outcome: {outcome.name} ({counts[0]} cases) against {outcome.negative_name} ({counts[1]} cases). "
        f"Cases in the table: {analysis.cases}. CI: {_percent(analysis)} % confidence interval. "
        "Every analysis uses the cases that have all of its values.",
    ]
    captions = (
        ("Cases with and without the outcome", _descriptive(analysis)),
        ("ROC analysis", _roc(analysis)),
        ("Differences between areas under the ROC curves (paired DeLong test)", _comparisons(analysis)),
        ("Cut-offs", _cutoffs(analysis)),
        (_validation_caption(analysis), _validation(analysis)),
        ("Logistic regression, one predictor at a time", _logistic(analysis, multivariable=False)),
        ("Multivariable logistic regression", _logistic(analysis, multivariable=True)),
        (f"Calibration of the logistic models ({analysis.question.bootstraps} bootstrap resamples)", _calibration(analysis)),
    )
    parts, at = head, 0
    for caption, table in captions:
        if table:
            at += 1
            parts += [f"## Table {at}. {caption}", table]
    notes = [f"* {found.message} {found.advice}".rstrip() for found in analysis.findings]
    parts += ["## Notes", "\n".join(notes)] if notes else []
    parts += ["## Methods", _methods(analysis, software)]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    if not rows:
        return ""
    clean = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in clean]
    return "\n".join(lines) + (f"\n\n{note}" if note else "")


def _descriptive(analysis: CohortAnalysis) -> str:
    outcome, rows = analysis.outcome, []
    seen = ""
    for row in analysis.descriptive:
        if row["kind"] == "n (%)":
            if row["variable"] != seen:
                rows.append([f"{row['label']}, n (%)", str(row["n"]), "", "", "", p_value(row["p"])])
            cells = [f"{row[f'{g}_count']} ({number(row[f'{g}_percent'], 1)})" for g in ("positive", "negative", "everybody")]
            rows.append([f"\N{EM SPACE}{row['level']}", "", *cells, ""])
        else:
            groups = [_median(row, group) for group in ("positive", "negative", "everybody")]
            rows.append([f"{row['label']}, median [IQR]", str(row["n"]), *groups, p_value(row["p"])])
        seen = row["variable"]
    header = ("", "n", outcome.positive_name, outcome.negative_name, "All", "p")
    several = any("Monte Carlo" in row["test"] for row in analysis.descriptive)
    more = ", by random tables with the same margins for more than two categories" if several else ""
    return _table(header, rows, f"p: Mann-Whitney test for numbers, Fisher's exact test for categories{more}.")


def _median(row: dict[str, Any], group: str) -> str:
    return alike(*(row[f"{group}_{name}"] for name in ("median", "q1", "q3")))


def _roc(analysis: CohortAnalysis) -> str:
    rows = []
    for row in analysis.roc:
        model = row["kind"] != "predictor"
        rows.append(
            [
                row["label"] + (" \N{DAGGER}" if model else ""),
                NOTHING if model else row["direction"] + ("" if row["direction_from"] == "medians" else " (given)"),
                f"{row['n']} ({row['positives']}/{row['negatives']})",
                with_limits(row["auc"], row["delong_low"], row["delong_high"], 3),
                between(row["bootstrap_low"], row["bootstrap_high"], 3),
                p_value(row["p_mann_whitney"]),
            ]
        )
    header = ("Predictor", "Positive when", "n (with/without)", "AUC [CI, DeLong]", "CI, bootstrap", "p")
    note = f"Bootstrap: {analysis.question.resamples} stratified resamples, percentiles. p: Mann-Whitney test of AUC = 0.5."
    note += " Directions that were not given beforehand were read from the medians of the classes."
    if any(row["kind"] != "predictor" for row in analysis.roc):
        note += " \N{DAGGER} On the cases the model was fitted to, without correction for optimism."
    return _table(header, rows, note)


def _comparisons(analysis: CohortAnalysis) -> str:
    rows = [
        [
            f"{row['first_label']} \N{MINUS SIGN} {row['second_label']}", str(row["n"]),
            f"{number(row['auc_first'], 3)} \N{MINUS SIGN} {number(row['auc_second'], 3)}",
            with_limits(row["difference"], row["low"], row["high"], 3), p_value(row["p"]), p_value(row["p_holm"]),
        ]
        for row in analysis.comparisons
    ]  # fmt: skip
    return _table(("Pair", "n", "AUC", "Difference [CI]", "p", "p (Holm)"), rows, "Cases that have both predictors.")


def _cutoffs(analysis: CohortAnalysis) -> str:
    rows = []
    for row in analysis.cutoffs:
        sign = "\N{GREATER-THAN OR EQUAL TO}" if row["rule"] == "at or above" else "\N{LESS-THAN OR EQUAL TO}"
        value = f"{row['cutoff']:.2f}" if row["kind"] == "fixed" else measured(row["cutoff"])
        shares = [with_limits(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in _MEASURES]
        rows.append([f"{row['label']} {sign} {value}", row["kind"], *shares])
    header = ("Cut-off", "Kind", "Sensitivity", "Specificity", "PPV", "NPV", "Accuracy")
    note = (
        "Wilson CIs. PPV and NPV hold for this cohort's share of positive cases. Youden's cut-off was chosen on these very cases"
    )
    return _table(header, rows, note + ", so that its numbers are flattering; the cross-validated ones are in the next table.")


def _validation_caption(analysis: CohortAnalysis) -> str:
    return f"Cross-validation, stratified, {analysis.question.folds} folds \N{MULTIPLICATION SIGN} {analysis.question.repeats}"


def _validation(analysis: CohortAnalysis) -> str:
    rows = []
    for row in analysis.roc:
        shares = [_spread(row[f"cv_{name}_mean"], row[f"cv_{name}_sd"]) for name in ("sensitivity", "specificity", "accuracy")]
        cutoff = alike(*(row[f"cv_cutoff_{part}"] for part in ("median", "q1", "q3")))
        rows.append([row["label"], str(row["n"]), _spread(row["cv_auc_mean"], row["cv_auc_sd"], 3), cutoff, *shares])
    header = ("Predictor", "n", "AUC", "Cut-off, median [IQR]", "Sensitivity", "Specificity", "Accuracy")
    note = "Mean \N{PLUS-MINUS SIGN} standard deviation: of the AUC over all test folds, else over repeats. "
    return _table(header, rows, note + "Cut-offs (Youden), directions and models come from the training folds only.")


def _spread(mean: float, deviation: float, digits: int = 2) -> str:
    return f"{number(mean, digits)} \N{PLUS-MINUS SIGN} {number(deviation, digits)}"


def _logistic(analysis: CohortAnalysis, *, multivariable: bool) -> str:
    chosen = [
        row for row in analysis.logistic if (row["model"] == MULTIVARIABLE) is multivariable and row["term"] != "(intercept)"
    ]
    if not chosen:
        return ""
    rows = []
    for row in chosen:
        per = "" if row["per"] == "unit" else f" (per {row['per']})"
        cells = [row["label"] + per + (" \N{DAGGER}" if row["estimation"] == "Firth" else ""), str(row["n"])]
        cells += [with_limits(row["odds_ratio"], row["wald_low"], row["wald_high"]), p_value(row["wald_p"])]
        cells += [between(row["profile_low"], row["profile_high"]), p_value(row["likelihood_ratio_p"])]
        rows.append([*cells, number(row["vif"], 1)] if multivariable else cells)
    header = ["Predictor", "n", "OR [CI, Wald]", "p (Wald)", "CI, profile", "p (LR)"]
    first = chosen[0]
    note = "OR: odds ratio; profile: profile likelihood; LR: likelihood-ratio test."
    if multivariable:
        header.append("VIF")
        note += (
            f" VIF: variance inflation factor. {number(first['events_per_variable'], 1)} cases of the smaller class per variable."
        )
    if any(row["estimation"] == "Firth" for row in chosen):
        note += " \N{DAGGER} Firth's penalized likelihood."
    return _table(header, rows, note)


def _calibration(analysis: CohortAnalysis) -> str:
    models: dict[str, dict[str, dict[str, Any]]] = {}
    for row in analysis.calibration:
        models.setdefault(row["label"], {})[row["measure"]] = row
    rows = []
    for label, found in models.items():
        tested = found.get("hosmer_lemeshow_p")
        rows.append(
            [
                label, str(found["auc"]["n"]), *(_seen_corrected(found[name], 3) for name in _CORRECTED),
                number(found["integrated_calibration_index"]["apparent"], 3), p_value(tested["apparent"] if tested else None),
            ]
        )  # fmt: skip
    header = ("Model", "n", "AUC", "Brier score", "Slope", "Intercept", "ICI", "Hosmer-Lemeshow p")
    note = (
        "Seen on the fitted cases, and in brackets corrected for optimism. ICI: integrated calibration index (mean distance from "
    )
    return _table(
        header, rows, note + "the smooth curve). The Hosmer-Lemeshow test has little power and is reported, not relied on."
    )


def _seen_corrected(row: dict[str, Any], digits: int) -> str:
    return f"{number(row['apparent'], digits)} ({number(row['corrected'], digits)})"


def _methods(analysis: CohortAnalysis, software: Sequence[str]) -> str:
    question = analysis.question
    sentences = [
        "Areas under ROC curves are empirical, ties counting half; their confidence intervals are DeLong's, and percentile "
        f"intervals of a stratified bootstrap ({question.resamples} resamples). Areas of the same cases were compared by "
        "DeLong's paired test, p values adjusted by Holm's method.",
        "Youden's cut-off lies half way between neighboring values; a case at a cut-off is called positive. Proportions have "
        "Wilson's intervals.",
        f"Cross-validation was stratified, {question.folds}-fold and repeated {question.repeats} times; all that is chosen was "
        "chosen in the training folds.",
        "Logistic models were fitted by maximum likelihood (iteratively reweighted least squares)"
        + {"firth": "; Firth's penalty was used throughout.", "none": "."}.get(
            question.penalty, ", or with Firth's penalty where a linear program found the groups separated."
        ),
        "Calibration: intercept with slope 1, slope, a natural cubic spline of the log odds with three knots, and ten bins; "
        f"optimism by {question.bootstraps} bootstrap resamples in which all modeling was repeated (mean; median of the slope).",
        f"Confidence {_percent(analysis)} %, tests two-sided, seed {question.seed}. Computed with {', '.join(software)}.",
    ]
    return " ".join(sentences)


def _percent(analysis: CohortAnalysis) -> str:
    return f"{100 * analysis.question.level:g}"


def short_summary(analysis: CohortAnalysis) -> str:
    """Return the areas as lines of text for a terminal.

    Parameters
    ----------
    analysis : CohortAnalysis
        What was found.

    Returns
    -------
    str
        A line per predictor and model.
    """
    rows: Rows = analysis.roc
    width = max((len(row["label"]) for row in rows), default=0)
    return "\n".join(
        f"{row['label']:<{width}}  n = {row['n']:<5} AUC {with_limits(row['auc'], row['delong_low'], row['delong_high'], 3)}"
        f"  cross-validated {_spread(row['cv_auc_mean'], row['cv_auc_sd'], 3)}"
        + ("" if row["kind"] == "predictor" else "  (model)")
        for row in rows
    )
