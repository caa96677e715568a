# SPDX-License-Identifier: Apache-2.0
"""Statistics of any segmentation within any maps, as a job that fills a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import QUANTITIES, InvalidInputError, PerfusionMap, ProgressCallback
from PerfusionSuiteLib.core.files import write_text
from PerfusionSuiteLib.jobs import JobSpec, Runner

from .LesionNodes import REGION_SEGMENTS, segmentArray
from .MapUnits import gridOf, onGrid
from .MidplaneNodes import MIDPLANE, nodeToPlane
from .StudyFolder import fileNodes
from .StudyJob import StudyJob
from .StudyRoles import ANATOMY, LESIONS, STUDY, factsOf, nodeFor, nodesOfStudy
from .TableNodes import columnValues, setTable
from .VolumeArrays import affineOf, transformProblem, volumeArray

ROLE_START = "table.statistics"
TEXT_COLUMNS = ("region", "map", "unit")
NUMBER_COLUMNS = (
    "volume_ml", "voxels", "mean", "sd", "median", "p5", "p25", "p75", "p95", "mirror_mean", "percent_of_mirror",
)  # fmt: skip
UNITS = {"volume_ml": "mL", "percent_of_mirror": "%"}


class StatisticsJob(StudyJob):
    """The handle of statistics that are computed; `nodes` becomes the table node."""

    segmentation: Any = None

    def _toScene(self, result: dict[str, Any]) -> Any:
        scene, study = self._scene, self._name
        if not scene.IsNodePresent(self.segmentation):
            msg = "The segmentation was removed from the scene meanwhile. Choose another."
            raise InvalidInputError(msg)
        role = f"{ROLE_START}.{self.segmentation.GetID()}"
        table = nodeFor(scene, "vtkMRMLTableNode", study, role, f"{self.segmentation.GetName()} statistics")
        rows = result["rows"]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in TEXT_COLUMNS}
        for name in NUMBER_COLUMNS:
            columns[name] = np.array([np.nan if row[name] is None else row[name] for row in rows], float)
        setTable(table, {name: values for name, values in columns.items() if name in TEXT_COLUMNS or np.isfinite(values).any()})
        for name, unit in UNITS.items():
            table.SetColumnUnitLabel(name, unit)
        fileNodes(scene, study, {role: table})
        return table


def startStatisticsJob(
    scene: Any,
    runner: Runner,
    segmentation: Any,
    mapNodes: Sequence[Any],
    *,
    midplane: Any = None,
    segmentIDs: Sequence[str] | None = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
) -> StatisticsJob:
    """Start to summarize maps within the segments of a segmentation.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the table goes.
    runner : Runner
        Starts the worker.
    segmentation : vtkMRMLSegmentationNode
        Any segmentation.
    mapNodes : sequence of vtkMRMLScalarVolumeNode
        Any volumes; the grid of the first is that of the statistics.
    midplane : vtkMRMLMarkupsPlaneNode or (nR, nA, nS, d), optional
        For the comparison with the mirror image; by default the plane of the study of segmentation or maps, when there is one.
    segmentIDs : sequence of str, optional
        Which segments, by default all.
    progress, finished : callable, optional
        See `StudyJob`.
    """
    images, units = _imagesOf(mapNodes)
    shape, affine = gridOf(mapNodes[0])
    known = segmentation.GetSegmentation()
    chosen = list(segmentIDs if segmentIDs is not None else known.GetSegmentIDs())
    regions: dict[str, Any] = {}
    for segmentID in chosen:
        name = known.GetSegment(segmentID).GetName() if known.GetSegment(segmentID) else segmentID
        regions[name if name not in regions else f"{name} ({segmentID})"] = segmentArray(segmentation, segmentID, shape, affine)
    if not regions:
        msg = f"The segmentation '{segmentation.GetName()}' has no segments. Draw one, or choose another."
        raise InvalidInputError(msg)
    study = segmentation.GetAttribute(STUDY) or next((s for node in mapNodes if (s := node.GetAttribute(STUDY))), None)
    nodes = nodesOfStudy(scene, study) if study else {}
    inputs: dict[str, Any] = {"images": images, "units": units, "regions": regions, "affine": affine}
    plane = _planeOf(midplane, nodes)
    if plane is not None:
        inputs["midplane"] = np.asarray(plane, float)
    anatomy, tissueID = nodes.get(ANATOMY), next(iter(REGION_SEGMENTS))
    if anatomy is not None and anatomy.GetSegmentation().GetSegmentIndex(tissueID) >= 0:
        inputs["tissue"] = segmentArray(anatomy, tissueID, shape, affine)
    job = StatisticsJob(scene, None, study or segmentation.GetName(), progress, finished)
    job.segmentation = segmentation
    job.start(runner, JobSpec("region-statistics", {}, inputs))
    return job


def _planeOf(midplane: Any, study: dict[str, Any]) -> Any | None:
    node = midplane if midplane is not None else study.get(MIDPLANE)
    if hasattr(node, "GetNormalWorld"):
        return nodeToPlane(node)
    if node is None and study.get(LESIONS) is not None:
        return factsOf(study[LESIONS]).get("midplane")
    return node


def _imagesOf(nodes: Sequence[Any]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read volumes of any origin on the grid of the first: arrays and units by what the volume shows, or by its name."""
    if not nodes:
        msg = "No map was chosen. Choose at least one."
        raise InvalidInputError(msg)
    shape, affine = gridOf(nodes[0])
    images: dict[str, np.ndarray] = {}
    units: dict[str, str] = {}
    for node in nodes:
        if moved := transformProblem(node):
            raise InvalidInputError(moved)
        facts = factsOf(node)
        known = QUANTITIES.get(facts.get("quantity", ""))
        name = node.GetName() if known is None or known.symbol in images else known.symbol
        name = name if name not in images else f"{name} ({node.GetID()})"  # volumes may share a name
        coded = node.GetVoxelValueUnits()
        coded = "" if coded is None else coded.GetCodeMeaning() or coded.GetCodeValue() or ""
        item = PerfusionMap(volumeArray(node).astype(np.float32), affineOf(node), known or QUANTITIES["baseline"])
        images[name], units[name] = onGrid(item, shape, affine).values, facts.get("unit", coded)
    return images, units


def tableToCsv(table: Any, path: str | os.PathLike[str]) -> Path:
    """Write a table node as CSV, one header line with the names of the columns; numbers that are missing stay empty."""
    columns = columnValues(table)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value) for value in row])
    write_text(Path(path), lines.getvalue())
    return Path(path)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{float(value):.9g}" if np.isfinite(value) else ""
