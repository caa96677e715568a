# SPDX-License-Identifier: Apache-2.0
"""A job that finds lesions in maps of the scene, or measures them after they were edited."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InvalidInputError, LesionMasks, ProgressCallback, TissueMasks
from PerfusionSuiteLib.core.threshold_choices import UNASKED_BEFORE
from PerfusionSuiteLib.jobs import JobSpec, Runner

from .LesionInputs import LesionInputs, inputsOfJob, keepInputs, keptInputs
from .LesionNodes import (
    CORE,
    HYPOPERFUSION,
    PENUMBRA,
    anatomyToSegmentation,
    keepLesionFacts,
    lesionsToSegmentation,
    segmentArray,
    segmentationToMasks,
    setSegment,
)
from .MapNodes import mapsToNodes, nodeToMap
from .MapUnits import onGrid, readMaps
from .MidplaneNodes import MIDPLANE, SINUSES, midplaneToNode, sinusesToNode
from .StudyFolder import fileNodes
from .StudyJob import StudyJob
from .StudyRoles import (
    ANATOMY,
    LESIONS,
    REPORT,
    STUDY,
    allOrNothing,
    factsOf,
    findNode,
    nodesOfStudy,
    removeNode,
    setFacts,
)
from .SummaryTable import SUMMARY, summaryToTable
from .TableNodes import metricsToReport, metricsToTable, textToMetrics, volumesToTable

MAP_KEYS = ("tmax", "cbf", "cbv", "delay")
REFERENCE = "PerfusionSuite.map."
PROBABILITY = "core_probability"
NETWORK = "PerfusionSuite.coreNetwork"
"""Attribute of lesions: the file of the network that drew the core, which their facts name without its folder."""
FROM_MAPS = "fromMaps"
"""Fact of an anatomy that the worker found in finished maps, and will find again: it is no input of the next run."""


class LesionJob(StudyJob):
    """The handle of lesions that are being found or measured; `nodes` becomes the nodes by role.

    With `edited` set, the segmentation is kept as the user left it and only the penumbra follows.
    """

    edited: Any = None
    mapNodes: Mapping[str, Any] = {}
    tissueMasks: TissueMasks | None = None
    given: LesionInputs = LesionInputs()
    network: str = ""

    def _toScene(self, result: dict[str, Any]) -> dict[str, Any]:
        scene, name = self._scene, self._name or "lesions"
        if not all(scene.IsNodePresent(node) for node in self.mapNodes.values()):
            msg = "A map was removed from the scene meanwhile, so no lesions were added. Choose the maps again."
            raise InvalidInputError(msg)
        lesions, metrics = result["lesions"], result["metrics"]
        with allOrNothing(scene):
            segmentation = self._lesions(lesions, name)
            for key, node in self.mapNodes.items():
                segmentation.SetNodeReferenceID(REFERENCE + key, node.GetID())
            keepInputs(segmentation, self.given)
            segmentation.SetAttribute(NETWORK, self.network or None)
            nodes = {
                LESIONS: segmentation,
                ANATOMY: self._anatomy(lesions, name),
                **markersToScene(scene, lesions, name),
                **{f"map.{key}": node for key, node in mapsToNodes(scene, result["maps"], name).items()},
                SUMMARY: summaryToTable(scene, metrics, name),
                "table.metrics": metricsToTable(scene, metrics, name),
                "table.volumes": volumesToTable(scene, metrics, name),
                REPORT: metricsToReport(scene, metrics, name),
            }
            fileNodes(scene, name, nodes)
            earlier = nodesOfStudy(scene, name).get(f"map.{PROBABILITY}")
            if earlier is not None and PROBABILITY not in result["maps"] and self.edited is None:
                removeNode(scene, earlier)  # a network's core, and these lesions are others
        return {f"map.{key}": node for key, node in self.mapNodes.items()} | nodes

    def _lesions(self, lesions: LesionMasks, name: str) -> Any:
        if self.edited is None:
            return lesionsToSegmentation(self._scene, lesions, name, reference=self.mapNodes["tmax"])
        setSegment(self.edited, PENUMBRA, lesions.penumbra, lesions.affine)
        keepLesionFacts(self.edited, lesions)
        return self.edited

    def _anatomy(self, lesions: LesionMasks, name: str) -> Any:
        masks = self.tissueMasks
        if masks is None:
            none = np.zeros_like(lesions.core)
            brain, vessel = (lesions.extra.get(key, other) for key, other in (("brain", lesions.tissue), ("vessel", none)))
            masks = TissueMasks(brain, none, vessel, none)
        node = anatomyToSegmentation(self._scene, masks, lesions, name, reference=self.mapNodes["tmax"])
        setFacts(node, factsOf(node) | {FROM_MAPS: self.tissueMasks is None})
        return node


def markersToScene(scene: Any, lesions: LesionMasks, name: str) -> dict[str, Any]:
    """Show plane and sinuses of lesions as markups; return them by role."""
    facts, affine = lesions.thresholds, lesions.affine
    manual = facts.get("midplane_from") == "manual"
    plane = midplaneToNode(scene, lesions.midplane, name, shape=lesions.core.shape, affine=affine, manual=manual)
    brain = lesions.extra.get("brain", lesions.tissue)
    sinuses = sinusesToNode(
        scene, lesions.extra, name, affine,
        fallback=_posteriorMidline(brain, affine, lesions.midplane), drawn=facts.get("drawn_sinuses", ()),
    )  # fmt: skip
    return {MIDPLANE: plane, SINUSES: sinuses}


def _posteriorMidline(brain: np.ndarray, affine: Any, plane: Any) -> dict[str, np.ndarray]:
    """Return where a marker waits for the user when no sinus was found: behind the brain, high and low."""
    affine, plane = np.asarray(affine, float), np.asarray(plane, float)
    places = np.argwhere(brain) @ affine[:3, :3].T + affine[:3, 3]
    near = places[np.abs(places @ plane[:3] - plane[3]) < 10.0]
    places = near if len(near) else places
    low, high = np.percentile(places[:, 2], (20.0, 80.0))
    halves = {"sss": places[places[:, 2] >= high], "torcula": places[places[:, 2] <= low]}
    return {key: part[np.argmin(part[:, 1])] for key, part in halves.items()}


def lesionStudyOf(tmaxNode: Any) -> str:
    """Return the name of the study that lesions of a map belong to."""
    return tmaxNode.GetAttribute(STUDY) or tmaxNode.GetName()


def lesionsOf(tmaxNode: Any) -> Any | None:
    """Return the segmentation that was made from a Tmax map, or None."""
    return findNode(tmaxNode.GetScene(), lesionStudyOf(tmaxNode), LESIONS)


def startLesionJob(
    scene: Any,
    runner: Runner,
    mapNodes: Mapping[str, Any],
    *,
    preset: str = "ct-perfusion-auto",
    thresholds: Mapping[str, Any] | None = None,
    inputs: LesionInputs | None = None,
    output: str | os.PathLike[str] | None = None,
    files: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
) -> LesionJob:
    """Start to find hypoperfusion, core and penumbra.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the lesions go: into the study of the Tmax map.
    runner : Runner
        Starts the worker.
    mapNodes : mapping
        vtkMRMLScalarVolumeNode by key: tmax, cbf, and optionally cbv and delay; None where there is none.
    preset : str
        Name of the threshold preset.
    thresholds : mapping, optional
        Fields of ``lesion.Preset`` that differ from it.
    inputs : LesionInputs, optional
        Plane, side, regions, markers, curves and a later scan.
    output : path-like, optional
        Folder that the results are also written to.
    files : mapping, optional
        What is written, see ``jobs.lesion_tasks.write_lesion_files``.
    progress, finished : callable, optional
        See `StudyJob`.
    """
    nodes = {key: node for key, node in mapNodes.items() if node is not None}
    settings = {"preset": preset, "thresholds": dict(thresholds or {}), **(files or {})}
    spec = _Spec(settings, {}, None if output is None else Path(output))
    return _start(scene, runner, nodes, spec, inputs or LesionInputs(), None, progress, finished)


def startMeasuringJob(
    scene: Any,
    runner: Runner,
    segmentation: Any,
    *,
    inputs: LesionInputs | None = None,
    output: str | os.PathLike[str] | None = None,
    files: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
) -> LesionJob:
    """Start to measure lesions as they were edited; the thresholds stay those they were made with.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
        Made by `startLesionJob` or by a study, with its segments Core and Hypoperfusion.
    inputs : LesionInputs, optional
        What replaces what the lesions were found with; by default the same, as it is now in the scene.
    scene, runner, output, files, progress, finished
        See `startLesionJob`.
    """
    nodes = {key: node for key in MAP_KEYS if (node := _mapOf(scene, segmentation, key)) is not None}
    if not {"tmax", "cbf"} <= set(nodes):
        msg = f"The maps that '{segmentation.GetName()}' was made from are not in the scene. Find the lesions again."
        raise InvalidInputError(msg)
    given = keptInputs(segmentation) if inputs is None else inputs
    known = factsOf(segmentation)["thresholds"]
    tmax = nodeToMap(nodes["tmax"], "tmax")
    masks = {
        field: segmentArray(segmentation, segmentID, tmax.values.shape, tmax.affine)
        for field, segmentID in (("core", CORE), ("hypoperfusion", HYPOPERFUSION))
    }
    thresholds = editedThresholds(known)
    if "core_network" in thresholds:
        thresholds["core_network"] = segmentation.GetAttribute(NETWORK) or thresholds["core_network"]
    settings = {"preset": known.get("preset", "ct-perfusion-auto"), "thresholds": thresholds, **(files or {})}
    spec = _Spec(settings, masks, None if output is None else Path(output))
    return _start(scene, runner, nodes, spec, given, segmentation, progress, finished)


def editedThresholds(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds of lesions that differ from their preset."""
    basic = ("tmax_s", "delay_s", "hypoperfusion_cbf", "rcbf_percent", "core_cbv", "min_cluster_ml")
    edited = {key: known[key] for key in known.get("edited", basic) if key in known}
    if "tmax_s" in known:  # lesions of earlier versions keep their rule
        edited |= {key: value for key, value in UNASKED_BEFORE.items() if key not in known}
    return edited


