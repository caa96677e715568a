# SPDX-License-Identifier: Apache-2.0
"""Several slices side by side, with Slicer's colour legend in a column of its own so that it never covers anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .RenderView import textPicture
from .SliceImages import SliceView

SMALLEST_TILE = 320
"""Pixels; a voxel is enlarged by the smallest whole factor that makes tiles at least so high."""

LEGEND_WIDTH, LEGEND_HEIGHT, BAR_WIDTH, HEADING, FONT = 0.42, 0.85, 0.17, 0.12, 0.045
"""Of legend column (at least), colour bar, heading and letters, in heights of a tile."""

WIDEST_LEGEND = 1.0
"""Room for the words of a legend, in heights of a tile."""

NARROWEST = 1.9
"""Width of a picture, in heights of a tile."""

GAP = 4
FAR_MM = 1e4

Heading = Sequence[tuple[str, tuple[float, float, float]]]
"""Parts of a line of text with their colours."""


def contactSheet(
    runtime: Any,
    background: Any,
    centers: Sequence[np.ndarray],
    fieldOfView_mm: tuple[float, float],
    *,
    heading: Heading,
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
        What a tile shows across and up.
    heading : sequence of (str, color)
        One line above the slices.
    legendOf : vtkMRMLScalarVolumeNode, optional
        The map whose colour legend is drawn at the right.
    """
    width, height = tileSize(fieldOfView_mm, min(background.GetSpacing()[:2]))
    view = SliceView(runtime, (width, height))
    try:
        view.show(background, foreground, opacity=opacity)
        with _hiddenLegends(runtime.scene):
            tiles = [_tile(view, center, fieldOfView_mm) for center in centers]
    finally:
        view.close()
    grid = _grid(tiles, min(columns, len(tiles)))
    if legendOf is not None:
        grid = np.hstack([grid, _legend(runtime, background, legendOf, grid.shape[0], height)])
    missing = round(NARROWEST * height) - grid.shape[1]
    if missing > 0:  # a single slice leaves too little room for the heading
        grid = np.pad(grid, ((0, 0), (0, missing), (0, 0)))
    line = textPicture(heading, (grid.shape[1], round(HEADING * height)), fontSize=round(1.2 * FONT * height))
    return np.vstack([line, grid])


def tileSize(fieldOfView_mm: tuple[float, float], voxel_mm: float) -> tuple[int, int]:
    """Return pixels across and up: a whole number for each voxel, or voxels of a map would look unequal in size."""
    across, up = (round(length / voxel_mm) for length in fieldOfView_mm)
    factor = max(1, -(-SMALLEST_TILE // up))
    return factor * across, factor * up


def _tile(view: SliceView, center: np.ndarray, fieldOfView_mm: tuple[float, float]) -> np.ndarray:
    view.lookAt(center, fieldOfView_mm)
    view.annotate(round(FONT * view.size[1]))
    return view.picture()


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * (height + GAP), columns * (width + GAP), 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _legend(runtime: Any, background: Any, volume: Any, height: int, tile: int) -> np.ndarray:
    """Slicer draws the legends of the volumes that a view shows: here a view far above the head, with nothing else in it."""
    width = round(WIDEST_LEGEND * tile)
    view = SliceView(runtime, (width, height))
    try:
        view.show(background, volume)
        view.lookAt(np.array([0.0, 0.0, FAR_MM]), (200.0, 200.0))
        with _hiddenLegends(runtime.scene), _legendCopy(runtime.scene, volume) as legend:
            # Slicer fits the letters to the size of the bar: a slim bar at the left, with room for them at its right.
            legend.SetPosition(0.02 * LEGEND_WIDTH * tile / width, 0.45)
            legend.SetLabelFormat(legend.GetLabelFormat().replace("%", "%-", 1))  # blanks behind labels, not before
            legend.SetSize(BAR_WIDTH * tile / width, min(0.75, LEGEND_HEIGHT * tile / height))
            return _asWideAsItsWords(view.picture(), round(LEGEND_WIDTH * tile), round(FONT * tile / 2))
    finally:
        view.close()


def _asWideAsItsWords(picture: np.ndarray, least: int, margin: int) -> np.ndarray:
    """Cut off what is empty at the right: a long unit needs more room than a short one."""
    painted = np.flatnonzero(picture.any(axis=(0, 2)))
    return picture[:, : max(least, painted[-1] + 1 + margin if painted.size else 0)]


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
