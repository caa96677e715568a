# SPDX-License-Identifier: Apache-2.0
"""How far a study is from the truth of a digital patient, which may be any object with the attributes of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.files import plain
from ..core.geometry import check_same_grid
from ..core.quantities import QUANTITIES
from ..core.values import InputFunction, Study
from .errors import map_errors
from .head_pose import seen_truth
from .overlap import overlap

_LESIONS = ("hypoperfusion", "core", "penumbra")
_TISSUES = {"gray matter": ("gm", "deep"), "white matter": ("wm",)}


def score_study(study: Study | Any, truth: Any) -> dict[str, Any]:
    """Compare maps, lesions, curves and plane with the truth.

    Parameters
    ----------
    study : Study or object
        What was computed: ``maps masks lesions aif vof`` are used, so that finished maps from files serve as well.
    truth : object
        With ``maps``, ``masks``, ``fractions`` (mappings of arrays on the grid of the study), ``aif``
        and ``times_s``; ``vof``, ``affine``, ``side`` and ``midplane`` are used when there are, and ``frame_transforms``
        to move the truth to where the study sees the head.

    Returns
    -------
    dict
        ``maps``: by quantity and tissue the numbers of `map_errors`, scored where truth marks voxels
        as pure (``scored``) and the study counted tissue; ``lesions``: the numbers of `overlap`;
        ``curves``, ``midplane``, ``side``. Plain values.

    Raises
    ------
    GridMismatchError
        If the study and the truth do not share one grid.
    """
    if (affine := getattr(truth, "affine", None)) is not None:
        some = next(iter(truth.maps.values()))
        check_same_grid("The truth", np.shape(some), affine, study.maps.shape, study.maps.affine)
        truth = seen_truth(study, truth)
    scores: dict[str, Any] = plain(
        {
            "maps": _maps(study, truth),
            "lesions": _lesions(study, truth),
            "curves": _curves(study, truth),
            "side": {"found": study.lesions.side, "truth": getattr(truth, "side", None)},
            "midplane": _midplane(study, truth),
        }
    )
    return scores


def as_rows(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Flatten scores to a table.

    Parameters
    ----------
    scores : mapping
        From `score_study`.

    Returns
    -------
    list of dict
        One row per number: ``subject``, ``part``, ``measure``, ``value``, ``unit``.
    """
    rows = []
    for subject in ("maps", "lesions", "curves"):
        for name, parts in scores.get(subject, {}).items():
            groups = parts if subject == "maps" else {"": parts}
            for part, numbers in groups.items():
                label = QUANTITIES[name].symbol if subject == "maps" else name
                rows += [
                    {"subject": label, "part": part, "measure": key, "value": value, "unit": _unit(subject, name, key)}
                    for key, value in numbers.items()
                ]
    for key, value in scores.get("midplane", {}).items():
        rows.append({"subject": "midplane", "part": "", "measure": key, "value": value, "unit": key.rsplit("_", 1)[-1]})
    side = scores.get("side", {})
    rows += [{"subject": "side", "part": "", "measure": key, "value": value, "unit": ""} for key, value in side.items()]
    return rows


