# SPDX-License-Identifier: Apache-2.0
"""Pictures of a study's medians: every measure under every condition, and errors by arterial delay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

from ...results.pictures.canvas import PAPER_INK, new_figure
from ..conditions import FACTORS, Condition, factor_title, level_label, varied_factor
from ..regions import DELAY_EDGES_S
from ..summary import Medians

PAPER = "#ffffff"
_GRID = "#e3e7ec"
_COLORS = ("#1b2430", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31", "#777777")
_MARKERS = "osD^vP*Xhd"

_Measure = tuple[str, str, str, str]
MAP_MEASURES: tuple[_Measure, ...] = (
    ("CBF error,\nnormal gray, %", "cbf", "normal gray matter", "median_error_percent"),
    ("CBF error,\nnormal white, %", "cbf", "normal white matter", "median_error_percent"),
    ("CBV error,\nnormal tissue, %", "cbv", "normal tissue", "median_error_percent"),
    ("MTT error,\nnormal tissue, %", "mtt", "normal tissue", "median_error_percent"),
    ("Tmax bias,\nnormal tissue, s", "tmax", "normal tissue", "bias"),
    ("Tmax offset\nnear 6 s, s", "tmax", "true Tmax near 6 s", "offset"),
)
LESION_MEASURES: tuple[_Measure, ...] = (
    ("Dice of\nTmax > 6 s", "hypoperfusion", "scored voxels", "dice"),
    ("Dice of\ncore", "core", "scored voxels", "dice"),
    ("hypoperfusion\nerror, mL", "hypoperfusion", "all voxels", "error"),
    ("core\nerror, mL", "core", "all voxels", "error"),
    ("CBF bias in\npenumbra,\nmL/100g/min", "cbf", "penumbra", "bias"),
    ("CBF bias in\ncore,\nmL/100g/min", "cbf", "core", "bias"),
)


def method_style(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Choose a color and a marker for each method; the first one is drawn boldest.

    Parameters
    ----------
    methods : sequence of str
        The default method first.

    Returns
    -------
    dict of str to dict
        Keyword arguments of a line.
    """
    return {
        method: {
            "color": _COLORS[at % len(_COLORS)],
            "marker": _MARKERS[at % len(_MARKERS)],
            "linewidth": 2.2 if at == 0 else 1.1,
            "markersize": 5.5 if at == 0 else 4.5,
            "zorder": 5 if at == 0 else 3,
        }
        for at, method in enumerate(methods)
    }


