# SPDX-License-Identifier: Apache-2.0
"""Results of a digital patient beside the truth, as a table to read and one to compute with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.files import plain, write_text
from ..core.quantities import QUANTITIES
from .tables import write_rows
from .template import has_templates, rendered, shown

COLUMNS = ("group", "quantity", "result", "truth", "error", "unit", "note")

_CURVE_FACTS = {
    "peak_ratio": ("peak over true peak", 1.0, "1"),
    "area_ratio": ("area over true area", 1.0, "1"),
    "peak_shift_s": ("shift of the peak", 0.0, "s"),
    "correlation": ("correlation", 1.0, "1"),
}


def write_truth_comparison(scores: Mapping[str, Any] | Iterable[Mapping[str, Any]], out: Path) -> list[Path]:
    """Write ``truth.csv`` and ``truth.html``, a self-contained page.

    Parameters
    ----------
    scores : mapping or iterable of mapping
        What ``evaluation.score_study`` returns, or rows with ``group``, ``quantity``, ``result``, ``truth``,
        ``error``, ``unit`` and ``note`` in which missing entries are empty.
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
    given = comparison_rows(scores) if isinstance(scores, Mapping) else scores
    rows = [plain({column: row.get(column) for column in COLUMNS}) for row in given]
    files = [write_rows(Path(out) / "truth.csv", rows, COLUMNS)]
    if has_templates():
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            text = {column: shown(row[column]) for column in ("result", "truth", "error")}
            groups.setdefault(str(row["group"] or "Results"), []).append({**row, **text})
        files.append(write_text(Path(out) / "truth.html", rendered("truth.html.j2", groups=groups)))
    return files


def comparison_rows(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn scores into rows that set each result beside its truth.

    Parameters
    ----------
    scores : mapping
        From ``evaluation.score_study``.

    Returns
    -------
    list of dict
        Rows with the keys `COLUMNS`, lesions first.
    """
    found = [*_lesion_rows(scores), *_map_rows(scores), *_curve_rows(scores), *_geometry_rows(scores)]
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def _lesion_rows(scores: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for name, numbers in scores.get("lesions", {}).items():
        details = ", ".join(f"{key} {shown(numbers.get(key), 2)}" for key in ("sensitivity", "precision"))
        label = str(name).capitalize()
        yield "Lesions", f"{label}, volume", numbers["volume_ml"], numbers["truth_ml"], numbers["error_ml"], "mL", details
        dice = numbers["dice"]
        yield "Lesions", f"{label}, Dice overlap", dice, 1.0, None if dice is None else dice - 1.0, "1", ""


def _map_rows(scores: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for key, regions in scores.get("maps", {}).items():
        quantity = QUANTITIES[key]
        for region, numbers in regions.items():
            bias, truth = numbers["bias"], _true_mean(numbers)
            result = None if bias is None or truth is None else truth + bias
            details = (
                f"mean absolute error {shown(numbers['mae'])}, r = {shown(numbers['correlation'], 2)}, {numbers['n']} voxels"
            )
            yield "Maps, mean of a region", f"{quantity.symbol}, {region}", result, truth, bias, quantity.unit, details


def _true_mean(numbers: Mapping[str, Any]) -> float | None:
    """Mean of the truth, which the relative error was divided by."""
    rmse, relative = numbers.get("rmse"), numbers.get("nrmse")
    return rmse / relative if rmse is not None and relative else None


def _curve_rows(scores: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for name, numbers in scores.get("curves", {}).items():
        for key, (words, truth, unit) in _CURVE_FACTS.items():
            value = numbers.get(key)
            yield "Input functions", f"{name.upper()}, {words}", value, truth, None if value is None else value - truth, unit, ""


def _geometry_rows(scores: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    side = scores.get("side", {})
    if side.get("truth") is not None:
        yield "Geometry", "Affected side", side.get("found"), side["truth"], None, "", ""
    plane = scores.get("midplane", {})
    for key, words, unit in (("angle_deg", "angle", "deg"), ("offset_mm", "distance at the brain's center", "mm")):
        if key in plane:
            yield "Geometry", f"Mid-sagittal plane, {words}", plane[key], 0.0, plane[key], unit, ""