class _Spec:
    """Settings, masks and output folder of a job."""

    def __init__(self, settings: dict[str, Any], masks: Mapping[str, Any], output: Path | None) -> None:
        self.settings, self.masks, self.output = settings, masks, output


def mapsOfJob(nodes: Mapping[str, Any], study: Mapping[str, Any], units: Mapping[str, str]) -> Any:
    """Read maps as the worker needs them: with what else the study knows, so that the same thresholds find the same lesions."""
    maps = readMaps(nodes, units)
    for key in ("baseline", "mtt"):
        node = study.get(f"map.{key}")
        if node is not None and key not in maps:
            maps = maps.added(onGrid(nodeToMap(node, key), maps.shape, maps.affine))
    return maps


def masksOfStudy(study: Mapping[str, Any], reference: Any) -> TissueMasks | None:
    """Return the tissue masks of a study, None when nobody but the worker found them."""
    anatomy = study.get(ANATOMY)
    if anatomy is None or factsOf(anatomy).get(FROM_MAPS):
        return None
    return segmentationToMasks(anatomy, reference=reference)


def _start(
    scene: Any, runner: Runner, nodes: Mapping[str, Any], spec: _Spec, given: LesionInputs, edited: Any,
    progress: ProgressCallback | None, finished: Callable[[StudyJob], None] | None,
) -> LesionJob:  # fmt: skip
    name = lesionStudyOf(nodes["tmax"])
    study = nodesOfStudy(scene, name)
    maps = mapsOfJob(nodes, study, given.units)
    job = LesionJob(scene, None, name, progress, finished)
    job.edited, job.mapNodes, job.given = edited, nodes, given
    job.network = str(spec.settings["thresholds"].get("core_network") or "")
    job.tissueMasks = masksOfStudy(study, nodes["tmax"])
    inputs = {"maps": maps, **spec.masks, **inputsOfJob(given, maps, study)}
    if job.tissueMasks is not None:
        inputs["masks"] = job.tissueMasks
    # Volumes from elsewhere may be called after the patient; results only take the name of a study of ours.
    caseName = name if nodes["tmax"].GetAttribute(STUDY) else "case"
    facts = {"method": maps["tmax"].provenance.method, "case_id": caseName, "modality": _modality(study)}
    job.start(runner, JobSpec("segment", {**spec.settings, **facts}, inputs, spec.output))
    return job


def _modality(study: Mapping[str, Any]) -> str:
    report = study.get(REPORT)
    acquisition = {} if report is None else textToMetrics(report).values.get("acquisition") or {}
    return str(acquisition.get("modality") or "")


def _mapOf(scene: Any, segmentation: Any, key: str) -> Any | None:
    study = segmentation.GetAttribute(STUDY)
    return segmentation.GetNodeReference(REFERENCE + key) or nodesOfStudy(scene, study).get(f"map.{key}")
