# SPDX-License-Identifier: Apache-2.0
"""Indices of the report, each with what it rests on or why it is missing; hemispheres, slices and the follow-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .template import shown

VENOUS = {"none": "in neither sinus", "sss": "superior sagittal sinus", "torcula": "torcula", "both": "in both sinuses"}
_CHART = (260.0, 17.0)
"""Width of the bars and height of a row of the chart of slices, in its own units."""


def note_of(numbers: Mapping[str, Any], key: str) -> str:
    """Return why a number is missing.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.
    key : str
        Its key.

    Returns
    -------
    str
        A sentence, or nothing.
    """
    if key.startswith("pvt"):
        reasons = (numbers.get("pvt") or {}).get("reasons") or {}
        reason = str(reasons.get(key.removeprefix("pvt.").removesuffix("_tmax_s")) or "")
        return f"{reason[:1].upper()}{reason[1:].rstrip('.')}." if reason else ""
    notes = numbers.get("notes") or {}
    return str(notes.get(key) or numbers.get(f"{key}_note") or "")


def index_rows(numbers: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the indices beside the headline numbers.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    list of dict
        ``label``, ``value`` and ``note``: what the number rests on, or why it is missing.
    """
    pvt = numbers.get("pvt") or {}
    cbv_unit = ((numbers.get("input") or {}).get("maps") or {}).get("cbv", "mL/100g")
    rows = (
        ("Corrected CBV index", "corrected_cbv_index", numbers.get("corrected_cbv_index"), "", _cbv_basis(numbers)),
        ("Conventional CBV index", "conventional_cbv_index", numbers.get("conventional_cbv_index"), "", _regions(numbers)),
        ("Contralateral CBV", "contralateral_cbv", numbers.get("contralateral_cbv"), cbv_unit, ""),
        ("CBV of hypoperfused tissue", "rcbv_hypoperfusion_percent", numbers.get("rcbv_hypoperfusion_percent"), "%",
         "of the reference tissue"),
        ("Perfusion collateral index", "collateral_index_ml", numbers.get("collateral_index_ml"), "mL", _collateral(numbers)),
        ("Penumbra fraction", "penumbra_fraction_percent", numbers.get("penumbra_fraction_percent"), "%", "of hypoperfusion"),
        ("Reperfusion since baseline (PRR)", "prr_percent", numbers.get("prr_percent"), "%", "negative when hypoperfusion grew"),
        ("AIF to VOF peak delay", "aif_vof_delay_s", numbers.get("aif_vof_delay_s"), "s", _percentiles(numbers)),
        ("Prolonged venous transit", "pvt", VENOUS.get(pvt.get("status", ""), pvt.get("status")), "", _transit(pvt)),
        ("Tmax in the superior sagittal sinus", "pvt.sss_tmax_s", pvt.get("sss_tmax_s"), "s", _sinus(pvt, "sss")),
        ("Tmax at the torcula", "pvt.torcula_tmax_s", pvt.get("torcula_tmax_s"), "s", _sinus(pvt, "torcula")),
    )  # fmt: skip
    return [
        {
            "label": label,
            "value": f"{shown(value)} {unit if value is not None else ''}".strip(),
            "note": note_of(numbers, key) if value is None else basis,
        }
        for label, key, value, unit, basis in rows
    ]