def as_text(scores: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> str:
    """Say the main numbers in a few lines.

    Parameters
    ----------
    scores : mapping or rows
        From `score_study` or `as_rows`.

    Returns
    -------
    str
        Lines of text.
    """
    rows = as_rows(scores) if isinstance(scores, Mapping) else list(scores)
    shown = {
        "tissue": ("bias", "mae", "correlation"),
        "": ("dice", "volume_ml", "truth_ml", "angle_deg", "offset_mm", "found", "truth"),
    }
    lines: dict[str, list[str]] = {}
    for row in rows:
        if row["measure"] in shown.get(str(row["part"]), ()) and row["value"] is not None:
            value = row["value"] if isinstance(row["value"], str) else f"{row['value']:.3g}"
            unit = row["unit"] if row["unit"] not in ("", "1") else ""
            lines.setdefault(str(row["subject"]), []).append(f"{row['measure'].removesuffix('_ml')} {value} {unit}".rstrip())
    return "\n".join(f"{subject}: {', '.join(parts)}" for subject, parts in lines.items())


def _maps(study: Any, truth: Any) -> dict[str, Any]:
    scored = study.lesions.tissue & np.asarray(truth.masks.get("scored", study.lesions.tissue), bool)
    regions: dict[str, NDArray[np.bool_]] = {"tissue": scored}
    for name, parts in _TISSUES.items():
        share = sum((np.asarray(truth.fractions[p], np.float32) for p in parts if p in truth.fractions), np.float32(0))
        regions[name] = scored & (np.broadcast_to(share, scored.shape) > 0.8)
    regions |= {name: scored & np.asarray(truth.masks[name], bool) for name in ("penumbra", "core") if name in truth.masks}
    result = {}
    for key in ("cbf", "cbv", "mtt", "tmax", "delay"):
        if key in study.maps and key in truth.maps:
            estimate, known = study.maps[key].values, _array(truth.maps[key])
            result[key] = {name: map_errors(estimate, known, region) for name, region in regions.items() if region.any()}
    return result


def _lesions(study: Any, truth: Any) -> dict[str, Any]:
    names = [name for name in _LESIONS if name in truth.masks]
    found = {name: overlap(getattr(study.lesions, name), truth.masks[name], study.maps.affine) for name in names}
    if "brain" in truth.masks:
        found["brain"] = overlap(study.masks.brain, truth.masks["brain"], study.maps.affine)
    return found


def _curves(study: Any, truth: Any) -> dict[str, Any]:
    result = {}
    for name, curve in (("aif", study.aif), ("vof", study.vof)):
        known = getattr(truth, name, None)
        if curve is not None and curve.kind == name and known is not None:  # a reference curve is no artery
            result[name] = _curve(curve, np.asarray(truth.times_s, float), np.asarray(known, float))
    return result


def _curve(curve: InputFunction, times_s: NDArray[np.float64], known: NDArray[np.float64]) -> dict[str, float | None]:
    values = np.interp(times_s, curve.times_s, curve.values)
    area, known_area = float(np.trapezoid(values, times_s)), float(np.trapezoid(known, times_s))
    return {
        "peak_ratio": float(values.max() / known.max()) if known.max() > 0 else None,
        "area_ratio": area / known_area if known_area else None,
        "peak_shift_s": float(times_s[values.argmax()] - times_s[known.argmax()]),
        "correlation": float(np.corrcoef(values, known)[0, 1]) if values.std() > 0 and known.std() > 0 else None,
    }


def _midplane(study: Any, truth: Any) -> dict[str, float]:
    known = getattr(truth, "midplane", None)
    if known is None or study.lesions.midplane is None:
        return {}
    a, b = np.asarray(study.lesions.midplane, float), np.asarray(known, float)
    brain = np.argwhere(study.masks.brain)
    center = study.maps.affine[:3, :3] @ brain.mean(axis=0) + study.maps.affine[:3, 3]
    angle = np.degrees(np.arccos(np.clip(abs(a[:3] @ b[:3]), 0.0, 1.0)))
    return {"angle_deg": float(angle), "offset_mm": float(abs((a[:3] @ center - a[3]) - (b[:3] @ center - b[3])))}


def _array(values: Any) -> NDArray[Any]:
    return np.asarray(getattr(values, "values", values))


def _unit(subject: str, name: str, measure: str) -> str:
    if measure.endswith("_ml"):
        return "mL"
    if measure.endswith("_s"):
        return "s"
    if measure.endswith("percent"):
        return "%"
    has_unit = subject == "maps" and measure in ("bias", "mae", "rmse", "sd", "limits_low", "limits_high")
    return QUANTITIES[name].unit if has_unit else "1"
