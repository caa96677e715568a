# SPDX-License-Identifier: Apache-2.0
"""Which cases a folder holds: BIDS subjects with their ASL scans, DICOM studies, or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InvalidInputError
from ..series.bids_choice import bids_scans
from ..series.discover import format_of

_FILES = (".nii.gz", ".nii", ".nrrd")


@dataclass(frozen=True, slots=True)
class Case:
    """One scan to analyze.

    Parameters
    ----------
    name : str
        Name of its folder of results.
    path : Path
        What ``run`` reads.
    participant : str
        Subject it belongs to, without ``sub-``; the name where there are no subjects.
    scan : str
        What it is called where it lies, if `name` is a number instead (`naming`).
    """

    name: str
    path: Path
    participant: str
    scan: str = ""


def find_cases(place: Path, *, modality: str = "auto", leave_out: Path | None = None) -> tuple[Case, ...]:
    """List the cases of a folder.

    Parameters
    ----------
    place : Path
        A BIDS data set (folders ``sub-*``), or a folder with one folder or file per case.
    modality : {"auto", "ctp", "dsc", "asl"}
        In BIDS, ASL scans are cases of their own, one for each session and run, unless another modality is asked for.
    leave_out : Path, optional
        A folder that is no case: where results go.

    Returns
    -------
    tuple of Case
        Sorted by name.

    Raises
    ------
    InvalidInputError
        If the folder does not exist or holds no case.
    """
    if not place.is_dir():
        msg = f"'{place}' is not a folder. Give a BIDS data set, or a folder with one folder per case."
        raise InvalidInputError(msg)
    entries = _entries(place, leave_out)
    subjects = [item for item in entries if item.is_dir() and item.name.startswith("sub-")]
    found = _of_bids(subjects, modality) if subjects else _of_folder(entries)
    if not found:
        what = "no ASL scan" if subjects and modality == "asl" else "no scan"
        msg = f"'{place}' holds {what}. Give a BIDS data set, or a folder with one folder (or 4D file) per case."
        raise InvalidInputError(msg)
    names = [case.name for case in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"Two cases of '{place}' are called '{twice}'. Rename one, since each gets a folder of its name."
        raise InvalidInputError(msg)
    return tuple(sorted(found, key=lambda case: case.name))


def _of_bids(subjects: Sequence[Path], modality: str) -> list[Case]:
    """One case for each ASL scan; the subject itself where it has none or another kind of scan is wanted."""
    cases = []
    for subject in subjects:
        label = subject.name.removeprefix("sub-")
        scans = bids_scans(subject) if modality in ("auto", "asl") else ()
        cases += [Case(scan.name, scan.path, label) for scan in scans]
        if not scans:  # its run says in one sentence what is missing, and the table keeps the subject
            cases.append(Case(subject.name, subject, label))
    return cases


def _of_folder(entries: Sequence[Path]) -> list[Case]:
    cases = []
    for item in entries:
        if item.is_dir():
            if _holds_images(item):
                cases.append(Case(item.name, item, item.name))
        elif item.name.lower().endswith(_FILES):
            name = next(item.name[: -len(end)] for end in _FILES if item.name.lower().endswith(end))
            cases.append(Case(name, item, name))
    return cases


def folders_without_images(place: Path, *, leave_out: Path | None = None) -> list[str]:
    """Return the names of folders that stand among the cases of a folder but hold nothing that could be a scan.

    Parameters
    ----------
    place : Path
        A folder with one folder or file per case; of a BIDS data set nothing is returned, since its other folders are no cases.
    leave_out : Path, optional
        A folder that is no case: where results go.

    Returns
    -------
    list of str
        Sorted names.
    """
    entries = _entries(place, leave_out)
    if any(item.name.startswith("sub-") for item in entries if item.is_dir()):
        return []
    return [item.name for item in entries if item.is_dir() and not _holds_images(item)]


def _entries(place: Path, leave_out: Path | None) -> list[Path]:
    others = {leave_out.resolve()} if leave_out is not None else set()
    return [item for item in sorted(place.iterdir()) if not item.name.startswith(".") and item.resolve() not in others]


def _holds_images(folder: Path) -> bool:
    """Whether any file below could hold a scan; the first that does ends the search."""
    return any(item.is_file() and format_of(item) for item in folder.rglob("*"))


def with_labels(cases: Sequence[Case], labels: Sequence[str]) -> tuple[Case, ...]:
    """Keep the cases of some participants.

    Parameters
    ----------
    cases : sequence of Case
        All cases.
    labels : sequence of str
        Participants, with or without ``sub-``, or names of cases; empty for all.

    Returns
    -------
    tuple of Case
        In the order of `cases`.

    Raises
    ------
    InvalidInputError
        If there is no such participant.
    """
    wanted = {label.removeprefix("sub-") for label in labels}
    missing = sorted(wanted - {label for case in cases for label in _labels(case)})
    if missing:
        known = list(dict.fromkeys(case.name if case.scan else case.participant for case in cases))
        shown = ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
        msg = f"There is no participant '{missing[0]}'. Choose from {shown}."
        raise InvalidInputError(msg)
    return tuple(case for case in cases if not wanted or wanted & _labels(case))


def _labels(case: Case) -> set[str]:
    """By what words a case is chosen; a numbered one also by its number."""
    return {case.participant, case.name} if case.scan else {case.participant}
