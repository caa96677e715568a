# SPDX-License-Identifier: Apache-2.0
"""Slice, 3D and plot views rendered off screen with Slicer's own displayable managers.

Needs slicer-core and any OpenGL: an EGL or OSMesa software renderer is enough, no display.
"""

from __future__ import annotations

import os

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow" if not os.environ.get("DISPLAY") else "")
if not os.environ["VTK_DEFAULT_OPENGL_WINDOW"]:
    del os.environ["VTK_DEFAULT_OPENGL_WINDOW"]

import slicer
import vtk

SLICE_MANAGERS = [
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
]
THREED_MANAGERS = [
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
]


class View:
    def __init__(self, size):
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        self.window.SetSize(*size)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()

    def managers(self, factoryClass, names):
        factory = factoryClass.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for n in names:
            if hasattr(slicer, n) and not factory.IsDisplayableManagerRegistered(n):
                factory.RegisterDisplayableManager(n)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)

    def image(self):
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        return grab.GetOutput()

    def save(self, path):
        w = vtk.vtkPNGWriter()
        w.SetInputData(self.image())
        w.SetFileName(str(path))
        w.Write()
        return path


class SliceView(View):
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
        self.managers(slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS)
        app = slicer.app.applicationLogic()
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

    @property
    def composite(self):
        return self.logic.GetSliceCompositeNode()

    def show(self, background=None, foreground=None, label=None, foregroundOpacity=0.5, labelOpacity=0.5):
        for setter, node in (
            (self.composite.SetBackgroundVolumeID, background),
            (self.composite.SetForegroundVolumeID, foreground),
            (self.composite.SetLabelVolumeID, label),
        ):
            setter(node.GetID() if node else None)
        self.composite.SetForegroundOpacity(foregroundOpacity)
        self.composite.SetLabelOpacity(labelOpacity)
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()
        return self

    def offset(self, mm):
        self.logic.SetSliceOffset(mm)
        return self

    def image(self):
        port = self.logic.GetImageDataConnection()
        self.actor.GetMapper().SetInputConnection(port)
        self.actor.SetVisibility(port is not None)
        return super().image()


class ThreeDView(View):
    def __init__(self, name="1", size=(512, 512)):
        super().__init__(size)
        self.renderer.SetUseDepthPeeling(True)
        self.managers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, THREED_MANAGERS)
        app = slicer.app.applicationLogic()
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


class PlotView(View):
    """A plot chart node drawn with VTK charts, as qMRMLPlotView does."""

    def __init__(self, chartNode, size=(640, 400)):
        super().__init__(size)
        self.view = vtk.vtkContextView()
        self.view.SetRenderWindow(self.window)
        self.view.GetRenderer().SetBackground(1, 1, 1)
        chart = self.chart = vtk.vtkChartXY()
        chart.SetShowLegend(bool(chartNode.GetLegendVisibility()))
        self.view.GetScene().AddItem(chart)
        chart.SetTitle(chartNode.GetTitle() or "")
        chart.GetAxis(1).SetTitle(chartNode.GetXAxisTitle() or "")
        chart.GetAxis(0).SetTitle(chartNode.GetYAxisTitle() or "")
        chart.GetAxis(1).SetLogScale(bool(chartNode.GetXAxisLogScale()))
        chart.GetAxis(0).SetLogScale(bool(chartNode.GetYAxisLogScale()))
        for i in range(chartNode.GetNumberOfPlotSeriesNodes()):
            s = chartNode.GetNthPlotSeriesNode(i)
            table = s.GetTableNode().GetTable()
            scatter = s.GetPlotType() in (s.PlotTypeScatter, s.PlotTypeScatterBar)
            plot = chart.AddPlot(vtk.vtkChart.LINE if s.GetPlotType() != s.PlotTypeBar else vtk.vtkChart.BAR)
            plot.SetUseIndexForXSeries(not scatter)
            plot.SetInputData(table, s.GetXColumnName() if scatter else s.GetYColumnName(), s.GetYColumnName())
            plot.SetLabel(s.GetName())
            plot.SetColorF(*s.GetColor())
            plot.SetWidth(s.GetLineWidth())
            plot.GetPen().SetLineType(s.GetLineStyle())  # the node's styles are those of VTK's pen, none among them
            if s.GetMarkerStyle() != s.MarkerStyleNone and hasattr(plot, "SetMarkerStyle"):
                plot.SetMarkerStyle(s.GetMarkerStyle())
