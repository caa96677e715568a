# SPDX-License-Identifier: Apache-2.0
"""slicer.app with Qt, loading of scripted modules, panels and screenshots."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import types
from pathlib import Path

from . import core, pythonqt

qt = pythonqt.install()

import slicer
from PySide6 import QtCore, QtWidgets

from . import ctk_widgets, qmrml_widgets, standins  # noqa: F401  # the first two register how stand-ins behave
from .layout import LayoutManager

isEmulation = True
hasReport = True


class DesktopApplication:
    """qSlicerApplication: the application without Qt, QApplication and a check against the real class."""

    revision, documentationBaseUrl = "harness", "https://slicer.readthedocs.io/en/latest/"

    def __init__(self, qapp, without_qt):
        self._qapp, self._without_qt = qapp, without_qt
        ini = os.path.join(self.temporaryPath, "Slicer.ini")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, self.temporaryPath)
        qapp.setOrganizationName("NA-MIC")
        qapp.setApplicationName("Slicer")
        self._settings = QtCore.QSettings(ini, QtCore.QSettings.IniFormat)
        self._managers = {}
        self._main = None
        self._layout = None

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        for part in (self._without_qt, self._qapp):
            if hasattr(part, name):
                return getattr(part, name)
        cls = "qSlicerApplication"
        while cls in standins.FACTS["qt"]:
            e = standins.FACTS["qt"][cls]
            if name in e["methods"] or name in e["properties"] or name in e["signals"]:
                raise NotImplementedError(f"slicer.app.{name} exists in Slicer but not in this harness")
            cls = e["bases"][0]
        raise AttributeError(f"qSlicerApplication has no attribute named '{name}'")

    def connect(self, *args):
        if args and isinstance(args[0], str) and args[0].startswith("startupCompleted"):
            whenStarted.append(args[1])
            return True
        return self._qapp.connect(*args)

    def settings(self):
        return self._settings

    userSettings = revisionUserSettings = settings

    def processEvents(self, *args):
        self._qapp.processEvents()

    def testingEnabled(self):
        return True

    def moduleDocumentationUrl(self, name):
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def moduleManager(self):
        if "module" not in self._managers:
            self._managers["module"] = standins.resolve("qSlicerModuleManager")()
        return self._managers["module"]

    def mainWindow(self):
        return self._main

    def layoutManager(self):
        if self._layout is None:
            self._layout = LayoutManager()
        return self._layout

    def layoutLogic(self):
        return self.layoutManager().layoutLogic()

    @property
    def defaultScenePath(self):
        return self.temporaryPath

    def commandOptions(self):
        return types.SimpleNamespace(noMainWindow=self._main is None, testingEnabled=True)


whenStarted = []


class ScriptedModule:
    """qSlicerScriptedLoadableModule: holds the Python class, makes its widget on demand."""

    def __init__(self, path):
        self.path, self.name = str(path), Path(path).stem
        self.parent = standins.resolve("qSlicerScriptedLoadableModule")()
        d = self.parent.__dict__
        d["_p_path"], d["_p_name"] = self.path, self.name
        self._widget = None
        self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        folder = os.path.dirname(self.path)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        spec = importlib.util.spec_from_file_location(self.name, self.path)
        self.module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = self.module
        spec.loader.exec_module(self.module)
        slicer.modules.__dict__[self.name.lower()] = self
        setattr(slicer.moduleNames, self.name, self.name)
        self.instance = getattr(self.module, self.name)(self.parent)
        setattr(slicer.modules, self.name + "Instance", self.instance)
        if hasattr(self.instance, "setup"):
            self.instance.setup()

    def __getattr__(self, name):
        return getattr(self.__dict__["parent"], name)

    def logic(self):
        return self._logic

    def createNewWidgetRepresentation(self):
        w = standins.resolve("qSlicerScriptedLoadableModuleWidget")()
        QtWidgets.QVBoxLayout(w)
        w.setMRMLScene(slicer.mrmlScene)
        py = getattr(self.module, self.name + "Widget")(w)
        w.__dict__["_python"] = py
        type(w)._do_self = lambda s: s.__dict__["_python"]
        setattr(slicer.modules, self.name + "Widget", py)
        py.setup()
        return w

    def widgetRepresentation(self):
        if self._widget is None:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def enter(self):
        py = self.widgetRepresentation().self()
        if hasattr(py, "enter"):
            py.enter()
        return py


def start(facts, base_classes, source=None):
    """Make the application.

    :param facts: API facts of a Slicer version.
    :param base_classes: folder of our own small base classes.
    :param source: a Slicer source tree whose own Python files are used instead.
    """
    standins.load_facts(facts)
    _quiet_qt_messages()
    qapp = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
    qapp.setStyle("Fusion")
    app = slicer.app = DesktopApplication(qapp, core.boot())
    slicer.__class__ = standins.FactModule
    ctk = standins.FactModule("ctk")
    ctk.ctkWidgetsUtils = types.SimpleNamespace(grabWidget=lambda w, *a: w.grab().toImage())
    sys.modules["ctk"] = ctk
    import slicer_core

    for n in ("vtkITK", "vtkTeem", "vtkSegmentationCore", "vtkAddon"):
        sys.modules[n + "Python"] = getattr(slicer_core, n, None) or sys.modules.get(f"slicer_core.{n}")
    if source is None:
        slicer.__path__.append(str(base_classes))
    else:
        base = source / "Base" / "Python"
        core.add_shared_resources(source)
        slicer.__path__.append(str(base / "slicer"))
        sys.path.append(str(base))
    slicer.qSlicerApplication = DesktopApplication
    slicer.modules.qSlicerScriptedLoadableModule = None
    _python_slicer(app)
    app.layoutManager()
    return app


def _quiet_qt_messages():
    def handler(mode, ctx, text):
        if "QObject::connect" in text or "propagateSizeHints" in text or "QFormBuilder" in text:
            return
        print("Qt:", text, file=sys.stderr)

    QtCore.qInstallMessageHandler(handler)


def _python_slicer(app):
    """A PythonSlicer on the PATH: this Python, as modules expect for background processes."""
    d = Path(app.temporaryPath) / "bin"
    d.mkdir()
    f = d / "PythonSlicer"
    f.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
    f.chmod(f.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{d}{os.pathsep}{os.environ['PATH']}"


def pump(seconds=0.0, until=None):
    """Run the event loop for a while, or until a condition holds. Returns whether it held."""
    import time

    end = time.monotonic() + seconds
    while True:
        slicer.app.processEvents()
        if until is not None and until():
            return True
        if time.monotonic() >= end:
            return until is None
        time.sleep(0.01)


def screenshot(module, path, width=460, height=None):
    """Keep a picture of a module's panel as Slicer shows it."""
    panel = module.widgetRepresentation()
    pump(0.05)
    panel.resize(width, height or max(panel.sizeHint.height(), 500))
    panel.show()
    pump(0.1)
    panel.grab().toImage().save(str(path))
    return path


def layoutPicture(path, width=1280, height=860):
    """Keep a picture of all views of the present layout."""
    slicer.app.layoutManager().picture(width, height).save(str(path))
