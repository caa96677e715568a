# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation of fitted DSC patients: volume check, contrasts, curves, time constants, lesion detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.quantities import QUANTITIES
from ...results.pictures.canvas import PAPER_INK, new_figure
from ..errors import bland_altman
from ..hemopic_discrimination import Scores
from ..hemopic_folders import DATA, MODEL
from ..hemopic_reconstruction import REGIONS as CURVE_REGIONS
from ..hemopic_tau import TARGET_END
from ..hemopic_volume_check import REGIONS, columns_of, fitted_line

PAPER = "#ffffff"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_FAINT = "#9aa5b1"
_TITLES = {
    "GM": "Gray matter", "WM": "White matter", "lesion": "Lesion", "c_lesion": "Opposite of lesion", "brain": "Brain without CSF",
    "full_brain": "Whole brain",
}  # fmt: skip
_SOURCES = {MODEL: "fit", DATA: "deconvolution"}
_CHECK_X, _CHECK_Y = (0.0, 15.0), (0.0, 16.0)
_SHOWN_S, _SHOWN_SMOOTHING = 40.0, 2.0


def source_words(source: str) -> str:
    """Return what a source of maps is called in a legend."""
    return _SOURCES.get(source, source)


def draw_volume_check(points: Sequence[Mapping[str, Any]], *, published: bool) -> Any:
    """Draw the central-volume check: four panels with the fitted line and one standard error of it.

    Parameters
    ----------
    points : sequence of mapping
        From `volume_points`.
    published : bool
        With the fixed axes of the published figure and nothing else; otherwise with the line of equality.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    figure = new_figure(13.2, 3.9, PAPER)
    for at, region in enumerate(REGIONS):
        axes = figure.add_subplot(1, 4, at + 1)
        x, y = columns_of(points, region)
        high_x, high_y = _CHECK_X[1], _CHECK_Y[1]
        if not published and x.size:
            high_x = high_y = max(_CHECK_X[1], 1.05 * float(max(x.max(), y.max())))
        if not published:
            axes.plot([0.0, high_x], [0.0, high_x], color=_FAINT, linewidth=1.0, linestyle="--", label="equal")
        line = fitted_line(x, y)
        if line is not None:
            axes.fill_between(line.at, line.middle - line.se, line.middle + line.se, color=COLORS[1], alpha=0.2, linewidth=0)
            axes.plot(line.at, line.middle, color=COLORS[1], linewidth=1.6, label="least squares, ± 1 SE of the mean")
        axes.plot(x, y, "o", markersize=4.5, color=COLORS[0], alpha=0.8, label=f"patients ({x.size})")
        axes.set_xlim(0.0, high_x)
        axes.set_ylim(0.0, high_y)
        _dress(axes, _TITLES[region], "MTT of deconvolution, s", "60 CBV / CBF of the fit, s" if at == 0 else "")
        if x.size:
            axes.legend(fontsize=7.5, frameon=False, loc="upper left")
        else:
            _nothing(axes)
    figure.tight_layout()
    return figure


def draw_bland_altman(points: Sequence[Mapping[str, Any]]) -> Any:
    """Draw difference against mean of both sides of the check.

    Parameters
    ----------
    points : sequence of mapping
        From `volume_points`.

    Returns
    -------
    matplotlib.figure.Figure
        Solid: bias; dashed: limits of agreement.
    """
    figure = new_figure(13.2, 3.6, PAPER)
    for at, region in enumerate(REGIONS):
        axes = figure.add_subplot(1, 4, at + 1)
        x, y = columns_of(points, region)
        _dress(axes, _TITLES[region], "mean of fit and deconvolution, s", "fit − deconvolution, s" if at == 0 else "")
        if not x.size:
            _nothing(axes)
            continue
        axes.plot((x + y) / 2.0, y - x, "o", markersize=4.5, color=COLORS[0], alpha=0.8)
        numbers = bland_altman(y, x)
        axes.axhline(0.0, color=_FAINT, linewidth=0.8)
        for name, style in (("bias", "-"), ("limits_low", "--"), ("limits_high", "--")):
            level = numbers[name]
            if level is not None:
                axes.axhline(level, color=COLORS[1], linewidth=1.3, linestyle=style)
                axes.annotate(
                    f"{level:.2f}", (1.0, level), xycoords=("axes fraction", "data"), fontsize=7.5, ha="right", va="bottom"
                )
        axes.margins(0.12, 0.2)
    figure.tight_layout()
    return figure


def draw_contrasts(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    """Draw ratios of means and of standard deviations as boxes over patients, without outliers.

    Parameters
    ----------
    tables : mapping of str to sequence of mapping
        ``lesion`` and ``gmwm`` from `contrast_rows`, of all patients.

    Returns
    -------
    matplotlib.figure.Figure
        Left the lesion against its mirror region, right white against gray matter.
    """
    titles = {"lesion": "Lesion / opposite side", "gmwm": "White / gray matter"}
    figure = new_figure(12.4, 6.6, PAPER)
    for row, (value, words) in enumerate((("mu_r", "ratio of means"), ("sigma_r", "ratio of standard deviations"))):
        for column, (table, title) in enumerate(titles.items()):
            axes = figure.add_subplot(2, 2, 2 * row + column + 1)
            rows = tables.get(table, ())
            names = list(dict.fromkeys(str(r["metric"]) for r in rows))
            values = [[float(r[value]) for r in rows if r["metric"] == name and r[value] is not None] for name in names]
            _dress(axes, f"{title}: {words}", "", words if column == 0 else "")
            if not names:
                _nothing(axes)
                continue
            boxes = axes.boxplot(values, showfliers=False, patch_artist=True, widths=0.6)
            for box, name in zip(boxes["boxes"], names, strict=True):
                box.set(facecolor=COLORS[0] if name.startswith("model") else COLORS[1], alpha=0.35, edgecolor=PAPER_INK)
            for median in boxes["medians"]:
                median.set(color=PAPER_INK, linewidth=1.5)
            for at, found in enumerate(values):
                axes.plot(np.full(len(found), at + 1), found, ".", color=PAPER_INK, markersize=3, alpha=0.5)
            axes.axhline(1.0, color=_FAINT, linewidth=0.8, linestyle="--")
            axes.set_xticks(
                range(1, len(names) + 1), [f"{_metric_words(n)}\nn = {len(v)}" for n, v in zip(names, values, strict=True)]
            )
            axes.tick_params(axis="x", labelsize=7.5)
    figure.tight_layout()
    return figure


def draw_curves(times_s: Any, means: Mapping[str, tuple[Any, Any, int]], *, published: bool) -> Any:
    """Draw mean observed and fitted curves.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Common times.
    means : mapping of str to tuple
        From `cohort_curves`.
    published : bool
        Two panels up to 40 s with curves smoothed once more, as published; otherwise a panel per region, as they are.

    Returns
    -------
    matplotlib.figure.Figure
        Solid: observed; dashed: fitted.
    """
    groups = (("GM", "WM", "full_brain"), ("lesion", "c_lesion")) if published else tuple((name,) for name in CURVE_REGIONS)
    figure = new_figure(10.0 if published else 15.5, 3.9, PAPER)
    for at, group in enumerate(groups):
        axes = figure.add_subplot(1, len(groups), at + 1)
        title = " / ".join(_TITLES[name] for name in group)
        _dress(
            axes,
            title if len(group) < 3 else "Tissue and whole brain",
            "time since the first frame, s",
            "ΔR2*, 1/s" if at == 0 else "",
        )
        shown = np.asarray(times_s) <= (_SHOWN_S if published else np.inf)
        for color, name in zip(COLORS, group, strict=False):
            if name not in means:
                continue
            observed, fitted, count = means[name]
            words = f"{_TITLES[name].lower()}, " if len(group) > 1 else ""
            for values, style, word in ((observed, "-", f"observed (n = {count})"), (fitted, "--", "fitted")):
                drawn = _display_smooth(values) if published else values
                axes.plot(
                    np.asarray(times_s)[shown], np.asarray(drawn)[shown], style, color=color, linewidth=1.6, label=words + word
                )
        if axes.lines:
            axes.legend(fontsize=7.5, frameon=False)
        else:
            _nothing(axes)
    if published:
        figure.text(
            0.01, 0.012, "Smoothed with 2 samples for display, as in the published figure.", fontsize=7.5, color=PAPER_INK
        )
    figure.tight_layout(rect=(0.0, 0.03 if published else 0.0, 1.0, 1.0))
    return figure


def draw_tau(rows: Sequence[Mapping[str, Any]], groups: Sequence[str], *, published: bool) -> Any:
    """Draw decays with the median time constant, and a band between the 40 % and the 60 % quantile.

    Parameters
    ----------
    rows : sequence of mapping
        From `quantile_rows`.
    groups : sequence of str
        Which.
    published : bool
        Rescaled so that the median of gray and white matter ends at 0.30 after 40 s; otherwise on the fitted time axis.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.
    """
    figure = new_figure(6.2, 4.4, PAPER)
    axes = figure.add_subplot(1, 1, 1)
    times = np.linspace(0.0, 40.0, 401)
    for color, name in zip(COLORS, groups, strict=False):
        row = next((r for r in rows if r["group"] == name), None)
        if row is None:
            continue
        factor = float(row["gamma"]) if published else 1.0
        low, middle, high = (np.exp(-factor * times / float(row[q])) for q in ("q40", "q50", "q60"))
        axes.fill_between(times, low, high, color=color, alpha=0.25, linewidth=0)
        axes.plot(times, middle, color=color, linewidth=1.8, label=f"{_TITLES[name]}: τ {row['q50']:.1f} s ({row['n']} regions)")
    axes.set_ylim(0.0, 1.02)
    axes.set_xlim(0.0, 40.0)
    if published:
        axes.axhline(TARGET_END, color=_FAINT, linewidth=0.8, linestyle="--")
    label = "rescaled time (display only), s" if published else "time, s"
    _dress(axes, "exp(−γ t / τ), as published" if published else "exp(−t / τ) with the fitted τ", label, "part that is left")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    else:
        _nothing(axes)
    note = "τ is a parameter of the shape of a curve. It is not a resistance times a compliance of vessels."
    figure.text(0.02, 0.012, note, fontsize=7.5, color=PAPER_INK)
    figure.tight_layout(rect=(0.0, 0.04, 1.0, 1.0))
    return figure


def draw_detection(patient: str, scores: Sequence[Scores], *, precision: bool) -> Any:
    """Draw the ROC or the precision-recall curves of one patient.

    Parameters
    ----------
    patient : str
        Which.
    scores : sequence of Scores
        Maps.
    precision : bool
        Precision against recall instead of sensitivity against the share of false alarms.

    Returns
    -------
    matplotlib.figure.Figure
        One color per map; solid: first source, dashed and dotted: the others.
    """
    figure = new_figure(8.4, 5.2, PAPER)
    axes = figure.add_subplot(1, 1, 1)
    sources = list(dict.fromkeys(s.method for s in scores))
    metrics = list(dict.fromkeys(s.metric for s in scores))
    for each in scores:
        if each.detection is None:
            continue
        color, style = COLORS[metrics.index(each.metric) % len(COLORS)], ("-", "--", ":", "-.")[sources.index(each.method) % 4]
        found = each.detection
        number = f"AP {found.average_precision:.3f}" if precision else f"AUC {found.roc.auc:.3f}"
        label = f"{QUANTITIES[each.metric].symbol}, {source_words(each.method)}: {number}"
        if precision:
            axes.step(found.recall, found.precision, where="post", color=color, linestyle=style, linewidth=1.4, label=label)
        else:
            axes.plot(
                1.0 - found.roc.specificity, found.roc.sensitivity, color=color, linestyle=style, linewidth=1.4, label=label
            )
    if not axes.lines:
        _nothing(axes)
    elif precision:
        share = next(s.truth.mean() for s in scores if s.detection is not None)
        axes.axhline(share, color=_FAINT, linewidth=0.9, linestyle="--", label=f"chance {share:.3f}")
    else:
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.9, linestyle="--")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    words = ("recall", "precision") if precision else ("share of false alarms", "sensitivity")
    _dress(axes, f"Patient {patient}: lesion by voxel", *words)
    if axes.lines:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.tight_layout()
    return figure


def draw_cohort(summary: Sequence[Mapping[str, Any]]) -> Any:
    """Draw mean areas and average precision of each map with their intervals over patients.

    Parameters
    ----------
    summary : sequence of mapping
        From `cohort_summary`.

    Returns
    -------
    matplotlib.figure.Figure
        One color per source.
    """
    figure = new_figure(11.0, 4.3, PAPER)
    metrics = list(dict.fromkeys(str(row["metric"]) for row in summary))
    sources = list(dict.fromkeys(str(row["method"]) for row in summary))
    for at, (short, words) in enumerate((("auc", "ROC AUC"), ("ap", "average precision"))):
        axes = figure.add_subplot(1, 2, at + 1)
        for number, source in enumerate(sources):
            rows = [row for row in summary if row["method"] == source and f"{short}_mean" in row]
            places = [metrics.index(str(row["metric"])) + 0.16 * (number - (len(sources) - 1) / 2.0) for row in rows]
            means = np.array([row[f"{short}_mean"] for row in rows], float)
            limits = np.array([[row[f"{short}_mean_low"], row[f"{short}_mean_high"]] for row in rows], float).reshape(-1, 2)
            spread = np.abs(np.nan_to_num(limits, nan=0.0) - means[:, None]) * np.isfinite(limits)
            most = max((int(row["n"]) for row in rows), default=0)
            axes.errorbar(
                places,
                means,
                yerr=spread.T,
                fmt="o",
                color=COLORS[number % len(COLORS)],
                capsize=3,
                label=f"{source_words(source)} (n ≤ {most})",
            )
        axes.set_xticks(range(len(metrics)), [QUANTITIES[name].symbol for name in metrics])
        if short == "auc":
            axes.axhline(0.5, color=_FAINT, linewidth=0.9, linestyle="--")
        else:
            axes.set_ylim(bottom=0.0)
        _dress(axes, f"Mean {words} of patients, 95 % interval", "", words)
        if axes.containers:
            axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure


def _metric_words(name: str) -> str:
    source, _, key = name.rpartition("_")
    words = {"model": "fit", "data": "deconv."}.get(source, source)
    return f"{QUANTITIES[key].symbol}\n{words}"


def _display_smooth(values: Any) -> Any:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.asarray(values, float), _SHOWN_SMOOTHING, mode="nearest")


def _dress(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, color=PAPER_INK)
    axes.set_xlabel(x, fontsize=8.5, color=PAPER_INK)
    axes.set_ylabel(y, fontsize=8.5, color=PAPER_INK)
    axes.tick_params(labelsize=8, colors=PAPER_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "no patient has this", transform=axes.transAxes, ha="center", va="center", fontsize=9, color=_FAINT)
