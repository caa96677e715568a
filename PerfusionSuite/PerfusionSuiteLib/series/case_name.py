# SPDX-License-Identifier: Apache-2.0
"""What a case is called when the user does not say: after its folder, unless the folder is called after the patient."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from .notes import Notes
from .sidecar import read_sidecar

NEUTRAL = "case"
_SUFFIXES = (".nii.gz", ".seq.nrrd", ".nii", ".nrrd", ".nhdr", ".dcm")
_IDENTIFYING = ("PatientName", "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber")
_GENERIC = {"anon", "anonymous", "case", "patient", "sub", "subject"}
_SHORTEST = 3


def case_name(place: Path, dicom_file: Path | None, notes: Notes, nifti_file: Path | None = None) -> str:
    """Return the name of a case.

    Parameters
    ----------
    place : Path
        Folder or file that was read.
    dicom_file : Path, optional
        One of its DICOM files.
    notes : Notes
        Gets the decision.
    nifti_file : Path, optional
        Its NIfTI file, beside which a converter may have left a JSON file that names the patient.

    Returns
    -------
    str
        Name of the folder, or of the file without its suffix; ``case`` when that holds a name or number of the
        patient. Files that say that identities were removed keep theirs.
    """
    name = place.resolve().name
    if place.is_file():
        name = next((name.removesuffix(end) for end in _SUFFIXES if name.lower().endswith(end)), place.stem)
    known = set() if dicom_file is None else _identifiers(dicom_file)
    if nifti_file is not None:
        known |= _words_of(read_sidecar(nifti_file))
    if _holds(name, known):
        kind = "file" if place.is_file() else "folder"
        notes.decide(f"The {kind} is called after the patient, so results call the case 'case'; another name can be given.")
        return NEUTRAL
    return name or NEUTRAL


def _identifiers(path: Path) -> set[str]:
    """Names and numbers of the patient in lower case; they never leave this file."""
    tags: list[str] = [*_IDENTIFYING, "PatientIdentityRemoved"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
    except (OSError, InvalidDicomError, ValueError):
        return set()
    if str(header.get("PatientIdentityRemoved", "")).upper() == "YES":
        return set()
    return _words_of(header)


def _words_of(header: Any) -> set[str]:
    """Words of the fields that name a patient."""
    words = {word for tag in _IDENTIFYING for word in re.split(r"[\W_]+", str(header.get(tag, "")).lower())}
    return {word for word in words - _GENERIC if len(word) >= _SHORTEST}


def _holds(name: str, identifiers: set[str]) -> bool:
    words = set(re.split(r"[\W_]+", name.lower()))
    return bool(words & identifiers) or any(len(word) > _SHORTEST and word in name.lower() for word in identifiers)
