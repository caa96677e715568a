# SPDX-License-Identifier: Apache-2.0
"""The mid-sagittal plane and the two sinus markers as markups that the user can move, and what was moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from PerfusionSuiteLib.core import InvalidInputError

from .StudyRoles import factsOf, findNode, nodeFor, setFacts

MIDPLANE, SINUSES = "midplane", "sinuses"
SINUS_LABELS = {"sss": "SSS", "torcula": "Torcula"}
SINUS_RADIUS_MM = 6.0
"""A moved marker stands for the vessels within this distance."""

PLANE_COLOR = (0.95, 0.85, 0.2)
SINUS_COLOR = (0.25, 0.55, 1.0)
_SAME_MM, _SAME_DEG = 0.2, 0.1


def midplaneToNode(scene: Any, plane: Any, name: str, *, shape: Any, affine: Any, manual: bool = False) -> Any:
    """Show a mid-sagittal plane as a markups plane that can be dragged and turned.

    :param plane: (nR, nA, nS, d) in RAS mm.
    :param shape: shape of the maps, which the drawn rectangle covers.
    :param affine: their voxel to RAS.
    :param manual: the plane is the user's, so that it is used again.
    """
    plane = np.asarray(plane, float)
    node = nodeFor(scene, "vtkMRMLMarkupsPlaneNode", name, MIDPLANE, f"{name} midline")
    center = np.asarray(affine) @ np.append((np.asarray(shape[:3]) - 1) / 2.0, 1.0)
    origin = center[:3] - (center[:3] @ plane[:3] - plane[3]) * plane[:3]
    corners = [np.asarray(affine) @ (i, j, k, 1) for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])]
    extent = np.ptp(np.array(corners)[:, :3], axis=0)
    wasModifying = node.StartModify()
    node.SetPlaneType(node.PlaneTypePointNormal)
    node.SetSizeMode(node.SizeModeAbsolute)
    # The axes of the rectangle: anterior, superior, and the normal to the patient's right.
    anterior = np.cross((0.0, 0.0, 1.0), plane[:3])
    anterior /= np.linalg.norm(anterior)
    node.SetAxesWorld(tuple(anterior), tuple(np.cross(plane[:3], anterior)), tuple(plane[:3]))
    node.SetOriginWorld(tuple(origin))
    node.SetSize(float(1.05 * extent[1]), float(1.15 * extent[2]))
    _showOnDemand(node)
    display = node.GetDisplayNode()
    display.SetSelectedColor(*PLANE_COLOR)
    display.SetColor(*PLANE_COLOR)
    display.SetFillOpacity(0.15)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetGlyphScale(2.0)
    display.SetTranslationHandleVisibility(True)
    display.SetRotationHandleVisibility(True)
    display.SetScaleHandleVisibility(False)
    node.EndModify(wasModifying)
    setFacts(node, {"plane": nodeToPlane(node), "manual": manual})
    return node


def _showOnDemand(node: Any) -> None:
    """Make the display of a new node, hidden until the user wants to see it."""
    isNew = not factsOf(node)
    node.CreateDefaultDisplayNodes()
    if isNew:  # some scenes make the display with the node
        node.GetDisplayNode().SetVisibility(False)
        node.GetDisplayNode().SetHandlesInteractive(False)


def nodeToPlane(node: Any) -> np.ndarray:
    """Return a markups plane as (nR, nA, nS, d) with the normal to the patient's right."""
    if not node.GetIsPlaneValid():
        msg = f"The plane '{node.GetName()}' is not placed. Place it in the slice views, or go back to the automatic one."
        raise InvalidInputError(msg)
    normal, origin = np.array(node.GetNormalWorld()), np.array(node.GetOriginWorld())
    normal = normal / np.linalg.norm(normal) * (1.0 if normal[0] >= 0 else -1.0)
    return np.append(normal, normal @ origin)


