# SPDX-License-Identifier: Apache-2.0
"""The report of an ASL case: one HTML file with everything in it, for reading and printing."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.asl import AslStudy
from ..core.files import write_text
from ..core.findings import QualityFinding
from .privacy import without_identifiers
from .report import finding_rows
from .tables import flatten
from .template import rendered, shown

_CAPTIONS: Mapping[str, tuple[str, str]] = {
    "asl_maps": ("Maps", "Flow, arrival time and their standard errors on slices spread over the brain, with fixed scales."),
    "asl_curves": ("Mean curves", "Measured mean difference signal of each region, and the kinetic model that was fitted to it."),
    "asl_differences": ("Difference images", "M0 and control minus label, averaged at each delay, all delays on one scale."),
    "motion": ("Head motion", "Translation and rotation of the head in each volume."),
}
_REGIONS: Mapping[str, str] = {
    "brain": "Brain",
    "gm": "Gray matter",
    "wm": "White matter",
    "right": "Right hemisphere",
    "left": "Left hemisphere",
    "gm_right": "Gray matter, right",
    "gm_left": "Gray matter, left",
    "wm_right": "White matter, right",
    "wm_left": "White matter, left",
    "low_flow": "Low flow",
    "other_side": "Same place, other side",
}
_CODES: Mapping[str, str] = {
    "ok": "Without doubt",
    "early_arrival": "All label arrived before the first picture",
    "uncertain": "Standard error above half of the flow",
    "at_bound": "Arrival at the late end of its range",
    "no_signal": "No label seen (flow 0)",
    "not_finite": "Missing values",
    "no_calibration": "Without M0",
}
_CONSENSUS = "Alsop DC et al. Magn Reson Med 73:102 (2015): recommended implementation of ASL."
_KINETIC = "Buxton RB et al. Magn Reson Med 40:383 (1998): general kinetic model."
_METHODS: Mapping[str, tuple[str, ...]] = {
    "asl-single": (_CONSENSUS,),
    "asl-multi": (_KINETIC, "Woods JG et al. Magn Reson Med 89:2024 (2023): recommendations for several delays."),
    "asl-multi-wd": (_KINETIC, "Dai W et al. Magn Reson Med 67:1252 (2012): weighted delay."),
    "qtmnet": ("Hu R et al. arXiv 2311.10640 (2023): QTMnet, perfusion from simulated vasculature.",),
}
_PARTIAL_VOLUME = "Asllani I, Borogovac A, Brown TR. Magn Reson Med 60:1362 (2008): partial-volume correction by regression."
_LOW_FLOW = "Wintermark M et al. Ann Neurol 51:417 (2002): flow reduced by 34 % against the other side (CT perfusion)."


def write_asl_report(
    path: Path, study: AslStudy, numbers: Mapping[str, Any], findings: Sequence[QualityFinding], images: Mapping[str, Path]
) -> Path:
    """Write the report as one self-contained HTML file.

    Parameters
    ----------
    path : Path
        The file.
    study : AslStudy
        The run.
    numbers : mapping
        Content of the metrics, curves included.
    findings : sequence of QualityFinding
        All findings.
    images : mapping of str to Path
        Pictures to embed, by name; may be empty.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingPackageError
        If jinja2 is not installed.
    """
    side = numbers.get("affected_side")
    text = rendered(
        "asl_report.html.j2",
        case_id=without_identifiers(study.series.source.case_id),
        side=f"{side} hemisphere" if side in ("left", "right") else "",
        cards=_cards(numbers),
        findings=finding_rows(findings),
        regions=region_table(numbers),
        follow_up=follow_up_table(numbers),
        pictures=_embedded(images),
        voxels=_voxels(numbers),
        acquisition=_acquisition(study, numbers),
        references=_references(study),
    )
    return write_text(path, text)


def _cards(numbers: Mapping[str, Any]) -> list[dict[str, str]]:
    """Headline numbers; a missing one says why."""
    regions, curves = numbers.get("by_region") or {}, numbers.get("curves") or {}
    gray, brain = regions.get("gm") or {}, regions.get("brain") or {}
    known = "gm" in (numbers.get("cbf") or numbers.get("rcbf") or {})
    fraction = "No voxel holds it purely (80 %)." if known else "Fractions of gray and white matter were not given."
    relative = "There is no M0, so flow is relative." if "rcbf" in numbers else "There was no signal."
    low = numbers.get("hypoperfusion") or {}
    limit = low.get("limit_percent")
    late = _difference(*((curves.get(name) or {}).get("att") for name in ("low_flow", "other_side")))
    place = "gm" if gray else "brain"
    told = f"below {limit:g} % of the other side, research" if limit is not None else ""
    apart = "The sides were not compared."
    arrival, how = _arrival(numbers, place)
    white = (regions.get("wm") or {}).get("cbf")
    cards = (
        ("CBF, gray matter", gray.get("cbf"), "mL/100 g/min", 1, _origin(gray), relative if gray else fraction, ""),
        ("CBF, white matter", white, "mL/100 g/min", 1, _origin(regions.get("wm") or {}), relative if gray else fraction, ""),
        ("CBF, brain", brain.get("cbf"), "mL/100 g/min", 1, _origin(brain), relative, ""),
        ("Gray over white", numbers.get("gm_wm_cbf_ratio"), "", 2, "flow of gray over white matter", fraction, ""),
        (f"ATT, {_REGIONS[place].lower()}", arrival, "s", 2, how, "It needs several delays and a method that tells it.", ""),
        ("Low flow", numbers.get("hypoperfusion_volume_ml"), "mL", 1, told, apart, "hypoperfusion"),
        ("Later there", late, "s", 2, _late_words(curves), "It needs low flow and several delays.", ""),
        ("Asymmetry", numbers.get("cbf_asymmetry_percent"), "%", 1, "flow, (right - left) / mean of both", apart, ""),
    )
    return [
        {
            "label": label,
            "value": "not available" if value is None else f"{value:.{digits}f}",
            "unit": "" if value is None else unit,
            "note": why if value is None else note,
            "tone": tone,
            "missing": "yes" if value is None else "",
        }
        for label, value, unit, digits, note, why, tone in cards
    ]


def _origin(facts: Mapping[str, Any]) -> str:
    """Where a region's numbers come from."""
    return {"mean curve": "from the mean curve", "mean of voxels": "mean of the map's voxels"}.get(str(facts.get("from")), "")