def draw_conditions(
    medians: Medians, conditions: Sequence[Condition], methods: Sequence[str], measures: Sequence[_Measure], title: str
) -> Any:
    """Draw small multiples: a column per factor that was varied, a row per measure, a line per method.

    Parameters
    ----------
    medians : Medians
        The summary.
    conditions : sequence of Condition
        The reference first.
    methods : sequence of str
        The default method first.
    measures : sequence
        `MAP_MEASURES` or `LESION_MEASURES`.
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    factors = _levels(conditions)
    widths = [max(len(levels), 2) for levels in factors.values()]
    figure = new_figure(1.6 + 0.62 * sum(widths), 1.3 + 1.35 * len(measures), PAPER)
    grid = figure.subplots(len(measures), len(factors), squeeze=False, sharey="row", width_ratios=widths)
    style = method_style(methods)
    for row, (label, *measure) in enumerate(measures):
        for column, (factor, levels) in enumerate(factors.items()):
            axes = grid[row, column]
            _lines(axes, medians, levels, methods, measure, style)
            names = [level_label(factor, getattr(condition, factor)) if factor else "" for condition in levels]
            axes.set_xticks(range(len(levels)), names if row == len(measures) - 1 else [""] * len(names), rotation=40, ha="right")
            axes.set_xlim(-0.4, len(levels) - 0.6)
            if measure[-1] == "dice":
                axes.set_ylim(-0.02, 1.02)
            else:
                axes.axhline(0.0, color=PAPER_INK, linewidth=0.8, zorder=1)
            if row == 0:
                axes.set_title(factor_title(factor) if factor else "Reference", fontsize=9, color=PAPER_INK)
            if column == 0:
                axes.set_ylabel(label, fontsize=8.5, color=PAPER_INK)
    _legend(figure, grid[0, 0], title, len(methods))
    return figure


def draw_delays(medians: Medians, base: Condition, methods: Sequence[str]) -> Any:
    """Draw errors of Tmax and CBF by true arterial delay.

    Parameters
    ----------
    medians : Medians
        The summary.
    base : Condition
        The reference.
    methods : sequence of str
        The default method first.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    figure = new_figure(9.0, 4.2, PAPER)
    panels = figure.subplots(1, 2)
    kinds = (("tmax", "median_error", "Tmax error, s"), ("cbf", "median_error_percent", "CBF error, %"))
    edges = list(pairwise(DELAY_EDGES_S))
    style = method_style(methods)
    for axes, (subject, measure, label) in zip(panels, kinds, strict=True):
        for method in methods:
            values = [medians.value(base.name, method, subject, f"delay {a:g} to {b:g} s", measure) for a, b in edges]
            axes.plot(range(len(edges)), values, label=method, **style[method])
        axes.axhline(0.0, color=PAPER_INK, linewidth=0.8, zorder=1)
        axes.set_xticks(range(len(edges)), [f"{a:g}-{b:g}" for a, b in edges])
        axes.set_xlabel("true arterial delay, s", fontsize=9, color=PAPER_INK)
        axes.set_ylabel(label, fontsize=9, color=PAPER_INK)
        _plain(axes)
    _legend(figure, panels[0], "Error by arterial delay, reference condition", len(methods))
    return figure


def _levels(conditions: Sequence[Condition]) -> Mapping[str, list[Condition]]:
    """Conditions by the factor that was varied, each with the reference among its levels."""
    base = conditions[0]
    found: dict[str, list[Condition]] = {}
    for factor in FACTORS:
        varied = [condition for condition in conditions if varied_factor(condition, base) == factor]
        if varied:
            levels = [base, *varied]
            if isinstance(getattr(base, factor), float):
                levels.sort(key=attrgetter(factor))
            found[factor] = levels
    return found or {"": [base]}


def _lines(
    axes: Any, medians: Medians, levels: Sequence[Condition], methods: Sequence[str], measure: Sequence[str], style: Any
) -> None:
    for at, method in enumerate(methods):
        shift = 0.05 * (at - (len(methods) - 1) / 2.0)
        places = [(x + shift, medians.entry(level.name, method, *measure)) for x, level in enumerate(levels)]
        shown = [(x, entry) for x, entry in places if entry is not None]
        axes.plot([x for x, _ in shown], [entry["median"] for _, entry in shown], label=method, **style[method])
        for x, entry in shown:
            ends = [entry["quartile_low"], entry["quartile_high"]]
            axes.plot([x, x], ends, color=style[method]["color"], linewidth=0.8, alpha=0.45, zorder=2)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=PAPER_INK, length=2.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(figure: Any, axes: Any, title: str, count: int) -> None:
    width, height = figure.get_size_inches()
    lines, names = axes.get_legend_handles_labels()
    columns = max(1, min(count, int((width - 0.3) / 1.1)))
    rows = -(-count // columns)
    left, top = 0.2 / width, 1.0 - 0.12 / height
    words = figure.suptitle(title, x=left, y=top, ha="left", va="top", fontsize=12, color=PAPER_INK, fontweight="bold")
    key = figure.legend(
        lines,
        names,
        loc="upper left",
        bbox_to_anchor=(0.1 / width, 1.0 - 0.38 / height),
        ncols=columns,
        fontsize=9,
        frameon=False,
    )
    for part in (words, key):
        part.set_in_layout(False)  # their room is left by hand
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - (0.5 + 0.2 * rows) / height))
    figure.align_ylabels()
