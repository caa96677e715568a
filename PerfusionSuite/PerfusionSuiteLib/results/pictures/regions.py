# SPDX-License-Identifier: Apache-2.0
"""Regions of the brain in color, and beneath them the observed and the fitted curve of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.colors import region_colors
from ...core.regions import RegionFit
from ..map_study import AnyStudy
from .canvas import FAINT, FILM, INK, axes_at, letters, new_figure, show_image
from .content import Scene
from .views import as_picture, picture_mm, position_words, spread_slices

_SLICES, _COLUMNS = 6, 4
_WIDTH, _HEAD, _GAP = 11.0, 0.9, 0.06
_PANEL, _PANEL_GAP = (2.2, 1.35), (0.42, 0.62)


def has_regions(study: AnyStudy) -> bool:
    """Tell whether a study has regions to draw.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    bool
        True when a method fitted regions.
    """
    regions: RegionFit | None = getattr(study, "regions", None)
    return regions is not None and len(regions.rows) > 0


def draw_regions(scene: Scene) -> Any:
    """Draw the regions on slices spread over the brain, and their curves.

    Parameters
    ----------
    scene : Scene
        A study, with regions.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``regions.png``.
    """
    regions: RegionFit | None = getattr(scene.study, "regions", None)
    if regions is None or not regions.rows:
        empty = new_figure(6.0, 1.0, FILM)
        empty.text(0.5, 0.5, "This method fitted no regions.", color=INK, fontsize=11, ha="center", va="center")
        return empty
    slices = spread_slices(scene.brain, scene.hypoperfusion, _SLICES)
    width_mm, height_mm = picture_mm(scene.view, "axial")
    across = (_WIDTH - 0.3 - _GAP * (len(slices) - 1)) / _SLICES
    down = across * height_mm / width_mm
    rows = -(-len(regions.rows) // _COLUMNS)
    curves_top = _HEAD + down + 0.75
    figure = new_figure(_WIDTH, curves_top + rows * (_PANEL[1] + _PANEL_GAP[1]) + 0.1, FILM)
    _heading(figure, regions)
    colors = region_colors(regions.tissues)
    labels = scene.view.turn(regions.labels)
    for column, at in enumerate(slices):
        axes = axes_at(figure, 0.15 + column * (across + _GAP), _HEAD + 0.2, across, down)
        _draw_slice(axes, scene, labels, regions, colors, at)
        axes.set_title(position_words(scene.view, at), color=FAINT, fontsize=9, pad=4)
        if column == 0:
            letters(axes, "axial", 8.0)
    for number in range(len(regions.rows)):
        row, column = divmod(number, _COLUMNS)
        left = 0.5 + column * (_PANEL[0] + _PANEL_GAP[0])
        axes = axes_at(figure, left, curves_top + row * (_PANEL[1] + _PANEL_GAP[1]), *_PANEL)
        is_lowest = number + _COLUMNS >= len(regions.rows)
        _draw_curves(axes, regions, number, colors[number], with_time=is_lowest)
    return figure


def _heading(figure: Any, regions: RegionFit) -> None:
    width, height = figure.get_size_inches()
    figure.text(
        0.15 / width, 1 - 0.25 / height, "Regions and their curves", color=INK, fontsize=12, fontweight="bold", va="center"
    )
    input_words = "input derived from the mean curve of early tissue, not an artery" if regions.relative else "arterial input"
    notes = (
        f"Mean curve of each region (dots) and the model's (line): ΔR2* in {regions.unit}, each on its own scale.",
        f"Gray line: {input_words}, scaled to half height. Radiological convention: the patient's right is on the left.",
    )
    for at, note in enumerate(notes):
        figure.text(0.15 / width, 1 - (0.5 + 0.2 * at) / height, note, color=FAINT, fontsize=9, va="center")


def _draw_slice(axes: Any, scene: Scene, labels: Any, regions: RegionFit, colors: Any, at: int) -> None:
    size = picture_mm(scene.view, "axial")
    show_image(axes, as_picture(scene.baseline[:, :, at]), size, scene.baseline_window, "grey")
    here = as_picture(labels[:, :, at])
    layer = np.zeros((*here.shape, 4))
    for row, color in zip(regions.rows, colors, strict=True):
        layer[here == int(row["roi_id"])] = (*color, 0.75)
    axes.imshow(layer, extent=(0.0, size[0], size[1], 0.0), interpolation="nearest")


def _draw_curves(axes: Any, regions: RegionFit, number: int, color: Any, *, with_time: bool) -> None:
    times, observed, fitted = regions.times_s, regions.observed[number], regions.fitted[number]
    axes.set_facecolor("#111111")
    known = np.concatenate([observed[np.isfinite(observed)], fitted[np.isfinite(fitted)], [0.0]])
    top = float(known.max()) or 1.0
    largest = float(np.nanmax(regions.reference)) or 1.0
    axes.plot(times, 0.5 * top / largest * regions.reference, color="#808080", linewidth=0.8)
    axes.plot(times, observed, ".", color=color, markersize=3.5)
    axes.plot(times, fitted, color=INK, linewidth=1.1)
    if not np.isfinite(fitted).any():
        axes.text(0.5, 0.5, "no fit", color=INK, fontsize=9, ha="center", va="center", transform=axes.transAxes)
    axes.set_ylim(min(1.1 * float(known.min()), -0.05 * top), 1.15 * top)
    axes.set_xlim(float(times[0]), float(times[-1]))
    axes.set_title(_title(regions, number), color=INK, fontsize=9, loc="left", pad=3)
    axes.tick_params(colors=FAINT, labelsize=7, length=2, pad=2)
    if with_time:
        axes.set_xlabel("Time (s)", color=FAINT, fontsize=8, labelpad=1)
    for spine in axes.spines.values():
        spine.set_color("#555555")


def _title(regions: RegionFit, number: int) -> str:
    status = regions.rows[number].get("status")
    is_odd = isinstance(status, str) and status not in ("", "ok")
    return f"{regions.names[number]}: {str(status).replace('_', ' ')}" if is_odd else regions.names[number]
