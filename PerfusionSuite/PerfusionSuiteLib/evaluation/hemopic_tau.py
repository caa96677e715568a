# SPDX-License-Identifier: Apache-2.0
"""Report of the fitted time constants of regions: weighted quantiles of a cohort, and of lesions and their mirror regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray
from .hemopic_case import Case, Definitions
from .hemopic_folders import read_table
from .hemopic_mirror import Mirrored

ROI_COLUMNS = ("patient", "roi_id", "tissue", "tau", "w")
OVERLAP_COLUMNS = ("patient", "region", "roi_id", "tissue", "tau", "w")
SUMMARY_COLUMNS = (
    "group", "n", "w_sum", "q25", "q40", "q50", "q60", "q75", "wmean", "gamma", "t_max", "target_end",
)  # fmt: skip
T_MAX_S, TARGET_END = 40.0, 0.30
GROUPS = ("GM", "WM", "lesion", "c_lesion")
LARGEST_LOSS = 0.5
"""Regions that are fitted worse say nothing about their time constant (hemopic 10.4)."""

_QUANTILES = (0.25, 0.40, 0.50, 0.60, 0.75)


def read_regions(folder: Path) -> list[dict[str, Any]]:
    """Read the table of fitted regions.

    Parameters
    ----------
    folder : Path
        Of the fit.

    Returns
    -------
    list of dict
        Rows of ``roi_fit_summary.csv`` (or ``regions.csv``); numbers are floats, ``success`` a bool.

    Raises
    ------
    InvalidInputError
        If there is no such table, or it cannot be read.
    """
    found = read_table(folder, ("roi_fit_summary", "regions"))
    if found is not None:
        head, *rows = found[1]
        return [{key: _cell(text) for key, text in zip(head, row, strict=False)} for row in rows]
    msg = f"There is no table of regions (roi_fit_summary.csv) in '{folder.name}'. Fit the patient with a regional method."
    raise InvalidInputError(msg)


def tau_rows(case: Case, regions: Sequence[Mapping[str, Any]], definitions: Definitions) -> list[dict[str, Any]]:
    """List the time constants of one patient's grey- and white-matter regions.

    Parameters
    ----------
    case : Case
        The patient.
    regions : sequence of mapping
        From `read_regions`.
    definitions : {"corrected", "published"}
        Corrected: regions that are fitted badly or whose constant lies at its bound are left out.

    Returns
    -------
    list of dict
        ``patient roi_id tissue tau w`` (s, voxels).
    """
    return [
        {
            "patient": case.patient,
            "roi_id": int(row["roi_id"]),
            "tissue": row["tissue"],
            "tau": row["tau_fit"],
            "w": row["n_vox_fit"],
        }
        for row in _accepted(regions, definitions)
        if row["tissue"] in ("GM", "WM")
    ]


def overlap_rows(
    case: Case, regions: Sequence[Mapping[str, Any]], labels: NDArray[Any], opposite: Mirrored | None, definitions: Definitions
) -> list[dict[str, Any]]:
    """List the time constants of the regions that a lesion and its mirror region lie in.

    Parameters
    ----------
    case : Case
        The patient.
    regions : sequence of mapping
        From `read_regions`.
    labels : ndarray of int, shape (I, J, K)
        Number of the region of each voxel.
    opposite : Mirrored or None
        The mirrored lesion; None for the published one, which flips the first axis and stays where it overlaps the lesion.
    definitions : {"corrected", "published"}
        As for `tau_rows`.

    Returns
    -------
    list of dict
        ``patient region roi_id tissue tau w``; the weight is the number of voxels of the lesion in the region.

    Raises
    ------
    GridMismatchError
        If labels and lesion differ in shape.
    """
    lesion = case.need_lesion()
    if labels.shape != lesion.shape:
        msg = f"Region labels of {labels.shape} and a lesion of {lesion.shape} voxels do not fit together. Fit the patient again."
        raise GridMismatchError(msg)
    masks: dict[str, BoolArray] = {"lesion": lesion, "c_lesion": np.flip(lesion, 0) if opposite is None else opposite.mask}
    rows = []
    for region, mask in masks.items():
        inside = labels[mask]
        for row in _accepted(regions, definitions):
            count = int((inside == int(row["roi_id"])).sum())
            if count:
                about = {"roi_id": int(row["roi_id"]), "tissue": row["tissue"], "tau": row["tau_fit"], "w": count}
                rows.append({"patient": case.patient, "region": region, **about})
    return rows


def weighted_quantile(values: ArrayLike, weights: ArrayLike, at: ArrayLike) -> NDArray[np.float64]:
    """Return quantiles of weighted values.

    Parameters
    ----------
    values, weights : array-like, shape (n,)
        Values and how often each counts.
    at : array-like
        Shares, 0 to 1.

    Returns
    -------
    ndarray
        Linear interpolation between sorted values that stand at their cumulated share of the weight (hemopic 6.4).
    """
    x, w = np.asarray(values, float), np.asarray(weights, float)
    order = np.argsort(x, kind="stable")
    share = np.cumsum(w[order]) / w.sum()
    return np.asarray(np.interp(np.asarray(at, float), share, x[order]), float)


def quantile_rows(rois: Iterable[Mapping[str, Any]], overlaps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summarize the time constants of a cohort.

    Parameters
    ----------
    rois, overlaps : iterable of mapping
        From `tau_rows` and `overlap_rows`, of all patients.

    Returns
    -------
    list of dict
        One row per group with `SUMMARY_COLUMNS`; ``gamma`` is the factor that makes the published picture end at 0.30 after 40 s.
    """
    rois, overlaps = list(rois), list(overlaps)
    gamma = display_factor(rois)
    rows = []
    for group in GROUPS:
        found = (
            [r for r in rois if r["tissue"] == group] if group in ("GM", "WM") else [r for r in overlaps if r["region"] == group]
        )
        if not found:
            continue
        tau, weight = (np.array([row[name] for row in found], float) for name in ("tau", "w"))
        numbers = weighted_quantile(tau, weight, _QUANTILES)
        rows.append(
            {
                "group": group,
                "n": len(found),
                "w_sum": float(weight.sum()),
                **{f"q{round(100 * q)}": float(number) for q, number in zip(_QUANTILES, numbers, strict=True)},
                "wmean": float((tau * weight).sum() / weight.sum()),
                "gamma": gamma,
                "t_max": T_MAX_S,
                "target_end": TARGET_END,
            }
        )
    return rows


