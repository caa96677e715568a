# SPDX-License-Identifier: Apache-2.0
"""All maps at a glance: one row per map, the same slices in every row, fixed scales."""

from __future__ import annotations

from typing import Any

from ...core.colors import LESION_COLORS
from ...core.quantities import QUANTITIES
from ..thresholds import tmax_on_map
from .canvas import FAINT, FILM, INK, axes_at, color_bar, letters, new_figure, outline, show_color, show_image
from .content import Scene, drawn_values, reading_note
from .views import as_picture, picture_mm, position_words, spread_slices

ROWS = ("cbf", "cbv", "mtt", "tmax")
_MAX_SLICES = 7
_PANEL_WIDTH, _GAP, _LABEL, _BAR, _HEAD = 1.6, 0.04, 0.85, 1.05, 0.95


def draw_maps_montage(scene: Scene) -> Any:
    """Draw CBF, CBV, MTT, Tmax and the lesions on slices spread over the brain.

    Parameters
    ----------
    scene : Scene
        The study.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``maps_montage.png``.
    """
    slices = spread_slices(scene.brain, scene.hypoperfusion, _MAX_SLICES)
    keys = [key for key in ROWS if key in scene.study.maps]
    width_mm, height_mm = picture_mm(scene.view, "axial")
    panel_height = _PANEL_WIDTH * height_mm / width_mm
    full_width = max(_LABEL + len(slices) * (_PANEL_WIDTH + _GAP) + _BAR, 7.5)
    figure = new_figure(full_width, _HEAD + (len(keys) + 1) * (panel_height + _GAP) + 0.15, FILM)
    for row, key in enumerate([*keys, "lesions"]):
        top = _HEAD + row * (panel_height + _GAP)
        for column, at in enumerate(slices):
            axes = axes_at(figure, _LABEL + column * (_PANEL_WIDTH + _GAP), top, _PANEL_WIDTH, panel_height)
            _draw_panel(axes, scene, key, at)
            if row == 0:
                axes.set_title(position_words(scene.view, at), color=FAINT, fontsize=9, pad=4)
            if column == 0:
                letters(axes, "axial", 8.0)
        bar = axes_at(figure, full_width - _BAR + 0.12, top + 0.2 * panel_height, 0.16, 0.68 * panel_height)
        _draw_bar(bar, scene, key)
        middle = 1.0 - (top + panel_height / 2.0) / figure.get_size_inches()[1]
        name = "Lesions" if key == "lesions" else QUANTITIES[key].symbol
        figure.text(0.12 / full_width, middle, name, color=INK, fontsize=12, fontweight="bold", va="center")
    _heading(figure, scene)
    return figure


def _draw_panel(axes: Any, scene: Scene, key: str, at: int) -> None:
    size = picture_mm(scene.view, "axial")
    core, hypoperfusion = as_picture(scene.core[:, :, at]), as_picture(scene.hypoperfusion[:, :, at])
    if key == "lesions":
        show_image(axes, as_picture(scene.baseline[:, :, at]), size, scene.baseline_window, "grey")
        show_color(axes, as_picture(scene.penumbra[:, :, at]), size, LESION_COLORS["penumbra"], 0.5)
        show_color(axes, core, size, LESION_COLORS["core"], 0.6)
        outline(axes, hypoperfusion | core, size, LESION_COLORS["penumbra"], 0.7)
        outline(axes, core, size, LESION_COLORS["core"], 0.7)
        return
    quantity, values = QUANTITIES[key], scene.view.turn(drawn_values(scene.study, key))
    show_image(axes, as_picture(values[:, :, at]), size, quantity.display_range, quantity.colormap)
    outline(axes, hypoperfusion, size, "white", 0.6)
    outline(axes, core, size, "#ff5cf4", 0.6)


def _draw_bar(bar: Any, scene: Scene, key: str) -> None:
    if key == "lesions":
        low, high = scene.baseline_window
        name = scene.backdrop[:1].upper() + scene.backdrop[1:]
        color_bar(bar, (round(low), round(high)), "grey", f"{name}\n({scene.backdrop_unit})" if scene.backdrop_unit else name)
        return
    quantity = QUANTITIES[key]
    mark = tmax_on_map(scene.study.lesions.thresholds) if key == "tmax" else None
    color_bar(bar, quantity.display_range, quantity.colormap, f"{scene.study.maps[key].unit}", mark=mark)


def _heading(figure: Any, scene: Scene) -> None:
    width, height = figure.get_size_inches()
    y = 1.0 - 0.28 / height
    figure.text(0.12 / width, y, "Perfusion maps", color=INK, fontsize=12, fontweight="bold", va="center")
    figure.text(0.12 / width, y - 0.25 / height, reading_note(scene.study), color=FAINT, fontsize=9, va="center")
    if not scene.hypoperfusion.any():
        figure.text(1 - 0.12 / width, y, "No hypoperfused tissue was found.", color=FAINT, fontsize=9, ha="right", va="center")
        return
    rows: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = (
        ("Outlines on maps", (("hypoperfusion", "white"), ("core", "#ff5cf4"))),
        ("Lesions", (("penumbra", LESION_COLORS["penumbra"]), ("core", LESION_COLORS["core"]))),
    )
    for at, (title, entries) in enumerate(rows):
        level = y - 0.25 * at / height
        figure.text(1.0 - 2.6 / width, level, title, color=FAINT, fontsize=9, ha="right", va="center")
        for column, (text, color) in enumerate(entries):
            x = 1.0 - (2.4 - 1.35 * column) / width
            figure.text(x, level, "■", color=color, fontsize=11, va="center")
            figure.text(x + 0.16 / width, level, text, color=INK, fontsize=9, va="center")
