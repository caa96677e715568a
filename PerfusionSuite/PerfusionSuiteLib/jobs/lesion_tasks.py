# SPDX-License-Identifier: Apache-2.0
"""What a worker does with lesions besides finding them: files in every form, and statistics of any regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import InvalidInputError, ProgressCallback, part_of
from ..core.files import staged_folder
from .report import Report
from .spec import JobSpec

if TYPE_CHECKING:
    from ..results import MapStudy

FILE_SETTINGS = ("layout", "files", "all_maps", "dicom")
"""Settings of the task ``segment`` that say which files it writes."""

_DICOM_CHOICES = ("source", "deidentify")


def write_lesion_files(study: MapStudy, folder: Path, settings: Mapping[str, Any], progress: ProgressCallback) -> None:
    """Write lesions of finished maps: everything or nothing.

    Parameters
    ----------
    study : MapStudy
        What was found.
    folder : Path
        Where to.
    settings : mapping
        ``layout`` (flat or bids); ``files``: whether volumes, tables, pictures and report are written (default true);
        ``all_maps``: also the maps that were given; ``dicom``: a mapping with ``source`` (DICOM folder of the scan, or None) and
        ``deidentify`` (default true), or None for no DICOM objects.
    progress : callable
        Progress.
    """
    from .. import results
    from ..results.dicom_export import FOLDER, dicom_names, write_dicom

    dicom = settings.get("dicom")
    source = {} if dicom is None else _source(dicom, study)
    with_files = bool(settings.get("files", True))
    layout = settings.get("layout", "flat")
    if settings.get("all_maps"):
        study = replace(study, made=tuple(study.maps))
    outdated = results.outdated_names(study, layout) if with_files else set()
    outdated |= set() if dicom is None else {name for name in dicom_names() if (folder / name).is_file()}
    with staged_folder(folder, outdated=outdated) as stage:
        if with_files:
            results.write(study, stage, layout=layout, progress=part_of(progress, 0.0, 0.7))
        if dicom is not None:
            write_dicom(
                stage / FOLDER, study.maps, study.lesions, study.metrics, source=source, case_id=study.case_id,
                modality=study.modality, deidentify=bool(dicom.get("deidentify", True)), progress=part_of(progress, 0.7, 1.0),
            )  # fmt: skip


def _source(dicom: Mapping[str, Any], study: MapStudy) -> Mapping[str, Any]:
    unknown = sorted(set(dicom) - set(_DICOM_CHOICES))
    if unknown:
        msg = f"There is no choice '{unknown[0]}' for DICOM objects. Known ones: {', '.join(_DICOM_CHOICES)}."
        raise InvalidInputError(msg)
    if not dicom.get("source") or dicom.get("deidentify", True):  # nothing of the source would be kept
        return {}
    from ..series.dicom_reference import find_source

    return find_source(Path(dicom["source"]), study.maps.shape, study.maps.affine)


def region_statistics(spec: JobSpec, report: Report) -> dict[str, Any]:
    """Summarize maps within regions.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``images`` (arrays by name), ``regions`` (masks by name), ``affine``, and optionally ``units``, ``midplane`` and
        ``tissue``.
    report : Report
        Progress.

    Returns
    -------
    dict
        ``rows``, see `lesion.region_statistics.region_statistics`.
    """
    from ..lesion.region_statistics import region_statistics as summarize

    given = spec.inputs
    if not given.get("images") or not given.get("regions") or given.get("affine") is None:
        msg = "The job has no maps or no regions. Choose a segmentation with segments, and maps."
        raise InvalidInputError(msg)
    rows = summarize(
        given["images"], given["regions"], given["affine"], units=given.get("units"), midplane=given.get("midplane"),
        tissue=given.get("tissue"), progress=part_of(report.progress, 0.1, 0.9),
    )  # fmt: skip
    return {"rows": rows}