def display_factor(rois: Sequence[Mapping[str, Any]]) -> float:
    """Return the factor that rescales the published pictures.

    Parameters
    ----------
    rois : sequence of mapping
        From `tau_rows`, of all patients.

    Returns
    -------
    float
        -ln(0.30) tau / 40 s with the median of grey and white matter together; NaN without regions.
    """
    if not rois:
        return float("nan")
    tau, weight = (np.array([row[name] for row in rois], float) for name in ("tau", "w"))
    return float(-np.log(TARGET_END) * weighted_quantile(tau, weight, 0.5) / T_MAX_S)


def _accepted(regions: Sequence[Mapping[str, Any]], definitions: Definitions) -> list[Mapping[str, Any]]:
    if regions and "tau_fit" not in regions[0]:
        msg = "The table of regions has no time constants (tau_fit). They come from compatibility mode: 'hemopic fit'."
        raise InvalidInputError(msg)
    kept = [row for row in regions if row.get("success") is True and row["tau_fit"] > 0]
    if definitions == "published" or not kept:
        return kept
    # The largest constant that a fit allows is not known from the table alone, but a bound is where the search stood still.
    return [row for row in kept if float(row.get("loss", 0.0)) <= LARGEST_LOSS]


def _cell(text: str | None) -> Any:
    words = (text or "").strip()
    if words.lower() in ("true", "false"):
        return words.lower() == "true"
    try:
        return float(words) if words else float("nan")
    except ValueError:
        return words
