# SPDX-License-Identifier: Apache-2.0
"""Numbers, findings and the report as table and text nodes, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from PerfusionSuiteLib.core import AslStudy, InvalidInputError, Metrics, MotionReport, QualityFinding, Study
from PerfusionSuiteLib.core.files import plain

from .StudyRoles import REPORT, nodeFor

UNIT_ENDINGS = (("_ml", "mL"), ("_percent", "%"), ("_s", "s"), ("_mm", "mm"), ("_deg", "°"))


def setTable(node: Any, columns: Mapping[str, Any]) -> Any:
    """Replace the columns of a table node: arrays of numbers or sequences of text."""
    wasModifying = node.StartModify()
    node.RemoveAllColumns()
    for key, values in columns.items():
        if isinstance(values, np.ndarray):
            array = numpy_support.numpy_to_vtk(np.ascontiguousarray(values, np.float64), deep=True)
        else:
            array = vtk.vtkStringArray()
            for text in values:
                array.InsertNextValue(str(text))
        array.SetName(key)
        node.AddColumn(array)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.EndModify(wasModifying)
    return node


def columnValues(node: Any) -> dict[str, np.ndarray]:
    """Return copies of the columns of a table node."""
    table = node.GetTable()
    columns = {}
    for index in range(table.GetNumberOfColumns()):
        column = table.GetColumn(index)
        if isinstance(column, vtk.vtkStringArray):
            columns[column.GetName()] = np.array([column.GetValue(row) for row in range(column.GetNumberOfValues())], str)
        else:
            columns[column.GetName()] = numpy_support.vtk_to_numpy(column).copy()
    return columns


def metricsToTable(scene: Any, metrics: Metrics, name: str) -> Any:
    """Put all numbers of a case into a table with one row each: name, value, unit, note."""
    rows = [(key, value) for key, value in _flat(metrics.values) if not isinstance(value, list)]
    node = nodeFor(scene, "vtkMRMLTableNode", name, "table.metrics", f"{name} metrics")
    return setTable(
        node,
        {
            "quantity": [key for key, _ in rows],
            "value": ["" if value is None else _printed(value) for _, value in rows],
            "unit": [_unitOf(key) if _isNumber(value) else "" for key, value in rows],
            "note": [metrics.notes.get(key, "") for key, _ in rows],
        },
    )


def volumesToTable(scene: Any, metrics: Metrics, name: str) -> Any:
    """Put the lesion volumes and those of each threshold into a table, in mL."""
    values = metrics.values
    named = {
        "Infarct core": values.get("infarct_core_volume_ml"),
        "Penumbra": values.get("penumbra_volume_ml"),
        "Hypoperfusion": values.get("hypoperfusion_volume_ml"),
        **{thresholdInWords(key): value for key, value in (values.get("volumes_ml") or {}).items()},
    }
    rows = {key: value for key, value in named.items() if _isNumber(value)}
    node = nodeFor(scene, "vtkMRMLTableNode", name, "table.volumes", f"{name} volumes")
    setTable(node, {"region": list(rows), "volume": np.array(list(rows.values()), float)})
    node.SetColumnUnitLabel("volume", "mL")
    return node


def thresholdInWords(key: str) -> str:
    """Turn a key such as ``tmax_gt_6`` into ``tmax > 6``."""
    for code, sign in (("_gt_", " > "), ("_ge_", " ≥ "), ("_lt_", " < "), ("_le_", " ≤ ")):
        key = key.replace(code, sign)
    return key


def motionToTable(scene: Any, motion: MotionReport, name: str) -> Any:
    """Put estimated head motion into a table, one row per frame."""
    node = nodeFor(scene, "vtkMRMLTableNode", name, "table.motion", f"{name} motion")
    columns: dict[str, Any] = {"frame": np.linspace(1, len(motion.translation_mm), len(motion.translation_mm))}
    for axis, letter in enumerate("RAS"):
        columns[f"translation {letter}"] = np.asarray(motion.translation_mm)[:, axis]
    for axis, letter in enumerate("RAS"):
        columns[f"rotation {letter}"] = np.asarray(motion.rotation_deg)[:, axis]
    setTable(node, columns)
    for letter in "RAS":
        node.SetColumnUnitLabel(f"translation {letter}", "mm")
        node.SetColumnUnitLabel(f"rotation {letter}", "deg")
    return node


def findingsToTable(scene: Any, findings: Sequence[QualityFinding], name: str) -> Any:
    """Put findings about the quality of scan and results into a table."""
    node = nodeFor(scene, "vtkMRMLTableNode", name, "table.findings", f"{name} findings")
    fields = ("severity", "code", "message", "advice")
    return setTable(node, {field: [getattr(finding, field) for finding in findings] for field in fields})


def reportToText(scene: Any, study: Study | AslStudy, name: str) -> Any:
    """Put metrics, settings, findings and times of a run into a text node, as JSON."""
    node = nodeFor(scene, "vtkMRMLTextNode", name, REPORT, f"{name} report")
    report = {
        "metrics": study.metrics.values,
        "notes": study.metrics.notes,
        "settings": study.settings,
        "findings": [asdict(finding) for finding in study.findings],
        "seconds": study.seconds,
    }
    node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)  # else it would be kept inside the scene file
    node.SetText(json.dumps(plain(report), indent=2, allow_nan=False, ensure_ascii=False))
    return node


def metricsToReport(scene: Any, metrics: Metrics, name: str) -> Any:
    """Replace the metrics of a report node, after lesions were edited; make the node when there is none."""
    node = nodeFor(scene, "vtkMRMLTextNode", name, REPORT, f"{name} report")
    report = textToReport(node) if node.GetText() else {}
    report |= {"metrics": metrics.values, "notes": metrics.notes}
    node.SetText(json.dumps(plain(report), indent=1, allow_nan=False))
    node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)
    return node


def textToReport(node: Any) -> dict[str, Any]:
    """Return the content of a report node: metrics, notes, settings, findings, seconds."""
    try:
        report = json.loads(node.GetText() or "")
    except ValueError as error:
        msg = f"The text '{node.GetName()}' is not a report of this package ({error}). Choose another node."
        raise InvalidInputError(msg) from error
    return dict(report)


def textToMetrics(node: Any) -> Metrics:
    """Return the metrics of a report node."""
    report = textToReport(node)
    return Metrics(report.get("metrics", {}), report.get("notes", {}))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in plain(values).items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _isNumber(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _printed(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _unitOf(key: str) -> str:
    parts = key.split(".")
    return next((unit for ending, unit in UNIT_ENDINGS for part in reversed(parts) if part.endswith(ending)), "")
