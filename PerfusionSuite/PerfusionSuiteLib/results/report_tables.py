# SPDX-License-Identifier: Apache-2.0
"""Tables of the report: volumes by threshold, trial criteria, curves, acquisition and method."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.files import plain
from ..core.geometry import voxel_sizes
from ..core.values import InputFunction, Study
from .map_study import AnyStudy, MapStudy, curve_unit_of
from .pictures.curves import peak_of, tail_of
from .privacy import without_identifiers
from .tables import flatten
from .template import shown
from .thresholds import all_words

_THRESHOLD_KEY = re.compile(
    r"^r?(?P<map>tmax|cbf|cbv|delay)_?(?P<sign>gt|lt|above|below)_?(?P<limit>\d+(?:[._]\d+)?)(?:_?[a-z]+)?$"
)
_TABLES = (
    ("tmax", "Tmax above", "s"),
    ("delay", "Delay above", "s"),
    ("cbf", "Relative CBF below", "%"),
    ("cbv", "Relative CBV below", "%"),
)
_TRIAL_KEYS = ("trials", "trial_criteria", "trial_flags")
_SIGNS = {"below": "<", "above": ">", "at_least": "≥", "from": "≥", "to": "≤"}


def volume_tables(study: AnyStudy, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return volumes by threshold, with what they depend on.

    Parameters
    ----------
    study : Study or MapStudy
        The run.
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    dict
        ``tables`` and one line ``basis``.
    """
    found: dict[str, list[tuple[float, float | None]]] = {}
    for key, volume in (numbers.get("volumes_ml") or {}).items():
        match = _THRESHOLD_KEY.match(str(key))
        if match:
            limit = float(match["limit"].replace("_", "."))
            found.setdefault(match["map"], []).append((limit, volume))
    largest = max((volume or 0.0 for rows in found.values() for _, volume in rows), default=0.0) or 1.0
    tables = [
        {
            "title": title,
            "rows": [
                {
                    "limit": f"{limit:g} {unit}",
                    "volume": "not available" if volume is None else f"{volume:.1f}",
                    "share": 0.0 if volume is None else round(100.0 * volume / largest, 1),
                }
                for limit, volume in sorted(found[key], key=lambda row: row[0])
            ],
        }
        for key, title, unit in _TABLES
        if key in found
    ]
    return {"tables": tables, "basis": _basis(study)}


def _basis(study: AnyStudy) -> str:
    """One line that says on what absolute volumes rest (method, interval, smoothing, arterial peak and scale)."""
    facts = _method_facts(study)
    smoothing = facts.get("noise_reduction")
    return "; ".join(
        part
        for part in (
            f"method {facts.get('method') or 'unknown'}",
            f"interval {_interval(study):.3g} s" if isinstance(study, Study) else "",
            f"noise reduction {smoothing}" if smoothing else "",
            _input_words(study) if isinstance(study, Study) else "",
        )
        if part
    )


def _input_words(study: Study) -> str:
    if study.aif.kind == "reference":
        return f"{study.aif.label} (mean of tissue), not an artery"
    return f"AIF peak {peak_of(study.aif)[1]:.0f} {curve_unit_of(study)} after scaling by {study.aif.scale:.2f}"


def _method_facts(study: AnyStudy) -> dict[str, Any]:
    provenance = next((item.provenance for item in study.maps.values()), None)
    facts = {**(provenance.settings if provenance else {}), **study.settings}
    facts.setdefault("method", provenance.method if provenance else "")
    cleaned: dict[str, Any] = without_identifiers(facts)
    return cleaned


def _interval(study: Study) -> float:
    return float(np.median(np.diff(study.concentration.times_s))) if study.concentration.times_s.size > 1 else 0.0


