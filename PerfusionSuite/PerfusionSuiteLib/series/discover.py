# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder can hold a series, judged by content rather than by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InvalidInputError
from .notes import Notes

_NIFTI = (".nii", ".nii.gz")
_NRRD = (".nrrd", ".nhdr")
_NOT_DICOM = (".json", ".txt", ".csv", ".tsv", ".xml", ".html", ".png", ".jpg", ".jpeg", ".pdf", ".zip", ".gz", ".raw", ".md")
_DIRECTORY = "DICOMDIR"
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files of a folder by format.

    Parameters
    ----------
    dicom, nifti, nrrd : tuple of Path
        Files that look like each format.
    other : int
        Number of files that look like none.
    """

    dicom: tuple[Path, ...]
    nifti: tuple[Path, ...]
    nrrd: tuple[Path, ...]
    other: int


def media_folder(path: Path, notes: Notes) -> Path:
    """Take the folder of a DICOMDIR for the DICOMDIR itself, which only lists files.

    Parameters
    ----------
    path : Path
        What the user gave.
    notes : Notes
        Gets the decision.

    Returns
    -------
    Path
        A folder or another file.
    """
    if path.name.upper() != _DIRECTORY or not path.is_file():
        return path
    notes.decide("A DICOMDIR was given; the files of its folder were read.")
    return path.resolve().parent


def find_files(path: str | Path) -> FoundFiles:
    """Sort the files at a path by format.

    Parameters
    ----------
    path : path-like
        A file, or a folder that is searched with all folders in it.

    Returns
    -------
    FoundFiles
        What was found.

    Raises
    ------
    InvalidInputError
        If the path does not exist, cannot be read, or the folder is empty.
    """
    place = Path(path)
    if not place.exists():
        msg = f"'{place}' does not exist. Check the spelling of the path."
        raise InvalidInputError(msg)
    try:
        files = [place] if place.is_file() else sorted(item for item in place.rglob("*") if item.is_file())
        kinds = [(format_of(item), item) for item in files]
    except OSError as error:
        msg = f"'{place}' cannot be read ({error.strerror}). Check the permissions."
        raise InvalidInputError(msg) from error
    if not files:
        msg = f"The folder '{place}' is empty. Choose a folder with DICOM files, a 4D NIfTI or a 4D NRRD."
        raise InvalidInputError(msg)
    return FoundFiles(
        tuple(item for kind, item in kinds if kind == "dicom"),
        tuple(item for kind, item in kinds if kind == "nifti"),
        tuple(item for kind, item in kinds if kind == "nrrd"),
        sum(kind == "" for kind, _ in kinds),
    )


def format_of(path: Path) -> str:
    """Tell the format of a file.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    str
        ``dicom``, ``nifti``, ``nrrd`` or empty.
    """
    name = path.name.lower()
    if name.startswith("._"):
        return ""  # resource forks that macOS leaves on shared disks carry the names of real files
    if name.endswith(_NIFTI):
        return "nifti"
    if name.endswith(_NRRD):
        return "nrrd"
    with path.open("rb") as stream:
        start = stream.read(132)
    if start[128:132] == b"DICM" or name.endswith(".dcm"):
        return "dicom"
    # Files of before 1996 lack the preamble; they begin with a tag of group 2 or 8.
    return "dicom" if start[:2] in _FIRST_GROUPS and len(start) == 132 and not name.endswith(_NOT_DICOM) else ""
