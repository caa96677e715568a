# SPDX-License-Identifier: Apache-2.0
"""What thresholds would find, as a light label volume over the slice views, while the user moves a slider."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core.colors import LESION_COLORS

from .LesionInputs import LesionInputs, inputsOfJob
from .LesionJob import PROBABILITY, lesionStudyOf, mapsOfJob, masksOfStudy
from .MapNodes import nodeToMap
from .MapUnits import onGrid
from .StudyRoles import LESIONS, ROLE, factsOf, nodesOfStudy, removeNode
from .VolumeArrays import setVolume

PREVIEW, PREVIEW_COLORS = "preview", "colors.preview"
OPACITY = 0.55
PENUMBRA_LABEL, CORE_LABEL, REGION_LABEL, LATE_LABEL = 1, 2, 3, 4
_NAMES = {
    PENUMBRA_LABEL: ("penumbra", LESION_COLORS["penumbra"]),
    CORE_LABEL: ("core", LESION_COLORS["core"]),
    REGION_LABEL: ("region", (0.10, 0.85, 0.95)),
    LATE_LABEL: ("hypoperfusion", LESION_COLORS["hypoperfusion"]),
}


class LesionPreview:
    """Shows the lesions that Apply would find; nothing of it is saved.

    :param scene: vtkMRMLScene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._key: Any = None
        self._basis: Any = None

    def update(
        self,
        mapNodes: Mapping[str, Any],
        preset: str,
        thresholds: Mapping[str, Any] | None = None,
        inputs: LesionInputs | None = None,
    ) -> dict[str, float]:
        """Find and show the lesions of these thresholds; return their volumes in mL by ``hypoperfusion core penumbra``.

        A network is not asked: where it draws the core, that of its last run is shown, and hypoperfusion alone without one.

        :param mapNodes: vtkMRMLScalarVolumeNode by key: tmax, cbf, cbv, delay; None where there is none.
        :param preset: name of the preset.
        :param thresholds: what differs from it.
        :param inputs: plane, side and regions.
        """
        from PerfusionSuiteLib.core.geometry import voxel_volume_ml
        from PerfusionSuiteLib.lesion import edited_preset
        from PerfusionSuiteLib.lesion.preview import preview

        edited = edited_preset(preset, thresholds or {})
        basis = self._basisOf({key: node for key, node in mapNodes.items() if node is not None}, edited, inputs or LesionInputs())
        hypoperfusion, core = preview(basis, edited)
        masks = {"hypoperfusion": hypoperfusion}
        if core is None:
            labels = np.where(hypoperfusion, LATE_LABEL, 0)
        else:
            labels = np.where(core, CORE_LABEL, np.where(hypoperfusion, PENUMBRA_LABEL, 0))
            masks |= {"core": core, "penumbra": hypoperfusion & ~core}
        showLabels(self._scene, labels.astype(np.uint8), basis.maps.affine)
        voxel = voxel_volume_ml(basis.maps.affine)
        return {name: float(mask.sum()) * voxel for name, mask in masks.items()}

    def _basisOf(self, nodes: Mapping[str, Any], preset: Any, given: LesionInputs) -> Any:
        """Return what does not depend on the sliders; it is kept until a map, a region or the plane changes."""
        from PerfusionSuiteLib.lesion.preview import preview_basis

        study = nodesOfStudy(self._scene, lesionStudyOf(nodes["tmax"]))
        watched = [
            *nodes.values(),
            given.midplane,
            study.get("midplane"),
            study.get("map.baseline"),
            *(r[0] for r in (given.contra, given.roi) if r),
        ]
        drawn = drawnByNetwork(study, preset)
        watched += [] if drawn is None else [drawn]
        times = tuple((node.GetID(), node.GetMTime()) for node in watched if hasattr(node, "GetMTime"))
        images = tuple(node.GetImageData().GetMTime() for node in nodes.values())
        key = (times, images, given.side, str(given.contra), (preset.csf_hu, preset.csf_dilation_voxels),
               (preset.vessel_cbv, preset.vessel_cbv_ratio), tuple(sorted(given.units.items())))  # fmt: skip
        if key != self._key:
            maps = mapsOfJob(nodes, study, given.units)
            if drawn is not None:
                maps = maps.added(onGrid(nodeToMap(drawn, PROBABILITY), maps.shape, maps.affine))
            known = inputsOfJob(LesionInputs(given.midplane, given.side, given.contra), maps, study)
            lesions = study.get(LESIONS)
            found = None if lesions is None else factsOf(lesions).get("midplane")
            self._basis = preview_basis(
                maps, preset=preset, masks=masksOfStudy(study, nodes["tmax"]), midplane=known.get("midplane", found),
                side=known.get("side"), contra_mask=known.get("contra_mask"),
            )  # fmt: skip
            self._key = key
        return self._basis

    def clear(self) -> None:
        """Take the preview away."""
        self._key = self._basis = None
        clearLabels(self._scene)


