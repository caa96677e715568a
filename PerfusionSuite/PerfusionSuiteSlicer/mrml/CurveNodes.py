# SPDX-License-Identifier: Apache-2.0
"""Curves over time as tables with units, plot series and charts, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InputFunction, InvalidInputError, QualityFinding

from .MarkupNodes import CURVE_COLORS
from .SequenceNodes import SECONDS_PER_UNIT
from .StudyRoles import factsOf, nodeFor, setFacts
from .TableNodes import columnValues, setTable

TIME = "time"
TISSUE_COLORS = {"Normal tissue": (0.35, 0.35, 0.35), "Hypoperfused tissue": (0.90, 0.62, 0.0)}
FITTED_AIF_COLOR = (0.98, 0.55, 0.10)
FURTHER_COLORS = ((0.0, 0.62, 0.45), (0.80, 0.47, 0.65), (0.34, 0.71, 0.91), (0.84, 0.37, 0.0))


def inputFunctionToNodes(scene: Any, curve: InputFunction, name: str, *, unit: str = "HU") -> tuple[Any, Any]:
    """Put an AIF or VOF into a table (time in s, values in `unit`) and a plot series; return both."""
    label = curve.label
    table, plots = curvesToNodes(
        scene, curve.times_s, {label: curve.values}, name, unit=unit, role=curve.kind, title=label.removesuffix(" curve"),
        colors={label: CURVE_COLORS.get(curve.kind, FURTHER_COLORS[0])},
    )  # fmt: skip
    setFacts(
        table,
        {
            "kind": curve.kind,
            "score": curve.score,
            "flags": curve.flags,
            "scale": curve.scale,
            "origin": curve.origin,
            "quality": curve.quality,
            "voxels": curve.voxels if curve.kind != "reference" else curve.voxels[:0],
            "findings": [asdict(finding) for finding in curve.findings],
        },
    )
    return table, plots[0]


def fittedInputToNodes(scene: Any, times_s: np.ndarray, values: np.ndarray, name: str, *, unit: str) -> tuple[Any, Any]:
    """Put the arterial curve as a fit learned it into a table and a dashed plot series, to stand beside the measured one."""
    label = "AIF fitted"
    table, plots = curvesToNodes(
        scene, times_s, {label: values}, name, unit=unit, role="aif.fitted", title=label, colors={label: FITTED_AIF_COLOR}
    )
    plots[0].SetMarkerStyle(plots[0].MarkerStyleNone)
    plots[0].SetLineStyle(plots[0].LineStyleDash)
    return table, plots[0]


def curvesToNodes(
    scene: Any,
    times_s: np.ndarray,
    curves: Mapping[str, np.ndarray],
    name: str,
    *,
    unit: str,
    role: str,
    title: str,
    colors: Mapping[str, tuple[float, float, float]] | None = None,
) -> tuple[Any, list[Any]]:
    """Put curves that share their times into one table and a plot series each.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Times.
    curves : mapping of str to ndarray, shape (T,)
        Values in `unit` by the name of the curve.
    role : str
        What the set is to the study, for example ``tissue``.
    title : str
        Name of the table behind the name of the study.
    colors : mapping, optional
        Colour of each curve.
    """
    table = nodeFor(scene, "vtkMRMLTableNode", name, f"curve.{role}", f"{name} {title} curve")
    setTable(table, {TIME: np.asarray(times_s, float), **{key: np.asarray(v, float) for key, v in curves.items()}})
    table.SetColumnUnitLabel(TIME, "s")
    for key in curves:
        table.SetColumnUnitLabel(key, unit)
    plots = []
    for index, key in enumerate(curves):
        plotRole = f"plot.{role}" if len(curves) == 1 else f"plot.{role}.{index + 1}"
        plot = nodeFor(scene, "vtkMRMLPlotSeriesNode", name, plotRole, f"{name} {key}")
        plot.SetName(f"{name} {key}")
        plot.SetAndObserveTableNodeID(table.GetID())
        plot.SetXColumnName(TIME)
        plot.SetYColumnName(key)
        plot.SetPlotType(plot.PlotTypeScatter)
        plot.SetMarkerStyle(plot.MarkerStyleCircle)
        plot.SetMarkerSize(5)
        plot.SetLineWidth(2)
        plot.SetColor(*(colors or {}).get(key, FURTHER_COLORS[index % len(FURTHER_COLORS)]))
        plots.append(plot)
    return table, plots


def plotsToChart(scene: Any, plots: list[Any], name: str, *, role: str, title: str, yTitle: str) -> Any:
    """Put plot series into a chart node with titles; series it had before are taken out."""
    chart = nodeFor(scene, "vtkMRMLPlotChartNode", name, f"chart.{role}", f"{name} {title}")
    fillChart(chart, plots, f"{name}: {title}", "time [s]", yTitle)
    return chart


def fillChart(chart: Any, plots: list[Any], title: str, xTitle: str, yTitle: str) -> None:
    """Give a chart its plot series, titles and a legend; series it had before are taken out."""
    wasModifying = chart.StartModify()
    chart.RemoveAllPlotSeriesNodeIDs()
    for plot in plots:
        chart.AddAndObservePlotSeriesNodeID(plot.GetID())
    chart.SetTitle(title)
    chart.SetXAxisTitle(xTitle)
    chart.SetYAxisTitle(yTitle)
    chart.SetTitleFontSize(16)
    chart.SetAxisTitleFontSize(14)
    chart.SetAxisLabelFontSize(12)
    chart.LegendVisibilityOn()
    chart.EndModify(wasModifying)


def tableToInputFunction(table: Any, kind: str | None = None, *, column: str | None = None) -> InputFunction:
    """Read an AIF or VOF from a table.

    Parameters
    ----------
    table : vtkMRMLTableNode
        A time column, in s or ms by its unit label or its name (time, time_s, time_ms), and a column of values.
    kind : {"aif", "vof"}, optional
        Which of the two; taken from the table where it was made by this package.
    column : str, optional
        Name of the value column, by default the first after the time.

    Raises
    ------
    InvalidInputError
        If there is no time column, no values, or the kind is not known.
    """
    facts = factsOf(table)
    if facts.get("kind") == "reference":
        msg = f"'{table.GetName()}' is the mean curve of tissue, not an artery. Choose another table."
        raise InvalidInputError(msg)
    kind = kind or facts.get("kind")
    if kind not in ("aif", "vof"):
        msg = f"It is not known whether '{table.GetName()}' is an AIF or a VOF. Say which."
        raise InvalidInputError(msg)
    times_s, curves = tableToCurves(table)
    key = column or next(iter(curves))
    if key not in curves:
        msg = f"The table '{table.GetName()}' has no column '{key}'. It has: {', '.join(curves)}."
        raise InvalidInputError(msg)
    if not facts:
        return InputFunction(times_s, curves[key], kind=kind, origin="file")
    score = facts["score"]
    return InputFunction(
        times_s,
        curves[key],
        np.array(facts["voxels"], np.int64).reshape(-1, 3),
        kind,
        float("nan") if score is None else score,
        tuple(facts["flags"]),
        facts["scale"],
        facts["origin"],
        {key: float("nan") if value is None else value for key, value in facts["quality"].items()},
        tuple(QualityFinding(**finding) for finding in facts["findings"]),
    )


def tableToCurves(table: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return times in s and the numeric columns of a table of curves."""
    columns = columnValues(table)
    timeKey = next((key for key in columns if key.lower().split("_")[0].split(" ")[0] == TIME), None)
    curves = {key: values for key, values in columns.items() if key != timeKey and values.dtype.kind in "fiu"}
    if timeKey is None or not curves:
        msg = f"The table '{table.GetName()}' needs a column 'time' and one of values. It has: {', '.join(columns) or 'none'}."
        raise InvalidInputError(msg)
    return columns[timeKey].astype(float) * _secondsOf(table, timeKey), curves


def _secondsOf(table: Any, timeKey: str) -> float:
    """Return the seconds of a time column's unit, which its label says or else its name, such as ``time_ms``."""
    inName = [word for word in re.split(r"[\W_]+", timeKey.lower())[1:] if word]
    unit = (table.GetColumnUnitLabel(timeKey) or "").strip().lower() or (inName[-1] if inName else "s")
    if unit not in SECONDS_PER_UNIT:
        msg = f"The times of the table '{table.GetName()}' are in '{unit}', which is no unit of time. Give them in s or ms."
        raise InvalidInputError(msg)
    return SECONDS_PER_UNIT[unit]
