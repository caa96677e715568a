# SPDX-License-Identifier: Apache-2.0
"""The one place that joins the rooms: a series and settings go in, a `Study` comes out.

Panels, console and command line call `run`; nothing above this file knows how a map is computed.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, overload

from . import lesion, regional, regional_meaning
from .arterial_input import as_tissue_shows, chosen_curves, scaled
from .asl_pipeline import AslInputs, AslSettings, run_asl
from .core import (
    AslSeries,
    AslStudy,
    FittedField,
    FitWatch,
    InputFunction,
    InvalidInputError,
    NoWatch,
    PerfusionMaps,
    PerfusionSeries,
    ProgressCallback,
    QualityFinding,
    RegionFit,
    Study,
    part_of,
)
from .core.watch import NoteKeeper
from .map_making import SOFTWARE, make_maps, with_further_maps
from .measurement import check_follow_up, ct_like, find_lesions, later_scan
from .preparation import Clock, Prepared, check_inputs, prepare_ctp, prepare_dsc, without_remaining_motion
from .settings import AUTO, DEFAULT_METHOD, GPU_METHODS, LaterScan, Settings, UserInputs, default_method, methods

__all__ = [
    "AUTO",
    "DEFAULT_METHOD",
    "GPU_METHODS",
    "SOFTWARE",
    "AslInputs",
    "AslSettings",
    "LaterScan",
    "Settings",
    "UserInputs",
    "default_method",
    "follow_up_of",
    "later_scan",
    "methods",
    "run",
]


@overload
def run(
    series: AslSeries,
    settings: AslSettings | None = None,
    *,
    inputs: AslInputs | None = None,
    progress: ProgressCallback | None = None,
    overwrite_series: bool = False,
    keep_series: bool = True,
    watch: FitWatch | None = None,
) -> AslStudy: ...


@overload
def run(
    series: PerfusionSeries,
    settings: Settings | None = None,
    *,
    inputs: UserInputs | None = None,
    progress: ProgressCallback | None = None,
    overwrite_series: bool = False,
    keep_series: bool = True,
    watch: FitWatch | None = None,
) -> Study: ...


def run(
    series: PerfusionSeries | AslSeries,
    settings: Settings | AslSettings | None = None,
    *,
    inputs: UserInputs | AslInputs | None = None,
    progress: ProgressCallback | None = None,
    overwrite_series: bool = False,
    keep_series: bool = True,
    watch: FitWatch | None = None,
) -> Study | AslStudy:
    """Turn a perfusion series into maps, lesions and metrics.

    Parameters
    ----------
    series : PerfusionSeries or AslSeries
        A CT perfusion, DSC-MRI or ASL scan.
    settings : Settings, or AslSettings of ASL, optional
        Choices; the defaults are the recommended ones.
    inputs : UserInputs, or AslInputs of ASL, optional
        Curves and masks that replace automatic ones.
    progress : callable, optional
        Called between chunks of work; may raise `CancelledError`.
    overwrite_series : bool
        Allow that the values of the given series are lost, which saves its size in memory.
    keep_series : bool
        Keep the values of the prepared series in the study, for a scene; without them the study takes half the memory.
    watch : FitWatch, optional
        Looks on while a long fit runs, see `fitting.fit`.

    Returns
    -------
    Study, or AslStudy of ASL
        Everything that was found, with all quality findings.

    Raises
    ------
    InvalidInputError
        If the series or an input cannot be used, or settings belong to another modality.
    MissingPackageError
        If the method needs PyTorch and it is not installed.
    """
    if isinstance(series, AslSeries):
        return _run_asl(series, settings, inputs, progress)
    if isinstance(settings, AslSettings) or isinstance(inputs, AslInputs):
        msg = (
            f"Settings and inputs of ASL were given for a scan of modality '{series.modality}'. Use those of contrast perfusion."
        )
        raise InvalidInputError(msg)
    settings, inputs = settings or Settings(), inputs or UserInputs()
    asked, settings = settings, settings.decided(series.modality)
    settings.check_packages()
    check_inputs(series, settings, inputs)
    check_follow_up(series, inputs)
    clock = Clock()
    later, progress = _later(inputs.follow_up, asked, progress)
    if series.modality == "dsc":
        prepared = prepare_dsc(series, settings, inputs, clock, part_of(progress, 0.0, 0.55))
    else:
        prepared = prepare_ctp(series, settings, inputs, (overwrite_series, keep_series), clock, part_of(progress, 0.0, 0.55))
    series = prepared.series if keep_series else prepared.series.released()
    prepared = replace(prepared, series=series)  # nothing else may hold the values of a series that is let go
    measured, vof = chosen_curves(prepared, settings, inputs, clock, part_of(progress, 0.55, 0.6))
    # Rebound here: what this frame still held of the curves before would stay in memory to the end.
    prepared = without_remaining_motion(prepared, scaled(measured, vof, settings, inputs), clock, part_of(progress, 0.6, 0.62))
    aif = scaled(as_tissue_shows(measured, prepared, settings, inputs, clock), vof, settings, inputs)
    keeper = NoteKeeper(watch or NoWatch())
    if asked.method == AUTO and series.modality == "ctp" and settings.method == DEFAULT_METHOD:
        keeper.note(
            "method_fallback",
            f"PyTorch is not installed, so the maps were made by '{DEFAULT_METHOD}'; 'spatial' finds cores better.",
            "Install PyTorch, or name the method to be used.",
            "info",
        )
    return _analyzed(prepared, (aif, vof), settings, inputs, later, clock, part_of(progress, 0.62, 1.0), keeper)


def _analyzed(
    prepared: Prepared,
    artery_and_vein: tuple[InputFunction, InputFunction | None],
    settings: Settings,
    inputs: UserInputs,
    later: LaterScan | None,
    clock: Clock,
    progress: ProgressCallback,
    keeper: NoteKeeper,
) -> Study:
    """From prepared curves to the study: maps, lesions, numbers."""
    aif, vof = artery_and_vein
    series, masks, concentration, motion = prepared.series, prepared.masks, prepared.concentration, prepared.motion
    made, learned = make_maps(concentration, masks, aif, settings, inputs, clock, part_of(progress, 0.0, 0.87), keeper)
    regions = learned if isinstance(learned, RegionFit) else None
    maps, noted = with_further_maps(made, prepared, aif, settings, inputs)
    regions = regional_meaning.on_scale_of(maps, made, regions)
    key = regional.threshold_key(settings.method, aif)
    with clock.step("lesion"):
        found = find_lesions(
            maps, concentration, masks, settings, inputs, modality=series.modality, vof=vof, later=later, method=key
        )
        maps, lesions = found.maps, found.lesions
    findings = _all_findings(series, motion, masks, concentration, aif, vof, keeper, regions, noted, lesions)
    settings_used = {**asdict(settings), "noise_reduction": settings.noise_reduction_used}
    metrics = lesion.metrics(
        maps,
        lesions,
        aif=aif if aif.kind == "aif" else None,
        vof=vof,
        case_id=series.source.case_id,
        acquisition=_acquisition_facts(series),
        software=SOFTWARE,
        settings=settings_used,
        findings=findings,
        age_years=inputs.age_years,
        nihss=inputs.nihss,
        follow_up=found.follow_up,
    )
    metrics = regional_meaning.with_meaning(metrics, series.modality, aif, settings, regions)
    metrics = replace(metrics, values={**metrics.values, **found.tumor})
    progress(1.0, "Done")
    return Study(
        series, masks, concentration, aif, vof, maps, lesions, metrics, motion, settings_used, findings, clock.seconds,
        learned if isinstance(learned, FittedField) else None, regions,
    )  # fmt: skip


def _run_asl(
    series: AslSeries,
    settings: Settings | AslSettings | None,
    inputs: UserInputs | AslInputs | None,
    progress: ProgressCallback | None,
) -> AslStudy:
    """Hand an ASL scan on."""
    if isinstance(settings, Settings) or isinstance(inputs, UserInputs):
        msg = "Settings and inputs of contrast perfusion were given for an ASL scan. Use AslSettings and AslInputs."
        raise InvalidInputError(msg)
    if settings is not None:
        settings.check_packages()
    return run_asl(series, settings, inputs=inputs, progress=progress)


def follow_up_of(
    later: PerfusionSeries | PerfusionMaps,
    settings: Settings | None = None,
    *,
    progress: ProgressCallback | None = None,
    overwrite_series: bool = False,
) -> LaterScan:
    """Analyze a later scan with the settings of the first, keeping only what the comparison needs.

    Parameters
    ----------
    later : PerfusionSeries or PerfusionMaps
        The scan or its finished maps.
    settings : Settings, optional
        Of the first scan.
    progress : callable, optional
        Progress.
    overwrite_series : bool
        Allow that the values of the scan are lost, which saves its size in memory.

    Returns
    -------
    LaterScan
        For ``UserInputs(follow_up=...)``; it holds no more than masks and an image.

    Raises
    ------
    InvalidInputError
        If the scan or the maps cannot be used.
    """
    settings = settings or Settings()
    if isinstance(later, PerfusionMaps):
        return later_scan(later, settings)
    study = run(later, settings, progress=progress, overwrite_series=overwrite_series, keep_series=False)
    image = ct_like(study.concentration.baseline, study.masks.brain, study.masks.tissue, later.modality)
    return LaterScan(study.lesions, image, later.modality)


def _later(
    given: PerfusionSeries | PerfusionMaps | LaterScan | None, settings: Settings, progress: ProgressCallback | None
) -> tuple[LaterScan | None, ProgressCallback | None]:
    """Analyze the follow-up first, whose memory is then free, and leave the rest of the progress to the first scan."""
    if given is None or isinstance(given, LaterScan):
        return given, progress
    if isinstance(given, PerfusionMaps):
        return later_scan(given, settings), progress
    return follow_up_of(given, settings, progress=part_of(progress, 0.0, 0.45)), part_of(progress, 0.45, 1.0)


def _acquisition_facts(series: PerfusionSeries) -> dict[str, Any]:
    """What ``metrics.json`` says of the acquisition."""
    return {
        "modality": series.modality,
        "frames": int(series.times_s.size),
        "interval_s": round(series.interval_s, 4),
        "duration_s": round(float(series.times_s[-1] - series.times_s[0]), 3),
        "time_source": series.acquisition.time_source,
        "shuttle": series.acquisition.shuttle,
        "voxel_mm": [round(v, 4) for v in series.voxel_mm],
        "matrix": list(series.shape),
        "manufacturer": series.acquisition.manufacturer,
    }


def _all_findings(series: PerfusionSeries, *parts: Any) -> tuple[QualityFinding, ...]:
    """All findings in the order of the chain; of several with one code (a fact that two rooms noticed) the gravest."""
    found = list(series.source.findings)
    for part in parts:
        found.extend(part if isinstance(part, tuple) else part.findings if part is not None else ())
    gravity = ("info", "warning", "error")
    kept: dict[str, QualityFinding] = {}
    for finding in found:
        earlier = kept.get(finding.code)
        if earlier is None or gravity.index(finding.severity) > gravity.index(earlier.severity):
            kept[finding.code] = finding
    return tuple(kept.values())
