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


def error_tables(means: Means, conditions: Sequence[FieldCondition], methods: Sequence[str]) -> list[Table]:
    """Give errors as published phantom studies do: of everything, and after limits and without borders of tiles.

    Parameters
    ----------
    means : Means
        What was measured.
    conditions : sequence of FieldCondition
        A table of each kind for each.
    methods : sequence of str
        Rows.

    Returns
    -------
    list of Table
        Mean squared, mean absolute and mean error of each map.
    """
    head = ("Method", *(f"{QUANTITIES[key].symbol}, {QUANTITIES[key].unit}" for key in MAPS), "left out, %")
    tables = []
    for condition in conditions:
        for region in (ALL, CLIPPED, UNIFORM):
            rows = []
            for method in means.measured(condition.name, methods):
                cells = [_errors(means, condition, method, key, region) for key in MAPS]
                left_out = means.value(condition.name, method, "cbf", region, "missing_percent")
                rows.append([method, *cells, number(left_out, ".1f")])
            if all(cell == MISSING for row in rows for cell in row[1:]):
                continue  # the phantom has no such region
            words = {ALL: "Every voxel that counts.", CLIPPED: _clip_words(condition), UNIFORM: "Voxels of one state each."}
            note = (
                f"Mean squared error / mean absolute error / mean error; means over seeds. {words[region]} "
                "Voxels that a method leaves out are in no error."
            )
            tables.append(Table(f"Errors, {condition.name}: {region}", note, head, rows))
    return tables


def quality_tables(means: Means, conditions: Sequence[FieldCondition], methods: Sequence[str]) -> list[Table]:
    """Give what else is known about each method: relative errors, structure, lesions, intervals, time and memory.

    Parameters
    ----------
    means, conditions, methods
        As for `error_tables`.

    Returns
    -------
    list of Table
        One for each condition.
    """
    maps = [f"{QUANTITIES[key].symbol} RMSE / mean, bias, SSIM" for key in MAPS]
    head = ("Method", *maps, "Dice Tmax > 6 s", "Dice core", "68 % cover CBF", "cover Tmax", "s", "MiB")
    tables = []
    for condition in conditions:
        rows = []
        for method in means.measured(condition.name, methods):

            def at(subject: str, measure: str, region: str = ALL, name: str = condition.name, how: str = method) -> float:
                return means.value(name, how, subject, region, measure)

            cells = [
                f"{number(at(key, 'rmse'))} / {number(at(key, 'nrmse'), '.2f')}, {number(at(key, 'me'), '+.2f')}, "
                f"{number(at(key, 'ssim'), '.2f')}"
                for key in MAPS
            ]
            cells += [number(at(name, "dice"), ".2f") for name in ("hypoperfusion", "core")]
            cells += [number(at(key, "coverage_68"), ".0f") for key in ("cbf", "tmax")]
            cells += [number(at("time", "seconds", ""), ".1f"), number(at("memory", "peak", ""), ".0f")]
            rows.append([method, *cells])
        note = (
            f"{PHANTOMS[condition.phantom][:1].upper()}{PHANTOMS[condition.phantom][1:]}. RMSE and bias in the unit of the map, "
            "RMSE over the mean of the truth; structural similarity in windows of 7 x 7; share of voxels whose 68 % interval "
            "holds the truth; seconds with noise reduction; largest growth of memory."
        )
        tables.append(Table(f"Quality, {condition.name}", note, head, rows))
    return tables


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


def _errors(means: Means, condition: FieldCondition, method: str, key: str, region: str) -> str:
    values = [means.value(condition.name, method, key, region, measure) for measure in ("mse", "mae", "me")]
    if np.isnan(values[0]):
        return MISSING
    return f"{number(values[0])} / {number(values[1])} / {number(values[2], '+.3g')}"


def _clip_words(condition: FieldCondition) -> str:
    borders = "Without 2 pixels on either side of the borders of tiles, maps" if condition.phantom == "tiles" else "Maps"
    return f"{borders} limited to CBF 0-150, CBV 0-10, MTT 0-30 s, delay 0-10 s, Tmax 0-20 s (de Vries 2023)."
