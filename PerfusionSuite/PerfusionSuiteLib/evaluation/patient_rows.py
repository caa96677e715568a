# SPDX-License-Identifier: Apache-2.0
"""The numbers of one analysis of one digital patient, as rows of a long table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.geometry import BoolArray, check_same_grid, voxel_volume_ml
from ..core.quantities import QUANTITIES
from .curves import area_error, curve_error, voxel_shares
from .errors import map_errors
from .head_pose import seen_truth
from .overlap import dice
from .regions import delay_regions, near_six, truth_regions

KEYS = ("cbf", "cbv", "mtt", "tmax", "delay")
LESIONS = ("hypoperfusion", "core", "penumbra")
LEAST_VOXELS = 20
"""Regions with fewer voxels say nothing about a method."""

_Row = tuple[str, str, str, float, str]


def patient_rows(study: Any, truth: Any) -> list[dict[str, Any]]:
    """Measure one analysis against the truth.

    Parameters
    ----------
    study : Study
        With ``maps``, ``masks``, ``lesions``, ``aif``, ``motion`` and ``seconds``.
    truth : object
        As for `score_study`, with all masks and fractions of a digital patient. It is moved to where the study sees the head.

    Returns
    -------
    list of dict
        ``subject region measure value unit``. Of maps, by region: ``bias`` and ``rmse`` in the unit of the map,
        ``bias_percent`` of the true mean, ``median_error_percent`` (median of estimate over truth, minus 1),
        ``correlation``; ``offset`` is the median of Tmax minus the true one near 6 s. Of lesions: ``dice`` on scored
        and on all voxels, ``volume``, ``truth`` and ``error``. Of the AIF: errors after scaling and what its voxels hold.

    Raises
    ------
    GridMismatchError
        If study and truth do not share one grid.
    """
    truth = seen_truth(study, truth)
    check_same_grid("The truth", truth.masks["scored"].shape, truth.affine, study.maps.shape, study.maps.affine)
    counted = np.asarray(study.masks.brain, bool)
    found = [*_map_rows(study, truth, counted), *_delay_rows(study, truth, counted), *_lesion_rows(study, truth)]
    found += [*_aif_rows(study.aif, truth), ("time", "", "seconds", float(study.seconds.get("maps", math.nan)), "s")]
    names = ("subject", "region", "measure", "value", "unit")
    return [dict(zip(names, row, strict=True)) for row in found if math.isfinite(row[3])]


def residue_class(truth: Any) -> str:
    """Return the family of a patient's residues.

    Parameters
    ----------
    truth : object
        With ``parameters["residue"]`` by tissue.

    Returns
    -------
    str
        ``box``, ``exponential`` or ``gamma`` where all tissues share one, else ``mixed``.
    """
    names = {str(name) for name in truth.parameters["residue"].values()}
    return names.pop().partition(":")[0] if len(names) == 1 else "mixed"


def _map_rows(study: Any, truth: Any, counted: BoolArray) -> Iterator[_Row]:
    regions = truth_regions(truth, counted)
    for key in KEYS:
        if key not in study.maps:
            continue
        estimate, known, unit = study.maps[key].values, np.asarray(truth.maps[key]), QUANTITIES[key].unit
        for region, where in regions.items():
            numbers = map_errors(estimate, known, where)
            if (numbers["n"] or 0) < LEAST_VOXELS:
                continue
            yield key, region, "bias", _number(numbers["bias"]), unit
            yield key, region, "rmse", _number(numbers["rmse"]), unit
            yield key, region, "correlation", _number(numbers["correlation"]), "1"
            if key in ("cbf", "cbv", "mtt"):
                valid = where & np.isfinite(estimate) & (known > 0)
                yield key, region, "bias_percent", 100.0 * _number(numbers["bias"]) / float(known[valid].mean()), "%"
                yield key, region, "median_error_percent", 100.0 * (float(np.median(estimate[valid] / known[valid])) - 1.0), "%"


def _delay_rows(study: Any, truth: Any, counted: BoolArray) -> Iterator[_Row]:
    tmax, known = study.maps["tmax"].values, np.asarray(truth.maps["tmax"])
    near = near_six(truth, counted) & np.isfinite(tmax)
    if near.sum() >= LEAST_VOXELS:
        yield "tmax", "true Tmax near 6 s", "offset", float(np.median((tmax - known)[near])), "s"
    flow, true_flow = study.maps["cbf"].values, np.asarray(truth.maps["cbf"])
    for region, where in delay_regions(truth, counted).items():
        valid = where & np.isfinite(tmax) & np.isfinite(flow) & (true_flow > 0)
        if valid.sum() >= LEAST_VOXELS:
            yield "tmax", region, "median_error", float(np.median((tmax - known)[valid])), "s"
            yield "cbf", region, "median_error_percent", 100.0 * (float(np.median((flow / true_flow)[valid])) - 1.0), "%"


def _lesion_rows(study: Any, truth: Any) -> Iterator[_Row]:
    scored, voxel_ml = np.asarray(truth.masks["scored"], bool), voxel_volume_ml(study.maps.affine)
    for name in LESIONS:
        mask, known = np.asarray(getattr(study.lesions, name), bool), np.asarray(truth.masks[name], bool)
        for region, where in (("scored voxels", scored), ("all voxels", np.ones_like(scored))):
            found, true = float((mask & where).sum()) * voxel_ml, float((known & where).sum()) * voxel_ml
            yield name, region, "dice", dice(mask & where, known & where), "1"
            yield name, region, "volume", found, "mL"
            yield name, region, "truth", true, "mL"
            yield name, region, "error", found - true, "mL"


def _aif_rows(aif: Any, truth: Any) -> Iterator[_Row]:
    curve = aif.times_s, aif.values, truth.fine_times_s, truth.fine_aif
    error, shift = curve_error(*curve)
    least_artery, most_vein = voxel_shares(aif.voxels, truth.fractions)
    yield "aif", "", "curve_error_percent", 100.0 * error, "%"
    yield "aif", "", "area_error_percent", 100.0 * area_error(*curve), "%"
    yield "aif", "", "shift", shift, "s"
    yield "aif", "", "least_artery", least_artery, "1"
    yield "aif", "", "most_vein", most_vein, "1"


def _number(value: float | int | None) -> float:
    return math.nan if value is None else float(value)
