# SPDX-License-Identifier: Apache-2.0
"""Jobs with a stored field: maps at another resolution, and fitted curves, as nodes beside those of the fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionMaps, PerfusionSeries, ProgressCallback, Source
from PerfusionSuiteLib.jobs import JobSpec, Runner

from .CurveNodes import TISSUE_COLORS, curvesToNodes
from .FieldNodes import fieldFacts, fieldSentence, fieldText, studyOfField
from .LesionNodes import segmentationToLesions
from .MapNodes import mapsToNodes
from .SequenceNodes import frameTimes, seriesToSequence
from .StudyFolder import fileNodes
from .StudyJob import StudyJob
from .StudyRoles import (
    ANATOMY,
    BROWSER,
    LESIONS,
    PREPARED,
    PREPARED_BROWSER,
    ROLE,
    SERIES,
    allOrNothing,
    findNode,
    nodesOfStudy,
)
from .StudyScene import tissueRegions
from .VolumeArrays import affineOf, volumeArray

CURVES, CURVES_BROWSER = "fit.curves", "fit.curves.browser"
MEANS = "tissue.fitted"
FinishedCallback = Callable[[StudyJob], None]


class _FieldJob(StudyJob):
    """A job with a field; it brings nothing when the field has left the scene before its end."""

    def __init__(self, scene: Any, fieldNode: Any, label: str, progress: Any, finished: Any) -> None:
        super().__init__(scene, None, studyOfField(fieldNode), progress, finished)
        self._fieldNode = fieldNode
        self._label = label

    def _checkField(self) -> None:
        if not self._scene.IsNodePresent(self._fieldNode):
            msg = "The field was removed from the scene while it was sampled, so nothing was added. Open its scene again."
            raise InvalidInputError(msg)


class SampleJob(_FieldJob):
    """The handle of a field that is being sampled; `nodes` becomes the volumes by quantity."""

    def _toScene(self, result: PerfusionMaps) -> dict[str, Any]:
        self._checkField()
        role = f"sampled.{self._label.replace('.', ',')}"  # a dot divides the parts of a role
        with allOrNothing(self._scene):
            nodes = mapsToNodes(self._scene, result, self._name, role=role, label=self._label)
            fileNodes(self._scene, self._name, {f"{role}.{key}": node for key, node in nodes.items()})
        return nodes


class CurvesJob(_FieldJob):
    """The handle of curves that are being computed; `nodes` becomes (sequence node, browser node)."""

    def __init__(self, scene: Any, fieldNode: Any, hasBaseline: bool, progress: Any, finished: Any) -> None:
        super().__init__(scene, fieldNode, "", progress, finished)
        self._hasBaseline = hasBaseline

    def _toScene(self, result: dict[str, Any]) -> tuple[Any, Any]:
        self._checkField()
        source = Source("array", self._name, (f"Curves of a fitted field ({fieldSentence(self._fieldNode)})",))
        acquisition = Acquisition("times of the fitted curves")
        kind = "ctp" if self._hasBaseline else "dsc"
        series = PerfusionSeries(result["data"], result["affine"], result["times_s"], kind, acquisition, source)
        with allOrNothing(self._scene):
            sequence, browser = seriesToSequence(self._scene, series, self._name, role=CURVES, label=f"{self._name} fitted")
            synchronize(self._scene, sequence, self._name)
            fileNodes(self._scene, self._name, {CURVES: sequence, CURVES_BROWSER: browser, **self._addMeanCurves(result)})
        return sequence, browser

    def _addMeanCurves(self, result: dict[str, Any]) -> dict[str, Any]:
        """Put the fitted mean curves beside the measured ones of the same regions."""
        study = nodesOfStudy(self._scene, self._name)
        if not {LESIONS, ANATOMY, "chart.tissue", "curve.tissue", "map.baseline"} <= set(study):
            return {}
        lesions, data = segmentationToLesions(study[LESIONS], study[ANATOMY]), result["data"]
        start = volumeArray(study["map.baseline"]).astype(np.float32) * self._hasBaseline
        if start.shape != data.shape[:3] or lesions.tissue.shape != data.shape[:3]:
            return {}
        curves = {}
        for key, region in tissueRegions(lesions).items():
            rise = data[region] - start[region][:, None]
            rise = rise[rise.any(axis=1)]  # voxels that could not be fitted have no curve
            if len(rise):
                curves[f"{key} (fit)"] = rise.mean(axis=0, dtype=np.float64)
        if not curves:
            return {}
        measured = study["curve.tissue"]
        unit = measured.GetColumnUnitLabel(measured.GetColumnName(1))  # behind the time
        colors = {f"{key} (fit)": color for key, color in TISSUE_COLORS.items()}
        table, plots = curvesToNodes(
            self._scene, result["times_s"], curves, self._name, unit=unit, role=MEANS, title="tissue fitted", colors=colors
        )
        for plot in plots:
            plot.SetMarkerStyle(plot.MarkerStyleNone)
            plot.SetLineStyle(plot.LineStyleDash)
            if not study["chart.tissue"].HasPlotSeriesNodeID(plot.GetID()):
                study["chart.tissue"].AddAndObservePlotSeriesNodeID(plot.GetID())
        return {f"curve.{MEANS}": table, **{plot.GetAttribute(ROLE): plot for plot in plots}}


def synchronize(scene: Any, sequence: Any, name: str) -> Any:
    """Let the browser of a study's scan play fitted curves along with it where both have the same times.

    Returns
    -------
    vtkMRMLSequenceBrowserNode or None
        The scan's browser; None when the times differ or the scan is not in the scene.
    """
    for role, browserRole in ((PREPARED, PREPARED_BROWSER), (SERIES, BROWSER)):
        scan, browser = findNode(scene, name, role), findNode(scene, name, browserRole)
        if scan is None or browser is None:
            continue
        isSame = scan.GetNumberOfDataNodes() == sequence.GetNumberOfDataNodes() and np.allclose(
            _timesOf(scan), _timesOf(sequence), atol=1e-3
        )
        if isSame and not browser.IsSynchronizedSequenceNode(sequence, True):
            browser.AddSynchronizedSequenceNode(sequence)
        elif not isSame and browser.IsSynchronizedSequenceNode(sequence, True):
            browser.RemoveSynchronizedSequenceNode(sequence.GetID())
        return browser if isSame else None
    return None


def _timesOf(sequence: Any) -> np.ndarray:
    labels = [sequence.GetNthIndexValue(index) for index in range(sequence.GetNumberOfDataNodes())]
    return frameTimes(sequence.GetName(), labels, sequence.GetIndexUnit() or "")[0]


def startSampleJob(
    scene: Any,
    runner: Runner,
    fieldNode: Any,
    *,
    spacing: Any = None,
    referenceVolume: Any = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    finished: FinishedCallback | None = None,
) -> SampleJob:
    """Start to sample a stored field on another grid, in a process of its own.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the maps go.
    runner : Runner
        Starts the worker.
    fieldNode : vtkMRMLTextNode
        The field of a fit.
    spacing : float or three floats, mm, optional
        Voxel size of the new maps over the field's own region.
    referenceVolume : vtkMRMLVolumeNode, optional
        The new maps lie on its grid instead.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    progress, finished : callable, optional
        See `StudyJob`.
    """
    facts = fieldFacts(fieldNode)
    if (spacing is None) == (referenceVolume is None):
        msg = "It is not clear which grid is meant. Give either the voxel size or a volume whose grid is taken."
        raise InvalidInputError(msg)
    settings: dict[str, Any] = {"density": facts["density"]}
    inputs: dict[str, Any] = {"field": fieldText(fieldNode)}
    if referenceVolume is not None:
        if referenceVolume.GetImageData() is None:
            msg = f"The volume '{referenceVolume.GetName()}' is empty, so it has no grid. Choose another one."
            raise InvalidInputError(msg)
        inputs |= {"affine": affineOf(referenceVolume), "shape": np.array(referenceVolume.GetImageData().GetDimensions())}
        label = f"on {referenceVolume.GetName()}"
    else:
        lengths = [float(length) for length in np.broadcast_to(np.asarray(spacing, float), 3)]
        settings["spacing_mm"] = lengths
        label = f"{' x '.join(f'{length:g}' for length in lengths)} mm"
    job = SampleJob(scene, fieldNode, label, progress, finished)
    job.start(runner, JobSpec("sample-field", settings, inputs, device=device))
    return job


def startCurvesJob(
    scene: Any,
    runner: Runner,
    fieldNode: Any,
    *,
    step: float | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    finished: FinishedCallback | None = None,
) -> CurvesJob:
    """Start to compute the curves that a stored field describes the scan by, in a process of its own.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the sequence goes.
    runner : Runner
        Starts the worker.
    fieldNode : vtkMRMLTextNode
        The field of a fit.
    step : float, s, optional
        Time between frames; by default the frame times of the scan, so that one browser plays both.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    progress, finished : callable, optional
        See `StudyJob`.
    """
    inputs: dict[str, Any] = {"field": fieldText(fieldNode)}
    baseline = nodesOfStudy(scene, studyOfField(fieldNode)).get("map.baseline")
    if baseline is not None and _isCT(baseline):
        inputs["baseline"] = volumeArray(baseline).astype(np.float32)
    job = CurvesJob(scene, fieldNode, "baseline" in inputs, progress, finished)
    settings = {} if step is None else {"step_s": float(step)}
    job.start(runner, JobSpec("field-curves", settings, inputs, device=device))
    return job


def _isCT(baseline: Any) -> bool:
    """Contrast adds to Hounsfield units; MR signal is no sum."""
    unit = baseline.GetVoxelValueUnits()
    return unit is not None and unit.GetCodeMeaning() == "HU"
