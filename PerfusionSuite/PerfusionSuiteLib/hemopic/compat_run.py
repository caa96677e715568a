# SPDX-License-Identifier: Apache-2.0
"""The compatibility mode on arrays: regions, their fits and the three maps of one subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import GridMismatchError, InvalidInputError, TimingError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, part_of
from ..core.regions import RegionFit
from .compat_clusters import BASELINE_FRAMES, CurveShapes, curve_shapes
from .compat_findings import findings_of
from .compat_fit import FittedRegion, fit_region
from .compat_maps import (
    DEFAULT_FLOW_LIMITS,
    DEFAULT_MTT_LIMITS,
    Limits,
    fill_from_nearest,
    limits_of,
    paint,
    transit_time,
)
from .compat_regions import (
    MIN_REGION,
    TISSUES,
    MaskedCurves,
    Reference,
    RegionData,
    find_regions,
    masked_curves,
    reference_of,
    region_data,
)

Maps = dict[str, NDArray[np.float32]]
MAX_CLUSTERS = 100
MIN_FRAMES = 3


@dataclass(frozen=True, slots=True)
class CompatChoices:
    """What a user may choose.

    Parameters
    ----------
    k_gm, k_wm : int
        Wanted clusters of gray and white matter, 1 to 100.
    seed : int
        Of the random numbers.
    """

    k_gm: int = 8
    k_wm: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("K_GM", self.k_gm), ("K_WM", self.k_wm)):
            if not 1 <= value <= MAX_CLUSTERS:
                msg = f"{name} must be between 1 and {MAX_CLUSTERS} clusters, not {value}. Correct it."
                raise InvalidInputError(msg)
        if not 0 <= self.seed < 2**32 - 20:
            msg = f"The seed must be a whole number from 0 to 4294967275, not {self.seed}. Choose another one."
            raise InvalidInputError(msg)


@dataclass(frozen=True, slots=True)
class CompatFit:
    """Everything that a run of the compatibility mode gives.

    Parameters
    ----------
    maps : dict of ndarray
        ``cbf`` (mL / 100 g / min), ``cbv`` (mL / 100 g), ``mtt`` (s): shape (I, J, K), NaN outside of the brain.
    regions : RegionFit
        Regions with their table and curves.
    record : dict
        The run record's numbers with the published keys (without patient).
    """

    maps: Maps
    regions: RegionFit
    record: dict[str, Any]


def fit_compat(
    tracer: NDArray[np.floating],
    dt_s: float,
    labels: NDArray[np.integer],
    priors: Mapping[str, NDArray[np.floating]],
    *,
    mask: BoolArray | None = None,
    k_gm: int = 8,
    k_wm: int = 6,
    seed: int = 0,
    affine: ArrayLike | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[Maps, RegionFit]:
    """Fit regions and paint maps as the published program does, quirks included.

    Parameters
    ----------
    tracer : ndarray, shape (I, J, K, T), 1/s
        Tracer curves (change of the relaxation rate).
    dt_s : float, s
        Interval between frames; the program knows no other times.
    labels : ndarray of int, shape (I, J, K)
        1 gray matter, 2 white matter, 3 CSF, 4 brain stem, 0 outside.
    priors : mapping of ndarray, shape (I, J, K)
        Finished maps: ``cbf`` in mL / 100 g / min, ``cbv`` in mL / 100 g, ``mtt`` in s.
    mask : ndarray of bool, shape (I, J, K), optional
        Restricts the voxels further.
    k_gm, k_wm : int
        Wanted clusters of gray and white matter.
    seed : int
        Of the random numbers.
    affine : array-like, shape (4, 4), mm, optional
        Voxel to RAS, stored with the regions; nothing is computed from it.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    maps : dict of ndarray
        ``cbf``, ``cbv``, ``mtt``, shape (I, J, K); NaN outside of the brain.
    regions : RegionFit
        Regions, their table in the published columns, observed and fitted curves, and what was odd.

    Raises
    ------
    InvalidInputError
        If a map is missing, no voxel is labeled or a choice is impossible.
    GridMismatchError
        If the shapes differ.
    TimingError
        If there are fewer than three frames.

    References
    ----------
    Lee and Liu, HemoPIC, MICCAI 2026, arXiv:2607.08799; independent implementation.
    """
    check_inputs(tracer.shape, labels, priors, mask)
    curves = masked_curves(tracer, valid_interval(dt_s), labels, mask)
    fit = run_compat(curves, labels, priors, CompatChoices(k_gm, k_wm, seed), affine=affine, progress=progress)
    return fit.maps, fit.regions


def valid_interval(dt_s: float) -> float:
    """Return the interval, or 1 s in place of one that is not positive and finite, as published.

    Parameters
    ----------
    dt_s : float, s
        Interval of a header.

    Returns
    -------
    float, s
        A positive number.
    """
    return float(dt_s) if np.isfinite(dt_s) and dt_s > 0 else 1.0


def check_inputs(
    shape: tuple[int, ...],
    labels: NDArray[np.integer],
    priors: Mapping[str, NDArray[np.floating]],
    mask: BoolArray | None = None,
) -> None:
    """Say which input is missing or lies on another grid.

    Parameters
    ----------
    shape : tuple of int
        Of the tracer series, (I, J, K, T).
    labels, mask : ndarray, shape (I, J, K)
        Tissue labels and restriction.
    priors : mapping of ndarray
        The given maps.

    Raises
    ------
    InvalidInputError
        If a map is missing.
    GridMismatchError
        If the shapes differ.
    TimingError
        If there are fewer than three frames.
    """
    if len(shape) != 4:
        msg = f"The tracer series must have the axes (I, J, K, T), not the shape {shape}. Give one volume per frame."
        raise GridMismatchError(msg)
    if shape[3] < MIN_FRAMES:
        msg = f"The tracer series has {shape[3]} frames, but at least {MIN_FRAMES} are needed. Give the whole series."
        raise TimingError(msg)
    missing = [name.upper() for name in ("cbf", "cbv", "mtt") if name not in priors]
    if missing:
        msg = f"The compatibility mode needs finished maps, but {' and '.join(missing)} is missing. Compute the maps first (run)."
        raise InvalidInputError(msg)
    others: dict[str, NDArray[Any]] = {"labels": labels, **{name.upper(): priors[name] for name in ("cbf", "cbv", "mtt")}}
    if mask is not None:
        others["mask"] = mask
    for name, values in others.items():
        if values.shape != shape[:3]:
            msg = f"'{name}' has {values.shape} voxels but the tracer series has {shape[:3]}. Resample it to the series' grid."
            raise GridMismatchError(msg)


def run_compat(
    curves: MaskedCurves,
    labels: NDArray[np.integer],
    priors: Mapping[str, NDArray[np.floating]],
    choices: CompatChoices,
    *,
    affine: ArrayLike | None = None,
    progress: ProgressCallback | None = None,
) -> CompatFit:
    """Run the compatibility mode on curves that were taken out of the series already.

    Parameters
    ----------
    curves : MaskedCurves
        Curves of the labeled voxels.
    labels : ndarray of int, shape (I, J, K)
        Tissue labels.
    priors : mapping of ndarray, shape (I, J, K)
        Finished maps ``cbf``, ``cbv``, ``mtt``.
    choices : CompatChoices
        Clusters and seed.
    affine : array-like, shape (4, 4), mm, optional
        Voxel to RAS.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    CompatFit
        Maps, regions, record.
    """
    report = part_of(progress, 0.0, 1.0)
    report(0.0, "Regions")
    shapes = curve_shapes(curves.values, curves.dt_s)
    reference = reference_of(curves, shapes)
    numbers, tissues, unlabeled = find_regions(curves, shapes, labels, k_gm=choices.k_gm, k_wm=choices.k_wm, seed=choices.seed)
    given = {name: np.asarray(priors[name][curves.show], dtype=np.float64) for name in ("cbf", "cbv", "mtt")}
    data = _regions(curves, reference, numbers, tissues, given)
    fits = _fit_all(data, reference, curves.dt_s, part_of(progress, 0.4, 0.9))
    report(0.9, "Maps")
    limits = {"cbf": limits_of(given["cbf"], DEFAULT_FLOW_LIMITS), "mtt": limits_of(given["mtt"], DEFAULT_MTT_LIMITS)}
    maps, filled = _maps(list(zip(data, fits, strict=True)), shapes, curves, given, limits)
    record = _record(curves.dt_s, choices, reference.threshold, unlabeled, limits)
    findings = findings_of(data, fits, given, filled=filled, voxels=len(numbers), frames=reference.curve.size)
    regions = _region_fit(curves, numbers, data, fits, reference, affine, findings)
    return CompatFit(maps, regions, record)


def _regions(
    curves: MaskedCurves,
    reference: Reference,
    numbers: NDArray[np.int32],
    tissues: Mapping[int, int],
    given: Mapping[str, FloatArray],
) -> list[RegionData]:
    found = []
    for number, tissue in tissues.items():
        members = np.flatnonzero(numbers == number)
        if members.size >= MIN_REGION:
            name = TISSUES[tissue]
            found.append(region_data(number, name, members, curves, reference, given["cbf"], given["cbv"]))
    if not found:
        msg = f"No region has the {MIN_REGION} voxels that a fit needs ({numbers.size} in all). Check the tissue labels."
        raise InvalidInputError(msg)
    return found


def _fit_all(data: list[RegionData], reference: Reference, dt_s: float, progress: ProgressCallback) -> list[FittedRegion]:
    fits = []
    for index, region in enumerate(data):
        progress(index / len(data), f"Fitting region {index + 1} of {len(data)}")
        fits.append(fit_region(region.observed, reference.curve, dt_s, region.priors))
    return fits


def _maps(
    regions: list[tuple[RegionData, FittedRegion]],
    shapes: CurveShapes,
    curves: MaskedCurves,
    given: Mapping[str, FloatArray],
    limits: Mapping[str, Limits],
) -> tuple[Maps, int]:
    flows, volumes = paint(regions, shapes, given["cbv"], curves.dt_s)
    cbf, filled = fill_from_nearest(flows, curves.show)
    cbv, filled_too = fill_from_nearest(volumes, curves.show)
    mtt = transit_time(cbf, cbv, limits["cbf"], limits["mtt"])
    return {"cbf": cbf, "cbv": cbv, "mtt": mtt}, max(filled, filled_too)


def _record(
    dt_s: float, choices: CompatChoices, threshold: float, unlabeled: int, limits: Mapping[str, Limits]
) -> dict[str, Any]:
    return {
        "dt_seconds": dt_s,
        "k_gm": choices.k_gm,
        "k_wm": choices.k_wm,
        "seed": choices.seed,
        "baseline_frames": BASELINE_FRAMES,
        "aif_peak_threshold": threshold,
        "unlabeled_after_fill": unlabeled,
        "cbf_floor_from_gt_p1": limits["cbf"].low,
        "cbf_cap_from_gt_p99_5": limits["cbf"].high,
        "mtt_floor_from_gt_p1": limits["mtt"].low,
        "mtt_cap_from_gt_p99_5": limits["mtt"].high,
    }


def row_of(data: RegionData, fit: FittedRegion) -> dict[str, Any]:
    """Return the table row of a region with the published columns in their order.

    Parameters
    ----------
    data : RegionData
        The region.
    fit : FittedRegion
        Its parameters.

    Returns
    -------
    dict
        One value per column.
    """
    found, priors = fit.parameters, data.priors
    return {
        "roi_id": data.number,
        "tissue": data.tissue,
        "n_vox_all": int(data.members.size),
        "n_vox_fit": data.curve_voxels,
        "F_prior": priors.flow,
        "V_prior": priors.volume,
        "Cin_prior": priors.inlet,
        "R_fit": found.resistance,
        "C_wk_fit": found.tau_s / found.resistance,
        "tau_fit": found.tau_s,
        "F_fit": found.flow,
        "V_fit": found.volume,
        "Cin_bar_fit": found.inlet,
        "loss": fit.loss,
        "success": fit.success,
        "message": fit.message,
    }


def _region_fit(
    curves: MaskedCurves,
    numbers: NDArray[np.int32],
    data: list[RegionData],
    fits: list[FittedRegion],
    reference: Reference,
    affine: ArrayLike | None,
    findings: tuple[QualityFinding, ...],
) -> RegionFit:
    volume = np.zeros(curves.show.shape, np.int32)
    volume[curves.show] = numbers
    return RegionFit(
        labels=volume,
        affine=np.eye(4) if affine is None else np.asarray(affine, dtype=np.float64),
        rows=tuple(row_of(region, fit) for region, fit in zip(data, fits, strict=True)),
        times_s=np.arange(reference.curve.size) * curves.dt_s,
        observed=np.array([region.observed for region in data], np.float32),
        fitted=np.array([fit.curve for fit in fits], np.float32),
        reference=reference.curve,
        relative=False,
        findings=findings,
    )
