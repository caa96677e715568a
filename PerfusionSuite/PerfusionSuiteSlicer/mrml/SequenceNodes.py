# SPDX-License-Identifier: Apache-2.0
"""A dynamic series as a sequence of volumes with a browser, and sequences of any origin as a series."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import slicer
from vtk.util import numpy_support

from PerfusionSuiteLib.core import (
    Acquisition,
    GridMismatchError,
    InvalidInputError,
    PerfusionSeries,
    QualityFinding,
    Source,
    TimingError,
)
from PerfusionSuiteLib.core.series import NO_TIMES, check_enough_times

from .StudyRoles import SERIES, factsOf, nodeFor, setFacts
from .VolumeArrays import affineOf, setVolume, vectorVolumeArray, volumeArray

SECONDS_PER_UNIT = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}

CT_WINDOW = (0.0, 80.0)
"""HU; the usual window for looking at brain tissue."""

PLAUSIBLE_INTERVAL_S = (0.2, 15.0)

AIR_SPREAD_HU, AIR_SHARE = 60.0, 0.1
"""A frame is taken as CT when this share of its voxels lies this near to -1000 HU."""


def seriesToSequence(
    scene: Any, series: PerfusionSeries, name: str, *, role: str = SERIES, label: str | None = None
) -> tuple[Any, Any]:
    """Put a series into a sequence node with its true frame times in seconds, and a browser to play it.

    Parameters
    ----------
    name : str
        Name of the study that the nodes belong to.
    role : str
        What the sequence is to the study.
    label : str, optional
        Name of the nodes, by default that of the study.

    Returns
    -------
    sequenceNode : vtkMRMLSequenceNode
        One volume per frame; 16-bit integers where that loses nothing, else 32-bit floats.
    browserNode : vtkMRMLSequenceBrowserNode
        Its proxy volume shows the selected frame.
    """
    label = label or name
    sequence = nodeFor(scene, "vtkMRMLSequenceNode", name, role, label)
    browser = nodeFor(scene, "vtkMRMLSequenceBrowserNode", name, f"{role}.browser", f"{label} browser")
    wasModifying = sequence.StartModify()
    times = [repr(float(time_s)) for time_s in series.times_s]
    fillSequence(sequence, series.data, series.affine, label, ("time", "s", times))
    setFacts(sequence, _factsOfSeries(series))
    sequence.EndModify(wasModifying)
    showInBrowser(scene, sequence, browser, CT_WINDOW if series.modality == "ctp" else robustRange(series.data))
    return sequence, browser


def fillSequence(sequence: Any, data: np.ndarray, affine: Any, label: str, index: tuple[str, str, list[str]]) -> None:
    """Replace the volumes of a sequence by those of an array (I, J, K, T).

    :param label: name of each volume.
    :param index: name of the index, its unit, and its value for each volume.
    """
    sequence.RemoveAllDataNodes()
    name, unit, values = index
    sequence.SetIndexName(name)
    sequence.SetIndexUnit(unit)
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    sequence.SetNumericIndexValueTolerance(1e-6)
    compact = _asShort(data)
    frame = slicer.vtkMRMLScalarVolumeNode()
    frame.SetName(label)
    for number, value in enumerate(values):
        setVolume(frame, compact[..., number], affine)
        sequence.SetDataNodeAtValue(frame, value)


def showInBrowser(scene: Any, sequence: Any, browser: Any, window: tuple[float, float], indexFormat: str = "%.1f") -> None:
    """Let a browser play a sequence, its proxy volume in a fixed window."""
    if browser.GetMasterSequenceNode() is not sequence:
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetIndexDisplayFormat(indexFormat)
    browser.SetPlaybackRateFps(10)
    browser.SetSelectedItemNumber(min(max(browser.GetSelectedItemNumber(), 0), sequence.GetNumberOfDataNodes() - 1))
    proxy = browser.GetProxyNode(sequence)
    if proxy is None:
        return
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*window)


def _asShort(data: np.ndarray) -> np.ndarray:
    """Whole numbers, as scanners give them, need half the space and compress far better."""
    limits = np.iinfo(np.int16)
    if data.min() < limits.min or data.max() > limits.max:
        return data
    short = data.astype(np.int16)
    return short if np.array_equal(short, data) else data


def robustRange(data: np.ndarray) -> tuple[float, float]:
    """Return a window for signal without a scale of its own."""
    low, high = np.percentile(data[..., :: max(data.shape[3] // 4, 1)], (2.0, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _factsOfSeries(series: PerfusionSeries) -> dict[str, Any]:
    acquisition, source = series.acquisition, series.source
    return {
        "modality": series.modality,
        "acquisition": {
            "time_source": acquisition.time_source,
            "slice_times_s": acquisition.slice_times_s,
            "shuttle": acquisition.shuttle,
            "manufacturer": acquisition.manufacturer,
            "echo_times_s": acquisition.echo_times_s,
            "repetition_time_s": acquisition.repetition_time_s,
            "details": acquisition.details,
        },
        "source": factsOfSource(source),
    }


def factsOfSource(source: Source) -> dict[str, Any]:
    """Return what is kept of a scan's origin; identifiers of the patient stay behind."""
    findings = [asdict(finding) for finding in source.findings]
    return {"kind": source.kind, "case_id": source.case_id, "decisions": source.decisions, "findings": findings}


