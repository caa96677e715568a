# SPDX-License-Identifier: Apache-2.0
"""From the rows of a study to medians over patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .conditions import Condition
from .row_file import FAILED

LEAST_ML: Mapping[str, float] = {"hypoperfusion": 10.0, "core": 5.0, "penumbra": 10.0}
"""Smaller true lesions are left out of the Dice, which a few voxels would decide."""

COLUMNS = (
    "condition", "method", "subject", "region", "measure", "patients", "median", "quartile_low", "quartile_high", "low", "high",
    "unit",
)  # fmt: skip

_Key = tuple[str, str, str, str, str]


def judged_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the Dice of lesions that are too small for it, and add what was found where nothing is.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of the study.

    Returns
    -------
    list of dict
        The rows without those Dice, with further ones of the measure ``false_volume`` (mL found on all voxels in
        patients without that lesion).
    """
    every = [dict(row) for row in rows]
    truth = {
        (row["condition"], row["seed"], row["method"], row["subject"]): row["value"]
        for row in every
        if row["measure"] == "truth" and row["region"] == "all voxels"
    }
    kept = []
    for row in every:
        known = truth.get((row["condition"], row["seed"], row["method"], row["subject"]))
        if row["measure"] == "dice" and (known is None or known < LEAST_ML[row["subject"]]):
            continue
        kept.append(row)
        if row["measure"] == "volume" and row["region"] == "all voxels" and known == 0.0:
            kept.append({**row, "measure": "false_volume"})
    return kept


def summarized(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return medians, quartiles and extremes over patients.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of the study.

    Returns
    -------
    list of dict
        With the keys `COLUMNS`; analyses that failed are counted under the subject ``failed``.
    """
    groups: dict[_Key, list[float]] = {}
    units: dict[_Key, str] = {}
    for row in judged_rows(rows):
        key = (row["condition"], row["method"], row["subject"], row["region"], row["measure"])
        groups.setdefault(key, []).append(row["value"])
        units[key] = row["unit"]
    result = []
    for key, values in groups.items():
        low, first, median, third, high = np.percentile(values, [0, 25, 50, 75, 100])
        numbers = (len(values), float(median), float(first), float(third), float(low), float(high), units[key])
        result.append(dict(zip(COLUMNS, (*key, *numbers), strict=True)))
    return result


class Medians:
    """Medians by condition, method and measure.

    Parameters
    ----------
    summary : iterable of mapping
        From `summarized`.
    """

    def __init__(self, summary: Iterable[Mapping[str, Any]]) -> None:
        self._found = {(r["condition"], r["method"], r["subject"], r["region"], r["measure"]): r for r in summary}

    def entry(self, condition: str, method: str, subject: str, region: str, measure: str) -> Mapping[str, Any] | None:
        """Return a row of the summary.

        Parameters
        ----------
        condition, method, subject, region, measure : str
            Which.

        Returns
        -------
        mapping or None
            None when nothing was measured.
        """
        return self._found.get((condition, method, subject, region, measure))

    def value(self, condition: str, method: str, subject: str, region: str, measure: str) -> float:
        """Return a median.

        Parameters
        ----------
        condition, method, subject, region, measure : str
            Which.

        Returns
        -------
        float
            NaN when nothing was measured.
        """
        entry = self.entry(condition, method, subject, region, measure)
        return float("nan") if entry is None else float(entry["median"])


def failures(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List the analyses that ended with an error.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of the study.

    Returns
    -------
    list of dict
        ``condition seed method error``.
    """
    return [
        {"condition": row["condition"], "seed": row["seed"], "method": row["method"], "error": row["measure"]}
        for row in rows
        if row["subject"] == FAILED
    ]


def chosen(
    rows: Iterable[Mapping[str, Any]], conditions: Sequence[Condition], seeds: Sequence[int], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """Keep the rows of a design.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of the study's table, which may hold those of other designs, too.
    conditions, seeds, methods : sequence
        The design.

    Returns
    -------
    list of dict
        Its rows.
    """
    names, patients, ways = {condition.name for condition in conditions}, set(seeds), set(methods)
    return [dict(row) for row in rows if row["condition"] in names and row["seed"] in patients and row["method"] in ways]
