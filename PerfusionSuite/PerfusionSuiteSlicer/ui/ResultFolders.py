# SPDX-License-Identifier: Apache-2.0
"""The files of each study, shared by the panels, so that a report that was renewed by one is the one that all open.

They live as long as the scene with the study: a panel that is reloaded finds them again, and the next scene, whose study
may have the same name, does not get those of another patient.
"""

import tempfile
from functools import cache
from pathlib import Path

import slicer

from .RunnerChoice import temporaryFolder

_folders = {}


def newFolder():
    """Return a temporary folder for the files of a job; it is gone when nobody keeps it."""
    return tempfile.TemporaryDirectory(prefix="perfusion-results-", dir=temporaryFolder())


def keepFolder(study, folder):
    """Make a folder that of a study; the one before is removed.

    :param study: name of the study.
    :param folder: from newFolder().
    """
    _connectOnce()
    before = _folders.pop(study, None)
    _folders[study] = folder
    if before is not None and before is not folder:
        before.cleanup()


def fileOf(study, name):
    """Return the path of a file of a study, None when there is none.

    :param study: name of the study.
    :param name: name of the file, "." for the folder.
    """
    folder = _folders.get(study)
    path = None if folder is None else Path(folder.name) / name
    return path if path is not None and path.exists() else None


@cache
def _connectOnce():
    slicer.app.connect("aboutToQuit()", _removeFolders)
    slicer.mrmlScene.AddObserver(slicer.mrmlScene.EndCloseEvent, _removeFolders)


def _removeFolders(*_ignored):
    for folder in _folders.values():
        folder.cleanup()
    _folders.clear()