def findingsOfSource(known: dict[str, Any]) -> tuple[QualityFinding, ...]:
    """Return what was odd about a scan when it was read, as `factsOfSource` kept it."""
    return tuple(QualityFinding(**finding) for finding in known.get("findings", ()))


def sequenceToSeries(
    node: Any, modality: str | None = None, *, timeUnit: str | None = None, interval_s: float | None = None
) -> PerfusionSeries:
    """Read a sequence of volumes (or a multi-volume node) as a series.

    Parameters
    ----------
    node : vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode
        The frames. Index values are read in the unit of the node: s or ms.
    modality : {"ctp", "dsc", "asl"}, optional
        What kind of scan it is; may be left out for sequences that this package made.
    timeUnit : str, optional
        ``s`` or ``ms``, where the node does not say or says it wrongly.
    interval_s : float, s, optional
        Time between frames, for sequences that only count them.

    Raises
    ------
    InvalidInputError
        If the node has no frames, frames differ in geometry, or the times cannot be those of a perfusion scan.
    """
    if node is None:
        msg = "No sequence was given. Choose the dynamic perfusion series."
        raise InvalidInputError(msg)
    if not isMultiVolume(node) and not node.IsA("vtkMRMLSequenceNode"):
        msg = f"'{node.GetName()}' is no sequence of volumes. Choose the dynamic perfusion series."
        raise InvalidInputError(msg)
    facts = factsOf(node)
    modality = modality or facts.get("modality") or modalityFromValues(node)
    if modality is None:
        msg = f"It is not known what kind of scan '{node.GetName()}' is. Choose ctp or dsc."
        raise InvalidInputError(msg)
    data, affine, labels, unit = _multiVolumeFrames(node) if isMultiVolume(node) else sequenceFrames(node)
    times_s, findings = frameTimes(node.GetName(), labels, timeUnit or unit, interval_s)
    check_enough_times(times_s)
    return PerfusionSeries(
        data, affine, times_s, modality, _acquisition(node, facts, labels, unit), _source(node, facts, findings)
    )


def frameTimes(
    name: str, labels: list[str], unit: str, interval_s: float | None = None
) -> tuple[np.ndarray, tuple[QualityFinding, ...]]:
    """Turn the index values of a sequence into seconds; say so when the unit had to be inferred."""
    if interval_s is not None:
        if not 0 < interval_s < 60:
            msg = f"The time between frames is {interval_s:g} s; a number of seconds between 0 and 60 is expected."
            raise TimingError(msg)
        return np.linspace(0.0, interval_s * (len(labels) - 1), len(labels)), ()
    try:
        values = np.array([float(label) for label in labels])
    except ValueError as error:
        msg = f"The index values of '{name}' are not numbers (the first is '{labels[0]}'). Enter the time between frames."
        raise TimingError(msg) from error
    unit = unit.strip()
    if unit.lower() in SECONDS_PER_UNIT:
        return _plausible(name, values * SECONDS_PER_UNIT[unit.lower()], unit), ()
    if unit:
        msg = f"The index of '{name}' is in '{unit}', which is not a time. Enter the time between frames."
        raise TimingError(msg)
    step = float(np.median(np.diff(values))) if values.size > 1 else 0.0
    for inferred, factor in (("s", 1.0), ("ms", 1e-3)):
        if PLAUSIBLE_INTERVAL_S[0] <= step * factor <= PLAUSIBLE_INTERVAL_S[1] and not np.allclose(np.diff(values), 1.0):
            message = f"The sequence does not say the unit of its times; with {step:g} between frames it was taken as {inferred}."
            return values * factor, (QualityFinding("time_unit_inferred", "warning", message, "Set the index unit."),)
    msg = f"The index of '{name}' has no unit and steps of {step:g}, which may be a mere count. Enter the time between frames."
    raise TimingError(msg)


def _plausible(name: str, times_s: np.ndarray, unit: str) -> np.ndarray:
    step = float(np.median(np.diff(times_s))) if times_s.size > 1 else PLAUSIBLE_INTERVAL_S[0]
    if not PLAUSIBLE_INTERVAL_S[0] <= step <= 60.0:
        msg = (
            f"The frames of '{name}' would be {step:g} s apart (index unit '{unit}'), which no perfusion scan is. "
            "Correct the index unit of the sequence or enter the time between frames."
        )
        raise TimingError(msg)
    return times_s


