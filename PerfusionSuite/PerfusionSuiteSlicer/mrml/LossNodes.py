# SPDX-License-Identifier: Apache-2.0
"""The losses of a fit over its steps: table, plot series and a chart with a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .CurveNodes import FURTHER_COLORS, fillChart
from .StudyRoles import nodeFor
from .TableNodes import setTable

LOSS, CHART = "fit.loss", "fit.loss.chart"
STEP, TOTAL, SECONDS = "step", "loss", "seconds"
TOTAL_COLOR = (0.12, 0.12, 0.12)


def lossesToNodes(scene: Any, history: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Put the record of losses into nodes of a study; return them by role.

    Parameters
    ----------
    history : mapping of str to array-like, shape (steps,)
        ``step``, ``loss``, and the parts of the loss; optionally ``seconds``.
    """
    columns = {key: np.asarray(values, float) for key, values in history.items()}
    if not columns or not columns.get(STEP, np.empty(0)).size:
        return {}
    table = nodeFor(scene, "vtkMRMLTableNode", name, LOSS, f"{name} loss")
    setTable(table, columns)
    if SECONDS in columns:
        table.SetColumnUnitLabel(SECONDS, "s")
    # A logarithmic axis shows positive numbers only.
    parts = [key for key in columns if key not in (STEP, SECONDS) and (columns[key] > 0).any()]
    parts.sort(key=lambda key: key != TOTAL)
    nodes = {LOSS: table}
    for index, key in enumerate(parts):
        nodes[f"{LOSS}.plot.{index + 1}"] = _plot(scene, table, name, key, index)
    nodes[CHART] = _chart(scene, [node for role, node in nodes.items() if role.startswith(f"{LOSS}.plot.")], name)
    return nodes


def _plot(scene: Any, table: Any, name: str, key: str, index: int) -> Any:
    plot = nodeFor(scene, "vtkMRMLPlotSeriesNode", name, f"{LOSS}.plot.{index + 1}", f"{name} {key}")
    plot.SetName(key if key != TOTAL else "total")
    plot.SetAndObserveTableNodeID(table.GetID())
    plot.SetXColumnName(STEP)
    plot.SetYColumnName(key)
    plot.SetPlotType(plot.PlotTypeScatter)
    plot.SetMarkerStyle(plot.MarkerStyleNone)
    plot.SetLineWidth(3 if key == TOTAL else 2)
    plot.SetColor(*(TOTAL_COLOR if key == TOTAL else FURTHER_COLORS[(index - 1) % len(FURTHER_COLORS)]))
    return plot


def _chart(scene: Any, plots: list[Any], name: str) -> Any:
    chart = nodeFor(scene, "vtkMRMLPlotChartNode", name, CHART, f"{name} loss")
    chart.SetYAxisLogScale(True)
    fillChart(chart, plots, f"{name}: loss of the fit", "step", "loss")
    return chart
