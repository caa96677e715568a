# SPDX-License-Identifier: Apache-2.0
"""The maps of a prepared scan with a bolus: noise reduction, the method, and what else belongs beside its maps."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import __version__, deconvolution, fitting, lesion, prepare, regional
from .core import (
    QUANTITIES,
    Concentration,
    FittedField,
    FitWatch,
    InputFunction,
    PerfusionMap,
    PerfusionMaps,
    ProgressCallback,
    Provenance,
    QualityFinding,
    RegionFit,
    TissueMasks,
    part_of,
)
from .core.geometry import BoolArray, voxel_sizes
from .core.memory import sparse_zeros
from .core.quantities import unit_of
from .preparation import Clock, Prepared
from .regional_meaning import findings_of
from .settings import Settings, UserInputs

SOFTWARE = f"Perfusion Suite {__version__}"
FOR_PEAKS = "gaussian"
"""How noise is reduced for what is read off the curves themselves, beside a method that looks at the noisy scan."""


def make_maps(
    concentration: Concentration,
    masks: TissueMasks,
    aif: InputFunction,
    settings: Settings,
    inputs: UserInputs,
    clock: Clock,
    progress: ProgressCallback,
    watch: FitWatch,
) -> tuple[PerfusionMaps, FittedField | RegionFit | None]:
    """Reduce noise and compute all maps.

    Parameters
    ----------
    concentration : Concentration
        Curves of the prepared scan.
    masks : TissueMasks
        Its tissue.
    aif : InputFunction
        Arterial curve, or the reference of a method without one.
    settings : Settings
        Method and options.
    inputs : UserInputs
        Tissue labels for methods that fit regions.
    clock : Clock
        Measures the steps ``noise`` and ``maps``.
    progress : callable
        Progress.
    watch : FitWatch
        Looks on while a long fit runs.

    Returns
    -------
    maps : PerfusionMaps
        Of the method, and those read off the curves.
    learned : FittedField, RegionFit or None
        What the method leaves besides maps.
    """
    times, mask = concentration.times_s, concentration.mask
    used = {**asdict(settings), "noise_reduction": settings.noise_reduction_used, "interval_s": float(np.median(np.diff(times)))}
    provenance = Provenance(settings.method, used, SOFTWARE)
    ready = 0.1 if settings.noise_reduction_used == "none" else 0.5
    excluded = masks.csf | masks.vessel | masks.bone
    alone = settings.on_grid and settings.noise_reduction_used == "none"
    with clock.step("noise"):
        curves, read_off = _quiet_curves(concentration, excluded, settings, alone, part_of(progress, 0.0, ready))
    fitted = None
    with clock.step("maps"):
        if regional.is_regional(settings.method):
            later = part_of(progress, ready, 1.0)
            found = regional.fit_regions(concentration, aif, settings, inputs, masks, provenance, later, watch)
            return found.maps.added(*_as_maps(read_off, concentration, found.provenance)), found.regions
        if settings.on_grid:
            arrays, fitted = _whole_volume(concentration, curves, aif, settings, part_of(progress, ready, 1.0), watch)
        else:
            arrays = _curve_by_curve(concentration, curves, aif, settings, part_of(progress, ready, 1.0), watch)
    quality = arrays.pop("quality", None)
    if "shape" in arrays:
        shapes = [f"{shape:g}" for shape in np.ravel(arrays.pop("shape"))]
        told = " (gray matter), ".join(shapes) + (" (white matter)" if len(shapes) > 1 else "")
        provenance = replace(provenance, settings={**provenance.settings, "residue_shape": told})
    known = {key: _on_grid(values, mask) for key, values in arrays.items() if key in QUANTITIES}
    maps = PerfusionMaps.from_arrays(
        known,
        concentration.affine,
        provenance=provenance,
        units={key: unit_of(key, settings.density) for key in known},
        quality=None if quality is None else _on_grid(quality, mask, deconvolution.QualityCode.OUTSIDE_MASK),
    )
    return maps.added(*_as_maps(read_off, concentration, provenance)), fitted


def _quiet_curves(
    concentration: Concentration, excluded: BoolArray, settings: Settings, alone: bool, progress: ProgressCallback
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Reduce noise; return the curves for a method, none for one that looks at the scan alone, and what is read off them.

    It is read off before a fit, which needs the memory of smooth copies.
    """
    if not alone:
        kind, options = settings.noise_reduction_used, settings.noise_options
    else:  # who asks for none gets peaks of the scan as it is
        kind, options = FOR_PEAKS if settings.noise_reduction == "auto" else "none", {}
    curves = prepare.smoothed_curves(concentration, method=kind, exclude=excluded, progress=progress, **options)
    return curves[:0].copy() if alone else curves, _read_off(concentration, curves)


def _whole_volume(
    concentration: Concentration,
    curves: NDArray[np.float32],
    aif: InputFunction,
    settings: Settings,
    progress: ProgressCallback,
    watch: FitWatch,
) -> tuple[dict[str, NDArray[Any]], FittedField | None]:
    """Apply a method that looks at neighbors; one value per curve, in the order of the mask."""
    mask = concentration.mask
    data = concentration.data
    if settings.noise_reduction_used != "none":
        data = sparse_zeros(data.shape)
        data[mask] = curves
    arrays, fitted = fitting.fit(
        data, aif.values, concentration.times_s, method=settings.method, mask=mask, affine=concentration.affine,
        settings=_fit_options(settings, aif), device=settings.device, density=settings.density,
        hematocrit_factor=settings.hematocrit_factor, progress=progress, watch=watch,
        guide=concentration.baseline + concentration.data.mean(axis=3) if concentration.unit == "HU" else None,
    )  # fmt: skip
    return {key: values[mask] if np.shape(values) == mask.shape else values for key, values in arrays.items()}, fitted


