# SPDX-License-Identifier: Apache-2.0
"""ASL scans in BIDS: which files belong together, and what fields hold for them by inheritance."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInputError
from .sidecar import read_fields

_NIFTI = (".nii.gz", ".nii")
_LEVEL = re.compile(r"^(perf|ses-.+|sub-.+)$")


@dataclass(frozen=True, slots=True)
class AslFiles:
    """The files of one ASL scan.

    Parameters
    ----------
    images : Path
        ``*_asl.nii.gz``.
    fields : dict
        Its JSON fields, those of higher folders included.
    volume_types : tuple of str
        Rows of aslcontext.tsv; empty when there is none.
    m0 : Path or None
        ``*_m0scan.nii.gz``.
    m0_fields : dict
        JSON fields of the M0 scan.
    """

    images: Path
    fields: dict[str, Any]
    volume_types: tuple[str, ...]
    m0: Path | None
    m0_fields: dict[str, Any]


def is_asl_name(path: Path) -> bool:
    """Say whether a NIfTI file is an ASL scan by its name or its sidecar.

    Parameters
    ----------
    path : Path
        A NIfTI file.

    Returns
    -------
    bool
        True for ``*_asl.nii.gz`` and for files whose own sidecar names a kind of labeling.
    """
    stem = stem_of(path)
    if stem == "asl" or stem.endswith("_asl"):
        return True
    beside = path.with_name(f"{stem}.json")
    if not beside.exists() or stem.endswith("m0scan"):
        return False
    try:
        return "ArterialSpinLabelingType" in read_fields(beside)
    except InvalidInputError:
        return False  # its own reader says what is wrong with it


def stem_of(path: Path) -> str:
    """Return the name of a NIfTI file without its suffix.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        The name.
    """
    return next((path.name.removesuffix(end) for end in _NIFTI if path.name.endswith(end)), path.stem)


def asl_files(images: Path) -> AslFiles:
    """Find what belongs to an ASL scan.

    Parameters
    ----------
    images : Path
        ``*_asl.nii.gz``.

    Returns
    -------
    AslFiles
        The files and fields.

    Raises
    ------
    InvalidInputError
        If a JSON or TSV file is damaged.
    """
    m0 = _m0_of(images)
    return AslFiles(
        images,
        inherited(images, "asl"),
        _volume_types(images),
        m0,
        {} if m0 is None else inherited(m0, "m0scan"),
    )


def inherited(images: Path, suffix: str) -> dict[str, Any]:
    """Return the JSON fields that hold for a file: of higher folders first, its own last.

    Parameters
    ----------
    images : Path
        The NIfTI file.
    suffix : str
        ``asl`` or ``m0scan``.

    Returns
    -------
    dict
        Fields.

    Raises
    ------
    InvalidInputError
        If a file is no JSON object.
    """
    fields: dict[str, Any] = {}
    for folder in reversed(_levels(images)):
        applicable = [path for path in folder.glob("*.json") if _applies(path.stem, stem_of(images), suffix)]
        for path in sorted(applicable, key=lambda item: (len(_entities(item.stem)), item.name)):
            fields |= read_fields(path)
    own = images.with_name(f"{stem_of(images)}.json")
    return fields | (read_fields(own) if own.exists() else {})


def _levels(images: Path) -> list[Path]:
    """Folders from that of the file up to that of the data set; nothing above is looked at."""
    folder = images.absolute().parent
    levels = [folder]
    while _LEVEL.match(folder.name) and folder.parent != folder:
        folder = folder.parent
        levels.append(folder)
    return levels


def _entities(stem: str) -> frozenset[str]:
    return frozenset(stem.split("_")[:-1])


def _applies(stem: str, target: str, suffix: str) -> bool:
    """Whether a file of this name holds for a target: same suffix, no entity that the target lacks."""
    return stem.split("_")[-1] == suffix and _entities(stem) <= _entities(target)


def _volume_types(images: Path) -> tuple[str, ...]:
    """Rows of the nearest aslcontext.tsv that holds for the scan."""
    for folder in _levels(images):
        applicable = [path for path in folder.glob("*aslcontext.tsv") if _applies(path.stem, stem_of(images), "aslcontext")]
        if applicable:
            return _read_context(max(applicable, key=lambda item: (len(_entities(item.stem)), item.name)))
    return ()


def _read_context(path: Path) -> tuple[str, ...]:
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t") if any(row)]
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        msg = f"'{path.name}' cannot be read ({reason}). Save it as plain text (UTF-8) that can be read."
        raise InvalidInputError(msg) from error
    header = [cell.strip() for cell in rows[0]] if rows else []
    if "volume_type" not in header:
        msg = f"'{path.name}' has no column volume_type. Write that word in its first line and one type for each volume below."
        raise InvalidInputError(msg)
    column = header.index("volume_type")
    return tuple(row[column].strip() if column < len(row) else "" for row in rows[1:])


def _m0_of(images: Path) -> Path | None:
    """The M0 scan that is intended for this file, or that has its name, or the only one that could be meant."""
    folder = images.absolute().parent
    found = sorted(path for path in folder.iterdir() if stem_of(path).split("_")[-1] == "m0scan" and path.name.endswith(_NIFTI))
    for path in found:
        meant = inherited(path, "m0scan").get("IntendedFor", [])
        names = [meant] if isinstance(meant, str) else list(meant) if isinstance(meant, list) else []
        if any(str(name).replace("\\", "/").split("/")[-1] == images.name for name in names):
            return path
    own = stem_of(images).removesuffix("asl") + "m0scan"
    same = [path for path in found if stem_of(path) == own]
    if same:
        return same[0]
    related = [path for path in found if _entities(stem_of(path)) >= _entities(stem_of(images))]
    shared = [path for path in found if _entities(stem_of(path)) <= _entities(stem_of(images))]  # one M0 for all runs
    return next((some[0] for some in (related, shared) if len(some) == 1), None)
