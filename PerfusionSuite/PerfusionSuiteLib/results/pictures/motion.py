# SPDX-License-Identifier: Apache-2.0
"""Head motion, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.values import MotionReport
from .canvas import PAPER_INK, TISSUE_COLOR, new_figure

LIMIT = 2.0
"""Motion beyond 2 mm or 2 degrees is worth a look (ct-perfusion-auto section 16.2)."""

_LINES = (("#b91c1c", "-"), ("#1d7a3e", "--"), ("#1d4ed8", "-."))


def draw_motion(report: MotionReport | None) -> Any:
    """Draw translation and rotation over the frames.

    Parameters
    ----------
    report : MotionReport or None
        The estimate; None gives a picture that says that there is none.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``motion.png``.
    """
    figure = new_figure(12.0, 4.1, "white")
    if report is None:
        figure.text(0.5, 0.5, "Head motion was not estimated.", color=TISSUE_COLOR, fontsize=14, ha="center", va="center")
        return figure
    grid = figure.add_gridspec(1, 2, left=0.06, right=0.985, bottom=0.14, top=0.72, wspace=0.17)
    parts = (
        (report.translation_mm, "Translation (mm)", ("to the right", "to anterior", "to superior")),
        (report.rotation_deg, "Rotation (degrees)", ("about R (nodding)", "about A (tilting)", "about S (turning)")),
    )
    for column, (values, label, names) in enumerate(parts):
        _draw_part(figure.add_subplot(grid[0, column]), np.asarray(values, float), label, names, report.dropped)
    figure.text(0.06, 0.93, "Head motion relative to the reference", color=PAPER_INK, fontsize=12, fontweight="bold", va="center")
    figure.text(0.06, 0.855, _state(report), color=TISSUE_COLOR, fontsize=10, va="center")
    return figure


def _state(report: MotionReport) -> str:
    shift, turn = (float(np.nanmax(np.abs(values), initial=0.0)) for values in (report.translation_mm, report.rotation_deg))
    text = f"Largest shift {shift:.2f} mm, largest rotation {turn:.2f}° about one axis."
    text += " Corrected." if report.applied else " Still: data unchanged."
    text += f" Brown lines: worth a look beyond {LIMIT:g} mm or {LIMIT:g}°."
    if report.dropped:
        text += f" Left out (gray): {len(report.dropped)} of {len(report.translation_mm)} frames."
    return text


def _draw_part(axes: Any, values: Any, label: str, names: tuple[str, ...], dropped: tuple[int, ...]) -> None:
    frames = np.arange(1, len(values) + 1)
    for frame in dropped:
        axes.axvspan(frame + 0.5, frame + 1.5, color="#d1d5db", linewidth=0)
    for sign in (-1.0, 1.0):
        axes.axhline(sign * LIMIT, color="#92400e", linewidth=1.0, linestyle=(0, (5, 4)))
    axes.axhline(0.0, color="#9ca3af", linewidth=0.8)
    kept = np.where(np.isin(frames - 1, dropped)[:, None], np.nan, values)
    for axis, (color, style) in enumerate(_LINES):
        axes.plot(frames, kept[:, axis], color=color, linestyle=style, linewidth=1.6, label=names[axis])
        axes.plot(np.array(dropped) + 1, values[list(dropped), axis], "x", color=color, markersize=5)
    reach = max(1.15 * LIMIT, 1.15 * float(np.nanmax(np.abs(values), initial=0.0)))
    axes.set_ylim(-reach, reach)
    axes.set_xlim(0.5, len(values) + 0.5)
    axes.set_xlabel("Frame", color=PAPER_INK)
    axes.set_ylabel(label, color=PAPER_INK)
    axes.tick_params(colors=PAPER_INK, labelsize=9)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=8.5, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
