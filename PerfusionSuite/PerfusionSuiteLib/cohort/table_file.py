# SPDX-License-Identifier: Apache-2.0
"""Reads a table of cases: CSV in UTF-8, separated by commas, semicolons or tabs; every kind of empty cell is missing."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray

MISSING = frozenset({"", "na", "n/a", "nan", "null", ".", "-", "?"})
"""Words for a missing value, in small letters; ``None``, too, but not ``none``, which is a value of prolonged venous transit."""

_DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+$")
_BOOLEANS: Mapping[str, float] = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns.
    rows : tuple of dict
        A text or None for each column.
    decimal_comma : bool
        Whether ``0,7`` is a number (never where commas separate columns).
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str | None], ...]
    decimal_comma: bool = False

    def texts(self, name: str) -> list[str | None]:
        """Return a column as it stands in the file.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        list of str or None
            One entry per row; None where it is missing.

        Raises
        ------
        InvalidInputError
            If there is no such column.
        """
        if name not in self.columns:
            near = [other for other in self.columns if name.lower() in other.lower()][:3]
            shown = ", ".join(near or self.columns[:8]) + ("" if near or len(self.columns) <= 8 else ", ...")
            msg = f"The table has no column '{name}'. Choose one of its {len(self.columns)} columns, for example {shown}."
            raise InvalidInputError(msg)
        return [row[name] for row in self.rows]

    def numbers(self, name: str) -> FloatArray | None:
        """Return a column of numbers.

        Parameters
        ----------
        name : str
            The column; ``true`` and ``false`` count as 1 and 0.

        Returns
        -------
        ndarray, shape (rows,), or None
            NaN where a value is missing; None when a cell is neither missing nor a number.

        Raises
        ------
        InvalidInputError
            If there is no such column.
        """
        cells = [np.nan if text is None else self._number(text) for text in self.texts(name)]
        return None if any(cell is None for cell in cells) else np.array(cells, float)

    def _number(self, text: str) -> float | None:
        word = text.replace(",", ".") if self.decimal_comma and _DECIMAL_COMMA.match(text) else text
        try:
            value = float(word) if "_" not in word else None
        except ValueError:
            return _BOOLEANS.get(text.lower())
        return value if value is None or np.isfinite(value) else None


def read_table(path: Path) -> Table:
    """Read a table.

    Parameters
    ----------
    path : Path
        CSV, with semicolons or tabs as well; the first line names the columns.

    Returns
    -------
    Table
        Its cells without blanks around them.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, has no rows, or names a column twice.
    """
    if path.suffix.lower() in {".xlsx", ".xls", ".ods"}:
        msg = f"'{path.name}' is a spreadsheet. Save it as CSV (UTF-8) and give that file."
        raise InvalidInputError(msg)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        msg = f"The table '{path}' cannot be read ({reason}). Give a CSV file in UTF-8."
        raise InvalidInputError(msg) from error
    header = text.lstrip("\n").partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        msg = f"The table '{path.name}' has no rows. Give a CSV file with one line of names and one line per case."
        raise InvalidInputError(msg)
    names = tuple(cell.strip() for cell in lines[0])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"The table '{path.name}' names the column '{twice[0]}' twice. Rename one of them."
        raise InvalidInputError(msg)
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            msg = f"Row {number} of '{path.name}' has {len(line)} cells, but there are {len(names)} columns. Correct the row."
            raise InvalidInputError(msg)
    rows = tuple({name: _cell(cell) for name, cell in zip(names, line, strict=True)} for line in lines[1:])
    return Table(names, rows, decimal_comma=delimiter != ",")


def _cell(text: str) -> str | None:
    word = text.strip()
    return None if word.lower() in MISSING or word == "None" else word
