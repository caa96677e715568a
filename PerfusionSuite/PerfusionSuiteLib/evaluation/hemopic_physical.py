# SPDX-License-Identifier: Apache-2.0
"""Regions of the physical mode, judged like the published ones: their curves, frames left out, transit times and delays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.nifti import read_volume
from ..hemopic import fit as fit_hemopic
from ..hemopic.compat_model import time_weights
from ..hemopic.compat_regions import smoothed
from .hemopic_case import BRAIN_STEM, CSF, GM, WM, Case, Definitions
from .hemopic_folders import read_table
from .hemopic_mirror import Mirrored
from .hemopic_reconstruction import Reconstruction, curve_errors, without_odd
from .hemopic_tau import weighted_quantile

CURVES = "region_curves"
TIME_COLUMNS = ("patient", "quantity", "group", "roi_id", "value", "w")
QUANTILE_COLUMNS = ("quantity", "group", "n", "w_sum", "q25", "q40", "q50", "q60", "q75", "wmean")
_QUANTILES = (0.25, 0.40, 0.50, 0.60, 0.75)
_QUANTITIES = ("mtt", "delay")
_TISSUES = {"GM": GM, "WM": WM, "CSF": CSF, "BrainStem": BRAIN_STEM}


@dataclass(frozen=True, slots=True)
class StoredCurves:
    """Curves of fitted regions as ``run`` writes them.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    reference : ndarray, shape (T,)
        The curve that went in.
    observed, fitted : mapping of int to ndarray, shape (T,)
        By number of the region; a region without a usable fit has none.
    """

    times_s: FloatArray
    reference: FloatArray
    observed: Mapping[int, FloatArray]
    fitted: Mapping[int, FloatArray]


def is_physical(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether regions come from the physical mode.

    Parameters
    ----------
    rows : sequence of mapping
        Table of regions.

    Returns
    -------
    bool
        True when no region has the published model's time constant but there are transit times.
    """
    return bool(rows) and "mtt" in rows[0] and not any(float(row.get("tau_fit", np.nan)) > 0 for row in rows)


def read_stored(folder: Path, rows: Sequence[Mapping[str, Any]]) -> StoredCurves:
    """Read the curves of the regions.

    Parameters
    ----------
    folder : Path
        Of the result.
    rows : sequence of mapping
        Table of regions, in the order of the curves.

    Returns
    -------
    StoredCurves
        The curves.

    Raises
    ------
    InvalidInputError
        If the file is missing or does not belong to the table.
    """
    found = read_table(folder, (CURVES,))
    if found is None:
        msg = f"There are no curves of regions ({CURVES}.csv) in '{folder.name}'. Run the fit again."
        raise InvalidInputError(msg)
    name, (head, *lines) = found
    try:
        table = np.array([[float(cell) if cell else np.nan for cell in line] for line in lines], float)
    except ValueError as error:
        msg = f"'{name}' holds something that is no number ({error}). Run the fit again."
        raise InvalidInputError(msg) from error
    if len(head) != 2 + 2 * len(rows) or table.ndim != 2:
        msg = f"'{name}' has {len(head)} columns, but {len(rows)} regions need {2 + 2 * len(rows)}. Run the fit again."
        raise InvalidInputError(msg)
    pairs = {int(row["roi_id"]): table[:, 2 + 2 * at : 4 + 2 * at].T for at, row in enumerate(rows)}
    kept = {number: pair for number, pair in pairs.items() if np.isfinite(pair).all()}
    return StoredCurves(table[:, 0], table[:, 1], {n: p[0] for n, p in kept.items()}, {n: p[1] for n, p in kept.items()})