def _curve_by_curve(
    concentration: Concentration,
    curves: NDArray[np.float32],
    aif: InputFunction,
    settings: Settings,
    progress: ProgressCallback,
    watch: FitWatch,
) -> dict[str, NDArray[Any]]:
    """Apply a method that looks at each curve by itself; one value per curve."""
    times_s, gray = concentration.times_s, None
    common: dict[str, Any] = {
        "method": settings.method,
        "density": settings.density,
        "hematocrit_factor": settings.hematocrit_factor,
        "progress": progress,
    }
    if settings.method in deconvolution.METHODS:
        return deconvolution.deconvolve(curves, aif.values, times_s, **common, **settings.method_options)
    if concentration.unit == "HU" and "tissues" in fitting.METHODS[settings.method].options:
        gray = prepare.gray_share(concentration.baseline, concentration.mask, voxel_sizes(concentration.affine))
    arrays, _ = fitting.fit(
        curves,
        aif.values,
        times_s,
        settings=_fit_options(settings, aif),
        device=settings.device,
        gray=gray,
        watch=watch,
        **common,
    )
    return arrays


def _fit_options(settings: Settings, aif: InputFunction) -> dict[str, Any]:
    """Options of a fit, with what the scan's artery adds to the errors of its maps and what filtering does to its residues."""
    known = fitting.METHODS[settings.method].options
    filtered = {"found_at": fitting.FOUND_AT_FILTERED} if settings.noise_reduction_used == "similarity" else {}
    rounded = filtered if "found_at" in known else {}
    return fitting.with_artery_error(known, {**rounded, **settings.method_options}, aif)


def _on_grid(values: NDArray[Any], mask: BoolArray, empty: float = np.nan) -> NDArray[Any]:
    """Put values of the voxels of a mask into a volume."""
    volume = np.full(mask.shape, empty, values.dtype)
    volume[mask] = values
    return volume


def _read_off(raw: Concentration, curves: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What is read off the curves themselves: time to peak, temporal maximum and mean."""
    peak_at, maximum = np.empty(curves.shape[0], np.float32), np.empty(curves.shape[0], np.float32)
    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    for start in range(0, curves.shape[0], 16384):  # in parts, which keeps the working copies small
        here = slice(start, start + 16384)
        padded = np.pad(curves[here], ((0, 0), (1, 1)), mode="edge")
        filtered = kernel[0] * padded[:, :-2] + kernel[1] * padded[:, 1:-1] + kernel[2] * padded[:, 2:]
        peak_at[here] = raw.times_s[filtered.argmax(axis=1)]
        maximum[here] = filtered.max(axis=1)
    found = {"ttp": _on_grid(peak_at, raw.mask), "mip": _on_grid(maximum, raw.mask, 0.0)}
    if raw.unit == "HU":  # contrast darkens MR: signal and change of relaxation cannot be added
        found["mip"] += raw.baseline
        found["mean"] = raw.baseline + raw.data.mean(axis=3)
    return found


def _as_maps(found: dict[str, NDArray[np.float32]], raw: Concentration, provenance: Provenance) -> list[PerfusionMap]:
    """Maps of what was read off the curves, and the baseline."""
    values = {**found, "baseline": raw.baseline}
    if raw.unit == "HU":
        return [PerfusionMap(v, raw.affine, QUANTITIES[key], None, provenance) for key, v in values.items()]
    units = {"ttp": "s", "mip": raw.unit, "baseline": "a.u."}
    return [PerfusionMap(v, raw.affine, QUANTITIES[key], None, provenance, units[key]) for key, v in values.items()]


def with_further_maps(
    maps: PerfusionMaps, prepared: Prepared, aif: InputFunction, settings: Settings, inputs: UserInputs
) -> tuple[PerfusionMaps, tuple[QualityFinding, ...]]:
    """Add leakage and diffusion, and bring DSC to the scale of white matter.

    Parameters
    ----------
    maps : PerfusionMaps
        From `make_maps`.
    prepared : Prepared
        The prepared scan.
    aif : InputFunction
        Its arterial curve or reference.
    settings : Settings
        Whether DSC is scaled.
    inputs : UserInputs
        Diffusion, if given.

    Returns
    -------
    maps : PerfusionMaps
        With what was added.
    findings : tuple of QualityFinding
        What was noticed.
    """
    findings: tuple[QualityFinding, ...] = ()
    if prepared.series.modality == "dsc" and settings.scale_to_white_matter:
        maps, findings = lesion.scale_to_white_matter(maps, prepared.masks)
    provenance = maps["tmax"].provenance
    if prepared.k2 is not None:
        maps = maps.added(PerfusionMap(prepared.k2, maps.affine, QUANTITIES["k2"], None, provenance))
    if inputs.adc is not None:
        adc, unit = lesion.adc_map(inputs.adc, prepared.masks.brain)
        maps = maps.added(PerfusionMap(adc, maps.affine, QUANTITIES["adc"], None, Provenance("given")))
        text = f"The ADC map was taken to be in {unit} and to lie on the perfusion scan."
        findings = (
            *findings,
            QualityFinding("adc_map_given", "info", text, "Look at the core: it must lie where diffusion is low."),
        )
    return maps, (*findings, *findings_of(aif, settings, inputs))
