# SPDX-License-Identifier: Apache-2.0
"""The tables of a comparison of fits on phantoms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.quantities import QUANTITIES
from ..neural_estimate import MAPS
from ..neural_scan import PHANTOMS, FieldCondition
from ..neural_scores import ALL, CLIPPED, UNIFORM
from ..row_file import FAILED
from .study_tables import MISSING, Table

_Key = tuple[str, str, str, str, str]

_OVERVIEW: tuple[tuple[str, tuple[str, str, str], str], ...] = (
    ("CBF RMSE", ("cbf", ALL, "rmse"), ".2f"),
    ("bias", ("cbf", ALL, "me"), "+.2f"),
    ("SSIM", ("cbf", ALL, "ssim"), ".2f"),
    ("CBV RMSE", ("cbv", ALL, "rmse"), ".2f"),
    ("MTT RMSE", ("mtt", ALL, "rmse"), ".2f"),
    ("delay RMSE", ("delay", ALL, "rmse"), ".2f"),
    ("Tmax RMSE", ("tmax", ALL, "rmse"), ".2f"),
    ("Tmax Dice", ("hypoperfusion", ALL, "dice"), ".2f"),
    ("core Dice", ("core", ALL, "dice"), ".2f"),
    ("CBF cover, %", ("cbf", ALL, "coverage_68"), ".0f"),
    ("Tmax cover, %", ("tmax", ALL, "coverage_68"), ".0f"),
    ("s", ("time", "", "seconds"), ".1f"),
    ("MiB", ("memory", "", "peak"), ".0f"),
)


class Means:
    """Means over seeds by condition, method, subject, region and measure.

    Parameters
    ----------
    rows : iterable of mapping
        From `run_field_study`.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._values: dict[_Key, list[float]] = {}
        for row in rows:
            key = (row["condition"], row["method"], row["subject"], row["region"], row["measure"])
            self._values.setdefault(key, []).append(float(row["value"]))

    def measured(self, condition: str, methods: Sequence[str]) -> list[str]:
        """Return the methods that made maps under a condition."""
        found = {key[1] for key in self._values if key[0] == condition and key[2] != FAILED}
        return [method for method in methods if method in found]

    def value(self, condition: str, method: str, subject: str, region: str, measure: str) -> float:
        """Return a mean; NaN when nothing was measured."""
        found = self._values.get((condition, method, subject, region, measure))
        return float(np.mean(found)) if found else float("nan")

    def values(self, condition: str, method: str, subject: str, region: str, measure: str) -> list[float]:
        """Return the values of all seeds."""
        return self._values.get((condition, method, subject, region, measure), [])


def overview_table(means: Means, conditions: Sequence[FieldCondition], methods: Sequence[str]) -> Table:
    """Set all methods side by side.

    Parameters
    ----------
    means : Means
        What was measured.
    conditions : sequence of FieldCondition
        Groups of rows.
    methods : sequence of str
        Rows of each group.

    Returns
    -------
    Table
        Errors of each map, lesions, intervals, time and memory.
    """
    rows = []
    for condition in conditions:
        for method in means.measured(condition.name, methods):
            cells = [number(means.value(condition.name, method, *which), form) for _, which, form in _OVERVIEW]
            rows.append([f"{condition.name}: {method}", *cells])
    note = (
        "Root-mean-square errors and bias of all voxels that count, in the unit of the map; structural similarity in windows of "
        "7 x 7; Dice of Tmax above 6 s and of a flow below 30 % of normal within it; share of voxels whose 68 % interval holds "
        "the truth; seconds with noise reduction; largest growth of memory. Means over seeds."
    )
    return Table("Overview", note, ("Condition: method", *(title for title, *_ in _OVERVIEW)), rows)


def error_tables(means: Means, conditions: Sequence[FieldCondition], methods: Sequence[str]) -> list[Table]:
    """Give errors as published phantom studies do: of everything, and after limits and without borders of tiles.

    Parameters
    ----------
    means, conditions, methods
        As for `overview_table`.

    Returns
    -------
    list of Table
        One for each condition, a row for each map and method.
    """
    tables = []
    for condition in conditions:
        rims = any(means.values(condition.name, method, "cbf", UNIFORM, "rmse") for method in methods)
        head = ["Map, method", "MSE", "MAE", "ME", "RMSE", "RMSE / mean", "SSIM", "left out, %", "limited: MSE", "MAE", "ME"]
        rows = []
        for key in MAPS:
            for method in means.measured(condition.name, methods):
                cells = _errors(means, condition.name, method, key, rims=rims)
                if cells[0] != MISSING:
                    rows.append([f"{QUANTITIES[key].symbol}, {method}", *cells])
        kind = PHANTOMS[condition.phantom]
        note = (
            f"{kind[:1].upper()}{kind[1:]}. Mean squared, mean absolute and mean error in the unit of the map; means over seeds. "
            f"{_clip_words(condition)} Voxels that a method leaves out are in no error."
        )
        tables.append(Table(f"Errors: {condition.name}", note, [*head, "RMSE without rims"] if rims else head, rows))
    return tables


def _errors(means: Means, condition: str, method: str, key: str, *, rims: bool) -> list[str]:
    def at(measure: str, region: str = ALL) -> float:
        return means.value(condition, method, key, region, measure)

    cells = [number(at("mse")), number(at("mae")), number(at("me"), "+.3g"), number(at("rmse")), number(at("nrmse"), ".2f")]
    cells += [number(at("ssim"), ".2f"), number(at("missing_percent"), ".1f")]
    cells += [number(at("mse", CLIPPED)), number(at("mae", CLIPPED)), number(at("me", CLIPPED), "+.3g")]
    return [*cells, number(at("rmse", UNIFORM))] if rims else cells


def failed_table(rows: Iterable[Mapping[str, Any]]) -> Table | None:
    """List methods that ended with an error.

    Parameters
    ----------
    rows : iterable of mapping
        From `run_field_study`.

    Returns
    -------
    Table or None
        None when all went through.
    """
    found = [
        [str(row["condition"]), str(row["seed"]), str(row["method"]), f"{row['measure']}: {row['region']}"]
        for row in rows
        if row["subject"] == FAILED
    ]
    note = "They are in no other table."
    return Table("Methods that ended with an error", note, ("Condition", "Seed", "Method", "Error"), found) if found else None


def number(value: float, form: str = ".3g") -> str:
    """Write a number for a table.

    Parameters
    ----------
    value : float
        NaN becomes a dash.
    form : str
        Format.

    Returns
    -------
    str
        The text.
    """
    return MISSING if np.isnan(value) else format(value, form)


def _clip_words(condition: FieldCondition) -> str:
    borders = "without 2 pixels on either side of the borders of tiles, maps" if condition.phantom == "tiles" else "maps"
    return f"Limited: {borders} limited to CBF 0-150, CBV 0-10, MTT 0-30 s, delay 0-10 s, Tmax 0-20 s (de Vries 2023)."
