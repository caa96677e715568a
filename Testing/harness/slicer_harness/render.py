# SPDX-License-Identifier: Apache-2.0
"""Slice and 3D views of a layout, rendered off screen with Slicer's own displayable managers."""

from __future__ import annotations

import slicer
import vtk

from PerfusionSuiteSlicer.headless.RenderView import RenderView

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
THREED_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class SliceView(RenderView):
    """A slice viewer such as Red: background, foreground and label layers plus 2D managers."""

    def __init__(self, name="Red", orientation="Axial", size=(512, 512)):
        super().__init__(size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.SetNumberOfLayers(2)
        # The image comes first: what managers add lies on top of it.
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self.actor)
        app = slicer.app.applicationLogic()
        self.addManagers(slicer.vtkMRMLSliceViewDisplayableManagerFactory, app, SLICE_MANAGERS)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(app)
        app.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        # a layout logic may have made the node already; a second one would be merged into it
        self.node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        if self.node is None:
            self.node = self.logic.AddSliceNode(name)
        else:
            self.logic.SetSliceNode(self.node)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

    def resized(self, width, height):
        self.window.SetSize(width, height)
        self.logic.ResizeSliceNode(width, height)
        offset = self.logic.GetSliceOffset()
        self.logic.FitSliceToAll()
        self.logic.SetSliceOffset(offset)
        return self

    def picture(self):
        port = self.logic.GetImageDataConnection()
        self.actor.GetMapper().SetInputConnection(port)
        self.actor.SetVisibility(port is not None)
        return super().picture()


class ThreeDView(RenderView):
    def __init__(self, name="1", size=(512, 512)):
        super().__init__(size)
        self.renderer.SetUseDepthPeeling(True)
        app = slicer.app.applicationLogic()
        self.addManagers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, app, THREED_MANAGERS)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(app)
        app.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLViewNode")
        if self.node is None:
            self.node = self.logic.AddViewNode(name)
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.renderer.SetBackground(*self.node.GetBackgroundColor())
        self.renderer.SetBackground2(*self.node.GetBackgroundColor2())
        self.renderer.SetGradientBackground(True)

    def reset(self):
        self.node.SetBoxVisible(0)
        self.node.SetAxisLabelsVisible(0)
        self.window.Render()
        self.renderer.ResetCamera()
        return self
