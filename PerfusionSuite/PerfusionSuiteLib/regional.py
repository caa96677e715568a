# SPDX-License-Identifier: Apache-2.0
"""Methods that fit regions of DSC-MRI, as part of the chain: which curve goes in, tissue labels, priors, what the maps mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import deconvolution, hemopic, lesion, prepare
from .core import (
    Concentration,
    FitWatch,
    InputFunction,
    InvalidInputError,
    Metrics,
    PerfusionMap,
    PerfusionMaps,
    ProgressCallback,
    Provenance,
    QualityFinding,
    RegionFit,
    TissueMasks,
    part_of,
)
from .core.files import plain
from .core.geometry import BoolArray
from .core.quantities import QUANTITIES, RELATIVE, unit_of
from .hemopic.physical_features import curve_features
from .hemopic.tissue_estimate import estimate_tissue
from .hemopic.tissue_labels import BRAIN_STEM, CORRECTED, PUBLISHED, collapse, whole_numbers
from .settings import Settings, UserInputs

INPUT, REFERENCE, ARTERY = "input", "reference", "aif"
"""Option of a method that says which curve goes in, and its values."""

PRIOR_METHOD = "csvd"
"""What makes the maps that the published method starts from: block-circulant SVD, as its authors' maps were made."""

_SCALED = ("cbf", "cbv", "cbf_sd", "cbv_sd")
_SCALED_ROWS = ("cbf", "cbv", "F_fit", "V_fit", "F_prior", "V_prior")
_OF_PRIORS = ("tmax", "delay")


@dataclass(frozen=True, slots=True)
class Regional:
    """What a regional method gives.

    Parameters
    ----------
    maps : PerfusionMaps
        Its maps, with the status of each voxel as their quality.
    regions : RegionFit
        Regions and their curves.
    provenance : Provenance
        How the maps were made.
    """

    maps: PerfusionMaps
    regions: RegionFit
    provenance: Provenance


def is_regional(method: str) -> bool:
    """Tell whether a method fits regions.

    Parameters
    ----------
    method : str
        Name of the method.

    Returns
    -------
    bool
        True for those of `hemopic.METHODS`.
    """
    return method in hemopic.METHODS


def needs_artery(settings: Settings, inputs: UserInputs) -> bool:
    """Tell whether an arterial curve goes into the maps.

    Parameters
    ----------
    settings : Settings
        With the method.
    inputs : UserInputs
        A given arterial curve is always used.

    Returns
    -------
    bool
        False for a regional method whose input is the reference curve.
    """
    if not is_regional(settings.method):
        return True
    options = hemopic.METHODS[settings.method].complete(settings.method_options)
    return inputs.aif is not None or inputs.aif_points is not None or options.get(INPUT, ARTERY) == ARTERY


def check_regional(modality: str, settings: Settings, inputs: UserInputs) -> None:
    """Refuse a method for a scan it is not made for, and tissue labels that nobody would use.

    Parameters
    ----------
    modality : str
        Of the scan.
    settings : Settings
        With the method.
    inputs : UserInputs
        What the user gave.

    Raises
    ------
    InvalidInputError
        If they do not go together.
    """
    method = settings.method
    if is_regional(method) and modality not in hemopic.METHODS[method].modalities:
        msg = (
            f"The method '{method}' is made for DSC-MRI, but the series is of modality '{modality}'. "
            "Choose another method, such as bayes or spatial."
        )
        raise InvalidInputError(msg)
    if inputs.tissue_labels is not None and not is_regional(method):
        msg = f"Tissue labels serve the methods {' and '.join(hemopic.METHODS)} only, not '{method}'. Leave them out."
        raise InvalidInputError(msg)
    if needs_artery(settings, inputs):
        return
    if inputs.vof is not None:
        msg = f"A venous curve belongs to an arterial one, but '{method}' uses no artery here. Give an arterial curve as well."
        raise InvalidInputError(msg)
    preset = settings.preset_used
    if preset.hypoperfusion_rule == "cbf" or preset.core_rule == "cbv":
        msg = (
            f"The preset '{settings.preset}' compares absolute flow and volume, but '{method}' without an artery gives relative "
            "ones. Choose another preset, or give an arterial curve (or the option input=aif)."
        )
        raise InvalidInputError(msg)


def reference_input(concentration: Concentration, masks: TissueMasks) -> InputFunction:
    """Return the curve that stands in for an artery.

    Parameters
    ----------
    concentration : Concentration
        Of the scan.
    masks : TissueMasks
        Of the scan.

    Returns
    -------
    InputFunction
        Of kind ``reference``.
    """
    return hemopic.reference_curve(concentration.data, concentration.times_s, mask=_where(concentration, masks))


def _where(concentration: Concentration, masks: TissueMasks) -> BoolArray:
    """Where regions are: within the brain, not in the edge that is kept around it for the curves of sinuses."""
    return concentration.mask & masks.brain


