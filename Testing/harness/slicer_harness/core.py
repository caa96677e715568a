# SPDX-License-Identifier: Apache-2.0
"""A Qt-free Slicer runtime on the slicer-core wheel.

boot() fills in what the application normally puts on the `slicer` module: mrmlScene, app,
modules and moduleNames, with real MRML logic behind them, so that slicer.util's node, array,
load and save functions work unchanged.
"""

from __future__ import annotations

import os
import sys
import tempfile
import types
import zipfile
from pathlib import Path

import slicer
import slicer.util
import vtk

from PerfusionSuiteSlicer.headless.Runtime import MODULE_LOGICS


class Module:
    """Stands for qSlicerAbstractCoreModule: slicer.modules.volumes.logic() and .name, .path."""

    def __init__(self, name, logic=None, path=""):
        self.name, self.title, self.path, self._logic = name, name, path, logic

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return None


class IOManager:
    """The part of qSlicerCoreIOManager that slicer.util calls, on MRML storage nodes."""

    READERS = {
        "VolumeFile": ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode"),
        "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
        "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
        "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode"),
        "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
        "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
        "ColorTableFile": ("vtkMRMLColorTableNode", "vtkMRMLColorTableStorageNode"),
    }

    def __init__(self, app):
        self.app = app

    def fileType(self, fileName):
        n = str(fileName).lower()
        for ends, t in (
            ((".mrml", ".mrb"), "SceneFile"),
            ((".seg.nrrd", ".seg.nhdr", ".seg.nii.gz", ".seg.nii"), "SegmentationFile"),
            ((".seq.nrrd", ".seq.nhdr", ".seq.mha"), "SequenceFile"),
            ((".csv", ".tsv"), "TableFile"),
            ((".txt", ".json", ".xml"), "TextFile"),
            ((".vtp", ".stl", ".obj", ".ply", ".vtk"), "ModelFile"),
            ((".tfm", ".h5", ".mat"), "TransformFile"),
            ((".ctbl",), "ColorTableFile"),
            ((".mrk.json", ".fcsv"), "MarkupsFile"),
        ):
            if n.endswith(ends):
                return t
        return "VolumeFile"

    def fileWriterFileType(self, node, preferred=None):
        return "NodeFile"

    def loadNodes(self, fileType, properties, loadedNodes=None, userMessages=None):
        path = str(properties["fileName"])
        scene = slicer.mrmlScene
        if not os.path.exists(path):
            return self._fail(userMessages, f"File does not exist: {path}")
        name = properties.get("name") or self.baseName(path)
        if fileType == "SceneFile":
            return self.loadScene(path, bool(properties.get("clear", False)))
        if fileType == "VolumeFile":
            options = (
                (1 if properties.get("labelmap") else 0)
                | (2 if properties.get("center") else 0)
                | (4 if properties.get("singleFile") else 0)
            )
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)
            if node is None:
                return self._fail(userMessages, f"Could not read volume {path}")
        elif fileType == "SequenceFile":
            node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
            if not self._read(node, "vtkMRMLVolumeSequenceStorageNode", path):
                scene.RemoveNode(node)
                return self._fail(userMessages, f"Could not read sequence {path}")
            if properties.get("show", True):
                browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name + " browser")
                browser.SetAndObserveMasterSequenceNodeID(node.GetID())
        elif fileType in self.READERS:
            cls, storage = self.READERS[fileType]
            node = scene.AddNewNodeByClass(cls, name)
            if not self._read(node, storage, path):
                scene.RemoveNode(node)
                return self._fail(userMessages, f"Could not read {path}")
            if hasattr(node, "CreateDefaultDisplayNodes"):
                node.CreateDefaultDisplayNodes()
        else:
            return self._fail(userMessages, f"No reader for file type {fileType}")
        if loadedNodes is not None:
            loadedNodes.AddItem(node)
        return True

    @staticmethod
    def _fail(userMessages, text):
        if userMessages is not None:
            userMessages.AddMessage(vtk.vtkCommand.ErrorEvent, text)
        return False

    @staticmethod
    def _read(node, storageClass, path):
        storage = slicer.mrmlScene.AddNewNodeByClass(storageClass)
        storage.SetFileName(path)
        ok = bool(storage.ReadData(node))
        if ok:
            node.SetAndObserveStorageNodeID(storage.GetID())
        else:
            slicer.mrmlScene.RemoveNode(storage)
        return ok

    @staticmethod
    def baseName(path):
        n = Path(path).name
        for end in (".seg.nrrd", ".seq.nrrd", ".nii.gz", ".mrk.json"):
            if n.lower().endswith(end):
                return n[: -len(end)]
        return Path(n).stem

    def saveNodes(self, fileType, properties, userMessages=None):
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return self.saveScene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None and hasattr(node, "SetForceCreateStorageNode"):
            node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)
        if storage is None:
            node.AddDefaultStorageNode(path)
            storage = node.GetStorageNode()
        if storage is None:
            return self._fail(userMessages, f"{node.GetName()} has no storage node")
        storage.SetFileName(path)
        storage.SetUseCompression(bool(properties.get("useCompression", storage.GetUseCompression())))
        return bool(storage.WriteData(node))

    def fileWriterExtensions(self, node):
        formats = self._new_storage(node).GetSupportedWriteFileTypes()
        return [formats.GetValue(i) for i in range(formats.GetNumberOfValues())]

    def extractKnownExtension(self, path, node):
        ends = [slicer.vtkDataFileFormatHelper.GetFileExtensionFromFormatString(f) for f in self.fileWriterExtensions(node)]
        fitting = [e for e in ends if str(path).lower().endswith(e)]
        return max(fitting, key=len) if fitting else Path(path).suffix

    @staticmethod
    def _new_storage(node):
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetScene(slicer.mrmlScene)  # image formats come from the scene's IO manager
        return storage

    def exportNodes(self, nodeIDs, fileNames, properties, hardenTransform=False, userMessages=None):
        ok = True
        for nodeID, path in zip(nodeIDs, fileNames, strict=True):
            node = slicer.mrmlScene.GetNodeByID(nodeID)
            storage = self._new_storage(node)
            storage.SetFileName(str(path))
            storage.SetUseCompression(bool(properties.get("useCompression", storage.GetUseCompression())))
            if hardenTransform and node.GetParentTransformNode():
                copy = slicer.mrmlScene.AddNewNodeByClass(node.GetClassName())
                copy.Copy(node)
                copy.HardenTransform()
                ok &= bool(storage.WriteData(copy))
                slicer.mrmlScene.RemoveNode(copy)
            else:
                ok &= bool(storage.WriteData(node))
        return ok

    def saveScene(self, path):
        scene = slicer.mrmlScene
        if path.endswith(".mrml"):
            scene.SetURL(path)
            scene.SetRootDirectory(os.path.dirname(os.path.abspath(path)))
            return bool(scene.Commit(path))
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        os.makedirs(path, exist_ok=True)
        return bool(scene.SaveSceneToSlicerDataBundleDirectory(path, None))

    def loadScene(self, path, clear=True):
        scene = slicer.mrmlScene
        if path.endswith(".mrb"):
            # data is read while the scene is read, so the unpacked copy can go afterwards
            with tempfile.TemporaryDirectory(dir=self.app.temporaryPath) as tmp, zipfile.ZipFile(path) as z:
                z.extractall(tmp)
                mrml = next(Path(tmp).rglob("*.mrml"), None)
                return mrml is not None and self.loadScene(str(mrml), clear)
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import(None))


