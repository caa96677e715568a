# SPDX-License-Identifier: Apache-2.0
"""Voxels where a vascular curve was measured, as points in RAS, and the positions of points."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from PerfusionSuiteLib.core import InvalidInputError

from .StudyRoles import nodeFor

CURVE_COLORS = {"aif": (0.86, 0.15, 0.15), "vof": (0.16, 0.42, 0.86), "reference": (0.42, 0.11, 0.60)}
"""Arteries red, veins blue, and violet what stands in for an artery, in points as in curves."""


def voxelsToPoints(scene: Any, voxels: np.ndarray, affine: Any, kind: str, name: str) -> Any:
    """Put one control point at the centre of each voxel; `kind` is aif or vof."""
    node = nodeFor(scene, "vtkMRMLMarkupsFiducialNode", name, f"points.{kind}", f"{name} {kind.upper()} voxels")
    voxels = np.asarray(voxels, float).reshape(-1, 3)
    positions = voxels @ np.asarray(affine, float)[:3, :3].T + np.asarray(affine, float)[:3, 3]
    wasModifying = node.StartModify()
    node.SetLocked(False)
    node.RemoveAllControlPoints()
    for index, position in enumerate(positions):
        label = kind.upper() if len(positions) == 1 else f"{kind.upper()} {index + 1}"
        node.AddControlPoint(vtk.vtkVector3d(*(float(x) for x in position)), label)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*CURVE_COLORS[kind])
    display.SetSelectedColor(*CURVE_COLORS[kind])
    display.SetGlyphTypeFromString("Cross2D")
    display.SetGlyphScale(2.5)
    display.SetPointLabelsVisibility(False)
    node.EndModify(wasModifying)
    return node


def pointPositions(node: Any) -> np.ndarray:
    """Return the RAS positions (n, 3) of the control points that are placed.

    Raises
    ------
    InvalidInputError
        If there are none.
    """
    placed = [
        index
        for index in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(index) == node.PositionDefined
    ]
    if not placed:
        msg = f"'{node.GetName()}' has no points. Place one on the vessel, or choose another list."
        raise InvalidInputError(msg)
    return np.array([node.GetNthControlPointPositionWorld(index) for index in placed])
