# SPDX-License-Identifier: Apache-2.0
"""The layout manager: which views a layout has, and their picture, drawn by Slicer's own displayable managers."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ET

import numpy as np
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from PerfusionSuiteSlicer.headless.ChartImages import TITLE_HEIGHT, chartPicture

from . import render

BAR = 22
ORIENTATIONS = {"Yellow": "Sagittal", "Green": "Coronal"}


class LayoutManager:
    """The calls of qSlicerLayoutManager that modules make most, on off-screen views."""

    threeDViewCount = 1

    def __init__(self):
        self.views = {}
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    @property
    def layout(self):
        return self._logic.GetLayoutNode().GetViewArrangement()

    @layout.setter
    def layout(self, number):
        self.setLayout(number)

    def setLayout(self, number):
        node = self._logic.GetLayoutNode()
        if not node.GetLayoutDescription(number):
            raise ValueError(f"Layout {number} has no description")
        node.SetViewArrangement(number)
        for view in self._root().iter("view"):
            if view.get("class") == "vtkMRMLSliceNode":
                self._slice(view.get("singletontag"), _property(view, "orientation"))

    def _root(self):
        return ET.fromstring(self._logic.GetLayoutNode().GetLayoutDescription(self.layout))

    def _slice(self, name, orientation=None):
        if name not in self.views:
            self.views[name] = render.SliceView(name, orientation or ORIENTATIONS.get(name, "Axial"), (360, 300))
        return self.views[name]

    def sliceViewNames(self):
        return tuple(v.get("singletontag") for v in self._root().iter("view") if v.get("class") == "vtkMRMLSliceNode")

    def sliceWidget(self, name):
        if name not in self.views:
            return None
        view = self.views[name]
        window = types.SimpleNamespace(renderWindow=lambda: view.window, scheduleRender=lambda: None, forceRender=lambda: None)
        return types.SimpleNamespace(
            sliceLogic=lambda: view.logic,
            mrmlSliceNode=lambda: view.node,
            mrmlSliceCompositeNode=view.logic.GetSliceCompositeNode,
            sliceView=lambda: window,
        )

    def sliceLogic(self, name):
        return self._slice(name).logic

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    def threeDWidget(self, index):
        if "3D" not in self.views:
            self.views["3D"] = render.ThreeDView("1", (360, 300))
        view = self.views["3D"]
        inner = types.SimpleNamespace(
            resetFocalPoint=view.reset, resetCamera=view.reset, renderWindow=lambda: view.window, mrmlViewNode=lambda: view.node
        )
        return types.SimpleNamespace(threeDView=lambda: inner, mrmlViewNode=lambda: view.node)

    def layoutLogic(self):
        return self._logic

    def resetSliceViews(self):
        for name in self.sliceViewNames():
            self._slice(name).logic.FitSliceToAll()

    def resetThreeDViews(self):
        self.threeDWidget(0).threeDView().resetFocalPoint()

    def picture(self, width=1280, height=860):
        """Return the picture of all views of the present layout."""
        image = QtGui.QImage(width, height, QtGui.QImage.Format_RGB32)
        image.fill(QtGui.QColor(60, 60, 60))
        painter = QtGui.QPainter(image)
        _draw(self, self._root(), QtCore.QRect(0, 0, width, height), painter)
        painter.end()
        return image


def _property(view, name):
    return next((item.text for item in view.findall("property") if item.get("name") == name), None)


def _draw(manager, element, rect, painter):
    """Divide the rectangle as the layout says, evenly."""
    items = [item[0] for item in element.findall("item") if len(item)]
    isWide = element.get("type") == "horizontal"
    for index, item in enumerate(items):
        part = QtCore.QRect(rect)
        start, end = index / len(items), (index + 1) / len(items)
        if isWide:
            part.setLeft(round(rect.left() + start * rect.width()))
            part.setRight(round(rect.left() + end * rect.width()) - 2)
        else:
            part.setTop(round(rect.top() + start * rect.height()))
            part.setBottom(round(rect.top() + end * rect.height()) - 2)
        if item.tag == "layout":
            _draw(manager, item, part, painter)
        else:
            _drawView(manager, item, part, painter)


def _drawView(manager, view, rect, painter):
    kind, name = view.get("class"), view.get("singletontag")
    color = QtGui.QColor(_property(view, "viewcolor") or "#808080")
    painter.fillRect(QtCore.QRect(rect.left(), rect.top(), rect.width(), BAR), color)
    painter.setPen(QtGui.QColor("white" if color.lightness() < 140 else "black"))
    painter.drawText(rect.left() + 6, rect.top() + 16, _property(view, "viewlabel") or name or kind)
    inner = rect.adjusted(0, BAR, 0, 0)
    size = (inner.width(), inner.height())
    if kind == "vtkMRMLSliceNode":
        picture = _image(manager.views[name].resized(*size).picture())
    elif kind == "vtkMRMLViewNode":
        manager.threeDWidget(0)
        picture = _image(manager.views["3D"].picture())
    elif kind == "vtkMRMLPlotViewNode":
        chart = _shown(kind, name, "GetPlotChartNode")
        picture = None if chart is None else _image(chartPicture(chart, (size[0], size[1] - TITLE_HEIGHT)))
    elif kind == "vtkMRMLTableViewNode":
        table = _shown(kind, name, "GetTableNode")
        picture = None if table is None else _tableImage(table, inner.size())
    else:
        picture = None
    if picture is not None:
        painter.drawImage(inner, picture)


def _shown(kind, name, getter):
    node = slicer.mrmlScene.GetSingletonNode(name, kind)
    return None if node is None else getattr(node, getter)()


def _image(pixels):
    height, width, _colors = pixels.shape
    return QtGui.QImage(np.ascontiguousarray(pixels).data, width, height, 3 * width, QtGui.QImage.Format_RGB888).copy()


def _tableImage(node, size):
    table = node.GetTable()
    rows, columns = table.GetNumberOfRows(), table.GetNumberOfColumns()
    widget = QtWidgets.QTableWidget(rows, columns)
    for column in range(columns):
        name = table.GetColumnName(column)
        unit = node.GetColumnUnitLabel(name)
        widget.setHorizontalHeaderItem(column, QtWidgets.QTableWidgetItem(f"{name} [{unit}]" if unit else name))
        for row in range(rows):
            widget.setItem(row, column, QtWidgets.QTableWidgetItem(table.GetValue(row, column).ToString()))
    widget.resizeColumnsToContents()
    widget.resize(size)
    return widget.grab().toImage()
