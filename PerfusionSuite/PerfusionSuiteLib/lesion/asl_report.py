# SPDX-License-Identifier: Apache-2.0
"""Numbers of an ASL case: flow and arrival time of the brain, its tissues and halves, and low flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.files import plain
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.values import LesionMasks, Metrics
from .clusters import largest_cluster_ml
from .midline import side_distance

SCHEMA = "perfusion-suite/asl-metrics/1"

PURE = 0.8
"""Fraction from which a voxel speaks for one tissue."""

_MEASURED = ("cbf", "rcbf", "att", "cbf_gm", "cbf_wm", "abv")
_NO_TISSUE = "Fractions of gray and white matter are not known; give them for numbers of each tissue."


def asl_metrics(
    maps: PerfusionMaps,
    brain: BoolArray,
    *,
    lesions: LesionMasks | None = None,
    tissue: Mapping[str, NDArray[Any]] | None = None,
    quality: NDArray[np.uint8] | None = None,
    codes: Mapping[int, str] | None = None,
    case_id: str = "case",
    acquisition: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    software: str = "",
    findings: Sequence[QualityFinding] = (),
    curves: Mapping[str, Any] | None = None,
) -> Metrics:
    """Collect the numbers of an ASL case.

    Parameters
    ----------
    maps : PerfusionMaps
        ``cbf`` (or ``rcbf`` without M0) and what else was computed.
    brain : ndarray of bool, shape (I, J, K)
        Brain.
    lesions : LesionMasks, optional
        Low flow, side and mid-sagittal plane.
    tissue : mapping of str to ndarray, optional
        Fractions ``gm`` and ``wm``.
    quality : ndarray of uint8, shape (I, J, K), optional
        Reason codes.
    codes : mapping of int to str, optional
        Names of the codes.
    case_id, acquisition, settings, software
        What the file says about them.
    findings : sequence of QualityFinding
        All findings.
    curves : mapping, optional
        Mean signal of regions with a kinetic model's flow and arrival, from `asl.region_curves`. They give the numbers of
        regions when that model is the method that made the maps; otherwise (a network) its own map does.

    Returns
    -------
    Metrics
        Plain JSON values; `notes` says why a value is None.
    """
    flow = "cbf" if "cbf" in maps else "rcbf"
    regions, notes = asl_regions(brain, maps.affine, lesions, tissue or {})
    statistics = {
        key: {name: _statistics(maps[key].values, mask) for name, mask in regions.items()} for key in _MEASURED if key in maps
    }
    by_region = _by_region(statistics, curves or {}, maps[flow].provenance.method, flow)
    means = {name: facts.get(flow) for name, facts in by_region.items()}
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "software": software,
        "case_id": case_id,
        "modality": "asl",
        "acquisition": dict(acquisition or {}),
        "method": {"name": maps[flow].provenance.method, "settings": dict(settings or {}), "software": software},
        "units": {key: maps[key].unit for key in statistics},
        "brain_volume_ml": round(float(brain.sum()) * voxel_volume_ml(maps.affine), 3),
        **statistics,
        "by_region": by_region,
        "cbf_asymmetry_percent": _asymmetry(means),
        "gm_wm_cbf_ratio": _ratio(means),
        "spatial_variation_percent": _variation(maps[flow].values, regions.get("gm", brain)),
        **_low_flow(maps, lesions, flow),
        "curves": dict(curves or {}),
        "quality": {
            "voxels_percent": _shares(quality, brain, codes or {}),
            "flags": list(dict.fromkeys(f.code for f in findings)),
            "findings": [asdict(finding) for finding in findings],
        },
        "notes": notes,
    }
    return Metrics(plain(values), notes)


def asl_regions(
    brain: BoolArray, affine: FloatArray, lesions: LesionMasks | None, tissue: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, BoolArray], dict[str, str]]:
    """Return the regions that numbers are given for.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        Brain.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    lesions : LesionMasks or None
        With the mid-sagittal plane.
    tissue : mapping of str to ndarray
        Fractions ``gm`` and ``wm``; may be empty.

    Returns
    -------
    regions : dict of str to ndarray of bool
        ``brain``, ``gm``, ``wm``, ``left``, ``right``, ``gm_left`` and so on, ``low_flow`` and ``other_side`` (its mirror
        image), as far as they are known.
    notes : dict of str to str
        Why a number is missing.
    """
    regions, notes = {"brain": brain}, {}
    for name in ("gm", "wm"):
        if name in tissue:
            regions[name] = brain & (np.nan_to_num(tissue[name]) >= PURE)
    if "gm" not in tissue:
        notes["gm_wm_cbf_ratio"] = _NO_TISSUE
    if lesions is not None:
        distance = side_distance(brain.shape, affine, lesions.midplane)
        regions |= {"left": brain & (distance < 0), "right": brain & (distance > 0)}
        if lesions.hypoperfusion.any():
            regions |= {"low_flow": lesions.hypoperfusion, "other_side": lesions.reference}
        for name in ("gm", "wm"):
            if name in regions:
                regions |= {f"{name}_{half}": regions[name] & regions[half] for half in ("left", "right")}
    else:
        notes["cbf_asymmetry_percent"] = "The two sides were not compared."
    return regions, notes


def _statistics(values: NDArray[Any], mask: BoolArray) -> dict[str, Any]:
    inside = values[mask & np.isfinite(values)].astype(np.float64)
    if not inside.size:
        return {"mean": None, "sd": None, "median": None, "voxels": 0}
    return {
        "mean": float(inside.mean()),
        "sd": float(inside.std(ddof=1)) if inside.size > 1 else None,
        "median": float(np.median(inside)),
        "voxels": int(inside.size),
    }


def _by_region(
    statistics: Mapping[str, Mapping[str, Mapping[str, Any]]], curves: Mapping[str, Mapping[str, Any]], method: str, flow: str
) -> dict[str, dict[str, Any]]:
    """Flow and arrival of each region by the method of the maps: of its mean curve, which noise does not bias, where the method
    fits curves; else the mean of its voxels."""
    found: dict[str, dict[str, Any]] = {}
    for name, voxels in statistics[flow].items():
        curve = curves.get(name, {})
        if curve.get("cbf") is not None and curve.get("method", method) == method:
            found[name] = {key: curve.get(key) for key in ("cbf", "cbf_sd", "att", "att_sd")} | {"from": "mean curve"}
        elif voxels.get("mean") is not None:
            times = statistics.get("att", {}).get(name, {})
            found[name] = {flow: voxels["mean"], "att": times.get("mean"), "from": "mean of voxels"}
    return found


def _asymmetry(means: Mapping[str, float | None]) -> float | None:
    """Right minus left over their mean."""
    right, left = means.get("right"), means.get("left")
    if right is None or left is None or right + left <= 0:
        return None
    return 200.0 * (right - left) / (right + left)


def _ratio(means: Mapping[str, float | None]) -> float | None:
    grey, white = means.get("gm"), means.get("wm")
    return None if grey is None or white is None or white <= 0 else grey / white


def _variation(values: NDArray[Any], mask: BoolArray) -> float | None:
    """Spatial coefficient of variation, which late arrival raises (Mutsaerts et al., J Cereb Blood Flow Metab 37:3184, 2017)."""
    inside = values[mask & np.isfinite(values)].astype(np.float64)
    return 100.0 * float(inside.std() / inside.mean()) if inside.size and inside.mean() > 0 else None


def _low_flow(maps: PerfusionMaps, lesions: LesionMasks | None, flow: str) -> dict[str, Any]:
    """Volume, flow and arrival of low flow beside those of its mirror image."""
    if lesions is None:
        return {"hypoperfusion_volume_ml": None, "affected_side": None, "hypoperfusion": None}
    voxel = voxel_volume_ml(maps.affine)
    low, other = lesions.hypoperfusion, lesions.reference
    facts: dict[str, Any] = {
        "limit_percent": lesions.thresholds.get("low_flow_percent"),
        "largest_cluster_ml": round(largest_cluster_ml(low, voxel), 4),
        "midplane": [float(v) for v in lesions.midplane],
    }
    for key in (flow, "att"):
        if key in maps:
            facts[f"{key}_mean"] = _statistics(maps[key].values, low)["mean"]
            facts[f"{key}_mean_other_side"] = _statistics(maps[key].values, other)["mean"]
    return {
        "hypoperfusion_volume_ml": round(float(low.sum()) * voxel, 4),
        "affected_side": lesions.side,
        "hypoperfusion": facts,
    }


def _shares(quality: NDArray[np.uint8] | None, brain: BoolArray, codes: Mapping[int, str]) -> dict[str, float]:
    """Percent of the brain's voxels by their code."""
    if quality is None or not brain.any():
        return {}
    counts = np.bincount(quality[brain], minlength=max([*codes, 0]) + 1)
    return {name: round(100.0 * float(counts[code]) / float(brain.sum()), 2) for code, name in codes.items() if counts[code]}
