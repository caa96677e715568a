# SPDX-License-Identifier: Apache-2.0
"""The folder of a study in the subject hierarchy, with one sub-folder for each kind of result."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .StudyRoles import QUALITY, STUDY

FOLDERS = INPUT, INPUT_FUNCTION, CURVES, MAPS, FIT, VESSELS, LESIONS, REPORT = (
    "Input",
    "Input function",
    "Curves",
    "Maps",
    "Fit",
    "Simulated vessels",
    "Lesions",
    "Report",
)
"""How the folders of a study follow each other: from what was given to what was found."""

_CONTENTS = (
    (("fit", "sampled", "regions", "curve.regions", "plot.regions", "chart.regions", "table.regions"), FIT),
    (("series", "difference", "map.baseline", "map.mean", "map.mip"), INPUT),
    (("curve.asl", "plot.asl"), CURVES),
    (("curve", "plot", "chart", "points"), INPUT_FUNCTION),
    (("map", "quality"), MAPS),
    (("vessels", "tracer"), VESSELS),
    (("lesions", "anatomy", "midplane", "sinuses", "drawn"), LESIONS),
    (("table", "report"), REPORT),
)
"""Beginnings of roles and the folder they belong to; the first that fits counts."""


def folderOf(role: str) -> str:
    """Return the name of the sub-folder that a role belongs to."""
    return next(folder for starts, folder in _CONTENTS if any(role == s or role.startswith(f"{s}.") for s in starts))


def hierarchyOf(scene: Any) -> Any:
    """Return the subject hierarchy of a scene."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def studyFolder(scene: Any, study: str) -> int:
    """Return the item of the folder of a study, 0 when there is none."""
    hierarchy = hierarchyOf(scene)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    ids = (items.GetId(index) for index in range(items.GetNumberOfIds()))
    return next((item for item in ids if hierarchy.GetItemAttribute(item, STUDY) == study), 0)


def fileNodes(scene: Any, study: str, nodes: dict[str, Any]) -> int:
    """Put the nodes of a study, by role, into its folders, which are made as needed; return the study's folder."""
    hierarchy = hierarchyOf(scene)
    folder = studyFolder(scene, study)
    if not folder:
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), study)
        hierarchy.SetItemAttribute(folder, STUDY, study)
    for role, node in sorted(nodes.items(), key=_place):
        parent = _subFolder(hierarchy, folder, folderOf(role))
        item = hierarchy.GetItemByDataNode(node)  # the desktop has made one already
        if item:
            if hierarchy.GetItemParent(item) != parent:
                hierarchy.SetItemParent(item, parent)
        else:
            hierarchy.CreateItem(parent, node)
    return folder


def _place(item: tuple[str, Any]) -> tuple[int, bool]:
    """Folders in their order, the codes of quality below the maps that they belong to, else as the nodes come."""
    role = item[0]
    return FOLDERS.index(folderOf(role)), role.startswith(QUALITY)


def _subFolder(hierarchy: Any, folder: int, name: str) -> int:
    return hierarchy.GetItemChildWithName(folder, name) or hierarchy.CreateFolderItem(folder, name)
