# SPDX-License-Identifier: Apache-2.0
"""Maximum projections seen from above, from the front and from the side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.colors import LESION_COLORS
from ...core.geometry import FloatArray
from ...core.quantities import QUANTITIES
from ..thresholds import tmax_on_map
from .canvas import FAINT, FILM, INK, axes_at, color_bar, letters, new_figure, outline, show_color, show_image
from .content import Scene
from .views import PLANES, picture_mm, projected, summed

FOLLOW_UP_COLORS = {"resolved": (0.25, 0.62, 1.0), "persistent": (1.0, 0.6, 0.1), "new": (1.0, 0.25, 0.85)}
"""Regions of `lesion.FollowUp`; told apart also without red and green."""

_MEDIAN = 3
_WIDTH, _MARGIN, _GAP, _HEAD, _BAR = 12.0, 0.35, 0.5, 0.95, 1.2


def draw_tmax_mip(scene: Scene) -> Any:
    """Draw the maximum of Tmax within tissue along each axis of the body.

    Parameters
    ----------
    scene : Scene
        The study.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``tmax_mip.png``.
    """
    quantity = QUANTITIES["tmax"]
    figure, panels, height = _row_of_planes(scene)
    values = (
        scene.view.turn(scene.study.maps["tmax"].values) if "tmax" in scene.study.maps else np.full(scene.brain.shape, np.nan)
    )
    within = _without_specks(values, scene)
    for plane, axes in panels.items():
        size = picture_mm(scene.view, plane)
        show_image(axes, projected(within, plane), size, quantity.display_range, quantity.colormap)
        outline(axes, projected(scene.brain, plane), size, FAINT, 0.6)
        letters(axes, plane, inside=False)
    bar = axes_at(figure, _WIDTH - _BAR + 0.1, _HEAD + 0.1 * height, 0.2, 0.8 * height)
    threshold = tmax_on_map(scene.study.lesions.thresholds)
    color_bar(bar, quantity.display_range, quantity.colormap, f"{quantity.symbol} ({quantity.unit})", mark=threshold)
    note = "" if threshold is None else f" The line on the color bar marks {threshold:g} s."
    _heading(figure, "Maximum projection of Tmax within tissue", f"In-plane median of {_MEDIAN} x {_MEDIAN} voxels.{note}")
    return figure


def _without_specks(values: NDArray[Any], scene: Scene) -> FloatArray:
    """Smooth by a small in-plane median: a maximum along 100 voxels would otherwise show the noise alone."""
    tissue = scene.tissue & np.isfinite(values)
    known = np.where(tissue, values, 0.0).astype(np.float32)
    size = (_MEDIAN, _MEDIAN, 1)
    share = ndimage.uniform_filter(tissue.astype(np.float32), size)
    near = ndimage.uniform_filter(known, size) / np.maximum(share, 1e-3)  # so that edges are not pulled towards zero
    smooth = ndimage.median_filter(np.where(tissue, known, near), size)
    return np.where(tissue, smooth, np.nan)


def draw_core_penumbra_mip(scene: Scene) -> Any:
    """Draw core over penumbra over the baseline, each projected along each axis of the body.

    Parameters
    ----------
    scene : Scene
        The study.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``core_penumbra_mip.png``.
    """
    figure, panels, height = _row_of_planes(scene)
    baseline = scene.inner_baseline()
    for plane, axes in panels.items():
        size = picture_mm(scene.view, plane)
        show_image(axes, projected(baseline, plane), size, scene.baseline_window, "grey")
        core, penumbra = projected(scene.core, plane), projected(scene.penumbra, plane)
        show_color(axes, penumbra & ~core, size, LESION_COLORS["penumbra"], 0.6)
        show_color(axes, core, size, LESION_COLORS["core"], 0.75)
        outline(axes, penumbra | core, size, LESION_COLORS["penumbra"])
        outline(axes, core, size, LESION_COLORS["core"])
        letters(axes, plane, inside=False)
    names = (("Core", "core", scene.core), ("Penumbra", "penumbra", scene.penumbra))
    _legend(figure, [(name, LESION_COLORS[key], scene.volume_ml(mask)) for name, key, mask in names], height)
    _heading(figure, f"Core and penumbra, projected over the {scene.backdrop}", _empty_state(scene))
    return figure


def draw_follow_up(scene: Scene) -> Any:
    """Draw what became of hypoperfused tissue at follow-up, projected along each axis of the body.

    Parameters
    ----------
    scene : Scene
        The study, whose lesions hold the regions of `FOLLOW_UP_COLORS`.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``follow_up.png``.
    """
    figure, panels, height = _row_of_planes(scene)
    baseline = scene.inner_baseline()
    extra, nothing = scene.study.lesions.extra, np.zeros(scene.study.maps.shape, bool)
    parts = {name: scene.view.turn(extra.get(name, nothing)) for name in FOLLOW_UP_COLORS}
    for plane, axes in panels.items():
        size = picture_mm(scene.view, plane)
        show_image(axes, projected(baseline, plane), size, scene.baseline_window, "grey")
        # Each line of sight takes the color of what it meets most of: a speck of one part would hide much of another.
        amount = np.stack([summed(part, plane) for part in parts.values()])
        most = np.where(amount.max(axis=0) > 0, amount.argmax(axis=0), -1)
        for at, color in enumerate(FOLLOW_UP_COLORS.values()):
            show_color(axes, most == at, size, color, 0.6)
        outline(axes, most >= 0, size, FAINT, 0.6)
        letters(axes, plane, inside=False)
    rows = [(name.capitalize(), color, scene.volume_ml(parts[name])) for name, color in FOLLOW_UP_COLORS.items()]
    _legend(figure, rows, height)
    found = any(part.any() for part in parts.values())
    note = "Each line of sight shows what it meets most of." if found else "No hypoperfused tissue in either scan."
    _heading(figure, "Hypoperfusion at follow-up, compared with the first scan", note)
    return figure


def _row_of_planes(scene: Scene) -> tuple[Any, dict[str, Any], float]:
    """Lay out three panels at one scale (mm per inch), so that sizes can be compared between them."""
    sizes = {plane: picture_mm(scene.view, plane) for plane in PLANES}
    room = _WIDTH - _BAR - 2 * _MARGIN - 2 * _GAP
    scale = room / sum(width for width, _ in sizes.values())
    height = max(tall for _, tall in sizes.values()) * scale
    figure = new_figure(_WIDTH, _HEAD + height + 0.6, FILM)
    left, panels = _MARGIN, {}
    for plane, (width, tall) in sizes.items():
        panels[plane] = axes_at(figure, left, _HEAD + (height - tall * scale) / 2.0, width * scale, tall * scale)
        middle = (left + width * scale / 2.0) / _WIDTH
        figure.text(middle, 0.14 / figure.get_size_inches()[1], plane.capitalize(), color=FAINT, fontsize=9, ha="center")
        left += width * scale + _GAP
    return figure, panels, height


def _heading(figure: Any, title: str, note: str) -> None:
    height = figure.get_size_inches()[1]
    figure.text(_MARGIN / _WIDTH, 1.0 - 0.3 / height, title, color=INK, fontsize=12, fontweight="bold", va="center")
    text = f"Radiological convention: the patient's right is on the left. {note}".strip()
    figure.text(_MARGIN / _WIDTH, 1.0 - 0.55 / height, text, color=FAINT, fontsize=9, va="center")


def _empty_state(scene: Scene) -> str:
    return "" if scene.hypoperfusion.any() else "No hypoperfused tissue was found."


def _legend(figure: Any, rows: list[tuple[str, Any, float]], height: float) -> None:
    """Names, colors and volumes beside the panels, where they hide nothing."""
    total = figure.get_size_inches()[1]
    for at, (name, color, volume) in enumerate(rows):
        y = 1.0 - (_HEAD + 0.25 * height + at * 0.75) / total
        x = (_WIDTH - _BAR + 0.05) / _WIDTH
        figure.text(x, y, "■", color=color, fontsize=15, va="center")
        figure.text(x + 0.2 / _WIDTH, y, name, color=INK, fontsize=9.5, va="center")
        figure.text(x + 0.2 / _WIDTH, y - 0.22 / total, f"{volume:.1f} mL", color=FAINT, fontsize=9.5, va="center")
