# SPDX-License-Identifier: Apache-2.0
"""Writes the analysis of a cohort: tables, pictures, the text of a supplement, and every setting."""

from __future__ import annotations

import importlib.util
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.files import staged_folder, write_json, write_text
from ..results.tables import write_rows
from .analysis import CohortAnalysis
from .paper_tables import paper_tables
from .pictures import draw_calibration, draw_roc, save_picture

TABLES = ("descriptive", "roc", "comparisons", "cutoffs", "logistic", "calibration", "calibration_curves")
PICTURES = ("roc", "calibration")
_SCHEMA = "perfusion-suite/statistics/1"


def write_analysis(analysis: CohortAnalysis, out: Path) -> list[str]:
    """Write all files of an analysis; everything appears at the end, or nothing.

    Parameters
    ----------
    analysis : CohortAnalysis
        What was found.
    out : Path
        Folder; files of an earlier analysis are replaced, foreign ones stay.

    Returns
    -------
    list of str
        Names of the files; without pictures when matplotlib is not installed.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    names = [f"{name}.csv" for name in (*TABLES, "roc_curves")] + [f"{name}.png" for name in PICTURES]
    with staged_folder(out, outdated=[Path(name) for name in names]) as staging:
        for name in TABLES:
            rows: list[dict[str, Any]] = getattr(analysis, name)
            if rows:
                write_rows(staging / f"{name}.csv", rows)
        write_rows(staging / "roc_curves.csv", _points(analysis))
        if importlib.util.find_spec("matplotlib") is not None:
            if analysis.curves:
                save_picture(draw_roc(analysis), staging / "roc.png")
            if analysis.calibrated:
                save_picture(draw_calibration(analysis), staging / "calibration.png")
        write_text(staging / "tables.md", paper_tables(analysis, software()))
        write_json(staging / "settings.json", settings(analysis))
        return sorted(path.name for path in staging.iterdir())


def settings(analysis: CohortAnalysis) -> dict[str, Any]:
    """Return everything that is needed to repeat an analysis.

    Parameters
    ----------
    analysis : CohortAnalysis
        The analysis.

    Returns
    -------
    dict
        Choices, classes, versions and findings; no path and no case.
    """
    question, outcome = analysis.question, analysis.outcome
    return {
        "schema": _SCHEMA,
        "software": software(),
        "question": asdict(question),
        "cutoffs_used": {name: question.fixed_cutoffs(name) for name in question.predictors},
        "directions_used": {row["predictor"]: row["direction"] for row in analysis.roc if row["kind"] == "predictor"},
        "classes": {
            "name": outcome.name,
            "positive": outcome.positive_name,
            "negative": outcome.negative_name,
            "positives": int(outcome.positive.sum()),
            "negatives": int((outcome.known & ~outcome.positive).sum()),
            "unknown": int((~outcome.known).sum()),
            "cases": analysis.cases,
        },
        "findings": [asdict(found) for found in analysis.findings],
    }


def software() -> list[str]:
    """Return the programs that carried the analysis.

    Returns
    -------
    list of str
        Names with versions.
    """
    carriers = [f"{name} {version(name)}" for name in ("numpy", "scipy", "statsmodels")]
    return [f"Perfusion Suite {__version__}", f"Python {platform.python_version()}", *carriers]


def _points(analysis: CohortAnalysis) -> list[dict[str, Any]]:
    return [
        {
            "predictor": row["predictor"], "cutoff": float(cutoff),
            "sensitivity": float(curve.roc.sensitivity[at]), "specificity": float(curve.roc.specificity[at]),
        }
        for row, curve in zip(analysis.roc, analysis.curves, strict=True)
        for at, cutoff in enumerate(curve.roc.cutoffs)
    ]  # fmt: skip
