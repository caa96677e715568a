# SPDX-License-Identifier: Apache-2.0
"""How well regional fits of DSC patients reproduce the tracer curves, within the fitted frames and on frames left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.nifti import read_header, read_volume
from ..hemopic.compat_clusters import curve_shapes
from ..hemopic.compat_fit import fit_region
from ..hemopic.compat_model import RegionParameters, outflow, time_weights, tracer_curve
from ..hemopic.compat_regions import (
    MaskedCurves,
    Reference,
    masked_curves,
    mean_curve,
    reference_above,
    reference_of,
    region_data,
    smoothed,
)
from .hemopic_case import Case, Definitions
from .hemopic_mirror import Mirrored

COLUMNS = ("patient", "region", "n_vox", "dt_seconds", "t_end_seconds", "rmse", "nrmse", "nmse")
CORRECTED_COLUMNS = (*COLUMNS, "held_out_rmse", "held_out_nrmse", "held_out_nmse", "interpolation_nrmse")
"""``interpolation_nrmse``: what drawing lines between the kept frames would miss of the ones left out, without any model."""

REGIONS = ("GM", "WM", "lesion", "c_lesion", "full_brain")
RUN_RECORD = "run_info_core.json"
WINDOW, WIDER_WINDOW, FEWEST_SAMPLES = 0.30, 0.10, 3

RegionCurves = Mapping[int, FloatArray]


@dataclass(frozen=True, slots=True)
class TracerData:
    """The tracer curves of a patient and the masks that the published fit takes from them.

    Parameters
    ----------
    curves : MaskedCurves
        Curves of the labeled voxels.
    reference : Reference
        Mean curve and which voxels carry tracer.
    numbers : ndarray of int, shape (N,)
        Fitted region of each of these voxels.
    rows : tuple of mapping
        Table of the regions that were fitted with success.
    """

    curves: MaskedCurves
    reference: Reference
    numbers: NDArray[np.int64]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.curves.values.shape[1])

    @property
    def times_s(self) -> FloatArray:
        """Frame times from the first frame on."""
        return np.arange(self.frames) * self.curves.dt_s


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Observed and fitted mean curves of one patient.

    Parameters
    ----------
    patient : str
        Which.
    times_s : ndarray, shape (T,), s
        Frame times.
    weights : ndarray, shape (T,)
        Of the samples.
    observed, fitted : mapping of str to ndarray, shape (T,)
        Mean curves by region, in the unit of the tracer series.
    rows : tuple of dict
        The table.
    """

    patient: str
    times_s: FloatArray
    weights: FloatArray
    observed: Mapping[str, FloatArray]
    fitted: Mapping[str, FloatArray]
    rows: tuple[dict[str, Any], ...] = field(default=())


def read_tracer(case: Case, rows: Sequence[Mapping[str, Any]], labels: NDArray[Any]) -> TracerData:
    """Read the tracer series of a patient and find the published masks.

    Parameters
    ----------
    case : Case
        The patient; its labels and the file of its tracer series are needed.
    rows : sequence of mapping
        Table of regions.
    labels : ndarray of int, shape (I, J, K)
        Number of the fitted region of each voxel.

    Returns
    -------
    TracerData
        With the interval and the threshold of the run record; of the header and of the curves themselves where there is none.

    Raises
    ------
    InvalidInputError
        If the series or the tissue labels are missing.
    GridMismatchError
        If shapes differ.
    """
    path = case.files.other.get("curves")
    if path is None:
        msg = f"Patient {case.patient} has no tracer series (CTC_from_MR_4DPWI). Run 'hemopic convert' first."
        raise InvalidInputError(msg)
    series = np.squeeze(read_volume(path)[0])
    if series.ndim != 4 or series.shape[:3] != labels.shape:
        msg = (
            f"The tracer series of patient {case.patient} has the shape {series.shape}, its regions {labels.shape}. Fit it again."
        )
        raise GridMismatchError(msg)
    record = _record(case.files.fit)
    interval = record.get("dt_seconds") or read_header(path).interval_s or 1.0
    curves = masked_curves(series, float(interval), case.need_labels())
    shapes = curve_shapes(curves.values, curves.dt_s)
    threshold = record.get("aif_peak_threshold")
    reference = reference_of(curves, shapes) if threshold is None else reference_above(curves, shapes, float(threshold))
    kept = tuple(row for row in rows if row.get("success") is True)
    return TracerData(curves, reference, labels[curves.show].astype(np.int64), kept)


