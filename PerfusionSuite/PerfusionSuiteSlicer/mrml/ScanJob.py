# SPDX-License-Identifier: Apache-2.0
"""A job that reads a scan from files, with our own readers, and puts it into the scene as a sequence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PerfusionSuiteLib.core import AslSeries, PerfusionSeries, ProgressCallback
from PerfusionSuiteLib.jobs import JobSpec, Runner

from .AslSequences import aslToSequence
from .SequenceNodes import seriesToSequence
from .StudyFolder import fileNodes
from .StudyJob import StudyJob
from .StudyRoles import allOrNothing, nodesOfStudy, studiesInScene


class ScanJob(StudyJob):
    """The handle of a scan that is being read; `nodes` becomes (sequence node, browser node)."""

    def _toScene(self, result: PerfusionSeries | AslSeries) -> Any:
        name = self._freeName(self._name or result.source.case_id)
        with allOrNothing(self._scene):
            make = aslToSequence if isinstance(result, AslSeries) else seriesToSequence
            sequence, browser = make(self._scene, result, name)
            fileNodes(self._scene, name, nodesOfStudy(self._scene, name))
        return sequence, browser

    def _freeName(self, name: str) -> str:
        """A scan never replaces another one of the same name."""
        used = set(studiesInScene(self._scene))
        return next(free for number in range(1, 10_000) if (free := name if number == 1 else f"{name} {number}") not in used)


def startScanJob(
    scene: Any,
    runner: Runner,
    path: str | os.PathLike[str],
    *,
    modality: str = "auto",
    interval_s: float | None = None,
    name: str | None = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[StudyJob], None] | None = None,
) -> ScanJob:
    """Start reading a scan in a process of its own.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the scan goes.
    runner : Runner
        Starts the worker.
    path : path-like
        DICOM folder or file, 4D NIfTI (which Slicer does not read itself), 4D NRRD, or a folder with one file per frame.
    modality, interval_s : optional
        See ``series.read``.
    name : str, optional
        Name of the scan, by default that of the case.
    progress, finished : callable, optional
        See `StudyJob`.
    """
    reading = {"modality": modality, "interval_s": interval_s}
    job = ScanJob(scene, None, name, progress, finished)
    job.start(runner, JobSpec("read", {"path": os.fspath(Path(path).absolute()), "reading": reading}))
    return job
