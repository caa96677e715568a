# SPDX-License-Identifier: Apache-2.0
"""Whether this machine can draw at all: without an OpenGL library VTK ends the whole process instead of raising an error."""

from __future__ import annotations

import functools
import subprocess
import sys

from .Runtime import isDesktop, renderWithoutDisplay

TIMEOUT_S = 60.0

_DRAW = """
import slicer, vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
renderer = vtk.vtkRenderer()
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.Render()
grab = vtk.vtkWindowToImageFilter()
grab.SetInput(window)
grab.ReadFrontBufferOff()
grab.Update()
print("drawn" if grab.GetOutput().GetScalarComponentAsDouble(4, 4, 0, 0) > 200 else "empty")
"""


@functools.cache
def canDraw() -> bool:
    """Say whether pictures can be drawn, by drawing one in a process of its own, which may crash."""
    if isDesktop():
        return True
    renderWithoutDisplay()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DRAW],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "drawn" in done.stdout
