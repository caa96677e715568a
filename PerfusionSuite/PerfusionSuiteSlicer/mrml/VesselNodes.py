# SPDX-License-Identifier: Apache-2.0
"""A simulated brain's vessels as models, and the label on its way through it as a sequence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.nifti import read_volume

from .MapNodes import addLegend, colorNode
from .SequenceNodes import fillSequence, showInBrowser
from .StudyFolder import fileNodes
from .StudyRoles import allOrNothing, nodeFor

COLORS = {"arteries": (0.80, 0.12, 0.12), "veins": (0.16, 0.32, 0.78)}
TRACER, TRACER_BROWSER = "tracer", "tracer.browser"
LPS = "LPS"


def vesselsToScene(scene: Any, folder: str | os.PathLike[str], name: str | None = None) -> dict[str, Any]:
    """Put what ``perfusion-suite phantom asl-brain`` wrote into a scene: arteries red, veins blue, label over time.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to.
    folder : path-like
        Has ``vessels/arteries.vtp``, ``vessels/veins.vtp``, ``tracer/propagation.nii.gz`` and its JSON file.
    name : str, optional
        Name of the nodes, by default that of the folder.

    Returns
    -------
    dict
        Nodes by role: ``vessels.arteries``, ``vessels.veins``, ``tracer``, ``tracer.browser``.

    Raises
    ------
    InvalidInputError
        If the folder holds no simulated vessels.
    """
    folder = Path(folder)
    files = {kind: folder / "vessels" / f"{kind}.vtp" for kind in COLORS}
    tracer = folder / "tracer" / "propagation.nii.gz"
    missing = [path for path in (*files.values(), tracer, _factsFile(tracer)) if not path.is_file()]
    if missing:
        lacking = missing[0].relative_to(folder)
        msg = f"'{folder.name}' has no '{lacking}'. Choose a folder that 'perfusion-suite phantom asl-brain' wrote."
        raise InvalidInputError(msg)
    name = name or folder.resolve().name
    with allOrNothing(scene):
        nodes = {f"vessels.{kind}": _vesselsToModel(scene, path, name, kind) for kind, path in files.items()}
        nodes |= _tracerToSequence(scene, tracer, name)
        fileNodes(scene, name, nodes)
    return nodes


def _vesselsToModel(scene: Any, path: Path, name: str, kind: str) -> Any:
    """Put a surface into a model node; files are in LPS, as their field SPACE says, scenes in RAS."""
    surface = _readSurface(path)
    node = nodeFor(scene, "vtkMRMLModelNode", name, f"vessels.{kind}", f"{name} {kind}")
    node.SetAndObservePolyData(surface)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(*COLORS[kind])
    display.SetScalarVisibility(False)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(1)
    return node


def _readSurface(path: Path) -> Any:
    reader = vtk.vtkXMLPolyDataReader()
    errors: list[str] = []
    reader.AddObserver(vtk.vtkCommand.ErrorEvent, lambda *_given: errors.append("unreadable"))
    reader.SetFileName(str(path))
    reader.Update()
    surface = reader.GetOutput()
    if errors or surface.GetNumberOfPoints() == 0:
        msg = f"'{path.name}' holds no surface that can be read. Write the simulated brain again."
        raise InvalidInputError(msg)
    space = surface.GetFieldData().GetAbstractArray("SPACE")
    if space is None or space.GetValue(0) != LPS:
        return surface
    turn = vtk.vtkTransform()
    turn.Scale(-1.0, -1.0, 1.0)
    toRAS = vtk.vtkTransformPolyDataFilter()
    toRAS.SetTransform(turn)
    toRAS.SetInputData(surface)
    toRAS.Update()
    result = toRAS.GetOutput()
    result.GetFieldData().RemoveArray("SPACE")  # it is not true any more
    return result


def _factsFile(tracer: Path) -> Path:
    return tracer.with_name("propagation.json")


def _tracerToSequence(scene: Any, path: Path, name: str) -> dict[str, Any]:
    """Put the label density over the time from the start of labeling into a sequence and a browser."""
    values, affine = read_volume(path)
    try:
        facts = json.loads(_factsFile(path).read_text(encoding="utf-8"))
        times = [float(time) for time in facts["FrameTimesStart"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"'{_factsFile(path).name}' does not give the times of the pictures. Write the simulated brain again."
        raise InvalidInputError(msg) from error
    data = np.nan_to_num(np.asarray(values, np.float32))
    if data.ndim != 4 or data.shape[3] != len(times):
        msg = f"'{path.name}' and its JSON file do not name the same number of pictures. Write the simulated brain again."
        raise InvalidInputError(msg)
    label = f"{name} label [{facts.get('Units', 'uL/g')}]"
    sequence = nodeFor(scene, "vtkMRMLSequenceNode", name, TRACER, label)
    browser = nodeFor(scene, "vtkMRMLSequenceBrowserNode", name, TRACER_BROWSER, f"{name} label browser")
    wasModifying = sequence.StartModify()
    fillSequence(sequence, data, affine, label, ("time", "s", [repr(round(time, 4)) for time in times]))
    sequence.EndModify(wasModifying)
    inside = data[data > 0]
    high = float(f"{np.percentile(inside, 99.0):.1g}") if inside.size else 1.0
    isNew = browser.GetMasterSequenceNode() is not sequence
    showInBrowser(scene, sequence, browser, (0.0, high), "%.2f")
    if isNew:  # the first picture is nearly black: the label has yet to come
        browser.SetSelectedItemNumber(int(data.sum(axis=(0, 1, 2), dtype=float).argmax()))
    proxy = browser.GetProxyNode(sequence)
    proxy.GetDisplayNode().SetAndObserveColorNodeID(colorNode(scene, "perfusion").GetID())
    return {TRACER: sequence, TRACER_BROWSER: browser}


def renewLabelLegend(scene: Any, nodes: dict[str, Any]) -> None:
    """Make the legend of the label anew: a slice view shows only legends that were added while it existed."""
    proxy = nodes[TRACER_BROWSER].GetProxyNode(nodes[TRACER])
    old = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(proxy)
    if old is not None:
        scene.RemoveNode(old)
    unit = nodes[TRACER].GetName().rpartition("[")[2].rstrip("]")
    addLegend(proxy, f"Label\n[{unit}]", "%.2g", 5)
