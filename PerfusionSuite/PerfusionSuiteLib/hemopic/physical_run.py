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
from .physical_features import CurveFeatures, curve_features
from .physical_maps import VoxelFit, voxel_maps
from .physical_model import Model, choose_model, curve_noise, make_solver
from .physical_reference import find_reference
from .physical_regions import RegionSolution, fit_regions, table_rows
from .physical_settings import PhysicalSettings
from .physical_solver import Priors, Solution, solve
from .physical_surface import Frames
from .regions import RegionRules, Regions, make_regions
from .tissue_estimate import estimate_tissue

NOT_INFORMED = 0.8
"""Posterior over prior variance from which on a parameter counts as not informed by the data."""


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
    finite = np.isfinite(curves).all(axis=1)
    if not finite.all():
        curves = np.where(finite[:, None], curves, np.float32(0.0))
    features = curve_features(curves, times)
    tell(0.1, "Choosing input and residue")
    reference = find_reference(curves, times, curve_noise_sd(curves), features)
    given = reference.curve if request.aif is None else request.aif
    model = choose_model(curves[reference.chosen], times, given, settings, blind=request.aif is None)
    arrays = find_arrays(settings.engine, request.device)
    frames = Frames(np.ones(times.size))
    flow = _flow_factor(request, model)
    tell(0.2, "Dividing the brain")
    regions = _divide(request, features, finite)
    exact = make_solver(model, frames, find_arrays("numpy", "cpu"), None)
    known = (settings.typical_mtt_s, settings.ln_mtt_sd, 0.0, settings.delay_sd_s)
    fitted = fit_regions(curves, regions, exact, known)
    solver = make_solver(model, frames, arrays, settings.rank)
    few, rest = solver.surface.compress(curves)
    variance = curve_noise(solver.surface, few, rest)
    wide = Priors.same(len(few), *known)
    solution = solve(solver, few, variance, wide, progress=part_of(tell, 0.3, 0.75), stage="Fitting voxels")
    priors = wide
    if settings.shrinkage:
        priors = region_priors(solution, solver.surface.centre_share, regions, fitted, wide)
        start = (solution.centre_s, solution.log_mtt)
        solution = solve(
            solver, few, variance, priors, start=start, progress=part_of(tell, 0.75, 0.97), stage="Drawing voxels to regions"
        )
    maps = voxel_maps(VoxelFit(solver, solution, priors, variance, rest, finite), flow)
    volume = {name: _on_grid(request, values) for name, values in maps.items()}
    tell(1.0, "Done")
    return volume, _region_fit(request, regions, fitted, model, flow)


def curve_noise_sd(curves: NDArray[np.float32]) -> float:
    """Typical noise of a sample, from second differences of a part of the curves."""
    part = curves[:: max(1, len(curves) // 5000)]
    second = part[:, :-2] - 2.0 * part[:, 1:-1] + part[:, 2:]
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0))


def _flow_factor(request: PhysicalRequest, model: Model) -> float:
    """Factor from amplitude over MTT to mL/100 g/min; without an artery such that the reference tissue has a given volume."""
    if request.aif is not None:
        return request.factor
    return 60.0 * request.settings.reference_cbv


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


def region_priors(solution: Solution, centre_share: float, regions: Regions, fitted: RegionSolution, wide: Priors) -> Priors:
    """Say what a voxel's region lets expect of it.

    Parameters
    ----------
    solution : Solution
        First fits of the voxels, with one wide prior.
    centre_share : float
        Of the family.
    regions : Regions
        Region of each voxel.
    fitted : RegionSolution
        Fits of the regions' mean curves.
    wide : Priors
        The wide prior; it stays where a region could not be fitted.

    Returns
    -------
    Priors
        Mean and spread of ln MTT and delay per voxel. The spread is what the voxels of the region differ by beyond their
        noise: where they agree a noisy voxel is drawn to them, where they do not it keeps its own values.
    """
    delay = solution.centre_s - centre_share * np.exp(solution.log_mtt)
    parts = {name: getattr(wide, name).copy() for name in Priors.__slots__}
    mtt_variance = solution.covariance[:, 5]
    turn = -centre_share * np.exp(solution.log_mtt)
    delay_variance = solution.covariance[:, 3] + 2.0 * turn * solution.covariance[:, 4] + turn**2 * mtt_variance
    for n in np.flatnonzero(fitted.usable):
        here = np.flatnonzero(regions.number == n + 1)
        for mean, sd, values, own, centre, least in (
            ("log_mtt", "log_mtt_sd", solution.log_mtt, mtt_variance, fitted.solution.log_mtt[n], 0.1),
            ("delay_s", "delay_sd_s", delay, delay_variance, fitted.delay_s[n], 0.25),
        ):
            typical = float(np.median(values[here]))
            scatter = float((1.4826 * np.median(np.abs(values[here] - typical))) ** 2)
            between = max(scatter - float(np.median(own[here])), least**2)
            parts[mean][here] = typical if abs(typical - centre) < 3.0 * np.sqrt(between) else centre
            parts[sd][here] = min(np.sqrt(between), float(getattr(wide, sd)[0]))
    return Priors(**parts)


def _on_grid(request: PhysicalRequest, values: NDArray[Any]) -> NDArray[Any]:
    """Put values of the voxels of the mask into a volume."""
    empty = 1 if values.dtype == np.uint8 else np.nan
    full = np.full(int(np.prod(request.shape)), empty, values.dtype)
    full[request.index] = values
    return full.reshape(request.shape)


def _region_fit(request: PhysicalRequest, regions: Regions, fitted: RegionSolution, model: Model, flow: float) -> RegionFit:
    labels = np.zeros(int(np.prod(request.shape)), np.int32)
    labels[request.index] = regions.number
    sizes = np.bincount(regions.number, minlength=len(regions.tissue) + 1)[1:]
    rows = table_rows(fitted, regions, sizes, flow)
    unusable = [row["roi_id"] for row in rows if not row["success"]]
    findings: tuple[QualityFinding, ...] = ()
    if unusable:
        text = f"{len(unusable)} of {len(rows)} regions have no usable fit: {', '.join(map(str, unusable))}."
        findings = (QualityFinding("region_not_fitted", "warning", text, "See the status of these regions in the table."),)
    failed = ~fitted.usable
    shown = fitted.fitted.copy()
    shown[failed] = np.nan
    source = np.interp(request.times_s, model.source.knots_s, model.source.values)
    return RegionFit(
        labels.reshape(request.shape), request.affine, tuple(rows), request.times_s, fitted.observed, shown,
        source if request.aif is None else request.aif, relative=request.aif is None, findings=findings,
    )  # fmt: skip
