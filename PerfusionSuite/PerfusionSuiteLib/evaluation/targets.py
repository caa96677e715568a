# SPDX-License-Identifier: Apache-2.0
"""The figures that the chain is to reach on digital patients, and whether a study reached them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .conditions import Condition
from .summary import judged_rows

NUMBERS_METHOD = "bayes"
"""The method whose flow is taken for absolute; the command can name another."""

_Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach.

    Parameters
    ----------
    what : str
        In words.
    goal : str
        The figure in words.
    method : {"default", "numbers"}
        Whose maps: of the default method or of the one recommended for numbers.
    family : str
        Residue family of the patients; empty for all.
    subject, region, measure : str
        Which rows.
    statistic : {"median", "low", "high", "median size"}
        Over patients; the last one is the absolute value of the median.
    limit : float
        The figure.
    at_least : bool
        Whether it is to be reached from above.
    unit : str
        Of the figure.
    """

    what: str
    goal: str
    method: str
    family: str
    subject: str
    region: str
    measure: str
    statistic: str
    limit: float
    at_least: bool
    unit: str = ""


TARGETS: tuple[Target, ...] = (
    *(
        Target(f"Tmax > 6 s Dice, lesions of at least 10 mL, {family}", f"median >= {limit:.2f}", "default", family,
               "hypoperfusion", "scored voxels", "dice", "median", limit, True)
        for family, limit in (("box", 0.95), ("exponential", 0.90), ("mixed", 0.90))
    ),
    *(
        Target(f"core Dice, cores of at least 5 mL, {family}", f"median >= {limit:.2f}", "default", family,
               "core", "scored voxels", "dice", "median", limit, True)
        for family, limit in (("box", 0.85), ("exponential", 0.70))
    ),
    Target("false core in patients without core", "every patient <= 1 mL", "default", "",
           "core", "all voxels", "false_volume", "high", 1.0, False, "mL"),
    Target("CBF bias in normal tissue, method for numbers, box", "size of the median <= 10 %", "numbers", "box",
           "cbf", "normal tissue", "median_error_percent", "median size", 10.0, False, "%"),
    Target("arterial fraction of each AIF voxel", "every patient >= 0.2", "default", "",
           "aif", "", "least_artery", "low", 0.2, True),
    Target("venous fraction of AIF voxels", "none (every patient <= 0.02)", "default", "",
           "aif", "", "most_vein", "high", 0.02, False),
    Target("AIF against the true curve after scaling", "median <= 5 %", "default", "",
           "aif", "", "curve_error_percent", "median", 5.0, False, "%"),
)  # fmt: skip
"""Those of issue 3 that maps can show; motion, times and memory are measured by ``make benchmark``."""

_STATISTICS: Mapping[str, Callable[[Any], float]] = {
    "median": lambda values: float(np.median(values)),
    "median size": lambda values: abs(float(np.median(values))),
    "low": lambda values: float(np.min(values)),
    "high": lambda values: float(np.max(values)),
}


def judge(
    rows: Iterable[Mapping[str, Any]],
    base: Condition,
    *,
    default_method: str,
    numbers_method: str = NUMBERS_METHOD,
    targets: Sequence[Target] = TARGETS,
) -> list[dict[str, Any]]:
    """Set what was measured beside the figures to reach.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of the study.
    base : Condition
        The reference.
    default_method, numbers_method : str
        The method of the chain, and the one recommended for absolute flow.
    targets : sequence of Target
        The figures.

    Returns
    -------
    list of dict
        ``what method goal value range unit patients verdict``; the verdict is ``reached``, ``missed`` or ``not measured``.
    """
    judged = judged_rows(rows)
    result = []
    for target in targets:
        method = default_method if target.method == "default" else numbers_method
        values = [row["value"] for row in _rows_for(target, judged, base) if _fits(row, target, method)]
        value = _STATISTICS[target.statistic](values) if values else math.nan
        result.append(
            {
                "what": target.what,
                "method": method,
                "goal": target.goal,
                "value": value,
                "median": float(np.median(values)) if values else math.nan,
                "low": min(values, default=math.nan),
                "high": max(values, default=math.nan),
                "unit": target.unit,
                "patients": len(values),
                "verdict": _verdict(value, target),
            }
        )
    return result


def _fits(row: Mapping[str, Any], target: Target, method: str) -> bool:
    return (row["method"], row["subject"], row["region"], row["measure"]) == (
        method, target.subject, target.region, target.measure,
    )  # fmt: skip


def _rows_for(target: Target, rows: _Rows, base: Condition) -> _Rows:
    """Rows of the reference; of a family those of patients made with it, else of those that drew it.

    What is found where nothing is counts patients whose site was given, too: few draw none.
    """
    forced = replace(base, residue=target.family).name
    if target.family and any(row["condition"] == forced for row in rows):
        return [row for row in rows if row["condition"] == forced]
    names = {base.name}
    if target.measure == "false_volume":
        names |= {replace(base, site=row["site"]).name for row in rows}
    return [row for row in rows if row["condition"] in names and target.family in ("", row["drawn_residue"])]


def _verdict(value: float, target: Target) -> str:
    if math.isnan(value):
        return "not measured"
    return "reached" if (value >= target.limit if target.at_least else value <= target.limit) else "missed"
