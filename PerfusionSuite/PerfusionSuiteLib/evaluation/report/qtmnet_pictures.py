# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation of QTMnet: maps and errors beside the truth, a cube, errors over noise."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import BoolArray, FloatArray
from ...core.quantities import QUANTITIES
from ...results.pictures.canvas import FAINT, FILM, INK, PAPER_INK, axes_at, letters, map_colors, new_figure, show_image
from ...results.pictures.views import as_picture, picture_mm, position_words, view_of
from ..qtmnet_estimators import NETWORK
from ..qtmnet_study import Row, values_of
from .condition_pictures import PAPER, method_style
from .qtmnet_tables import WORDS, in_order

_PANEL, _GAP, _LABEL, _HEAD, _FOOT = 1.55, 0.05, 1.45, 0.95, 0.62
_ERROR_LIMIT = 20.0
_ERROR_COLORS = "RdBu_r"
_SLICES = 3


def draw_brain(
    maps: Mapping[str, NDArray[Any]], mask: BoolArray, affine: FloatArray, title: str, *, truth: str | None = None
) -> Any:
    """Draw axial slices of CBF by all methods, and their errors when the truth is among them.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (I, J, K)
        By method; the first one is what others are compared with.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    title : str
        Heading.
    truth : str, optional
        Words for what errors are relative to; ``truth`` by default.

    Returns
    -------
    matplotlib.figure.Figure
        In radiological convention.
    """
    view = view_of(mask, affine)
    turned = view.turn(mask)
    chosen = _slices(turned)
    width_mm, height_mm = picture_mm(view, "axial")
    panel = _PANEL * height_mm / width_mm
    names = list(maps)
    figure = new_figure(_LABEL + 2 * _SLICES * (_PANEL + _GAP) + 0.25, _HEAD + len(names) * (panel + _GAP) + _FOOT, FILM)
    reference = view.turn(maps[names[0]])
    for row, name in enumerate(names):
        top = _HEAD + row * (panel + _GAP)
        values = view.turn(maps[name])
        for column, at in enumerate(chosen):
            axes = axes_at(figure, _LABEL + column * (_PANEL + _GAP), top, _PANEL, panel)
            shown = as_picture(np.where(turned[:, :, at], values[:, :, at], np.nan))
            show_image(axes, shown, (width_mm, height_mm), QUANTITIES["cbf"].display_range, QUANTITIES["cbf"].colormap)
            if row == 0:
                axes.set_title(position_words(view, at), color=INK, fontsize=9, pad=4)
            if column == 0:
                letters(axes, "axial", 7.0)
            if row:
                place = _LABEL + 0.15 + (column + _SLICES) * (_PANEL + _GAP)
                off = axes_at(figure, place, top, _PANEL, panel)
                _error(off, as_picture(np.where(turned[:, :, at], (values - reference)[:, :, at], np.nan)), (width_mm, height_mm))
        _name(figure, WORDS.get(name, name), top + 0.5 * panel)
    _bars(figure, truth or "truth")
    _title(figure, title)
    return figure


def _slices(turned: BoolArray) -> list[int]:
    """Choose slices that hold much brain."""
    area = turned.sum(axis=(0, 1))
    wide = np.flatnonzero(area > 0.5 * area.max())
    return [int(wide[round(share * (wide.size - 1))]) for share in (0.2, 0.5, 0.8)] if wide.size else [0] * _SLICES


def _error(axes: Any, picture: NDArray[Any], size: tuple[float, float]) -> None:
    axes.set_axis_off()
    axes.imshow(picture, cmap=_error_map(), vmin=-_ERROR_LIMIT, vmax=_ERROR_LIMIT, extent=(0.0, size[0], size[1], 0.0))
    axes.set_aspect("equal")


def _name(figure: Any, name: str, middle_in: float) -> None:
    width, height = figure.get_size_inches()
    words = "\n".join(textwrap.wrap(name, 17))
    figure.text(0.1 / width, 1.0 - middle_in / height, words, color=INK, fontsize=9, fontweight="bold", va="center")


def _error_map() -> Any:
    import matplotlib

    return matplotlib.colormaps[_ERROR_COLORS].with_extremes(bad="black")


def _bars(figure: Any, truth: str) -> None:
    height = figure.get_size_inches()[1]
    cbf = QUANTITIES["cbf"]
    span = _SLICES * (_PANEL + _GAP)
    top = height - _FOOT + 0.12
    _bar(figure, (_LABEL + 0.3, top, span - 0.7), cbf.display_range, map_colors(cbf.colormap), f"CBF, {cbf.unit}")
    limits = (-_ERROR_LIMIT, _ERROR_LIMIT)
    _bar(figure, (_LABEL + 0.45 + span, top, span - 0.7), limits, _error_map(), f"CBF minus {truth}, {cbf.unit}")


def _bar(figure: Any, place: tuple[float, float, float], limits: tuple[float, float], colors: Any, label: str) -> None:
    """Draw a horizontal color bar; place is left, top and width in inches."""
    (left, top, width), (low, high) = place, limits
    axes = axes_at(figure, left, top, width, 0.12)
    axes.imshow(np.linspace(low, high, 256)[None, :], cmap=colors, aspect="auto", extent=(low, high, 0.0, 1.0))
    axes.set_yticks([])
    ticks = np.linspace(low, high, 5)
    axes.set_xticks(ticks, [f"{'≤ ' if low < 0 else ''}{low:g}", *(f"{tick:g}" for tick in ticks[1:-1]), f"≥ {high:g}"])
    axes.tick_params(colors=INK, labelsize=8, length=2.0, pad=2)
    axes.set_xlabel(label, color=INK, fontsize=8, labelpad=1)