def drawnByNetwork(study: Mapping[str, Any], preset: Any) -> Any | None:
    """Return the probability of core that the network of a preset has drawn for the lesions of a study, or None."""
    lesions, found = study.get(LESIONS), study.get(f"map.{PROBABILITY}")
    if preset.core_rule != "network" or lesions is None or found is None:
        return None
    known = factsOf(lesions).get("thresholds") or {}
    isSame = known.get("core_rule") == "network" and known.get("core_network") == Path(preset.core_network).name
    return found if isSame else None


def showLabels(scene: Any, labels: np.ndarray, affine: Any) -> Any:
    """Show a label array over all slice views: 1 penumbra, 2 core, 3 region, 4 hypoperfusion.

    Lesions that are there step back meanwhile.
    """
    node = _labelNode(scene)
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLLabelMapVolumeNode")
        node.SetName("preview")
        node.SetAttribute(ROLE, PREVIEW)
        node.SetSaveWithScene(False)
        node.SetHideFromEditors(True)
        node = _owned(scene, node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)
        node.GetDisplayNode().SetAndObserveColorNodeID(_colors(scene).GetID())
    setVolume(node, labels, affine)
    for composite in _composites(scene):
        if composite.GetLabelVolumeID() != node.GetID():
            composite.SetLabelVolumeID(node.GetID())
            composite.SetLabelOpacity(OPACITY)
    _setLesionsVisible(scene, False)
    return node


def clearLabels(scene: Any) -> None:
    """Take the label volume out of the views and the scene."""
    node = _labelNode(scene)
    if node is None:
        return
    for composite in _composites(scene):
        if composite.GetLabelVolumeID() == node.GetID():
            composite.SetLabelVolumeID(None)
    removeNode(scene, node)
    _setLesionsVisible(scene, True)


def _owned(scene: Any, node: Any) -> Any:
    added = scene.AddNode(node)
    node.UnRegister(None)
    return added


def _labelNode(scene: Any) -> Any | None:
    return _byRole(scene, "vtkMRMLLabelMapVolumeNode", PREVIEW)


def _byRole(scene: Any, className: str, role: str) -> Any | None:
    nodes = (scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className)))
    return next((node for node in nodes if node.GetAttribute(ROLE) == role), None)


def _composites(scene: Any) -> list[Any]:
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")
    return [scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode") for index in range(count)]


def _setLesionsVisible(scene: Any, isVisible: bool) -> None:
    count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    for node in [scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode") for index in range(count)]:
        if node.GetAttribute(ROLE) == LESIONS and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility2DFill(isVisible)


def _colors(scene: Any) -> Any:
    node = _byRole(scene, "vtkMRMLColorTableNode", PREVIEW_COLORS)
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
        node.SetName("Perfusion preview")
        node.SetTypeToUser()
        node.SetNumberOfColors(len(_NAMES) + 1)
        node.SetColor(0, "none", 0.0, 0.0, 0.0, 0.0)
        for label, (name, color) in _NAMES.items():
            node.SetColor(label, name, *color, 1.0)
        node.SetAttribute(ROLE, PREVIEW_COLORS)
        node.SetSaveWithScene(False)
        node.SetHideFromEditors(True)
        node = _owned(scene, node)
    return node
