# SPDX-License-Identifier: Apache-2.0
"""``roc.png`` and ``calibration.png``, as they go into a paper: 300 dots per inch, colors that color-blind readers tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import require_package
from ..core.files import written_beside
from .analysis import CohortAnalysis
from .models import CalibrationCurve
from .wording import between, number

_DPI = 300
_INK, _FAINT = "#1f2933", "#8a939e"
# Okabe and Ito's colors; yellow is left out, which is not seen on white.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_STYLES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_MOST_INSIDE = 4
_COLUMNS = 3


def draw_roc(analysis: CohortAnalysis) -> Any:
    """Draw all ROC curves with their areas.

    Parameters
    ----------
    analysis : CohortAnalysis
        With at least one curve.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    count = len(analysis.curves)
    outside = count > _MOST_INSIDE
    below = 0.1 + 0.19 * (count + 2) if outside else 0.0
    figure = _figure(5.6, 5.7 + below)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1.0, linestyle=(0, (4, 3)), label="Chance", zorder=1)
    for at, curve in enumerate(analysis.curves):
        color, style = _COLORS[at % len(_COLORS)], _STYLES[at % len(_STYLES)]
        area = f"{curve.interval.auc:.2f} {between(curve.interval.low, curve.interval.high)}"
        axes.plot(
            1.0 - curve.roc.specificity, curve.roc.sensitivity, color=color, linestyle=style, linewidth=1.8,
            label=f"{curve.label}: AUC {area}, n = {curve.n}", zorder=3 + at, clip_on=False,
        )  # fmt: skip
        _mark_youden(axes, curve, color)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="1 − specificity", ylabel="Sensitivity")
    ticks = np.linspace(0.0, 1.0, 6)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    _finish(axes)
    known = analysis.outcome
    counts = int(known.positive.sum()), int((known.known & ~known.positive).sum())
    axes.set_title(f"{known.name} ({counts[0]}) against {known.negative_name} ({counts[1]})", fontsize=10, color=_INK, pad=10)
    figure.tight_layout(rect=(0, below / (5.7 + below), 1, 1))
    place = {"loc": "lower center"} if outside else {"loc": "lower right"}
    legend = (figure if outside else axes).legend(
        fontsize=8, frameon=not outside, framealpha=0.92, edgecolor="none", labelcolor=_INK, handlelength=2.8, **place,
        title=f"AUC [{100 * analysis.question.level:g} % CI, DeLong]; circle: Youden's cut-off", title_fontsize=8,
    )  # fmt: skip
    legend.get_title().set_color(_INK)
    return figure


def draw_calibration(analysis: CohortAnalysis) -> Any:
    """Draw observed against predicted probability for every model.

    Parameters
    ----------
    analysis : CohortAnalysis
        With at least one model.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    panels = analysis.calibrated
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    figure = _figure(max(3.7 * columns, 5.0), 4.1 * rows + 0.75)
    grid = figure.subplots(rows, columns, squeeze=False)
    for at, axes in enumerate(grid.flat):
        if at < len(panels):
            _calibration_panel(axes, panels[at], first=at % columns == 0, last=at + columns >= len(panels))
        else:
            axes.set_axis_off()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    percent = f"{100 * analysis.question.level:g} % CI"
    labels = [label.replace("CI", percent) for label in labels]
    figure.tight_layout(rect=(0, 0.62 / figure.get_figheight(), 1, 1))
    figure.legend(
        handles, labels, loc="lower center", ncols=2 if columns < _COLUMNS else 3, fontsize=8, frameon=False, labelcolor=_INK,
    )  # fmt: skip
    return figure


def save_picture(figure: Any, path: Path) -> Path:
    """Write a picture; equal figures give equal files.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : Path
        The file.

    Returns
    -------
    Path
        The file.
    """
    with written_beside(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return path


def _mark_youden(axes: Any, curve: Any, color: str) -> None:
    cutoff, _ = curve.roc.youden
    at = int(np.flatnonzero(curve.roc.cutoffs == cutoff)[0])
    axes.plot(
        1.0 - curve.roc.specificity[at], curve.roc.sensitivity[at], "o", markersize=6, markerfacecolor="white",
        markeredgecolor=color, markeredgewidth=1.6, zorder=20, clip_on=False,
    )  # fmt: skip


def _calibration_panel(axes: Any, curve: CalibrationCurve, *, first: bool, last: bool) -> None:
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1.0, linestyle=(0, (4, 3)), label="Perfect")
    smooth = curve.smooth
    axes.fill_between(
        smooth.predicted, smooth.low, smooth.high, color=_COLORS[0], alpha=0.16, linewidth=0, label="CI of the curve"
    )
    axes.plot(smooth.predicted, smooth.observed, color=_COLORS[0], linewidth=1.8, label="Smooth curve")
    axes.plot(
        curve.optimism.predicted, curve.optimism.curve, color=_COLORS[1], linewidth=1.6, linestyle=(0, (5, 1.5)),
        label="Corrected for optimism (numbers: in brackets)",
    )  # fmt: skip
    share = np.array([each.observed.value for each in curve.bins], float)
    low, high = (np.array([getattr(each.observed, end) for each in curve.bins], float) for end in ("low", "high"))
    axes.errorbar(
        [each.predicted for each in curve.bins], share, yerr=[share - low, high - share], fmt="o", color=_INK, markersize=4,
        elinewidth=0.8, capsize=2, label="Bins of equal size, CI",
    )  # fmt: skip
    _spikes(axes, curve)
    measures = curve.optimism.measures
    parts = [
        f"{name} {number(measures[key].apparent, 2)} ({number(measures[key].corrected, 2)})"
        for name, key in (("AUC", "auc"), ("Brier", "brier"), ("slope", "slope"))
    ]
    numbers = ", ".join([*parts, f"n = {curve.positive.size}"])
    axes.text(0.5, 1.01, numbers, transform=axes.transAxes, ha="center", va="bottom", fontsize=7, color=_INK)
    axes.set(xlim=(0, 1), ylim=(-0.14, 1.02), yticks=np.linspace(0, 1, 6), xticks=np.linspace(0, 1, 6))
    axes.set_title(curve.label, fontsize=9.5, color=_INK, pad=15)
    if last:
        axes.set_xlabel("Predicted probability", fontsize=9)
    if first:
        axes.set_ylabel("Observed share", fontsize=9)
    _finish(axes)


def _spikes(axes: Any, curve: CalibrationCurve) -> None:
    """Show where predictions lie: cases with the outcome upwards, those without downwards."""
    edges = np.linspace(0.0, 1.0, 41)
    middle, base = (edges[:-1] + edges[1:]) / 2.0, -0.07
    heights = [np.histogram(curve.probabilities[group], edges)[0] for group in (curve.positive, ~curve.positive)]
    tallest = max(int(height.max()) for height in heights) or 1
    for height, sign, color in zip(heights, (1.0, -1.0), (_COLORS[2], _FAINT), strict=True):
        axes.vlines(middle, base, base + sign * 0.06 * height / tallest, color=color, linewidth=2.0)
    axes.axhline(base, color=_FAINT, linewidth=0.5)
    axes.plot([], [], color=_COLORS[2], linewidth=3, label="Cases, up: with the outcome, down: without")


def _figure(width_in: float, height_in: float) -> Any:
    require_package("matplotlib", "draw pictures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _finish(axes: Any) -> None:
    axes.tick_params(labelsize=8.5, colors=_INK, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_FAINT)
