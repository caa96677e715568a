# SPDX-License-Identifier: Apache-2.0
"""Results as DICOM objects in one folder: the only place where the patient's identity is written, when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from ..core.errors import require_package
from ..core.files import written_beside
from ..core.geometry import check_affine
from ..core.maps import PerfusionMaps
from ..core.progress import ProgressCallback, part_of
from ..core.values import LesionMasks, Metrics
from .dicom_maps import QUANTITY_CODES, parametric_map
from .dicom_report import structured_report
from .dicom_seg import segmentation
from .dicom_source import DicomSource, ImageReference, quiet, slices_of, source_of

FOLDER = "dicom"
_SEG_NUMBER, _SR_NUMBER, _FIRST_MAP_NUMBER = 9001, 9002, 9011


def dicom_names() -> set[Path]:
    """Return the names of all objects that may be written, to recognize what an earlier run has left.

    Returns
    -------
    set of Path
        Relative to the output folder.
    """
    return {Path(FOLDER, f"{name}.dcm") for name in (*QUANTITY_CODES, "segmentation", "report")}


def write_dicom(
    folder: str | Path,
    maps: PerfusionMaps,
    lesions: LesionMasks | None,
    metrics: Metrics,
    *,
    source: Mapping[str, Any] | None = None,
    case_id: str = "case",
    modality: str = "ctp",
    deidentify: bool = False,
    progress: ProgressCallback | None = None,
) -> list[Path]:
    """Write Parametric Maps, a Segmentation and a structured report.

    Parameters
    ----------
    folder : path-like
        Where; made when missing.
    maps : PerfusionMaps
        CBF, CBV, MTT, Tmax, ATT and their relatives are written.
    lesions : LesionMasks or None
        On the grid of the maps; None where nothing was segmented (an ASL scan whose sides were not compared).
    metrics : Metrics
        The numbers.
    source : mapping, optional
        ``Source.dicom`` of the scan, or from `series.dicom_reference.find_source`; without it the objects are a study of
        their own.
    case_id : str
        Name of the patient in a study of its own.
    modality : {"ctp", "dsc", "asl"}
        Of the scan.
    deidentify : bool
        Leave out identity, dates and references of the source.
    progress : callable, optional
        Called between objects.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InvalidInputError
        If rows and columns of the maps are not perpendicular, or a file cannot be written.
    MissingPackageError
        If highdicom is missing.
    """
    require_package("highdicom", "write DICOM objects")
    report = part_of(progress, 0.0, 1.0)
    affine = check_affine(maps.affine)
    origin = source_of(source or {}, maps.shape, affine, case_id=case_id, modality=modality, deidentify=deidentify)
    with quiet():
        objects = _objects(maps, lesions, metrics, origin, report)
        files = [_saved(dataset, Path(folder) / f"{name}.dcm") for name, dataset in objects.items()]
    report(1.0, "DICOM written")
    return files


def _objects(
    maps: PerfusionMaps, lesions: LesionMasks | None, metrics: Metrics, origin: DicomSource, report: ProgressCallback
) -> dict[str, Dataset]:
    """All objects by the stem of their file."""
    keys = [key for key in QUANTITY_CODES if key in maps]
    made: dict[str, Dataset] = {}
    for number, key in enumerate(keys):
        report(0.8 * number / max(len(keys), 1), "DICOM maps")
        made[key] = parametric_map(maps[key], origin, _FIRST_MAP_NUMBER + number)
    report(0.8, "DICOM segmentation and report")
    found = {} if lesions is None else {"segmentation": segmentation(lesions, _with_maps(origin, made), _SEG_NUMBER)}
    numbers = structured_report(metrics, lesions, origin, found.get("segmentation"), list(made.values()), _SR_NUMBER)
    return {**made, **found, "report": numbers}


def _saved(dataset: Dataset, path: Path) -> Path:
    with written_beside(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return path


def _with_maps(origin: DicomSource, made: Mapping[str, Dataset]) -> DicomSource:
    """Let lesions of a study without images of its own refer to the map that they were drawn on."""
    if origin.images or not made:
        return origin
    drawn_on = made.get("tmax") or next(iter(made.values()))
    order = slices_of(drawn_on, origin)
    images = tuple(
        ImageReference(
            str(drawn_on.SOPClassUID), str(drawn_on.SOPInstanceUID), str(drawn_on.SeriesInstanceUID), order.index(k) + 1
        )
        for k in range(origin.shape[2])
    )
    return replace(origin, by_slice=images, images=images)
