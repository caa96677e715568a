# SPDX-License-Identifier: Apache-2.0
"""A job that finds lesions in maps of the scene, or measures them after they were edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PerfusionSuiteLib.core import InvalidInputError, ProgressCallback
from PerfusionSuiteLib.jobs import JobSpec, Runner

from .LesionNodes import CORE, HYPOPERFUSION, PENUMBRA, lesionsToSegmentation, segmentArray, segmentationToMasks, setSegment
from .MapNodes import nodesToMaps
from .StudyFolder import fileNodes
from .StudyJob import StudyJob
from .StudyRoles import ANATOMY, LESIONS, REPORT, STUDY, allOrNothing, factsOf, findNode, nodesOfStudy
from .SummaryTable import SUMMARY, summaryToTable
from .TableNodes import metricsToReport, metricsToTable, volumesToTable

MAP_KEYS = ("tmax", "cbf", "cbv", "delay")
REFERENCE = "PerfusionSuite.map."


class LesionJob(StudyJob):
    """The handle of lesions that are being found or measured; `nodes` becomes the nodes by role.

    With `edited` set, the segmentation is kept as the user left it and only the penumbra follows.
    """

    edited: Any = None
    mapNodes: Mapping[str, Any] = {}

    def _toScene(self, result: dict[str, Any]) -> dict[str, Any]:
        scene, name = self._scene, self._name or "lesions"
        if not all(scene.IsNodePresent(node) for node in self.mapNodes.values()):
            msg = "A map was removed from the scene meanwhile, so no lesions were added. Choose the maps again."
            raise InvalidInputError(msg)
        lesions, metrics = result["lesions"], result["metrics"]
        with allOrNothing(scene):
            if self.edited is None:
                segmentation = lesionsToSegmentation(scene, lesions, name, reference=self.mapNodes["tmax"])
            else:
                segmentation = self.edited
                setSegment(segmentation, PENUMBRA, lesions.penumbra, lesions.affine)
            for key, node in self.mapNodes.items():
                segmentation.SetNodeReferenceID(REFERENCE + key, node.GetID())
            nodes = {
                LESIONS: segmentation,
                SUMMARY: summaryToTable(scene, metrics, name),
                "table.metrics": metricsToTable(scene, metrics, name),
                "table.volumes": volumesToTable(scene, metrics, name),
                REPORT: metricsToReport(scene, metrics, name),
            }
            fileNodes(scene, name, nodes)
        return {f"map.{key}": node for key, node in self.mapNodes.items()} | nodes


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
    progress, finished : callable, optional
        See `StudyJob`.
    """
    nodes = {key: node for key, node in mapNodes.items() if node is not None}
    settings = {"preset": preset, "thresholds": dict(thresholds or {})}
    return _start(scene, runner, nodes, settings, {}, None, progress, finished)


def startMeasuringJob(
    scene: Any,
    runner: Runner,
    segmentation: Any,
    *,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
) -> LesionJob:
    """Start to measure lesions as they were edited; the thresholds stay those they were made with.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
        Made by `startLesionJob` or by a study, with its segments Core and Hypoperfusion.
    scene, runner, progress, finished
        See `startLesionJob`.
    """
    nodes = {key: node for key in MAP_KEYS if (node := _mapOf(scene, segmentation, key)) is not None}
    if not {"tmax", "cbf"} <= set(nodes):
        msg = f"The maps that '{segmentation.GetName()}' was made from are not in the scene. Find the lesions again."
        raise InvalidInputError(msg)
    facts = factsOf(segmentation)
    known = facts["thresholds"]
    maps = nodesToMaps(nodes)
    masks = {
        field: segmentArray(segmentation, segmentID, maps.shape, maps.affine)
        for field, segmentID in (("core", CORE), ("hypoperfusion", HYPOPERFUSION))
    }
    fields = ("tmax_s", "delay_s", "hypoperfusion_cbf", "rcbf_percent", "core_cbv", "min_cluster_ml")
    thresholds = {key: known[key] for key in fields if key in known}
    settings = {"preset": known.get("name", "ct-perfusion-auto"), "thresholds": thresholds}
    return _start(scene, runner, nodes, settings, masks, segmentation, progress, finished)


def _start(
    scene: Any, runner: Runner, nodes: Mapping[str, Any], settings: dict[str, Any], masks: dict[str, Any], edited: Any,
    progress: ProgressCallback | None, finished: Callable[[StudyJob], None] | None,
) -> LesionJob:  # fmt: skip
    name = lesionStudyOf(nodes["tmax"])
    study = nodesOfStudy(scene, name)
    # What the analysis of the scan knew beyond the maps, so that the same thresholds find the same lesions.
    maps = nodesToMaps({"baseline": study.get("map.baseline"), **nodes})
    method = maps["tmax"].provenance.method
    inputs = {"maps": maps, **masks}
    anatomy = study.get(ANATOMY)
    if anatomy is not None:
        inputs["masks"] = segmentationToMasks(anatomy, reference=nodes["tmax"])
    job = LesionJob(scene, None, name, progress, finished)
    job.edited, job.mapNodes = edited, nodes
    job.start(runner, JobSpec("segment", {**settings, "method": method, "case_id": name}, inputs))
    return job


def _mapOf(scene: Any, segmentation: Any, key: str) -> Any | None:
    study = segmentation.GetAttribute(STUDY)
    return segmentation.GetNodeReference(REFERENCE + key) or nodesOfStudy(scene, study).get(f"map.{key}")
