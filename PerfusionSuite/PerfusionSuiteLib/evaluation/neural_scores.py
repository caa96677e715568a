# SPDX-License-Identifier: Apache-2.0
"""How far the maps of an estimator are from the truth of a phantom, as rows of a long table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ..core.geometry import BoolArray
from ..core.quantities import QUANTITIES
from .errors import map_errors
from .neural_estimate import MAPS, Estimate
from .neural_scan import PAPER_CLIP, FieldScan
from .overlap import dice
from .ssim import ssim

ALL, CLIPPED, UNIFORM = "all voxels", "clipped, without borders", "without rims of the lesion"
LEVELS = (20, 40, 60, 68, 80, 90, 95)
"""Percent of the intervals whose coverage is measured."""

TMAX_LIMIT_S, CORE_FLOW = 6.0, 0.3
"""A lesion has a Tmax above 6 s; its core less than 30 % of the flow that the same voxel has without the lesion."""

Row = tuple[str, str, str, float, str]


def score(found: Estimate, scan: FieldScan) -> list[dict[str, Any]]:
    """Measure maps against the truth.

    Parameters
    ----------
    found : Estimate
        Maps, seconds and memory.
    scan : FieldScan
        The phantom.

    Returns
    -------
    list of dict
        ``subject region measure value unit``. Of maps: ``mse mae me rmse nrmse ssim missing_percent`` (what an estimator leaves
        out is in no error) on all voxels, after the limits of published phantom studies and without pixels at borders of tiles,
        and without the rims of a lesion. Coverage of ``cbf`` and so on: ``coverage_68`` and others, in %. Lesions: ``dice``.
        ``time``: seconds, ``memory``: MiB.
    """
    rows = [*_map_rows(found.maps, scan), *_coverage_rows(found.maps, scan), *_lesion_rows(found.maps, scan)]
    rows += [("time", "", "seconds", found.seconds, "s"), ("memory", "", "peak", found.memory_mib, "MiB")]
    names = ("subject", "region", "measure", "value", "unit")
    return [dict(zip(names, row, strict=True)) for row in rows if np.isfinite(row[3])]


def clipped(key: str, values: NDArray[Any]) -> NDArray[Any]:
    """Limit a map to the range that published phantom studies compare.

    Parameters
    ----------
    key : str
        Quantity.
    values : ndarray
        The map.

    Returns
    -------
    ndarray
        Limited; NaN stays NaN.
    """
    return np.asarray(np.clip(values, *PAPER_CLIP[key]))


def _map_rows(maps: Mapping[str, NDArray[Any]], scan: FieldScan) -> Iterator[Row]:
    for key in MAPS:
        if key not in maps:
            continue
        known, unit = np.asarray(scan.truth[key]), QUANTITIES[key].unit
        regions = ((ALL, "scored", maps[key]), (CLIPPED, "inner", clipped(key, maps[key])), (UNIFORM, "uniform", maps[key]))
        for region, mask, values in regions:
            if mask not in scan.masks:
                continue
            where = scan.masks[mask]
            numbers = map_errors(values, known, where)
            rmse = _number(numbers["rmse"])
            yield key, region, "mse", rmse**2, f"({unit})^2"
            yield key, region, "mae", _number(numbers["mae"]), unit
            yield key, region, "me", _number(numbers["bias"]), unit
            yield key, region, "rmse", rmse, unit
            yield key, region, "nrmse", _number(numbers["nrmse"]), "1"
            yield key, region, "missing_percent", _number(numbers["missing_percent"]), "%"
            yield key, region, "ssim", ssim(values, known, where), "1"


def _coverage_rows(maps: Mapping[str, NDArray[Any]], scan: FieldScan) -> Iterator[Row]:
    for key in MAPS:
        if f"{key}_sd" in maps and key in maps:
            for level, share in coverage(maps[key], maps[f"{key}_sd"], scan.truth[key], scan.masks["scored"]).items():
                yield key, ALL, f"coverage_{level}", share, "%"


def coverage(estimate: NDArray[Any], sd: NDArray[Any], truth: NDArray[Any], mask: BoolArray) -> dict[int, float]:
    """Count how often the truth lies within the intervals that an estimator states.

    Parameters
    ----------
    estimate, sd, truth : ndarray of equal shape
        Map, its standard error, and the truth.
    mask : ndarray of bool
        Where to count; places without all three are left out.

    Returns
    -------
    dict of int to float, %
        Share of voxels by the nominal share of a normal interval, `LEVELS`; NaN where nothing can be counted.
    """
    valid = mask & np.isfinite(estimate) & np.isfinite(sd) & np.isfinite(truth)
    miss, wide = np.abs(estimate[valid] - truth[valid]), sd[valid]
    if not miss.size:
        return dict.fromkeys(LEVELS, float("nan"))
    return {level: 100.0 * float((miss <= norm.ppf(0.5 + level / 200.0) * wide).mean()) for level in LEVELS}


def lesions(maps: Mapping[str, NDArray[Any]], scan: FieldScan) -> dict[str, BoolArray]:
    """Find hypoperfusion and core by fixed thresholds.

    Parameters
    ----------
    maps : mapping of str to ndarray
        With ``tmax`` and ``cbf``.
    scan : FieldScan
        Gives the flow without the lesion; where it is not known, the median flow of what is not late takes its place.

    Returns
    -------
    dict
        ``hypoperfusion`` and ``core``, within what is scored.
    """
    scored = scan.masks["scored"]
    tmax, flow = (np.nan_to_num(maps[key], nan=-1.0) for key in ("tmax", "cbf"))
    late = scored & (tmax > TMAX_LIMIT_S)
    normal = scored & ~late & (flow > 0)
    usual = scan.truth["cbf_healthy"] if "cbf_healthy" in scan.truth else np.median(flow[normal]) if normal.any() else np.inf
    return {"hypoperfusion": late, "core": late & (flow >= 0) & (flow < CORE_FLOW * usual)}


def _lesion_rows(maps: Mapping[str, NDArray[Any]], scan: FieldScan) -> Iterator[Row]:
    if not {"tmax", "cbf"} <= set(maps):
        return
    for name, mask in lesions(maps, scan).items():
        known = scan.masks[name] & scan.masks["scored"]
        if known.any():
            yield name, ALL, "dice", dice(mask, known), "1"


def _number(value: float | int | None) -> float:
    return float("nan") if value is None else float(value)
