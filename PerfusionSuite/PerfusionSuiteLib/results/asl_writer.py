# SPDX-License-Identifier: Apache-2.0
"""Writes every result of an ASL study, under the names of the other modalities where they apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..core.asl import AslStudy
from ..core.files import staged_folder, write_json, write_text
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray
from ..core.nifti import write_volume
from ..core.progress import ProgressCallback, part_of
from .asl_log import asl_log
from .asl_report import write_asl_report
from .bids import map_sidecar, mask_sidecar, write_dataset_files
from .layout import ASL_CURVES, Layout
from .pictures.asl import write_asl_pictures
from .tables import flatten, write_rows

_ARRAYS = ("delays_s", "observed", "observed_sd", "fitted", "model_s", "model")
"""Parts of a mean curve that a table holds rather than the metrics."""

_LATER = {name: f"{name} low flow at follow-up" for name in ("resolved", "persistent", "new")}


def write_asl(
    study: AslStudy,
    out: Path,
    names: Layout,
    findings: Sequence[QualityFinding],
    drawn: tuple[bool, bool],
    progress: ProgressCallback,
) -> list[Path]:
    """Write all results of an ASL study: everything appears at the end, or nothing.

    Parameters
    ----------
    study : AslStudy
        What a run produced.
    out : Path
        Folder for the results.
    names : Layout
        Names of the files.
    findings : sequence of QualityFinding
        All findings, those of writing included.
    drawn : tuple of bool
        Whether pictures and report can be made.
    progress : callable
        Called between files; may raise `CancelledError`.

    Returns
    -------
    list of Path
        The files, sorted.
    """
    from .writer import metrics_document

    with staged_folder(out, outdated=names.every_name()) as stage:
        _write_maps(study, stage, names, part_of(progress, 0.0, 0.4))
        _write_masks(study, stage, names)
        numbers = metrics_document(study.metrics, findings)
        write_json(stage / names.table("metrics", "json"), (plain := without_curves(numbers)))
        write_rows(stage / names.table("metrics", "csv"), [flatten(plain)], delimiter=names.delimiter)
        write_rows(stage / names.table(ASL_CURVES, "csv"), curve_rows(numbers.get("curves") or {}), delimiter=names.delimiter)
        images = write_asl_pictures(study, stage, names, part_of(progress, 0.4, 0.9)) if drawn[0] else {}
        if drawn[1]:
            write_asl_report(stage / names.table("report", "html"), study, numbers, findings, images)
        write_text(stage / names.table("log", "txt"), asl_log(study, findings))
        if names.is_bids:
            write_dataset_files(stage)
        files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
        progress(1.0, "Results written")
    return [out / file for file in files]


def without_curves(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics with flow and arrival of mean curves, but without the curves themselves.

    Parameters
    ----------
    numbers : mapping
        Content of the metrics.

    Returns
    -------
    dict
        What ``metrics.json`` holds.
    """
    curves = numbers.get("curves") or {}
    short = {name: {key: value for key, value in facts.items() if key not in _ARRAYS} for name, facts in curves.items()}
    return {**numbers, "curves": short}


def curve_rows(curves: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return mean difference signals as rows of a table.

    Parameters
    ----------
    curves : mapping
        By region, from `asl.region_curves`.

    Returns
    -------
    list of dict
        One row per region and delay: measured label density in mL/g, its standard error, and the named model's.
    """
    rows = []
    for name, facts in curves.items():
        for at, delay in enumerate(facts["delays_s"]):
            row = {
                "region": name,
                "model_name": facts.get("method"),
                "delay_s": delay,
                "label_density_ml_per_g": facts["observed"][at],
            }
            row["standard_error"] = facts["observed_sd"][at] if facts.get("observed_sd") else None
            row["model"] = facts["fitted"][at] if "fitted" in facts else None
            rows.append(row)
    return rows


def _write_maps(study: AslStudy, stage: Path, names: Layout, progress: ProgressCallback) -> None:
    """Every map, and why voxels have none."""
    for at, (key, item) in enumerate(study.maps.items()):
        progress(at / len(study.maps), "Maps")
        quantity, path = item.quantity, stage / names.map(key)
        words = f"{quantity.symbol} ({item.unit}), Perfusion Suite {__version__}, research use"
        write_volume(path, item.values, item.affine, description=words, unit=item.unit, display_range=quantity.display_range)
        if names.is_bids:
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")), map_sidecar(item))
    first = next(iter(study.maps.values()))
    if first.quality is not None:
        path = stage / names.labels("status")
        write_volume(path, first.quality, first.affine, dtype=np.uint8, description="status of each voxel", display_range=(0, 7))
        write_rows(stage / names.key("status"), _code_rows(), delimiter=names.delimiter)
        if names.is_bids:
            facts = {"Description": "Why a voxel has a value, or has none", "Units": "1", "SpatialReference": "orig"}
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")), facts)


def _code_rows() -> list[dict[str, Any]]:
    """Names of the codes; imported late, since the room of ASL is large."""
    from ..asl.codes import AslQuality

    return [{"index": int(code), "name": code.name.lower()} for code in AslQuality]


def _write_masks(study: AslStudy, stage: Path, names: Layout) -> None:
    """Brain, fluid and low flow."""
    regions: dict[str, BoolArray] = {"brain": study.masks.brain}
    if study.masks.csf.any():
        regions["csf"] = study.masks.csf
    if study.lesions is not None:
        regions |= {"hypoperfusion_mask": study.lesions.hypoperfusion, "reference": study.lesions.reference}
        regions |= {name: mask for name, mask in study.lesions.extra.items() if name in _LATER}
    for stem, mask in regions.items():
        path = stage / names.mask(stem)
        known = {"hypoperfusion_mask": "low flow against the other side", "reference": "mirror image of low flow", **_LATER}
        words = known.get(stem, stem)
        write_volume(path, mask, study.maps.affine, dtype=np.uint8, description=words, display_range=(0, 1))
        if names.is_bids:
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")), mask_sidecar(stem, names, stage))
