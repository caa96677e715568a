# SPDX-License-Identifier: Apache-2.0
"""Layouts made for reading perfusion: which views there are, and what of a study each shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .LesionNodes import CSF, HYPOPERFUSION, segmentCenter
from .LossNodes import CHART as LOSS_CHART
from .MapNodes import renewLegend
from .RegionNodes import CHART as REGION_CHART
from .StudyRoles import ANATOMY, LESIONS, REGIONS, ROLE, STUDY
from .SummaryTable import SUMMARY

MAPS, DECISION, FIT, RUNNING, DECISION_WITHOUT_CURVES, REGIONS_LAYOUT = 5501, 5502, 5503, 5504, 5505, 5506
ASL_MAPS, ASL_FLOW = 5507, 5508
"""Numbers of the layouts; Slicer keeps those from 501 on for extensions, and each needs its own."""

VIEWS = {
    "PerfusionBaseline": ("Baseline", "#9e9e9e", "map.baseline"),
    "PerfusionCBF": ("CBF", "#43a047", "map.cbf"),
    "PerfusionCBV": ("CBV", "#1e88e5", "map.cbv"),
    "PerfusionMTT": ("MTT", "#8e24aa", "map.mtt"),
    "PerfusionTmax": ("Tmax", "#e53935", "map.tmax"),
    "PerfusionLesions": ("Lesions", "#fb8c00", "lesions"),
    "PerfusionRegions": ("Regions", "#00897b", "regions"),
    "PerfusionCBFError": ("CBF SE", "#81c784", "map.cbf_sd"),
    "PerfusionTmaxError": ("Tmax SE", "#ef9a9a", "map.tmax_sd"),
    "PerfusionATT": ("ATT", "#e53935", "map.att"),
    "PerfusionSides": ("CBF vs. other side", "#26a69a", "map.rcbf_mirror"),
    "PerfusionLowFlow": ("Low flow", "#fb8c00", "lesions"),
}
"""Slice views by tag: label, colour, and the role of what each shows."""

INSTEAD = {"map.cbf": "map.rcbf"}
"""What a view shows of a study that does not have its map."""

MAP_VIEWS = tuple(tag for tag, (_label, _color, role) in VIEWS.items() if role.startswith("map.") and role != "map.baseline")
TMAX, CBF = "PerfusionTmax", "PerfusionCBF"
LESION_VIEWS = ("PerfusionLesions", "PerfusionLowFlow")
PLOT, TABLE, LOSS_PLOT, REGION_PLOT = "PerfusionPlot", "PerfusionTable", "PerfusionLoss", "PerfusionRegionPlot"
OUTLINE, FLUID = "outline", "fluid"
HIDDEN = "PerfusionSuite.hidden"
"""Of displays that were hidden because another study is shown."""
CONVENTIONAL = ("Red", "Green", "Yellow")


def _slice(tag: str) -> str:
    label, color, _role = VIEWS[tag]
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{tag}" verticalStretch="2">'
        '<property name="orientation" action="default">Axial</property>'
        f"{_label(label)}"
        f'<property name="viewcolor" action="default">{color}</property>'
        '<property name="viewgroup" action="default">7</property></view>'
    )


def _plot(tag: str = PLOT, label: str = "Curves") -> str:
    return f'<view class="vtkMRMLPlotViewNode" singletontag="{tag}">{_label(label)}</view>'


def _table() -> str:
    return f'<view class="vtkMRMLTableViewNode" singletontag="{TABLE}">{_label("Results")}</view>'


def _label(text: str) -> str:
    return f'<property name="viewlabel" action="default">{text}</property>'


def _rows(*rows: tuple[str, ...]) -> str:
    lines = ("".join(f"<item>{view}</item>" for view in row) for row in rows)
    body = "".join(f'<item><layout type="horizontal" split="true">{line}</layout></item>' for line in lines)
    return f'<layout type="vertical" split="true">{body}</layout>'


LAYOUTS = {
    MAPS: _rows(
        (_slice("PerfusionBaseline"), _slice("PerfusionCBF"), _slice("PerfusionCBV")),
        (_slice("PerfusionMTT"), _slice("PerfusionTmax"), _slice("PerfusionLesions")),
        (_plot(), _table()),
    ),
    FIT: _rows(
        (_slice("PerfusionCBF"), _slice("PerfusionCBFError"), _slice("PerfusionTmax"), _slice("PerfusionTmaxError")),
        (_plot(LOSS_PLOT, "Loss of the fit"), _plot()),
    ),
    RUNNING: _rows((_slice("PerfusionCBF"), _slice("PerfusionTmax")), (_plot(LOSS_PLOT, "Loss of the fit"),)),
    REGIONS_LAYOUT: _rows(
        (_slice("PerfusionRegions"), _slice("PerfusionCBF"), _slice("PerfusionMTT")),
        (_plot(REGION_PLOT, "Curve of the region"), _table()),
    ),
    ASL_MAPS: _rows(
        (_slice("PerfusionBaseline"), _slice("PerfusionCBF"), _slice("PerfusionATT")),
        (_slice("PerfusionCBFError"), _slice("PerfusionSides"), _slice("PerfusionLowFlow")),
        (_plot(label="Label over delay"), _table()),
    ),
    ASL_FLOW: _rows(
        (_slice("PerfusionBaseline"), _slice("PerfusionCBF"), _slice("PerfusionCBFError")),
        (_slice("PerfusionSides"), _slice("PerfusionLowFlow")),
        (_plot(label="Label over delay"), _table()),
    ),
    DECISION: _rows((_slice("PerfusionTmax"), _slice("PerfusionLesions")), (_plot(), _table())),
    DECISION_WITHOUT_CURVES: _rows((_slice("PerfusionTmax"), _slice("PerfusionLesions")), (_table(),)),
}


def mapsLayoutOf(nodes: Mapping[str, Any]) -> int:
    """Return the layout for reading the maps of a study: ASL has no Tmax, and one delay tells no arrival time."""
    if "difference" not in nodes:
        return MAPS
    return ASL_MAPS if "map.att" in nodes else ASL_FLOW


def registerLayouts(layoutNode: Any) -> None:
    """Tell the layout node of the application about our layouts; does nothing when it knows them."""
    for number, description in LAYOUTS.items():
        if not layoutNode.IsLayoutDescription(number):
            layoutNode.AddLayoutDescription(number, description)


def viewsOf(scene: Any, className: str) -> dict[str, Any]:
    """Return the view nodes of a class by their tag."""
    nodes = (scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className)))
    return {node.GetLayoutName() or node.GetSingletonTag(): node for node in nodes}


def showStudyInViews(scene: Any, nodes: Mapping[str, Any]) -> None:
    """Put a study into the views of our layouts that there are.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    nodes : mapping
        Nodes of the study by role, see `StudyNodes`.
    """
    hideOtherStudies(scene, nodes)
    composites = viewsOf(scene, "vtkMRMLSliceCompositeNode")
    baseline = nodes.get("map.baseline")
    sliceViews = viewsOf(scene, "vtkMRMLSliceNode")
    for tag, (_label, _color, role) in VIEWS.items():
        if tag in composites:
            isMap = tag in MAP_VIEWS
            role = role if role in nodes else INSTEAD.get(role, role)
            _showInView(composites[tag], baseline, nodes.get(role) if isMap else None)
            if isMap and role in nodes:
                renewLegend(scene, nodes[role])
            # Arrows with letters: which side is the patient's right must be read off every picture.
            sliceViews[tag].SetOrientationMarkerType(sliceViews[tag].OrientationMarkerTypeAxes)
            sliceViews[tag].SetOrientationMarkerSize(sliceViews[tag].OrientationMarkerSizeMedium)
            if baseline is not None:
                sliceViews[tag].RotateToVolumePlane(baseline)
    _restrict(scene, nodes.get("lesions"), (*CONVENTIONAL, *LESION_VIEWS), with3D=True)
    _outline(scene, nodes.get("lesions"), sliceViews.get(TMAX if "map.tmax" in nodes else CBF))
    _coverFluid(scene, nodes.get(ANATOMY), [sliceViews[tag] for tag in MAP_VIEWS if tag in sliceViews])
    for kind in ("aif", "vof"):
        _restrict(scene, nodes.get(f"points.{kind}"), (*CONVENTIONAL, "PerfusionBaseline"), with3D=True)
    _restrict(scene, nodes.get(REGIONS), (*CONVENTIONAL, "PerfusionRegions"), with3D=False)
    for tag, role in ((PLOT, "chart.input"), (LOSS_PLOT, LOSS_CHART), (REGION_PLOT, REGION_CHART)):
        plot = scene.GetSingletonNode(tag, "vtkMRMLPlotViewNode")
        if plot is not None and role in nodes:
            plot.SetPlotChartNodeID(nodes[role].GetID())
    shown = nodes.get(SUMMARY) or nodes.get("table.volumes")
    if shown is not None:
        showTableInView(scene, shown)


def showTableInView(scene: Any, table: Any) -> None:
    """Put a table into the table view of our layouts, when there is one."""
    view = scene.GetSingletonNode(TABLE, "vtkMRMLTableViewNode")
    if view is not None:
        view.SetTableNodeID(table.GetID())


def hideOtherStudies(scene: Any, nodes: Mapping[str, Any]) -> list[Any]:
    """Hide lesions, regions, fluid and points of other studies, which would lie on the maps of this one; show its own again.

    Returns
    -------
    list of vtkMRMLDisplayNode
        What was hidden.
    """
    own, hidden = {node.GetID() for node in nodes.values()}, []
    for node in (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())):
        role = node.GetAttribute(ROLE) or ""
        if not node.GetAttribute(STUDY) or not (role in (LESIONS, ANATOMY, REGIONS) or role.startswith("points.")):
            continue
        for display in (node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())):
            if display is None:
                continue
            if node.GetID() not in own and display.GetVisibility():
                display.SetVisibility(False)
                display.SetAttribute(HIDDEN, "1")
                hidden.append(display)
            elif node.GetID() in own:
                showAgain(display)
    return hidden


def showAgain(display: Any) -> None:
    """Show a display that `hideOtherStudies` hid; what the user has hidden stays hidden."""
    if display.GetAttribute(HIDDEN):
        display.SetVisibility(True)
        display.RemoveAttribute(HIDDEN)


def centerOnLesions(scene: Any, nodes: Mapping[str, Any]) -> None:
    """Move the slice views to the middle of what is hypoperfused; they stay where they are when nothing is."""
    lesions = nodes.get("lesions")
    if lesions is None:
        return
    center = segmentCenter(lesions, HYPOPERFUSION)
    sliceViews = viewsOf(scene, "vtkMRMLSliceNode")
    if center is not None:
        for tag in VIEWS:
            if tag in sliceViews:
                sliceViews[tag].JumpSliceByOffsetting(*center)


def _showInView(composite: Any, background: Any, foreground: Any) -> None:
    wasModifying = composite.StartModify()
    composite.SetLinkedControl(True)
    composite.SetHotLinkedControl(True)
    composite.SetBackgroundVolumeID(None if background is None else background.GetID())
    composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
    composite.SetForegroundOpacity(1.0)
    composite.SetLabelVolumeID(None)
    composite.EndModify(wasModifying)


def _outline(scene: Any, lesions: Any, view: Any) -> None:
    """Draw the border of the hypoperfused region onto a map, filling nothing so that nothing is hidden."""
    if lesions is None or view is None:
        return
    display = _ownDisplay(scene, lesions, OUTLINE, HYPOPERFUSION, [view])
    display.SetVisibility2DFill(False)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(2)
    display.SetSegmentOverrideColor(HYPOPERFUSION, 1.0, 1.0, 1.0)  # its own yellow is a color of Tmax


def _coverFluid(scene: Any, anatomy: Any, views: list[Any]) -> None:
    """Cover fluid in the views of maps: nothing flows there, and noise would look like tissue. Maps keep their numbers."""
    if anatomy is None or not views:
        return
    display = _ownDisplay(scene, anatomy, FLUID, CSF, views)
    display.SetVisibility2DOutline(False)
    display.SetOpacity2DFill(1.0)
    display.SetSegmentOverrideColor(CSF, 0.0, 0.0, 0.0)


def _ownDisplay(scene: Any, segmentation: Any, role: str, segmentID: str, views: list[Any]) -> Any:
    """Return a further display of a segmentation, which shows one segment in some views; it is made when there is none yet."""
    displays = [segmentation.GetNthDisplayNode(index) for index in range(segmentation.GetNumberOfDisplayNodes())]
    display = next((item for item in displays if item is not None and item.GetAttribute(ROLE) == role), None)
    if display is None:
        display = scene.AddNewNodeByClass("vtkMRMLSegmentationDisplayNode", f"{segmentation.GetName()} {role}")
        display.SetAttribute(ROLE, role)
        segmentation.AddAndObserveDisplayNodeID(display.GetID())
    wasModifying = display.StartModify()
    display.SetVisibility3D(False)
    for each in segmentation.GetSegmentation().GetSegmentIDs():
        display.SetSegmentVisibility(each, each == segmentID)
    display.RemoveAllViewNodeIDs()
    for view in views:
        display.AddViewNodeID(view.GetID())
    display.EndModify(wasModifying)
    return display


def _restrict(scene: Any, node: Any, sliceViews: tuple[str, ...], *, with3D: bool) -> None:
    """Show a node in some views alone: lesions would hide the maps that they were made from."""
    display = None if node is None else node.GetDisplayNode()
    if display is None:
        return
    views = viewsOf(scene, "vtkMRMLSliceNode")
    allowed = [views[tag].GetID() for tag in sliceViews if tag in views]
    if with3D:
        allowed += [view.GetID() for view in viewsOf(scene, "vtkMRMLViewNode").values()]
    wasModifying = display.StartModify()
    display.RemoveAllViewNodeIDs()
    for viewID in allowed:
        display.AddViewNodeID(viewID)
    display.EndModify(wasModifying)
