# SPDX-License-Identifier: Apache-2.0
"""What the slice viewers of a scene show when it is opened."""

from __future__ import annotations

from typing import Any

VIEWERS = ("Red", "Green", "Yellow")

FOREGROUND_OPACITY = 0.6


def showInViewers(scene: Any, background: Any, foreground: Any | None) -> None:
    """Put an anatomical volume and a map above it into all slice viewers of a scene."""
    for name in VIEWERS:
        composite = scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        if composite is None:
            composite = scene.CreateNodeByClass("vtkMRMLSliceCompositeNode")
            composite.SetSingletonTag(name)
            composite.SetLayoutName(name)
            composite.SetName(name)
            scene.AddNode(composite)
            composite.UnRegister(None)
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
        composite.SetForegroundOpacity(FOREGROUND_OPACITY)
