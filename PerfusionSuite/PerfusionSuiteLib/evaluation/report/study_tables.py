# SPDX-License-Identifier: Apache-2.0
"""The tables of a study for a reader, the same for Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...core.quantities import QUANTITIES
from ..conditions import Condition
from ..regions import DELAY_EDGES_S, TISSUES
from ..summary import Medians

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Parameters
    ----------
    title : str
        Heading.
    note : str
        What the numbers are.
    head : sequence of str
        Column titles.
    rows : sequence of sequence of str
        Cells; the first of each row names it.
    """

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


_OVERVIEW: tuple[tuple[str, str, str, str, str], ...] = (
    ("Tmax Dice", "hypoperfusion", "scored voxels", "dice", ".2f"),
    ("all voxels", "hypoperfusion", "all voxels", "dice", ".2f"),
    ("core Dice", "core", "scored voxels", "dice", ".2f"),
    ("all voxels", "core", "all voxels", "dice", ".2f"),
    ("hypoperfusion error, mL", "hypoperfusion", "all voxels", "error", "+.1f"),
    ("core error, mL", "core", "all voxels", "error", "+.1f"),
    ("Tmax offset near 6 s, s", "tmax", "true Tmax near 6 s", "offset", "+.2f"),
    ("CBF error, normal tissue, %", "cbf", "normal tissue", "median_error_percent", "+.0f"),
    ("r of CBF", "cbf", "tissue", "correlation", ".2f"),
    ("r of Tmax", "tmax", "tissue", "correlation", ".2f"),
    ("maps made in, s", "time", "", "seconds", ".2f"),
)

BY_CONDITION: tuple[tuple[str, str, str, str, str], ...] = (
    ("Tmax > 6 s: Dice, lesions of at least 10 mL, scored voxels", "hypoperfusion", "scored voxels", "dice", ".2f"),
    ("Core: Dice, cores of at least 5 mL, scored voxels", "core", "scored voxels", "dice", ".2f"),
    ("Hypoperfusion: volume error, mL, all voxels", "hypoperfusion", "all voxels", "error", "+.1f"),
    ("Core: volume error, mL, all voxels", "core", "all voxels", "error", "+.1f"),
    ("CBF in normal gray matter: median error, %", "cbf", "normal gray matter", "median_error_percent", "+.0f"),
    ("CBF in normal white matter: median error, %", "cbf", "normal white matter", "median_error_percent", "+.0f"),
    ("CBF in the core: bias, mL/100g/min", "cbf", "core", "bias", "+.1f"),
    ("CBF in tissue: correlation", "cbf", "tissue", "correlation", ".2f"),
    ("Tmax near 6 s: median offset, s", "tmax", "true Tmax near 6 s", "offset", "+.2f"),
    ("Tmax in tissue: RMSE, s", "tmax", "tissue", "rmse", ".2f"),
)
"""Title, subject, region, measure and format of the measures that are shown for every condition."""


def target_table(judged: Iterable[Mapping[str, Any]], base: Condition) -> Table:
    """Set what was measured beside the figures to reach.

    Parameters
    ----------
    judged : iterable of mapping
        From `judge`.
    base : Condition
        The reference.

    Returns
    -------
    Table
        With the verdict in the last column.
    """
    rows = [
        [
            str(row["what"]),
            str(row["method"]),
            str(row["goal"]),
            _value(row["value"], row["unit"]),
            f"{_text(row['median'])} ({_text(row['low'])} to {_text(row['high'])})" if row["patients"] else MISSING,
            str(row["patients"]),
            str(row["verdict"]),
        ]
        for row in judged
    ]
    head = ("What", "Method", "To reach", "Measured", "Median (range)", "Patients", "Verdict")
    note = f"Scored voxels have at most 20 % vessel, bone and fluid. {other_reference(base)}".rstrip()
    return Table("Figures to reach", note, head, rows)


def other_reference(base: Condition) -> str:
    """Say when a study has another reference than the one that the figures to reach are meant for.

    Parameters
    ----------
    base : Condition
        The reference of the study.

    Returns
    -------
    str
        A sentence, or nothing.
    """
    if base == Condition():
        return ""
    return f"The figures are meant for another reference; this study differs in: {base.name}."


def overview_table(medians: Medians, base: Condition, methods: Sequence[str]) -> Table:
    """Compare all methods under the reference condition.

    Parameters
    ----------
    medians : Medians
        The summary.
    base : Condition
        The reference.
    methods : sequence of str
        Rows.

    Returns
    -------
    Table
        One row per method.
    """
    rows = []
    for method in methods:
        cells = [_text(medians.value(base.name, method, s, r, m), form) for _, s, r, m, form in _OVERVIEW]
        false = medians.entry(base.name, method, "core", "all voxels", "false_volume")
        rows.append([method, *cells, MISSING if false is None else _text(false["high"], ".1f")])
    head = ("Method", *(title for title, *_ in _OVERVIEW), "largest false core, mL")
    note = "Medians over patients. Dice is taken over lesions of at least 10 mL and cores of at least 5 mL."
    return Table("All methods, reference condition", note, head, rows)


