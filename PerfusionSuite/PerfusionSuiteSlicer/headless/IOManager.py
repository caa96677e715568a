# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of nodes and scenes where the application's IO manager is missing, for the functions of `slicer.util`."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import slicer
import vtk

FILE_TYPES = (
    ((".mrml", ".mrb"), "SceneFile"),
    ((".seg.nrrd", ".seg.nhdr", ".seg.nii.gz", ".seg.nii"), "SegmentationFile"),
    ((".seq.nrrd", ".seq.nhdr", ".seq.mha"), "SequenceFile"),
    ((".csv", ".tsv"), "TableFile"),
    ((".mrk.json", ".fcsv"), "MarkupsFile"),
    ((".txt", ".json", ".xml"), "TextFile"),
    ((".vtp", ".stl", ".obj", ".ply", ".vtk"), "ModelFile"),
    ((".tfm", ".h5", ".mat"), "TransformFile"),
    ((".ctbl",), "ColorTableFile"),
)

READERS = {
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "SequenceFile": ("vtkMRMLSequenceNode", "vtkMRMLVolumeSequenceStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode"),
    "MarkupsFile": ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode"),
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "ColorTableFile": ("vtkMRMLColorTableNode", "vtkMRMLColorTableStorageNode"),
}

LABELMAP, CENTER, SINGLE_FILE = 1, 2, 4
"""Options of vtkSlicerVolumesLogic.AddArchetypeVolume."""


class IOManager:
    """Stands for `slicer.app.coreIOManager()`."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    @property
    def _scene(self) -> Any:
        return self._runtime.scene

    def fileType(self, fileName: str) -> str:
        name = str(fileName).lower()
        return next((kind for endings, kind in FILE_TYPES if name.endswith(endings)), "VolumeFile")

    def fileWriterFileType(self, node: Any, preferred: Any = None) -> str:
        return "NodeFile"

    def loadNodes(self, fileType: str, properties: Any, loadedNodes: Any = None, userMessages: Any = None) -> bool:
        path = str(properties["fileName"])
        if not Path(path).exists():
            return _failed(userMessages, f"The file '{path}' does not exist.")
        if fileType == "SceneFile":
            return readScene(self._scene, path, clear=bool(properties.get("clear", False)))
        name = properties.get("name") or baseName(path)
        node = self._readVolume(path, name, properties) if fileType == "VolumeFile" else self._readNode(fileType, path, name)
        if node is None:
            return _failed(userMessages, f"The file '{path}' could not be read.")
        if fileType == "SequenceFile" and properties.get("show", True):
            browser = self._scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
            browser.SetAndObserveMasterSequenceNodeID(node.GetID())
        if loadedNodes is not None:
            loadedNodes.AddItem(node)
        return True

    def _readVolume(self, path: str, name: str, properties: Any) -> Any:
        options = (
            LABELMAP * bool(properties.get("labelmap"))
            + CENTER * bool(properties.get("center"))
            + SINGLE_FILE * bool(properties.get("singleFile"))
        )
        return self._runtime.logics["Volumes"].AddArchetypeVolume(path, name, options)

    def _readNode(self, fileType: str, path: str, name: str) -> Any:
        nodeClass, storageClass = READERS[fileType]
        node = self._scene.AddNewNodeByClass(nodeClass, name)
        storage = self._scene.AddNewNodeByClass(storageClass)
        storage.SetFileName(path)
        if not storage.ReadData(node):
            self._scene.RemoveNode(storage)
            self._scene.RemoveNode(node)
            return None
        node.SetAndObserveStorageNodeID(storage.GetID())
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return node

    def saveNodes(self, fileType: str, properties: Any, userMessages: Any = None) -> bool:
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return self.saveScene(path)
        node = self._scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None and hasattr(node, "SetForceCreateStorageNode"):
            node.SetForceCreateStorageNode(node.CreateStorageNodeAlways)
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        if storage is None:
            return _failed(userMessages, f"The node '{node.GetName()}' cannot be stored in a file.")
        return _write(node, storage, path, properties)

    def exportNodes(
        self, nodeIDs: Any, fileNames: Any, properties: Any, hardenTransform: bool = False, userMessages: Any = None
    ) -> bool:
        done = True
        for nodeID, path in zip(nodeIDs, fileNames, strict=True):
            node = original = self._scene.GetNodeByID(nodeID)
            if hardenTransform and original.GetParentTransformNode():
                node = self._scene.AddNewNodeByClass(original.GetClassName())
                node.Copy(original)
                node.HardenTransform()
            done = _write(node, self._newStorage(node), str(path), properties) and done
            if node is not original:
                self._scene.RemoveNode(node)
        return done

    def fileWriterExtensions(self, node: Any) -> list[str]:
        formats = self._newStorage(node).GetSupportedWriteFileTypes()
        return [formats.GetValue(i) for i in range(formats.GetNumberOfValues())]

    def extractKnownExtension(self, path: str, node: Any) -> str:
        helper = slicer.vtkDataFileFormatHelper
        endings = [helper.GetFileExtensionFromFormatString(text) for text in self.fileWriterExtensions(node)]
        fitting = [ending for ending in endings if str(path).lower().endswith(ending)]
        return max(fitting, key=len) if fitting else Path(path).suffix

    def _newStorage(self, node: Any) -> Any:
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetScene(self._scene)  # the list of image formats comes from the scene's data IO
        return storage

    def saveScene(self, path: str) -> bool:
        scene = self._scene
        if path.endswith(".mrml"):
            scene.SetURL(path)
            scene.SetRootDirectory(str(Path(path).absolute().parent))
            return bool(scene.Commit(path))
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        Path(path).mkdir(parents=True, exist_ok=True)
        return bool(scene.SaveSceneToSlicerDataBundleDirectory(path, None))

    def loadScene(self, path: str, clear: bool = True) -> bool:
        return readScene(self._scene, path, clear=clear)


def readScene(scene: Any, path: str, *, clear: bool) -> bool:
    """Read a .mrml or .mrb file into a scene; data are read at once, so that an unpacked bundle can go."""
    if path.endswith(".mrb"):
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as bundle:
            bundle.extractall(folder)
            inner = next(Path(folder).rglob("*.mrml"), None)
            return inner is not None and readScene(scene, str(inner), clear=clear)
    scene.SetURL(path)
    return bool(scene.Connect() if clear else scene.Import(None))


def baseName(path: str) -> str:
    """Return the name of a file without its (possibly double) extension."""
    name = Path(path).name
    for ending in (".seg.nrrd", ".seq.nrrd", ".nii.gz", ".mrk.json"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return Path(name).stem


def _write(node: Any, storage: Any, path: str, properties: Any) -> bool:
    storage.SetFileName(path)
    storage.SetUseCompression(bool(properties.get("useCompression", storage.GetUseCompression())))
    return bool(storage.WriteData(node))


def _failed(userMessages: Any, text: str) -> bool:
    if userMessages is not None:
        userMessages.AddMessage(vtk.vtkCommand.ErrorEvent, text)
    return False
