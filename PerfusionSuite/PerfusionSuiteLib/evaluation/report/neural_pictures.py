# SPDX-License-Identifier: Apache-2.0
"""Pictures of a comparison of fits on phantoms: maps and errors beside the truth, errors over noise, coverage of intervals."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.quantities import QUANTITIES
from ...results.pictures.canvas import FAINT, FILM, INK, PAPER_INK, axes_at, letters, map_colors, new_figure, show_image
from ..neural_estimate import MAPS
from ..neural_scan import FieldCondition
from ..neural_scores import ALL, LEVELS
from .condition_pictures import PAPER, method_style
from .neural_tables import Means

_PANEL, _GAP, _LABEL, _HEAD, _FOOT = 1.5, 0.05, 1.25, 0.95, 0.62
_ERROR_LIMITS: Mapping[str, float] = {"cbf": 20.0, "cbv": 2.0, "mtt": 6.0, "delay": 4.0, "tmax": 4.0}
_ERROR_COLORS = "RdBu_r"
_Slices = Mapping[str, Mapping[str, NDArray[Any]]]


def draw_slices(condition: FieldCondition, slices: _Slices, *, errors: bool) -> Any:
    """Draw one slice: a row for the truth and one per method, a column per map.

    Parameters
    ----------
    condition : FieldCondition
        For the title.
    slices : mapping of str to mapping
        From `read_slice` by method, the truth first.
    errors : bool
        Estimate minus truth instead of maps; the first row is left out.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    truth = next(iter(slices.values()))
    rows = dict(list(slices.items())[1:]) if errors else slices
    columns, lines = truth["mask"].shape
    panel_height = _PANEL * lines / columns
    width = _LABEL + len(MAPS) * (_PANEL + _GAP) + 0.1
    figure = new_figure(width, _HEAD + len(rows) * (panel_height + _GAP) + _FOOT, FILM)
    for row, (name, content) in enumerate(rows.items()):
        top = _HEAD + row * (panel_height + _GAP)
        for column, key in enumerate(MAPS):
            axes = axes_at(figure, _LABEL + column * (_PANEL + _GAP), top, _PANEL, panel_height)
            _panel(axes, content, truth, key, errors=errors)
            if row == 0:
                axes.set_title(QUANTITIES[key].symbol, color=INK, fontsize=10, pad=4)
            if column == 0 and condition.phantom != "tiles":
                letters(axes, "axial", 7.0)
        _name(figure, name, top + 0.5 * panel_height)
    _bars(figure, errors=errors)
    _title(figure, condition, errors=errors)
    return figure


def _limits(key: str) -> tuple[float, float]:
    return QUANTITIES[key].display_range


def _panel(axes: Any, content: Mapping[str, NDArray[Any]], truth: Mapping[str, NDArray[Any]], key: str, *, errors: bool) -> None:
    axes.set_axis_off()
    if key not in content:
        axes.text(0.5, 0.5, "no map", color=FAINT, fontsize=8, ha="center", va="center", transform=axes.transAxes)
        return
    inside = np.asarray(truth["mask"], bool)
    values = np.where(inside, content[key] - truth[key] if errors else content[key], np.nan).T
    size = (float(values.shape[1]), float(values.shape[0]))
    if not errors:
        show_image(axes, values, size, _limits(key), QUANTITIES[key].colormap)
        return
    import matplotlib

    axes.set_facecolor(FILM)
    colors = matplotlib.colormaps[_ERROR_COLORS].with_extremes(bad="black")
    limit = _ERROR_LIMITS[key]
    axes.imshow(values, cmap=colors, vmin=-limit, vmax=limit, extent=(0.0, size[0], size[1], 0.0))


def _name(figure: Any, name: str, middle_in: float) -> None:
    width, height = figure.get_size_inches()
    parts = re.sub(r"[:{,]", "\n", name).rstrip("}").splitlines()
    size = 11 if len(max(parts, key=len)) < 12 else 8.5
    words = "\n".join(line for part in parts for line in textwrap.wrap(part, 15))
    figure.text(0.1 / width, 1.0 - middle_in / height, words, color=INK, fontsize=size, fontweight="bold", va="center")


def _bars(figure: Any, *, errors: bool) -> None:
    import matplotlib

    height = figure.get_size_inches()[1]
    for column, key in enumerate(MAPS):
        low, high = (-_ERROR_LIMITS[key], _ERROR_LIMITS[key]) if errors else _limits(key)
        axes = axes_at(figure, _LABEL + column * (_PANEL + _GAP) + 0.2, height - _FOOT + 0.12, _PANEL - 0.4, 0.12)
        colors = matplotlib.colormaps[_ERROR_COLORS] if errors else map_colors(QUANTITIES[key].colormap)
        axes.imshow(np.linspace(low, high, 256)[None, :], cmap=colors, aspect="auto", extent=(low, high, 0.0, 1.0))
        axes.set_yticks([])
        axes.set_xticks([low, high], [f"{low:g}", f"{high:g}" if errors else f"≥ {high:g}"])
        axes.tick_params(colors=INK, labelsize=8, length=2.0, pad=2)
        axes.set_xlabel(QUANTITIES[key].unit, color=INK, fontsize=8, labelpad=1)


