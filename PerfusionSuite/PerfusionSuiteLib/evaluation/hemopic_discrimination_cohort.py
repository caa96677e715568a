# SPDX-License-Identifier: Apache-2.0
"""Lesion detection of a cohort from its table of patients: means, spreads, intervals, and who is better."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .hemopic_cohort import bootstrap, by_patient, mean_of, paired_rows
from .hemopic_folders import DATA

VALUES = ("roc_auc", "average_precision")


def published_summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Average patients as the published program does: mean and population standard deviation of the numbers that exist.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of all patients.

    Returns
    -------
    list of dict
        ``method metric n_patients`` and mean and standard deviation of ``roc_auc pr_auc_trapezoid average_precision``.
    """
    result = []
    for method, metric in _pairs(rows):
        row: dict[str, Any] = {"method": method, "metric": metric}
        for name in ("roc_auc", "pr_auc_trapezoid", "average_precision"):
            values = _values(rows, name, method, metric)
            row |= {"n_patients": values.size} if name == "roc_auc" else {}
            row[f"{name}_mean"] = float(values.mean()) if values.size else float("nan")
            row[f"{name}_std"] = float(values.std()) if values.size else float("nan")
        result.append(row)
    return result


def cohort_summary(rows: Sequence[Mapping[str, Any]], *, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Describe each map across patients.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of all patients.
    without : collection of str
        Patients that do not count, such as the second entry of one subject.

    Returns
    -------
    list of dict
        ``method metric n``, then for ``auc`` and ``ap``: mean with a bootstrap interval over patients, population standard
        deviation, median, quartiles, smallest and largest.
    """
    kept = [row for row in rows if str(row["patient_id"]) not in without]
    result = []
    for method, metric in _pairs(rows):
        row: dict[str, Any] = {"method": method, "metric": metric}
        for short, name in zip(("auc", "ap"), VALUES, strict=True):
            values = _values(kept, name, method, metric)
            if short == "auc":
                row["n"] = values.size
            if not values.size:
                continue
            mean = bootstrap(values, mean_of)
            lower, median, upper = np.percentile(values, [25.0, 50.0, 75.0])
            row |= {
                f"{short}_mean": mean.value, f"{short}_mean_low": mean.low, f"{short}_mean_high": mean.high,
                f"{short}_std": float(values.std()), f"{short}_median": float(median), f"{short}_q25": float(lower),
                f"{short}_q75": float(upper), f"{short}_min": float(values.min()), f"{short}_max": float(values.max()),
            }  # fmt: skip
        result.append(row)
    return result


def split_summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Describe each map in patients of odd and of even number: one half to choose with, the other to judge by.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of all patients.

    Returns
    -------
    list of dict
        As from `cohort_summary` with ``ids`` (``odd`` or ``even``); empty when a patient has no number.
    """
    names = {str(row["patient_id"]) for row in rows}
    if not all(name.isdigit() for name in names):
        return []
    halves = {"odd": {name for name in names if int(name) % 2 == 0}, "even": {name for name in names if int(name) % 2}}
    return [{"ids": half, **row} for half, others in halves.items() for row in cohort_summary(rows, without=others)]


def cohort_differences(
    rows: Sequence[Mapping[str, Any]], *, base: str = DATA, without: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Compare every source with a base source on the same patients.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of all patients.
    base : str
        The source that the others are compared with.
    without : collection of str
        Patients that do not count.

    Returns
    -------
    list of dict
        See `paired_rows`.
    """
    kept = [row for row in rows if str(row["patient_id"]) not in without]
    return paired_rows(kept, VALUES, base=base)


def best_of_each(rows: Sequence[Mapping[str, Any]], *, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Compare the maps of one source with each other: does transit time or Tmax find the lesion better than flow?

    Parameters
    ----------
    rows : sequence of mapping
        Rows of all patients.
    without : collection of str
        Patients that do not count.

    Returns
    -------
    list of dict
        As from `paired_rows`, ``method`` and ``base`` being maps and ``metric`` the source.
    """
    kept = [row for row in rows if str(row["patient_id"]) not in without]
    return paired_rows(kept, VALUES, base="cbf", column="metric", within="method")


def _pairs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((str(row["method"]), str(row["metric"])) for row in rows))


def _values(rows: Sequence[Mapping[str, Any]], name: str, method: str, metric: str) -> NDArray[np.float64]:
    values = np.array(list(by_patient(rows, name, method=method, metric=metric).values()), float)
    result: NDArray[np.float64] = values[np.isfinite(values)]
    return result