def givenPlane(node: Any) -> np.ndarray | None:
    """Return the plane when the user has moved it or brought it, None for one that was found automatically."""
    if node is None:
        return None
    plane, facts = nodeToPlane(node), factsOf(node)
    if facts.get("manual") or "plane" not in facts:
        return plane
    found = np.array(facts["plane"])
    turned = np.degrees(np.arccos(np.clip(plane[:3] @ found[:3], -1.0, 1.0)))
    origin = np.array(node.GetOriginWorld())
    moved = abs(origin @ found[:3] - found[3])
    return plane if turned > _SAME_DEG or moved > _SAME_MM else None


def sinusesToNode(scene: Any, regions: Any, name: str, affine: Any, *, fallback: Any, drawn: Any = ()) -> Any:
    """Put a marker into the middle of each sinus region.

    :param regions: masks by ``sss`` and ``torcula``, those that are known.
    :param affine: voxel to RAS of the masks.
    :param fallback: positions (RAS) by the same keys for those that were not found; such a marker counts only once it is moved.
    :param drawn: keys of the regions that were given by the user, whose markers stay where they are.
    """
    node = findNode(scene, name, SINUSES)
    kept = {} if node is None else {key: position for key, position in sinusPositions(node).items() if key in drawn}
    node = nodeFor(scene, "vtkMRMLMarkupsFiducialNode", name, SINUSES, f"{name} venous sinuses")
    positions = {}
    for key in SINUS_LABELS:
        mask = regions.get(key)
        found = mask is not None and mask.any()
        positions[key] = kept.get(key, middleOf(mask, affine) if found else np.asarray(fallback[key], float))
    wasModifying = node.StartModify()
    node.RemoveAllControlPoints()
    for key, position in positions.items():
        known = key in kept or (regions.get(key) is not None and regions[key].any())
        label = SINUS_LABELS[key] if known else f"{SINUS_LABELS[key]} (not found)"
        index = node.AddControlPoint(vtk.vtkVector3d(*(float(x) for x in position)), label)
        node.SetNthControlPointDescription(index, key)
    _showOnDemand(node)
    display = node.GetDisplayNode()
    display.SetColor(*SINUS_COLOR)
    display.SetSelectedColor(*SINUS_COLOR)
    display.SetGlyphScale(2.5)
    display.SetTextScale(2.5)
    node.EndModify(wasModifying)
    setFacts(node, {"positions": positions, "manual": sorted(kept)})
    return node


def middleOf(mask: np.ndarray, affine: Any) -> np.ndarray:
    """Return the position (RAS) of the voxel of a region that lies nearest to its center of mass."""
    voxels = np.argwhere(mask)
    places = voxels @ np.asarray(affine, float)[:3, :3].T + np.asarray(affine, float)[:3, 3]
    return places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]


def sinusPositions(node: Any) -> dict[str, np.ndarray]:
    """Return the position (RAS) of each sinus marker."""
    found = {}
    for index in range(node.GetNumberOfControlPoints()):
        key = node.GetNthControlPointDescription(index)
        if key in SINUS_LABELS:
            found[key] = np.array(node.GetNthControlPointPositionWorld(index))
    return found


def movedSinuses(node: Any, shape: tuple[int, ...], affine: Any) -> dict[str, np.ndarray]:
    """Return a ball around each marker that the user has moved, as masks by ``sss`` and ``torcula``.

    :param node: vtkMRMLMarkupsFiducialNode made by `sinusesToNode`, or None.
    """
    if node is None:
        return {}
    facts = factsOf(node)
    known = {key: np.array(position) for key, position in facts.get("positions", {}).items()}
    masks = {}
    for key, position in sinusPositions(node).items():
        isMoved = key not in known or np.linalg.norm(position - known[key]) > _SAME_MM
        if isMoved or key in facts.get("manual", ()):
            masks[key] = _ball(position, shape, np.asarray(affine, float))
            if not masks[key].any():
                msg = f"The marker '{SINUS_LABELS[key]}' lies outside of the maps. Move it onto the sinus."
                raise InvalidInputError(msg)
    return masks


def _ball(center: np.ndarray, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    voxels = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1)
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(places - center, axis=-1)
    # On coarse grids the ball may hold no voxel center: the nearest one stands for it.
    radius = max(SINUS_RADIUS_MM, float(distance.min()) + 1e-6) if distance.min() < 2 * SINUS_RADIUS_MM else SINUS_RADIUS_MM
    return distance <= radius
