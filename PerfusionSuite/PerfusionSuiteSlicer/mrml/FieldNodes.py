# SPDX-License-Identifier: Apache-2.0
"""What a fit learned, kept in the scene: it can be sampled again after the scene was saved, moved and opened elsewhere.

Two text nodes: one says what the field is, the other, which it refers to, holds the safetensors file with its weights as
text (see ``jobs.field_text``). Text is what every way of saving a scene takes along: as MRB, as files, headless.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import FittedField, InvalidInputError, MissingPackageError
from PerfusionSuiteLib.core.files import plain
from PerfusionSuiteLib.jobs.field_text import facts_of_text, text_of_field

from .StudyRoles import STUDY, factsOf, nodeFor, setFacts

FIELD, WEIGHTS = "fit.field", "fit.weights"
WEIGHTS_REFERENCE = "PerfusionSuite.weights"
INPUT_REFERENCE = "PerfusionSuite.input"
IS_FIELD = "PerfusionSuite.isField"
"""Attribute by which selectors tell a field from any other text."""


def fieldToNodes(
    scene: Any, field: FittedField, name: str, *, density: float, fieldText: Path | None = None, inputNode: Any = None
) -> dict[str, Any]:
    """Keep a field in the scene; return its nodes by role, none when it cannot be written here.

    Parameters
    ----------
    density : float, g/mL
        Tissue density that the study was computed with, for the units of its maps.
    fieldText : Path, optional
        The field as text, when a worker has written it.
    inputNode : vtkMRMLSequenceNode, optional
        The scan that was fitted.
    """
    text = _textOf(field, fieldText)
    if text is None:
        return {}
    size, sha256 = facts_of_text(text)
    weights = nodeFor(scene, "vtkMRMLTextNode", name, WEIGHTS, f"{name} field weights")
    weights.SetForceCreateStorageNode(weights.CreateStorageNodeAlways)  # else it would be kept inside the scene file
    weights.SetText(text)
    node = nodeFor(scene, "vtkMRMLTextNode", name, FIELD, f"{name} field")
    node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)
    facts = {
        "method": field.method,
        "kind": field.kind,
        "shape": list(field.shape),
        "affine": np.asarray(field.affine, float).tolist(),
        "times_s": np.asarray(field.times_s, float).tolist(),
        "density": density,
        "settings": dict(field.settings),
        "file": {"format": "safetensors", "bytes": size, "sha256": sha256},
    }
    node.SetText(json.dumps(plain(facts), indent=2, allow_nan=False, ensure_ascii=False))
    setFacts(node, {key: facts[key] for key in ("method", "kind", "shape", "affine", "times_s", "density", "file")})
    node.SetAttribute(IS_FIELD, "1")
    node.SetNodeReferenceID(WEIGHTS_REFERENCE, weights.GetID())
    if inputNode is not None:
        node.SetNodeReferenceID(INPUT_REFERENCE, inputNode.GetID())
    return {FIELD: node, WEIGHTS: weights}


def fieldText(node: Any) -> np.ndarray:
    """Return the characters of the field's text, as the worker takes them; it also checks them.

    Raises
    ------
    InvalidInputError
        If the node is no field, or its weights are missing.
    """
    fieldFacts(node)
    weights = node.GetNodeReference(WEIGHTS_REFERENCE)
    if weights is None or not weights.GetText():
        msg = f"The weights of '{node.GetName()}' are not in the scene. Open the scene that it was saved with, or fit again."
        raise InvalidInputError(msg)
    return np.frombuffer(weights.GetText().encode("ascii", "replace"), np.uint8)


def fieldFacts(node: Any) -> dict[str, Any]:
    """Return method, kind, shape, affine, times_s and density of a field.

    Raises
    ------
    InvalidInputError
        If the node is no field.
    """
    facts = factsOf(node) if node is not None else {}
    if node is None or node.GetAttribute(IS_FIELD) is None or "file" not in facts:
        name = "nothing" if node is None else f"'{node.GetName()}'"
        msg = f"A fitted field is needed, but {name} was given. Choose the node 'field' of a fit."
        raise InvalidInputError(msg)
    return facts


def fieldSentence(node: Any) -> str:
    """Say in a line what a field is."""
    facts = fieldFacts(node)
    size = " x ".join(f"{n}" for n in facts["shape"])
    spacing = " x ".join(f"{length:.3g}" for length in spacingOf(facts))
    times = facts["times_s"]
    return f"{facts['method']}, fitted on {size} voxels of {spacing} mm, {len(times)} frames over {times[-1] - times[0]:.0f} s"


def spacingOf(facts: dict[str, Any]) -> list[float]:
    """Return the voxel size of a field in mm."""
    return [float(length) for length in np.linalg.norm(np.array(facts["affine"])[:3, :3], axis=0)]


def studyOfField(node: Any) -> str:
    """Return the name of the study that a field belongs to."""
    return str(node.GetAttribute(STUDY))


def _textOf(field: FittedField, fieldText: Path | None) -> str | None:
    if fieldText is not None and fieldText.is_file():
        return fieldText.read_text(encoding="ascii")
    from PerfusionSuiteLib import fitting

    with tempfile.TemporaryDirectory() as folder:
        try:
            return text_of_field(Path(fitting.save_field(field, Path(folder, "field.safetensors"))).read_bytes())
        except MissingPackageError:  # the worker has told the user
            return None