def _arrival(numbers: Mapping[str, Any], place: str) -> tuple[float | None, str]:
    """Arrival time of a region by the method of the maps, else by the kinetic model of its mean curve, which is then named."""
    own = (numbers.get("by_region") or {}).get(place) or {}
    if own.get("att") is not None:
        return own["att"], _origin(own)
    curve = (numbers.get("curves") or {}).get(place) or {}
    return curve.get("att"), f"by {curve.get('method')}, from the mean curve"


def _late_words(curves: Mapping[str, Mapping[str, Any]]) -> str:
    model = next((facts["method"] for facts in curves.values() if facts.get("method")), "")
    return f"arrival of mean curves ({model}), low flow minus other side"


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def region_table(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return flow and arrival of each region: from its mean curve, and as mean and scatter of its voxels.

    Parameters
    ----------
    numbers : mapping
        Content of the metrics.

    Returns
    -------
    dict
        ``head``, ``rows`` and a ``note``.
    """
    curves = numbers.get("curves") or {}
    flow = "cbf" if "cbf" in numbers else "rcbf"
    unit = (numbers.get("units") or {}).get(flow, "")
    method = (numbers.get("method") or {}).get("name")
    model = next((facts["method"] for facts in curves.values() if facts.get("method")), method)
    timed = any(facts.get("voxels") for facts in (numbers.get("att") or {}).values())
    rows = []
    for name, words in _REGIONS.items():
        facts, voxels = curves.get(name) or {}, (numbers.get(flow) or {}).get(name) or {}
        if not facts and not voxels.get("voxels"):
            continue
        times = (numbers.get("att") or {}).get(name) or {}
        of_curve = [
            _with_spread(facts.get("cbf"), facts.get("cbf_sd"), 1),
            _with_spread(facts.get("att"), facts.get("att_sd"), 2),
        ]
        of_map = [_with_spread(voxels.get("mean"), voxels.get("sd"), 1)]
        of_map += [_with_spread(times.get("mean"), times.get("sd"), 2)] if timed else []
        count = [str(voxels.get("voxels", "")) if voxels else ""]
        rows.append([words, *(of_curve + of_map if model == method else of_map + of_curve), *count])
    of_curve = ["CBF of mean curve", "ATT of mean curve (s)"] if model == method else [f"CBF by {model}", f"ATT by {model} (s)"]
    of_map = [f"{'Mean of voxels' if model == method else 'CBF of the map'} ({unit})"]
    of_map += ["ATT, mean of voxels (s)"] if timed else []
    head = ["Region", *(of_curve + of_map if model == method else of_map + of_curve), "Voxels"]
    return {"head": head, "rows": rows, "note": _table_note(str(method), str(model))}


def follow_up_table(numbers: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return flow of each region in the first and in a later scan.

    Parameters
    ----------
    numbers : mapping
        Content of the metrics.

    Returns
    -------
    dict or None
        ``head``, ``rows`` and a ``note``; None without a follow-up.
    """
    later = numbers.get("follow_up")
    if not later:
        return None
    rows = []
    for name, words in _REGIONS.items():
        facts = (later.get("regions") or {}).get(name)
        if facts:
            change = facts.get("change_percent")
            shown_change = "–" if change is None else f"{change:+.0f}"
            rows.append([words, f"{facts['cbf_first']:.1f}", f"{facts['cbf_later']:.1f}", shown_change, str(facts["voxels"])])
    note = (
        f"Means of voxels that both scans show ({later['common_brain_percent']:.0f} % of the brain); the later scan was moved by "
        f"{later['moved_mm']:.1f} mm and {later['moved_deg']:.1f}° to lie on the first. Low flow is that of the first scan."
    )
    if "resolved_ml" in later:
        parts = ", ".join(f"{name} {later[f'{name}_ml']:.1f} mL" for name in ("resolved", "persistent", "new"))
        note += f" Its volume: {later['first_ml']:.1f} mL then, {later['later_ml']:.1f} mL now; {parts}."
    return {"head": ["Region", "CBF, first", "CBF, later", "Change (%)", "Voxels"], "rows": rows, "note": note}


def _table_note(method: str, model: str) -> str:
    """What the numbers of the table rest on."""
    note = (
        "Flow in mL/100 g/min unless another unit is given. Mean curves carry their standard error, means of voxels the scatter "
        "among voxels."
    )
    if model != method:
        return (
            f"{note} The map is that of {method}; the kinetic model {model}, fitted to the measured mean curves, is there for "
            "comparison only."
        )
    if method == "asl-single":
        return note
    return (
        f"{note} Where single voxels are noisy, the mean of voxels is too high, because no voxel may be negative: use the mean "
        "curve."
    )


def _with_spread(value: float | None, spread: float | None, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def _voxels(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    shares = (numbers.get("quality") or {}).get("voxels_percent") or {}
    rows = [(words, f"{shares[name]:.1f} %") for name, words in _CODES.items() if name in shares]
    rows.append(("Brain", f"{shown(numbers.get('brain_volume_ml'))} mL"))
    if numbers.get("gm_wm_cbf_ratio") is not None:
        rows.append(("Flow of gray over white matter", f"{numbers['gm_wm_cbf_ratio']:.2f}"))
    if numbers.get("spatial_variation_percent") is not None:
        rows.append(
            ("Spatial variation of flow (late arrival and noise raise it)", f"{numbers['spatial_variation_percent']:.0f} %")
        )
    return rows


def _acquisition(study: AslStudy, numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = numbers.get("acquisition") or {}
    used = study.settings
    size = " × ".join(f"{value:.3g}" for value in facts.get("voxel_mm", ()))
    options = flatten(without_identifiers(used.get("method_options") or {}))
    pulses = facts.get("background_suppression_pulses")
    rows = [
        ("Labeling", str(facts.get("labeling", "")).upper()),
        ("Delays", ", ".join(f"{v:g} s" for v in facts.get("post_label_delays_s", ()))),
        ("Label duration" if facts.get("labeling") != "pasl" else "Bolus", _same(facts.get("label_durations_s", ()))),
        ("Pairs at each delay", _same(facts.get("pairs_used", ()), "")),
        ("Slices read over", f"{facts.get('slice_delay_s', 0.0):g} s" if facts.get("slice_delay_s") else "at once (3D)"),
        ("Background suppression", "not known" if pulses is None else f"{pulses} pulses"),
        ("Labeling efficiency, in total", shown(facts.get("labeling_efficiency_total"))),
        ("Field strength", f"{facts.get('field_strength_t', 0.0):g} T"),
        ("M0", {"image": "image", "none": "none: flow is relative"}.get(str(facts.get("m0")), "one number or control images")),
        ("Voxels", f"{' × '.join(str(n) for n in facts.get('matrix', ()))} of {size} mm"),
        ("Scanner", str(facts.get("manufacturer", ""))),
        ("Method", str(used.get("method", ""))),
        ("Options of the method", ", ".join(f"{key} = {shown(value)}" for key, value in options.items() if value is not None)),
        ("Smoothing of difference images", f"{used['smoothing_mm']:g} mm" if used.get("smoothing_mm") else "none"),
        ("Partial-volume correction", "yes" if used.get("partial_volume") else "no"),
        ("Computing time", f"{sum(study.seconds.values()):.1f} s" if study.seconds else ""),
    ]
    return [(label, text) for label, text in rows if text]


def _same(values: Sequence[float], unit: str = " s") -> str:
    """One value when all are alike."""
    alike = list(dict.fromkeys(values))
    return ", ".join(f"{value:g}{unit}" for value in (alike if len(alike) == 1 else values))


def _references(study: AslStudy) -> list[str]:
    found = list(_METHODS.get(str(study.settings.get("method")), ()))
    found += [_CONSENSUS] if _CONSENSUS not in found else []
    if "cbf_gm" in study.maps:
        found.append(_PARTIAL_VOLUME)
    if study.lesions is not None:
        found.append(_LOW_FLOW)
    return found


def _embedded(images: Mapping[str, Path]) -> list[dict[str, str]]:
    return [
        {
            "title": title,
            "alt": words,
            "uri": "data:image/png;base64," + base64.b64encode(images[name].read_bytes()).decode("ascii"),
        }
        for name, (title, words) in _CAPTIONS.items()
        if name in images
    ]
