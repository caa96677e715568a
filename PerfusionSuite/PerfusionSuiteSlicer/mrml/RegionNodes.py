# SPDX-License-Identifier: Apache-2.0
"""Regions whose mean curves were fitted: a segmentation, a table of parameters, and one chart that shows the chosen region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import vtk

from PerfusionSuiteLib.core import RegionFit
from PerfusionSuiteLib.core.colors import region_colors

from .CurveNodes import curvesToNodes, plotsToChart
from .LesionNodes import fillSegmentation
from .StudyRoles import REGIONS, ROLE, factsOf, nodeFor, nodesOfStudy, setFacts
from .TableNodes import columnValues, setTable
from .VolumeArrays import affineFromMatrix

TABLE, CURVES, CHART = "table.regions", "curve.regions", "chart.regions"
OBSERVED, FITTED = "observed", "fitted"
FIRST = ("cbf", "cbv", "F_fit", "V_fit", "mtt", "delay", "status", "loss")
"""Columns that are read first."""

UNITS = {
    "mtt": "s", "delay": "s", "dispersion": "s", "tau_fit": "s", "sd_delay": "s", "mtt_sd": "s", "delay_sd": "s",
}  # fmt: skip
OF_MAPS = {"cbf": "cbf", "F_fit": "cbf", "F_prior": "cbf", "cbv": "cbv", "V_fit": "cbv", "V_prior": "cbv"}
"""Units of columns that have one; flow and volume are in the unit of the study's maps."""


def regionsToNodes(
    scene: Any, regions: RegionFit, name: str, *, units: Mapping[str, str] | None = None, reference: Any = None
) -> dict[str, Any]:
    """Put regions into a hidden segmentation, a table and a chart; return the nodes by role.

    Parameters
    ----------
    units : mapping of str to str, optional
        Unit of ``cbf`` and ``cbv``, as the maps have it.
    reference : vtkMRMLScalarVolumeNode, optional
        The volume whose grid the segmentation keeps when it is edited.
    """
    colors = dict(zip(regions.names, region_colors(regions.tissues), strict=True))
    nodes = {REGIONS: _segmentation(scene, regions, name, colors, reference), TABLE: _table(scene, regions, name, units or {})}
    curves: dict[str, np.ndarray] = {}
    for region, observed, fitted in zip(regions.names, regions.observed, regions.fitted, strict=True):
        curves |= {f"{region} {OBSERVED}": observed, f"{region} {FITTED}": fitted}
    lines = {key: _colorOf(key, colors[key.rsplit(" ", 1)[0]]) for key in curves}
    nodes[CURVES], plots = curvesToNodes(
        scene, regions.times_s, curves, name, unit=regions.unit, role="regions", title="regions", colors=lines
    )
    for plot in plots:
        isFitted = plot.GetYColumnName().endswith(FITTED)
        plot.SetMarkerStyle(plot.MarkerStyleNone if isFitted else plot.MarkerStyleCircle)
        plot.SetLineStyle(plot.LineStyleSolid if isFitted else plot.LineStyleNone)
    nodes |= {plot.GetAttribute(ROLE): plot for plot in plots}
    nodes[CHART] = plotsToChart(scene, plots, name, role="regions", title="regions", yTitle=f"ΔR2* [{regions.unit}]")
    shown = factsOf(nodes[REGIONS]).get("shown", "")
    setFacts(nodes[REGIONS], {"relative": regions.relative, "shown": shown if shown in colors else ""})
    showRegion(scene, name, shown if shown in colors else regions.names[0])
    return nodes


def _colorOf(curve: str, color: tuple[float, float, float]) -> tuple[float, float, float]:
    """The fitted curve is darker than the observed one, so that they can be told apart where they agree."""
    return tuple(0.5 * part for part in color) if curve.endswith(FITTED) else color


def _segmentation(scene: Any, regions: RegionFit, name: str, colors: Mapping[str, Any], reference: Any) -> Any:
    node = nodeFor(scene, "vtkMRMLSegmentationNode", name, REGIONS, f"{name} regions")
    isNew = node.GetDisplayNode() is None
    masks = {region: regions.labels == int(row["roi_id"]) for region, row in zip(regions.names, regions.rows, strict=True)}
    fillSegmentation(node, masks, regions.affine, colors, reference)
    display = node.GetDisplayNode()
    if isNew:
        display.SetVisibility(False)  # they cover the whole brain, and would hide every map
    display.SetVisibility3D(False)
    display.SetOpacity2DFill(0.4)
    return node


def _table(scene: Any, regions: RegionFit, name: str, units: Mapping[str, str]) -> Any:
    node = nodeFor(scene, "vtkMRMLTableNode", name, TABLE, f"{name} regions")
    known = dict.fromkeys(key for row in regions.rows for key in row)
    keys = [*(key for key in FIRST if key in known), *(key for key in known if key not in FIRST)]
    columns: dict[str, Any] = {"region": list(regions.names)}
    columns |= {key: _column([row.get(key) for row in regions.rows]) for key in keys}
    setTable(node, columns)
    for key in keys:
        unit = units.get(OF_MAPS[key], "") if key in OF_MAPS else UNITS.get(key, "")
        if unit:
            node.SetColumnUnitLabel(key, unit)
    return node


