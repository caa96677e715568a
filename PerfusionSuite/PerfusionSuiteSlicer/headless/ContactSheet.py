# SPDX-License-Identifier: Apache-2.0
"""Several slices side by side, with Slicer's colour legend in a column of its own so that it never covers anatomy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .RenderView import textPicture
from .SliceImages import SliceView

TILE = 300
LEGEND_WIDTH = 150
HEADING = 44
GAP = 4
MARGIN = 1.10
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
    legend = _legendDisplay(volume)
    place = (*legend.GetPosition(), *legend.GetSize())
    view = SliceView(runtime, (LEGEND_WIDTH, height))
    try:
        with _hiddenLegends(runtime.scene, keep=legend):
            legend.SetPosition(0.5, 0.5)
            legend.SetSize(0.9, min(0.9, 420 / height))
            view.show(background, volume)
            view.lookAt(np.array([0.0, 0.0, 1e4]), (200.0, 200.0))
            return view.picture()
    finally:
        view.close()
        legend.SetPosition(*place[:2])
        legend.SetSize(*place[2:])


def _legendDisplay(volume: Any) -> Any:
    displays = (volume.GetNthDisplayNode(index) for index in range(volume.GetNumberOfDisplayNodes()))
    return next(display for display in displays if display.IsA("vtkMRMLColorLegendDisplayNode"))


class _hiddenLegends:
    """Hide all legends of a scene but one, and show them again at the end."""

    def __init__(self, scene: Any, keep: Any = None) -> None:
        nodes = scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")
        nodes.UnRegister(None)
        legends = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
        self._hidden = [legend for legend in legends if legend is not keep and legend.GetVisibility()]

    def __enter__(self) -> None:
        for legend in self._hidden:
            legend.SetVisibility(False)

    def __exit__(self, *error: object) -> None:
        for legend in self._hidden:
            legend.SetVisibility(True)
