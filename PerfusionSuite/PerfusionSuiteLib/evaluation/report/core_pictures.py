# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation of infarct cores: difference against mean volume, and volume against Dice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...results.pictures.canvas import PAPER_INK, new_figure, save
from ..core_scores import CoreRow
from .condition_pictures import PAPER, method_style

TICKS_ML = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def draw_agreement(rows: Sequence[CoreRow], path: Path) -> Path:
    """Draw Bland-Altman and Dice pictures of all methods.

    Parameters
    ----------
    rows : sequence of CoreRow
        At least one.
    path : Path
        The PNG.

    Returns
    -------
    Path
        The file.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    styles = method_style(methods)
    figure = new_figure(9.2, 4.2, PAPER)
    left, right = figure.subplots(1, 2)
    for method in methods:
        mine = [row for row in rows if row.method == method]
        found, true = (np.array([getattr(row, name) for row in mine]) for name in ("found_ml", "true_ml"))
        style = {"color": styles[method]["color"], "marker": styles[method]["marker"], "linestyle": "none", "markersize": 5}
        left.plot(0.5 * (found + true), found - true, label=method, **style)
        bias = float((found - true).mean())
        left.axhline(bias, color=style["color"], linewidth=1.2)
        spread = 1.96 * float((found - true).std(ddof=1)) if len(mine) > 1 else None
        for limit in () if spread is None else (bias - spread, bias + spread):
            left.axhline(limit, color=style["color"], linewidth=0.8, linestyle=":")
        has = true > 0
        right.plot(true[has], np.array([row.dice for row in mine])[has], label=method, **style)
    left.set_xlabel("mean of found and true core, mL")
    left.set_ylabel("found - true, mL")
    left.set_title("Bland-Altman: bias and limits (1.96 SD)", fontsize=10)
    right.set_xlabel("true core, mL")
    right.set_ylabel("Dice")
    right.set_ylim(0.0, 1.0)
    largest = max(row.true_ml for row in rows)
    right.set_xscale("symlog", linthresh=1.0)
    right.set_xlim(0.0, max(1.25 * largest, 2.0))
    right.set_xticks([tick for tick in TICKS_ML if tick <= max(1.25 * largest, 2.0)])
    right.xaxis.set_major_formatter("{x:g}")
    left.axhline(0.0, color=PAPER_INK, linewidth=0.6)
    right.set_title("Agreement by size", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.tick_params(colors=PAPER_INK)
        axes.legend(frameon=False, fontsize=9)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.9, bottom=0.14, wspace=0.22)
    return save(figure, path)
