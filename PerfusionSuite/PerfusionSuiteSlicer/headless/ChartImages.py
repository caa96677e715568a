# SPDX-License-Identifier: Apache-2.0
"""Pictures of plot chart nodes, drawn with VTK's charts as Slicer's plot view draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from .RenderView import RenderView, textPicture

WHITE, INK, GRID = (1.0, 1.0, 1.0), (0.12, 0.12, 0.12), (225, 225, 225, 255)

TITLE_HEIGHT = 40

LEGEND_WIDTH, LEGEND_LINE = 0.3, 0.055
"""Room that a legend takes, and each of its lines, as shares of the frame."""

LINE_SAMPLES, POINT_WEIGHT = 200, 10
"""Points that a line counts for, and a single marker, when the emptiest corner is looked for."""

LEFT, BOTTOM = vtk.vtkAxis.LEFT, vtk.vtkAxis.BOTTOM


def chartPicture(chartNode: Any, size: tuple[int, int] = (900, 460)) -> np.ndarray:
    """Return a picture (height, width, 3) of a chart node with its titles, axes, curves and legend."""
    view = RenderView(size, WHITE)
    context = vtk.vtkContextView()
    context.SetRenderWindow(view.window)
    context.GetRenderer().SetBackground(*WHITE)
    chart = vtk.vtkChartXY()
    context.GetScene().AddItem(chart)
    _setTitles(chart, chartNode)
    for index in range(chartNode.GetNumberOfPlotSeriesNodes()):
        _addSeries(chart, chartNode.GetNthPlotSeriesNode(index))
    chart.RecalculateBounds()
    if chart.GetShowLegend():
        view.window.Render()  # only then the axes know their ranges
        _placeLegend(chart, chartNode)
    title = textPicture([(chartNode.GetTitle() or "", INK)], (size[0], TITLE_HEIGHT), fontSize=17, background=WHITE)
    try:
        return np.vstack([title, view.picture()])
    finally:
        context.GetScene().ClearItems()
        view.close()


def _setTitles(chart: Any, node: Any) -> None:
    # The title stands above the picture: VTK would set it into the frame.
    chart.SetTitle("")
    x, y = (node.GetXAxisTitle(), node.GetXAxisLogScale()), (node.GetYAxisTitle(), node.GetYAxisLogScale())
    for place, (title, isLogarithmic) in ((BOTTOM, x), (LEFT, y)):
        axis = chart.GetAxis(place)
        axis.SetLogScale(bool(isLogarithmic))
        axis.SetTitle(title or "")
        axis.GetTitleProperties().SetFontSize(node.GetAxisTitleFontSize() or 14)
        axis.GetLabelProperties().SetFontSize(node.GetAxisLabelFontSize() or 12)
        axis.GetGridPen().SetColor(*GRID)
        for look in (axis.GetTitleProperties(), axis.GetLabelProperties()):
            look.SetColor(*INK)
            look.SetBold(False)
    chart.SetShowLegend(bool(node.GetLegendVisibility()))
    legend = chart.GetLegend()
    legend.SetLabelSize(13)
    legend.GetPen().SetColor(200, 200, 200, 255)


def _addSeries(chart: Any, series: Any) -> None:
    plot = chart.AddPlot(vtk.vtkChart.LINE)
    plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
    plot.SetLabel(series.GetName())
    plot.SetColorF(*series.GetColor())
    plot.SetWidth(series.GetLineWidth())
    isPoints = series.GetLineStyle() == series.LineStyleNone
    plot.GetPen().SetLineType(vtk.vtkPen.NO_PEN if isPoints else series.GetLineStyle() or vtk.vtkPen.SOLID_LINE)
    if series.GetMarkerStyle() != series.MarkerStyleNone:
        plot.SetMarkerStyle(series.GetMarkerStyle())
        plot.SetMarkerSize(series.GetMarkerSize())


def _placeLegend(chart: Any, node: Any) -> None:
    """Put the legend into the corner that hides least of the curves."""
    places = [_pointsOf(node.GetNthPlotSeriesNode(index), chart) for index in range(node.GetNumberOfPlotSeriesNodes())]
    high = min(0.9, LEGEND_LINE * len(places))
    across, up = np.concatenate([np.zeros((2, 0)), *places], axis=1)

    def hidden(corner: tuple[bool, bool]) -> int:
        right, top = corner
        inside = (across > 1.0 - LEGEND_WIDTH if right else across < LEGEND_WIDTH) & (up > 1.0 - high if top else up < high)
        return int(inside.sum())

    right, top = min(((True, True), (False, True), (True, False), (False, False)), key=hidden)
    legend = chart.GetLegend()
    legend.SetHorizontalAlignment(legend.RIGHT if right else legend.LEFT)
    legend.SetVerticalAlignment(legend.TOP if top else legend.BOTTOM)


def _pointsOf(series: Any, chart: Any) -> np.ndarray:
    """Return points along a curve (2, n) as shares of the frame of its chart."""
    table = series.GetTableNode().GetTable()
    found = []
    for place, name in ((BOTTOM, series.GetXColumnName()), (LEFT, series.GetYColumnName())):
        column, axis = table.GetColumnByName(name), chart.GetAxis(place)
        values = np.array([column.GetTuple1(row) for row in range(column.GetNumberOfTuples())])
        low, high = axis.GetUnscaledMinimum(), axis.GetUnscaledMaximum()
        if axis.GetLogScale():
            values, low, high = (np.log10(np.maximum(each, np.finfo(float).tiny)) for each in (values, low, high))
        found.append((values - low) / max(high - low, np.finfo(float).tiny))
    points = np.array(found)
    points = points[:, np.isfinite(points).all(axis=0)]
    if series.GetLineStyle() == series.LineStyleNone or points.shape[1] < 2:
        return np.repeat(points, POINT_WEIGHT, axis=1)
    steps = np.linspace(0, points.shape[1] - 1, LINE_SAMPLES)
    return np.stack([np.interp(steps, np.arange(points.shape[1]), each) for each in points])
