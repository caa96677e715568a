# SPDX-License-Identifier: Apache-2.0
"""A job whose result becomes a study in the scene; when it fails or is cancelled, the scene stays as it was."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InvalidInputError, PerfusionError, ProgressCallback, QualityFinding, catalog, no_progress
from PerfusionSuiteLib.core.failures import failure_of
from PerfusionSuiteLib.core.files import write_json
from PerfusionSuiteLib.jobs import Event, JobFolder, JobOutcome, JobSpec, Runner

from .AslSequences import isAsl, sequenceToAsl
from .CurveNodes import tableToInputFunction
from .MapUnits import gridOfScan
from .MarkupNodes import pointPositions
from .SequenceNodes import scanTransformProblem, sequenceToSeries
from .StudyScene import studyToScene
from .TissueLabels import tissueLabels
from .VolumeArrays import affineOf, transformProblem, volumeArray

OWNER_FILE = "study.json"
"""In the folder of a job that is kept: which study it makes."""


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
    watcher : object, optional
        Looks on while a fit runs: ``onLoss(step, steps, parts)``, ``onPreview(maps)``, the names ``previews`` of the maps
        that it wants to see, and if it likes ``end()`` and ``restart()``; such as `LiveFit`.
    """

    def __init__(
        self,
        scene: Any,
        sequenceNode: Any,
        name: str | None = None,
        progress: ProgressCallback | None = None,
        finished: Callable[[StudyJob], None] | None = None,
        watcher: Any = None,
    ) -> None:
        self.outcome: JobOutcome | None = None
        self.nodes: Any = None
        self.findings: list[QualityFinding] = []
        self.secondsLeft: float | None = None
        self._watcher = watcher
        self._scene = scene
        self._sequenceNode = sequenceNode
        self._name = name
        self._progress = progress or no_progress
        self._finished = finished
        self._job: Any = None

    def start(self, runner: Runner, spec: JobSpec, *, folder: Path | None = None) -> None:
        """Start the worker and return at once.

        Parameters
        ----------
        runner : Runner
            Starts it.
        spec : JobSpec
            What to do.
        folder : Path, optional
            The job's folder, which is kept; by default a temporary one.
        """
        place = {} if folder is None else {"folder": folder}
        self._job = runner.start(spec, event=self._onEvent, finished=self._onFinished, **place)
        if folder is not None:
            write_json(self._job.folder.path / OWNER_FILE, {"study": self._name})
        self._askPreviews()

    def resume(
        self,
        runner: Runner,
        progress: ProgressCallback | None = None,
        finished: Callable[[StudyJob], None] | None = None,
        watcher: Any = None,
    ) -> None:
        """Go on with a fit that was cancelled or whose worker died; returns at once.

        Parameters
        ----------
        runner : Runner
            Starts the worker.
        progress, finished, watcher : optional
            Take the place of those that the job was started with.
        """
        if not self.canResume:
            msg = "There is nothing to resume: the fit was not interrupted, or had not yet begun. Start it again."
            raise InvalidInputError(msg)
        self._progress = progress or self._progress
        self._finished = finished or self._finished
        self._watcher = watcher or self._watcher
        self.reopen(runner, self._job.folder)

    def reopen(self, runner: Runner, folder: JobFolder) -> None:
        """Start another worker for the job of a folder; returns at once."""
        self.outcome, self.secondsLeft, self.findings = None, None, []
        if hasattr(self._watcher, "restart"):
            self._watcher.restart()
        self._job = runner.resume(folder, event=self._onEvent, finished=self._onFinished)
        self._askPreviews()

    @property
    def canResume(self) -> bool:
        """Whether the fit was interrupted and left something to go on from."""
        return self.state in ("cancelled", "failed") and self._job is not None and self._job.folder.has_checkpoint

    def discard(self) -> None:
        """Remove what an interrupted fit left on the disk; it cannot be resumed then."""
        if self.state != "running" and self._job is not None:
            self._job.folder.remove()

    @property
    def state(self) -> str:
        """running, done, cancelled or failed."""
        return "running" if self.outcome is None else self.outcome.state

    def cancel(self) -> None:
        """Ask the worker to stop; returns at once."""
        self._job.cancel()

    def _askPreviews(self) -> None:
        wanted = getattr(self._watcher, "previews", ())
        if wanted:
            self._job.ask_preview(wanted)

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
            self.secondsLeft = event.content.get("left_s")
            self._progress(event.content["fraction"], event.content["stage"])
        elif event.kind == "loss" and self._watcher is not None:
            self._watcher.onLoss(event.content["step"], event.content["steps"], event.content["parts"])
        elif event.kind == "preview" and self._watcher is not None:
            self._watcher.onPreview(self._readPreview(event.content["maps"]))
        elif event.kind == "finding":
            known = {key: event.content[key] for key in ("code", "severity", "message", "advice")}
            self.findings.append(QualityFinding(**known))

    def _readPreview(self, files: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Read the maps at once: the worker will write the next ones over them."""
        folder, maps = self._job.folder.path, {}
        for key, file in files.items():
            with suppress(OSError, ValueError):
                maps[key] = np.load(folder / Path(file).name, allow_pickle=False)
        return maps

    def _onFinished(self, outcome: JobOutcome) -> None:
        if hasattr(self._watcher, "end"):
            self._watcher.end()
        if outcome.state == "done":
            outcome = self._collect(outcome)
        self.outcome = outcome
        if self._job is not None and not self.canResume:
            self._job.folder.remove()
        if self._finished is not None:
            self._finished(self)

    def _toScene(self, result: Any) -> Any:
        self._checkScan()
        field = self._job.folder.field_text
        return studyToScene(self._scene, result, name=self._name, sequenceNode=self._sequenceNode, fieldText=field)

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


def userInputs(
    aifTable: Any = None, vofTable: Any = None, adc: Any = None, *, tissue: Any = None, scan: Any = None
) -> dict[str, Any]:
    """Return what a user gave instead of the automatic choice, as inputs of a job.

    Parameters
    ----------
    aifTable, vofTable : vtkMRMLTableNode or vtkMRMLMarkupsFiducialNode, optional
        A time column and a curve, or points on the vessel: a single one grows to the best voxels near it, several stand for the
        voxels that hold them.
    adc : vtkMRMLScalarVolumeNode, optional
        Apparent diffusion coefficient, registered to the scan; it is brought to the grid of the scan.
    tissue : vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode or vtkMRMLSegmentationNode, optional
        Tissue labels on any grid, see `tissueLabels`.
    scan : vtkMRMLSequenceNode, optional
        The scan on whose grid diffusion and tissue labels shall lie.

    Raises
    ------
    InvalidInputError
        If a volume is empty or a transform moves it, or the scan is still to be read from files.
    """
    given: dict[str, Any] = {}
    for kind, node in (("aif", aifTable), ("vof", vofTable)):
        if node is not None and node.IsA("vtkMRMLMarkupsNode"):
            given[f"{kind}_points"] = pointPositions(node)
        elif node is not None:
            given[kind] = tableToInputFunction(node, kind)
    if tissue is not None:
        given["tissue_labels"] = tissueLabels(tissue, scan)
    if adc is not None:
        given["adc"] = _diffusion(adc, scan)
    return given


def _diffusion(node: Any, scan: Any) -> np.ndarray:
    if moved := transformProblem(node):
        raise InvalidInputError(moved)
    from PerfusionSuiteLib.core.positive_on_grid import positive_on_grid  # loads scipy, which no panel needs to open

    return positive_on_grid(volumeArray(node), affineOf(node), *gridOfScan(scan))


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
    watcher: Any = None,
    jobFolder: str | os.PathLike[str] | None = None,
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
        Fields of ``pipeline.Settings`` that differ from the defaults; for an ASL scan of ``pipeline.AslSettings``.
    name : str, optional
        Name of the study, by default that of the sequence or the case.
    modality : {"auto", "ctp", "dsc", "asl"}
        What kind of scan it is; auto takes what the scan says.
    interval_s : float, s, optional
        Time between frames, where the scan does not say it or says it wrongly.
    inputs : mapping, optional
        Fields of ``pipeline.UserInputs``, such as an arterial curve.
    output : path-like, optional
        Folder that the worker also writes all results to: maps, tables, pictures, report.
    progress, finished, watcher : optional
        See `StudyJob`.
    jobFolder : path-like, optional
        Empty folder that the job lives in and leaves behind, so that an interrupted fit can be resumed even after the
        application has ended. By default a temporary one.
    """
    settings: dict[str, Any] = {"pipeline": dict(choices)}
    folder = None if output is None else Path(output)
    given = dict(inputs or {})
    if isinstance(scan, str | os.PathLike):
        reading = {"modality": modality, "interval_s": interval_s}
        spec = JobSpec("run", settings | {"path": os.fspath(Path(scan).absolute()), "reading": reading}, given, folder)
        job = StudyJob(scene, None, name, progress, finished, watcher)
    else:
        _checkMethod(choices.get("method"), scan)
        if moved := scanTransformProblem(scan):
            raise InvalidInputError(moved)
        kind = None if modality == "auto" else modality
        series = sequenceToAsl(scan) if isAsl(scan) else sequenceToSeries(scan, modality=kind, interval_s=interval_s or None)
        spec = JobSpec("run", settings, {"series": series, **given}, folder)
        job = StudyJob(scene, scan, name or scan.GetName(), progress, finished, watcher)
    job.start(runner, spec, folder=None if jobFolder is None else Path(jobFolder))
    return job


def _checkMethod(method: str | None, scan: Any) -> None:
    """Refuse a method of another kind of scan at once, in words that name both."""
    ofAsl = [choice.name for choice in catalog.ASL]
    ofBolus = [choice.name for choice in catalog.METHODS]
    if method in ofAsl and not isAsl(scan):
        msg = (
            f"The method '{method}' is made for ASL, and '{scan.GetName()}' is no ASL scan that was loaded here. Choose another."
        )
        raise InvalidInputError(msg)
    if method in ofBolus and isAsl(scan):
        msg = f"The method '{method}' is made for a contrast bolus, and '{scan.GetName()}' is an ASL scan."
        raise InvalidInputError(f"{msg} Choose one of: {', '.join(ofAsl)}.")


def resumeJob(
    scene: Any,
    runner: Runner,
    job: StudyJob | str | os.PathLike[str],
    *,
    sequenceNode: Any = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
    watcher: Any = None,
) -> StudyJob:
    """Go on with an interrupted fit; of a folder that was kept also after the application was started anew.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the study goes, when a folder is given.
    runner : Runner
        Starts the worker.
    job : StudyJob or path-like
        The handle, or the folder that `startStudyJob` was given.
    sequenceNode : vtkMRMLSequenceNode, optional
        The scan, when a folder is given and the scan is in the scene; it is filed under the study.
    progress, finished, watcher : optional
        See `StudyJob`.
    """
    if isinstance(job, StudyJob):
        job.resume(runner, progress, finished, watcher)
        return job
    folder = JobFolder(Path(job))
    name = None
    with suppress(OSError, ValueError):
        name = json.loads((folder.path / OWNER_FILE).read_text(encoding="utf-8")).get("study")
    opened = StudyJob(scene, sequenceNode, name, progress, finished, watcher)
    opened.reopen(runner, folder)
    return opened
