# SPDX-License-Identifier: Apache-2.0
"""Write what an evaluation of QTMnet found: ``rows.csv``, ``summary.md``, ``report.html`` and its pictures."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...asl.qtm_weights import QtmWeights
from ...core.files import write_text
from ...results.pictures.canvas import save
from ...results.template import has_templates, rendered
from ..qtmnet_study import COLUMNS, Row
from .qtmnet_pictures import draw_noise
from .qtmnet_tables import brain_table, coverage_table, cube_table, region_tables, scan_table
from .study_tables import as_markdown
from .writing import data_uri

TITLE = "QTMnet beside kinetic models"


def write_qtmnet_study(
    rows: Sequence[Row],
    weights: QtmWeights,
    facts: Sequence[tuple[str, str]],
    figures: Mapping[str, tuple[str, Any]],
    noise: Mapping[str, Mapping[str, float]],
    out: Path,
) -> list[Path]:
    """Write tables, pictures and the report.

    Parameters
    ----------
    rows : sequence of dict
        With the keys of `COLUMNS`.
    weights : QtmWeights
        The network.
    facts : sequence of (str, str)
        What was measured.
    figures : mapping of str to (str, Figure)
        File name and picture by title.
    noise : mapping of str to mapping
        Noise of conditions by part, for curves.
    out : Path
        Folder.

    Returns
    -------
    list of Path
        The files.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "value": f"{row['value']:.6g}"} for row in rows)
    files = [write_text(out / "rows.csv", text.getvalue())]
    found = [brain_table(rows), cube_table(rows), scan_table(rows), *region_tables(rows, "brain"), coverage_table(rows)]
    tables = [table for table in found if table is not None]
    told = [*facts, *_about(weights)]
    lines = [f"# {TITLE}", "", *(f"* {label}: {value}" for label, value in told), ""]
    files.append(write_text(out / "summary.md", "\n".join([*lines, as_markdown(tables)])))
    pictures: dict[str, Path] = {}
    if importlib.util.find_spec("matplotlib"):
        drawn = dict(figures)
        for part, levels in noise.items():
            if sum(any(r["part"] == part and r["condition"] == c for r in rows) for c in levels) > 1:
                words = "Simulated brains" if part == "brain" else "Cubes"
                drawn[f"{words}: error over noise"] = (
                    f"noise-{part}.png",
                    draw_noise(rows, part, levels, f"{words}: error over noise"),
                )
        pictures = {title: save(figure, out / name) for title, (name, figure) in drawn.items()}
        files += pictures.values()
    if has_templates():
        shown = [{"title": title, "uri": data_uri(path)} for title, path in pictures.items()]
        page = rendered("study.html.j2", heading=TITLE, facts=told, tables=tables, leading=2, pictures=shown)
        files.append(write_text(out / "report.html", page))
    return files


def _about(weights: QtmWeights) -> list[tuple[str, str]]:
    told = weights.provenance
    return [
        ("Network", f"base {weights.base}, protocol: {weights.protocol.words()}"),
        ("Trained on", str(told.get("trained", "unknown"))),
        ("Training", str(told.get("distance", "unknown"))),
    ]
