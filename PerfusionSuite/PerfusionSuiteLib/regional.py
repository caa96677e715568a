# SPDX-License-Identifier: Apache-2.0
"""Methods that fit regions of DSC-MRI, as part of the chain: which curve goes in, tissue labels, priors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import deconvolution, hemopic, prepare
from .core import (
    Concentration,
    FitWatch,
    InputFunction,
    InvalidInputError,
    PerfusionMap,
    PerfusionMaps,
    ProgressCallback,
    Provenance,
    RegionFit,
    TissueMasks,
    part_of,
)
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
