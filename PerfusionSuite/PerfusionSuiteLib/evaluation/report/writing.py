# SPDX-License-Identifier: Apache-2.0
"""Write what a study found: ``summary.csv``, ``summary.md``, ``report.html`` and the pictures."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.files import write_text
from ...results.pictures.canvas import save
from ...results.tables import write_rows
from ...results.template import has_templates, rendered
from ..keepsakes import read_example, read_histograms
from ..study import Design
from ..summary import COLUMNS, Medians, chosen, failures, summarized
from ..targets import NUMBERS_METHOD, judge
from .condition_pictures import LESION_MEASURES, MAP_MEASURES, draw_conditions, draw_delays
from .map_pictures import draw_example, draw_histograms
from .study_tables import (
    Table,
    as_markdown,
    condition_tables,
    delay_tables,
    failure_table,
    other_reference,
    overview_table,
    target_table,
    tissue_table,
)

CAPTIONS: Mapping[str, str] = {
    "example_patient": "One patient: truth, and the maps and lesions of each method.",
    "truth_and_estimate": "How each true value was estimated (a column of pixels sums to 1); dashed: no error, solid: median.",
    "errors_by_condition": "Errors of maps under each condition; medians over patients, bars are quartiles.",
    "lesions_by_condition": "Lesions under each condition; medians over patients, bars are quartiles.",
    "errors_by_delay": "Errors of Tmax and CBF by the true arterial delay.",
}
"""Stems of the pictures in the order of the report."""


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """What was written.

    Parameters
    ----------
    files : tuple of Path
        All files.
    text : str
        The figures to reach and what was measured, as lines.
    """

    files: tuple[Path, ...]
    text: str


def write_study(
    rows: Iterable[Mapping[str, Any]],
    design: Design,
    out: Path,
    *,
    default_method: str,
    numbers_method: str | None = None,
) -> StudyFiles:
    """Write tables, pictures and the report of a study.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of ``rows.csv``; those of other designs are left out.
    design : Design
        What was studied.
    out : Path
        Folder of the study.
    default_method : str
        The method of the chain.
    numbers_method : str, optional
        The method recommended for absolute flow.

    Returns
    -------
    StudyFiles
        The files; without pictures when matplotlib is not installed, without HTML when jinja2 is not.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    found = chosen(rows, design.conditions, design.seeds, design.methods)
    summary = summarized(found)
    every = judge(found, design.base, default_method=default_method, numbers_method=numbers_method or NUMBERS_METHOD)
    judged = [row for row in every if row["method"] in design.methods]  # nobody asked for the others
    tables = _tables(Medians(summary), found, judged, design)
    facts = _facts(found, design, default_method)
    files = [write_rows(out / "summary.csv", summary, COLUMNS)]
    text = "\n".join(["# Accuracy of maps on digital patients", "", *(f"* {label}: {value}" for label, value in facts), ""])
    files.append(write_text(out / "summary.md", f"{text}\n{as_markdown(tables)}"))
    pictures = _write_pictures(Medians(summary), design, out) if importlib.util.find_spec("matplotlib") else {}
    files += pictures.values()
    if has_templates():
        shown = [{"title": CAPTIONS[name], "uri": data_uri(path)} for name, path in pictures.items()]
        page = rendered("study.html.j2", facts=facts, tables=tables, pictures=shown)
        files.append(write_text(out / "report.html", page))
    lines = f"{_lines(judged)}\n{other_reference(design.base)}" if judged else _no_figures(every)
    return StudyFiles(tuple(files), lines.rstrip())


def _tables(medians: Medians, rows: list[dict[str, Any]], judged: list[dict[str, Any]], design: Design) -> list[Table]:
    base, methods = design.base, design.methods
    tables = [target_table(judged, base)] if judged else []
    tables += [overview_table(medians, base, methods), tissue_table(medians, base, methods)]
    tables += delay_tables(medians, base, methods)
    tables += condition_tables(medians, design.conditions, methods)
    failed = failure_table(failures(rows))
    return tables if failed is None else [*tables, failed]


def _facts(rows: Sequence[Mapping[str, Any]], design: Design, default_method: str) -> list[tuple[str, str]]:
    base = design.base
    drawn = {row["seed"]: f"{row['drawn_site']}, {row['drawn_residue']}" for row in rows if row["condition"] == base.name}
    patients = "; ".join(f"{seed} ({drawn[seed]})" if seed in drawn else str(seed) for seed in design.seeds)
    kind = "development patients" if max(design.seeds) < 1000 else "patients that nothing was chosen on"
    return [
        ("Reference", f"recipe {base.recipe}, noise {base.noise_hu:g} HU, frames every {base.interval_s:g} s, grid {base.grid}"),
        (f"Patients by seed, {kind}", patients),
        ("Methods", f"{', '.join(design.methods)}; default method: {default_method}"),
        ("Code", ", ".join(sorted({str(row["code"]) for row in rows})) or "none"),
    ]


def _write_pictures(medians: Medians, design: Design, out: Path) -> dict[str, Path]:
    methods, conditions = design.methods, design.conditions
    drawn: dict[str, Any] = {}
    example = read_example(out, design.seeds, methods)
    if example is not None:
        drawn["example_patient"] = draw_example(example)
    histograms = {method: read_histograms(out, design.seeds, method) for method in methods}
    if kept := {method: counts for method, counts in histograms.items() if counts}:
        drawn["truth_and_estimate"] = draw_histograms(kept)
    drawn["errors_by_condition"] = draw_conditions(medians, conditions, methods, MAP_MEASURES, "Errors of maps by condition")
    drawn["lesions_by_condition"] = draw_conditions(medians, conditions, methods, LESION_MEASURES, "Lesions by condition")
    drawn["errors_by_delay"] = draw_delays(medians, design.base, methods)
    return {name: save(figure, out / f"{name}.png") for name, figure in drawn.items()}


def data_uri(path: Path) -> str:
    """Put a picture into a page.

    Parameters
    ----------
    path : Path
        A PNG file.

    Returns
    -------
    str
        For the ``src`` of an image.
    """
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _no_figures(judged: Iterable[Mapping[str, Any]]) -> str:
    meant = " and ".join(dict.fromkeys(str(row["method"]) for row in judged))
    return f"The figures to reach are those of {meant}, which --methods left out."


def _lines(judged: Iterable[Mapping[str, Any]]) -> str:
    lines = []
    for row in judged:
        if row["verdict"] == "not measured":
            lines.append(f"{row['what']}: not measured; to reach: {row['goal']}")
            continue
        value = f"{row['value']:.3g} {row['unit']}".rstrip()
        patients = f"{row['patients']} patient{'s' if row['patients'] != 1 else ''}"
        lines.append(f"{row['what']} ({row['method']}, {patients}): {value}; to reach: {row['goal']}: {row['verdict']}")
    return "\n".join(lines)
