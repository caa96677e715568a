# SPDX-License-Identifier: Apache-2.0
"""Tmax in the venous sinuses, where prolonged venous transit is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import BoolArray
from ...core.quantities import QUANTITIES
from ...lesion import side_distance
from ..map_study import AnyStudy
from .canvas import FAINT, FILM, INK, axes_at, color_bar, letters, new_figure, outline, show_image
from .content import Scene, drawn_values, reading_note
from .views import View, as_picture, picture_mm, position_words, projected, view_of

SINUSES = (("sss", "Superior sagittal sinus", "#ffffff"), ("torcula", "Torcula", "#35e0ff"))
_MIDLINE_MM = 12.0
_Panel = tuple[str, str, NDArray[Any], int | None]
"""Plane, words, picture, and the slice when it is one."""
_WIDTH, _MARGIN, _GAP, _HEAD, _BAR = 12.0, 0.35, 0.5, 0.95, 2.75


def has_sinuses(study: AnyStudy) -> bool:
    """Tell whether a sinus was found or drawn.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    bool
        True when there is something to show.
    """
    return "tmax" in study.maps and any(_region(study, name).any() for name, _, _ in SINUSES)


def draw_venous_transit(scene: Scene) -> Any:
    """Draw Tmax near the mid-sagittal plane, and on one axial slice through each sinus, vessels included.

    Parameters
    ----------
    scene : Scene
        The study, with a sinus at least.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``venous_transit.png``.
    """
    study = scene.study
    regions = {name: _region(study, name) for name, _, _ in SINUSES}
    sinuses = regions["sss"] | regions["torcula"]
    view = view_of(study.masks.brain | sinuses, study.lesions.affine)
    turned = {name: view.turn(mask) for name, mask in regions.items()}
    tmax = view.turn(np.where(sinuses, study.maps["tmax"].values, drawn_values(study, "tmax")))
    near = np.abs(view.turn(side_distance(study.maps.shape, study.maps.affine, study.lesions.midplane))) <= _MIDLINE_MM
    words = f"Mid-sagittal, mean of {2 * _MIDLINE_MM:g} mm"
    pictures: list[_Panel] = [("sagittal", words, _seen_from_side(tmax, near, turned), None)]
    for name, label, _ in SINUSES:
        if turned[name].any():
            at = int(turned[name].sum(axis=(0, 1)).argmax())
            pictures.append(("axial", f"{label}: axial, {position_words(view, at)}", as_picture(tmax[:, :, at]), at))
    figure, height = _draw_row(view, pictures, turned)
    _legend(figure, study, height)
    return figure


def _seen_from_side(tmax: NDArray[Any], near: BoolArray, regions: dict[str, BoolArray]) -> NDArray[Any]:
    """Mean of Tmax across the midline; where a sinus lies, of the sinus alone."""
    picture = _mean_across(np.where(near, tmax, np.nan))
    for region in regions.values():
        inside = _mean_across(np.where(region, tmax, np.nan))
        picture = np.where(np.isfinite(inside), inside, picture)
    return as_picture(picture)


def _mean_across(values: NDArray[Any]) -> NDArray[Any]:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _draw_row(view: View, pictures: list[_Panel], turned: dict[str, BoolArray]) -> tuple[Any, float]:
    quantity = QUANTITIES["tmax"]
    sizes = [picture_mm(view, plane) for plane, *_ in pictures]
    room = _WIDTH - _BAR - 2 * _MARGIN - len(pictures) * _GAP
    scale = min(room / sum(width for width, _ in sizes), 4.2 / max(tall for _, tall in sizes))
    height = max(max(tall for _, tall in sizes) * scale, 2.6)
    figure = new_figure(_WIDTH, _HEAD + height + 0.6, FILM)
    left = _MARGIN + 0.15
    for (plane, words, picture, at), (width, tall) in zip(pictures, sizes, strict=True):
        axes = axes_at(figure, left, _HEAD + (height - tall * scale) / 2.0, width * scale, tall * scale)
        show_image(axes, picture, (width, tall), quantity.display_range, quantity.colormap)
        for name, _, color in SINUSES:
            flat = projected(turned[name], plane) if at is None else as_picture(turned[name][:, :, at])
            outline(axes, flat, (width, tall), color, 1.1)
        letters(axes, plane, inside=False)
        middle = (left + width * scale / 2.0) / _WIDTH
        figure.text(middle, 0.14 / figure.get_size_inches()[1], words, color=FAINT, fontsize=8.5, ha="center")
        left += width * scale + _GAP
    bar = axes_at(figure, _WIDTH - _BAR + 0.05, _HEAD + 0.1 * height, 0.2, 0.8 * height)
    color_bar(bar, quantity.display_range, quantity.colormap, f"{quantity.symbol} ({quantity.unit})")
    return figure, height


def _legend(figure: Any, study: AnyStudy, height: float) -> None:
    total = figure.get_size_inches()[1]
    pvt = study.metrics.values.get("pvt") or {}
    figure.text(_MARGIN / _WIDTH, 1.0 - 0.3 / total, "Tmax in the venous sinuses", color=INK, fontsize=12, fontweight="bold",
                va="center")  # fmt: skip
    figure.text(_MARGIN / _WIDTH, 1.0 - 0.55 / total, reading_note(study), color=FAINT, fontsize=9, va="center")
    for at, (name, label, color) in enumerate(SINUSES):
        y = 1.0 - (_HEAD + 0.25 * height + at * 0.95) / total
        x = (_WIDTH - _BAR + 0.72) / _WIDTH
        value, voxels = pvt.get(f"{name}_tmax_s"), pvt.get(f"{name}_voxels")
        text = "not assessable" if value is None else f"median {value:.1f} s\n{voxels} voxels"
        figure.text(x, y, "□", color=color, fontsize=13, va="center")
        figure.text(x + 0.2 / _WIDTH, y, label, color=INK, fontsize=9, va="center")
        figure.text(x + 0.2 / _WIDTH, y - 0.12 / total, text, color=FAINT, fontsize=9, va="top")


def _region(study: AnyStudy, name: str) -> BoolArray:
    return study.lesions.extra.get(name, np.zeros(study.maps.shape, bool))
