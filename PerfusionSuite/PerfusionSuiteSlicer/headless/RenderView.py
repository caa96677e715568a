# SPDX-License-Identifier: Apache-2.0
"""An off-screen window with the displayable managers of a Slicer view, and its picture as an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

BACKGROUND, TEXT = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

SMALLEST_FONT = 9


class RenderView:
    """An off-screen render window of `size` (width, height)."""

    def __init__(self, size: tuple[int, int], background: tuple[float, float, float] = BACKGROUND) -> None:
        self.size = size
        self.renderer = vtk.vtkRenderer()
        self.renderer.SetBackground(*background)
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        self.window.SetSize(*size)
        # Displayable managers expect an interactor; it is never started.
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.group: Any = None

    def addManagers(self, factoryClass: Any, applicationLogic: Any, names: tuple[str, ...]) -> None:
        """Let Slicer's own displayable managers draw into this window."""
        factory = factoryClass.GetInstance()
        before = factory.GetMRMLApplicationLogic()
        factory.SetMRMLApplicationLogic(applicationLogic)
        for name in names:
            if hasattr(slicer, name) and not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)
        factory.SetMRMLApplicationLogic(before)

    def addText(
        self, text: str, position: tuple[float, float], *, size: int = 16, align: str = "left", valign: str = "bottom",
        color: tuple[float, float, float] = TEXT, bold: bool = False, angle: float = 0.0,
    ) -> Any:  # fmt: skip
        """Write text at a position in pixels from the lower left corner."""
        actor = vtk.vtkTextActor()
        actor.SetInput(text)
        actor.GetPositionCoordinate().SetCoordinateSystemToDisplay()
        actor.SetPosition(*position)
        look = actor.GetTextProperty()
        look.SetFontSize(size)
        look.SetColor(*color)
        look.SetBold(bold)
        look.SetOrientation(angle)
        {"left": look.SetJustificationToLeft, "center": look.SetJustificationToCentered, "right": look.SetJustificationToRight}[
            align
        ]()
        {"bottom": look.SetVerticalJustificationToBottom, "center": look.SetVerticalJustificationToCentered,
         "top": look.SetVerticalJustificationToTop}[valign]()  # fmt: skip
        if color == TEXT:
            look.SetShadow(True)
            look.SetShadowOffset(1, -1)
        self.renderer.AddViewProp(actor)
        return actor

    def picture(self) -> np.ndarray:
        """Draw and return the window as an array (height, width, 3) of bytes, first row on top."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.SetInputBufferTypeToRGB()
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        return pixels.reshape(height, width, -1)[::-1, :, :3].copy()

    def close(self) -> None:
        """Let go of scene, managers and graphics memory."""
        if self.group is not None:
            self.group.SetMRMLDisplayableNode(None)
            self.group.SetRenderer(None)
            self.group = None
        self.renderer.RemoveAllViewProps()
        self.window.RemoveRenderer(self.renderer)
        self.interactor.SetRenderWindow(None)
        self.window.Finalize()


def textPicture(
    parts: Sequence[tuple[str, tuple[float, float, float]]],
    size: tuple[int, int],
    *,
    fontSize: int = 18,
    background: tuple[float, float, float] = BACKGROUND,
) -> np.ndarray:
    """Return a strip with one line of text, made of parts in their colours; it is set smaller when it would not fit."""
    view = RenderView(size, background)
    try:
        while True:
            view.renderer.RemoveAllViewProps()
            left = right = float(fontSize)
            for text, color in parts:
                actor = view.addText(text, (right, size[1] / 2), size=fontSize, valign="center", bold=True, color=color)
                extent = [0.0, 0.0]
                actor.GetSize(view.renderer, extent)
                right += extent[0] + 0.45 * fontSize
            if right <= size[0] - left / 2 or fontSize <= SMALLEST_FONT:
                return view.picture()
            fontSize -= 1
    finally:
        view.close()


def savePNG(picture: np.ndarray, path: Path) -> Path:
    """Write an array (height, width, 3) of bytes as a PNG file."""
    height, width, _ = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    pixels = np.ascontiguousarray(picture[::-1], np.uint8).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(pixels, deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(image)
    writer.SetFileName(str(path))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    writer.Write()
    if writer.GetErrorCode():
        reason = vtk.vtkErrorCode.GetStringFromErrorCode(writer.GetErrorCode())
        raise OSError(writer.GetErrorCode(), f"picture {path.name}: {reason}", str(path))
    return Path(path)