def published_curves(data: TracerData, reference: FloatArray | None = None) -> dict[int, FloatArray]:
    """Rebuild the fitted curve of every region from the table.

    Parameters
    ----------
    data : TracerData
        The patient.
    reference : ndarray, shape (T,), optional
        Another reference curve.

    Returns
    -------
    dict of int to ndarray, shape (T,)
        By number of the region.
    """
    found = {}
    for row in data.rows:
        numbers = (float(row[name]) for name in ("R_fit", "tau_fit", "V_fit", "F_fit", "Cin_bar_fit"))
        parameters = RegionParameters(*numbers)
        found[int(row["roi_id"])] = _curve(data, parameters, data.reference.curve if reference is None else reference)
    return found


def held_out_curves(data: TracerData) -> dict[int, FloatArray]:
    """Fit every region again on the even frames alone.

    Parameters
    ----------
    data : TracerData
        The patient.

    Returns
    -------
    dict of int to ndarray, shape (T,)
        By number of the region; odd frames are predicted.

    Notes
    -----
    Odd frames are replaced by the mean of their even neighbors before anything is computed from them, so the fit runs on the
    same time axis and knows nothing of what it is judged by. Only the borders of the regions come from the whole series.
    """
    curves = replace(data.curves, values=without_odd(data.curves.values).astype(np.float32))
    reference = reference_of(curves, curve_shapes(curves.values, curves.dt_s))
    found = {}
    for row in data.rows:
        members = np.flatnonzero(data.numbers == int(row["roi_id"]))
        if not members.size:
            continue
        flow, volume = (np.full(data.numbers.size, float(row[name])) for name in ("F_prior", "V_prior"))
        region = region_data(int(row["roi_id"]), str(row["tissue"]), members, curves, reference, flow, volume)
        fit = fit_region(region.observed, reference.curve, curves.dt_s, region.priors)
        if fit.success:
            found[int(row["roi_id"])] = fit.curve
    return found


def without_odd(curve: FloatArray) -> FloatArray:
    """Replace the odd frames of a curve by the mean of their even neighbors.

    Parameters
    ----------
    curve : ndarray, shape (..., T)
        Frames from 0.

    Returns
    -------
    ndarray, shape (..., T)
        Even frames are kept; a last odd frame repeats the one before it.
    """
    result = np.array(curve, float)
    after = result[..., 2::2]
    before = result[..., : 2 * after.shape[-1] : 2]
    result[..., 1 : 2 * after.shape[-1] : 2] = 0.5 * (before + after)
    if result.shape[-1] % 2 == 0:
        result[..., -1] = result[..., -2]
    return result


def reconstruct(
    case: Case,
    data: TracerData,
    fitted: RegionCurves,
    definitions: Definitions,
    *,
    opposite: Mirrored | None = None,
    held_out: RegionCurves | None = None,
) -> Reconstruction:
    """Compare observed and fitted curves of one patient.

    Parameters
    ----------
    case : Case
        The patient.
    data : TracerData
        Its curves.
    fitted : mapping of int to ndarray, shape (T,)
        Curve of each region.
    definitions : {"corrected", "published"}
        Published: smoothed mean curves, weighted by the curve that the fit is weighted by, within the window where that is above
        0.30 (hemopic 6.3); the mirror region is the lesion flipped along the first axis. Corrected: mean curves as measured, all
        frames alike; the mirror region is `opposite`.
    opposite : Mirrored, optional
        The mirrored lesion.
    held_out : mapping of int to ndarray, shape (T,), optional
        From `held_out_curves`: adds the errors on odd frames.

    Returns
    -------
    Reconstruction
        Curves and one row per region.
    """
    weights = time_weights(data.reference.curve)
    rows, observed, model = [], {}, {}
    for region, mask in _masks(case, data, definitions, opposite).items():
        mean = _member_mean(fitted, data.numbers, mask)
        if not mask.any() or mean is None:
            continue
        raw = mean_curve(data.curves.values, np.flatnonzero(mask))
        curve = smoothed(raw) if definitions == "published" else raw
        errors = curve_errors(curve, mean, weights if definitions == "published" else None)
        row = {
            "patient": case.patient,
            "region": region,
            "n_vox": int(mask.sum()),
            "dt_seconds": data.curves.dt_s,
            "t_end_seconds": float(data.times_s[-1]),
            **errors,
        }
        if held_out is not None:
            row |= _on_odd_frames(raw, _member_mean(held_out, data.numbers, mask))
        rows.append(row)
        observed[region], model[region] = curve, mean
    return Reconstruction(case.patient, data.times_s, weights, observed, model, tuple(rows))