def sequenceFrames(node: Any) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Return the volumes (I, J, K, T) of a sequence, their affine, index values and the unit of these."""
    count = node.GetNumberOfDataNodes()
    if count == 0:
        msg = f"The sequence '{node.GetName()}' is empty. Choose the dynamic perfusion series."
        raise InvalidInputError(msg)
    frames = [node.GetNthDataNode(index) for index in range(count)]
    if not all(frame.IsA("vtkMRMLScalarVolumeNode") for frame in frames):
        msg = f"The sequence '{node.GetName()}' does not hold scalar volumes. Choose the dynamic perfusion series."
        raise InvalidInputError(msg)
    affine = affineOf(frames[0])
    first = volumeArray(frames[0])
    data = np.empty((*first.shape, count), np.float32)
    for index, frame in enumerate(frames):
        if frame.GetImageData().GetDimensions() != first.shape or not np.allclose(affineOf(frame), affine, atol=1e-3):
            msg = f"Frame {index + 1} of '{node.GetName()}' lies on another grid than the first. Resample the frames to one grid."
            raise GridMismatchError(msg)
        data[..., index] = volumeArray(frame)
    return data, affine, [node.GetNthIndexValue(index) for index in range(count)], node.GetIndexUnit() or ""


def proxyOfScan(scene: Any, scan: Any) -> Any:
    """Return the volume in which a browser shows the frames of a scan, None when there is none."""
    if scan is None or not scan.IsA("vtkMRMLSequenceNode"):
        return scan
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(index, "vtkMRMLSequenceBrowserNode")
        if browser.IsSynchronizedSequenceNode(scan, True):
            return browser.GetProxyNode(scan)
    return None


def scanOfProxy(node: Any) -> Any:
    """Return the scan whose frames a volume shows, other nodes as they are.

    The volume has the name of its scan, so that ``getNode`` and drag and drop give one for the other.

    :param node: vtkMRMLScalarVolumeNode that a browser fills, a scan, or the path of one.
    """
    scene = node.GetScene() if hasattr(node, "GetScene") else None
    browsers = 0 if scene is None else scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")
    for index in range(browsers):
        sequence = scene.GetNthNodeByClass(index, "vtkMRMLSequenceBrowserNode").GetSequenceNode(node)
        if sequence is not None:
            return sequence
    return node


def scanTransformProblem(scan: Any) -> str:
    """Return why results would lie elsewhere than a scan is shown, an empty text when they would not.

    :param scan: vtkMRMLSequenceNode, whose frames are shown by a volume that a transform may move, or vtkMRMLMultiVolumeNode.
    """
    scene = scan.GetScene()
    shown = None if scene is None else proxyOfScan(scene, scan)
    transform = None if shown is None else shown.GetParentTransformNode()
    if transform is None:
        return ""
    return (
        f"'{scan.GetName()}' is shown moved by the transform '{transform.GetName()}', which results would not follow. "
        "Take it out of the transform (module Transforms) and put the results beneath it afterwards."
    )


def isMultiVolume(node: Any) -> bool:
    """Say whether a node is the older 4D node of Slicer: one image with several numbers per voxel."""
    return bool(node.GetAttribute("MultiVolume.FrameLabels"))


def multiVolumeLabels(node: Any) -> tuple[list[str], str]:
    """Return the frame labels of a multi-volume node and their unit."""
    labels = [label.strip() for label in node.GetAttribute("MultiVolume.FrameLabels").split(",") if label.strip()]
    tag = node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagName") or ""
    unit = node.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits") or ""
    return labels, tag if tag.endswith(NO_TIMES) else unit  # echo times are in milliseconds too, but no times of frames


def modalityFromValues(node: Any) -> str | None:
    """Return ctp when a good part of the first frame is air near -1000 HU, None when the values do not tell."""
    frame = node
    if node.IsA("vtkMRMLSequenceNode"):
        frame = node.GetNthDataNode(0) if node.GetNumberOfDataNodes() else None
    image = frame.GetImageData() if frame is not None and frame.IsA("vtkMRMLVolumeNode") else None
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).ravel()
    values = values[:: max(values.size // 100_000, 1)]
    return "ctp" if np.mean(abs(values + 1000.0) < AIR_SPREAD_HU) > AIR_SHARE else None


def _multiVolumeFrames(node: Any) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    labels, unit = multiVolumeLabels(node)
    data = vectorVolumeArray(node).astype(np.float32)
    if data.shape[3] != len(labels):
        msg = f"'{node.GetName()}' has {data.shape[3]} frames but {len(labels)} frame labels. Load it as a volume sequence."
        raise TimingError(msg)
    return data, affineOf(node), labels, unit


def _acquisition(node: Any, facts: dict[str, Any], labels: list[str], unit: str) -> Acquisition:
    known = facts.get("acquisition")
    if not known:
        index = node.GetIndexName() if node.IsA("vtkMRMLSequenceNode") else "frame labels"
        return Acquisition(f"{index or 'index'} of the sequence, {unit or 'no unit'}")
    slices = known["slice_times_s"]
    return Acquisition(
        known["time_source"],
        None if slices is None else np.array(slices),
        known["shuttle"],
        known["manufacturer"],
        tuple(known["echo_times_s"]),
        known["repetition_time_s"],
        known["details"],
    )


def _source(node: Any, facts: dict[str, Any], findings: tuple[QualityFinding, ...]) -> Source:
    known = facts.get("source", {})
    noticed = (*findingsOfSource(known), *findings)
    return Source(known.get("kind", "array"), known.get("case_id", node.GetName()), tuple(known.get("decisions", ())), noticed)
