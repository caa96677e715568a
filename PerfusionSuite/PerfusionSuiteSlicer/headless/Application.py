# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for `slicer.app` and the entries of `slicer.modules`, with the part of the interface that needs no Qt."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import slicer

from .IOManager import IOManager


class Module:
    """Stands for an entry of `slicer.modules`: a name and a logic."""

    def __init__(self, name: str, logic: Any = None, path: str = "") -> None:
        self.name = self.title = name
        self.path = path
        self._logic = logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


class Application:
    """Stands for `slicer.app` where there is no application; it has no main window and no layout manager."""

    applicationName = "Slicer"
    slicerHome = intDir = ""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._ioManager = IOManager(runtime)
        self.temporaryPath = runtime.temporaryPath
        self.cachePath = os.path.join(runtime.temporaryPath, "cache")  # noqa: PTH118  Slicer gives text here
        self.applicationVersion = _packageVersion()
        self.majorVersion, self.minorVersion = (int(part) for part in self.applicationVersion.split(".")[:2])
        self.os, self.arch = sys.platform, os.uname().machine if hasattr(os, "uname") else ""

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return self._runtime.applicationLogic

    def coreIOManager(self) -> IOManager:
        return self._ioManager

    ioManager = coreIOManager

    def testingEnabled(self) -> bool:
        return False

    def translate(self, context: str, text: str) -> str:
        return text

    def processEvents(self, *arguments: Any) -> None:
        pass

    def mainWindow(self) -> None:
        return None

    def layoutManager(self) -> None:
        return None

    def pauseRender(self) -> None:
        pass

    def resumeRender(self) -> None:
        pass

    def startupEnvironment(self) -> Any:
        return types.SimpleNamespace(keys=lambda: list(os.environ), value=lambda key: os.environ[key])

    def exit(self, code: int = 0) -> None:
        sys.exit(code)


def _packageVersion() -> str:
    from importlib.metadata import version

    return version("slicer-core")