def curve_errors(observed: ArrayLike, fitted: ArrayLike, weights: ArrayLike | None = None) -> dict[str, float]:
    """Measure how far a curve is from another one.

    Parameters
    ----------
    observed, fitted : array-like, shape (T,)
        Curves of one unit.
    weights : array-like, shape (T,), optional
        Of the samples: only those above 0.30 count (above 0.10 when fewer than three are). Without them all count alike.

    Returns
    -------
    dict
        ``rmse`` in the unit of the curves, ``nrmse`` relative to the largest observed sample that counts, ``nmse`` relative to
        the observed power (hemopic 6.3).
    """
    a, b = np.asarray(observed, float), np.asarray(fitted, float)
    w = np.ones(a.size) if weights is None else np.asarray(weights, float)
    inside = w >= WINDOW
    if inside.sum() < FEWEST_SAMPLES:
        inside = w >= WIDER_WINDOW
    a, b, w = a[inside], b[inside], w[inside]
    squares = float((w * (a - b) ** 2).sum())
    rmse = float(np.sqrt(squares / w.sum())) if w.sum() > 0 else float("nan")
    top = float(a.max()) if a.size else 0.0
    return {
        "rmse": rmse,
        "nrmse": rmse / top if top > 0 else float("nan"),
        "nmse": squares / (float((w * a**2).sum()) + 1e-12),
    }


def cohort_curves(
    found: Sequence[Reconstruction],
) -> tuple[FloatArray, dict[str, tuple[FloatArray, FloatArray, int]]]:
    """Average the curves of a cohort on a common time axis.

    Parameters
    ----------
    found : sequence of Reconstruction
        Of all patients.

    Returns
    -------
    times_s : ndarray, shape (T,), s
        Median interval, shortest duration.
    means : dict of str to tuple
        By region: observed, fitted, number of patients; curves are interpolated and held at their ends.
    """
    interval = float(np.median([np.median(np.diff(one.times_s)) for one in found]))
    end = min(float(one.times_s[-1]) for one in found)
    times = np.arange(int(np.floor(end / interval + 1e-9)) + 1) * interval
    means = {}
    for region in REGIONS:
        own = [one for one in found if region in one.observed]
        if own:
            observed, fitted = (
                np.mean([np.interp(times, one.times_s, getattr(one, name)[region]) for one in own], axis=0)
                for name in ("observed", "fitted")
            )
            means[region] = (observed, fitted, len(own))
    return times, means


def _masks(case: Case, data: TracerData, definitions: Definitions, opposite: Mirrored | None) -> dict[str, BoolArray]:
    """Voxels of each region among the masked ones; those of GM and WM are the fitted regions', as published."""
    chosen, show = data.reference.chosen, data.curves.show
    tissues = {name: [int(row["roi_id"]) for row in data.rows if row["tissue"] == name] for name in ("GM", "WM")}
    masks = {name: np.isin(data.numbers, numbers) & chosen for name, numbers in tissues.items()}
    if case.lesion is not None:
        inside = np.ones(chosen.size, bool) if definitions == "published" else case.tissue[show]
        masks["lesion"] = case.lesion[show] & inside
        if definitions == "published":
            masks["c_lesion"] = np.flip(case.lesion, 0)[show]
        elif opposite is not None:
            masks["c_lesion"] = opposite.mask[show] & inside
    return {**masks, "full_brain": chosen.copy()}


def _member_mean(fitted: RegionCurves, numbers: NDArray[np.int64], mask: BoolArray) -> FloatArray | None:
    """Average fitted curves by the number of voxels of each region in a mask."""
    counts = {number: int((numbers[mask] == number).sum()) for number in fitted}
    total = sum(counts.values())
    if not total:
        return None
    result: FloatArray = np.sum([counts[number] * np.asarray(fitted[number], float) for number in fitted], axis=0) / total
    return result


def _on_odd_frames(raw: FloatArray, predicted: FloatArray | None) -> dict[str, float]:
    odd = slice(1, 2 * ((raw.size - 1) // 2), 2)  # a last odd frame would be extrapolated
    missing = dict.fromkeys(("rmse", "nrmse", "nmse"), float("nan"))
    errors = missing if predicted is None else curve_errors(raw[odd], predicted[odd])
    lines = curve_errors(raw[odd], without_odd(raw)[odd])
    return {**{f"held_out_{name}": value for name, value in errors.items()}, "interpolation_nrmse": lines["nrmse"]}


def _curve(data: TracerData, parameters: RegionParameters, reference: FloatArray) -> FloatArray:
    flows = outflow(data.times_s, flow=parameters.flow, resistance=parameters.resistance, tau_s=parameters.tau_s)
    return tracer_curve(reference, data.curves.dt_s, flows, parameters)


def _record(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
