# SPDX-License-Identifier: Apache-2.0
"""The input functions: curves, peaks, delay, truncation, and where they were measured."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np

from ...core.errors import InvalidInputError
from ...core.geometry import FloatArray
from ...core.values import REFERENCE_LABEL, InputFunction, Study
from ..map_study import AnyStudy, curve_unit_of, modality_of
from .canvas import (
    AIF_COLOR,
    FILM,
    INK,
    INPUT_COLOR,
    PAPER_INK,
    TISSUE_COLOR,
    VOF_COLOR,
    axes_at,
    letters,
    new_figure,
    outline,
    show_image,
)
from .views import as_picture, picture_mm, position_words, view_of

TRUNCATED_TAIL = 0.3
"""A curve whose last three samples exceed this part of its peak was cut off (ct-perfusion-auto section 16.3)."""

LINE = 110
"""Letters in a line above the curves, which ends before the slices begin."""

_WIDTH, _HEIGHT = 12.0, 5.6


def peak_of(curve: InputFunction) -> tuple[float, float]:
    """Return time and height of the peak, between samples, by a parabola through the top three.

    Parameters
    ----------
    curve : InputFunction
        The curve.

    Returns
    -------
    time : float, s
        Time of the peak.
    height : float
        Its height.
    """
    values, times = np.asarray(curve.values, float), curve.times_s
    at = int(values.argmax())
    if at in {0, values.size - 1}:
        return float(times[at]), float(values[at])
    near = slice(at - 1, at + 2)
    a, b, c = np.polyfit(times[near] - times[at], values[near], 2)
    if a >= 0.0:
        return float(times[at]), float(values[at])
    return float(times[at] - b / (2.0 * a)), float(c - b * b / (4.0 * a))


def tail_of(curve: InputFunction) -> float:
    """Return the mean of the last three samples as a part of the peak.

    Parameters
    ----------
    curve : InputFunction
        The curve.

    Returns
    -------
    float
        0 when it returned to the baseline, 0 for a curve without a peak.
    """
    peak = float(curve.values.max())
    return float(np.mean(curve.values[-3:]) / peak) if peak > 0 else 0.0


def draw_aif_vof(study: AnyStudy) -> Any:
    """Draw AIF (measured and scaled), VOF and brain tissue, and where the vessels are.

    Parameters
    ----------
    study : Study or MapStudy
        The study, with an arterial curve.

    Returns
    -------
    matplotlib.figure.Figure
        The picture ``aif_vof.png``.

    Raises
    ------
    InvalidInputError
        If there is no arterial curve.
    """
    _artery(study)
    figure = new_figure(_WIDTH, _HEIGHT, "white")
    axes = axes_at(figure, 0.7, 0.75, 7.9, 4.2)
    _draw_curves(axes, study)
    figure.text(
        0.7 / _WIDTH,
        1 - 0.3 / _HEIGHT,
        "Reference curve (mean of tissue), not an artery" if _is_reference(study) else "Arterial and venous curves",
        color=PAPER_INK,
        fontsize=12,
        fontweight="bold",
        va="center",
    )
    words = fill(_summary(study), LINE)
    figure.text(0.7 / _WIDTH, 1 - 0.43 / _HEIGHT, words, color=TISSUE_COLOR, fontsize=9.0, va="top", linespacing=1.15)
    if _is_reference(study):
        _say_no_artery(figure, 8.95)
        return figure
    for at, (name, curve, color) in enumerate((("AIF", study.aif, AIF_COLOR), ("VOF", study.vof, VOF_COLOR))):
        _draw_location(figure, study, name, curve, color, (8.95, 0.3 + at * 2.65))
    return figure


def _is_reference(study: AnyStudy) -> bool:
    return study.aif is not None and study.aif.kind == "reference"


def _say_no_artery(figure: Any, left: float) -> None:
    text = (
        "No artery was chosen.\n\nThis method takes the mean curve of\nthe brain's tissue as its input, so\n"
        "flow and volume are relative, and\ntimes count from early normal tissue."
    )
    figure.text(left / _WIDTH, 0.55, text, color=PAPER_INK, fontsize=10, ha="left", va="center", linespacing=1.5)


def _artery(study: AnyStudy) -> InputFunction:
    if study.aif is None:
        msg = "There is no arterial curve to draw. Give one (aif.csv)."
        raise InvalidInputError(msg)
    return study.aif


def _summary(study: AnyStudy) -> str:
    parts, aif = [], _artery(study)
    if _is_reference(study):
        return f"Peak at {peak_of(aif)[0]:.1f} s. No arterial and no venous curve was used."
    if study.vof is not None:
        parts.append(f"Venous peak {_delay(study):.1f} s after the arterial peak.")
    else:
        parts.append("No venous curve was found.")
    if abs(aif.scale - 1.0) > 1e-3:
        parts.append(f"AIF scaled by {aif.scale:.2f} for partial volume.")
    if "aif_shared" in aif.flags:
        parts.append("Its shape is that of all arteries: the head moved.")
    if late := 100.0 * _late_share(aif):
        parts.append(f"Its part after the first pass was changed by {late:+.0f} %.")
    return " ".join(parts)


def _late_share(aif: InputFunction) -> float:
    """By what share the part after the first pass was changed; 0 when that is not worth a word."""
    return aif.quality.get("late_share", 0.0) if "aif_later_part" in aif.flags else 0.0


def _delay(study: AnyStudy) -> float:
    known = study.metrics.values.get("aif_vof_delay_s")
    if known is not None or study.vof is None:
        return float(known or 0.0)
    return peak_of(study.vof)[0] - peak_of(_artery(study))[0]


def _draw_curves(axes: Any, study: AnyStudy) -> None:
    aif, vof = _artery(study), study.vof
    top = max(float(curve.values.max()) for curve in (aif, vof) if curve is not None)
    top = top if top > 0 else 1.0
    if isinstance(study, Study):
        _draw_baseline(axes, study)
    if abs(aif.scale - 1.0) > 1e-3:
        label = (
            "AIF, unscaled" if aif.quality.get("late_share") or "aif_shared" in aif.flags else "AIF, measured"
        )  # its later part may have been changed
        axes.plot(aif.times_s, aif.values / aif.scale, "-o", color=AIF_COLOR, markersize=2.6, linewidth=1.7, label=label)
        axes.plot(aif.times_s, aif.values, "--", color=AIF_COLOR, linewidth=1.5, label=f"AIF, scaled × {aif.scale:.2f}")
    else:
        label, color = (REFERENCE_LABEL.capitalize(), INPUT_COLOR) if _is_reference(study) else ("AIF", AIF_COLOR)
        axes.plot(aif.times_s, aif.values, "-o", color=color, markersize=2.6, linewidth=1.7, label=label)
    if vof is not None:
        axes.plot(vof.times_s, vof.values, "-o", color=VOF_COLOR, markersize=2.6, linewidth=1.7, label="VOF")
    if isinstance(study, Study) and not _is_reference(study):  # which is the mean of tissue already
        _draw_tissue(axes, study, top)
    _mark_peaks(axes, study, top)
    _mark_truncation(axes, study)
    axes.set_ylim(min(-0.06 * top, 1.1 * float(np.min(aif.values))), 1.3 * top)
    axes.set_xlim(float(aif.times_s[0]), float(aif.times_s[-1]))
    axes.set_xlabel("Time (s)", color=PAPER_INK)
    unit = curve_unit_of(study)
    axes.set_ylabel(f"{'Enhancement' if unit == 'HU' else 'ΔR2*'} ({unit})", color=PAPER_INK)
    axes.tick_params(colors=PAPER_INK, labelsize=9)
    axes.legend(loc="upper right", fontsize=8.5, frameon=True, framealpha=0.9, edgecolor="#d1d5db")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_baseline(axes: Any, study: Study) -> None:
    times = study.concentration.times_s
    frames = min(study.concentration.baseline_frames, times.size)
    if frames > 0:
        half = 0.5 * float(np.median(np.diff(times))) if times.size > 1 else 0.0
        axes.axvspan(times[0], times[frames - 1] + half, color="#e5e7eb", linewidth=0, label="Baseline")


def _draw_tissue(axes: Any, study: Study, top: float) -> None:
    tissue = study.lesions.tissue if study.lesions.tissue.any() else study.masks.brain
    if not tissue.any():
        return
    data = study.concentration.data
    # Slice by slice, since all tissue at once would be a copy of most of the scan.
    total = sum(data[:, :, k][tissue[:, :, k]].sum(axis=0, dtype=float) for k in range(data.shape[2]))
    mean = np.asarray(total) / int(tissue.sum())
    # A round factor keeps the small tissue curve readable on the axis of the vessels.
    peak = float(mean.max())
    factor = max((f for f in (1, 2, 5, 10, 20, 50) if f * peak <= 0.5 * top), default=1) if peak > 0 else 1
    label = "Brain tissue, mean" + (f" × {factor}" if factor > 1 else "")
    axes.plot(study.concentration.times_s, factor * mean, color=TISSUE_COLOR, linewidth=1.5, label=label)


def _mark_peaks(axes: Any, study: AnyStudy, top: float) -> None:
    first = INPUT_COLOR if _is_reference(study) else AIF_COLOR
    curves = [(curve, color) for curve, color in ((study.aif, first), (study.vof, VOF_COLOR)) if curve is not None]
    marks = [peak_of(curve) for curve, _ in curves]
    # Two labels point away from each other: centered ones would overlap when the peaks are a few seconds apart.
    sides = ("center",) if len(marks) == 1 else ("right", "left") if marks[0][0] <= marks[1][0] else ("left", "right")
    for (_, color), (time, height), side in zip(curves, marks, sides, strict=True):
        axes.plot([time, time], [height, 1.12 * top], color=color, linewidth=0.9, linestyle=":")
        axes.plot(time, height, "v", color=color, markersize=7, markeredgecolor="white", markeredgewidth=0.7)
        gap = ({"right": -2.0, "center": 0.0, "left": 2.0}[side], 0.0)
        axes.annotate(
            f"{time:.1f} s", (time, 1.2 * top), gap, textcoords="offset points", color=color, fontsize=9, ha=side, va="bottom"
        )
    if len(marks) == 2:
        times = [time for time, _ in marks]
        arrow = {"arrowstyle": "<->", "color": PAPER_INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (times[1], 1.12 * top), (times[0], 1.12 * top), arrowprops=arrow)
        axes.text(sum(times) / 2, 1.13 * top, f"{_delay(study):.1f} s", color=PAPER_INK, fontsize=9, ha="center", va="bottom")


def _mark_truncation(axes: Any, study: AnyStudy) -> None:
    for curve, color in ((study.aif, AIF_COLOR), (study.vof, VOF_COLOR)):
        if curve is None or tail_of(curve) <= TRUNCATED_TAIL:
            continue
        last = float(curve.times_s[-1])
        axes.axvline(last, color=color, linewidth=3.0, linestyle=(0, (2, 1)), alpha=0.8)
        axes.annotate(
            f"{curve.label} cut off at {100 * tail_of(curve):.0f} %",
            (last, float(np.mean(curve.values[-3:]))), (-10, 22), textcoords="offset points",
            color=color, fontsize=9, ha="right", arrowprops={"arrowstyle": "->", "color": color},
        )  # fmt: skip


def _vessel_image(study: AnyStudy) -> FloatArray:
    if "mip" in study.maps:
        return np.asarray(study.maps["mip"].values, float)
    if isinstance(study, Study):
        return np.asarray(study.concentration.baseline + study.concentration.data.max(axis=-1), float)
    return np.asarray((study.maps.get("baseline") or study.maps.get("cbv") or study.maps["tmax"]).values, float)


def _draw_location(
    figure: Any, study: AnyStudy, name: str, curve: InputFunction | None, color: str, corner: tuple[float, float]
) -> None:
    left, top = corner
    box = (2.85, 2.3)
    if curve is None or curve.voxels.size == 0:
        text = f"No {name} was found." if curve is None else f"{name} from a file:\nno location."
        figure.text(
            (left + box[0] / 2) / _WIDTH, 1 - (top + box[1] / 2) / _HEIGHT, text, color=TISSUE_COLOR, ha="center", va="center"
        )
        return
    chosen = np.zeros(study.masks.brain.shape, bool)
    chosen[tuple(curve.voxels.T)] = True
    view = view_of(study.masks.brain | chosen, study.lesions.affine, margin_mm=16.0)
    turned = view.turn(chosen)
    at = int(turned.sum(axis=(0, 1)).argmax())
    size = picture_mm(view, "axial")
    scale = min(box[0] / size[0], box[1] / size[1])
    width, height = size[0] * scale, size[1] * scale
    axes = axes_at(figure, left + (box[0] - width) / 2, top + 0.2, width, height)
    image = view.turn(_vessel_image(study))[:, :, at]
    show_image(axes, as_picture(image), size, _window(study, image), "grey")
    figure.patches.append(_backdrop(figure, axes))
    spot = as_picture(turned[:, :, at])
    outline(axes, spot, size, color, 1.2)
    _circle(axes, spot, size, color)
    letters(axes, "axial", 7.5)
    count = len(curve.voxels)
    title = f"{name}: {count} voxel{'s' if count != 1 else ''}, at {position_words(view, at)}"
    figure.text(
        (left + box[0] / 2) / _WIDTH, 1 - (top + 0.09) / _HEIGHT, title, color=color, fontsize=9.5, ha="center", va="center"
    )


def _window(study: AnyStudy, image: FloatArray) -> tuple[float, float]:
    if modality_of(study) == "ctp" and ("mip" in study.maps or isinstance(study, Study)):
        return 0.0, 150.0
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(np.percentile(finite, 99.5))) if finite.size else (0.0, 1.0)


def _backdrop(figure: Any, axes: Any) -> Any:
    from matplotlib.patches import Rectangle

    place = axes.get_position()
    return Rectangle((place.x0, place.y0), place.width, place.height, transform=figure.transFigure, facecolor=FILM, zorder=-1)


def _circle(axes: Any, spot: Any, size: tuple[float, float], color: str) -> None:
    from matplotlib.patches import Circle

    rows, columns = np.nonzero(spot)
    x, y = (columns + 0.5) * size[0] / spot.shape[1], (rows + 0.5) * size[1] / spot.shape[0]
    middle = float(x.mean()), float(y.mean())
    radius = max(9.0, float(np.hypot(x - middle[0], y - middle[1]).max()) + 4.0)
    for edge, width in ((INK, 2.2), (color, 1.2)):
        axes.add_patch(Circle(middle, radius, fill=False, edgecolor=edge, linewidth=width))
