# SPDX-License-Identifier: Apache-2.0
"""The few numbers that are read first, in words, as a table node and as one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PerfusionSuiteLib.core import Metrics

from .StudyRoles import nodeFor
from .TableNodes import setTable

SUMMARY = "table.summary"

ROWS = (
    ("Infarct core", "infarct_core_volume_ml", "mL", "{:.1f}"),
    ("Penumbra", "penumbra_volume_ml", "mL", "{:.1f}"),
    ("Hypoperfusion", "hypoperfusion_volume_ml", "mL", "{:.1f}"),
    ("Mismatch ratio", "mismatch_ratio", "", "{:.2f}"),
    ("Mismatch volume", "mismatch_volume_ml", "mL", "{:.1f}"),
    ("Affected side", "affected_side", "", "{}"),
    ("Hypoperfusion intensity ratio", "hir", "", "{:.2f}"),
    ("CBV index", "corrected_cbv_index", "", "{:.2f}"),
    ("AIF-VOF delay", "aif_vof_delay_s", "s", "{:.1f}"),
    ("CBF of normal tissue", "reference.cbf", "reference.cbf", "{:.1f}"),
    ("CBV of normal tissue", "reference.cbv", "reference.cbv", "{:.2f}"),
)
"""Words, key (behind a dot: within), unit (or the key of a map whose unit it is) and form."""


def summaryRows(metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return (words, value, unit) of the numbers that a case has."""
    rows = []
    for words, key, unit, form in ROWS:
        value = _find(metrics.values, key)
        if value is not None:
            rows.append((words, form.format(value), _unit(metrics.values, unit)))
    return rows


def summaryToTable(scene: Any, metrics: Metrics, name: str) -> Any:
    """Put the first numbers of a case into a table with one row each."""
    rows = summaryRows(metrics)
    node = nodeFor(scene, "vtkMRMLTableNode", name, SUMMARY, f"{name} summary")
    columns = {key: [row[index] for row in rows] for index, key in enumerate(("quantity", "value", "unit"))}
    return setTable(node, columns)


def summarySentence(metrics: Metrics) -> str:
    """Return the volumes of a case in one sentence."""
    values = metrics.values
    core, penumbra = values.get("infarct_core_volume_ml"), values.get("penumbra_volume_ml")
    if core is None or penumbra is None:
        return ""
    ratio, side = values.get("mismatch_ratio"), values.get("affected_side")
    sentence = f"Core {core:.1f} mL, penumbra {penumbra:.1f} mL"
    sentence += "" if ratio is None else f", mismatch ratio {ratio:.2f}"
    return sentence + (f", side {side}." if side not in (None, "none") else ".")


def _find(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _unit(values: Mapping[str, Any], unit: str) -> str:
    if not unit.startswith("reference."):
        return unit
    return (_find(values, "input.maps") or {}).get(unit.removeprefix("reference."), "")