def hemisphere_rows(numbers: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return volumes left and right of the mid-sagittal plane.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    list of dict
        One row per kind of tissue with ``label``, ``right`` and ``left``; empty when the metrics hold none.
    """
    halves = numbers.get("hemispheres") or {}
    if not {"left", "right"} <= set(halves):
        return []
    kinds = (("Hypoperfusion", "hypoperfusion_ml"), ("Core", "core_ml"), ("Penumbra", "penumbra_ml"), ("Tissue", "tissue_ml"))
    return [
        {"label": label, **{side: _volume(halves[side].get(key)) for side in ("right", "left")}}
        for label, key in kinds
        if key in halves["left"]
    ]


def slice_chart(numbers: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is needed to draw lesion areas by slice, from the top down.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    dict or None
        ``rows`` with bars (``y core penumbra``, in units of the drawing) and texts, ``width``, ``height``, ``largest``;
        None when no slice has a lesion.
    """
    rows: Sequence[Mapping[str, Any]] = numbers.get("slice_statistics") or ()
    areas = [(float(r.get("core_cm2") or 0.0), float(r.get("penumbra_cm2") or 0.0), r) for r in rows]
    largest = max((core + penumbra for core, penumbra, _ in areas), default=0.0)
    if largest <= 0.0:
        return None
    width, step = _CHART
    ordered = sorted(areas, key=lambda row: -float(row[2].get("position_mm") or 0.0))
    # Thin slices are put together, so that the chart fits on half a page.
    group = -(-len(ordered) // 24)
    parts = [ordered[at : at + group] for at in range(0, len(ordered), group)]
    drawn = []
    for at, part in enumerate(parts):
        core, penumbra = sum(row[0] for row in part) / len(part), sum(row[1] for row in part) / len(part)
        height = sum(float(row[2].get("position_mm") or 0.0) for row in part) / len(part)
        drawn.append(
            {
                "y": at * step,
                "core": round(width * core / largest, 1),
                "penumbra": round(width * penumbra / largest, 1),
                "label": f"{'S' if height >= 0 else 'I'} {abs(height):.0f} mm",
                "text": f"{core:.1f} + {penumbra:.1f}" if core or penumbra else "",
            }
        )
    return {"rows": drawn, "width": width, "step": step, "height": len(parts) * step, "largest": f"{largest:.1f}", "group": group}


def follow_up_rows(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the follow-up compares with the first scan.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    list of tuple of str
        Label and text; empty without a follow-up.
    """
    later = numbers.get("follow_up")
    if not later:
        return []
    likeness = later.get("likeness")
    moved = f"moved by {shown(later.get('moved_mm'))} mm and {shown(later.get('moved_deg'))}°"
    registered = "taken as it lies" if likeness is None else f"{moved}; baseline images correlate by {likeness:.2f}"
    prr = later.get("prr_percent")
    return [
        ("Hypoperfusion, first scan", f"{_volume(later.get('first_ml'))} mL"),
        ("Hypoperfusion, follow-up", f"{_volume(later.get('later_ml'))} mL"),
        ("Change (PRR)", f"{prr:.0f} %" if prr is not None else note_of(numbers, "prr_percent")),
        ("Resolved", f"{_volume(later.get('resolved_ml'))} mL"),
        ("Persistent", f"{_volume(later.get('persistent_ml'))} mL"),
        ("New", f"{_volume(later.get('new_ml'))} mL"),
        ("Core at follow-up", f"{_volume(later.get('later_core_ml'))} mL"),
        ("Compared in", f"{shown(later.get('common_brain_percent'))} % of the first scan's brain, which both scans show"),
        ("Registration", registered),
    ]


def _volume(value: Any) -> str:
    return shown(None) if value is None else f"{float(value):.1f}"


def _cbv_basis(numbers: Mapping[str, Any]) -> str:
    facts = numbers.get("cbv_index") or {}
    if not facts.get("contralateral_voxels"):
        return ""
    where = "the region that was given" if facts.get("contralateral_from") == "mask" else "mirrored cortex with normal timing"
    pair = f"{shown(facts.get('hypoperfusion_cbv'))} / {shown(facts.get('contralateral_cbv'))}"
    return f"{pair}; {facts['contralateral_voxels']} voxels of {where}"


def _regions(numbers: Mapping[str, Any]) -> str:
    return "of the cortical regions that were given" if numbers.get("conventional_cbv_index") is not None else ""


def _collateral(numbers: Mapping[str, Any]) -> str:
    facts = numbers.get("collateral_index") or {}
    if not facts or facts.get("rcbv_percent") is None:
        return ""
    low, high = facts["delay_s"]
    return f"{facts['volume_ml']:.1f} mL with a delay of {low:g} to {high:g} s, CBV {facts['rcbv_percent']:.0f} % of normal"


def _percentiles(numbers: Mapping[str, Any]) -> str:
    known = numbers.get("aif_vof_delay_percentiles_s") or {}
    if not {"p5", "p50", "p95"} <= set(known):
        return ""
    return f"93 clinical scans: median {known['p50']:g} s, 5th to 95th percentile {known['p5']:g} to {known['p95']:g} s"


def _transit(pvt: Mapping[str, Any]) -> str:
    limit = pvt.get("threshold_s")
    if limit is None:
        return ""
    named = pvt.get("tmax_threshold_s", limit)
    note = f" ({limit:g} s on this map)" if named != limit else ""
    return f"positive where the median Tmax, or that of 0.1 mL, reaches {named:g} s{note}"


def _sinus(pvt: Mapping[str, Any], name: str) -> str:
    origin = (pvt.get("regions_from") or {}).get(name)
    voxels = pvt.get(f"{name}_voxels")
    if not voxels:
        return ""
    return f"median of {voxels} voxels" + (" of the region that was given" if origin == "mask" else "")
