# SPDX-License-Identifier: Apache-2.0
"""Pictures of maps beside their truth: histograms of all voxels, and an example patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.quantities import QUANTITIES
from ...results.pictures.canvas import FAINT, FILM, INK, PAPER_INK, axes_at, letters, map_colors, new_figure, outline, show_image
from ...results.pictures.views import View, as_picture, picture_mm, position_words, view_of
from ..keepsakes import BINS, EXAMPLE_MAPS, HISTOGRAMS, Example
from ..overlap import dice

_PANEL, _GAP, _LABEL, _HEAD, _FOOT = 1.55, 0.05, 1.15, 0.95, 0.62
_LESION_S = 6.0
_HYPOPERFUSION, _CORE = "white", "#ff5cf4"


def draw_histograms(histograms: Mapping[str, Mapping[str, NDArray[Any]]]) -> Any:
    """Draw how often each true value was estimated as which, per method.

    Parameters
    ----------
    histograms : mapping of str to mapping
        By method, from `read_histograms`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for CBF and one for Tmax, a column per method; the dashed line is the truth, the solid one the median.
    """
    methods = list(histograms)
    figure = new_figure(max(0.9 + 2.05 * len(methods), 6.4), 5.7, "#ffffff")
    grid = figure.subplots(len(HISTOGRAMS), len(methods), squeeze=False, sharex="row", sharey="row")
    for row, (key, (low, high)) in enumerate(HISTOGRAMS.items()):
        quantity = QUANTITIES[key]
        for column, method in enumerate(methods):
            axes = grid[row, column]
            counts = np.asarray(histograms[method][key], float)
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)  # of each true value: rare ones are seen, too
            shown = np.where(counts > 0, share, np.nan).T
            axes.imshow(shown, origin="lower", extent=(low, high, low, high), cmap="Blues", vmin=0.0, vmax=0.12, aspect="equal")
            axes.plot([low, high], [low, high], color=PAPER_INK, linewidth=1.0, linestyle="--")
            centers, medians = _median_line(counts, low, high)
            axes.plot(centers, medians, color="#d55e00", linewidth=1.8)
            if key == "tmax":
                axes.axvline(_LESION_S, color="#8793a3", linewidth=0.8)
                axes.axhline(_LESION_S, color="#8793a3", linewidth=0.8)
            axes.tick_params(labelsize=8, colors=PAPER_INK, length=2.5)
            if row == 0:
                axes.set_title(method, fontsize=10, color=PAPER_INK)
            if column == 0:
                axes.set_ylabel(f"estimated {quantity.symbol}, {quantity.unit}", fontsize=8.5, color=PAPER_INK)
            axes.set_xlabel(f"true {quantity.symbol}, {quantity.unit}", fontsize=8.5, color=PAPER_INK)
    width, height = figure.get_size_inches()
    title = figure.suptitle(
        "Estimate and truth of scored voxels, reference condition", x=0.2 / width, y=1.0 - 0.12 / height, ha="left", va="top",
        fontsize=12, fontweight="bold", color=PAPER_INK,
    )  # fmt: skip
    title.set_in_layout(False)
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - 0.4 / height))
    return figure


def _median_line(counts: NDArray[np.float64], low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median estimate of each true value that has enough voxels, interpolated within a bin."""
    width = (high - low) / BINS
    edges = low + width * np.arange(BINS + 1)
    total = counts.sum(axis=1)
    kept = np.flatnonzero(total >= max(30.0, 0.0005 * total.sum()))
    reached = np.concatenate([np.zeros((BINS, 1)), np.cumsum(counts, axis=1)], axis=1)
    medians = [np.interp(0.5 * total[at], reached[at], edges) for at in kept]
    return np.asarray(edges[kept] + 0.5 * width, float), np.array(medians, float)


