# SPDX-License-Identifier: Apache-2.0
"""A whole study as nodes of a scene: made, updated in place, and found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import QUANTITIES, AslStudy, LesionMasks, PerfusionMap, ProgressCallback, Study, part_of
from PerfusionSuiteLib.core.constants import BRAIN_DENSITY_G_PER_ML

from .AslScene import aslStudyToScene
from .CurveNodes import TISSUE_COLORS, curvesToNodes, fittedInputToNodes, inputFunctionToNodes, plotsToChart
from .FieldNodes import fieldToNodes
from .LesionNodes import anatomyToSegmentation, lesionsToSegmentation
from .LossNodes import lossesToNodes
from .MapNodes import mapsToNodes
from .MarkupNodes import voxelsToPoints
from .RegionNodes import regionsToNodes
from .SequenceNodes import seriesToSequence
from .StudyFolder import fileNodes, studyFolder
from .StudyNodes import StudyNodes
from .StudyRoles import (
    ANATOMY,
    BROWSER,
    DRAWN,
    LESIONS,
    PREPARED,
    PREPARED_BROWSER,
    REPORT,
    SERIES,
    allOrNothing,
    nodesOfStudy,
    removeNode,
)
from .SummaryTable import SUMMARY, summaryToTable
from .TableNodes import findingsToTable, metricsToTable, motionToTable, reportToText, volumesToTable
from .ViewerLayers import showInViewers

__all__ = ["StudyNodes", "findStudy", "studyToScene", "tissueCurves", "tissueRegions"]

UNIT_NAMES = {"HU": "enhancement [HU]", "1/s": "ΔR2* [1/s]"}


def studyToScene(
    scene: Any,
    study: Study | AslStudy,
    name: str | None = None,
    *,
    includeSeries: bool = True,
    sequenceNode: Any = None,
    fieldText: Path | None = None,
    progress: ProgressCallback | None = None,
) -> StudyNodes:
    """Put a study into a scene, under one folder of the subject hierarchy.

    A study of the same name that is in the scene already is brought up to date in the same nodes; nodes that the new
    study has no value for are removed. When anything fails, no node is left that was not there before.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to.
    study : Study or AslStudy
        What.
    name : str, optional
        Name of folder and nodes, by default the name of the case.
    includeSeries : bool
        Also make a sequence of the prepared series, the largest part of the scene. A sequence that the user brought
        is never overwritten.
    sequenceNode : vtkMRMLSequenceNode, optional
        The sequence that the study was computed from; it is filed under Input.
    fieldText : Path, optional
        The fitted field as text, when a worker has written it.
    progress : callable, optional
        Told about progress.
    """
    if isinstance(study, AslStudy):
        return aslStudyToScene(scene, study, name, includeSeries=includeSeries, sequenceNode=sequenceNode, progress=progress)
    name = name or study.series.source.case_id
    report = part_of(progress, 0.0, 1.0)
    with allOrNothing(scene):
        nodes: dict[str, Any] = {}
        if includeSeries:
            report(0.0, "series to scene")
            label = f"{name} prepared"
            nodes[PREPARED], nodes[PREPARED_BROWSER] = seriesToSequence(scene, study.series, name, role=PREPARED, label=label)
        report(0.4, "maps to scene")
        nodes |= _addMaps(scene, study, name)
        report(0.6, "curves to scene")
        nodes |= _addCurves(scene, study, name)
        report(0.7, "lesions to scene")
        baseline = nodes["map.baseline"]
        nodes[LESIONS] = lesionsToSegmentation(scene, study.lesions, name, reference=baseline)
        nodes[ANATOMY] = anatomyToSegmentation(scene, study.masks, study.lesions, name, reference=baseline)
        report(0.9, "report to scene")
        nodes |= _addReport(scene, study, name)
        if study.regions is not None:
            units = {key: study.maps[key].unit for key in ("cbf", "cbv") if key in study.maps}
            nodes |= regionsToNodes(scene, study.regions, name, units=units, reference=baseline)
        if study.fitted is not None:
            nodes |= _addFit(scene, study, name, fieldText, sequenceNode or nodes.get(PREPARED))
        for role, node in nodesOfStudy(scene, name).items():
            if role not in (*nodes, SERIES, BROWSER, DRAWN):  # what a user has drawn stays
                removeNode(scene, node)
        given = {} if sequenceNode is None else {SERIES: sequenceNode}
        folder = fileNodes(scene, name, {**nodesOfStudy(scene, name), **given})
        showInViewers(scene, baseline, nodes.get("map.tmax"))
    report(1.0, "scene")
    return StudyNodes(name, nodes, folder)


def _addFit(scene: Any, study: Study, name: str, fieldText: Path | None, inputNode: Any) -> dict[str, Any]:
    """Keep what the fit learned and how it came there."""
    density = float(study.settings.get("density", BRAIN_DENSITY_G_PER_ML))
    field = fieldToNodes(scene, study.fitted, name, density=density, fieldText=fieldText, inputNode=inputNode)
    return field | lossesToNodes(scene, study.fitted.history, name)


def findStudy(scene: Any, name: str) -> StudyNodes:
    """Return the nodes of a study in a scene, for example one that was read from a file."""
    return StudyNodes(name, nodesOfStudy(scene, name), studyFolder(scene, name))


def _addMaps(scene: Any, study: Study, name: str) -> dict[str, Any]:
    maps, concentration = study.maps, study.concentration
    if "baseline" not in maps:
        unit = "HU" if study.series.modality == "ctp" else "signal"
        maps = maps.added(PerfusionMap(concentration.baseline, concentration.affine, QUANTITIES["baseline"], unit=unit))
    nodes = {f"map.{key}": node for key, node in mapsToNodes(scene, maps, name).items()}
    quality = {node.GetNodeReference("PerfusionSuite.quality") for node in nodes.values()} - {None}
    return nodes | {node.GetAttribute("PerfusionSuite.role"): node for node in quality}


def _addCurves(scene: Any, study: Study, name: str) -> dict[str, Any]:
    unit = study.concentration.unit
    yTitle = UNIT_NAMES.get(unit, unit)
    nodes: dict[str, Any] = {}
    plots = []
    for curve in (study.aif, study.vof):
        if curve is None:
            continue
        kind = curve.kind
        nodes[f"curve.{kind}"], nodes[f"plot.{kind}"] = inputFunctionToNodes(scene, curve, name, unit=unit)
        plots.append(nodes[f"plot.{kind}"])
        if len(curve.voxels) and kind != "reference":  # that one comes from all tissue
            nodes[f"points.{kind}"] = voxelsToPoints(scene, curve.voxels, study.series.affine, kind, name)
        if kind == "aif" and study.fitted is not None and study.fitted.fitted_aif is not None:
            table, plot = fittedInputToNodes(scene, study.fitted.times_s, study.fitted.fitted_aif, name, unit=unit)
            nodes |= {"curve.aif.fitted": table, "plot.aif.fitted": plot}
            plots.append(plot)
    isReference = study.aif.kind == "reference"
    title = f"{study.aif.label} (mean of tissue), not an artery" if isReference else "input functions"
    nodes["chart.input"] = plotsToChart(scene, plots, name, role="input", title=title, yTitle=yTitle)
    curves = tissueCurves(study)
    table, tissuePlots = curvesToNodes(
        scene, study.concentration.times_s, curves, name, unit=unit, role="tissue", title="tissue", colors=TISSUE_COLORS
    )
    nodes["curve.tissue"] = table
    nodes |= {plot.GetAttribute("PerfusionSuite.role"): plot for plot in tissuePlots}
    nodes["chart.tissue"] = plotsToChart(scene, tissuePlots, name, role="tissue", title="tissue curves", yTitle=yTitle)
    return nodes


def tissueCurves(study: Study) -> dict[str, np.ndarray]:
    """Return the mean enhancement of normal tissue and, where there is any, of hypoperfused tissue."""
    data = study.concentration.data
    return {key: data[mask].mean(axis=0, dtype=np.float64) for key, mask in tissueRegions(study.lesions).items()}


def tissueRegions(lesions: LesionMasks) -> dict[str, np.ndarray]:
    """Return the regions whose curves are shown, those that are not empty."""
    normal = lesions.reference if lesions.reference.any() else lesions.tissue & ~lesions.hypoperfusion
    regions = {"Normal tissue": normal, "Hypoperfused tissue": lesions.hypoperfusion & lesions.tissue}
    return {key: mask for key, mask in regions.items() if mask.any()}


def _addReport(scene: Any, study: Study, name: str) -> dict[str, Any]:
    nodes = {
        SUMMARY: summaryToTable(scene, study.metrics, name),
        "table.metrics": metricsToTable(scene, study.metrics, name),
        "table.volumes": volumesToTable(scene, study.metrics, name),
        "table.findings": findingsToTable(scene, study.findings, name),
        REPORT: reportToText(scene, study, name),
    }
    if study.motion is not None:
        nodes["table.motion"] = motionToTable(scene, study.motion, name)
    return nodes
