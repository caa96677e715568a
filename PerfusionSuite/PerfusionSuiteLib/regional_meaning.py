# SPDX-License-Identifier: Apache-2.0
"""What the results of methods that fit regions mean: on which scale flow is, where times count from, which thresholds fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import lesion
from .core import InputFunction, Metrics, PerfusionMaps, QualityFinding, RegionFit
from .core.files import plain
from .regional import PRIOR_METHOD, is_regional, starts_from_maps, threshold_key
from .settings import Settings, UserInputs

_SCALED_ROWS = ("cbf", "cbv", "F_fit", "V_fit", "F_prior", "V_prior")


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
