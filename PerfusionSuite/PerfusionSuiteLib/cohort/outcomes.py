# SPDX-License-Identifier: Apache-2.0
"""Puts a table of outcomes beside the gathered metrics, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInputError
from .aggregate import CASE_ID, LAYOUT, Aggregate
from .layouts import is_identifying_column
from .table_file import Table


@dataclass(frozen=True, slots=True)
class Merged:
    """Metrics and outcomes.

    Parameters
    ----------
    rows : tuple of dict
        All cases with metrics; outcomes are missing where the table has none.
    columns : tuple of str
        ``case_id``, ``layout``, outcomes, metrics.
    without_outcome, without_metrics : tuple of str
        Cases that only one side has.
    withheld, renamed : tuple of str
        Columns of the outcome table that could name a patient, and those whose name was taken (``NAME_outcome`` now).
    """

    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...]
    without_outcome: tuple[str, ...]
    without_metrics: tuple[str, ...]
    withheld: tuple[str, ...]
    renamed: tuple[str, ...]


def merge_outcomes(
    metrics: Aggregate, outcomes: Table, *, id_column: str = CASE_ID, key: Mapping[str, str] | None = None
) -> Merged:
    """Merge a table of outcomes by case.

    Parameters
    ----------
    metrics : Aggregate
        The gathered metrics.
    outcomes : Table
        One row per case.
    id_column : str
        Its column with the names of the cases, spelled as their folders.
    key : mapping of str to str, optional
        Numbers by name of the scan (`naming.read_key`): names that it holds may stand in that column instead of the numbers.

    Returns
    -------
    Merged
        The united table.

    Raises
    ------
    InvalidInputError
        If there is no such column, a case stands there twice or has no name, or no case is common.
    """
    ids = [case if case is None else (key or {}).get(case, case) for case in outcomes.texts(id_column)]
    if None in ids:
        msg = f"Row {ids.index(None) + 2} of the outcome table has no '{id_column}'. Give every case its name."
        raise InvalidInputError(msg)
    twice = sorted({str(case) for case in ids if ids.count(case) > 1})
    if twice:
        msg = f"The outcome table has {len(twice)} cases more than once, such as '{twice[0]}'. Keep one row per case."
        raise InvalidInputError(msg)
    known = dict(zip(map(str, ids), _with_points(outcomes), strict=True))
    cases = [str(row[CASE_ID]) for row in metrics.rows]
    if not set(cases) & set(known):
        msg = (
            f"No case of the outcome table is among the results: '{next(iter(known))}' there, '{cases[0]}' here. "
            "Name cases in both places alike, or choose another --id-column."
        )
        raise InvalidInputError(msg)
    given = [name for name in outcomes.columns if name != id_column]
    withheld = [name for name in given if is_identifying_column(name)]
    renamed = {name: f"{name}_outcome" for name in given if name in metrics.columns and name not in withheld}
    names = {name: renamed.get(name, name) for name in given if name not in withheld}
    rows = []
    for row in metrics.rows:
        case = known.get(str(row[CASE_ID]), {})
        rows.append(row | {new: case.get(old) for old, new in names.items()})
    first = (CASE_ID, LAYOUT)
    return Merged(
        tuple(rows),
        (*first, *names.values(), *(name for name in metrics.columns if name not in first)),
        tuple(case for case in cases if case not in known),
        tuple(case for case in known if case not in cases),
        tuple(withheld),
        tuple(renamed),
    )


def _with_points(table: Table) -> list[dict[str, Any]]:
    """Return the rows with decimal points, as our own tables have them."""
    rows: list[dict[str, Any]] = [dict(row) for row in table.rows]
    for name in table.columns if table.decimal_comma else ():
        numbers = table.numbers(name)
        for row, value in zip(rows, numbers if numbers is not None else (), strict=False):
            if row[name] is not None and "," in str(row[name]):
                row[name] = float(value)
    return rows
