# SPDX-License-Identifier: Apache-2.0
"""Results of a digital patient beside the truth, as a table to read and one to compute with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.files import plain, write_text
from .tables import write_rows
from .template import has_templates, rendered, shown

COLUMNS = ("group", "quantity", "result", "truth", "error", "unit", "note")


def write_truth_comparison(scores: Iterable[Mapping[str, Any]], out: Path) -> list[Path]:
    """Write ``truth.csv`` and ``truth.html``, a self-contained page.

    Parameters
    ----------
    scores : iterable of mapping
        Rows with ``group``, ``quantity``, ``result``, ``truth``, ``error``, ``unit`` and ``note``, as
        ``evaluation.score_study`` returns them; missing entries are empty.
    out : Path
        Folder of the results.

    Returns
    -------
    list of Path
        The files; only the CSV when jinja2 is not installed.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    rows = [plain({column: row.get(column) for column in COLUMNS}) for row in scores]
    files = [write_rows(Path(out) / "truth.csv", rows, COLUMNS)]
    if has_templates():
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            text = {column: shown(row[column]) for column in ("result", "truth", "error")}
            groups.setdefault(str(row["group"] or "Results"), []).append({**row, **text})
        files.append(write_text(Path(out) / "truth.html", rendered("truth.html.j2", groups=groups)))
    return files
