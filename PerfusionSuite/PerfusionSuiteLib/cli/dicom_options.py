# SPDX-License-Identifier: Apache-2.0
"""``--dicom`` of ``run`` and ``segment``: results as DICOM objects beside the other files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core import AslStudy, InvalidInputError, PerfusionMaps, Study
from ..core.errors import require_package
from ..core.progress import ProgressCallback
from ..results import MapStudy
from ..results.dicom_export import FOLDER, dicom_names, write_dicom
from ..series.dicom_reference import find_source

DicomWriter = Callable[[Path, ProgressCallback | None], list[Path]]
"""Writes into the output folder that it is given."""


def add_dicom_options(parser: argparse.ArgumentParser, *, with_source: bool = False) -> None:
    """Register the options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a command that makes results.
    with_source : bool
        Whether the command reads finished maps, which do not know their scan.
    """
    parser.add_argument(
        "--dicom", action="store_true", help="also write DICOM maps, segmentation and report, filed with the scan"
    )
    if with_source:
        parser.add_argument("--source", metavar="FOLDER", type=Path, help="DICOM folder of the scan, for --dicom")
    parser.add_argument(
        "--deidentify", action="store_true", help="DICOM objects make up a study of their own, without the patient's identity"
    )


def check_dicom_options(options: argparse.Namespace) -> None:
    """Say at once what could not be written in the end.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Raises
    ------
    InvalidInputError
        If an option is useless without another.
    MissingPackageError
        If highdicom is missing.
    """
    useless = [name for name in ("deidentify", "source") if getattr(options, name, None) and not options.dicom]
    if useless:
        msg = f"--{useless[0]} says how DICOM objects are written. Add --dicom, or leave it out."
        raise InvalidInputError(msg)
    if options.dicom:
        require_package("highdicom", "write DICOM objects")


def dicom_writer(
    options: argparse.Namespace, study: Study | MapStudy | AslStudy, maps: PerfusionMaps, source: Mapping[str, Any]
) -> DicomWriter | None:
    """Return what writes the objects of a study, when they are asked for.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    study : Study, MapStudy or AslStudy
        The results.
    maps : PerfusionMaps
        Its maps.
    source : mapping
        ``Source.dicom`` of the scan; empty for finished maps.

    Returns
    -------
    callable or None
        None without ``--dicom``.
    """
    if not options.dicom:
        return None
    case_id = study.case_id if isinstance(study, MapStudy) else study.series.source.case_id
    modality = study.modality if isinstance(study, MapStudy) else study.series.modality
    folder = getattr(options, "source", None)
    given = find_source(folder, maps.shape, maps.affine) if folder is not None and not options.deidentify else source

    def write(staging: Path, progress: ProgressCallback | None = None) -> list[Path]:
        return write_dicom(
            staging / FOLDER, maps, study.lesions, study.metrics, source=given, case_id=case_id, modality=modality,
            deidentify=options.deidentify, progress=progress,
        )  # fmt: skip

    return write


def earlier_objects(folder: Path) -> set[Path]:
    """List the objects that an earlier run has left.

    Parameters
    ----------
    folder : Path
        Output folder.

    Returns
    -------
    set of Path
        Relative to `folder`.
    """
    return {name for name in dicom_names() if (folder / name).is_file()}
