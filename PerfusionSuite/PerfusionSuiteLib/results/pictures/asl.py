# SPDX-License-Identifier: Apache-2.0
"""Pictures of an ASL study: maps, difference images, and mean curves with their model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.asl import AslStudy
from ...core.geometry import BoolArray
from ...core.progress import ProgressCallback, no_progress
from ..layout import ASL_PICTURES, Layout
from .canvas import (
    FAINT,
    FILM,
    INK,
    PAPER_INK,
    TISSUE_COLOR,
    axes_at,
    color_bar,
    letters,
    new_figure,
    outline,
    save,
    show_image,
)
from .motion import draw_motion
from .views import View, as_picture, picture_mm, position_words, spread_slices, view_of

_MAPS = ("cbf", "cbf_later", "rcbf", "cbf_sd", "att", "att_sd", "cbf_gm", "cbf_wm", "abv", "rcbf_mirror")
_MAX_SLICES = 7
_PANEL_WIDTH, _GAP, _LABEL, _BAR, _HEAD = 1.6, 0.04, 1.15, 1.05, 0.95
_LOW_COLOR = "white"
_REGIONS = (
    ("gm", "Gray matter", "#1d4ed8", "o"),
    ("wm", "White matter", "#1d7a3e", "s"),
    ("brain", "Brain", "#6b7280", "D"),
    ("low_flow", "Low flow", "#b91c1c", "^"),
    ("other_side", "Same place, other side", "#b45309", "v"),
)


def write_asl_pictures(
    study: AslStudy, folder: Path, layout: Layout, progress: ProgressCallback = no_progress
) -> dict[str, Path]:
    """Draw and write all pictures of an ASL study.

    Parameters
    ----------
    study : AslStudy
        The study.
    folder : Path
        Root of the results.
    layout : Layout
        Names of the files.
    progress : callable
        Progress.

    Returns
    -------
    dict of str to Path
        Files by the name of the picture.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    drawn: Mapping[str, Callable[[AslStudy], Any]] = {
        "asl_maps": draw_asl_maps,
        "asl_differences": draw_asl_differences,
        "asl_curves": draw_asl_curves,
    }
    files = {}
    for at, name in enumerate(ASL_PICTURES):
        progress(at / (len(ASL_PICTURES) + 1), "Pictures")
        files[name] = save(drawn[name](study), folder / layout.picture(name))
    if study.motion is not None:
        files["motion"] = save(draw_motion(study.motion), folder / layout.picture("motion"))
    return files


def draw_asl_maps(study: AslStudy) -> Any:
    """Draw every map on slices spread over the brain, with low flow outlined.

    Parameters
    ----------
    study : AslStudy
        The study.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``asl_maps.png``.
    """
    rows = []
    for key in _MAPS:
        if key in study.maps:
            item = study.maps[key]
            rows.append((item.quantity.symbol, item.values, item.quantity.display_range, item.quantity.colormap, item.unit))
    low = study.lesions.hypoperfusion if study.lesions is not None else np.zeros(study.maps.shape, bool)
    figure = _montage(study, rows, low, "ASL maps")
    _low_flow_words(figure, study, low)
    return figure


def draw_asl_differences(study: AslStudy) -> Any:
    """Draw M0 and the difference image of each delay on one scale, in percent of M0 where there is one.

    Parameters
    ----------
    study : AslStudy
        The study.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``asl_differences.png``.
    """
    measured, brain = study.difference, study.masks.brain
    images = np.where(brain[..., None], measured.delta_m, np.nan)
    rows, unit = [], "signal"
    if measured.m0 is not None:
        middle = float(np.nanmedian(measured.m0[brain]))
        images, unit = 100.0 * images / middle, "% of M0"
        rows.append(("M0", np.where(brain, measured.m0, np.nan), (0.0, _round_up(1.6 * middle)), "grey", "signal"))
    inside = images[brain]
    top = float(np.nanpercentile(inside, 99.0)) if np.isfinite(inside).any() else 1.0
    top = _round_up(max(top, 1e-6))
    pulsed = study.series.labeling == "pasl"
    for at, delay in enumerate(measured.post_label_delays_s):
        name = f"{'TI' if pulsed else 'PLD'} {delay:.4g} s"
        rows.append((name, images[..., at], (-0.2 * top, top), "grey", unit))
    return _montage(study, rows, np.zeros(brain.shape, bool), "Difference images (control minus label, mean of each delay)")


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(step for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if step * power >= value * 0.999))


def _montage(
    study: AslStudy, rows: list[tuple[str, NDArray[Any], tuple[float, float], str, str]], low: BoolArray, title: str
) -> Any:
    """One row per image, the same slices in every row."""
    view = view_of(study.masks.brain, study.maps.affine)
    turned_low = view.turn(low)
    slices = spread_slices(view.turn(study.masks.brain), turned_low, _MAX_SLICES)
    width_mm, height_mm = size = picture_mm(view, "axial")
    height = _PANEL_WIDTH * height_mm / width_mm
    full = max(_LABEL + len(slices) * (_PANEL_WIDTH + _GAP) + _BAR, 7.5)
    figure = new_figure(full, _HEAD + len(rows) * (height + _GAP) + 0.15, FILM)
    for row, (name, values, limits, colors, unit) in enumerate(rows):
        top = _HEAD + row * (height + _GAP)
        turned = view.turn(np.where(study.masks.brain, values, np.nan))
        for column, at in enumerate(slices):
            axes = axes_at(figure, _LABEL + column * (_PANEL_WIDTH + _GAP), top, _PANEL_WIDTH, height)
            show_image(axes, as_picture(turned[:, :, at]), size, limits, colors)
            outline(axes, as_picture(turned_low[:, :, at]), size, _LOW_COLOR, 0.7)
            _decorate(axes, view, row, column, at)
        bar = axes_at(figure, full - _BAR + 0.12, top + 0.2 * height, 0.16, 0.68 * height)
        color_bar(bar, limits, colors, unit)
        middle = 1.0 - (top + height / 2.0) / figure.get_size_inches()[1]
        figure.text(0.12 / full, middle, name.replace(", ", ",\n"), color=INK, fontsize=11, fontweight="bold", va="center")
    _heading(figure, title)
    return figure