def reconstruct_stored(
    case: Case,
    rows: Sequence[Mapping[str, Any]],
    labels: NDArray[Any],
    definitions: Definitions,
    opposite: Mirrored | None,
    *,
    held_out: bool,
) -> Reconstruction:
    """Compare the stored curves of the physical mode with what was observed.

    Parameters
    ----------
    case : Case
        The patient.
    rows : sequence of mapping
        Table of regions.
    labels : ndarray of int, shape (I, J, K)
        Number of the region of each voxel.
    definitions : {"corrected", "published"}
        See `hemopic_reconstruction.reconstruct`.
    opposite : Mirrored or None
        The mirrored lesion.
    held_out : bool
        Fit again on even frames, when the dataset holds the tracer series.

    Returns
    -------
    Reconstruction
        Curves of a lesion are those of the regions that it lies in, weighted by its voxels in them.
    """
    stored = read_stored(case.files.fit, rows)
    weights = time_weights(stored.reference / max(float(stored.reference.max()), 1e-12))
    masks = _masks(case, rows, labels, opposite)
    interval = float(np.median(np.diff(stored.times_s)))
    asked = held_out and definitions == "corrected"
    again = held_out_errors(case, masks, tissue_of(rows, labels), interval) if asked else {}
    found, observed, fitted = [], {}, {}
    for region, mask in masks.items():
        pair = [_member_mean(curves, labels[mask]) for curves in (stored.observed, stored.fitted)]
        if pair[0] is None or pair[1] is None:
            continue
        curve = smoothed(pair[0]) if definitions == "published" else pair[0]
        row = {
            "patient": case.patient,
            "region": region,
            "n_vox": int(mask.sum()),
            "dt_seconds": interval,
            "t_end_seconds": float(stored.times_s[-1] - stored.times_s[0]),
            **curve_errors(curve, pair[1], weights if definitions == "published" else None),
            **again.get(region, {}),
        }
        found.append(row)
        observed[region], fitted[region] = curve, pair[1]
    return Reconstruction(case.patient, stored.times_s - stored.times_s[0], weights, observed, fitted, tuple(found))


