# SPDX-License-Identifier: Apache-2.0
"""A job whose result becomes a study in the scene; when it fails or is cancelled, the scene stays as it was."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InvalidInputError, PerfusionError, ProgressCallback, QualityFinding, no_progress
from PerfusionSuiteLib.core.failures import failure_of
from PerfusionSuiteLib.jobs import Event, JobOutcome, JobSpec, Runner

from .CurveNodes import tableToInputFunction
from .SequenceNodes import sequenceToSeries
from .StudyScene import studyToScene
from .VolumeArrays import volumeArray


class StudyJob:
    """The handle of an analysis that runs in a process of its own.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the study goes.
    sequenceNode : vtkMRMLSequenceNode or None
        The scan, when it is in the scene. When it leaves the scene before the end, no results are added.
    name : str, optional
        Name of the study, by default that of the case.
    progress : callable, optional
        Called with the finished fraction and the stage.
    finished : callable, optional
        Called once with this handle, after the results are in the scene.
    """

    def __init__(
        self,
        scene: Any,
        sequenceNode: Any,
        name: str | None = None,
        progress: ProgressCallback | None = None,
        finished: Callable[[StudyJob], None] | None = None,
    ) -> None:
        self.outcome: JobOutcome | None = None
        self.nodes: Any = None
        self.findings: list[QualityFinding] = []
        self._scene = scene
        self._sequenceNode = sequenceNode
        self._name = name
        self._progress = progress or no_progress
        self._finished = finished
        self._job: Any = None

    def start(self, runner: Runner, spec: JobSpec) -> None:
        """Start the worker and return at once."""
        self._job = runner.start(spec, event=self._onEvent, finished=self._onFinished)

    @property
    def state(self) -> str:
        """running, done, cancelled or failed."""
        return "running" if self.outcome is None else self.outcome.state

    def cancel(self) -> None:
        """Ask the worker to stop; returns at once."""
        self._job.cancel()

    def stop(self) -> None:
        """End the worker now, for an application that is about to end."""
        self._job.stop()

    def poll(self) -> str:
        """Handle what the worker said; needed only where no Qt event loop runs. Returns the state."""
        self._job.poll()
        return self.state

    def wait(self) -> Any:
        """Wait until the study is in the scene and return its nodes; raises the worker's error."""
        self._job.wait()
        self.outcome.check()
        return self.nodes

    def _onEvent(self, event: Event) -> None:
        if event.kind == "progress":
            self._progress(event.content["fraction"], event.content["stage"])
        elif event.kind == "finding":
            known = {key: event.content[key] for key in ("code", "severity", "message", "advice")}
            self.findings.append(QualityFinding(**known))

    def _onFinished(self, outcome: JobOutcome) -> None:
        if outcome.state == "done":
            outcome = self._collect(outcome)
        self.outcome = outcome
        if self._job is not None:
            self._job.folder.remove()
        if self._finished is not None:
            self._finished(self)

    def _toScene(self, result: Any) -> Any:
        self._checkScan()
        return studyToScene(self._scene, result, name=self._name, sequenceNode=self._sequenceNode)

    def _collect(self, outcome: JobOutcome) -> JobOutcome:
        try:
            self.nodes = self._toScene(self._job.result())
        except Exception as error:
            if not isinstance(error, PerfusionError):
                logging.getLogger(__name__).exception("The results could not be put into the scene")
            failure = failure_of(error, advice="Run the analysis again and report it if it happens again.")
            return JobOutcome("failed", failure.code, failure.sentence, failure.kind)
        return outcome

    def _checkScan(self) -> None:
        if self._sequenceNode is not None and not self._scene.IsNodePresent(self._sequenceNode):
            msg = "The scan was removed from the scene while it was analyzed, so no results were added. Load it again."
            raise InvalidInputError(msg)


def userInputs(aifTable: Any = None, vofTable: Any = None, adc: Any = None) -> dict[str, Any]:
    """Return what a user gave instead of the automatic choice, as inputs of a job.

    Parameters
    ----------
    aifTable, vofTable : vtkMRMLTableNode, optional
        A time column and a curve.
    adc : vtkMRMLScalarVolumeNode, optional
        Apparent diffusion coefficient on the grid of the scan.
    """
    given: dict[str, Any] = {}
    for kind, table in (("aif", aifTable), ("vof", vofTable)):
        if table is not None:
            given[kind] = tableToInputFunction(table, kind)
    if adc is not None:
        given["adc"] = volumeArray(adc).astype(np.float32)
    return given


def startStudyJob(
    scene: Any,
    runner: Runner,
    scan: Any,
    choices: Mapping[str, Any],
    *,
    name: str | None = None,
    modality: str = "auto",
    interval_s: float | None = None,
    inputs: Mapping[str, Any] | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
) -> StudyJob:
    """Start the analysis of a scan in a process of its own.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the study goes.
    runner : Runner
        Starts the worker.
    scan : vtkMRMLSequenceNode or path-like
        The scan: a sequence in the scene, or a DICOM folder or 4D file, which the worker reads.
    choices : mapping
        Fields of ``pipeline.Settings`` that differ from the defaults.
    name : str, optional
        Name of the study, by default that of the sequence or the case.
    modality : {"auto", "ctp", "dsc"}
        What kind of scan it is; auto takes what the scan says.
    interval_s : float, s, optional
        Time between frames, where the scan does not say it or says it wrongly.
    inputs : mapping, optional
        Fields of ``pipeline.UserInputs``, such as an arterial curve.
    output : path-like, optional
        Folder that the worker also writes all results to: maps, tables, pictures, report.
    progress, finished : callable, optional
        See `StudyJob`.
    """
    settings: dict[str, Any] = {"pipeline": dict(choices)}
    folder = None if output is None else Path(output)
    given = dict(inputs or {})
    if isinstance(scan, str | os.PathLike):
        reading = {"modality": modality, "interval_s": interval_s}
        spec = JobSpec("run", settings | {"path": os.fspath(Path(scan).absolute()), "reading": reading}, given, folder)
        job = StudyJob(scene, None, name, progress, finished)
    else:
        kind = None if modality == "auto" else modality
        series = sequenceToSeries(scan, modality=kind, interval_s=interval_s or None)
        spec = JobSpec("run", settings, {"series": series, **given}, folder)
        job = StudyJob(scene, scan, name or scan.GetName(), progress, finished)
    job.start(runner, spec)
    return job
