# SPDX-License-Identifier: Apache-2.0
"""A fit of regions as files and as a table of the report: labels, parameters, observed and fitted curves, status codes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.colors import region_colors
from ..core.files import plain, write_json
from ..core.geometry import FloatArray, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.nifti import write_volume
from ..core.regions import RegionFit
from .layout import Layout
from .map_study import AnyStudy
from .tables import write_rows
from .template import shown

_NONE = "–"

STATUS_CODES = "status_codes"
"""In the settings of a map's provenance: what the numbers of its status mean."""

_HEADS: Mapping[str, str] = {
    "cbf": "CBF",
    "cbv": "CBV",
    "F_fit": "CBF",
    "V_fit": "CBV",
    "mtt": "MTT (s)",
    "delay": "Delay (s)",
    "dispersion": "Dispersion (s)",
    "tau_fit": "τ (s)",
    "Cin_bar_fit": "C̄in",
    "nmse": "Misfit",
    "loss": "Misfit",
    "status": "Status",
    "success": "Success",
}
"""Columns of the report by the key of a row, in this order; a fit has some of them."""


def write_regions(study: AnyStudy, stage: Path, names: Layout) -> None:
    """Write labels, table and curves of the regions, when the method fitted regions, and the status of each voxel.

    Parameters
    ----------
    study : Study or MapStudy
        The study.
    stage : Path
        Folder of the results.
    names : Layout
        Names of the files.
    """
    regions: RegionFit | None = getattr(study, "regions", None)
    if regions is None:
        return
    meanings = dict(zip((int(row["roi_id"]) for row in regions.rows), regions.names, strict=True))
    _write_labels(stage, names, "regions", regions.labels, regions.affine, meanings)
    write_rows(stage / names.table("regions", "csv"), regions.rows, delimiter=names.delimiter)
    write_rows(stage / names.table("region_curves", "csv"), curve_rows(regions), delimiter=names.delimiter)
    first = next(iter(study.maps.values()), None)
    codes = status_codes(study.maps)
    if first is not None and first.quality is not None and codes:
        _write_labels(stage, names, "status", first.quality.astype(np.int32), first.affine, codes)


def status_codes(maps: PerfusionMaps) -> dict[int, str]:
    """Return what the status of a voxel means, by its code.

    Parameters
    ----------
    maps : PerfusionMaps
        The maps.

    Returns
    -------
    dict of int to str
        Empty when the method does not say.
    """
    first = next(iter(maps.values()), None)
    known = {} if first is None else dict(first.provenance.settings.get(STATUS_CODES) or {})
    return {int(code): str(words) for code, words in known.items()}


def _write_labels(stage: Path, names: Layout, stem: str, labels: Any, affine: FloatArray, meanings: Mapping[int, str]) -> None:
    path = stage / names.labels(stem)
    write_volume(path, labels, affine, dtype=np.int32, description=stem, display_range=(0, max(meanings, default=1)))
    if names.is_bids:
        words = {"regions": "Regions whose mean curves were fitted", "status": "Why a voxel has a value, or has none"}[stem]
        facts = {"Description": words, "SpatialReference": "orig", "SkullStripped": True}
        write_json(path.with_name(path.name.replace(".nii.gz", ".json")), facts)
    rows = [{"index": number, "name": words} for number, words in sorted(meanings.items())]
    write_rows(stage / names.key(stem), rows, ["index", "name"], delimiter=names.delimiter)


def curve_rows(regions: RegionFit) -> list[dict[str, Any]]:
    """Return the curves of the regions, one row per time.

    Parameters
    ----------
    regions : RegionFit
        The regions.

    Returns
    -------
    list of dict
        ``time_sec``, ``input`` (the curve that went in), ``<region> observed`` and ``<region> fitted``.
    """
    columns = {"time_sec": np.round(regions.times_s, 6), "input": regions.reference}
    for name, observed, fitted in zip(regions.names, regions.observed, regions.fitted, strict=True):
        columns |= {f"{name} observed": observed, f"{name} fitted": fitted}
    return [{key: float(f"{values[at]:.7g}") for key, values in columns.items()} for at in range(regions.times_s.size)]


def region_table(study: AnyStudy) -> dict[str, Any] | None:
    """Return the table of the report.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    dict or None
        ``head``, ``rows`` (with ``color``) and ``note``; None without regions.
    """
    regions: RegionFit | None = getattr(study, "regions", None)
    if regions is None:
        return None
    keys = [key for key in _HEADS if any(plain(row.get(key)) not in (None, "") for row in regions.rows)]
    keys = [key for key in keys if not (key == "loss" and "nmse" in keys) and not (key == "success" and "status" in keys)]
    colors = region_colors(regions.tissues)
    voxel_ml = voxel_volume_ml(regions.affine)
    rows = [
        {
            "color": "#" + "".join(f"{round(255 * part):02x}" for part in color),
            "cells": [name, _volume(regions, row, voxel_ml), *(_cell(row.get(key)) for key in keys)],
        }
        for name, row, color in zip(regions.names, regions.rows, colors, strict=True)
    ]
    scale = "Flow and volume are relative: no artery was used." if regions.relative else ""
    misfit = "Misfit is the squared difference of the curves over the squared observed curve (0: exact, 1: no better than zero)."
    return {"head": ["Region", "mL", *(_HEADS[key] for key in keys)], "rows": rows, "note": f"{scale} {misfit}".strip()}


def _volume(regions: RegionFit, row: Mapping[str, Any], voxel_ml: float) -> str:
    return f"{voxel_ml * float((regions.labels == int(row['roi_id'])).sum()):.1f}"


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return value.replace("_", " ") if isinstance(value, str) else _NONE if plain(value) is None else shown(plain(value))
