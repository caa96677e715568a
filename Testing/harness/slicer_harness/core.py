# SPDX-License-Identifier: Apache-2.0
"""What needs no Qt: the extension's own runtime on the slicer-core wheel, and what the desktop application adds to it."""

from __future__ import annotations

from pathlib import Path

import slicer
import slicer.util
import vtk

from PerfusionSuiteSlicer.headless import Runtime
from PerfusionSuiteSlicer.headless.Application import Module


def boot():
    """Set up scene, logics and the names that modules expect on `slicer`; return slicer.app without Qt."""
    Runtime.startRuntime()
    _auto_subject_hierarchy(slicer.mrmlScene)
    return slicer.app


def add_shared_resources(source):
    """Colour files and terminologies lie in the application's share folder, not in the wheel.
    source: a Slicer source tree."""
    app, source = slicer.app.applicationLogic(), Path(source)
    app.SetHomeDirectory(str(source))
    app.SetShareDirectory("Base/Logic/Resources")
    app.GetColorLogic().AddDefaultColorNodes()
    terms = slicer.vtkSlicerTerminologiesModuleLogic()
    vtk.vtkObject.GlobalWarningDisplayOff()  # the files are renamed when the application is built
    terms.SetModuleShareDirectory(str(source / "Modules/Loadable/Terminologies/Resources"))
    terms.SetMRMLApplicationLogic(app)
    terms.SetMRMLScene(slicer.mrmlScene)
    vtk.vtkObject.GlobalWarningDisplayOn()
    app.SetModuleLogic("Terminologies", terms)
    slicer.modules.terminologies = Module("Terminologies", terms)
    slicer.moduleNames.Terminologies = "Terminologies"


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
