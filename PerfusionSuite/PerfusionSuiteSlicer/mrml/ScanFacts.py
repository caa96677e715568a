# SPDX-License-Identifier: Apache-2.0
"""What a sequence says about itself before it is analyzed: kind of scan, size, times and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.series import check_enough_times

from .AslSequences import aslInWords, isAsl
from .SequenceNodes import frameTimes, isMultiVolume, modalityFromValues, multiVolumeLabels, scanTransformProblem
from .StudyRoles import factsOf

KINDS = {"ctp": "CT perfusion", "dsc": "DSC-MRI", "asl": "Arterial spin labeling"}


@dataclass(frozen=True)
class ScanFacts:
    """Facts about a scan in the scene.

    Parameters
    ----------
    modality : str or None
        ctp, dsc or asl; None when the scan does not say.
    words : str
        Size and times in words.
    problem : str
        Why it cannot be analyzed, or empty.
    decisions : tuple of str
        What was decided while the scan was read from files.
    """

    modality: str | None
    words: str
    problem: str = ""
    decisions: tuple[str, ...] = ()


def scanFacts(node: Any, modality: str | None = None, interval_s: float | None = None) -> ScanFacts:
    """Look at a sequence or multi-volume node without reading its frames.

    Parameters
    ----------
    node : vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode
        The scan.
    modality : {"ctp", "dsc", "asl"}, optional
        What the user says it is.
    interval_s : float, s, optional
        Time between frames that replaces the stored times.
    """
    labels, unit, size = _frames(node)
    facts = factsOf(node)
    kind = modality or facts.get("modality") or modalityFromValues(node)
    if not labels:
        return ScanFacts(kind, "no frames", f"'{node.GetName()}' is empty. Choose a dynamic perfusion scan.")
    if kind == "asl" or isAsl(node):
        return _aslFacts(node, facts, len(labels), size, modality)
    words = f"{len(labels)} frames of {size}"
    try:
        times_s, findings = frameTimes(node.GetName(), labels, unit, interval_s)
        check_enough_times(times_s)
    except InvalidInputError as error:
        return ScanFacts(kind, words, str(error))
    words += f", {times_s[-1] - times_s[0]:.1f} s, {np.median(np.diff(times_s)):.2f} s apart"
    if interval_s is not None:
        origin = "the interval that you entered"
    else:
        origin = (facts.get("acquisition") or {}).get("time_source") or f"index '{_indexName(node)}' in {unit or 'no unit'}"
        origin += "".join(f"; {finding.message}" for finding in findings)
    lines = [words, f"Times from: {origin}", KINDS.get(kind, "")]
    problem = (
        scanTransformProblem(node)
        if kind in KINDS
        else f"It is not known what kind of scan '{node.GetName()}' is. Choose CT perfusion or DSC-MRI."
    )
    decisions = tuple((facts.get("source") or {}).get("decisions", ()))
    return ScanFacts(kind, "\n".join(filter(None, lines)), problem, decisions)


def _aslFacts(node: Any, facts: dict[str, Any], count: int, size: str, modality: str | None) -> ScanFacts:
    """What an ASL scan says: volumes are not frames in time."""
    if not isAsl(node):
        problem = f"'{node.GetName()}' does not say what is control and label: load the ASL scan from its folder or file."
        return ScanFacts("asl", f"{count} volumes of {size}", problem)
    if modality not in (None, "asl"):
        problem = f"'{node.GetName()}' is an ASL scan: choose arterial spin labeling or 'from the scan' as its kind."
        return ScanFacts("asl", f"{count} volumes of {size}", problem)
    words = f"{aslInWords(facts, count, size)}\n{KINDS['asl']}"
    return ScanFacts("asl", words, scanTransformProblem(node), tuple(facts["source"]["decisions"]))


def _frames(node: Any) -> tuple[list[str], str, str]:
    if isMultiVolume(node):
        labels, unit = multiVolumeLabels(node)
        return labels, unit, _size(node)
    count = node.GetNumberOfDataNodes()
    labels = [node.GetNthIndexValue(index) for index in range(count)]
    return labels, node.GetIndexUnit() or "", _size(node.GetNthDataNode(0)) if count else ""


def _size(volumeNode: Any) -> str:
    image = volumeNode.GetImageData() if hasattr(volumeNode, "GetImageData") else None
    return "no volumes" if image is None else "x".join(str(n) for n in image.GetDimensions())


def _indexName(node: Any) -> str:
    return "frame labels" if isMultiVolume(node) else node.GetIndexName() or "index"
