# SPDX-License-Identifier: Apache-2.0
"""What the logic of Core Penumbra is made of: plain arguments become inputs, jobs are started; imports no Qt."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from PerfusionSuiteLib.core import InvalidInputError

from ..mrml.DrawnRegions import checkPicture, readRegion, writePicture
from ..mrml.LesionInputs import LesionInputs, followUpOf, keptInputs
from ..mrml.LesionJob import lesionStudyOf, markersToScene
from ..mrml.LesionNodes import segmentationToLesions
from ..mrml.LesionPreview import REGION_LABEL, showLabels
from ..mrml.MapUnits import gridOf
from ..mrml.MidplaneNodes import MIDPLANE, SINUSES, midplaneToNode
from ..mrml.RegionJobs import tableToCsv
from ..mrml.StudyRoles import ANATOMY, LESIONS, STUDY, findNode, nodesOfStudy, removeNode
from ..mrml.VolumeArrays import volumeArray
from .RunnerChoice import chooseRunner


def started(start, subject, waitForCompletion, progressCallback, finishedCallback, **choices):
    """Start a job of the scene and return its handle, or wait and return its nodes.

    :param start: function of the mrml layer that takes scene, runner, subject, choices, progress and finished.
    :param subject: what the job is about.
    """
    runner = chooseRunner(waitForCompletion)
    job = start(slicer.mrmlScene, runner, subject, **choices, progress=progressCallback, finished=finishedCallback)
    return job.wait() if waitForCompletion else job


def lesionInputs(segmentationNode=None, **given):
    """Return what a user gave as one value.

    :param segmentationNode: lesions whose own inputs hold for what is not named.
    :param given: fields of LesionInputs; followUpTmaxNode and followUpCbfNode stand for the maps of a later scan.
    """
    if "followUpTmaxNode" in given or "followUpCbfNode" in given:
        later = (given.pop("followUpTmaxNode", None), given.pop("followUpCbfNode", None))
        given["followUp"] = followUpOf(slicer.mrmlScene, *later)
    unknown = sorted(set(given) - set(LesionInputs.__dataclass_fields__))
    if unknown:
        known = ", ".join(LesionInputs.__dataclass_fields__)
        msg = f"There is no input '{unknown[0]}'. Known ones: {known}, followUpTmaxNode, followUpCbfNode."
        raise InvalidInputError(msg)
    empty = {"side": "", "units": {}, "followUp": {}}
    given = {name: empty.get(name) if value is None else value for name, value in given.items()}
    return replace(LesionInputs() if segmentationNode is None else keptInputs(segmentationNode), **given)


def exportTables(segmentationNode, folder):
    """Write every table of the study of a segmentation as CSV; return the paths.

    :param segmentationNode: vtkMRMLSegmentationNode of lesions.
    :param folder: where to; a folder "tables" is made in it.
    """
    study = segmentationNode.GetAttribute(STUDY)
    nodes = nodesOfStudy(segmentationNode.GetScene(), study)
    tables = {role: node for role, node in nodes.items() if node.IsA("vtkMRMLTableNode")}
    files, place = [], Path(folder) / "tables"  # metrics.csv of an export has the same name and another form
    place.mkdir(parents=True, exist_ok=True)
    statistics = 0
    for role, node in tables.items():
        stem = role.removeprefix("table.").replace(".", "_")
        if role.startswith("table.statistics."):
            statistics += 1
            stem = "statistics" if statistics == 1 else f"statistics_{statistics}"
        files.append(tableToCsv(node, place / f"{stem}.csv"))
    return files


def markers(tmaxNode):
    """Return plane and sinus markers of a Tmax map's study, None where there is none."""
    scene, study = tmaxNode.GetScene(), lesionStudyOf(tmaxNode)
    return findNode(scene, study, MIDPLANE), findNode(scene, study, SINUSES)


def addMarkers(tmaxNode):
    """Return plane and sinus markers of a Tmax map's study; those that are missing are made.

    Where lesions are known the markers lie where they were found. Else the plane lies in the middle of the brain, and there
    are no markers of sinuses. A marker counts once it is moved.
    """
    scene, study = tmaxNode.GetScene(), lesionStudyOf(tmaxNode)
    plane, sinuses = markers(tmaxNode)
    nodes = nodesOfStudy(scene, study)
    if LESIONS in nodes and ANATOMY in nodes and (plane is None or sinuses is None):
        markersToScene(scene, segmentationToLesions(nodes[LESIONS], nodes[ANATOMY], reference=tmaxNode), study)
        plane, sinuses = markers(tmaxNode)
    if plane is None:
        shape, affine = gridOf(tmaxNode)
        values = volumeArray(tmaxNode)
        inside = np.argwhere(np.isfinite(values) & (values != 0))
        center = inside.mean(axis=0) if len(inside) else (np.array(shape) - 1) / 2.0
        middle = float(affine[0, :3] @ center + affine[0, 3])
        plane = midplaneToNode(scene, (1.0, 0.0, 0.0, middle), study, shape=shape, affine=affine)
    return plane, sinuses


def forgetMarkers(tmaxNode, midplane=False, sinuses=False):
    """Remove plane or markers of a Tmax map's study."""
    for node, isMeant in zip(markers(tmaxNode), (midplane, sinuses), strict=True):
        if isMeant and node is not None:
            removeNode(tmaxNode.GetScene(), node)


def checkRegion(picturePath, mapNode, checkPath=None, **settings):
    """Show the region of a picture over the slice views; return volume, side and what was odd, in words."""
    region, picture = readRegion(picturePath, mapNode, **settings)
    if checkPath is not None:
        writePicture(checkPath, checkPicture(region, picture, mapNode, settings.get("orientation", "axial")))
    showLabels(mapNode.GetScene(), np.where(region.mask, REGION_LABEL, 0).astype(np.uint8), gridOf(mapNode)[1])
    side, share = ("right", region.right_share) if region.right_share >= 0.5 else ("left", 1.0 - region.right_share)
    words = [f"{region.volume_ml:.1f} mL, {100 * share:.0f} % on the patient's {side}."]
    return " ".join(words + [f"{finding.message} {finding.advice}".strip() for finding in region.findings])
