# SPDX-License-Identifier: Apache-2.0
"""Shared drawing: figures without global state, image panels on black, outlines, colour bars, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.colors import color_table
from ...core.errors import require_package
from ...core.files import written_beside
from ...core.geometry import BoolArray
from .views import LETTERS

DPI = 110
FILM = "#000000"
INK = "#f2f2f2"
FAINT = "#b4b4b4"
PAPER_INK = "#1f2933"
AIF_COLOR = "#c62828"
VOF_COLOR = "#1565c0"
TISSUE_COLOR = "#6b7280"
INPUT_COLOR = "#6a1b9a"


def new_figure(width_in: float, height_in: float, background: str) -> Any:
    """Return an empty figure that does not touch matplotlib's global state.

    Parameters
    ----------
    width_in, height_in : float, inches
        Size.
    background : str
        Colour.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas.
    """
    require_package("matplotlib", "draw pictures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=background)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure as PNG, atomically; equal figures give equal files.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : path-like
        The file.

    Returns
    -------
    Path
        The file.
    """
    with written_beside(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return Path(path)


def axes_at(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Add axes at a place in inches, measured from the upper left corner.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    left, top, width, height : float, inches
        The place.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    full_width, full_height = figure.get_size_inches()
    place = (left / full_width, 1.0 - (top + height) / full_height, width / full_width, height / full_height)
    return figure.add_axes(place)


def map_colors(name: str) -> Any:
    """Return one of the package's colour tables for matplotlib; missing values are black.

    Parameters
    ----------
    name : str
        A name that ``core.colors.color_table`` knows.

    Returns
    -------
    matplotlib.colors.ListedColormap
        The table.
    """
    from matplotlib.colors import ListedColormap

    colors = np.vstack([color_table(name)])
    return ListedColormap(colors.tolist(), name=name).with_extremes(bad="black")


def show_image(
    axes: Any, picture: NDArray[Any], size_mm: tuple[float, float], limits: tuple[float, float], colormap: str
) -> None:
    """Show a picture in true proportions on black.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    picture : ndarray, shape (rows, columns)
        Row 0 at the top.
    size_mm : tuple of float, mm
        Width and height.
    limits : tuple of float
        Values of the first and last colour.
    colormap : str
        Name of the colour table.
    """
    axes.set_facecolor(FILM)
    width, height = size_mm
    shown = np.asarray(picture, np.float32)
    axes.imshow(shown, cmap=map_colors(colormap), vmin=limits[0], vmax=limits[1], extent=(0.0, width, height, 0.0))
    axes.set_aspect("equal")
    axes.set_axis_off()


def show_color(axes: Any, mask: BoolArray, size_mm: tuple[float, float], color: Any, opacity: float) -> None:
    """Tint the part of a picture where a mask is set.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    mask : ndarray of bool, shape (rows, columns)
        What to tint.
    size_mm : tuple of float, mm
        Width and height.
    color : color
        RGB.
    opacity : float
        0 to 1.
    """
    layer = np.zeros((*mask.shape, 4), np.uint8)  # a figure keeps what it shows, and pages of panels add up
    layer[..., :3] = 255.0 * np.asarray(color)
    layer[..., 3] = mask * (255.0 * opacity)
    axes.imshow(layer, extent=(0.0, size_mm[0], size_mm[1], 0.0), interpolation="nearest")


def outline(axes: Any, mask: BoolArray, size_mm: tuple[float, float], color: Any, width: float = 1.0) -> None:
    """Draw the border of a mask, with a dark rim so that it is seen on any colour.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    mask : ndarray of bool, shape (rows, columns)
        What to outline.
    size_mm : tuple of float, mm
        Width and height.
    color : color
        Colour of the line.
    width : float, points
        Width of the line.
    """
    if not mask.any():
        return
    from contourpy import LineType, contour_generator
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Line

    rows, columns = mask.shape
    # One voxel of background all around closes outlines at the edge of the picture.
    x = (np.arange(-1, columns + 1) + 0.5) * size_mm[0] / columns
    y = (np.arange(-1, rows + 1) + 0.5) * size_mm[1] / rows
    # Lines found once and by themselves: contours of axes keep grids of numbers as large as the picture, one for each of them.
    found = contour_generator(x, y, np.pad(mask, 1).astype(float), line_type=LineType.SeparateCode).lines(0.5)
    paths = [Line(points, codes) for points, codes in zip(*found, strict=True)]
    for ink, wide, opacity in (("black", width + 1.0, 0.6), (color, width, 1.0)):
        lines = PathCollection(paths, facecolors="none", edgecolors=[ink], linewidths=[wide], alpha=opacity, zorder=2)
        axes.add_collection(lines, autolim=False)
    axes.set_xlim(0.0, size_mm[0])
    axes.set_ylim(size_mm[1], 0.0)


def letters(axes: Any, plane: str, size: float = 9.0, *, inside: bool = True) -> None:
    """Write the directions at the edges of a picture.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    plane : {"axial", "coronal", "sagittal"}
        Which directions.
    size : float, points
        Size of the letters.
    inside : bool
        Within the picture, or beside it.
    """
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=2.0, foreground="black")]  # letters are read on bright bone, too
    places = ((0.0, 0.5, 1, 0), (1.0, 0.5, -1, 0), (0.5, 1.0, 0, -1), (0.5, 0.0, 0, 1))
    shift = 3.0 if inside else -3.0
    for letter, (x, y, right, up) in zip(LETTERS[plane], places, strict=True):
        inward = (right, up) if inside else (-right, -up)
        axes.annotate(
            letter, (x, y), xycoords="axes fraction", xytext=(shift * right, shift * up), textcoords="offset points",
            ha=("right", "center", "left")[inward[0] + 1], va=("top", "center", "bottom")[inward[1] + 1],
            color=INK, fontsize=size, fontweight="bold", annotation_clip=False, path_effects=rim,
        )  # fmt: skip


def color_bar(
    axes: Any, limits: tuple[float, float], colormap: str, label: str, *, mark: float | None = None, extend: bool = True
) -> None:
    """Draw a vertical colour bar with its unit.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where, a narrow strip.
    limits : tuple of float
        Values of the first and last colour.
    colormap : str
        Name of the colour table.
    label : str
        Quantity and unit.
    mark : float, optional
        A threshold to mark on the bar.
    extend : bool
        Say by ``>=`` that the last colour stands for larger values, too.
    """
    low, high = limits
    rows = np.linspace(low, high, 256)[:, None]
    axes.imshow(rows, cmap=map_colors(colormap), vmin=low, vmax=high, aspect="auto", origin="lower", extent=(0, 1, low, high))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    ticks = _ticks(low, high)
    axes.set_yticks(ticks, [f"{'≥ ' if extend and tick == high else ''}{tick:g}" for tick in ticks])
    axes.tick_params(colors=INK, labelsize=8, length=2.5, pad=2)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
        spine.set_linewidth(0.6)
    axes.set_title(label, color=INK, fontsize=8.5, loc="left", pad=8)
    if mark is not None and low < mark < high:
        axes.axhline(mark, color="white", linewidth=1.6)
        axes.axhline(mark, color="black", linewidth=0.6)


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    inner = [float(tick) for tick in MaxNLocator(4, steps=[1, 2, 2.5, 3, 4, 5, 10]).tick_values(low, high) if low <= tick <= high]
    margin = 0.12 * (high - low)
    return sorted({low, *(tick for tick in inner if low + margin < tick < high - margin), high})