def tissue_of(rows: Sequence[Mapping[str, Any]], labels: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return the tissue that a fit divided into regions.

    Parameters
    ----------
    rows : sequence of mapping
        Table of regions.
    labels : ndarray of int, shape (I, J, K)
        Number of the region of each voxel.

    Returns
    -------
    ndarray of uint8, shape (I, J, K), or None
        Tissue labels; None when the fit did not tell tissues apart.
    """
    if any(row["tissue"] not in _TISSUES for row in rows):
        return None
    codes = np.zeros(int(max(labels.max(), *(int(row["roi_id"]) for row in rows))) + 1, np.uint8)
    for row in rows:
        codes[int(row["roi_id"])] = _TISSUES[row["tissue"]]
    tissue: NDArray[np.uint8] = codes[labels]
    return tissue


def held_out_errors(
    case: Case, masks: Mapping[str, BoolArray], tissue: NDArray[np.uint8] | None, interval_s: float
) -> dict[str, dict[str, float]]:
    """Fit the tracer series again on even frames and measure the error on odd ones.

    Parameters
    ----------
    case : Case
        The patient; its tracer series is needed.
    masks : mapping of str to ndarray of bool
        Regions to judge.
    tissue : ndarray of uint8, shape (I, J, K), or None
        Tissue that is divided into regions; None to divide the brain as a whole.
    interval_s : float, s
        Between frames, as the result says: headers of series with five axes lose it.

    Returns
    -------
    dict of str to dict
        ``held_out_rmse held_out_nrmse held_out_nmse interpolation_nrmse`` by region; empty without a tracer series. Regions are
        divided again too, so nothing of the odd frames is known; the model's smooth curves are read between its frames by a
        cubic spline.
    """
    path = case.files.other.get("curves")
    if path is None:
        return {}
    series = np.squeeze(read_volume(path)[0])
    if series.ndim != 4 or series.shape[:3] != case.shape:
        return {}
    times = np.arange(series.shape[3]) * interval_s
    inside = case.brain & np.isfinite(series).all(axis=3)
    settings = {"tissue": "single"} if tissue is None else {}
    even, odd = times[::2], slice(1, 2 * ((times.size - 1) // 2), 2)
    _, regions = fit_hemopic(series[..., ::2], even, mask=inside, affine=case.affine, labels=tissue, settings=settings)
    model = {
        int(row["roi_id"]): CubicSpline(even, curve)(times[odd])
        for row, curve in zip(regions.rows, regions.fitted, strict=True)
        if np.isfinite(curve).all()
    }
    inside &= np.isin(regions.labels, list(model))  # voxels of a region without a usable fit have no prediction to judge
    found = {}
    for region, mask in masks.items():
        where = mask & inside
        predicted = _member_mean(model, regions.labels[where])
        if predicted is None:
            continue
        raw = series[where].mean(axis=0, dtype=np.float64)
        errors = curve_errors(raw[odd], predicted)
        lines = curve_errors(raw[odd], without_odd(raw)[odd])["nrmse"]
        found[region] = {**{f"held_out_{name}": value for name, value in errors.items()}, "interpolation_nrmse": lines}
    return found


def time_rows(
    case: Case, rows: Sequence[Mapping[str, Any]], labels: NDArray[Any], opposite: Mirrored | None
) -> list[dict[str, Any]]:
    """List transit times and delays of the regions of one patient, in place of the published time constants.

    Parameters
    ----------
    case : Case
        The patient.
    rows : sequence of mapping
        Table of regions.
    labels : ndarray of int, shape (I, J, K)
        Number of the region of each voxel.
    opposite : Mirrored or None
        The mirrored lesion.

    Returns
    -------
    list of dict
        `TIME_COLUMNS`; seconds, weighted by voxels.
    """
    found = []
    for group, mask in _masks(case, rows, labels, opposite).items():
        inside = labels[mask]
        for row in rows:
            count = int((inside == int(row["roi_id"])).sum())
            if not count or row.get("success") is not True:
                continue
            about = {"patient": case.patient, "group": group, "roi_id": int(row["roi_id"]), "w": count}
            found += [{**about, "quantity": key, "value": float(row[key])} for key in _QUANTITIES if np.isfinite(row[key])]
    return found


def time_quantiles(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summarize transit times and delays of a cohort.

    Parameters
    ----------
    rows : iterable of mapping
        From `time_rows`, of all patients.

    Returns
    -------
    list of dict
        One row per quantity and group with `QUANTILE_COLUMNS`.
    """
    rows = list(rows)
    found = []
    for quantity, group in dict.fromkeys((row["quantity"], row["group"]) for row in rows):
        own = [row for row in rows if (row["quantity"], row["group"]) == (quantity, group)]
        value, weight = (np.array([row[name] for row in own], float) for name in ("value", "w"))
        numbers = weighted_quantile(value, weight, _QUANTILES)
        quantiles = {f"q{round(100 * q)}": float(number) for q, number in zip(_QUANTILES, numbers, strict=True)}
        about = {"quantity": quantity, "group": group, "n": len(own), "w_sum": float(weight.sum())}
        found.append({**about, **quantiles, "wmean": float((value * weight).sum() / weight.sum())})
    return found


def _masks(
    case: Case, rows: Sequence[Mapping[str, Any]], labels: NDArray[Any], opposite: Mirrored | None
) -> dict[str, BoolArray]:
    """Voxels of each group that lie in a fitted region."""
    numbers = {name: [int(row["roi_id"]) for row in rows if row["tissue"] == name] for name in ("GM", "WM")}
    masks = {name: np.isin(labels, found) for name, found in numbers.items() if found}
    if case.lesion is not None:
        masks["lesion"] = case.lesion & (labels > 0)
    if opposite is not None:
        masks["c_lesion"] = opposite.mask & (labels > 0)
    return {**masks, "full_brain": labels > 0}


def _member_mean(curves: Mapping[int, FloatArray], inside: NDArray[Any]) -> FloatArray | None:
    counts = {number: int((inside == number).sum()) for number in curves}
    total = sum(counts.values())
    if not total:
        return None
    result: FloatArray = np.sum([counts[number] * np.asarray(curves[number], float) for number in curves], axis=0) / total
    return result