def trial_rows(numbers: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return which imaging criteria of trials are met, with the numbers used.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    list of dict
        ``name``, ``state`` and ``numbers``; empty when the metrics hold none.
    """
    criteria: Mapping[str, Any] = next((numbers[key] for key in _TRIAL_KEYS if isinstance(numbers.get(key), Mapping)), {})
    rows = []
    for name, entry in criteria.items():
        facts = entry if isinstance(entry, Mapping) else {"met": entry}
        met = facts.get("met")
        state = "not assessable" if met is None else "met" if met else "not met"
        rows.append({"name": str(name), "state": state, "numbers": _told(facts)})
    return rows


def _told(facts: Mapping[str, Any]) -> str:
    """Say why a criterion is open, and the numbers that are known."""
    return " ".join(part for part in (str(facts.get("reason") or ""), _limits(facts)) if part)


def _limits(facts: Mapping[str, Any]) -> str:
    """Name each number of a criterion with its limit: ``core 53.0 mL (< 70)``."""
    parts = []
    for key, limit in (facts.get("limits") or {}).items():
        name = re.sub(r"_(below|above|at_least|from|to)$", "", key)
        sign = _SIGNS[key.removeprefix(f"{name}_")]
        label = name.removesuffix("_ml").replace("nihss", "NIHSS")
        unit = " mL" if name.endswith("_ml") else ""
        value = facts.get(name)
        text = "without limit (no core)" if value is None else f"{shown(value)}{unit}"
        parts.append(f"{label} {text} ({sign} {limit:g})")
    return "; ".join(parts)


_OF_A_REFERENCE = ("Origin", "Time of the peak", "End of the curve, part of the peak")


def curve_heads(study: AnyStudy) -> tuple[str, ...]:
    """Return what stands above the columns of `curve_table`.

    Parameters
    ----------
    study : Study or MapStudy
        The run.

    Returns
    -------
    tuple of str
        One or two names.
    """
    if study.aif is not None and study.aif.kind == "reference":
        return ("Reference curve (mean of tissue), not an artery",)
    return ("AIF", "VOF")


_SCALES: Mapping[str, str] = {
    "relative": (
        "Flow and volume are relative: this method used no artery but the mean curve of tissue. Only ratios of two places of "
        "this scan mean something, and times count from blood's arrival in early normal tissue, not from the artery."
    ),
    "white_matter": (
        "Flow and volume were scaled so that normal white matter holds its usual blood volume: compare regions, not patients."
    ),
}


def scale_words(numbers: Mapping[str, Any]) -> str:
    """Say what flow and volume may be compared with.

    Parameters
    ----------
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    str
        One or two sentences, empty when the numbers are absolute.
    """
    return _SCALES.get(str(numbers.get("flow_scale") or ""), "")


def curve_table(study: AnyStudy) -> list[dict[str, str]]:
    """Return the quality of AIF and VOF, one row per number.

    Parameters
    ----------
    study : Study or MapStudy
        The run.

    Returns
    -------
    list of dict
        ``label``, ``aif`` and ``vof``.
    """
    unit = curve_unit_of(study)
    wanted = (
        ("Origin", lambda c: c.origin),
        ("Voxels", lambda c: str(len(c.voxels)) if len(c.voxels) else "from a curve"),
        ("Peak, as used", lambda c: f"{peak_of(c)[1]:.0f} {unit}"),
        ("Peak, measured", lambda c: f"{peak_of(c)[1] / c.scale:.0f} {unit}"),
        ("Partial-volume scale", lambda c: f"{c.scale:.2f}"),
        ("Time of the peak", lambda c: f"{peak_of(c)[0]:.1f} s"),
        ("Arrival", lambda c: _quality(c, "bat_s", "s")),
        ("Width at half maximum", lambda c: _quality(c, "fwhm_s", "s")),
        ("Contrast to noise", lambda c: _quality(c, "cnr", "")),
        ("End of the curve, part of the peak", lambda c: f"{100.0 * tail_of(c):.0f} %"),
        ("Score", lambda c: shown(plain(c.score))),
        ("Flags", lambda c: ", ".join(c.flags) or "none"),
    )
    absent = "not found" if isinstance(study, Study) else "not given"
    if study.aif is None and study.vof is None:
        return []
    if study.aif is not None and study.aif.kind == "reference":
        return [{"label": label, "aif": text(study.aif)} for label, text in wanted if label in _OF_A_REFERENCE]
    return [
        {"label": label, "aif": text(study.aif) if study.aif else absent, "vof": text(study.vof) if study.vof else absent}
        for label, text in wanted
    ]


def _quality(curve: InputFunction, key: str, unit: str) -> str:
    value = plain(curve.quality.get(key))
    return shown(value) if value is None else f"{shown(value)} {unit}".strip()


def acquisition_rows(study: AnyStudy, numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the scan was acquired and how maps were made.

    Parameters
    ----------
    study : Study or MapStudy
        The run.
    numbers : mapping
        Content of ``metrics.json``.

    Returns
    -------
    list of tuple of str
        Label and text.
    """
    facts = _method_facts(study)
    options = flatten(facts.get("method_options") or {})
    scan = _scan_rows(study, facts) if isinstance(study, Study) else _map_rows(study)
    rows = [
        *scan,
        ("Method", str(facts.get("method") or "")),
        ("Options of the method", ", ".join(f"{key} = {shown(value)}" for key, value in options.items()) or "defaults"),
        ("Lesions", all_words(study.lesions.thresholds)),
        ("Thresholds that were entered", ", ".join(_entered(study.lesions.thresholds))),
        ("Reference tissue", _reference(study, numbers)),
        ("Not counted as tissue", _removed(study)),
        ("Computing time", f"{sum(study.seconds.values()):.1f} s" if study.seconds else ""),
    ]
    return [(label, text) for label, text in rows if text]


def _scan_rows(study: Study, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    series = study.series
    duration = float(series.times_s[-1] - series.times_s[0])
    return [
        ("Frames", f"{series.times_s.size} in {duration:.1f} s, every {series.interval_s:.3g} s"),
        ("Frame times from", str(without_identifiers(series.acquisition.time_source))),
        ("Voxels", _voxels(study)),
        ("Scanner", series.acquisition.manufacturer),
        ("Table movement", "shuttle (slice times brought to common frames)" if series.acquisition.shuttle else "none"),
        ("Baseline", f"{study.concentration.baseline_frames} frames"),
        ("Noise", _noise(study)),
        ("Interval after resampling", f"{_interval(study):.3g} s"),
        ("Noise reduction", str(facts.get("noise_reduction") or "")),
        ("Density, hematocrit factor", _pair(facts)),
    ]


def _map_rows(study: MapStudy) -> list[tuple[str, str]]:
    given = [study.maps[key].quantity.symbol for key in study.maps if key not in study.made]
    return [("Finished maps", ", ".join(given)), ("Voxels", _voxels(study))]


def _voxels(study: AnyStudy) -> str:
    size = " × ".join(f"{value:.3g}" for value in voxel_sizes(study.maps.affine))
    return f"{' × '.join(str(n) for n in study.maps.shape)} of {size} mm"


def _entered(thresholds: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {shown(thresholds.get(name))}" for name in thresholds.get("edited") or ()]


def _reference(study: AnyStudy, numbers: Mapping[str, Any]) -> str:
    facts = numbers.get("reference") or {}
    voxels = int(study.lesions.reference.sum())
    parts = [
        f"{facts.get('side', '')} side".replace("global side", "both sides").strip() if facts.get("side") else "",
        f"{voxels} voxels",
    ]
    if facts.get("cbf") is not None:
        parts.append(f"{facts.get('statistic', 'mean')} CBF {shown(facts['cbf'])}")
    return ", ".join(part for part in parts if part)


def _removed(study: AnyStudy) -> str:
    removed = study.lesions.thresholds.get("removed_percent") or {}
    return ", ".join(f"{key.replace('_', ' ')} {value:.1f} %" for key, value in removed.items() if value is not None)


def _noise(study: Study) -> str:
    noise = float(study.concentration.noise_sd)
    return f"{noise:.2g} {study.concentration.unit} per voxel and frame" if np.isfinite(noise) else ""


def _pair(facts: Mapping[str, Any]) -> str:
    density, factor = facts.get("density"), facts.get("hematocrit_factor")
    return f"{density:g} g/mL, {factor:.4g}" if density is not None and factor is not None else ""