def tissue_table(medians: Medians, base: Condition, methods: Sequence[str]) -> Table:
    """Show bias and error of every map by tissue under the reference condition.

    Parameters
    ----------
    medians : Medians
        The summary.
    base : Condition
        The reference.
    methods : sequence of str
        Rows within a tissue.

    Returns
    -------
    Table
        One row per tissue and method.
    """
    keys = ("cbf", "cbv", "mtt", "tmax")
    rows = []
    for tissue in TISSUES:
        for method in methods:
            pairs = [[medians.value(base.name, method, key, tissue, measure) for measure in ("bias", "rmse")] for key in keys]
            if any(math.isfinite(bias) for bias, _ in pairs):
                rows.append([tissue, method, *(_pair(bias, rmse) for bias, rmse in pairs)])
    head = ("Tissue", "Method", *(f"{QUANTITIES[key].symbol}, {QUANTITIES[key].unit}" for key in keys))
    note = "Bias and, behind the slash, root-mean-square error of voxels; medians over patients."
    return Table("Error by tissue, reference condition", note, head, rows)


def delay_tables(medians: Medians, base: Condition, methods: Sequence[str]) -> list[Table]:
    """Show errors of Tmax and CBF by true arterial delay under the reference condition.

    Parameters
    ----------
    medians : Medians
        The summary.
    base : Condition
        The reference.
    methods : sequence of str
        Columns.

    Returns
    -------
    list of Table
        One for Tmax, one for CBF.
    """
    kinds = (
        ("Tmax by true delay, reference condition", "tmax", "median_error", "+.2f", "Median error, s"),
        ("CBF by true delay, reference condition", "cbf", "median_error_percent", "+.0f", "Median error, %"),
    )
    tables = []
    for title, subject, measure, form, note in kinds:
        rows = []
        for low, high in pairwise(DELAY_EDGES_S):
            values = [medians.value(base.name, m, subject, f"delay {low:g} to {high:g} s", measure) for m in methods]
            if any(math.isfinite(value) for value in values):
                rows.append([f"{low:g} to {high:g} s", *(_text(value, form) for value in values)])
        tables.append(Table(title, f"{note}; medians over patients.", ("True delay", *methods), rows))
    return tables


def condition_tables(medians: Medians, conditions: Sequence[Condition], methods: Sequence[str]) -> list[Table]:
    """Show the main measures for every condition.

    Parameters
    ----------
    medians : Medians
        The summary.
    conditions : sequence of Condition
        Rows, the reference first.
    methods : sequence of str
        Columns.

    Returns
    -------
    list of Table
        One per measure.
    """
    tables = []
    for title, subject, region, measure, form in BY_CONDITION:
        rows = []
        for condition in conditions:
            entries = [medians.entry(condition.name, method, subject, region, measure) for method in methods]
            count = max((int(entry["patients"]) for entry in entries if entry), default=0)
            texts = [MISSING if entry is None else _text(entry["median"], form) for entry in entries]
            rows.append([condition.name, str(count), *texts])
        tables.append(Table(title, "Medians over patients.", ("Condition", "Patients", *methods), rows))
    return tables


def failure_table(failed: Iterable[Mapping[str, Any]]) -> Table | None:
    """List analyses that ended with an error.

    Parameters
    ----------
    failed : iterable of mapping
        From `failures`.

    Returns
    -------
    Table or None
        None when all went through.
    """
    rows = [[str(row["condition"]), str(row["seed"]), str(row["method"]), str(row["error"])] for row in failed]
    note = "They are in no other table."
    return Table("Analyses that ended with an error", note, ("Condition", "Seed", "Method", "Error"), rows) if rows else None


def as_markdown(tables: Iterable[Table]) -> str:
    """Write tables as Markdown.

    Parameters
    ----------
    tables : iterable of Table
        The tables.

    Returns
    -------
    str
        Text with a heading for each.
    """
    parts = []
    for table in tables:
        lines = [f"## {table.title}", "", table.note, "", _line(table.head), _line(["---"] * len(table.head))]
        parts.append("\n".join([*lines, *(_line(row) for row in table.rows), ""]))
    return "\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _pair(bias: float, rmse: float) -> str:
    return f"{_text(bias, '+.1f')} / {_text(rmse, '.1f')}"


def _value(value: float, unit: str) -> str:
    return MISSING if math.isnan(value) else f"{_text(value)} {unit}".rstrip()


def _text(value: float, form: str = ".3g") -> str:
    return MISSING if math.isnan(value) else format(value, form)