def flow_scale(modality: str, aif: InputFunction, settings: Settings) -> str:
    """Say what flow and volume can be compared with.

    Parameters
    ----------
    modality : str
        Of the scan.
    aif : InputFunction
        The curve that went in.
    settings : Settings
        Of the run.

    Returns
    -------
    str
        ``relative`` (no artery: ratios within the scan), ``white_matter`` (DSC-MRI scaled to normal white matter), ``absolute``.
    """
    if aif.kind == "reference":
        return "relative"
    return "white_matter" if modality == "dsc" and settings.scale_to_white_matter else "absolute"


def fit_regions(
    concentration: Concentration,
    aif: InputFunction,
    settings: Settings,
    inputs: UserInputs,
    masks: TissueMasks,
    provenance: Provenance,
    progress: ProgressCallback,
    watch: FitWatch,
) -> Regional:
    """Fit regions and make maps.

    Parameters
    ----------
    concentration : Concentration
        Change of relaxation.
    aif : InputFunction
        Arterial curve or reference curve.
    settings : Settings
        Of the run.
    inputs : UserInputs
        With tissue labels, when there are any.
    masks : TissueMasks
        Of the scan.
    provenance : Provenance
        Of the run; returned with what is particular to regional methods.
    progress : callable
        Progress.
    watch : FitWatch
        Takes what is to be noted.

    Returns
    -------
    Regional
        Maps, status, regions.
    """
    method = settings.method
    relative = aif.kind == "reference"
    priors = _priors(concentration, aif, settings, masks, part_of(progress, 0.0, 0.5)) if starts_from_maps(method) else None
    arrays, regions = hemopic.fit(
        concentration.data,
        concentration.times_s,
        method=method,
        mask=_where(concentration, masks),
        affine=concentration.affine,
        baseline=concentration.baseline,
        aif=None if relative else aif.values,
        labels=_labels(inputs, concentration, masks, method),
        priors=priors,
        settings=dict(settings.method_options),
        device=settings.device,
        density=settings.density,
        hematocrit_factor=settings.hematocrit_factor,
        progress=part_of(progress, 0.0 if priors is None else 0.5, 1.0),
        watch=watch,
    )
    quality = arrays.pop("quality", None)
    used = {**provenance.settings, INPUT: aif.kind}
    used |= {"status_codes": {str(int(code)): code.name.lower().replace("_", " ") for code in deconvolution.QualityCode}}
    used |= {} if priors is None else {"priors": PRIOR_METHOD}
    provenance = replace(provenance, method=threshold_key(method, aif), settings=used)
    borrowed = tuple(
        PerfusionMap(priors[key], concentration.affine, QUANTITIES[key], None, replace(provenance, method=PRIOR_METHOD))
        for key in _OF_PRIORS
        if priors is not None and key not in arrays
    )
    known = {key: values for key, values in arrays.items() if key in QUANTITIES}
    units = {key: RELATIVE if relative and key in _SCALED else unit_of(key, settings.density) for key in known}
    maps = PerfusionMaps.from_arrays(known, concentration.affine, provenance=provenance, units=units, quality=quality)
    return Regional(maps.added(*borrowed), regions, provenance)


def threshold_key(method: str, aif: InputFunction) -> str:
    """Return the name under which thresholds know maps of a method: they differ with and without an artery.

    Parameters
    ----------
    method : str
        Name of the method.
    aif : InputFunction
        The curve that went in.

    Returns
    -------
    str
        ``hemopic`` without an artery, ``hemopic-aif`` with one; the method itself for all others.
    """
    return f"{method}-{ARTERY}" if method == "hemopic" and aif.kind != "reference" else method


def starts_from_maps(method: str) -> bool:
    """Tell whether a method needs finished maps to start from, as the published one does.

    Parameters
    ----------
    method : str
        Name of the method.

    Returns
    -------
    bool
        True for ``hemopic-compat``.
    """
    return method == "hemopic-compat"


def _priors(
    concentration: Concentration, aif: InputFunction, settings: Settings, masks: TissueMasks, progress: ProgressCallback
) -> dict[str, NDArray[np.float32]]:
    """Make the maps that the published method starts from, by deconvolution of the same scan."""
    exclude = masks.csf | masks.vessel | masks.bone
    curves = prepare.smoothed_curves(concentration, method="similarity", exclude=exclude, progress=part_of(progress, 0.0, 0.7))
    found = deconvolution.deconvolve(
        curves, aif.values, concentration.times_s, method=PRIOR_METHOD, density=settings.density,
        hematocrit_factor=settings.hematocrit_factor, progress=part_of(progress, 0.7, 1.0),
    )  # fmt: skip
    maps = {}
    for key in ("cbf", "cbv", "mtt", *_OF_PRIORS):
        maps[key] = np.full(concentration.mask.shape, np.nan, np.float32)
        maps[key][concentration.mask] = found[key]
    return maps


