# SPDX-License-Identifier: Apache-2.0
"""What cases are called in results: after their folders, or by numbers where a folder is called after its patient.

Numbers need a key that says which scan is which; it is a file of its own, beside the results and not among them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import InvalidInputError
from ..results.tables import write_rows
from ..series.case_name import is_called_after_patient
from .cases import Case

HOW = ("auto", "folder", "numbered")
"""``auto`` numbers the cases whose folder or file holds a name or number of the patient, as its headers tell."""

CASE, SCAN = "case_id", "scan"
_PREFIX, _DIGITS = "case-", 3


def key_file_of(out: Path) -> Path:
    """Return where the key of a folder of results lies when nothing else is said: beside it.

    Parameters
    ----------
    out : Path
        Folder of results.

    Returns
    -------
    Path
        ``OUT-key.csv``.
    """
    place = out.resolve()
    return place.parent / f"{place.name}-key.csv"


def read_key(path: Path) -> dict[str, str]:
    """Read which scan got which number.

    Parameters
    ----------
    path : Path
        A table with the columns ``case_id`` and ``scan``.

    Returns
    -------
    dict of str to str
        Case by name of the scan.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or a scan or a case stands there twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"The key '{path.name}' cannot be read. Give the file that 'cohort' wrote beside the results (OUT-key.csv)."
        raise InvalidInputError(msg) from error
    pairs = [(row.get(SCAN) or "", row.get(CASE) or "") for row in rows]
    key = dict(pairs)
    if not all(scan and case for scan, case in pairs) or len(key) < len(pairs) or len(set(key.values())) < len(pairs):
        msg = f"The key '{path.name}' must name every scan and every case once, in columns '{CASE}' and '{SCAN}'. Correct it."
        raise InvalidInputError(msg)
    return key


def name_cases(cases: Sequence[Case], key: Mapping[str, str], *, how: str = "auto") -> tuple[Case, ...]:
    """Give numbers to cases that need them.

    Parameters
    ----------
    cases : sequence of Case
        As they were found.
    key : mapping of str to str
        Numbers that were given before; they stay, so that a stopped cohort goes on.
    how : {"auto", "folder", "numbered"}
        Which cases get a number; see `HOW`. ``folder`` numbers none.

    Returns
    -------
    tuple of Case
        In the same order; a numbered one remembers its own name in ``scan``.
    """
    if how == "folder":
        return tuple(cases)
    numbered = [case for case in cases if how == "numbered" or case.name in key or is_called_after_patient(case.path)]
    plain = {case.name for case in cases} - {case.name for case in numbered}
    taken, numbers = plain | set(key.values()), dict(key)
    for case in numbered:
        if case.name not in numbers:
            numbers[case.name] = _next_free(taken)
            taken.add(numbers[case.name])
    chosen = {case.name for case in numbered}
    return tuple(replace(case, name=numbers[case.name], scan=case.name) if case.name in chosen else case for case in cases)


def write_key(path: Path, cases: Sequence[Case], key: Mapping[str, str]) -> None:
    """Write the key, if there is anything new in it.

    Parameters
    ----------
    path : Path
        The file.
    cases : sequence of Case
        Of this cohort.
    key : mapping of str to str
        What the file holds already; scans that are gone keep their numbers.
    """
    found = {**key, **{case.scan: case.name for case in cases if case.scan}}
    if found != dict(key):
        rows = [{CASE: case, SCAN: scan} for scan, case in sorted(found.items(), key=lambda pair: pair[1])]
        write_rows(path, rows, (CASE, SCAN))


def _next_free(taken: set[str]) -> str:
    number = 1
    while f"{_PREFIX}{number:0{_DIGITS}d}" in taken:
        number += 1
    return f"{_PREFIX}{number:0{_DIGITS}d}"