class Application:
    """The part of qSlicerCoreApplication that needs no Qt."""

    applicationName, majorVersion, minorVersion, revision, os, arch = "Slicer", 5, 13, "harness", "linux", "amd64"
    applicationVersion, slicerHome, documentationBaseUrl = "5.13.0-harness", "", "https://slicer.readthedocs.io/en/latest/"
    intDir = ""

    def __init__(self):
        self._tmp = tempfile.TemporaryDirectory(prefix="slicer-harness-")
        self.temporaryPath = self._tmp.name
        self.cachePath = os.path.join(self._tmp.name, "cache")
        os.makedirs(self.cachePath)
        self._io = IOManager(self)
        self._testing = False

    def mrmlScene(self):
        return slicer.mrmlScene

    def applicationLogic(self):
        return self._logic

    def coreIOManager(self):
        return self._io

    ioManager = coreIOManager

    def testingEnabled(self):
        return self._testing

    def translate(self, context, text):
        return text

    def processEvents(self, *args):
        pass

    def mainWindow(self):
        return None

    def layoutManager(self):
        return None

    def pauseRender(self):
        pass

    def resumeRender(self):
        pass

    def startupEnvironment(self):
        return types.SimpleNamespace(keys=lambda: list(os.environ), value=lambda k: os.environ[k])

    def exit(self, code=0):
        sys.exit(code)

    def moduleDocumentationUrl(self, name):
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"