def _column(values: list[Any]) -> Any:
    """Return numbers as numbers and all else as text; what is missing is NaN or empty."""
    if all(value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool)) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    return ["" if value is None else str(value) for value in values]


def regionNames(nodes: Mapping[str, Any]) -> list[str]:
    """Return the names of the regions of a study, none when it has none."""
    node = nodes.get(REGIONS)
    return [] if node is None else list(node.GetSegmentation().GetSegmentIDs())


def regionFacts(nodes: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Return the row of a region: numbers and texts by the name of the column."""
    columns = columnValues(nodes[TABLE])
    names = list(columns.pop("region"))
    if region not in names:
        return {}
    at = names.index(region)
    return {key: str(values[at]) if values.dtype.kind == "U" else float(values[at]) for key, values in columns.items()}


def regionSentence(nodes: Mapping[str, Any], region: str) -> str:
    """Say in a line what a region is like: flow, volume, times, how well the model fits, and whether that can be trusted."""
    facts, table = regionFacts(nodes, region), nodes[TABLE]
    words = (
        ("cbf", "CBF", 1), ("F_fit", "CBF", 1), ("cbv", "CBV", 2), ("V_fit", "CBV", 2), ("mtt", "MTT", 1), ("delay", "delay", 1),
        ("tau_fit", "τ", 1),
        ("nmse", "misfit", 3), ("loss", "misfit", 3),
    )  # fmt: skip
    parts = []
    for key, word, digits in words:
        value = facts.get(key)
        if isinstance(value, float) and np.isfinite(value) and not (key == "loss" and "nmse" in facts):
            parts.append(f"{word} {value:.{digits}f} {table.GetColumnUnitLabel(key) or ''}".strip())
    status = str(facts.get("status", "")).replace("_", " ")
    voxels = facts.get("n_vox_all")
    size = f"{region}, {voxels:.0f} voxels" if isinstance(voxels, float) else region
    return f"{size}: {', '.join(parts) or 'no fit'}." + (f" Status: {status}." if status not in ("", "ok") else "")


def isRelative(nodes: Mapping[str, Any]) -> bool:
    """Say whether flow and volume of the regions are only known up to one factor, because no artery was used."""
    node = nodes.get(REGIONS)
    return node is not None and bool(factsOf(node).get("relative"))


def showRegion(scene: Any, name: str, region: str = "") -> None:
    """Put the observed and the fitted curve of a region into the chart, and its outline into the slice views.

    :param name: name of the study.
    :param region: name of the region; an empty text shows all of them.
    """
    nodes = nodesOfStudy(scene, name)
    chart, segmentation = nodes.get(CHART), nodes.get(REGIONS)
    if chart is None or segmentation is None:
        return
    plots = [node for role, node in nodes.items() if role.startswith("plot.regions")]
    wanted = [plot for plot in plots if region in ("", plot.GetYColumnName().rsplit(" ", 1)[0])]
    wasModifying = chart.StartModify()
    chart.RemoveAllPlotSeriesNodeIDs()
    for plot in wanted or plots:
        chart.AddAndObservePlotSeriesNodeID(plot.GetID())
    chart.SetTitle(f"{name}: {region or 'all regions'}, observed and fitted")
    chart.SetLegendVisibility(bool(region))  # one entry for each of thirty curves would cover them
    chart.EndModify(wasModifying)
    display = segmentation.GetDisplayNode()
    wasModifying = display.StartModify()
    for segmentID in segmentation.GetSegmentation().GetSegmentIDs():
        display.SetSegmentVisibility(segmentID, region in ("", segmentID))
    display.SetOpacity2DOutline(1.0 if region else 0.0)  # borders of all of them would cover the picture
    display.EndModify(wasModifying)
    setFacts(segmentation, factsOf(segmentation) | {"shown": region})


def shownRegion(nodes: Mapping[str, Any]) -> str:
    """Return the name of the region that the chart shows, an empty text for all."""
    node = nodes.get(REGIONS)
    return "" if node is None else str(factsOf(node).get("shown", ""))


def regionAt(nodes: Mapping[str, Any], position: Any) -> str:
    """Return the name of the region at a position in RAS mm, an empty text where there is none."""
    segmentation = nodes[REGIONS].GetSegmentation()
    for segmentID in segmentation.GetSegmentIDs():
        image = segmentation.GetSegment(segmentID).GetRepresentation("Binary labelmap")
        if image is None:
            continue
        voxel = np.rint(np.linalg.solve(_imageToWorld(image), [*(float(part) for part in position), 1.0])[:3]).astype(int)
        extent = image.GetExtent()
        if all(extent[2 * axis] <= voxel[axis] <= extent[2 * axis + 1] for axis in range(3)):
            label = segmentation.GetSegment(segmentID).GetLabelValue()
            if image.GetScalarComponentAsDouble(*(int(part) for part in voxel), 0) == label:
                return segmentID
    return ""


def _imageToWorld(image: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return affineFromMatrix(matrix)
