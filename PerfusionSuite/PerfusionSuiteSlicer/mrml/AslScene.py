# SPDX-License-Identifier: Apache-2.0
"""An ASL study as nodes of a scene: maps, difference images by delay, curves of regions, low flow, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from PerfusionSuiteLib.core import QUANTITIES, AslStudy, LesionMasks, PerfusionMap, ProgressCallback, Provenance, part_of

from .AslSequences import aslToSequence, differenceToSequence
from .CurveNodes import curvesToNodes, plotsToChart
from .LesionNodes import anatomyToSegmentation, lowFlowToSegmentation
from .MapNodes import mapsToNodes
from .StudyFolder import fileNodes
from .StudyNodes import StudyNodes
from .StudyRoles import (
    ANATOMY,
    BROWSER,
    DRAWN,
    LESIONS,
    REPORT,
    SERIES,
    SERIES_M0,
    allOrNothing,
    nodesOfStudy,
    removeNode,
)
from .SummaryTable import SUMMARY, summaryToTable
from .TableNodes import findingsToTable, metricsToTable, motionToTable, reportToText
from .ViewerLayers import showInViewers

REGION_WORDS = {
    "brain": "Brain",
    "gm": "Gray matter",
    "wm": "White matter",
    "left": "Left half",
    "right": "Right half",
    "low_flow": "Low flow",
    "other_side": "Other side",
}
REGION_COLORS = {
    "Brain": (0.35, 0.35, 0.35),
    "Gray matter": (0.80, 0.47, 0.65),
    "White matter": (0.34, 0.71, 0.91),
    "Left half": (0.0, 0.62, 0.45),
    "Right half": (0.84, 0.37, 0.0),
    "Low flow": (0.90, 0.62, 0.0),
    "Other side": (0.16, 0.42, 0.86),
}
"""Regions whose mean signal is kept, in the order of the chart."""

ASIDE = {"brain": "gm", "left": "low_flow", "right": "low_flow"}
"""Regions that stay out of the chart when a more telling one is there: a legend of all would cover it."""

DENSITY_UNIT = "mL/g"


def aslStudyToScene(
    scene: Any,
    study: AslStudy,
    name: str | None = None,
    *,
    includeSeries: bool = True,
    sequenceNode: Any = None,
    progress: ProgressCallback | None = None,
) -> StudyNodes:
    """Put an ASL study into a scene, under one folder of the subject hierarchy; see `StudyScene.studyToScene`.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to.
    study : AslStudy
        What.
    name : str, optional
        Name of folder and nodes, by default the name of the case.
    includeSeries : bool
        Also make a sequence of the scan, unless it is in the scene already.
    sequenceNode : vtkMRMLSequenceNode, optional
        The sequence that the study was computed from; it is filed under Input.
    progress : callable, optional
        Told about progress.
    """
    name = name or study.series.source.case_id
    report = part_of(progress, 0.0, 1.0)
    with allOrNothing(scene):
        nodes: dict[str, Any] = {}
        if includeSeries and sequenceNode is None:
            report(0.0, "scan to scene")
            nodes[SERIES], nodes[BROWSER] = aslToSequence(scene, study.series, name)
        nodes |= differenceToSequence(scene, study.difference, name)
        report(0.4, "maps to scene")
        nodes |= _addMaps(scene, study, name)
        nodes |= _addCurves(scene, study, name)
        report(0.7, "regions to scene")
        baseline = nodes["map.baseline"]
        lesions = study.lesions or noLesions(study)
        nodes[LESIONS] = lowFlowToSegmentation(scene, lesions, name, reference=baseline)
        nodes[ANATOMY] = anatomyToSegmentation(scene, study.masks, lesions, name, reference=baseline)
        nodes |= _addReport(scene, study, name)
        for role, node in nodesOfStudy(scene, name).items():
            if role not in (*nodes, SERIES, BROWSER, SERIES_M0, DRAWN):  # what a user has drawn stays
                removeNode(scene, node)
        given = {} if sequenceNode is None else {SERIES: sequenceNode}
        folder = fileNodes(scene, name, {**nodesOfStudy(scene, name), **given})
        showInViewers(scene, baseline, nodes.get("map.cbf") or nodes.get("map.rcbf"))
    report(1.0, "scene")
    return StudyNodes(name, nodes, folder)


def noLesions(study: AslStudy) -> LesionMasks:
    """Return lesions without any voxel, for a study whose sides were not compared."""
    none = np.zeros(study.masks.brain.shape, bool)
    return LesionMasks(none, none, none, study.masks.brain, none, study.maps.affine)


def baselineOf(study: AslStudy) -> PerfusionMap:
    """Return the image that maps are shown on: M0, else the mean of the control images, else of the differences."""
    difference, series = study.difference, study.series
    image = difference.m0
    if image is None:
        control = series.of_type("control")
        image = series.data[..., control].mean(axis=3) if control.any() else difference.delta_m.mean(axis=3)
    values = np.nan_to_num(np.asarray(image, np.float32))
    return PerfusionMap(values, difference.affine, QUANTITIES["baseline"], None, Provenance(), "signal")


def _addMaps(scene: Any, study: AslStudy, name: str) -> dict[str, Any]:
    nodes = {f"map.{key}": node for key, node in mapsToNodes(scene, study.maps.added(baselineOf(study)), name).items()}
    quality = {node.GetNodeReference("PerfusionSuite.quality") for node in nodes.values()} - {None}
    return nodes | {node.GetAttribute("PerfusionSuite.role"): node for node in quality}


def _addCurves(scene: Any, study: AslStudy, name: str) -> dict[str, Any]:
    """Mean label density of regions over the delay: measured as points, the model as a line."""
    curves = study.metrics.values.get("curves") or {}
    nodes: dict[str, Any] = {}
    plots = []
    for key, words in REGION_WORDS.items():
        curve = curves.get(key)
        if curve is None:
            continue
        color = {words: REGION_COLORS[words]}
        table, [points] = curvesToNodes(
            scene, np.array(curve["delays_s"]), {words: np.array(curve["observed"])}, name,
            unit=DENSITY_UNIT, role=f"asl.{key}", title=words, colors=color,
        )  # fmt: skip
        points.SetName(words)  # the legend of six entries would cover late delays, with the study in each
        points.SetLineStyle(points.LineStyleNone)
        points.SetMarkerSize(9)
        nodes |= {f"curve.asl.{key}": table, f"plot.asl.{key}": points}
        shown = [points]
        if "model" in curve:
            label = f"{words}, {curve.get('method', 'model')}"
            table, [line] = curvesToNodes(
                scene, np.array(curve["model_s"]), {label: np.array(curve["model"])}, name,
                unit=DENSITY_UNIT, role=f"asl.{key}.model", title=label, colors={label: REGION_COLORS[words]},
            )  # fmt: skip
            line.SetName(label)
            line.SetMarkerStyle(line.MarkerStyleNone)
            nodes |= {f"curve.asl.{key}.model": table, f"plot.asl.{key}.model": line}
            shown.append(line)
        if ASIDE.get(key) not in curves:
            plots += shown
    if plots:
        chart = plotsToChart(scene, plots, name, role="input", title="label in regions", yTitle=f"label density [{DENSITY_UNIT}]")
        chart.SetXAxisTitle("post-label delay [s]")
        nodes["chart.input"] = chart
    return nodes


def _addReport(scene: Any, study: AslStudy, name: str) -> dict[str, Any]:
    nodes = {
        SUMMARY: summaryToTable(scene, study.metrics, name),
        "table.metrics": metricsToTable(scene, study.metrics, name),
        "table.findings": findingsToTable(scene, study.findings, name),
        REPORT: reportToText(scene, study, name),
    }
    if study.motion is not None:
        nodes["table.motion"] = motionToTable(scene, study.motion, name)
    return nodes
