# SPDX-License-Identifier: Apache-2.0
"""All numbers of a case, with the keys of ``metrics.json`` (ct-perfusion-auto 17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.files import plain
from ..core.findings import QualityFinding
from ..core.geometry import voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.quantities import RELATIVE
from ..core.values import InputFunction, LesionMasks, Metrics
from .indices import AIF_VOF_DELAY_PERCENTILES_S, aif_vof_delay, cbv_indices, relative_blood_volume
from .presets import Preset, preset_of
from .reference import normal_value
from .trials import trial_criteria
from .venous import prolonged_venous_transit, venous_regions, with_drawn
from .volumes import grid_facts, hemisphere_volumes, level_volumes, slice_statistics

SCHEMA = "perfusion-suite/metrics/1"
_NO_FOLLOW_UP = "It needs a follow-up scan."
_OTHER_SIDE = {"left": "right", "right": "left"}


def metrics(
    maps: PerfusionMaps,
    lesions: LesionMasks,
    *,
    aif: InputFunction | None = None,
    vof: InputFunction | None = None,
    case_id: str = "case",
    acquisition: Mapping[str, Any] | None = None,
    software: str = "Perfusion Suite",
    settings: Mapping[str, Any] | None = None,
    findings: Sequence[QualityFinding] = (),
    age_years: float | None = None,
    nihss: int | None = None,
    follow_up: Mapping[str, Any] | None = None,
) -> Metrics:
    """Measure lesions and collateral indices.

    Parameters
    ----------
    maps : PerfusionMaps
        As returned by `segment`.
    lesions : LesionMasks
        As returned by `segment`, or edited by hand.
    aif, vof : InputFunction, optional
        Curves for the delay between them; the voxels of the VOF help to find the sinuses.
    case_id : str
        De-identified name of the case.
    acquisition : mapping, optional
        Facts about the scan.
    software : str
        Name and version.
    settings : mapping, optional
        Settings of the run.
    findings : sequence of QualityFinding
        Findings of the whole chain; those of the lesions are added when they are missing.
    age_years, nihss : number, optional
        For the DAWN criteria.
    follow_up : mapping, optional
        Numbers of `follow_up_change`, for the change of hypoperfusion since then.

    Returns
    -------
    Metrics
        Plain JSON values without NaN or infinities; `notes` says why a value is None.
    """
    preset = preset_of(lesions.thresholds)
    offset = float(lesions.thresholds.get("tmax_offset_s", 0.0))
    found = tuple(dict.fromkeys((*findings, *lesions.findings)))
    volumes = level_volumes(maps, lesions, preset, offset)
    numbers, notes = _volumes(maps, lesions, volumes["volumes_ml"], preset)
    cbv, cbv_notes = cbv_indices(maps, lesions, preset, float(lesions.thresholds.get("reference_offset_s", offset)))
    relative, relative_notes = relative_blood_volume(maps, lesions)
    changes, change_notes = _changes(aif, vof, follow_up)
    notes |= cbv_notes | relative_notes | change_notes
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "software": software,
        "case_id": case_id,
        "input": grid_facts(maps),
        "acquisition": dict(acquisition or {}),
        "aif": _curve(aif),
        "vof": _curve(vof),
        "method": _method(maps, lesions, settings),
        "thresholds": dict(lesions.thresholds),
        "reference": _reference(maps, lesions, preset),
        "affected_side": lesions.side,
        "affected_side_from": lesions.thresholds.get("side_from", "hypoperfusion"),
        **volumes,
        **numbers,
        **cbv,
        **relative,
        **changes,
        "pvt": _venous(maps, lesions, vof, preset, offset),
        "hemispheres": hemisphere_volumes(lesions),
        "slice_statistics": slice_statistics(lesions),
        "trials": trial_criteria(
            numbers["infarct_core_volume_ml"],
            numbers["hypoperfusion_volume_ml"],
            age_years=age_years,
            nihss=nihss,
            flags={finding.code for finding in found},
        ),
        "quality": _quality(found, lesions),
        "warnings": [f"{f.message} {f.advice}".strip() for f in found if f.severity != "info"],
    }
    if any(maps[key].unit == RELATIVE for key in ("cbf", "cbv") if key in maps):
        values["flow_scale"] = RELATIVE
    values["aliases"] = _aliases(values, lesions)
    values["notes"] = notes
    return Metrics(plain(values), notes)


def _changes(
    aif: InputFunction | None, vof: InputFunction | None, follow_up: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """From the artery to the vein, and from this scan to a later one; with the reasons for what is missing."""
    delay = aif_vof_delay(aif, vof)
    prr = None if follow_up is None else follow_up.get("prr_percent")
    notes = {} if delay is not None else {"aif_vof_delay_s": "It needs an arterial and a venous curve."}
    if prr is None:
        notes["prr_percent"] = _NO_FOLLOW_UP if follow_up is None else "The baseline has no hypoperfusion."
    values = {
        "prr_percent": prr,
        "follow_up": None if follow_up is None else dict(follow_up),
        "aif_vof_delay_s": delay,
        "aif_vof_delay_percentiles_s": dict(AIF_VOF_DELAY_PERCENTILES_S),
    }
    return values, notes


def _volumes(
    maps: PerfusionMaps, lesions: LesionMasks, levels: Mapping[str, float], preset: Preset
) -> tuple[dict[str, Any], dict[str, str]]:
    voxel_ml = voxel_volume_ml(maps.affine)
    hypoperfusion, core, penumbra = (
        round(int(mask.sum()) * voxel_ml, 4) for mask in (lesions.hypoperfusion, lesions.core, lesions.penumbra)
    )
    notes: dict[str, str] = {}
    if not core:
        notes["mismatch_ratio"] = "There is no core, so the ratio has no value; the mismatch volume is given."
    base, severe = levels.get(f"tmax_gt_{preset.tmax_s:g}"), levels.get(f"tmax_gt_{preset.severe_tmax_s:g}")
    if not base or severe is None:
        notes["hir"] = f"No tissue is hypoperfused by Tmax above {preset.tmax_s:g} s."
    if not hypoperfusion:
        notes["penumbra_fraction_percent"] = "There is no hypoperfusion."
    return {
        "hypoperfusion_volume_ml": hypoperfusion,
        "infarct_core_volume_ml": core,
        "penumbra_volume_ml": penumbra,
        "mismatch_volume_ml": round(hypoperfusion - core, 4),
        "mismatch_ratio": hypoperfusion / core if core else None,
        "mismatch_note": notes.get("mismatch_ratio"),
        "hir": severe / base if base and severe is not None else None,
        "penumbra_fraction_percent": 100.0 * penumbra / hypoperfusion if hypoperfusion else None,
    }, notes


def _reference(maps: PerfusionMaps, lesions: LesionMasks, preset: Preset) -> dict[str, Any]:
    region = lesions.thresholds.get("reference_region")
    normal = {
        key: normal_value(maps[key].values, lesions.reference, preset.reference_statistic)
        for key in ("cbf", "cbv")
        if key in maps
    }
    return {
        "side": region or _OTHER_SIDE.get(lesions.side, "global"),
        "statistic": preset.reference_statistic,
        "cbf": normal.get("cbf"),
        "cbv": normal.get("cbv"),
        "voxels": int(lesions.reference.sum()),
        "midplane": [float(v) for v in lesions.midplane],
        "midplane_from": lesions.thresholds.get("midplane_from"),
    }


def _method(maps: PerfusionMaps, lesions: LesionMasks, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    provenance = maps["tmax"].provenance
    return {
        "name": lesions.thresholds.get("method") or provenance.method,
        "preset": lesions.thresholds.get("preset"),
        "tmax_meaning": "delay + MTT/2 after the method's offset",
        "settings": dict(settings if settings is not None else provenance.settings),
        "software": provenance.software,
    }


def _curve(curve: InputFunction | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    return {
        "origin": curve.origin,
        "score": curve.score,
        "scale": curve.scale,
        "voxels": len(curve.voxels),
        "center_voxel": [round(float(v), 2) for v in curve.voxels.mean(axis=0)] if len(curve.voxels) else None,
        "flags": list(curve.flags),
        **{key: float(value) for key, value in curve.quality.items()},
    }


def _venous(
    maps: PerfusionMaps, lesions: LesionMasks, vof: InputFunction | None, preset: Preset, offset_s: float
) -> dict[str, Any]:
    known = {name: lesions.extra[name] for name in ("sss", "torcula") if name in lesions.extra}
    brain = lesions.extra.get("brain", lesions.tissue)
    vessel = lesions.extra.get("vessel")
    found = venous_regions(maps, brain, lesions.midplane, vessel=vessel, vof=vof)
    # Known ones were found by `segment` from all vessels, or painted by the user.
    regions = with_drawn(found, known, np.zeros(maps.shape, bool) if vessel is None else vessel)
    result = prolonged_venous_transit(maps, regions, threshold_s=preset.venous_tmax_s + offset_s)
    drawn = lesions.thresholds.get("drawn_sinuses", ())
    origin = {name: "mask" if name in drawn else "automatic" for name in regions.masks}
    return {**result, "tmax_threshold_s": preset.venous_tmax_s, "regions_from": origin}


def _quality(findings: Sequence[QualityFinding], lesions: LesionMasks) -> dict[str, Any]:
    return {
        "flags": list(dict.fromkeys(f.code for f in findings)),
        "usable": not any(f.severity == "error" for f in findings),
        "removed_percent": lesions.thresholds.get("removed_percent", {}),
        "findings": [{"code": f.code, "severity": f.severity, "message": f.message, "advice": f.advice} for f in findings],
    }


def _aliases(values: Mapping[str, Any], lesions: LesionMasks) -> dict[str, Any]:
    """The keys of the published program's README, so that its tables can be filled."""
    return {
        "Corrected_CBV_Index": values["corrected_cbv_index"],
        "Conventional_CBV_Index": values["conventional_cbv_index"],
        "HIR": values["hir"],
        "Mismatch_Ratio": values["mismatch_ratio"],
        "PVT_sec": values["aif_vof_delay_s"],
        "PRR_percent": values["prr_percent"],
        "hypoperfusion_vox": int(lesions.hypoperfusion.sum()),
        "core_vox": int(lesions.core.sum()),
        "penumbra_vox": int(lesions.penumbra.sum()),
    }