def _labels(inputs: UserInputs, concentration: Concentration, masks: TissueMasks, method: str) -> NDArray[np.uint8] | None:
    """Return tissue classes 0 to 4; labels of FreeSurfer and SynthSeg are collapsed, for the published method as published."""
    if inputs.tissue_labels is None:
        return _estimated(concentration, masks) if starts_from_maps(method) else None
    labels = whole_numbers(np.asarray(inputs.tissue_labels))
    if labels.max(initial=0) <= BRAIN_STEM and labels.min(initial=0) >= 0:
        return labels.astype(np.uint8)
    return collapse(labels, PUBLISHED if starts_from_maps(method) else CORRECTED)


def _estimated(concentration: Concentration, masks: TissueMasks) -> NDArray[np.uint8]:
    """Estimate gray matter, white matter and fluid from the scan, for a method that cannot do it itself."""
    inside = _where(concentration, masks)
    features = curve_features(concentration.data[inside], concentration.times_s)
    labels = np.zeros(inside.shape, np.uint8)
    labels[inside] = estimate_tissue(
        features, concentration.baseline[inside], np.flatnonzero(inside), inside.shape, concentration.affine
    )
    return labels


def findings_of(aif: InputFunction, settings: Settings, inputs: UserInputs) -> tuple[QualityFinding, ...]:
    """Say what flow, volume and times of a regional method mean.

    Parameters
    ----------
    aif : InputFunction
        The curve that went in.
    settings : Settings
        Of the run.
    inputs : UserInputs
        With tissue labels, when there are any.

    Returns
    -------
    tuple of QualityFinding
        For the report.
    """
    if not is_regional(settings.method):
        return ()
    found = []
    if aif.kind == "reference":
        found.append(_about_reference(threshold_key(settings.method, aif), settings.preset_used))
    if starts_from_maps(settings.method):
        text = (
            "The published method starts from finished maps and makes no Tmax: CBF, CBV and MTT that it starts from, and Tmax "
            f"and delay of the results, come from the block-circulant SVD ({PRIOR_METHOD}) of this scan."
        )
        advice = "Its flow and volume follow those maps by construction; choose 'hemopic' for a fit that needs none."
        found.append(QualityFinding("hemopic_priors", "info", text, advice))
    if inputs.tissue_labels is None:
        text = "No tissue labels were given, so gray matter, white matter and fluid were estimated from the scan itself."
        found.append(
            QualityFinding("tissue_estimated", "info", text, "Give labels of an anatomical scan for regions by anatomy.")
        )
    return tuple(found)


def _about_reference(key: str, preset: lesion.Preset) -> QualityFinding:
    shift = preset.offset(key)
    moved = f"lowered by {-shift:g} s" if shift < 0 else f"raised by {shift:g} s" if shift > 0 else "left as they are"
    text = (
        "Delay and Tmax count from the arrival of blood in early normal tissue, because the input is a reference curve (mean of "
        f"tissue) and no artery; thresholds of Tmax were {moved} to mean the same as after an artery."
    )
    advice = "That was measured on simulated patients; choose input=aif, or give an arterial curve, for times after the artery."
    return QualityFinding("no_artery", "info", text, advice)


def with_meaning(metrics: Metrics, modality: str, aif: InputFunction, settings: Settings, regions: RegionFit | None) -> Metrics:
    """Add what flow, volume and times of a case can be compared with.

    Parameters
    ----------
    metrics : Metrics
        Numbers of the case.
    modality : str
        Of the scan.
    aif : InputFunction
        The curve that went in.
    settings : Settings
        Of the run.
    regions : RegionFit or None
        Regions, when the method fitted some.

    Returns
    -------
    Metrics
        With ``flow_scale`` and ``times_from``; without an artery also ``reference_curve``, with regions their number.
    """
    relative = aif.kind == "reference"
    values = {**metrics.values, "flow_scale": flow_scale(modality, aif, settings)}
    values["times_from"] = "early normal tissue" if relative else "artery"
    notes = dict(metrics.notes)
    if relative:
        values["reference_curve"] = {"origin": aif.origin, **{key: float(value) for key, value in aif.quality.items()}}
        notes["aif"] = "No artery was used: the input is a reference curve (mean of tissue)."
        notes["aif_vof_delay_s"] = "It needs an arterial curve, and this method uses none."
    if regions is not None:
        values["regions"] = {"count": len(regions.rows), "relative": regions.relative}
    return replace(metrics, values=plain(values), notes=notes)


def on_scale_of(maps: PerfusionMaps, before: PerfusionMaps, regions: RegionFit | None) -> RegionFit | None:
    """Bring flow and volume of the table of regions to the scale that the maps were brought to.

    Parameters
    ----------
    maps : PerfusionMaps
        As they are reported.
    before : PerfusionMaps
        As the method made them.
    regions : RegionFit or None
        Regions, on the scale of the method.

    Returns
    -------
    RegionFit or None
        Regions, on the scale of the maps.
    """
    if regions is None or maps["cbv"].values is before["cbv"].values:
        return regions
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = maps["cbv"].values / before["cbv"].values
    usable = ratio[np.isfinite(ratio)]
    factor = float(np.median(usable)) if usable.size else 1.0
    rows = tuple({key: factor * value if key in _SCALED_ROWS else value for key, value in row.items()} for row in regions.rows)
    return replace(regions, rows=rows)
