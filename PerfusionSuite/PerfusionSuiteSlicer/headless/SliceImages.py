# SPDX-License-Identifier: Apache-2.0
"""Pictures of Slicer's slice views, drawn by Slicer's own slice logic and displayable managers without a display."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from .RenderView import RenderView

SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Letters of the negative and positive direction of each RAS axis."""

TILT_LIMIT = 0.35
"""Direction cosine below which a direction is not named: a second letter would claim more than it tells."""


class SliceView(RenderView):
    """A slice view on a scene; `runtime` brings the scene and the application logic."""

    def __init__(self, runtime: Any, size: tuple[int, int], *, name: str = "Picture", orientation: str = "Axial") -> None:
        super().__init__(size)
        self.scene = runtime.scene
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        # The image must be the first to be drawn: what managers add lies on top of it.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self._actor)
        self.addManagers(slicer.vtkMRMLSliceViewDisplayableManagerFactory, runtime.applicationLogic, SLICE_MANAGERS)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(runtime.applicationLogic)
        self._collection = runtime.applicationLogic.GetSliceLogics()
        self._collection.AddItem(self.logic)
        self.logic.SetMRMLScene(self.scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)
        self._texts: list[Any] = []

    def show(self, background: Any, foreground: Any = None, *, opacity: float = 0.6) -> None:
        """Choose the volumes to show; the view is aligned with the slices of the background volume."""
        composite = self.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
        composite.SetForegroundOpacity(opacity)
        self.node.RotateToVolumePlane(background)
        self.logic.FitSliceToBackground()

    def lookAt(self, center: np.ndarray, fieldOfView_mm: tuple[float, float]) -> None:
        """Move the view so that a point in RAS lies in its middle, and show so many mm across and up."""
        matrix = self.node.GetSliceToRAS()
        for axis in range(3):
            matrix.SetElement(axis, 3, float(center[axis]))
        self.node.UpdateMatrices()
        width, height = self.size
        scale = max(fieldOfView_mm[0] / width, fieldOfView_mm[1] / height)  # mm per pixel, the same both ways
        self.node.SetFieldOfView(scale * width, scale * height, self.node.GetFieldOfView()[2])

    def directions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the unit vectors in RAS that point right, up and towards the viewer on the screen."""
        matrix = self.node.GetSliceToRAS()
        columns = np.array([[matrix.GetElement(row, column) for row in range(3)] for column in range(3)])
        right, up, normal = columns / np.linalg.norm(columns, axis=1, keepdims=True)
        return right, up, normal

    def annotate(self, fontSize: int = 16) -> None:
        """Write the letters of the patient's directions at the edges and the slice position in a corner."""
        for actor in self._texts:
            self.renderer.RemoveViewProp(actor)
        width, height = self.size
        right, up, _ = self.directions()
        letter = {"size": fontSize, "bold": True}
        edge = fontSize / 3
        self._texts = [
            self.addText(letters(right), (width - edge, height / 2), align="right", valign="center", **letter),
            self.addText(letters(-right), (edge, height / 2), valign="center", **letter),
            self.addText(letters(up), (width / 2, height - edge), align="center", valign="top", **letter),
            self.addText(letters(-up), (width / 2, edge), align="center", **letter),
            self.addText(self.positionText(), (edge, edge), size=fontSize),
        ]

    def positionText(self) -> str:
        """Return the position of the slice as Slicer's viewers print it, such as ``S 24.0 mm``."""
        _, _, normal = self.directions()
        axis = int(np.abs(normal).argmax())
        position = self.node.GetSliceToRAS().GetElement(axis, 3)
        return f"{LETTERS[axis][int(position >= 0)]} {abs(position):.1f} mm"

    def picture(self) -> np.ndarray:
        port = self.logic.GetImageDataConnection()
        self._actor.SetVisibility(port is not None)
        if port is not None:
            self._mapper.SetInputConnection(port)
        return super().picture()

    def close(self) -> None:
        """Take the view out of the scene again."""
        super().close()
        logic = self.logic
        nodes = [
            logic.GetSliceModelNode(),
            logic.GetSliceModelDisplayNode(),
            logic.GetSliceModelTransformNode(),
            logic.GetSliceCompositeNode(),
            self.node,
        ]
        self._collection.RemoveItem(logic)
        logic.SetMRMLScene(None)
        for node in nodes:
            if node is not None and self.scene.IsNodePresent(node):
                self.scene.RemoveNode(node)


def letters(direction: np.ndarray) -> str:
    """Return the anatomical letter of a direction in RAS; two when it is oblique, the stronger one first."""
    order = np.argsort(-np.abs(direction))
    strong = [axis for axis in order if abs(direction[axis]) > TILT_LIMIT]
    return "".join(LETTERS[axis][int(direction[axis] > 0)] for axis in strong[:2])
