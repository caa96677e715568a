# SPDX-License-Identifier: Apache-2.0
"""Proof of a region that was drawn on a picture: the drawing on the left, where it lies on the map on the right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray
from .pictures.canvas import (
    FAINT,
    FILM,
    INK,
    axes_at,
    letters,
    new_figure,
    outline,
    save,
    show_color,
    show_image,
)

_COLOR = (0.10, 0.85, 0.95)
_CROP_COLOR = "#ff4fd8"
_HEIGHT, _WIDEST, _HEAD, _FOOT, _MARGIN = 4.6, 12.0, 0.85, 0.4, 0.3


@dataclass(frozen=True, slots=True)
class ProofContent:
    """What a proof shows.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        The picture that was drawn on.
    drawn : ndarray of bool, shape (rows, columns)
        The filled region on it.
    crop : tuple of float or None, pixels
        Left, top, right and bottom of the field of view.
    seen : ndarray, shape (r, c)
        The map seen along the same axis, radiological.
    region : ndarray of bool, shape (r, c)
        The region as the map sees it, within brain and slab.
    size_mm : tuple of float, mm
        Width and height of the map's plane.
    orientation : str
        ``axial``, ``coronal`` or ``sagittal``.
    title, caption : str
        Words above and below.
    """

    picture: NDArray[np.uint8]
    drawn: BoolArray
    crop: tuple[float, float, float, float] | None
    seen: NDArray[Any]
    region: BoolArray
    size_mm: tuple[float, float]
    orientation: str
    title: str
    caption: str


def write_proof(path: str | Path, content: ProofContent) -> Path:
    """Draw and write a proof.

    Parameters
    ----------
    path : path-like
        A PNG.
    content : ProofContent
        What to show.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingPackageError
        If matplotlib is missing.
    """
    rows, columns = content.drawn.shape
    shapes = columns / rows, content.size_mm[0] / content.size_mm[1]
    height = min(_HEIGHT, _WIDEST / sum(shapes))
    left_width, right_width = height * shapes[0], height * shapes[1]
    total = left_width + right_width + 4 * _MARGIN + 0.3
    figure = new_figure(max(total, 7.5), _HEAD + height + _FOOT, FILM)
    size = figure.get_size_inches()
    drawing = axes_at(figure, _MARGIN, _HEAD, left_width, height)
    _show_drawing(drawing, content)
    place = axes_at(figure, left_width + 3 * _MARGIN, _HEAD, right_width, height)
    limits = _window(content.seen)
    show_image(place, content.seen, content.size_mm, limits, "grey")
    show_color(place, content.region, content.size_mm, _COLOR, 0.35)
    outline(place, content.region, content.size_mm, _COLOR, 1.2)
    letters(place, content.orientation, 11.0, inside=False)
    figure.text(_MARGIN / size[0], 1.0 - 0.25 / size[1], content.title, color=INK, fontsize=11, fontweight="bold", va="center")
    figure.text(_MARGIN / size[0], 1.0 - 0.48 / size[1], content.caption, color=FAINT, fontsize=8.5, va="center")
    for x, text in ((_MARGIN, "The picture and what was found on it"), (left_width + 3 * _MARGIN, "Where it lies on the map")):
        figure.text(x / size[0], 0.12 / size[1], text, color=FAINT, fontsize=8.5, va="center")
    return save(figure, path)


def _show_drawing(axes: Any, content: ProofContent) -> None:
    rows, columns = content.drawn.shape
    axes.imshow(content.picture, extent=(0.0, columns, rows, 0.0), interpolation="nearest")
    show_color(axes, content.drawn, (float(columns), float(rows)), _COLOR, 0.35)
    outline(axes, content.drawn, (float(columns), float(rows)), _COLOR, 1.2)
    if content.crop is not None:
        left, top, right, bottom = content.crop
        axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=_CROP_COLOR, linewidth=1.0)
    axes.set_xlim(0.0, columns)
    axes.set_ylim(rows, 0.0)
    axes.set_axis_off()


def _window(seen: NDArray[Any]) -> tuple[float, float]:
    shown = seen[seen > 0]
    return (0.0, float(np.percentile(shown, 99))) if shown.size and np.percentile(shown, 99) > 0 else (0.0, 1.0)
