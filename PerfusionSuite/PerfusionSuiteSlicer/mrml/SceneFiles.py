# SPDX-License-Identifier: Apache-2.0
"""A scene as one .mrb file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PerfusionSuiteLib.core import InvalidInputError

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
