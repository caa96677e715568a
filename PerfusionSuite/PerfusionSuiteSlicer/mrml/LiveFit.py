# SPDX-License-Identifier: Apache-2.0
"""What of a running fit can be seen: losses as a chart and previews as maps, in nodes that go when the fit ends.

They belong to no study and are not saved: a fit that is cancelled leaves the scene as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import QUANTITIES, PerfusionMap

from .LossNodes import CHART, STEP, lossesToNodes
from .MapNodes import mapToNode, renewLegend
from .SequenceNodes import proxyOfScan
from .StudyRoles import nodesOfStudy, removeNode
from .ViewLayouts import LOSS_PLOT, hideOtherStudies, showAgain, viewsOf
from .VolumeArrays import affineOf

PREVIEWS = ("cbf", "tmax")
"""Maps that are shown while a fit runs."""

_VIEWS = {"cbf": "PerfusionCBF", "tmax": "PerfusionTmax"}


class LiveFit:
    """Shows a running fit in the views of the layout for fits.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    scan : vtkMRMLNode or None
        The scan that is fitted, whose grid the previews have.
    name : str
        Name of the study that will come.
    onBegin, onEnd : callable, optional
        Called before the first thing is shown, which a method that tells nothing never does, and at the end.
    """

    previews = PREVIEWS

    def __init__(self, scene: Any, scan: Any, name: str, onBegin: Any = None, onEnd: Any = None) -> None:
        self._scene = scene
        self._onBegin, self._onEnd = onBegin, onEnd
        self._name = f"{name} (running)"
        self._scan = scan
        self._losses: dict[str, list[float]] = {}
        self._hasEnded = self._hasBegun = False
        self._before: dict[tuple[str, str], Any] = {}
        self._hidden: list[Any] = []

    @property
    def steps(self) -> int:
        """How many losses were taken."""
        return len(self._losses.get(STEP, ()))

    def onLoss(self, step: int, steps: int, parts: Mapping[str, float]) -> None:
        """Take the losses of a step. A fit that was resumed may repeat some."""
        if not self._begin():
            return
        columns = self._losses
        row = {STEP: float(step), **{key: float(value) for key, value in parts.items()}}
        count = self.steps
        for key in dict.fromkeys([*columns, *row]):
            columns.setdefault(key, [float("nan")] * count).append(row.get(key, float("nan")))
        if self.steps > 1:  # a line needs two points
            nodes = lossesToNodes(self._scene, columns, self._name)
            self._hide(nodes.values())
            self._showChart(nodes[CHART])

    def onPreview(self, maps: Mapping[str, np.ndarray]) -> None:
        """Take maps of the present state."""
        affine = self._affine(next(iter(maps.values())).shape) if maps else None
        if affine is None or not self._begin():
            return
        for key, values in maps.items():
            node = mapToNode(self._scene, PerfusionMap(values, affine, QUANTITIES[key]), self._name)
            self._hide([node])
            self._showMap(key, node)

    def restart(self) -> None:
        """Show the fit again, when it is resumed."""
        self._hasEnded = self._hasBegun = False
        self._losses = {}

    def end(self) -> None:
        """Remove everything that was shown, and show again what the views showed before."""
        self._hasEnded = True
        for (className, tag), shown in self._before.items():
            view = self._scene.GetSingletonNode(tag, className)
            if view is not None:
                _setShown(view, shown)
        for display in self._hidden:
            if self._scene.IsNodePresent(display):
                showAgain(display)
        self._before, self._hidden = {}, []
        if self._hasBegun and self._onEnd is not None:
            self._onEnd()
        self._hasBegun = False
        for node in nodesOfStudy(self._scene, self._name).values():
            removeNode(self._scene, node)

    def _begin(self) -> bool:
        """Say whether anything is to be shown: not after the end, nor in a scene that was closed meanwhile."""
        if self._hasEnded or (self._scan is not None and not self._scene.IsNodePresent(self._scan)):
            return False
        if not self._hasBegun and self._onBegin is not None:
            self._onBegin()
        self._hasBegun = True
        return True

    def _hide(self, nodes: Any) -> None:
        for node in nodes:
            node.SetSaveWithScene(False)
            node.SetHideFromEditors(True)

    def _affine(self, shape: tuple[int, ...]) -> np.ndarray | None:
        scan = self._scan
        if scan is None or not self._scene.IsNodePresent(scan):
            return None
        frame = scan.GetNthDataNode(0) if scan.IsA("vtkMRMLSequenceNode") else scan
        if frame is None or frame.GetImageData() is None or frame.GetImageData().GetDimensions() != tuple(shape):
            return None
        return affineOf(frame)

    def _showChart(self, chart: Any) -> None:
        view = self._scene.GetSingletonNode(LOSS_PLOT, "vtkMRMLPlotViewNode")
        if view is not None and view.GetPlotChartNodeID() != chart.GetID():
            self._before.setdefault(("vtkMRMLPlotViewNode", LOSS_PLOT), view.GetPlotChartNodeID())
            view.SetPlotChartNodeID(chart.GetID())

    def _showMap(self, key: str, node: Any) -> None:
        composite = viewsOf(self._scene, "vtkMRMLSliceCompositeNode").get(_VIEWS.get(key, ""))
        if composite is None or composite.GetForegroundVolumeID() == node.GetID():
            return
        place = ("vtkMRMLSliceCompositeNode", _VIEWS[key])
        self._before.setdefault(place, (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()))
        self._hidden += hideOtherStudies(self._scene, {})  # outlines and fluid of another scan
        proxy = proxyOfScan(self._scene, self._scan)
        _setShown(composite, (None if proxy is None else proxy.GetID(), node.GetID()))
        composite.SetForegroundOpacity(1.0)
        view = viewsOf(self._scene, "vtkMRMLSliceNode").get(_VIEWS[key])
        if view is not None:
            view.RotateToVolumePlane(node)
        renewLegend(self._scene, node)  # a view only shows the legend of what it shows already


def _setShown(view: Any, shown: Any) -> None:
    if view.IsA("vtkMRMLPlotViewNode"):
        view.SetPlotChartNodeID(shown)
        return
    background, foreground = shown
    wasModifying = view.StartModify()
    view.SetBackgroundVolumeID(background)
    view.SetForegroundVolumeID(foreground)
    view.EndModify(wasModifying)
