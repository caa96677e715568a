# SPDX-License-Identifier: Apache-2.0
"""What a case is called when the user does not say: after its folder, unless the folder is called after the patient."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from ..core.errors import InvalidInputError
from .discover import format_of
from .notes import Notes
from .sidecar import read_sidecar

NEUTRAL = "case"
_SUFFIXES = (".nii.gz", ".seq.nrrd", ".nii", ".nrrd", ".nhdr", ".dcm")
_NIFTI = (".nii.gz", ".nii")
_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName")
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber")
_BIRTH_DATE = "PatientBirthDate"
_GENERIC = {"anon", "anonymous", "case", "patient", "sub", "subject", "ct", "mr", "dr", "de", "of"}
_SHORTEST = 3
_SHORTEST_NAME = 2
_SHORTEST_NUMBER = 6
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "ß": "ss"})
_PLAIN = str.maketrans({"ø": "o", "æ": "ae", "ł": "l", "đ": "d"})


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
    name = _plain_name(place)
    known = set() if dicom_file is None else _identifiers(dicom_file)
    if nifti_file is not None:
        known |= _words_of(read_sidecar(nifti_file))
    if _holds(name, known):
        kind = "file" if place.is_file() else "folder"
        notes.decide(f"The {kind} is called after the patient, so results call the case 'case'; another name can be given.")
        return NEUTRAL
    return name or NEUTRAL


def is_called_after_patient(place: Path) -> bool:
    """Find out whether a scan lies in a folder or file that is called after its patient.

    Parameters
    ----------
    place : Path
        Folder or file of a scan.

    Returns
    -------
    bool
        True when its first DICOM header, or a JSON file beside its NIfTI files, holds a word of that name. Scans that do not
        say whose they are cannot be judged: False.
    """
    files = [place] if place.is_file() else sorted(item for item in place.rglob("*") if item.is_file())
    header = next((path for path in files if format_of(path) == "dicom"), None)
    known = set() if header is None else _identifiers(header)
    for path in files:
        if path.name.lower().endswith(_NIFTI):
            with suppress(InvalidInputError):  # a damaged file is told when the scan is read
                known |= _words_of(read_sidecar(path))
    return _holds(_plain_name(place), known)


def _plain_name(place: Path) -> str:
    """Name of a folder, or of a file without its suffix; of a link its own, for its target may lie in an archive."""
    name = place.name if place.name not in ("", "..") else place.resolve().name
    if place.is_file():
        return next((name[: -len(end)] for end in _SUFFIXES if name.lower().endswith(end)), place.stem)
    return name


def _identifiers(path: Path) -> set[str]:
    """Names and numbers of the patient in lower case; they never leave this file."""
    tags: list[str] = [*_NAMES, *_NUMBERS, _BIRTH_DATE, "PatientIdentityRemoved"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
    except (OSError, InvalidDicomError, ValueError):
        return set()
    if str(header.get("PatientIdentityRemoved", "")).upper() == "YES":
        return set()
    return _words_of(header)


def _words_of(header: Any) -> set[str]:
    """Words of the fields that name a patient, in every way that a folder may be spelled."""
    words = {word for tag in _NAMES for word in _spellings(_text(header, tag)) if len(word) >= _SHORTEST_NAME}
    words |= {word for tag in _NUMBERS for word in _spellings(_text(header, tag)) if len(word) >= _SHORTEST}
    born = re.sub(r"\D", "", _text(header, _BIRTH_DATE))
    words |= {born, born[6:] + born[4:6] + born[:4]} if len(born) == 8 else set()
    return words - _GENERIC


def _text(header: Any, tag: str) -> str:
    value = header.get(tag)
    return "" if value is None else str(value)


def _spellings(text: str) -> set[str]:
    """Words of a text as names of folders have them: without accents, or with umlauts written as two letters."""
    composed = unicodedata.normalize("NFC", text.casefold())
    return {word for form in (composed.translate(_SPELLED), composed) for word in re.split(r"[\W_]+", _unaccented(form)) if word}


def _unaccented(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).translate(_PLAIN)


def _holds(name: str, identifiers: set[str]) -> bool:
    if _spellings(name) & identifiers:
        return True
    joined, digits = _unaccented(name.casefold()), re.sub(r"\D", "", name)
    return any(
        # Names in other scripts are short and follow each other without a gap.
        ((len(word) > _SHORTEST or not word.isascii()) and word in joined)
        or (word.isdigit() and len(word) >= _SHORTEST_NUMBER and word in digits)
        for word in identifiers
    )
