# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite statistics TABLE OUT``: how well metrics predict an outcome in a cohort."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import cohort
from ..cohort.paper_tables import short_summary
from ..core import InvalidInputError
from ..core.files import check_output_folder
from .console import ConsoleProgress


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser(
        "statistics",
        help="how well metrics predict an outcome: ROC, cut-offs, logistic regression, calibration",
        usage="perfusion-suite statistics TABLE OUT --outcome COLUMN --predictors COLUMN [COLUMN ...] [options]",
        description="Analyzes a table with one row per case, as 'aggregate' writes it. Each analysis uses the cases "
        "that have all of its values, and says how many. Fewer than 10 cases per class are refused.",
    )  # fmt: skip
    parser.add_argument("table", metavar="TABLE", type=Path, help="CSV with one row per case")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for tables and pictures")
    _add_columns(parser.add_argument_group("columns"))
    _add_choices(parser.add_argument_group("choices"))
    parser.set_defaults(execute=execute)


def _add_columns(group: Any) -> None:
    group.add_argument("--outcome", metavar="COLUMN", required=True, help="the outcome")
    group.add_argument(
        "--positive", metavar="VALUE", nargs="+", default=[], help="its values that count as positive, for example 3 4"
    )
    group.add_argument("--predictors", metavar="COLUMN", nargs="+", required=True, help="what shall predict it")
    group.add_argument(
        "--model", metavar="COLUMN", nargs="+", default=[], help="members of the multivariable model (default: all predictors)"
    )
    group.add_argument("--describe", metavar="COLUMN", nargs="+", default=[], help="further columns of the descriptive table")
    group.add_argument("--labels", metavar="COLUMN=TEXT", nargs="+", default=[], help="names for tables and pictures")


def _add_choices(group: Any) -> None:
    group.add_argument(
        "--cutoffs",
        metavar="COLUMN=N[,N...]",
        nargs="+",
        default=[],
        help="fixed cut-offs beside the optimized one (default: 0.70,0.80,0.90 for CBV indices, 0.22,0.40 for HIR)",
    )
    group.add_argument(
        "--directions", metavar="COLUMN=WORD", nargs="+", default=[], help="higher or lower, where known beforehand"
    )
    group.add_argument("--per", metavar="COLUMN=STEP", nargs="+", default=[], help="odds ratios per this much, for example 0.1")
    group.add_argument("--standardize", action="store_true", help="odds ratios per standard deviation")
    group.add_argument(
        "--penalty",
        choices=("auto", "none", "firth"),
        default="auto",
        help="Firth's penalty (default: for separated groups)",
    )
    group.add_argument("--level", metavar="SHARE", type=float, default=0.95, help="confidence (default 0.95)")
    group.add_argument("--seed", metavar="N", type=int, default=1, help="of all random numbers (default 1)")
    group.add_argument("--resamples", metavar="N", type=int, default=2000, help="bootstrap of areas (default 2000)")
    group.add_argument("--bootstraps", metavar="N", type=int, default=500, help="bootstrap of models (default 500)")
    group.add_argument("--folds", metavar="N", type=int, default=5, help="of the cross-validation (default 5)")
    group.add_argument("--repeats", metavar="N", type=int, default=20, help="of the cross-validation (default 20)")


def execute(options: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    question = question_of(options)
    check_output_folder(options.output)
    table = cohort.read_table(options.table)
    console = ConsoleProgress(check_stop=options.check_stop)
    try:
        analysis = cohort.analyze(table, question, progress=console)
        names = cohort.write_analysis(analysis, options.output)
    finally:
        console.close()
    outcome = analysis.outcome
    positives, negatives = int(outcome.positive.sum()), int((outcome.known & ~outcome.positive).sum())
    print(f"{outcome.name}: {positives} cases, against {outcome.negative_name}: {negatives}")
    print(short_summary(analysis))
    for finding in analysis.findings:
        print(f"  {finding.severity}: {finding.message} {finding.advice}".rstrip())
    if "roc.png" not in names:
        print("  info: There are no pictures, since matplotlib is not installed. Install it with 'pip install matplotlib'.")
    print(f"Tables and pictures are in {options.output}; read tables.md first.")
    return 0


def question_of(options: argparse.Namespace) -> cohort.Question:
    """Turn arguments into a question.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    Question
        What is asked.

    Raises
    ------
    InvalidInputError
        If a pair ``COLUMN=VALUE`` is malformed or a choice is not possible.
    """
    return cohort.Question(
        outcome=options.outcome,
        predictors=tuple(options.predictors),
        positive=tuple(options.positive),
        model=tuple(options.model),
        describe=tuple(options.describe),
        cutoffs=_pairs(options.cutoffs, "--cutoffs", _numbers),
        directions=_pairs(options.directions, "--directions", str),
        steps=_pairs(options.per, "--per", float),
        standardize=options.standardize,
        penalty=options.penalty,
        labels=_pairs(options.labels, "--labels", str),
        level=options.level,
        seed=options.seed,
        resamples=options.resamples,
        bootstraps=options.bootstraps,
        folds=options.folds,
        repeats=options.repeats,
    )


def _pairs(words: Sequence[str], option: str, kind: Callable[[str], Any]) -> dict[str, Any]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            found[name] = kind(value)
        except ValueError:
            equals = ""
        if not (equals and name and value):
            msg = f"'{word}' after {option} is not understood. Write COLUMN=VALUE, for example hir=0.4."
            raise InvalidInputError(msg)
    return found


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))
