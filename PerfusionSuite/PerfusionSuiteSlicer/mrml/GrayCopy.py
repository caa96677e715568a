# SPDX-License-Identifier: Apache-2.0
"""A map in gray beneath lesions, where no image of the head is known; it shares the voxels and is not saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from .MapNodes import colorNode
from .StudyRoles import ROLE
from .VolumeArrays import volumeArray

GRAY = "gray"
SOURCE = "PerfusionSuite.grayOf"


def grayCopy(mapNode: Any) -> Any:
    """Return a volume that shows a map in gray, from zero to the 99th percentile.

    :param mapNode: vtkMRMLScalarVolumeNode.
    """
    scene = mapNode.GetScene()
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode") for index in range(count)]
    node = next((item for item in nodes if item.GetAttribute(SOURCE) == mapNode.GetID()), None)
    if node is None:
        new = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
        new.SetName(f"{mapNode.GetName()} gray")
        new.SetHideFromEditors(True)
        new.SetSaveWithScene(False)
        new.SetAttribute(ROLE, GRAY)
        new.SetAttribute(SOURCE, mapNode.GetID())
        node = scene.AddNode(new)
        new.UnRegister(None)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)
    matrix = vtk.vtkMatrix4x4()
    mapNode.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(mapNode.GetImageData())
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colorNode(scene, "grey").GetID())
    values = volumeArray(mapNode)
    inside = values[np.isfinite(values) & (values > 0)]
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, float(np.percentile(inside, 99)) if inside.size else 1.0)
    return node
