# SPDX-License-Identifier: Apache-2.0
"""A scene as one .mrb file, and what must be in it after it was read back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PerfusionSuiteLib.core import InvalidInputError

from .StudyRoles import BROWSER, LESIONS, PREPARED, PREPARED_BROWSER, QUALITY, REGIONS, SERIES, nodesOfStudy

FAST = "gzip_fastest"


def writeBundle(scene: Any, path: Path) -> Path:
    """Write a scene to a .mrb file beside its place, then rename it: an interrupted run leaves no half file.

    Raises
    ------
    InvalidInputError
        If it cannot be written.
    """
    path = Path(path).absolute()
    _compressFast(scene)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name of the file becomes that of the scene inside it: it must be the final one.
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            beside = Path(folder) / path.name
            if not scene.WriteToMRB(str(beside)) or not beside.exists():
                msg = f"The scene could not be written to '{path}'. Free disk space or choose another folder."
                raise InvalidInputError(msg)
            beside.replace(path)
    except OSError as error:
        msg = f"The scene could not be written to '{path}' ({error.strerror}). Free disk space or choose another folder."
        raise InvalidInputError(msg) from error
    return path


def _compressFast(scene: Any) -> None:
    """Frames of a scan are mostly noise, on which thorough compression takes minutes and gains next to nothing."""
    nodes = scene.GetNodesByClass("vtkMRMLSequenceNode")
    nodes.UnRegister(None)
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        if node.GetStorageNode() is not None:
            node.GetStorageNode().SetCompressionParameter(FAST)


def problemsOfScene(scene: Any, study: str, roles: Any) -> list[str]:
    """Return what is missing or broken in a scene that was read: one sentence each, none when all is well.

    Parameters
    ----------
    roles : iterable of str
        Roles that must be there, for example those of the study that was written.
    """
    nodes = nodesOfStudy(scene, study)
    problems = [f"{role} is missing" for role in roles if role not in nodes]
    for role, node in nodes.items():
        problems += [f"{role}: {text}" for text in _problemsOfNode(role, node)]
    return problems


def _problemsOfNode(role: str, node: Any) -> list[str]:
    checks = {
        "map": (
            ("has no voxels", lambda: node.GetImageData() is None),
            ("has no display", lambda: node.GetDisplayNode() is None),
            ("has no colours", lambda: node.GetDisplayNode() is None or node.GetDisplayNode().GetColorNode() is None),
            ("has no unit", lambda: node.GetVoxelValueUnits() is None),
        ),
        QUALITY: (("has no voxels", lambda: node.GetImageData() is None),),
        **dict.fromkeys((SERIES, PREPARED), (("has no frames", lambda: node.GetNumberOfDataNodes() == 0),)),
        **dict.fromkeys((BROWSER, PREPARED_BROWSER), (("has no sequence", lambda: node.GetMasterSequenceNode() is None),)),
        "fit.field": (("has no weights", lambda: node.GetNodeReference("PerfusionSuite.weights") is None),),
        "fit.weights": (("is empty", lambda: not node.GetText()),),
        "fit.loss": (("has no rows", lambda: node.GetNumberOfRows() == 0),),
        "fit.curves": (("has no frames", lambda: node.GetNumberOfDataNodes() == 0),),
        "curve": (("has no rows", lambda: node.GetNumberOfRows() == 0),),
        "plot": (("has no table", lambda: node.GetTableNode() is None),),
        "chart": (("has no curves", lambda: node.GetNthPlotSeriesNode(0) is None),),
        "points": (("has no points", lambda: node.GetNumberOfControlPoints() == 0),),
        LESIONS: (("has not 3 segments", lambda: node.GetSegmentation().GetNumberOfSegments() != 3),),
        REGIONS: (("has no segments", lambda: node.GetSegmentation().GetNumberOfSegments() == 0),),
        "anatomy": (("has no segments", lambda: node.GetSegmentation().GetNumberOfSegments() == 0),),
        "table": (("has no columns", lambda: node.GetNumberOfColumns() == 0),),
        "report": (("is empty", lambda: not node.GetText()),),
    }
    own = checks.get(role, checks.get(role.split(".")[0], ()))
    return [text for text, isBroken in own if isBroken()]
