# SPDX-License-Identifier: Apache-2.0
"""Several slices side by side, with Slicer's colour legend in a column of its own so that it never covers anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .RenderView import textPicture
from .SliceImages import SliceView

TILE = 320
LEGEND_WIDTH, LEGEND_HEIGHT = 170, 320
FAR_MM = 1e4
HEADING = 44
GAP = 4
MARGIN = 1.12
"""How much more than the head a tile shows, so that letters stand beside it."""


def contactSheet(
    runtime: Any,
    background: Any,
    centers: Sequence[np.ndarray],
    fieldOfView_mm: tuple[float, float],
    *,
    heading: str,
    foreground: Any = None,
    opacity: float = 0.6,
    legendOf: Any = None,
    columns: int = 4,
) -> np.ndarray:
    """Return a picture of axial slices through several points.

    Parameters
    ----------
    centers : sequence of ndarray, shape (3,), RAS mm
        Middle of each tile.
    fieldOfView_mm : tuple of float
        What a tile must show across and up.
    heading : str
        One line above the slices.
    legendOf : vtkMRMLScalarVolumeNode, optional
        The map whose colour legend is drawn at the right.
    """
    width, height = _tileSize(fieldOfView_mm)
    view = SliceView(runtime, (width, height))
    try:
        view.show(background, foreground, opacity=opacity)
        with _hiddenLegends(runtime.scene):
            tiles = [_tile(view, center, fieldOfView_mm) for center in centers]
    finally:
        view.close()
    columns = min(columns, len(tiles))
    grid = _grid(tiles, columns)
    if legendOf is not None:
        grid = np.hstack([grid, _legend(runtime, background, legendOf, grid.shape[0])])
    return np.vstack([textPicture(heading, (grid.shape[1], HEADING), bold=True), grid])


def _tileSize(fieldOfView_mm: tuple[float, float]) -> tuple[int, int]:
    across, up = fieldOfView_mm
    return round(TILE * min(1.0, across / up)), round(TILE * min(1.0, up / across))


def _tile(view: SliceView, center: np.ndarray, fieldOfView_mm: tuple[float, float]) -> np.ndarray:
    view.lookAt(center, (MARGIN * fieldOfView_mm[0], MARGIN * fieldOfView_mm[1]))
    view.annotate()
    return view.picture()


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * (height + GAP), columns * (width + GAP), 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _legend(runtime: Any, background: Any, volume: Any, height: int) -> np.ndarray:
    """Slicer draws the legends of the volumes that a view shows: here a view far above the head, with nothing else in it."""
    view = SliceView(runtime, (LEGEND_WIDTH, height))
    try:
        view.show(background, volume)
        view.lookAt(np.array([0.0, 0.0, FAR_MM]), (200.0, 200.0))
        with _hiddenLegends(runtime.scene), _legendCopy(runtime.scene, volume) as legend:
            # Slicer fits the letters to the size of the bar: a slim bar at the left, with room for them at its right.
            legend.SetPosition(0.05, 0.45)
            legend.SetSize(50 / LEGEND_WIDTH, min(0.75, LEGEND_HEIGHT / height))
            return view.picture()
    finally:
        view.close()


@contextmanager
def _legendCopy(scene: Any, volume: Any) -> Iterator[Any]:
    """Give a copy of the legend of a volume: views pick up only legends that are added while they exist."""
    copy = scene.CreateNodeByClass("vtkMRMLColorLegendDisplayNode")
    copy.UnRegister(None)
    copy.Copy(_legendDisplay(volume))
    copy.SetVisibility(True)
    scene.AddNode(copy)
    volume.AddAndObserveDisplayNodeID(copy.GetID())
    try:
        yield copy
    finally:
        scene.RemoveNode(copy)


def _legendDisplay(volume: Any) -> Any:
    displays = (volume.GetNthDisplayNode(index) for index in range(volume.GetNumberOfDisplayNodes()))
    return next(display for display in displays if display.IsA("vtkMRMLColorLegendDisplayNode"))


@contextmanager
def _hiddenLegends(scene: Any) -> Iterator[None]:
    """Hide all legends of a scene, and show them again at the end."""
    nodes = scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")
    nodes.UnRegister(None)
    legends = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    hidden = [legend for legend in legends if legend.GetVisibility()]
    for legend in hidden:
        legend.SetVisibility(False)
    try:
        yield
    finally:
        for legend in hidden:
            legend.SetVisibility(True)
