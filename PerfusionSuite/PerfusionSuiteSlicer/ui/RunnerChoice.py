# SPDX-License-Identifier: Apache-2.0
"""Which runner fits the place: Qt's event loop in the desktop, a plain subprocess anywhere else. Imports no Qt itself."""

import shutil
from pathlib import Path

import slicer

from PerfusionSuiteLib.jobs import SubprocessRunner


def chooseRunner(waitForCompletion=False):
    """Return what starts workers here.

    :param waitForCompletion: the caller will wait, so that no event loop is needed.
    """
    if waitForCompletion or slicer.app.layoutManager() is None:
        return SubprocessRunner(workerPython(), temporary_folder=temporaryFolder())
    from .JobRunner import JobRunner

    return JobRunner(workerPython(), temporaryFolder())


def workerPython():
    """Return Slicer's interpreter, None for the one that runs this (plain Python with slicer-core)."""
    return shutil.which("PythonSlicer")


def temporaryFolder():
    """Return the folder in which Slicer keeps its temporary files."""
    folder = Path(slicer.app.temporaryPath)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
