# SPDX-License-Identifier: Apache-2.0
"""Writes every result of a study (ct-perfusion-auto section 17)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..core.asl import AslStudy
from ..core.files import staged_folder, write_json, write_text
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray
from ..core.maps import PerfusionMap
from ..core.nifti import write_volume
from ..core.progress import ProgressCallback, part_of
from ..core.values import InputFunction, LesionMasks, Metrics, Study
from ..lesion.follow_up import REGIONS
from .bids import map_sidecar, mask_sidecar, write_dataset_files
from .fitted_field import missing_for_field, write_field
from .layout import FIXED_MASKS, Layout
from .log import run_log
from .map_study import AnyStudy, case_id_of
from .pictures import write_pictures
from .privacy import without_identifiers
from .regions import write_regions
from .report import write_report
from .tables import flatten, write_curve, write_rows
from .thresholds import is_standard


def write(
    study: AnyStudy | AslStudy,
    out: Path,
    *,
    layout: str = "flat",
    pictures: bool = True,
    report: bool = True,
    extra_findings: Sequence[QualityFinding] = (),
    progress: ProgressCallback | None = None,
) -> list[Path]:
    """Write all results of a study: everything appears at the end, or nothing.

    Parameters
    ----------
    study : Study, AslStudy or MapStudy
        What a run produced, or what was found in finished maps.
    out : Path
        Folder for the results. Results of an earlier run in it are replaced, foreign files stay.
    layout : {"flat", "bids"}
        A flat folder, or BIDS derivatives with a JSON file beside each volume.
    pictures, report : bool
        Whether to draw pictures (needs matplotlib) and to write the report (needs jinja2). A missing
        package is reported as a finding in log, metrics and report.
    extra_findings : sequence of QualityFinding
        Findings that arose after the study was made.
    progress : callable, optional
        Called between files; may raise `CancelledError`.

    Returns
    -------
    list of Path
        The files, sorted.

    Raises
    ------
    InvalidInputError
        If the layout is unknown, or the folder cannot be written to or the disk is full.
    """
    out = Path(out)
    names = _layout_of(study, layout)
    if isinstance(study, AslStudy):
        from .asl_writer import write_asl

        missing = tuple(_missing_packages(pictures=pictures, report=report))
        findings = tuple(dict.fromkeys((*study.findings, *extra_findings, *missing)))
        drawn = (pictures and not _lacks("matplotlib"), report and not _lacks("jinja2"))
        return write_asl(study, out, names, findings, drawn, part_of(progress, 0.0, 1.0))
    missing = (*_missing_packages(pictures=pictures, report=report), *missing_for_field(getattr(study, "fitted", None)))
    findings = tuple(dict.fromkeys((*study.findings, *extra_findings, *missing)))
    with staged_folder(out, outdated=names.every_name()) as stage:
        _write_volumes(study, stage, names, part_of(progress, 0.0, 0.5))
        numbers = metrics_document(study.metrics, findings)
        _write_numbers(numbers, stage, names)
        _write_curves(study, stage, names)
        write_field(getattr(study, "fitted", None), stage, names)
        write_regions(study, stage, names)
        images: dict[str, Path] = {}
        if pictures and not _lacks("matplotlib"):
            images = write_pictures(study, stage, names, part_of(progress, 0.5, 0.9))
        if report and not _lacks("jinja2"):
            write_report(stage / names.table("report", "html"), study, numbers, findings, images)
        write_text(stage / names.table("log", "txt"), run_log(study, findings))
        if names.is_bids:
            write_dataset_files(stage)
        files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
        part_of(progress, 0.9, 1.0)(1.0, "Results written")
    return [out / file for file in files]


def outdated_names(study: AnyStudy | AslStudy, layout: str = "flat") -> set[Path]:
    """Return all names that an earlier run of the same case may have left.

    Parameters
    ----------
    study : Study
        The run that is about to be written.
    layout : {"flat", "bids"}
        Names of the files.

    Returns
    -------
    set of Path
        Relative paths, for ``staged_folder(out, outdated=...)`` of a caller that adds files of its own.

    Raises
    ------
    InvalidInputError
        If the layout is unknown.
    """
    return _layout_of(study, layout).every_name()


def _layout_of(study: AnyStudy | AslStudy, layout: str) -> Layout:
    name = study.series.source.case_id if isinstance(study, AslStudy) else case_id_of(study)
    return Layout(layout, str(without_identifiers(name)))


def metrics_document(metrics: Metrics, findings: Sequence[QualityFinding]) -> dict[str, Any]:
    """Return what ``metrics.json`` holds: the numbers, why some are missing, and the findings.

    Parameters
    ----------
    metrics : Metrics
        Numbers of the case.
    findings : sequence of QualityFinding
        All findings.

    Returns
    -------
    dict
        Free of paths and identifiers.
    """
    values = dict(metrics.values)
    quality = dict(values.get("quality") or {})
    quality["flags"] = list(dict.fromkeys([*quality.get("flags", ()), *(finding.code for finding in findings)]))
    quality["findings"] = [asdict(finding) for finding in findings]
    values["quality"] = quality
    messages = (f"{f.message} {f.advice}".strip() for f in findings if f.severity != "info")
    values["warnings"] = list(dict.fromkeys([*values.get("warnings", ()), *messages]))
    if metrics.notes:
        values["notes"] = {**values.get("notes", {}), **metrics.notes}
    cleaned: dict[str, Any] = without_identifiers(values)
    return cleaned


def _lacks(package: str) -> bool:
    return importlib.util.find_spec(package) is None


def _missing_packages(*, pictures: bool, report: bool) -> list[QualityFinding]:
    wanted = (("matplotlib", "pictures", pictures), ("jinja2", "report", report))
    return [
        QualityFinding(
            f"no_{what}", "warning", f"The {what} could not be made because the Python package '{package}' is missing.",
            f"Install it with 'pip install {package}' and run again.",
        )
        for package, what, needed in wanted
        if needed and _lacks(package)
    ]  # fmt: skip


def _write_volumes(study: AnyStudy, stage: Path, names: Layout, progress: ProgressCallback) -> None:
    keys = [key for key in study.maps if isinstance(study, Study) or key in study.made]
    for at, key in enumerate(keys):
        progress(at / (len(keys) + 1), "Maps")
        _write_map(key, study.maps[key], stage, names)
    progress(len(keys) / (len(keys) + 1), "Masks")
    anatomy = ("brain", "csf", "vessel", "bone") if isinstance(study, Study) else ("brain",)
    regions = {**{name: getattr(study.masks, name) for name in anatomy}, **_lesion_regions(study.lesions)}
    for curve in (study.aif, study.vof):
        if curve is not None and curve.voxels.size and curve.kind != "reference":  # that one comes from all tissue
            regions[curve.kind] = _mask_of(curve, study.masks.brain.shape)
    _write_masks(regions, study.lesions, stage, names)


def _write_map(key: str, item: PerfusionMap, stage: Path, names: Layout) -> None:
    quantity, path = item.quantity, stage / names.map(key)
    description = f"{quantity.symbol} ({item.unit}), Perfusion Suite {__version__}, research use"
    write_volume(path, item.values, item.affine, description=description, unit=item.unit, display_range=quantity.display_range)
    if names.is_bids:
        write_json(_sidecar(path), map_sidecar(item))


def _lesion_regions(lesions: LesionMasks) -> dict[str, BoolArray]:
    written = {"sss", "torcula", "roi_region", "contra_region", *REGIONS}
    known = {key: mask for key, mask in lesions.extra.items() if key in written}
    return {
        "tissue": lesions.tissue,
        "hypoperfusion_mask": lesions.hypoperfusion,
        "core_mask": lesions.core,
        "penumbra_mask": lesions.penumbra,
        "reference": lesions.reference,
        **known,
    }


def _write_masks(regions: Mapping[str, BoolArray], lesions: LesionMasks, stage: Path, names: Layout) -> None:
    for stem, mask in regions.items():
        _write_mask(stage, names.mask(stem), mask, lesions, stem, names)
    if is_standard(lesions.thresholds):
        for stem in FIXED_MASKS:
            _write_mask(stage, names.fixed_mask(stem), regions[stem], lesions, stem, names)


def _write_mask(stage: Path, name: Path, mask: BoolArray, lesions: LesionMasks, stem: str, names: Layout) -> None:
    write_volume(stage / name, mask, lesions.affine, dtype=np.uint8, description=stem.replace("_", " "), display_range=(0, 1))
    if names.is_bids:
        write_json(_sidecar(stage / name), mask_sidecar(stem, names, stage, lesions.thresholds))


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def _mask_of(curve: InputFunction, shape: tuple[int, ...]) -> BoolArray:
    mask = np.zeros(shape, bool)
    mask[tuple(np.asarray(curve.voxels).T)] = True
    return mask


def _write_numbers(numbers: Mapping[str, Any], stage: Path, names: Layout) -> None:
    write_json(stage / names.table("metrics", "json"), numbers)
    write_rows(stage / names.table("metrics", "csv"), [flatten(numbers)], delimiter=names.delimiter)


def _write_curves(study: AnyStudy, stage: Path, names: Layout) -> None:
    for curve in (study.aif, study.vof):
        if curve is not None:
            stem = "reference_curve" if curve.kind == "reference" else curve.kind
            write_curve(stage / names.table(stem, "csv"), curve, delimiter=names.delimiter)
