# SPDX-License-Identifier: Apache-2.0
"""From maps to lesions: with what the user drew, what a tumor needs, and a second scan of the patient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import lesion
from .core import (
    Concentration,
    InputFunction,
    InvalidInputError,
    LesionMasks,
    PerfusionMaps,
    PerfusionSeries,
    QualityFinding,
    TissueMasks,
)
from .core.geometry import BoolArray
from .lesion.core_network import check_modality
from .lesion.presets import Preset
from .settings import LaterScan, Settings, UserInputs


@dataclass(frozen=True, slots=True)
class Found:
    """Lesions of a scan and numbers that come from elsewhere than maps and masks.

    Parameters
    ----------
    maps : PerfusionMaps
        With relative maps.
    lesions : LesionMasks
        The lesions; ``resolved persistent new`` in ``extra`` when there is a later scan.
    follow_up : dict or None
        Numbers of the comparison with it.
    tumor : dict
        ``tumor`` with its blood volume, or empty.
    """

    maps: PerfusionMaps
    lesions: LesionMasks
    follow_up: dict[str, Any] | None = None
    tumor: dict[str, Any] = field(default_factory=dict)


def find_lesions(
    maps: PerfusionMaps,
    concentration: Concentration,
    masks: TissueMasks,
    settings: Settings,
    inputs: UserInputs,
    *,
    modality: str,
    vof: InputFunction | None = None,
    later: LaterScan | None = None,
    method: str | None = None,
) -> Found:
    """Segment lesions and compare them with those of a later scan.

    Parameters
    ----------
    maps : PerfusionMaps
        Of the scan.
    concentration : Concentration
        Its baseline serves the mid-sagittal plane and the registration.
    masks : TissueMasks
        Of the scan.
    settings, inputs
        Choices, and what the user gave.
    modality : str
        Of the scan.
    vof : InputFunction, optional
        Helps to find the sinuses.
    later : LaterScan, optional
        A later scan of the patient, see `later_scan`.
    method : str, optional
        Under which name thresholds know the maps, when it is not that of the settings.

    Returns
    -------
    Found
        What was found.

    Raises
    ------
    InvalidInputError
        If a region holds no tissue, or the later scan cannot be compared.
    """
    image = ct_like(concentration.baseline, masks.brain, masks.tissue, modality)
    maps, lesions = lesion.segment(
        maps,
        masks=masks,
        preset=settings.preset_used,
        roi_mask=inputs.roi_mask,
        contra_mask=inputs.contra_mask,
        midplane=inputs.midplane,
        baseline=image,
        method=method or settings.method,
        vof=vof,
        side=inputs.side,
        sss=inputs.sss,
        torcula=inputs.torcula,
        device=settings.device,
    )
    lesions = replace(
        lesions, findings=(*lesions.findings, *cautions(lesions, settings.preset_used, modality), *_no_tumor(settings, inputs))
    )
    numbers = None
    if later is not None:
        lesions, numbers = compared(lesions, image, later, modality=modality, method=method or settings.method)
    maps, tumor = _tumor(maps, masks, lesions, settings, inputs)
    return Found(maps, lesions, numbers, tumor)


def later_scan(
    maps: PerfusionMaps,
    settings: Settings,
    *,
    masks: TissueMasks | None = None,
    modality: str = "",
    method: str | None = None,
) -> LaterScan:
    """Segment finished maps of a later scan with the thresholds of the first.

    Parameters
    ----------
    maps : PerfusionMaps
        Of the later scan; their ``baseline`` serves the registration.
    settings : Settings
        Of the first scan.
    masks : TissueMasks, optional
        Of the later scan; without them tissue is found from the maps.
    modality : str
        Of the later scan; empty when it is not known.
    method : str, optional
        How its Tmax was made; by default from the map's provenance.

    Returns
    -------
    LaterScan
        For `find_lesions`.

    Raises
    ------
    InvalidInputError
        If the maps cannot be segmented.
    """
    preset = settings.preset_used
    _, lesions = lesion.segment(maps, masks=masks, preset=preset, method=method, device=settings.device)
    image = None
    if "baseline" in maps:
        brain = lesions.extra.get("brain", lesions.tissue)
        image = ct_like(maps["baseline"].values, brain, lesions.tissue, modality or "ctp")
    return LaterScan(lesions, image, modality)


def compared(
    lesions: LesionMasks, image: NDArray[Any] | None, later: LaterScan, *, modality: str = "", method: str | None = None
) -> tuple[LesionMasks, dict[str, Any]]:
    """Compare hypoperfusion with that of a later scan.

    Parameters
    ----------
    lesions : LesionMasks
        Of the first scan.
    image : ndarray, shape (I, J, K), HU, or None
        Its baseline.
    later : LaterScan
        The later scan.
    modality : str
        Of the first scan; empty when it is not known.
    method : str, optional
        How the first scan's Tmax was made.

    Returns
    -------
    lesions : LesionMasks
        With the regions ``resolved persistent new`` and what was odd.
    numbers : dict
        See `lesion.FollowUp`.

    Raises
    ------
    InvalidInputError
        If the two are of different modalities, or nothing tells how they lie to each other.
    """
    if modality and later.modality and modality != later.modality:
        msg = (
            f"The follow-up is of modality '{later.modality}', the first scan of '{modality}', so they cannot be registered. "
            "Give a follow-up of the same kind."
        )
        raise InvalidInputError(msg)
    change = lesion.follow_up_change(lesions, later.lesions, image=image, later_image=later.image)
    findings = (*lesions.findings, *change.findings)
    before, after = method or str(lesions.thresholds.get("method") or ""), str(later.lesions.thresholds.get("method") or "")
    if before != after:
        text = f"Tmax of the first scan was made by '{before or 'unknown'}', that of the follow-up by '{after or 'unknown'}'."
        advice = "Compute both with one method; Tmax means something else for each."
        findings = (*findings, QualityFinding("follow_up_other_method", "warning", text, advice))
    return replace(lesions, extra={**lesions.extra, **change.masks}, findings=findings), change.numbers


def ct_like(baseline: NDArray[np.float32], brain: BoolArray, tissue: BoolArray, modality: str) -> NDArray[np.float32]:
    """Return a baseline on the gray scale of CT, for the mid-sagittal plane and for registration.

    Parameters
    ----------
    baseline : ndarray, shape (I, J, K), HU or signal
        Mean before contrast.
    brain, tissue : ndarray of bool, shape (I, J, K)
        Masks; MR is shown within the brain only, with its tissue at 35.
    modality : str
        ``ctp`` is returned as it is.

    Returns
    -------
    ndarray, shape (I, J, K), HU
        The image.
    """
    if modality == "ctp":
        return baseline
    level = max(float(np.median(baseline[tissue])), 1e-6)
    return np.where(brain, np.clip(35.0 / level * baseline, 1.0, 90.0), 0.0).astype(np.float32)


def check_follow_up(series: PerfusionSeries, inputs: UserInputs) -> None:
    """Refuse a follow-up of another modality before any work is done.

    Parameters
    ----------
    series : PerfusionSeries
        The first scan.
    inputs : UserInputs
        What the user gave.

    Raises
    ------
    InvalidInputError
        If the modalities differ.
    """
    later = inputs.follow_up
    known = later.modality if isinstance(later, PerfusionSeries | LaterScan) else ""
    if known and known != series.modality:
        msg = f"The follow-up is of modality '{known}', the first scan of '{series.modality}'. Give two scans of the same kind."
        raise InvalidInputError(msg)


def cautions(lesions: LesionMasks, preset: Preset, modality: str) -> tuple[QualityFinding, ...]:
    """Say what the choice of a preset asks the reader to keep in mind.

    Parameters
    ----------
    lesions : LesionMasks
        As found by the preset.
    preset : Preset
        Its rules.
    modality : str
        Of the scan; empty when it is not known.

    Returns
    -------
    tuple of QualityFinding
        For the results.

    Raises
    ------
    InvalidInputError
        If the core's network has learned from scans of another kind.
    """
    found: list[QualityFinding] = []
    if preset.core_rule == "network":
        found += check_modality(preset.core_network, modality)
    if modality == "dsc" and preset.core_rule == "rcbf" and lesions.core.any():
        text = "The core was drawn by relative flow of DSC-MRI, which can be several times too large."
        found.append(QualityFinding("core_by_dsc_flow", "warning", text, "Give an ADC map to draw it by diffusion."))
    return tuple(found)


def _no_tumor(settings: Settings, inputs: UserInputs) -> tuple[QualityFinding, ...]:
    """A word to who asks for a tumor's blood volume and does not say where the tumor is."""
    if settings.preset != "tumor" or inputs.roi_mask is not None:
        return ()
    text = "No tumor was given, so its relative blood volume was not measured."
    return (QualityFinding("tumor_not_given", "info", text, "Give its region (--roi-mask, or the region of the panel)."),)


def _tumor(
    maps: PerfusionMaps, masks: TissueMasks, lesions: LesionMasks, settings: Settings, inputs: UserInputs
) -> tuple[PerfusionMaps, dict[str, Any]]:
    """Relative blood volume of a tumor, when one is given."""
    if settings.preset != "tumor" or inputs.roi_mask is None:
        return maps, {}
    rcbv, _, numbers = lesion.tumor_blood_volume(maps, masks, inputs.roi_mask, lesions.midplane, inputs.contra_mask)
    return maps.added(rcbv), {"tumor": dict(numbers)}
