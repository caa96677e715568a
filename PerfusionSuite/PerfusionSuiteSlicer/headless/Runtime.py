# SPDX-License-Identifier: Apache-2.0
"""What the Slicer application sets up at its start, made on the slicer-core wheel without Qt and without a display.

In the desktop nothing is set up: the application's own scene, logics and managers are there already.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

from .Application import Application, Module

MODULE_LOGICS = {
    "Data": "vtkSlicerDataModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Reformat": "vtkSlicerReformatLogic",
}
"""Each logic registers the node classes of its module with the scene."""


class SceneRuntime:
    """A scene with the logics that register its node classes, read and write its files and draw it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="perfusion-suite-")
        self.temporaryPath = self._folder.name
        self.scene = slicer.vtkMRMLScene()
        self.applicationLogic = slicer.vtkSlicerApplicationLogic()
        self.logics: dict[str, Any] = {}
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self._startApplicationLogic()
        self._startFiles()
        for name, className in MODULE_LOGICS.items():
            self._startModule(name, getattr(slicer, className)())
        self.logics["Colors"] = self._colorLogic
        self.applicationLogic.SetModuleLogic("Colors", self._colorLogic)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)

    def _startApplicationLogic(self) -> None:
        logic = self.applicationLogic
        logic.SetTemporaryPath(self.temporaryPath)
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        # The colour logic looks for colour files, which are part of the desktop only: it finds an empty folder.
        (Path(self.temporaryPath) / "share" / "ColorFiles").mkdir(parents=True)
        logic.SetHomeDirectory(self.temporaryPath)
        logic.SetShareDirectory("share")
        self._colorLogic = slicer.vtkSlicerColorLogic()
        self._colorLogic.SetMRMLApplicationLogic(logic)
        logic.SetColorLogic(self._colorLogic)
        logic.SetMRMLScene(self.scene)
        self._colorLogic.SetMRMLScene(self.scene)

    def _startFiles(self) -> None:
        """Without these the scene can neither list image formats nor read a scene bundle."""
        cache = Path(self.temporaryPath) / "cache"
        cache.mkdir()
        self._remoteLogic = slicer.vtkMRMLRemoteIOLogic()
        self._remoteLogic.SetMRMLApplicationLogic(self.applicationLogic)
        self._remoteLogic.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self._dataLogic = slicer.vtkDataIOManagerLogic()
        self._dataLogic.SetMRMLApplicationLogic(self.applicationLogic)
        self._dataLogic.SetAndObserveDataIOManager(self._remoteLogic.GetDataIOManager())
        self.applicationLogic.SetMRMLSceneDataIO(self.scene, self._remoteLogic, self._dataLogic)

    def _startModule(self, name: str, logic: Any) -> None:
        logic.SetMRMLApplicationLogic(self.applicationLogic)
        logic.SetMRMLScene(self.scene)
        self.applicationLogic.SetModuleLogic(name, logic)
        self.logics[name] = logic

    def close(self) -> None:
        """Empty the scene and let go of every logic, in the order that leaves nothing dangling."""
        self.scene.Clear(1)
        for name in self.logics:
            self.applicationLogic.SetModuleLogic(name, None)
        self.logics.clear()
        self.applicationLogic.SetMRMLScene(None)
        self._folder.cleanup()


_running: SceneRuntime | None = None


def startRuntime() -> slicer.vtkMRMLScene:
    """Set up scene, application and modules on `slicer` unless they exist; return the scene.

    Calling it again, or inside the desktop application, changes nothing.
    """
    global _running
    if getattr(slicer, "mrmlScene", None) is not None:
        return slicer.mrmlScene
    renderWithoutDisplay()
    _running = SceneRuntime()
    slicer.mrmlScene = _running.scene
    slicer.app = Application(_running)
    for name in ("modules", "moduleNames"):
        names = types.ModuleType(f"slicer.{name}")
        sys.modules[f"slicer.{name}"] = names
        setattr(slicer, name, names)
    for name, logic in _running.logics.items():
        setattr(slicer.modules, name.lower(), Module(name, logic))
        setattr(slicer.moduleNames, name, name)
    for factory in (slicer.vtkMRMLThreeDViewDisplayableManagerFactory, slicer.vtkMRMLSliceViewDisplayableManagerFactory):
        factory.GetInstance().SetMRMLApplicationLogic(_running.applicationLogic)
    atexit.register(stopRuntime)
    return slicer.mrmlScene


def stopRuntime() -> None:
    """Take down what `startRuntime` set up; without that, nothing happens."""
    global _running
    if _running is None:
        return
    for factory in (slicer.vtkMRMLThreeDViewDisplayableManagerFactory, slicer.vtkMRMLSliceViewDisplayableManagerFactory):
        factory.GetInstance().SetMRMLApplicationLogic(None)
    _running.close()
    slicer.mrmlScene = slicer.app = _running = None
    for name in ("modules", "moduleNames"):
        sys.modules.pop(f"slicer.{name}", None)
        delattr(slicer, name)


@contextmanager
def freshScene() -> Iterator[SceneRuntime]:
    """Give an empty scene with its own logics, apart from the one the user works in; closed at the end."""
    startRuntime()
    runtime = SceneRuntime()
    try:
        yield runtime
    finally:
        runtime.close()


def isDesktop() -> bool:
    """Say whether this is the Slicer application rather than a plain Python with slicer-core."""
    return getattr(slicer, "app", None) is not None and not isinstance(slicer.app, Application)


def renderWithoutDisplay() -> None:
    """Without an X server VTK would try one first, complain and only then fall back to software rendering."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
