# SPDX-License-Identifier: Apache-2.0
"""What was found in a folder: one `SeriesCandidate` per series, and the choice among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInputError
from .notes import Notes


@dataclass(frozen=True, slots=True)
class SeriesCandidate:
    """One series that a folder holds.

    Parameters
    ----------
    index : int
        Number to select it by.
    kind : {"dicom", "nifti", "nrrd"}
        File format.
    description : str
        Technical words only; free text of the header could name a patient.
    modality : str
        ``CT``, ``MR``, another DICOM modality, or empty when the file does not say.
    frames, slices : int
        Size along time and along the slice axis.
    matrix : tuple of int
        Columns and rows.
    usable : bool
        Whether it can be read as a perfusion series.
    reason : str
        Why not, empty when usable.
    uids : tuple of str
        SeriesInstanceUIDs that make it up (DICOM).
    paths : tuple of Path
        The file (NIfTI, NRRD); empty for DICOM.
    content : object
        Headers, for the reader.
    """

    index: int
    kind: str
    description: str
    modality: str
    frames: int
    slices: int
    matrix: tuple[int, int]
    usable: bool
    reason: str = ""
    uids: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    content: Any = field(default=None, repr=False, compare=False)

    @property
    def size_text(self) -> str:
        """Columns x rows x slices x frames."""
        return f"{self.matrix[0]} x {self.matrix[1]} x {self.slices} x {self.frames}"


def choose(candidates: list[SeriesCandidate], select: int | str | None, notes: Notes) -> SeriesCandidate:
    """Take the wanted series, or the largest usable one.

    Parameters
    ----------
    candidates : list of SeriesCandidate
        What the folder holds.
    select : int, str or None
        Index or SeriesInstanceUID.
    notes : Notes
        Gets the decision.

    Returns
    -------
    SeriesCandidate
        The series to read.

    Raises
    ------
    InvalidInputError
        If nothing is usable or the wanted series is not.
    """
    if select is not None:
        chosen = _selected(candidates, select)
        notes.decide(f"Series {chosen.index} was selected ({chosen.description}, {chosen.size_text}).")
        return chosen
    usable = [item for item in candidates if item.usable]
    if not usable:
        shown = "; ".join(f"{item.description}, {item.size_text}: {item.reason}" for item in candidates[:4])
        more = f"; and {len(candidates) - 4} more" if len(candidates) > 4 else ""
        msg = f"None of the {len(candidates)} series found is a dynamic perfusion series ({shown}{more}). Choose another folder."
        raise InvalidInputError(msg)
    chosen = max(usable, key=lambda item: (item.frames * item.slices, -item.index))
    if len(usable) > 1:
        others = ", ".join(f"{item.index} ({item.size_text})" for item in usable if item is not chosen)
        notes.decide(
            f"{len(usable)} perfusion series were found; series {chosen.index} ({chosen.description}, {chosen.size_text}) "
            f"has the most slices x frames and was taken, not {others}."
        )
    else:
        notes.decide(f"Series {chosen.index} ({chosen.description}, {chosen.size_text}) was read.")
    return chosen


def _selected(candidates: list[SeriesCandidate], select: int | str) -> SeriesCandidate:
    for item in candidates:
        if select == item.index or select in item.uids:
            if not item.usable:
                msg = f"Series {item.index} cannot be used: {item.reason}. Choose another series."
                raise InvalidInputError(msg)
            return item
    known = ", ".join(str(item.index) for item in candidates)
    msg = f"There is no series '{select}' here. Choose one of the numbers {known}, or give a SeriesInstanceUID of this folder."
    raise InvalidInputError(msg)
