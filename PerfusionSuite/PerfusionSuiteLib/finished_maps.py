# SPDX-License-Identifier: Apache-2.0
"""Lesions, indices and a comparison with a later scan from finished maps: what panels, jobs and ``segment`` call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import lesion, pipeline, results
from .core import (
    LesionMasks,
    PerfusionMaps,
    PerfusionSeries,
    ProgressCallback,
    QualityFinding,
    TissueMasks,
    part_of,
)
from .lesion.core_network import check_modality
from .measurement import cautions, compared, ct_like
from .settings import LaterScan, UserInputs


def analyze_maps(
    maps: PerfusionMaps,
    *,
    masks: TissueMasks | None = None,
    inputs: UserInputs | None = None,
    preset: str = "ct-perfusion-auto",
    thresholds: Mapping[str, Any] | None = None,
    method: str = "",
    modality: str = "",
    case_id: str = "case",
    core: Any | None = None,
    hypoperfusion: Any | None = None,
    findings: Sequence[QualityFinding] = (),
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> results.MapStudy:
    """Segment and measure finished maps.

    Parameters
    ----------
    maps : PerfusionMaps
        ``tmax`` and what the preset needs; ``baseline`` helps to find the mid-sagittal plane, registers a
        follow-up and, of CT, tells gray from white matter.
    masks : TissueMasks, optional
        Which voxels count; without them tissue is found from the maps.
    inputs : UserInputs, optional
        Regions, curves, side, plane, examination and follow-up of the user, on the grid of the maps.
    preset : str
        Threshold preset.
    thresholds : mapping, optional
        Thresholds that replace those of the preset, see `lesion.edited_preset`.
    method : str
        How Tmax was made, for its offset; by default from the map's provenance.
    modality : str
        Of the scan; empty when it is not known.
    case_id : str
        De-identified name of the case.
    core, hypoperfusion : array-like of bool, shape (I, J, K), optional
        Lesions as they were edited by hand, which are measured as they are.
    findings : sequence of QualityFinding
        What is known about the maps: how they were imported.
    device : str
        Where a network that draws the core runs: ``auto``, ``cpu`` or ``cuda[:n]``.
    progress : callable, optional
        Progress.

    Returns
    -------
    MapStudy
        For `results.write`.

    Raises
    ------
    InvalidInputError
        If maps, thresholds or the follow-up cannot be used.
    GridMismatchError
        If a region has another shape than the maps.
    """
    given = inputs or UserInputs()
    method = method or maps["tmax"].provenance.method if "tmax" in maps else method
    settings = _settings(method, preset, thresholds)
    if settings.preset_used.core_rule == "network" and core is None:
        check_modality(settings.preset_used.core_network, modality)
    share = 0.6 if isinstance(given.follow_up, PerfusionSeries) else 0.1
    later = _later(given.follow_up, settings, part_of(progress, 0.0, share))
    part_of(progress, share, 1.0)(0.1, "Core and penumbra")
    image = _baseline(maps, masks, modality)
    maps, lesions = lesion.segment(
        _with_known_unit(maps),
        masks=masks,
        preset=settings.preset_used,
        roi_mask=given.roi_mask,
        contra_mask=given.contra_mask,
        midplane=given.midplane,
        baseline=image,
        method=method,
        vof=given.vof,
        side=given.side,
        sss=given.sss,
        torcula=given.torcula,
        core=core,
        device=device,
    )
    lesions = _edited(lesions, {"core": core, "hypoperfusion": hypoperfusion})
    change = None
    if later is not None:
        lesions, change = compared(lesions, image, later, modality=modality, method=method)
    part_of(progress, share, 1.0)(0.6, "Metrics")
    doubts = cautions(lesions, settings.preset_used, modality) if core is None else ()
    found = tuple(dict.fromkeys((*findings, *doubts, *_of_curves(given), *lesions.findings)))
    used = {"preset": preset, "thresholds": dict(settings.thresholds), **({"method": method} if method else {})}
    metrics = lesion.metrics(
        maps,
        lesions,
        aif=given.aif,
        vof=given.vof,
        case_id=case_id,
        software=pipeline.SOFTWARE,
        settings=used,
        findings=found,
        acquisition={"modality": modality} if modality else None,
        age_years=given.age_years,
        nihss=given.nihss,
        follow_up=change,
    )
    made = tuple(key for key in ("rcbf", "rcbv", "core_probability") if key in maps)
    tissue = results.masks_of(lesions, masks)
    return results.MapStudy(case_id, maps, lesions, metrics, tissue, given.aif, given.vof, made, modality or "ctp", used, found)


def _settings(method: str, preset: str, thresholds: Mapping[str, Any] | None) -> pipeline.Settings:
    """Settings of the run that these maps could come from; a foreign method counts as the default one."""
    known = method if method in pipeline.methods() else pipeline.DEFAULT_METHOD
    return pipeline.Settings(method=known, preset=preset, thresholds=thresholds or {})


def _later(given: Any, settings: pipeline.Settings, progress: ProgressCallback) -> LaterScan | None:
    if given is None or isinstance(given, LaterScan):
        return given
    return pipeline.follow_up_of(given, settings, progress=progress)


def _baseline(maps: PerfusionMaps, masks: TissueMasks | None, modality: str) -> NDArray[np.float32] | None:
    """The baseline on the gray scale of CT, when there is one; MR needs to know where the brain is."""
    if "baseline" not in maps:
        return None
    values = maps["baseline"].values
    if (modality or "ctp") == "ctp":
        return values
    return None if masks is None else ct_like(values, masks.brain, masks.tissue, modality)


def _with_known_unit(maps: PerfusionMaps) -> PerfusionMaps:
    """Bring a map of diffusion to the unit of its threshold."""
    if "adc" not in maps or "tmax" not in maps:
        return maps
    tmax = maps["tmax"].values
    values, _ = lesion.adc_map(maps["adc"].values, np.isfinite(tmax) & (tmax != 0))
    return maps.added(replace(maps["adc"], values=values))


def _edited(lesions: LesionMasks, by_hand: Mapping[str, Any]) -> LesionMasks:
    """Replace lesions by what was edited; the record says so, since no threshold describes them any more."""
    masks: dict[str, Any] = {name: np.asarray(mask, bool) for name, mask in by_hand.items() if mask is not None}
    if not masks:
        return lesions
    lesions = replace(lesions, **masks, thresholds={**lesions.thresholds, "edited_by_hand": list(masks)})
    return replace(lesions, penumbra=lesions.hypoperfusion & ~lesions.core)


def _of_curves(inputs: UserInputs) -> tuple[QualityFinding, ...]:
    return tuple(finding for curve in (inputs.aif, inputs.vof) if curve is not None for finding in curve.findings)


def _of_method(method: str) -> tuple[QualityFinding, ...]:
    """Say when thresholds could not be fitted to what this Tmax means."""
    if method:
        return ()
    text = "Nobody says how the Tmax map was made, so the thresholds were applied to it as they are."
    return (QualityFinding("tmax_method_unknown", "info", text, "Name the method if the map is one of this program's."),)
