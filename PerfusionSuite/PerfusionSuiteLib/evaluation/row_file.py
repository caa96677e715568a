# SPDX-License-Identifier: Apache-2.0
"""The growing table of a study: rows are added as they are made, and a stop never leaves half a row."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInputError
from ..core.files import plain, written_beside
from .conditions import FACTORS

COLUMNS = (
    "condition", *FACTORS, "seed", "drawn_site", "drawn_residue", "method", "subject", "region", "measure", "value", "unit",
    "code",
)  # fmt: skip
FAILED = "failed"
"""Subject of the row of an analysis that ended with an error."""

_NO_NUMBERS = {"asl", "cli", "cohort", "data", "hemopic", "jobs", "report", "results", "training"}


@cache
def code_fingerprint() -> str:
    """Return a name of the code that numbers depend on, so that figures of two versions are never mixed unseen.

    Returns
    -------
    str
        Ten hexadecimal digits of the SHA-256 of the package's source files, without those that only show or write, or that
        serve other modalities.
    """
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if not _NO_NUMBERS.intersection(name.parts):
            digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:10]


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    """Add rows to the table: a copy grows beside it and takes its place.

    Parameters
    ----------
    path : Path
        The CSV file; made with its header when missing.
    rows : iterable of mapping
        With the keys `columns`; a missing one becomes an empty cell.
    columns : sequence of str
        Header of the table.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    with written_beside(path) as temporary:
        exists = path.is_file()
        if exists:
            shutil.copyfile(path, temporary)
        with temporary.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            if not exists:
                writer.writerow(columns)
            for row in rows:
                writer.writerow([_cell(plain(row.get(name))) for name in columns])


def read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    """Read the table.

    Parameters
    ----------
    path : Path
        The CSV file.
    columns : sequence of str
        Header that it must have.

    Returns
    -------
    list of dict
        Rows with numbers where columns are numbers; nothing when there is no file.

    Raises
    ------
    InvalidInputError
        If the file is not such a table.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != tuple(columns):
                msg = f"'{path}' is not a table of this study, or of another version. Choose another folder."
                raise InvalidInputError(msg)
            return [_typed(row) for row in reader]
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        msg = f"The table '{path}' cannot be read ({error}). Choose another folder."
        raise InvalidInputError(msg) from error


def refuse_other_code(rows: Sequence[Mapping[str, Any]], out: Path, *, any_code: bool) -> None:
    """Refuse to mix rows of this version of the code with those of another one.

    Parameters
    ----------
    rows : sequence of mapping
        Rows that are there already, with the key ``code``.
    out : Path
        Their folder, for the error.
    any_code : bool
        Go on with them.

    Raises
    ------
    InvalidInputError
        If there are rows of another version.
    """
    code = code_fingerprint()
    others = sorted({row["code"] for row in rows} - {code})
    if others and not any_code:
        msg = (
            f"'{out}' holds results of another version of the code ({', '.join(others)}; this one is {code}). "
            "Choose another folder, or add --any-code to go on with them."
        )
        raise InvalidInputError(msg)


_NUMBERS = {"noise_hu": float, "interval_s": float, "frames": int, "seed": int, "value": float, "gaussian_px": float}


def _typed(row: dict[str, str]) -> dict[str, Any]:
    return {key: _NUMBERS[key](text) if key in _NUMBERS else text for key, text in row.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value
