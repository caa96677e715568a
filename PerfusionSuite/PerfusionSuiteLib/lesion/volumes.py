# SPDX-License-Identifier: Apache-2.0
"""Volumes at all levels, by slice and by hemisphere."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.geometry import BoolArray, axis_codes, voxel_sizes, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.values import LesionMasks
from .clusters import without_small_clusters, without_thin_parts
from .hypoperfusion import below, judged_tmax, late_tissue
from .midline import side_distance
from .normal_timing import normal_timing
from .presets import Preset


def level_masks(maps: PerfusionMaps, lesions: LesionMasks, preset: Preset, offset_s: float) -> dict[str, BoolArray]:
    """Apply all reported levels before small clusters are removed.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax`` and, when there are, ``rcbf`` and ``rcbv``.
    lesions : LesionMasks
        Tissue and hypoperfusion.
    preset : Preset
        Levels; relative flow and volume count where core may lie.
    offset_s : float, s
        Tmax offset of the method.

    Returns
    -------
    dict of str to ndarray of bool
        ``tmax_gt_4`` ..., ``cbf_lt_20`` ..., ``cbv_lt_34`` ...
    """
    normal = normal_timing(maps, lesions.tissue, lesions.midplane) if preset.asks_for_lateness else None
    tmax = judged_tmax(maps, preset, lesions.tissue)
    found = {
        f"tmax_gt_{level:g}": late_tissue(tmax, preset, lesions.tissue, offset_s, normal, level)
        # The ratio of intensities needs its two levels, whatever else is asked for.
        for level in sorted({*preset.tmax_levels_s, preset.tmax_s, preset.severe_tmax_s})
    }
    region = lesions.hypoperfusion if preset.core_region == "hypoperfusion" else lesions.tissue
    for key, levels in (("cbf", preset.cbf_levels_percent), ("cbv", preset.cbv_levels_percent)):
        if f"r{key}" in maps:
            values = maps[f"r{key}"].values
            factor = float(lesions.thresholds.get("rcbf_factor", 1.0)) if key == "cbf" else 1.0
            found |= {f"{key}_lt_{level:g}": region & below(values, level * factor, preset.strict) for level in levels}
    return found


def level_volumes(maps: PerfusionMaps, lesions: LesionMasks, preset: Preset, offset_s: float) -> dict[str, dict[str, Any]]:
    """Return the volumes of all levels.

    Parameters
    ----------
    maps, lesions, preset, offset_s
        As for `level_masks`.

    Returns
    -------
    dict
        ``volumes_ml`` and ``volumes_voxels`` without small clusters and thin parts, ``volumes_unfiltered_ml`` with them.
    """
    voxel_ml = voxel_volume_ml(maps.affine)
    raw = level_masks(maps, lesions, preset, offset_s)
    solid = {
        key: without_thin_parts(mask, maps.affine, preset.thin_mm) if key.startswith("tmax") else mask
        for key, mask in raw.items()
    }
    counts = {key: int(without_small_clusters(mask, voxel_ml, preset.min_cluster_ml).sum()) for key, mask in solid.items()}
    return {
        "volumes_ml": {key: round(count * voxel_ml, 4) for key, count in counts.items()},
        "volumes_voxels": counts,
        "volumes_unfiltered_ml": {key: round(int(mask.sum()) * voxel_ml, 4) for key, mask in raw.items()},
    }


def slice_statistics(lesions: LesionMasks) -> list[dict[str, Any]]:
    """Return lesion areas by slice.

    Parameters
    ----------
    lesions : LesionMasks
        The masks.

    Returns
    -------
    list of dict
        Index along the slice axis, position in mm (RAS, middle of the slice), areas in cm2; slices without tissue too.
    """
    axis = next(at for at, code in enumerate(axis_codes(lesions.affine)) if code in "IS")
    others = tuple(a for a in range(3) if a != axis)
    columns = lesions.affine[:3, :3]
    area_cm2 = float(np.linalg.norm(np.cross(columns[:, others[0]], columns[:, others[1]]))) / 100.0
    middle = (np.array(lesions.tissue.shape) - 1) / 2.0
    masks = {"core": lesions.core, "penumbra": lesions.penumbra, "hypoperfusion": lesions.hypoperfusion, "tissue": lesions.tissue}
    counts = {name: mask.sum(axis=others) for name, mask in masks.items()}
    rows = []
    for index in range(lesions.tissue.shape[axis]):
        voxel = middle.copy()
        voxel[axis] = index
        position = float(columns[2] @ voxel + lesions.affine[2, 3])
        areas = {f"{name}_cm2": round(float(count[index]) * area_cm2, 4) for name, count in counts.items()}
        rows.append({"slice": index, "position_mm": round(position, 3), **areas})
    return rows


def hemisphere_volumes(lesions: LesionMasks) -> dict[str, dict[str, float]]:
    """Return volumes left and right of the mid-sagittal plane.

    Parameters
    ----------
    lesions : LesionMasks
        Masks and plane.

    Returns
    -------
    dict
        For the patient's left and right: tissue, hypoperfusion, core, penumbra in mL.
    """
    distance = side_distance(lesions.tissue.shape, lesions.affine, lesions.midplane)
    voxel_ml = voxel_volume_ml(lesions.affine)
    masks = {"tissue": lesions.tissue, "hypoperfusion": lesions.hypoperfusion, "core": lesions.core, "penumbra": lesions.penumbra}
    halves = {"left": distance < 0, "right": distance >= 0}
    return {
        side: {f"{name}_ml": round(int((mask & half).sum()) * voxel_ml, 4) for name, mask in masks.items()}
        for side, half in halves.items()
    }


def grid_facts(maps: PerfusionMaps) -> dict[str, Any]:
    """Return what was measured on: shape, voxel sizes, maps.

    Parameters
    ----------
    maps : PerfusionMaps
        The maps.

    Returns
    -------
    dict
        Plain values.
    """
    return {
        "maps": {key: maps[key].unit for key in maps},
        "shape": list(maps.shape),
        "voxel_mm": [round(float(v), 4) for v in voxel_sizes(maps.affine)],
        "voxel_ml": voxel_volume_ml(maps.affine),
        "orientation": "".join(axis_codes(maps.affine)),
    }