def _title(figure: Any, title: str) -> None:
    width, height = figure.get_size_inches()
    y = 1.0 - 0.25 / height
    figure.text(0.1 / width, y, title, color=INK, fontsize=12, fontweight="bold", va="center")
    note = "Radiological convention: the patient's right is on the left."
    figure.text(0.1 / width, y - 0.23 / height, note, color=FAINT, fontsize=9, va="center")


def draw_cube(
    density: NDArray[np.float32],
    flow: NDArray[np.float32],
    found: Mapping[str, NDArray[Any]],
    delays: Sequence[float],
    title: str,
) -> Any:
    """Draw the middle slice of a cube: what is seen at each delay, the truth, and what methods make of it.

    Parameters
    ----------
    density : ndarray, shape (D, I, J, K), mL/g
        Label density.
    flow : ndarray, shape (I, J, K), mL/100 g/min
        The truth.
    found : mapping of str to ndarray, shape (I, J, K)
        By method.
    delays : sequence of float, s
        Post-label delays.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure
        Label above, perfusion in the middle, errors below.
    """
    at = flow.shape[2] // 2
    columns = max(len(delays), 1 + len(found))
    figure = new_figure(0.3 + columns * 1.65, 6.85, FILM)
    most = 1000.0 * float(np.percentile(density[..., at], 99.0))
    size = (float(flow.shape[0]), float(flow.shape[1]))
    for number, delay in enumerate(delays):
        axes = axes_at(figure, 0.15 + 1.65 * number, 0.85, 1.5, 1.5)
        show_image(axes, 1000.0 * density[number, :, :, at].T, size, (0.0, most), "grey")
        axes.set_title(f"label, delay {delay:g} s\n0 to {most:.2g} µL/g", color=INK, fontsize=8, pad=3)
    cbf = QUANTITIES["cbf"]
    panels = {"truth": flow, **found}
    for number, (name, values) in enumerate(panels.items()):
        axes = axes_at(figure, 0.15 + 1.65 * number, 2.9, 1.5, 1.5)
        show_image(axes, values[:, :, at].T, size, cbf.display_range, cbf.colormap)
        axes.set_title("\n".join(textwrap.wrap(WORDS.get(name, name), 24)), color=INK, fontsize=8, pad=3)
        if number:
            _error(axes_at(figure, 0.15 + 1.65 * number, 4.5, 1.5, 1.5), (values - flow)[:, :, at].T, size)
    width, height = figure.get_size_inches()
    figure.text(0.15 / width, 1.0 - 0.2 / height, title, color=INK, fontsize=12, fontweight="bold", va="center")
    span = 1.65 * columns - 0.15
    _bar(figure, (0.15, height - 0.5, 0.42 * span), cbf.display_range, map_colors(cbf.colormap), f"CBF, {cbf.unit}")
    limits = (-_ERROR_LIMIT, _ERROR_LIMIT)
    _bar(figure, (0.15 + 0.56 * span, height - 0.5, 0.42 * span), limits, _error_map(), f"CBF minus truth, {cbf.unit}")
    return figure


def draw_noise(rows: Sequence[Row], part: str, levels: Mapping[str, float], title: str) -> Any:
    """Draw NRMSE over noise.

    Parameters
    ----------
    rows : sequence of dict
        All rows.
    part : str
        ``cubes`` or ``brain``.
    levels : mapping of str to float
        Noise of each condition in units of `S_REF`.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure
        A line per method, the mean over subjects.
    """
    mine = [row for row in rows if row["part"] == part and row["condition"] in levels]
    methods = sorted(in_order(mine, "method"), key=lambda name: name != NETWORK)
    figure = new_figure(6.6, 4.2, PAPER)
    axes = figure.subplots()
    style = method_style(methods)
    for method in methods:
        points = []
        for condition, noise in levels.items():
            chosen = {"condition": condition, "method": method, "measure": "nrmse_percent", "region": "all voxels"}
            found = values_of(mine, **chosen)
            if found:
                points.append((noise, float(np.mean(found))))
        axes.plot(*zip(*sorted(points), strict=True), label=WORDS.get(method, method), **style[method])
    axes.axvspan(0.02, 0.07, color="#dfe7ef", zorder=0)
    axes.text(0.045, 0.98, "three pairs of a scan", fontsize=8, color=PAPER_INK, ha="center", va="top", transform=_blended(axes))
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("noise of the label density, multiples of 0.02 mL/g", fontsize=9, color=PAPER_INK)
    axes.set_ylabel("NRMSE of CBF, %", fontsize=9, color=PAPER_INK)
    axes.tick_params(labelsize=8, colors=PAPER_INK)
    axes.grid(visible=True, color="#e3e7ec")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, fontsize=11, fontweight="bold", color=PAPER_INK, loc="left")
    axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure


def _blended(axes: Any) -> Any:
    from matplotlib.transforms import blended_transform_factory

    return blended_transform_factory(axes.transData, axes.transAxes)