def _decorate(axes: Any, view: View, row: int, column: int, at: int) -> None:
    if row == 0:
        axes.set_title(position_words(view, at), color=FAINT, fontsize=9, pad=4)
    if column == 0:
        letters(axes, "axial", 8.0)


def _heading(figure: Any, title: str) -> None:
    width, height = figure.get_size_inches()
    y = 1.0 - 0.28 / height
    figure.text(0.12 / width, y, title, color=INK, fontsize=12, fontweight="bold", va="center")
    note = "Radiological convention: the patient's right is on the left."
    figure.text(0.12 / width, y - 0.25 / height, note, color=FAINT, fontsize=9, va="center")


def _low_flow_words(figure: Any, study: AslStudy, low: BoolArray) -> None:
    """Say what the outline is."""
    width, height = figure.get_size_inches()
    if study.lesions is None:
        text = "The two sides were not compared."
    elif not low.any():
        text = "No low flow against the other side was found."
    else:
        text = f"Outline: flow below {study.lesions.thresholds['low_flow_percent']:g} % of the other side (research)"
    figure.text(1 - 0.12 / width, 1.0 - 0.28 / height, text, color=FAINT, fontsize=9, ha="right", va="center")


def draw_asl_curves(study: AslStudy) -> Any:
    """Draw the measured mean label density of regions over the delays, and the kinetic model through it by its name.

    What a network says of a region stands in the legend as its own: no model's line belongs to it.

    Parameters
    ----------
    study : AslStudy
        The study.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``asl_curves.png``.
    """
    curves = study.metrics.values.get("curves") or {}
    shown = [item for item in _REGIONS if item[0] in curves and not (item[0] == "brain" and "gm" in curves)]
    figure = new_figure(9.0, 4.8, "white")
    title = "Measured mean difference signal and kinetic model"
    figure.text(0.08, 0.94, title, color=PAPER_INK, fontsize=12, fontweight="bold", va="center")
    if not shown:
        figure.text(0.5, 0.5, "There is no region with a signal.", color=TISSUE_COLOR, fontsize=14, ha="center", va="center")
        return figure
    axes = figure.add_axes((0.08, 0.13, 0.55, 0.72))
    numbers = study.metrics.values
    for name, words, color, mark in shown:
        _draw_curve(axes, curves[name], _curve_words(numbers, name, words), color, mark)
    pulsed = study.series.labeling == "pasl"
    axes.axhline(0.0, color="#9ca3af", linewidth=0.8)
    axes.set_xlabel("Inversion time (s)" if pulsed else "Post-label delay (s)", color=PAPER_INK)
    axes.set_ylabel(
        "Label density × 1000 (mL/g)" if study.difference.m0 is not None else "Label density (relative)", color=PAPER_INK
    )
    axes.set_xlim(left=0.0)
    axes.tick_params(colors=PAPER_INK, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=9.5, labelspacing=1.2)
    note = "Points: measured mean of the region ± standard error, delays with the mean slice delay."
    if any("model" in curves[item[0]] for item in shown):
        note += f" Lines: kinetic model ({curves[shown[0][0]].get('method')})."
    figure.text(0.08, 0.885, note, color=TISSUE_COLOR, fontsize=8.5, va="center")
    return figure


def _curve_words(numbers: Mapping[str, Any], name: str, words: str) -> str:
    """A region, what the method of the maps says of it, and what the model of its curve says if that is another."""
    facts, own = numbers["curves"][name], (numbers.get("by_region") or {}).get(name) or {}
    method = str((numbers.get("method") or {}).get("name"))
    of_curve = facts.get("method", method)
    parts = [words]
    if of_curve != method and own.get("cbf") is not None:
        parts += [f"{method}: CBF {own['cbf']:.1f} mL/100 g/min"]
    prefix = "" if of_curve == method else f"{of_curve}: "
    if facts.get("cbf") is not None:
        spread = f" ± {facts['cbf_sd']:.1f}" if facts.get("cbf_sd") is not None else ""
        parts.append(f"{prefix}CBF {facts['cbf']:.1f}{spread}" + ("" if prefix else " mL/100 g/min"))
    if facts.get("att") is not None:
        spread = f" ± {facts['att_sd']:.2f}" if facts.get("att_sd") is not None else ""
        parts.append(f"{prefix}ATT {facts['att']:.2f}{spread} s")
    return "\n".join(parts)


def _draw_curve(axes: Any, facts: Mapping[str, Any], words: str, color: str, mark: str) -> None:
    """Points with their standard errors, and the model's line."""
    error = None if facts.get("observed_sd") is None else 1000.0 * np.asarray(facts["observed_sd"], float)
    observed = 1000.0 * np.asarray(facts["observed"], float)
    axes.errorbar(
        facts["delays_s"], observed, error, color=color, marker=mark, markersize=6, linestyle="none", capsize=2.5,
        label=words,
    )  # fmt: skip
    if "model" in facts:
        axes.plot(facts["model_s"], 1000.0 * np.asarray(facts["model"], float), color=color, linewidth=1.5)