def _title(figure: Any, condition: FieldCondition, *, errors: bool) -> None:
    width, height = figure.get_size_inches()
    y = 1.0 - 0.25 / height
    words = f"{'Estimate minus truth' if errors else 'Maps'}: {condition.name}"
    figure.text(0.1 / width, y, words, color=INK, fontsize=12, fontweight="bold", va="center")
    tiles = "Columns: MTT from 24 s (left) to 3.4 s. Rows: delay from 0 s (top) to 3 s."
    note = tiles if condition.phantom == "tiles" else "Radiological convention: the patient's right is on the left."
    figure.text(0.1 / width, y - 0.23 / height, note, color=FAINT, fontsize=9, va="center")


def draw_noise(means: Means, conditions: Sequence[FieldCondition], methods: Sequence[str], title: str) -> Any:
    """Draw errors over noise: a panel per map, a line per method.

    Parameters
    ----------
    means : Means
        What was measured.
    conditions : sequence of FieldCondition
        Of one phantom and family, differing in noise.
    methods : sequence of str
        Lines.
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The picture; bars span the seeds.
    """
    figure = new_figure(2.5 * len(MAPS) + 0.4, 3.6, PAPER)
    panels = figure.subplots(1, len(MAPS))
    style = method_style(methods)
    ordered = sorted(conditions, key=lambda condition: condition.noise_hu)
    for axes, key in zip(panels, MAPS, strict=True):
        for method in methods:
            found = [(c.noise_hu, means.values(c.name, method, key, ALL, "rmse")) for c in ordered]
            shown = [(noise, values) for noise, values in found if values]
            if shown:
                axes.plot([noise for noise, _ in shown], [np.mean(v) for _, v in shown], label=method, **style[method])
            for noise, values in shown:
                axes.plot([noise, noise], [min(values), max(values)], color=style[method]["color"], linewidth=0.8, alpha=0.45)
        axes.set_ylim(bottom=0.0)
        axes.set_title(f"{QUANTITIES[key].symbol} RMSE, {QUANTITIES[key].unit}", fontsize=9, color=PAPER_INK)
        axes.set_xlabel("noise, HU", fontsize=9, color=PAPER_INK)
        _plain(axes)
    _legend(figure, panels, title)
    return figure


def draw_coverage(means: Means, conditions: Sequence[FieldCondition], methods: Sequence[str]) -> Any | None:
    """Draw how often intervals hold the truth over how often they should.

    Parameters
    ----------
    means : Means
        What was measured.
    conditions : sequence of FieldCondition
        A row of panels each.
    methods : sequence of str
        Lines.

    Returns
    -------
    matplotlib.figure.Figure or None
        The picture; None when no method states intervals.
    """
    keys = [key for key in MAPS if any(_covered(means, c, method, key) for c in conditions for method in methods)]
    rows = [c for c in conditions if any(_covered(means, c, method, key) for method in methods for key in keys)]
    if not rows:
        return None
    figure = new_figure(2.6 * len(keys) + 0.8, 2.5 * len(rows) + 1.0, PAPER)
    grid = figure.subplots(len(rows), len(keys), squeeze=False, sharex=True, sharey=True)
    style = method_style(methods)
    for row, condition in enumerate(rows):
        for column, key in enumerate(keys):
            axes = grid[row, column]
            axes.plot([0, 100], [0, 100], color=PAPER_INK, linewidth=0.8, linestyle="--")
            axes.fill_between([66, 70], 60, 76, color="#d8e8d4", zorder=0)
            for method in methods:
                if values := _covered(means, condition, method, key):
                    axes.plot(list(values), list(values.values()), label=method, **style[method])
            axes.set_xlim(0, 100)
            axes.set_ylim(0, 100)
            _plain(axes)
            if row == 0:
                axes.set_title(QUANTITIES[key].symbol, fontsize=10, color=PAPER_INK)
            if column == 0:
                lines = [*condition.name.split(", "), "covered, %"]
                axes.set_ylabel("\n".join(lines), fontsize=8, color=PAPER_INK)
            if row == len(rows) - 1:
                axes.set_xlabel("nominal, %", fontsize=9, color=PAPER_INK)
    _legend(figure, grid.ravel(), "Truth within the stated intervals (dashed: as it should be; green: 60-76 % at 68 %)")
    return figure


def _covered(means: Means, condition: FieldCondition, method: str, key: str) -> dict[int, float]:
    found = {level: means.value(condition.name, method, key, ALL, f"coverage_{level}") for level in LEVELS}
    return {level: value for level, value in found.items() if not np.isnan(value)}


def _plain(axes: Any) -> None:
    axes.grid(color="#e3e7ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=PAPER_INK, length=2.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(figure: Any, panels: Any, title: str) -> None:
    width, height = figure.get_size_inches()
    entries: dict[str, Any] = {}
    for axes in panels:
        for line, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, line)
    words = figure.suptitle(title, x=0.2 / width, y=1.0 - 0.1 / height, ha="left", va="top", fontsize=11, color=PAPER_INK)
    words.set_fontweight("bold")
    words.set_in_layout(False)
    columns = max(1, int((width - 0.3) / 1.45))
    rows = -(-len(entries) // columns)
    place = (0.1 / width, 1.0 - 0.34 / height)
    key = figure.legend(
        list(entries.values()), list(entries), loc="upper left", bbox_to_anchor=place, ncols=columns, fontsize=8.5, frameon=False
    )
    key.set_in_layout(False)
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - (0.42 + 0.2 * rows) / height))
