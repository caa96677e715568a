# SPDX-License-Identifier: Apache-2.0
"""Pictures of plot chart nodes, drawn with VTK's charts as Slicer's plot view draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from .RenderView import RenderView, textPicture

WHITE, INK, GRID = (1.0, 1.0, 1.0), (0.12, 0.12, 0.12), (225, 225, 225, 255)

TITLE_HEIGHT = 40

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
    legend.SetHorizontalAlignment(legend.RIGHT)
    legend.SetVerticalAlignment(legend.TOP)
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
