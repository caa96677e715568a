# SPDX-License-Identifier: Apache-2.0
"""Write what a comparison of fits found: ``summary.md``, ``report.html`` and the pictures, beside ``rows.csv``."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.files import write_text
from ...results.pictures.canvas import save
from ...results.template import has_templates, rendered
from ..neural_scan import FieldCondition
from ..neural_study import TRUTH, FieldDesign, read_slice
from .neural_pictures import draw_coverage, draw_noise, draw_slices
from .neural_tables import Means, error_tables, failed_table, overview_table
from .study_tables import Table, as_markdown
from .writing import data_uri

TITLE = "Fits on phantoms with known truth"


def write_field_study(rows: Iterable[Mapping[str, Any]], design: FieldDesign, out: Path) -> list[Path]:
    """Write tables, pictures and the report.

    Parameters
    ----------
    rows : iterable of mapping
        From `run_field_study`.
    design : FieldDesign
        What was compared.
    out : Path
        Folder of the comparison.

    Returns
    -------
    list of Path
        The files; without pictures when matplotlib is not installed, without HTML when jinja2 is not.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    found = list(rows)
    means, methods = Means(found), [how.name for how in design.estimators]
    tables: list[Table] = [
        overview_table(means, design.conditions, methods),
        *error_tables(means, design.conditions, methods),
    ]
    failed = failed_table(found)
    tables = tables if failed is None else [tables[0], failed, *tables[1:]]
    facts = _facts(found, design)
    lines = [f"# {TITLE}", "", *(f"* {label}: {value}" for label, value in facts), ""]
    files = [write_text(out / "summary.md", "\n".join([*lines, as_markdown(tables)]))]
    pictures = _pictures(means, design, methods, out) if importlib.util.find_spec("matplotlib") else {}
    files += pictures.values()
    if has_templates():
        shown = [{"title": title, "uri": data_uri(path)} for title, path in pictures.items()]
        page = rendered(
            "study.html.j2", heading=TITLE, facts=facts, tables=tables, leading=1 if failed is None else 2, pictures=shown
        )
        files.append(write_text(out / "report.html", page))
    return files


def _facts(rows: Sequence[Mapping[str, Any]], design: FieldDesign) -> list[tuple[str, str]]:
    kind = "development seeds" if max(design.seeds) < 1000 else "seeds that nothing was chosen on"
    return [
        ("Conditions", "; ".join(condition.name for condition in design.conditions)),
        (f"Seeds, {kind}", ", ".join(map(str, design.seeds))),
        ("Methods", ", ".join(how.name for how in design.estimators)),
        ("Device", design.device),
        ("Code", ", ".join(sorted({str(row["code"]) for row in rows})) or "none"),
    ]


def _pictures(means: Means, design: FieldDesign, methods: Sequence[str], out: Path) -> dict[str, Path]:
    """Draw everything; by title."""
    drawn: dict[str, Path] = {}
    for group in grouped(design.conditions):
        name = "-".join(part for part in group[0].slug.split("-") if not part.endswith("hu"))
        words = ", ".join(part for part in group[0].name.split(", ") if not part.endswith(" HU"))
        title = f"Errors over noise: {words}"
        drawn[title] = save(draw_noise(means, group, methods, title), out / f"noise-{name}.png")
    noisy = [condition for condition in design.conditions if condition.noise_hu]  # without noise errors are those of models
    figure = draw_coverage(means, noisy, methods)
    if figure is not None:
        drawn["Coverage of intervals"] = save(figure, out / "coverage.png")
    for condition in design.conditions:
        kept = {name: read_slice(out, condition, name) for name in (TRUTH, *methods)}
        slices = {name: content for name, content in kept.items() if content is not None}
        if TRUTH not in slices or len(slices) == 1:
            continue
        for kind, errors in (("Maps", False), ("Errors", True)):
            path = out / f"{kind.lower()}-{condition.slug}.png"
            drawn[f"{kind}: {condition.name}"] = save(draw_slices(condition, slices, errors=errors), path)
    return drawn


def grouped(conditions: Sequence[FieldCondition]) -> list[list[FieldCondition]]:
    """Gather conditions that differ in noise only.

    Parameters
    ----------
    conditions : sequence of FieldCondition
        All.

    Returns
    -------
    list of list of FieldCondition
        In the order of their first.
    """
    found: dict[FieldCondition, list[FieldCondition]] = {}
    for condition in conditions:
        found.setdefault(replace(condition, noise_hu=0.0), []).append(condition)
    return list(found.values())
