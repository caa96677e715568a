# SPDX-License-Identifier: Apache-2.0
"""Hypoperfusion, core and penumbra by thresholds (ct-perfusion-auto 15)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, check_affine, voxel_volume_ml
from ..core.maps import PerfusionMap, PerfusionMaps
from ..core.quantities import QUANTITIES, RELATIVE
from ..core.values import InputFunction, LesionMasks, TissueMasks
from .clusters import without_small_clusters
from .core_network import core_probability
from .edited import differing
from .hypoperfusion import above, below, hypoperfused_tissue
from .midline import Midplane, check_mask, check_midplane, estimate_midplane
from .normal_timing import normal_timing
from .presets import Preset, find_preset
from .reference import Reference, normal_reference, normal_value
from .tissue import CountedTissue, counted_tissue
from .venous import venous_regions


@dataclass(frozen=True, slots=True)
class _Sides:
    """The plane and what was said about it."""

    plane: FloatArray
    origin: str
    findings: tuple[QualityFinding, ...] = ()


def segment(
    maps: PerfusionMaps,
    *,
    masks: TissueMasks | None = None,
    preset: str | Preset = "ct-perfusion-auto",
    roi_mask: Any | None = None,
    contra_mask: Any | None = None,
    midplane: Any | None = None,
    baseline: NDArray[Any] | None = None,
    method: str | None = None,
    vof: InputFunction | None = None,
    side: str | None = None,
    sss: Any | None = None,
    torcula: Any | None = None,
    core: Any | None = None,
    device: str = "auto",
) -> tuple[PerfusionMaps, LesionMasks]:
    """Segment hypoperfusion, core and penumbra.

    Parameters
    ----------
    maps : PerfusionMaps
        ``tmax`` (s) and ``cbf`` (or ``rcbf`` of any scale); ``cbv`` and ``delay`` when there are.
    masks : TissueMasks, optional
        From the preparation; without them, tissue is found from the maps themselves.
    preset : str or Preset
        A name of `PRESETS` or an edited preset.
    roi_mask : array-like of bool, shape (I, J, K), optional
        Cortical region on the side of the lesion, for the conventional CBV index.
    contra_mask : array-like of bool, shape (I, J, K), optional
        Normal region on the other side; replaces the automatic reference.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane ``n . x = d`` in RAS; estimated when missing.
    baseline : ndarray, shape (I, J, K), HU, optional
        Image that the plane is estimated from; by default the ``baseline`` map, which of CT tells gray from white matter, too.
    method : str, optional
        How Tmax was made, for its offset; by default from the map's provenance.
    vof : InputFunction, optional
        Its voxels help to find the venous sinuses.
    side : {"left", "right", "bilateral"}, optional
        The affected side of the patient, when it is known better than from the hypoperfused fractions.
    sss, torcula : array-like of bool, shape (I, J, K), optional
        Superior sagittal sinus and torcula as drawn by the user; they replace the regions that are found.
    core : array-like of bool, shape (I, J, K), optional
        Core as drawn by the user; no rule looks for one then, and no network runs.
    device : str
        Where a network runs: ``auto``, ``cpu`` or ``cuda[:n]``.

    Returns
    -------
    maps : PerfusionMaps
        The maps with ``rcbf`` and ``rcbv`` in % of normal tissue, and ``core_probability`` where a network draws the core.
    lesions : LesionMasks
        The masks with side, plane, reference, thresholds and findings.

    Raises
    ------
    InvalidInputError
        If a map that the preset needs is missing, or nothing counts as tissue or as normal.
    GridMismatchError
        If a mask has another shape than the maps.
    """
    preset = find_preset(preset)
    _check_maps(maps, preset)
    method = method if method is not None else maps["tmax"].provenance.method
    offset, factor = preset.offset(method), preset.flow_factor(method)
    regions = {"roi": roi_mask, "contra": contra_mask, "sss": sss, "torcula": torcula}
    given = {name: check_mask(f"{name} mask", mask, maps.shape) for name, mask in regions.items() if mask is not None}
    if masks is not None:
        check_mask("brain mask", masks.brain, maps.shape)
    counted = counted_tissue(maps, preset, masks=masks)
    sides = _mid_sagittal(maps, counted, midplane, baseline)
    normal = normal_timing(maps, counted.tissue, sides.plane) if preset.asks_for_lateness else None
    low_flow = hypoperfused_tissue(maps, preset, counted.tissue, offset, normal)
    reference = normal_reference(
        maps, counted.tissue, sides.plane, preset,
        hypoperfused=low_flow, offset_s=preset.reference_offset(method), contra_mask=given.get("contra"), side=side,
    )  # fmt: skip
    relative, findings = _relative_maps(maps, reference, preset)
    maps = maps.added(*relative)
    if preset.core_rule == "network" and core is None:
        probable, told = core_probability(maps, counted.tissue, reference, sides.plane, preset.core_network, method, device)
        maps, findings = maps.added(probable), findings + told
    hypoperfusion = without_small_clusters(low_flow, voxel_volume_ml(maps.affine), preset.min_cluster_ml)
    if core is not None:
        core = check_mask("core mask", core, maps.shape)
    else:
        core = core_tissue(maps, preset, counted.tissue, hypoperfusion, factor)
    findings += _core_findings(core, hypoperfusion, preset, maps)
    extra = {f"{name}_region": given[name] for name in ("roi", "contra") if name in given}
    extra |= venous_regions(maps, counted.brain, sides.plane, vessel=counted.vessel, vof=vof).masks
    drawn = {name: mask for name, mask in given.items() if name in ("sss", "torcula")}
    thresholds = _thresholds(maps, preset, method, counted, reference, sides)
    thresholds |= {"side_from": "manual" if side else "hypoperfusion", "drawn_sinuses": list(drawn)}
    if normal is not None:
        thresholds["normal_tmax_s"] = normal.as_dict()
    lesions = LesionMasks(
        hypoperfusion=hypoperfusion,
        core=core,
        penumbra=hypoperfusion & ~core,
        tissue=counted.tissue,
        reference=reference.mask,
        affine=maps.affine,
        side=reference.side,
        midplane=sides.plane,
        extra={"brain": counted.brain, "vessel": counted.vessel, **extra, **drawn},
        thresholds=thresholds,
        findings=(*sides.findings, *counted.findings, *reference.findings, *findings),
    )
    return maps, lesions


def _check_maps(maps: PerfusionMaps, preset: Preset) -> None:
    need = {"tmax"} | ({"delay"} if preset.hypoperfusion_rule == "delay" else set())
    need |= {"cbf"} if preset.hypoperfusion_rule == "cbf" else set()
    need |= {preset.core_rule} if preset.core_rule in ("cbv", "adc") else set()
    missing = sorted(need - set(maps))
    if preset.core_rule in ("rcbf", "network") and "cbf" not in maps and "rcbf" not in maps:
        missing.append("cbf or rcbf")
    if missing:
        msg = f"The preset '{preset.name}' needs the maps {', '.join(missing)}, which are missing. Compute or load them."
        raise InvalidInputError(msg)
    check_affine(maps.affine)
    absolute = {"cbf": preset.hypoperfusion_rule == "cbf", "cbv": preset.core_rule == "cbv"}
    if any(used and maps[key].unit == RELATIVE for key, used in absolute.items()):
        msg = (
            f"The preset '{preset.name}' compares absolute flow and volume, but the maps are relative (no artery was used). "
            "Choose another preset."
        )
        raise InvalidInputError(msg)


def _mid_sagittal(maps: PerfusionMaps, counted: CountedTissue, midplane: Any | None, baseline: NDArray[Any] | None) -> _Sides:
    if midplane is not None:
        return _Sides(check_midplane(midplane), "manual")
    if baseline is None and "baseline" in maps and maps["baseline"].unit == "HU":
        baseline = maps["baseline"].values
    found: Midplane
    if baseline is not None:
        if np.shape(baseline) != maps.shape:
            check_mask("baseline image", baseline, maps.shape)
        found, origin = estimate_midplane(baseline, maps.affine), "baseline"
    else:
        outline = counted.brain.astype(np.float32)
        found, origin = estimate_midplane(outline, maps.affine, head=counted.brain, window=(0.0, 1.0)), "outline"
    uncertain = any(finding.code == "midline_uncertain" for finding in found.findings)
    return _Sides(found.plane, "center" if uncertain else origin, found.findings)


def _relative_maps(maps: PerfusionMaps, reference: Reference, preset: Preset) -> tuple[list[PerfusionMap], list[QualityFinding]]:
    """Express flow and volume in % of normal tissue; a given rCBF of any scale is brought to the same reference."""
    relative, findings = [], []
    for key in ("cbf", "cbv"):
        source = maps.get(key) or maps.get(f"r{key}")
        if source is None:
            continue
        normal = normal_value(source.values, reference.mask, preset.reference_statistic)
        if not normal > 0:
            findings.append(
                QualityFinding(
                    f"no_normal_{key}",
                    "error",
                    f"The normal {QUANTITIES[key].symbol} is {normal:.3g}, so relative values cannot be computed.",
                    "Check the AIF and the reference region.",
                )
            )
            normal = float("nan")
        relative.append(relative_map(source, f"r{key}", normal))
    return relative, findings


def relative_map(source: PerfusionMap, key: str, normal: float) -> PerfusionMap:
    """Express a map in % of a normal value.

    Parameters
    ----------
    source : PerfusionMap
        The map.
    key : str
        Key of the relative quantity.
    normal : float
        Normal value, in the unit of the map.

    Returns
    -------
    PerfusionMap
        The relative map.
    """
    values = (100.0 / normal * source.values).astype(np.float32)
    return PerfusionMap(values, source.affine, QUANTITIES[key], source.quality, source.provenance)


def core_tissue(maps: PerfusionMaps, preset: Preset, tissue: BoolArray, hypoperfusion: BoolArray, factor: float) -> BoolArray:
    """Return the core, without small clusters.

    Parameters
    ----------
    maps : PerfusionMaps
        With the map that the preset's rule needs, such as ``rcbf``.
    preset : Preset
        Thresholds.
    tissue, hypoperfusion : ndarray of bool, shape (I, J, K)
        Voxels that count, and those that are hypoperfused.
    factor : float
        Flow factor of the method.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The core.
    """
    if preset.core_rule == "network":
        core = tissue & above(maps["core_probability"].values, preset.core_probability, preset.strict)
    elif preset.core_rule == "rcbf":
        core = tissue & below(maps["rcbf"].values, preset.rcbf_percent * factor, preset.strict)
    elif preset.core_rule == "adc":
        core = tissue & below(maps["adc"].values, preset.core_adc, preset.strict)
    else:
        core = tissue & below(maps["cbv"].values, preset.core_cbv, preset.strict)
    if preset.core_region == "hypoperfusion":
        core &= hypoperfusion
    return without_small_clusters(core, voxel_volume_ml(maps.affine), preset.min_cluster_ml)


def _core_findings(core: BoolArray, hypoperfusion: BoolArray, preset: Preset, maps: PerfusionMaps) -> list[QualityFinding]:
    findings = []
    outside = int((core & ~hypoperfusion).sum()) * voxel_volume_ml(maps.affine)
    if outside > 0.1 * int(core.sum()) * voxel_volume_ml(maps.affine):
        findings.append(
            QualityFinding(
                "core_outside_hypoperfusion",
                "warning",
                f"{outside:.1f} mL of the core lie outside of the hypoperfused tissue.",
                "Look for an old infarct, reperfusion or calcification; or let core count only inside hypoperfusion.",
            )
        )
    used = {"cbf": preset.hypoperfusion_cbf} if preset.hypoperfusion_rule == "cbf" else {}
    used |= {"cbv": preset.core_cbv} if preset.core_rule == "cbv" else {}
    if used:
        entered = {"cbf": "hypoperfusion_cbf", "cbv": "core_cbv"}
        usual = [entered[key] for key in used if entered[key] not in differing(preset)]
        note = f"; nobody has entered {' and '.join(usual)}" if usual else ""
        listed = ", ".join(f"{QUANTITIES[key].symbol} below {value:g} {maps[key].unit}" for key, value in used.items())
        findings.append(
            QualityFinding(
                "absolute_thresholds",
                "warning" if usual else "info",
                f"Absolute thresholds were applied: {listed}{note}.",
                "They depend on the scaling of the AIF; enter the values of your site (hypoperfusion_cbf, core_cbv).",
            )
        )
    return findings


def _thresholds(
    maps: PerfusionMaps,
    preset: Preset,
    method: str,
    counted: CountedTissue,
    reference: Reference,
    sides: _Sides,
) -> dict[str, Any]:
    """Everything that decided about the masks, as plain values."""
    return {
        "preset": preset.name,
        **preset.as_dict(),
        "core_network": Path(preset.core_network).name,
        "edited": differing(preset),
        "method": method,
        "tmax_offset_s": preset.offset(method),
        "tmax_applied_s": preset.tmax_s + preset.offset(method),
        "reference_offset_s": preset.reference_offset(method),
        "rcbf_factor": preset.flow_factor(method),
        "rcbf_applied_percent": round(preset.rcbf_percent * preset.flow_factor(method), 3),
        "removed_percent": counted.removed_percent,
        "reference_region": reference.region,
        "hypoperfused_fraction": {name: round(value, 4) for name, value in reference.fractions.items()},
        "midplane_from": sides.origin,
        "units": {key: maps[key].unit for key in ("cbf", "cbv") if key in maps},
    }
