# SPDX-License-Identifier: Apache-2.0
"""HemoPIC's physical mode from start to end: reference, family, regions, voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, part_of
from ..core.regions import RegionFit
from ..core.watch import FitWatch
from .physical_arrays import find_arrays
from .physical_dispersion import with_dispersion
from .physical_features import CurveFeatures, curve_features
from .physical_maps import VoxelFit, voxel_maps
from .physical_model import Model, choose_model, curve_noise, make_solver
from .physical_reference import find_reference
from .physical_region_options import bootstrap, profile, windkessel
from .physical_regions import NOT_INFORMED, RegionSolution, fit_regions, table_rows
from .physical_settings import VOXEL, PhysicalSettings
from .physical_shrinkage import region_priors
from .physical_solver import Priors, Solver, solve
from .physical_surface import Frames
from .physical_weights import frame_weights, robust_fit
from .regions import RegionRules, Regions, make_regions
from .tissue_estimate import estimate_tissue

SAMPLE = 6000
"""Curves of tissue by which family and weights of the frames are judged."""


@dataclass(frozen=True, slots=True)
class PhysicalRequest:
    """A checked request.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves of the voxels of the mask.
    index : ndarray of int, shape (n,)
        Their flat indices into the grid.
    shape : tuple of int, (I, J, K)
        Grid.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s : ndarray, shape (T,), s
        Frame times.
    settings : PhysicalSettings
        Settings.
    aif : ndarray, shape (T,), optional
        Arterial input; None for the reference curve of the scan.
    labels : ndarray of uint8, shape (n,), optional
        Tissue of each voxel.
    baseline : ndarray, shape (n,), optional
        Signal before contrast of each voxel.
    factor : float
        From `core.constants.flow_factor`.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    progress : callable or None
        Progress and cancelling.
    watch : FitWatch
        Takes notes.
    """

    curves: NDArray[np.float32]
    index: NDArray[np.int64]
    shape: tuple[int, ...]
    affine: FloatArray
    times_s: FloatArray
    settings: PhysicalSettings
    aif: FloatArray | None
    labels: NDArray[np.uint8] | None
    baseline: NDArray[np.float32] | None
    factor: float
    device: str
    progress: ProgressCallback | None
    watch: FitWatch


def fit_physical(request: PhysicalRequest) -> tuple[dict[str, NDArray[Any]], RegionFit]:
    """Fit regions and voxels.

    Parameters
    ----------
    request : PhysicalRequest
        Curves and settings.

    Returns
    -------
    maps : dict of ndarray, shape (I, J, K)
        See `hemopic.fit`.
    regions : RegionFit
        Regions, table and curves.
    """
    settings, times, curves = request.settings, request.times_s, request.curves
    tell = part_of(request.progress, 0.0, 1.0)
    tell(0.0, "Reading curves")
    finite = _finite(curves)
    if not finite.all():
        curves = np.where(finite[:, None], curves, np.float32(0.0))
    features = curve_features(curves, times)
    tell(0.1, "Choosing input and residue")
    reference = find_reference(curves, times, curve_noise_sd(curves), features)
    tissue = _sample(curves, reference.tissue)
    given = reference.curve if request.aif is None else request.aif
    model = choose_model(tissue, times, given, settings, blind=request.aif is None)
    first = make_solver(model, Frames(np.ones(times.size)), find_arrays("numpy", "cpu"), settings.rank)
    frames = Frames(frame_weights(tissue, first.surface))
    tell(0.2, "Dividing the brain")
    regions = _divide(request, features, finite)
    flow = request.factor if request.aif is not None else 60.0 * settings.reference_cbv
    exact = make_solver(model, frames, find_arrays("numpy", "cpu"), None)
    fitted = fit_regions(curves, regions, exact, _known(settings))
    solver = make_solver(model, frames, find_arrays(settings.engine, request.device), settings.rank)
    voxels = _fit_voxels(curves, finite, solver, regions, fitted, settings, part_of(tell, 0.3, 0.95))
    maps = voxel_maps(voxels, flow)
    del voxels, features
    rows = _rows(request, curves, regions, exact, fitted, flow)
    findings = (*_model_findings(model, request), *_region_findings(rows), *_voxel_findings(maps))
    del curves
    volume = {name: _on_grid(request, maps.pop(name)) for name in list(maps)}
    tell(1.0, "Done")
    return volume, _region_fit(request, regions, fitted, model, rows, findings)


def _finite(curves: NDArray[np.float32]) -> BoolArray:
    """Tell which curves have no missing sample: their sum is missing when one of their samples is."""
    with np.errstate(invalid="ignore", over="ignore"):
        found: BoolArray = np.asarray(np.isfinite(curves.sum(axis=1, dtype=np.float64)))
    return found


def _known(settings: PhysicalSettings) -> tuple[float, float, float, float]:
    """Typical MTT, standard deviation of ln MTT, delay and its standard deviation before any curve is seen."""
    return settings.typical_mtt_s, settings.ln_mtt_sd, 0.0, settings.delay_sd_s


def _sample(curves: NDArray[np.float32], tissue: BoolArray) -> NDArray[np.float32]:
    """At most some thousand curves of tissue, evenly spread."""
    chosen = np.flatnonzero(tissue)
    found: NDArray[np.float32] = curves[chosen[:: max(1, chosen.size // SAMPLE)]]
    return found


def _fit_voxels(
    curves: NDArray[np.float32],
    finite: BoolArray,
    solver: Solver,
    regions: Regions,
    fitted: RegionSolution,
    settings: PhysicalSettings,
    progress: ProgressCallback,
) -> VoxelFit:
    """Fit voxels by themselves, then with what their regions let expect."""
    few, rest = solver.surface.compress(curves)
    variance = curve_noise(solver.surface, few, rest)
    priors = Priors.same(len(few), *_known(settings))
    solution = solve(solver, few, variance, priors, progress=part_of(progress, 0.0, 0.7), stage="Fitting voxels")
    if settings.shrinkage:
        priors = region_priors(solution, solver.surface.centre_share, regions, fitted, priors)
        start = (solution.centre_s, solution.log_mtt)
        tell = part_of(progress, 0.7, 0.95)
        solution = solve(solver, few, variance, priors, start=start, progress=tell, stage="Drawing voxels to regions")
    if settings.robust:
        progress(0.95, "Robust fit")
        solution = robust_fit(curves, solver, variance, priors, solution)
    fit = VoxelFit(solver, solution, priors, variance, rest, finite, settings.systematic)
    if settings.dispersion == VOXEL:
        return with_dispersion(curves, fit, solver.arrays, part_of(progress, 0.95, 1.0))
    return fit


def _rows(
    request: PhysicalRequest,
    curves: NDArray[np.float32],
    regions: Regions,
    solver: Solver,
    fitted: RegionSolution,
    flow: float,
) -> list[dict[str, Any]]:
    """Table of the regions with what was asked for beyond."""
    sizes = np.bincount(regions.number, minlength=len(regions.tissue) + 1)[1:]
    rows = table_rows(fitted, regions, sizes, flow)
    settings = request.settings
    if settings.bootstrap:
        bootstrap(curves, regions, solver, fitted, settings, rows)
    if settings.profile:
        profile(solver, fitted, settings, rows)
    if settings.windkessel:
        windkessel(solver, fitted, rows, absolute=request.aif is not None)
    return rows


def curve_noise_sd(curves: NDArray[np.float32]) -> float:
    """Typical noise of a sample, from second differences of a part of the curves."""
    part = curves[:: max(1, len(curves) // 5000)]
    second = part[:, :-2] - 2.0 * part[:, 1:-1] + part[:, 2:]
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0))


def _divide(request: PhysicalRequest, features: CurveFeatures, finite: BoolArray) -> Regions:
    """Divide the brain by given labels, by estimated ones, or as a whole."""
    settings = request.settings
    counts = {1: settings.k_gm, 2: settings.k_wm}
    if request.labels is not None:
        tissue = request.labels
    elif settings.tissue == "auto":
        tissue = estimate_tissue(features, request.baseline, request.index, request.shape, request.affine)
    else:
        tissue, counts = np.ones(len(finite), np.uint8), {1: settings.k_single}
    rules = RegionRules(counts, settings.min_region_ml, settings.position_weight, settings.delay_weight, settings.seed)
    regions = make_regions(
        features, np.where(finite, tissue, 0).astype(np.uint8), request.index, request.shape, request.affine, rules
    )
    if request.labels is None and settings.tissue == "single":
        return replace(regions, tissue=("Brain",) * len(regions.tissue))
    return regions


def _on_grid(request: PhysicalRequest, values: NDArray[Any]) -> NDArray[Any]:
    """Put values of the voxels of the mask into a volume."""
    empty = 1 if values.dtype == np.uint8 else np.nan
    full = np.full(int(np.prod(request.shape)), empty, values.dtype)
    full[request.index] = values
    return full.reshape(request.shape)


def _model_findings(model: Model, request: PhysicalRequest) -> tuple[QualityFinding, ...]:
    """Say which residue was used, and what values without an artery mean."""
    chosen = QualityFinding(
        "residue_family", "info", f"Residue family and share of dispersion: {model.response.name}.",
        "Set the option family to choose another one.",
    )  # fmt: skip
    if request.aif is not None:
        return (chosen,)
    text = (
        "No artery was used: flow and volume are relative to the scan's reference tissue, and transit times rest on the "
        f"assumption that this tissue has {request.settings.reference_mtt_s:g} s."
    )
    return chosen, QualityFinding("relative_values", "info", text, "Give an arterial curve for absolute values.")


def _region_findings(rows: list[dict[str, Any]]) -> tuple[QualityFinding, ...]:
    """Name regions without a usable fit, and what the Windkessel extension is worth."""
    found = []
    unusable = [str(row["roi_id"]) for row in rows if not row["success"]]
    if unusable:
        text = f"{len(unusable)} of {len(rows)} regions have no usable fit: {', '.join(unusable)}."
        found.append(QualityFinding("region_not_fitted", "warning", text, "See the status of these regions in the table."))
    if rows and "wk_identified" in rows[0]:
        known = sum(bool(row["wk_identified"]) for row in rows)
        text = f"The Windkessel extension is experimental; its parameters are identified in {known} of {len(rows)} regions."
        found.append(
            QualityFinding("windkessel_experimental", "warning", text, "Do not interpret it where wk_identified is false.")
        )
    return tuple(found)


def _voxel_findings(maps: dict[str, NDArray[Any]]) -> tuple[QualityFinding, ...]:
    """Say how much rests on the regions rather than on the voxels' own curves."""
    found = []
    for key, name in (("prior_mtt", "MTT"), ("prior_delay", "delay")):
        ratio = maps[key][np.isfinite(maps[key])]
        share = float((ratio > NOT_INFORMED).mean()) if ratio.size else 0.0
        if share > 0.05:
            text = f"In {share:.0%} of the voxels the {name} is not informed by the voxel's own curve but by its region."
            advice = f"See the map {key}: above {NOT_INFORMED:g} the data added little."
            found.append(QualityFinding(f"not_informed_{key.split('_')[1]}", "info", text, advice))
    return tuple(found)


def _region_fit(
    request: PhysicalRequest,
    regions: Regions,
    fitted: RegionSolution,
    model: Model,
    rows: list[dict[str, Any]],
    findings: tuple[QualityFinding, ...],
) -> RegionFit:
    labels = np.zeros(int(np.prod(request.shape)), np.int32)
    labels[request.index] = regions.number
    shown = np.where(fitted.usable[:, None], fitted.fitted, np.float32(np.nan)).astype(np.float32)
    source = model.response.source
    went_in = np.interp(request.times_s, source.knots_s, source.values) if request.aif is None else request.aif
    return RegionFit(
        labels.reshape(request.shape), request.affine, tuple(rows), request.times_s, fitted.observed, shown, went_in,
        relative=request.aif is None, findings=findings,
    )  # fmt: skip
