# SPDX-License-Identifier: Apache-2.0
"""What a user gives besides maps and thresholds: plane, side, regions, sinuses, curves, a later scan; kept with the lesions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps

from .CurveNodes import tableToInputFunction
from .LesionNodes import segmentArray
from .MapUnits import readMaps
from .MidplaneNodes import MIDPLANE, SINUSES, givenPlane, movedSinuses
from .StudyRoles import STUDY, nodesOfStudy

REFERENCE = "PerfusionSuite.input."
KEPT = "PerfusionSuite.inputs"
Region = tuple[Any, str]
"""A vtkMRMLSegmentationNode and the ID of one of its segments."""


@dataclass(frozen=True)
class LesionInputs:
    """What is known besides the maps.

    :param midplane: vtkMRMLMarkupsPlaneNode (counts when it was moved) or (nR, nA, nS, d) in RAS mm.
    :param side: "left", "right", "bilateral", or empty to take the side from the maps.
    :param contra: segmentation node and segment ID of the normal region.
    :param roi: segmentation node and segment ID of the cortical region on the side of the lesion.
    :param sinuses: vtkMRMLMarkupsFiducialNode of the markers of sagittal sinus and torcula (count when they were moved).
    :param aif: vtkMRMLTableNode of the arterial curve.
    :param vof: vtkMRMLTableNode of the venous curve.
    :param followUp: vtkMRMLScalarVolumeNode of a later scan by quantity: tmax, cbf, and if there are cbv, delay, baseline.
    :param ageYears: for the criteria of DAWN.
    :param nihss: NIH Stroke Scale, for the same.
    :param units: unit of a map by its quantity, where it differs from what the volume says.
    """

    midplane: Any = None
    side: str = ""
    contra: Region | None = None
    roi: Region | None = None
    sinuses: Any = None
    aif: Any = None
    vof: Any = None
    followUp: Mapping[str, Any] = field(default_factory=dict)
    ageYears: float | None = None
    nihss: int | None = None
    units: Mapping[str, str] = field(default_factory=dict)


def inputsOfJob(given: LesionInputs, maps: PerfusionMaps, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the worker needs.

    :param given: what the user gave.
    :param maps: the maps.
    :param study: nodes of the study by role: its plane, markers and curves are taken where the user gave none.
    """
    shape, affine = maps.shape, maps.affine
    plane = given.midplane if given.midplane is not None else study.get(MIDPLANE)
    if hasattr(plane, "GetNormalWorld"):
        plane = givenPlane(plane)
    found: dict[str, Any] = {} if plane is None else {"midplane": np.asarray(plane, float)}
    if given.side:
        found["side"] = given.side
    for name, region in (("contra_mask", given.contra), ("roi_mask", given.roi)):
        if region is not None:
            found[name] = _mask(region, shape, affine)
    found |= movedSinuses(given.sinuses or study.get(SINUSES), shape, affine)
    for kind, table in (("aif", given.aif), ("vof", given.vof)):
        node = table or study.get(f"curve.{kind}")
        if node is not None:
            found[kind] = tableToInputFunction(node, kind)
    later = {key: node for key, node in given.followUp.items() if node is not None}
    if later:
        if "tmax" not in later:
            msg = "The later scan has no Tmax map. Choose it, or leave the later scan out."
            raise InvalidInputError(msg)
        found["follow_up"] = readMaps(later)
    return found | {key: value for key, value in (("age_years", given.ageYears), ("nihss", given.nihss)) if value is not None}


def _mask(region: Region, shape: tuple[int, ...], affine: Any) -> np.ndarray:
    node, segmentID = region
    mask = segmentArray(node, segmentID, shape, affine)
    if not mask.any():
        msg = f"The segment '{segmentID}' of '{node.GetName()}' is empty on the maps. Draw it, or choose another."
        raise InvalidInputError(msg)
    return mask


def followUpOf(scene: Any, tmaxNode: Any, cbfNode: Any = None) -> dict[str, Any]:
    """Return the maps of a later scan by quantity, from its Tmax map: those of the same study, and the CBF that is given."""
    if tmaxNode is None:
        return {}
    study = tmaxNode.GetAttribute(STUDY)
    nodes = nodesOfStudy(scene, study) if study else {}
    found = {key: node for key in ("cbf", "cbv", "delay", "baseline") if (node := nodes.get(f"map.{key}")) is not None}
    return {**found, **({"cbf": cbfNode} if cbfNode is not None else {}), "tmax": tmaxNode}


def keepInputs(segmentation: Any, given: LesionInputs) -> None:
    """Keep with lesions what they were found with, so that they are measured with the same."""
    plain: dict[str, Any] = {"side": given.side, "ageYears": given.ageYears, "nihss": given.nihss, "units": dict(given.units)}
    nodes: dict[str, Any] = {"sinuses": given.sinuses, "aif": given.aif, "vof": given.vof}
    if hasattr(given.midplane, "GetID"):
        nodes["midplane"] = given.midplane
    elif given.midplane is not None:
        plain["midplane"] = [float(value) for value in given.midplane]
    for name in ("contra", "roi"):
        region = getattr(given, name)
        nodes[name] = None if region is None else region[0]
        plain[name] = None if region is None else region[1]
    nodes |= {f"followUp.{key}": given.followUp.get(key) for key in ("tmax", "cbf", "cbv", "delay", "baseline")}
    for name, node in nodes.items():
        segmentation.SetNodeReferenceID(REFERENCE + name, None if node is None else node.GetID())
    segmentation.SetAttribute(KEPT, json.dumps(plain))


def keptInputs(segmentation: Any) -> LesionInputs:
    """Return what lesions were found with, as far as it is still in the scene."""
    text = segmentation.GetAttribute(KEPT)
    plain = json.loads(text) if text else {}

    def node(name: str) -> Any:
        return segmentation.GetNodeReference(REFERENCE + name)

    regions = {name: (node(name), plain[name]) for name in ("contra", "roi") if plain.get(name) and node(name) is not None}
    later = {key: node(f"followUp.{key}") for key in ("tmax", "cbf", "cbv", "delay", "baseline")}
    return LesionInputs(
        midplane=node("midplane") or plain.get("midplane"),
        side=plain.get("side") or "",
        sinuses=node("sinuses"),
        aif=node("aif"),
        vof=node("vof"),
        followUp={key: item for key, item in later.items() if item is not None},
        ageYears=plain.get("ageYears"),
        nihss=plain.get("nihss"),
        units=plain.get("units") or {},
        **regions,
    )
