# SPDX-License-Identifier: Apache-2.0
"""Lesions as one segmentation, anatomical masks and regions as a second, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import slicer

from PerfusionSuiteLib.core import InvalidInputError, LesionMasks, QualityFinding, TissueMasks
from PerfusionSuiteLib.core.colors import LESION_COLORS

from .StudyRoles import ANATOMY, LESIONS, factsOf, nodeFor, setFacts
from .VolumeArrays import affineOf, maskArray, maskImage, transformProblem

CORE, PENUMBRA, HYPOPERFUSION, CSF = "Core", "Penumbra", "Hypoperfusion", "CSF"
LESION_SEGMENTS = {HYPOPERFUSION: "hypoperfusion", PENUMBRA: "penumbra", CORE: "core"}
"""Segment ID and field of LesionMasks; drawn in this order, so that the core lies on top."""

LOW_FLOW = "Low flow against the other side"
"""Name of the only segment of an ASL study; its ID is that of hypoperfusion."""

TISSUE_SEGMENTS = {"Brain": "brain", CSF: "csf", "Vessels": "vessel", "Bone": "bone"}
REGION_SEGMENTS = {"Counted tissue": "tissue", "Reference tissue": "reference"}
EXTRA = "Region "

ANATOMY_COLORS = {
    "Brain": (0.93, 0.78, 0.70),
    CSF: (0.25, 0.55, 0.90),
    "Vessels": (0.80, 0.20, 0.35),
    "Bone": (0.95, 0.92, 0.78),
    "Counted tissue": (0.55, 0.80, 0.65),
    "Reference tissue": (0.40, 0.45, 0.95),
}
EXTRA_COLOR = (0.75, 0.45, 0.85)

_ALTERED = "SCT^49755003^Morphologically Altered Structure"
_TISSUE = "SCT^85756007^Tissue"
TERMINOLOGY = {
    CORE: (_ALTERED, "SCT^55641003^Infarct"),
    PENUMBRA: (_ALTERED, "SCT^52674009^Ischemia"),
    HYPOPERFUSION: (_ALTERED, "SCT^52674009^Ischemia"),
    "Brain": ("SCT^123037004^Anatomical Structure", "SCT^12738006^Brain"),
    "CSF": ("SCT^91720002^Body Substance", "SCT^65216001^Cerebrospinal fluid"),
    "Vessels": ("SCT^123037004^Anatomical Structure", "SCT^59820001^Blood vessel"),
    "Bone": (_TISSUE, "SCT^272673000^Bone"),
}
"""SNOMED CT category and type of each segment; other regions are tagged as tissue."""

LIST_OF_TYPES = "Segmentation category and type - DICOM master list"
LIST_OF_REGIONS = "Anatomic codes - DICOM master list"
BRAIN_REGION = "SCT^12738006^Brain"


def lesionsToSegmentation(scene: Any, lesions: LesionMasks, name: str, *, reference: Any = None) -> Any:
    """Put the lesions into a segmentation with segments Hypoperfusion, Penumbra and Core.

    Parameters
    ----------
    reference : vtkMRMLScalarVolumeNode, optional
        The volume whose grid the segmentation keeps when it is edited.
    """
    node = nodeFor(scene, "vtkMRMLSegmentationNode", name, LESIONS, f"{name} lesions")
    masks = {segment: getattr(lesions, field) for segment, field in LESION_SEGMENTS.items()}
    colors = {segment: LESION_COLORS[field] for segment, field in LESION_SEGMENTS.items()}
    fillSegmentation(node, masks, lesions.affine, colors, reference)
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetOpacity2DFill(0.45)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(1)
    # Core and penumbra together fill the hypoperfused region: its outline says enough, and theirs would hide it.
    display.SetSegmentVisibility2DFill(HYPOPERFUSION, False)
    display.SetSegmentVisibility2DOutline(PENUMBRA, False)
    keepLesionFacts(node, lesions)
    return node


def lowFlowToSegmentation(scene: Any, lesions: LesionMasks, name: str, *, reference: Any = None) -> Any:
    """Put low flow against the other side into a segmentation of one segment, which tells neither core nor penumbra.

    Parameters
    ----------
    reference : vtkMRMLScalarVolumeNode, optional
        The volume whose grid the segmentation keeps when it is edited.
    """
    node = nodeFor(scene, "vtkMRMLSegmentationNode", name, LESIONS, f"{name} low flow")
    color = {HYPOPERFUSION: LESION_COLORS["hypoperfusion"]}
    fillSegmentation(node, {HYPOPERFUSION: lesions.hypoperfusion}, lesions.affine, color, reference)
    segment = node.GetSegmentation().GetSegment(HYPOPERFUSION)
    segment.SetName(LOW_FLOW)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminologyEntry(LOW_FLOW))
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetOpacity2DFill(0.45)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(1)
    keepLesionFacts(node, lesions)
    return node


def keepLesionFacts(node: Any, lesions: LesionMasks) -> None:
    """Keep with a segmentation what is known about its lesions besides their voxels."""
    setFacts(
        node,
        {
            "shape": lesions.core.shape,
            "affine": lesions.affine,
            "side": lesions.side,
            "midplane": lesions.midplane,
            "thresholds": lesions.thresholds,
            "findings": [asdict(finding) for finding in lesions.findings],
        },
    )


def anatomyToSegmentation(scene: Any, masks: TissueMasks, lesions: LesionMasks, name: str, *, reference: Any = None) -> Any:
    """Put brain, CSF, vessels, bone and the regions that metrics rest on into a second, hidden segmentation."""
    node = nodeFor(scene, "vtkMRMLSegmentationNode", name, ANATOMY, f"{name} anatomy and regions")
    arrays = {segment: getattr(masks, field) for segment, field in TISSUE_SEGMENTS.items()}
    arrays |= {segment: getattr(lesions, field) for segment, field in REGION_SEGMENTS.items()}
    arrays |= {EXTRA + key: mask for key, mask in lesions.extra.items()}
    colors = {segment: ANATOMY_COLORS.get(segment, EXTRA_COLOR) for segment in arrays}
    fillSegmentation(node, arrays, lesions.affine, colors, reference)
    node.GetDisplayNode().SetVisibility(False)
    findings = [asdict(finding) for finding in masks.findings]
    setFacts(node, {"shape": masks.brain.shape, "affine": lesions.affine, "findings": findings})
    return node


def fillSegmentation(node: Any, masks: Mapping[str, np.ndarray], affine: Any, colors: Mapping[str, Any], reference: Any) -> None:
    """Replace the segments of a segmentation by masks, keyed and named by segment ID.

    :param reference: volume whose grid the segmentation keeps, or None.
    """
    node.CreateDefaultDisplayNodes()
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segmentation = node.GetSegmentation()
    wasModifying = node.StartModify()
    segmentation.RemoveAllSegments()
    segmentation.SetSourceRepresentationName("Binary labelmap")
    for segmentID, mask in masks.items():
        segment = slicer.vtkSegment()
        segment.SetName(segmentID.removeprefix(EXTRA))
        segment.SetColor(*colors[segmentID])
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminologyEntry(segmentID))
        # One labelmap for each segment: regions may overlap, and none may lose voxels to another.
        segment.AddRepresentation("Binary labelmap", maskImage(mask, affine))
        segmentation.AddSegment(segment, segmentID)
    node.EndModify(wasModifying)


def terminologyEntry(segmentID: str) -> str:
    """Return the coded meaning of a segment in the form in which segments keep it."""
    category, kind = TERMINOLOGY.get(segmentID, (_TISSUE, _TISSUE))
    region = BRAIN_REGION if category == _ALTERED else "^^"
    return f"{LIST_OF_TYPES}~{category}~{kind}~^^~{LIST_OF_REGIONS}~{region}~^^"


def setSegment(node: Any, segmentID: str, mask: np.ndarray, affine: Any) -> None:
    """Replace the voxels of one segment; the others, and what the user did to them, stay."""
    segment = node.GetSegmentation().GetSegment(segmentID)
    segment.AddRepresentation("Binary labelmap", maskImage(mask, affine))
    segment.Modified()


def segmentArray(node: Any, segmentID: str, shape: tuple[int, ...], affine: Any) -> np.ndarray:
    """Return a segment as a mask (I, J, K) on a grid.

    Raises
    ------
    InvalidInputError
        If the segmentation has no such segment, or a transform moves it.
    """
    if moved := transformProblem(node):
        raise InvalidInputError(moved)
    segmentation = node.GetSegmentation()
    if segmentation.GetSegmentIndex(segmentID) < 0:
        known = ", ".join(segmentation.GetSegmentIDs()) or "none"
        msg = f"The segmentation '{node.GetName()}' has no segment '{segmentID}'. It has: {known}."
        raise InvalidInputError(msg)
    image = slicer.vtkOrientedImageData()
    if not node.GetBinaryLabelmapRepresentation(segmentID, image) or image.IsEmpty():
        return np.zeros(shape, bool)
    return maskArray(image, shape, affine)


def segmentCenter(node: Any, segmentID: str) -> tuple[float, float, float] | None:
    """Return the middle of a segment in RAS, None when it is not there or empty; Slicer itself would log an error then."""
    image = slicer.vtkOrientedImageData()
    known = node.GetSegmentation().GetSegmentIndex(segmentID) >= 0
    if not known or not node.GetBinaryLabelmapRepresentation(segmentID, image) or image.IsEmpty():
        return None
    return node.GetSegmentCenterRAS(segmentID) if image.GetScalarRange()[1] > 0 else None


def segmentationToLesions(lesionsNode: Any, anatomyNode: Any, *, reference: Any = None) -> LesionMasks:
    """Read lesions, also after they were edited, with the regions of the second segmentation.

    Parameters
    ----------
    reference : vtkMRMLScalarVolumeNode, optional
        A volume with the grid to read them on, by default the grid they were written on.
    """
    facts = factsOf(lesionsNode)
    shape, affine = _grid(lesionsNode, facts, reference)
    fields = {field: segmentArray(lesionsNode, segment, shape, affine) for segment, field in LESION_SEGMENTS.items()}
    regions = {field: segmentArray(anatomyNode, segment, shape, affine) for segment, field in REGION_SEGMENTS.items()}
    extraIDs = [segmentID for segmentID in anatomyNode.GetSegmentation().GetSegmentIDs() if segmentID.startswith(EXTRA)]
    return LesionMasks(
        **fields,
        **regions,
        affine=affine,
        side=facts.get("side", "none"),
        midplane=np.array(facts.get("midplane", (1.0, 0.0, 0.0, 0.0))),
        extra={segmentID.removeprefix(EXTRA): segmentArray(anatomyNode, segmentID, shape, affine) for segmentID in extraIDs},
        thresholds=facts.get("thresholds", {}),
        findings=tuple(QualityFinding(**finding) for finding in facts.get("findings", ())),
    )


def segmentationToMasks(anatomyNode: Any, *, reference: Any = None) -> TissueMasks:
    """Read brain, CSF, vessels and bone, also after they were edited."""
    facts = factsOf(anatomyNode)
    shape, affine = _grid(anatomyNode, facts, reference)
    fields = {field: segmentArray(anatomyNode, segment, shape, affine) for segment, field in TISSUE_SEGMENTS.items()}
    return TissueMasks(**fields, findings=tuple(QualityFinding(**finding) for finding in facts.get("findings", ())))


def _grid(node: Any, facts: Mapping[str, Any], reference: Any) -> tuple[tuple[int, int, int], np.ndarray]:
    if reference is not None:
        return reference.GetImageData().GetDimensions(), affineOf(reference)
    if "shape" not in facts:
        msg = f"The grid of the segmentation '{node.GetName()}' is not known. Choose a reference volume."
        raise InvalidInputError(msg)
    return tuple(facts["shape"]), np.array(facts["affine"])
