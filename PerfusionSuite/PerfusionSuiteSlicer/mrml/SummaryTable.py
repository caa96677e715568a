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

ASL_ROWS = (
    ("CBF of the brain", "by_region.brain.cbf", "units.cbf", "{:.1f}"),
    ("CBF of gray matter", "by_region.gm.cbf", "units.cbf", "{:.1f}"),
    ("CBF of white matter", "by_region.wm.cbf", "units.cbf", "{:.1f}"),
    ("CBF of the left half", "by_region.left.cbf", "units.cbf", "{:.1f}"),
    ("CBF of the right half", "by_region.right.cbf", "units.cbf", "{:.1f}"),
    ("Right over left, relative difference", "cbf_asymmetry_percent", "%", "{:+.1f}"),
    ("Arrival time in the brain", "by_region.brain.att", "units.att", "{:.2f}"),
    ("Low flow against the other side", "hypoperfusion_volume_ml", "mL", "{:.1f}"),
    ("Side of low flow", "affected_side", "", "{}"),
    ("Spatial variation of flow", "spatial_variation_percent", "%", "{:.0f}"),
    ("Later CBF of the brain", "follow_up.regions.brain.cbf_later", "units.cbf", "{:.1f}"),
    ("Change of CBF in the brain", "follow_up.regions.brain.change_percent", "%", "{:+.0f}"),
    ("Change of CBF in low flow", "follow_up.regions.low_flow.change_percent", "%", "{:+.0f}"),
)
"""The same of an ASL case."""


def summaryRows(metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return (words, value, unit) of the numbers that a case has."""
    rows = []
    for words, key, unit, form in ASL_ROWS if metrics.values.get("modality") == "asl" else ROWS:
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
    if values.get("modality") == "asl":
        return _aslSentence(values)
    core, penumbra = values.get("infarct_core_volume_ml"), values.get("penumbra_volume_ml")
    if core is None or penumbra is None:
        return ""
    ratio, side = values.get("mismatch_ratio"), values.get("affected_side")
    sentence = f"Core {core:.1f} mL, penumbra {penumbra:.1f} mL"
    sentence += "" if ratio is None else f", mismatch ratio {ratio:.2f}"
    return sentence + (f", side {side}." if side not in (None, "none") else ".")


def _aslSentence(values: Mapping[str, Any]) -> str:
    """Flow of the best known tissue, and low flow."""
    flows = (("gray matter", _find(values, "by_region.gm.cbf")), ("the brain", _find(values, "by_region.brain.cbf")))
    words, flow = next(((words, flow) for words, flow in flows if flow is not None), ("", None))
    parts = [] if flow is None else [f"CBF of {words} {flow:.0f} {_find(values, 'units.cbf')}"]
    low, side = values.get("hypoperfusion_volume_ml"), values.get("affected_side")
    if low is not None:
        parts.append(f"low flow {low:.1f} mL" + (f" on the {side}" if low and side in ("left", "right") else ""))
    return f"{', '.join(parts)}." if parts else "Relative flow, because there is no M0."


def _find(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _unit(values: Mapping[str, Any], unit: str) -> str:
    if unit.startswith("units."):
        return str(_find(values, unit) or "")
    if not unit.startswith("reference."):
        return unit
    return (_find(values, "input.maps") or {}).get(unit.removeprefix("reference."), "")
