# SPDX-License-Identifier: Apache-2.0
"""The whole job for an ASL scan: a series and settings go in, an `AslStudy` comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import __version__, asl, lesion
from .asl.calibration import field_strength
from .asl.difference import DifferenceSettings, difference_of
from .asl.pairs import pairs_of
from .asl.partial_volume import corrected_flow
from .asl.qtm import assess
from .asl.region_curves import region_curves
from .asl.smoothing import smoothed_difference
from .asl_settings import M0_OPTIONS, AslInputs, AslSettings
from .asl_tissue import check_place
from .core import (
    QUANTITIES,
    AslDifference,
    AslSeries,
    AslStudy,
    InvalidInputError,
    MotionReport,
    PerfusionMaps,
    ProgressCallback,
    Provenance,
    QualityFinding,
    TissueMasks,
    part_of,
)
from .core.geometry import check_same_grid
from .preparation import Clock

__all__ = ["M0_OPTIONS", "SOFTWARE", "AslInputs", "AslSettings", "acquisition_facts", "run_asl"]

SOFTWARE = f"Perfusion Suite {__version__}"

LEAST_FLOW, MOST_FLOW = 3.0, 200.0
"""mL/100 g/min; a median outside of them is no flow of a brain."""

LEAST_LEARNED = 0.8
"""Part of the spread of the expectation: an arrival time whose standard error exceeds it has hardly been measured."""


def run_asl(
    series: AslSeries,
    settings: AslSettings | None = None,
    *,
    inputs: AslInputs | None = None,
    progress: ProgressCallback | None = None,
) -> AslStudy:
    """Turn an ASL scan into maps of flow and arrival time, low flow and numbers.

    Parameters
    ----------
    series : AslSeries
        The scan.
    settings : AslSettings, optional
        Choices; the defaults are the recommended ones.
    inputs : AslInputs, optional
        Masks and fractions.
    progress : callable, optional
        Called between chunks of work; may raise `CancelledError`.

    Returns
    -------
    AslStudy
        Everything that was found, with all quality findings.

    Raises
    ------
    InvalidInputError
        If the series or an input cannot be used.
    """
    settings, inputs = settings or AslSettings(), inputs or AslInputs()
    _check_inputs(series, settings, inputs)
    method, clock = settings.method_for(series.delays_s.size), Clock()
    with clock.step("preparation"):
        choices = DifferenceSettings(
            settings.motion_correction, settings.drop_odd_pairs, settings.calibration(inputs.m0_reference)
        )
        measured, motion = difference_of(series, mask=inputs.brain_mask, settings=choices, progress=part_of(progress, 0.0, 0.5))
        difference = smoothed_difference(measured, settings.smoothing_mm)
    inputs = replace(inputs, findings=(*inputs.findings, *check_place(inputs.tissue, difference.mask)))
    options = _method_options(settings, method)
    with clock.step("maps"):
        arrays = asl.quantify(
            difference, method=method, tissue=asl.checked_tissue(inputs.tissue, series.shape), settings=options,
            device=settings.device, progress=part_of(progress, 0.5, 0.75 if settings.partial_volume else 0.95),
        )  # fmt: skip
    if settings.partial_volume:
        with clock.step("partial_volume"):
            by_voxel = _by_voxel(method, series)
            arrays |= corrected_flow(
                difference, inputs.tissue, method=by_voxel, settings=options if by_voxel == method else {},
                kernel=settings.partial_volume_kernel, progress=part_of(progress, 0.75, 0.95),
            )  # fmt: skip
    return _study(series, (measured, difference), motion, arrays, (method, settings, inputs), clock, part_of(progress, 0.95, 1.0))


def _by_voxel(method: str, series: AslSeries) -> str:
    """The method of pure tissues: that of the run, or a kinetic one beside a network, which looks at neighbors."""
    return method if method != "qtmnet" else asl.default_method(series.delays_s.size)


def _check_inputs(series: AslSeries, settings: AslSettings, inputs: AslInputs) -> None:
    """Refuse what cannot work before any work is done."""
    for name in ("brain_mask", "gm", "wm", "m0_reference"):
        volume = getattr(inputs, name)
        if volume is not None:
            check_same_grid(f"The {name.replace('_', ' ')}", volume.shape, series.affine, series.shape, series.affine)
    asl.checked_tissue(inputs.tissue, series.shape)
    if settings.partial_volume and not inputs.tissue:
        msg = "Partial-volume correction needs the fractions of gray and white matter. Give both, or leave the correction out."
        raise InvalidInputError(msg)
    method, delays = settings.method_for(series.delays_s.size), series.delays_s.size
    asl.METHODS[method].complete(settings.method_options)
    if 0 < delays < asl.METHODS[method].min_delays:
        msg = f"The method '{method}' needs at least {asl.METHODS[method].min_delays} delays, but the scan has {delays}."
        raise InvalidInputError(f"{msg} Choose asl-single, or leave the method to the program.")
    if method == "qtmnet":
        _check_for_network(series, settings, inputs)


def _check_for_network(series: AslSeries, settings: AslSettings, inputs: AslInputs) -> None:
    """Refuse a protocol that the network does not know before minutes of motion correction."""
    from .asl.qtm_input import check_protocol
    from .asl.qtm_weights import load_weights

    pairs, _ = pairs_of(series)
    times = np.array(sorted({pair.group for pair in pairs}))
    late = np.zeros(series.shape[2]) if series.slice_delays_s is None else np.asarray(series.slice_delays_s, np.float64)
    tesla, _ = field_strength(series, settings.calibration(inputs.m0_reference))
    nothing = np.zeros((1, 1, 1, len(times)), np.float32)
    protocol = AslDifference(
        nothing, times[:, 0], times[:, 1], None, None, np.ones((1, 1, 1), bool), series.affine, series.labeling, 1.0, tesla, late,
        np.ones(len(times), np.int64),
    )  # fmt: skip
    check_protocol(protocol, load_weights(settings.method_options.get("weights") or None))


def _method_options(settings: AslSettings, method: str) -> dict[str, Any]:
    """Options of the method with the T1 of blood."""
    options = dict(settings.method_options)
    if settings.t1_blood is not None and "t1_blood" in asl.METHODS[method].options:
        options.setdefault("t1_blood", settings.t1_blood)
    return options


def _study(
    series: AslSeries,
    images: tuple[AslDifference, AslDifference],
    motion: MotionReport | None,
    arrays: dict[str, NDArray[Any]],
    chosen: tuple[str, AslSettings, AslInputs],
    clock: Clock,
    progress: ProgressCallback,
) -> AslStudy:
    """Compare the sides and put everything together; `images` are those before and after smoothing."""
    (measured, difference), (method, settings, inputs) = images, chosen
    options = asl.METHODS[method].complete(_method_options(settings, method))
    used = {**asdict(settings), "method": method, "method_options": options}
    quality = arrays.pop("quality")
    provenance = Provenance(method, _facts(used, difference), SOFTWARE)
    known = {key: values for key, values in arrays.items() if key in QUANTITIES}
    known |= {key: np.asarray(values, np.float32) for key, values in inputs.tissue.items()}
    maps = PerfusionMaps.from_arrays(known, series.affine, provenance=provenance, quality=quality)
    findings = [*difference.findings, *inputs.findings]
    other = _by_voxel(method, series)
    if other != method and "cbf_gm" in maps:
        maps = maps.added(*(replace(maps[key], provenance=replace(provenance, method=other)) for key in ("cbf_gm", "cbf_wm")))
        text = f"The flow of pure gray and pure white matter comes from {other}, since {method} does not separate them."
        findings.append(QualityFinding("asl_pure_tissue_method", "info", text))
    lesions = None
    hardly_any = _hardly_any_flow(maps, difference)
    findings += hardly_any or _too_much_flow(maps, difference)
    if settings.compare_sides and not hardly_any:
        progress(0.1, "Comparing the sides")
        with clock.step("sides"):
            maps, lesions = _sides(maps, images, settings, inputs, provenance)
        findings += lesions.findings
    findings += [*_doubts(quality, difference, method), *_expected_arrival(maps, difference, options)]
    if method == "qtmnet":
        findings += assess(difference, weights=options["weights"] or None)
    regions, _ = lesion.asl_regions(difference.mask, maps.affine, lesions, inputs.tissue)
    curves = region_curves(measured, regions, method=method, options=options, tissue=inputs.tissue, t1_blood_s=settings.t1_blood)
    codes = {int(code): code.name.lower() for code in asl.AslQuality if code != asl.AslQuality.OUTSIDE_MASK}
    metrics = lesion.asl_metrics(
        maps, difference.mask, lesions=lesions, tissue=inputs.tissue, quality=quality, codes=codes,
        case_id=series.source.case_id, acquisition=acquisition_facts(series, difference), settings=used, software=SOFTWARE,
        findings=findings, curves=curves,
    )  # fmt: skip
    none = np.zeros(difference.mask.shape, bool)
    fluid = difference.mask & (1.0 - inputs.tissue["gm"] - inputs.tissue["wm"] > 0.5) if inputs.tissue else none
    progress(1.0, "Done")
    return AslStudy(
        series, difference, TissueMasks(difference.mask, fluid, none, none), maps, metrics, motion, used,
        tuple(dict.fromkeys(findings)), clock.seconds, lesions,
        {key: np.asarray(values, np.float32) for key, values in inputs.tissue.items()},
    )  # fmt: skip


def _facts(used: Mapping[str, Any], difference: AslDifference) -> dict[str, Any]:
    """What the numbers of a map rest on."""
    return {
        **used,
        "labeling_efficiency_total": round(float(difference.labeling_efficiency), 5),
        "post_label_delays_s": [round(float(v), 4) for v in difference.post_label_delays_s],
        "label_durations_s": [round(float(v), 4) for v in difference.label_durations_s],
        "field_strength_t": float(difference.field_strength_t),
        "status_codes": {str(int(code)): code.name.lower().replace("_", " ") for code in asl.AslQuality},
    }


def _sides(
    maps: PerfusionMaps,
    images: tuple[AslDifference, AslDifference],
    settings: AslSettings,
    inputs: AslInputs,
    provenance: Provenance,
) -> tuple[PerfusionMaps, Any]:
    """Compare each voxel with its mirror point."""
    measured, difference = images
    error = maps["cbf_sd"].values if "cbf_sd" in maps else None
    if error is not None and measured.noise_sd is not None and difference.noise_sd is not None:
        # the comparison smooths by itself and counts on noise that is independent between voxels
        error = error * float(measured.noise_sd.mean() / max(float(difference.noise_sd.mean()), 1e-12))
    flow = maps["cbf"] if "cbf" in maps else maps["rcbf"]
    tissue = difference.mask
    if inputs.tissue:
        tissue = tissue & (np.nan_to_num(inputs.tissue["gm"]) + np.nan_to_num(inputs.tissue["wm"]) > 0.5)
    found = lesion.low_flow(
        flow.values, tissue, maps.affine, image=difference.m0 if difference.m0 is not None else None,
        standard_error=error,
        percent=settings.low_flow_percent, midplane=inputs.midplane, side=inputs.side,
    )  # fmt: skip
    relative = PerfusionMaps.from_arrays({"rcbf_mirror": found.percent}, maps.affine, provenance=provenance)
    return maps.added(relative["rcbf_mirror"]), found.lesions


def _median_flow(maps: PerfusionMaps, difference: AslDifference) -> float | None:
    """Of the brain; None where flow is relative."""
    inside = maps["cbf"].values[difference.mask] if "cbf" in maps else np.zeros(0)
    inside = inside[np.isfinite(inside)]
    return float(np.median(inside)) if inside.size else None


def _hardly_any_flow(maps: PerfusionMaps, difference: AslDifference) -> list[QualityFinding]:
    """Tell when the brain as a whole seems to have no flow; its sides cannot be compared then."""
    median = _median_flow(maps, difference)
    if median is None or median >= LEAST_FLOW:
        return []
    text = f"The median flow of the brain is {median:.1f} mL/100 g/min, which no living brain has; its sides were not compared."
    advice = "Check the order of control and label, the delays, the scale of M0 and, for qtmnet, the weights."
    return [QualityFinding("asl_hardly_any_flow", "error", text, advice)]


def _too_much_flow(maps: PerfusionMaps, difference: AslDifference) -> list[QualityFinding]:
    """Tell when the scale of the scan cannot be right."""
    median = _median_flow(maps, difference)
    if median is None or median <= MOST_FLOW:
        return []
    text = f"The median flow of the brain is {median:.0f} mL/100 g/min, which no brain has: M0 and the scan differ in scale."
    advice = "Check M0 and what the scanner multiplied images by (DifferenceScaling, Philips' scale slopes), and the delays."
    return [QualityFinding("asl_too_much_flow", "error", text, advice)]


def _doubts(quality: NDArray[np.uint8], difference: AslDifference, method: str) -> list[QualityFinding]:
    """What the quality codes of the brain as a whole say."""
    inside = quality[difference.mask]
    share = {code: 100.0 * float((inside == code).mean()) for code in asl.AslQuality}
    findings = []
    if share[asl.AslQuality.UNCERTAIN] > 50.0:
        text = f"In {share[asl.AslQuality.UNCERTAIN]:.0f} % of the brain the standard error exceeds half of the flow."
        findings.append(QualityFinding("asl_noisy", "warning", text, "Trust means of regions rather than single voxels."))
    if share[asl.AslQuality.NO_SIGNAL] > 25.0:
        text = f"In {share[asl.AslQuality.NO_SIGNAL]:.0f} % of the brain no label was seen."
        advice = "Check the order of control and label, the labeling, and whether delays are too short for late arrival."
        findings.append(QualityFinding("asl_no_signal", "warning", text, advice))
    if share[asl.AslQuality.EARLY_ARRIVAL] > 50.0:
        text = (
            f"In {share[asl.AslQuality.EARLY_ARRIVAL]:.0f} % of the brain all label had arrived before the first picture, so "
            "that the arrival time is only known to be earlier than the shortest delay."
        )
        findings.append(QualityFinding("asl_early_arrival", "info", text, "Shorter delays would tell it; the flow is good."))
    if method == "asl-single":
        text = "One delay cannot tell low flow from late arrival: where blood arrives after the delay, flow is too low."
        findings.append(QualityFinding("asl_single_delay", "info", text, "Look for bright arteries over dark tissue."))
    return findings


def _expected_arrival(maps: PerfusionMaps, difference: AslDifference, options: Mapping[str, Any]) -> list[QualityFinding]:
    """Tell when arrival times of most voxels are the expected one: a map of them looks smooth, and says nothing."""
    if "att_sd" not in maps or "att_prior_sd_s" not in options:
        return []
    spread = maps["att_sd"].values[difference.mask]
    spread = spread[np.isfinite(spread)]
    share = float((spread > LEAST_LEARNED * float(options["att_prior_sd_s"])).mean()) if spread.size else 0.0
    if share <= 0.5:
        return []
    text = (
        f"In {100.0 * share:.0f} % of the brain the arrival time of voxels rests on the expected {options['att_prior_s']:g} s, "
        "since the scan is too noisy to tell it; the map looks even for that reason."
    )
    advice = "Read arrival times of regions from mean curves, or smooth the difference images (--smooth 5)."
    return [QualityFinding("asl_arrival_expected", "warning", text, advice)]


def acquisition_facts(series: AslSeries, difference: AslDifference) -> dict[str, Any]:
    """Return what ``metrics.json`` says of the acquisition.

    Parameters
    ----------
    series : AslSeries
        The scan.
    difference : AslDifference
        What was made of it.

    Returns
    -------
    dict
        Free of identifiers.
    """
    return {
        "modality": "asl",
        "labeling": series.labeling,
        "volumes": len(series.volume_types),
        "pairs_used": [int(n) for n in difference.repetitions],
        "post_label_delays_s": [round(float(v), 4) for v in difference.post_label_delays_s],
        "label_durations_s": [round(float(v), 4) for v in difference.label_durations_s],
        "slice_delay_s": round(float(np.ptp(difference.slice_delays_s)), 4) if np.size(difference.slice_delays_s) else 0.0,
        "background_suppression_pulses": series.background_suppression_pulses,
        "labeling_efficiency_total": round(float(difference.labeling_efficiency), 5),
        "field_strength_t": float(difference.field_strength_t),
        "m0": "image"
        if series.m0 is not None or "m0scan" in series.volume_types
        else "none"
        if difference.m0 is None
        else "other",
        "voxel_mm": [round(v, 4) for v in series.voxel_mm],
        "matrix": list(series.shape),
        "manufacturer": series.acquisition.manufacturer,
    }
