# SPDX-License-Identifier: Apache-2.0
"""Maps beside their truth or beside other maps, for readers: Bland-Altman numbers as text, and as a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.quantities import QUANTITIES
from ...results.pictures.canvas import PAPER_INK, new_figure, save

_KEYS = ("cbf", "cbv", "mtt", "tmax")
_MOST_POINTS = 20000


def agreement_text(scores: Mapping[str, Any]) -> str:
    """Say bias and limits of agreement of each map by region (Bland and Altman, Lancet 1:307, 1986).

    Parameters
    ----------
    scores : mapping
        From `score_study`.

    Returns
    -------
    str
        A table of text: bias, limits (bias plus and minus 1.96 standard deviations), RMSE, r and number of voxels.
    """
    lines = [f"{'map':6s} {'region':14s} {'bias':>8s} {'limits of agreement':>21s} {'RMSE':>8s} {'r':>6s} {'voxels':>8s}"]
    for key, regions in scores.get("maps", {}).items():
        for region, numbers in regions.items():
            if numbers["bias"] is None:
                continue
            limits = f"{numbers['limits_low']:.3g} to {numbers['limits_high']:.3g}"
            correlation = "" if numbers["correlation"] is None else f"{numbers['correlation']:.2f}"
            lines.append(
                f"{QUANTITIES[key].symbol:6s} {region:14s} {numbers['bias']:8.3g} {limits:>21s} {numbers['rmse']:8.3g} "
                f"{correlation:>6s} {numbers['n']:8d}"
            )
    return "\n".join(lines)


def write_agreement(study: Any, truth: Any, out: Path) -> list[Path]:
    """Write Bland-Altman plots of the maps that both have.

    Parameters
    ----------
    study, truth : object
        As for `score_study`.
    out : Path
        Folder.

    Returns
    -------
    list of Path
        ``agreement.png``; nothing when matplotlib is not installed or no map is common.
    """
    keys = [key for key in _KEYS if key in study.maps and key in truth.maps]
    if not keys or importlib.util.find_spec("matplotlib") is None:
        return []
    return [save(draw_agreement(study, truth, keys), out / "agreement.png")]


def draw_agreement(study: Any, truth: Any, keys: list[str]) -> Any:
    """Draw difference against mean, and estimate against truth, of the voxels that count.

    Parameters
    ----------
    study, truth : object
        As for `score_study`.
    keys : list of str
        Which maps.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    tissue = np.asarray(study.lesions.tissue, bool)
    where = tissue & np.asarray(truth.masks.get("scored", tissue), bool)
    figure = new_figure(0.8 + 2.9 * len(keys), 5.6, "#ffffff")
    grid = figure.subplots(2, len(keys), squeeze=False)
    for column, key in enumerate(keys):
        estimate, known = study.maps[key].values, np.asarray(getattr(truth.maps[key], "values", truth.maps[key]))
        valid = where & np.isfinite(estimate) & np.isfinite(known)
        a, b = estimate[valid].astype(float), known[valid].astype(float)
        _panels(grid[0, column], grid[1, column], a, b, key, first=column == 0)
    figure.tight_layout()
    return figure


def _panels(upper: Any, lower: Any, estimate: Any, known: Any, key: str, *, first: bool) -> None:
    quantity = QUANTITIES[key]
    step = max(1, estimate.size // _MOST_POINTS)  # enough points to see, and a file of a sensible size
    a, b = estimate[::step], known[::step]
    low, high = quantity.display_range
    upper.plot(b, a, ".", markersize=1.2, alpha=0.15, color="#0072b2", rasterized=True)
    upper.plot([low, high], [low, high], color=PAPER_INK, linewidth=1.0, linestyle="--")
    upper.set_xlim(low, high)
    upper.set_ylim(low, high)
    upper.set_xlabel(f"truth or reference, {quantity.unit}", fontsize=8.5)
    upper.set_title(quantity.symbol, fontsize=11, color=PAPER_INK)
    lower.plot((a + b) / 2.0, a - b, ".", markersize=1.2, alpha=0.15, color="#0072b2", rasterized=True)
    lower.set_xlim(low, high)
    lower.set_xlabel(f"mean of both, {quantity.unit}", fontsize=8.5)
    if estimate.size > 1:
        bias, sd = float((estimate - known).mean()), float((estimate - known).std(ddof=1))
        for level, style in ((bias, "-"), (bias - 1.96 * sd, "--"), (bias + 1.96 * sd, "--")):
            lower.axhline(level, color="#d55e00", linewidth=1.2, linestyle=style)
        first_percent, last_percent = (float(edge) for edge in np.percentile(estimate - known, [0.5, 99.5]))
        room = 0.3 * (last_percent - first_percent) or 1.0
        lower.set_ylim(first_percent - room, last_percent + room)  # a few wild voxels must not squeeze all others into a line
        lower.set_title(
            f"bias {bias:.2g}, limits {bias - 1.96 * sd:.2g} to {bias + 1.96 * sd:.2g}", fontsize=8.5, color=PAPER_INK
        )
    if first:
        upper.set_ylabel("result", fontsize=8.5)
        lower.set_ylabel("result minus truth or reference", fontsize=8.5)
    for axes in (upper, lower):
        axes.tick_params(labelsize=8, colors=PAPER_INK, length=2.5)