def boot(app=None):
    """Set up scene, logics and the names that modules expect on `slicer`. Returns the app."""
    if getattr(slicer, "mrmlScene", None) is not None:
        return slicer.app
    app = app or Application()
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene, slicer.app = scene, app
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)

    logic = app._logic = slicer.vtkSlicerApplicationLogic()
    logic.SetTemporaryPath(app.temporaryPath)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    # the application's colour logic also knows colour legends; its colour files are not in the wheel
    os.makedirs(os.path.join(app.temporaryPath, "share", "ColorFiles"))
    logic.SetHomeDirectory(app.temporaryPath)
    logic.SetShareDirectory("share")
    app._color = slicer.vtkSlicerColorLogic()
    app._color.SetMRMLApplicationLogic(logic)
    logic.SetColorLogic(app._color)
    logic.SetMRMLScene(scene)
    app._color.SetMRMLScene(scene)
    app._remote = slicer.vtkMRMLRemoteIOLogic()
    app._remote.SetMRMLApplicationLogic(logic)
    app._remote.GetCacheManager().SetRemoteCacheDirectory(app.cachePath)
    app._dataIO = slicer.vtkDataIOManagerLogic()
    app._dataIO.SetMRMLApplicationLogic(logic)
    app._dataIO.SetAndObserveDataIOManager(app._remote.GetDataIOManager())
    logic.SetMRMLSceneDataIO(scene, app._remote, app._dataIO)
    for factory in (slicer.vtkMRMLThreeDViewDisplayableManagerFactory, slicer.vtkMRMLSliceViewDisplayableManagerFactory):
        factory.GetInstance().SetMRMLApplicationLogic(logic)

    for name in ("slicer.modules", "slicer.moduleNames"):
        mod = types.ModuleType(name.split(".")[1])
        sys.modules[name] = mod
        setattr(slicer, name.split(".")[1], mod)
    for name, cls in MODULE_LOGICS.items():
        lg = getattr(slicer, cls)()
        lg.SetMRMLApplicationLogic(logic)
        lg.SetMRMLScene(scene)
        logic.SetModuleLogic(name, lg)
        add_module(Module(name, lg))
    logic.SetModuleLogic("Colors", logic.GetColorLogic())
    add_module(Module("Colors", logic.GetColorLogic()))
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    _auto_subject_hierarchy(scene)
    return app


def add_shared_resources(source):
    """Colour files and terminologies lie in the application's share folder, not in the wheel.
    source: a Slicer source tree."""
    app, source = slicer.app.applicationLogic(), Path(source)
    app.SetHomeDirectory(str(source))
    app.SetShareDirectory("Base/Logic/Resources")
    slicer.app._color.AddDefaultColorNodes()
    terms = slicer.vtkSlicerTerminologiesModuleLogic()
    vtk.vtkObject.GlobalWarningDisplayOff()  # the files are renamed when the application is built
    terms.SetModuleShareDirectory(str(source / "Modules/Loadable/Terminologies/Resources"))
    terms.SetMRMLApplicationLogic(app)
    terms.SetMRMLScene(slicer.mrmlScene)
    vtk.vtkObject.GlobalWarningDisplayOn()
    app.SetModuleLogic("Terminologies", terms)
    add_module(Module("Terminologies", terms))


def add_module(module):
    setattr(slicer.modules, module.name.lower(), module)
    setattr(slicer.moduleNames, module.name, module.name)


def _auto_subject_hierarchy(scene):
    """In the application a Qt plugin logic makes one subject hierarchy item per data node."""
    kinds = (
        "vtkMRMLDisplayableNode",
        "vtkMRMLTableNode",
        "vtkMRMLTextNode",
        "vtkMRMLPlotChartNode",
        "vtkMRMLPlotSeriesNode",
        "vtkMRMLSequenceNode",
        "vtkMRMLSequenceBrowserNode",
    )

    def give_item(node):
        sh = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if node is None or sh is None or node is sh or node.GetHideFromEditors() or not any(node.IsA(k) for k in kinds):
            return
        if not sh.GetItemByDataNode(node):
            sh.CreateItem(sh.GetSceneItemID(), node)

    def resolve(caller=None, event=None):
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)

    def isHierarchy(node):
        return node is not None and node.IsA("vtkMRMLSubjectHierarchyNode")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller, event, node):
        if isHierarchy(node):
            resolve()
        elif not scene.IsBatchProcessing() and not scene.IsImporting():  # items of a scene that is read are on the way
            give_item(node)

    def imported(caller, event):
        resolve()  # else nodes would get items beside those that were read
        for i in range(scene.GetNumberOfNodes()):
            give_item(scene.GetNthNode(i))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removed(caller, event, node):
        if scene.IsClosing() or node is None or isHierarchy(node):
            return
        sh = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if sh is not None and sh.GetItemByDataNode(node):
            sh.RemoveItem(sh.GetItemByDataNode(node), False)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, imported, 10.0)
    scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, resolve)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed)
