# SPDX-License-Identifier: Apache-2.0
"""What was found in a folder: one `SeriesCandidate` per series, and the choice among them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInputError
from .notes import Notes

HOW_TO_SELECT = "with select=N in Python or --series N on the command line"
"""How a user says which series to read."""

_DERIVED = 3.0


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
    preference : tuple of (float, str)
        Among series of equal size the lowest number is read first, and the words say why.
    asl : bool
        Whether it is an ASL scan, which has volumes of different kinds instead of a bolus.
    echo_s : float, s
        Echo time of an MR series; NaN when the file does not say.
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
    preference: tuple[float, str] = field(default=(0.0, "comes first"), repr=False, compare=False)
    asl: bool = False
    echo_s: float = math.nan

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
        if len(candidates) == 1 and not candidates[0].slices and candidates[0].reason.endswith("."):
            raise InvalidInputError(candidates[0].reason)  # a file that cannot be read says so itself
        kinds = list(dict.fromkeys(f"{item.description}, {item.size_text}: {item.reason}" for item in candidates))
        shown = "; ".join(kinds[:4])
        more = f"; and {len(kinds) - 4} more" if len(kinds) > 4 else ""
        found = "The only series found is not" if len(candidates) == 1 else f"None of the {len(candidates)} series found is"
        msg = f"{found} a dynamic perfusion series ({shown}{more}). Choose another folder or file."
        raise InvalidInputError(msg)
    chosen = min(usable, key=lambda item: (-item.frames * item.slices, item.preference[0], item.index))
    if len(usable) > 1:
        _tell_choice(chosen, usable, notes)
    else:
        notes.decide(f"Series {chosen.index} ({chosen.description}, {chosen.size_text}) was read.")
    return chosen


def _tell_choice(chosen: SeriesCandidate, usable: list[SeriesCandidate], notes: Notes) -> None:
    """A choice among several series is a guess that the user must be able to see and to change."""
    rivals = [item for item in usable if item is not chosen]
    equal = [item for item in rivals if item.frames * item.slices == chosen.frames * chosen.slices]
    reason = "has the most slices x frames"
    if equal:
        other = min(equal, key=lambda item: item.preference[0])
        better = chosen.preference[0] < other.preference[0]
        word = other.preference[1] if other.preference[0] >= _DERIVED else chosen.preference[1]
        reason = f"{word} among those of equal size" if better else "comes first among those of equal size"
    others = ", ".join(f"{item.index} ({item.description}, {item.size_text})" for item in rivals)
    notes.decide(
        f"{len(usable)} perfusion series were found; series {chosen.index} ({chosen.description}, {chosen.size_text}) "
        f"{reason} and was taken, not {others}. Choose another {HOW_TO_SELECT}."
    )
    message = f"{len(usable)} dynamic series were found; series {chosen.index} was read since it {reason}. The others: {others}."
    notes.find("several_series", "warning", message, f"Choose another {HOW_TO_SELECT}.{_both_echoes(chosen, rivals)}")


def _both_echoes(chosen: SeriesCandidate, rivals: list[SeriesCandidate]) -> str:
    """Say how to use two echoes, when two series look like those of one scan."""
    # The comparison with a missing echo time is false, since that is NaN.
    echoes = [item for item in rivals if _same_size(item, chosen) and abs(item.echo_s - chosen.echo_s) > 0.0]
    if not echoes:
        return ""
    first, second = sorted((chosen, echoes[0]), key=lambda item: item.echo_s)
    return f" If they are two echoes of one scan, --series {first.index} --second-echo {second.index} uses both."


def _selected(candidates: list[SeriesCandidate], select: int | str) -> SeriesCandidate:
    matches = [item for item in candidates if select == item.index or select in item.uids]
    usable = [item for item in matches if item.usable]
    if usable:
        return min(usable, key=lambda item: (-item.frames * item.slices, item.preference[0], item.index))
    if matches:
        msg = f"Series {matches[0].index} cannot be used: {matches[0].reason}. Choose another series."
        raise InvalidInputError(msg)
    known = "; ".join(f"{item.index}: {item.description}, {item.size_text}" for item in candidates[:8])
    msg = (
        f"There is no series '{select}' here. Choose one of these numbers ({known}), or give a SeriesInstanceUID of this folder."
    )
    raise InvalidInputError(msg)


def same_scan_other_echo(item: SeriesCandidate, chosen: SeriesCandidate) -> bool:
    """Say whether two candidates are echoes of one scan.

    Parameters
    ----------
    item, chosen : SeriesCandidate
        Two candidates, or one twice.

    Returns
    -------
    bool
        True when they come from the same DICOM series and have one size.
    """
    if item is chosen:
        return True
    same = item.kind == "dicom" and item.modality == "MR" and bool(item.uids) and item.uids == chosen.uids
    return same and _same_size(item, chosen)


def _same_size(item: SeriesCandidate, other: SeriesCandidate) -> bool:
    return (item.frames, item.slices, item.matrix) == (other.frames, other.slices, other.matrix)