def draw_example(example: Example) -> Any:
    """Draw one slice of a patient: a row for the truth and one per method, a column per map and one for the lesions.

    Parameters
    ----------
    example : Example
        The patient.

    Returns
    -------
    matplotlib.figure.Figure
        The picture, in radiological convention; outlines are hypoperfusion and core of each row.
    """
    view = view_of(example.truth["brain"], example.affine)
    lesion = view.turn(example.truth["hypoperfusion"])
    at = int(lesion.sum(axis=(0, 1)).argmax()) if lesion.any() else lesion.shape[2] // 2
    rows = {"truth": example.truth, **example.methods}
    width_mm, height_mm = picture_mm(view, "axial")
    panel_height = _PANEL * height_mm / width_mm
    columns = (*EXAMPLE_MAPS, "lesions")
    full = _LABEL + len(columns) * (_PANEL + _GAP) + 0.1
    figure = new_figure(full, _HEAD + len(rows) * (panel_height + _GAP) + _FOOT, FILM)
    for row, (name, content) in enumerate(rows.items()):
        top = _HEAD + row * (panel_height + _GAP)
        for column, key in enumerate(columns):
            axes = axes_at(figure, _LABEL + column * (_PANEL + _GAP), top, _PANEL, panel_height)
            _panel(axes, view, example, content, key, at)
            if row == 0:
                axes.set_title("lesions" if key == "lesions" else QUANTITIES[key].symbol, color=INK, fontsize=10, pad=4)
            if column == 0:
                letters(axes, "axial", 8.0)
        _row_words(figure, name, example, content, top + panel_height / 2.0)
    _bars(figure, columns)
    _heading(figure, example.seed, position_words(view, at))
    return figure


def _panel(axes: Any, view: View, example: Example, content: Mapping[str, NDArray[Any]], key: str, at: int) -> None:
    size = picture_mm(view, "axial")
    brain = view.turn(example.truth["brain"])[:, :, at]
    masks = [as_picture(view.turn(content[name])[:, :, at]) for name in ("hypoperfusion", "core")]
    if key == "lesions":
        quantity = QUANTITIES["baseline"]
        values = view.turn(example.truth["baseline"])[:, :, at]
    else:
        quantity = QUANTITIES[key]
        values = view.turn(content[key])[:, :, at]
    shown = np.where(brain, values, np.nan)
    show_image(axes, as_picture(shown), size, quantity.display_range, quantity.colormap)
    for mask, color in zip(masks, (_HYPOPERFUSION, _CORE), strict=True):
        if key == "lesions":
            outline(axes, mask, size, color, 1.0)


def _row_words(figure: Any, name: str, example: Example, content: Mapping[str, NDArray[Any]], middle_in: float) -> None:
    width, height = figure.get_size_inches()
    figure.text(0.1 / width, 1.0 - (middle_in - 0.18) / height, name, color=INK, fontsize=11, fontweight="bold", va="center")
    if name == "truth":
        return
    for at, lesion in enumerate(("hypoperfusion", "core")):
        value = dice(content[lesion], example.truth[lesion])
        words = f"{'Tmax' if lesion == 'hypoperfusion' else 'core'} Dice {value:.2f}"
        figure.text(0.1 / width, 1.0 - (middle_in + 0.05 + 0.18 * at) / height, words, color=FAINT, fontsize=8, va="center")


def _bars(figure: Any, columns: Sequence[str]) -> None:
    height = figure.get_size_inches()[1]
    for column, key in enumerate(columns):
        quantity = QUANTITIES["baseline" if key == "lesions" else key]
        low, high = quantity.display_range
        axes = axes_at(figure, _LABEL + column * (_PANEL + _GAP) + 0.2, height - _FOOT + 0.12, _PANEL - 0.4, 0.12)
        strip = np.linspace(low, high, 256)[None, :]
        axes.imshow(strip, cmap=map_colors(quantity.colormap), aspect="auto", extent=(low, high, 0.0, 1.0))
        axes.set_yticks([])
        axes.set_xticks([low, high], [f"{low:g}", f"≥ {high:g}"])
        axes.tick_params(colors=INK, labelsize=8, length=2.0, pad=2)
        axes.set_xlabel(quantity.unit, color=INK, fontsize=8, labelpad=1)


def _heading(figure: Any, seed: int, where: str) -> None:
    width, height = figure.get_size_inches()
    y = 1.0 - 0.25 / height
    figure.text(0.1 / width, y, f"Patient of seed {seed}, slice {where}", color=INK, fontsize=12, fontweight="bold", va="center")
    note = "Radiological convention: the patient's right is on the left. Each row with its own lesions; Dice on all voxels."
    figure.text(0.1 / width, y - 0.23 / height, note, color=FAINT, fontsize=9, va="center")
    for at, (name, color) in enumerate((("hypoperfusion", _HYPOPERFUSION), ("core", _CORE))):
        x = 1.0 - (2.1 - 1.3 * at) / width
        figure.text(x, y, "■", color=color, fontsize=11, va="center")
        figure.text(x + 0.17 / width, y, name, color=INK, fontsize=9, va="center")
