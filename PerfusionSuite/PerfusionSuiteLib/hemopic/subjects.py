# SPDX-License-Identifier: Apache-2.0
"""Where the compatibility mode finds a subject's files: flat folders ``training_<N>`` with fixed names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InvalidInputError

PREFIX = "training_"
SERIES = "MR_4DPWI"
DIFFUSION = "MR_ADC"
TRACER = f"CTC_from_{SERIES}"
FLOW, VOLUME, TRANSIT = "MR_rCBF", "MR_rCBV", "MR_MTT"
PARTITION_FOLDER = "hemopic_seg4"
LABELS = "seg4_label_ref24.nii.gz"
DISPLAY = "seg4_gray_ref24.nii.gz"
LARGEST_RANGE = 100_000

_ENDS = (".nii", ".nii.gz")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject's folder.

    Parameters
    ----------
    folder : Path
        Where its files are.
    number : int or None
        N of ``training_<N>``; None for a folder of another name.
    """

    folder: Path
    number: int | None

    @property
    def name(self) -> str:
        """What messages and result folders call the subject."""
        return self.folder.name

    def find(self, *stems: str) -> Path | None:
        """Return the first file of these names, ``.nii`` before ``.nii.gz``.

        Parameters
        ----------
        *stems : str
            Names without ending, in order of preference.

        Returns
        -------
        Path or None
            A file that is not empty.
        """
        for stem in stems:
            for end in _ENDS:
                path = self.folder / f"{stem}{end}"
                if is_filled(path):
                    return path
        return None

    def need(self, *stems: str) -> dict[str, Path]:
        """Return one file per name, or say which ones are missing.

        Parameters
        ----------
        *stems : str
            Names without ending; `LABELS` is looked for in its own folder.

        Returns
        -------
        dict of str to Path
            The file of each name.

        Raises
        ------
        InvalidInputError
            If some are missing, all of them in one sentence.
        """
        found = {stem: self.labels if stem == LABELS else self.find(stem) for stem in stems}
        missing = [_shown(stem) for stem, path in found.items() if path is None]
        if missing:
            msg = f"{_listed(missing)} {'are' if len(missing) > 1 else 'is'} missing in '{self.name}'. {_advice(missing)}"
            raise InvalidInputError(msg)
        return {stem: path for stem, path in found.items() if path is not None}

    @property
    def labels(self) -> Path | None:
        """The tissue labels, when there are any."""
        path = self.folder / PARTITION_FOLDER / LABELS
        return path if is_filled(path) else None


def is_filled(path: Path) -> bool:
    """Return whether a file exists and is not empty.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    bool
        Whether something is in it.
    """
    return path.is_file() and path.stat().st_size > 0


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _shown(stem: str) -> str:
    return f"{PARTITION_FOLDER}/{LABELS}" if stem == LABELS else f"{stem}.nii[.gz]"


def _advice(missing: Sequence[str]) -> str:
    first = missing[0]
    if LABELS in first:
        return "Run 'hemopic partition' first."
    if first.startswith(TRACER):
        return "Run 'hemopic convert' first."
    return "Put the files into the subject's folder under these names."


def subjects_at(path: str | Path, ids: Sequence[int] | None = None) -> tuple[list[Subject], list[str]]:
    """Find the subjects of a dataset, or the one that a path names.

    Parameters
    ----------
    path : path-like
        A subject's folder, a file in it, or a folder that holds ``training_<N>``.
    ids : sequence of int, optional
        Numbers in a dataset; all of its folders by default.

    Returns
    -------
    subjects : list of Subject
        In the order of their numbers.
    absent : list of str
        Names of asked folders that do not exist.

    Raises
    ------
    InvalidInputError
        If there is nothing there, or numbers are given for a single subject.
    """
    place = Path(path)
    if not place.exists():
        msg = f"'{place}' does not exist. Give a subject's folder, or a folder that holds {PREFIX}1, {PREFIX}2, and so on."
        raise InvalidInputError(msg)
    if place.is_file():
        place = place.absolute().parent
        if ids is not None:
            msg = "Numbers of subjects were given together with a file. Give the folder of the dataset, or leave out --ids."
            raise InvalidInputError(msg)
    numbered = {number: child for child in place.iterdir() if (number := _number_of(child)) is not None}
    if ids is not None:
        return _chosen(place, numbered, ids)
    if numbered:
        return [Subject(numbered[number], number) for number in sorted(numbered)], []
    return [Subject(place, _number_of(place.absolute()))], []


def _chosen(place: Path, numbered: dict[int, Path], ids: Sequence[int]) -> tuple[list[Subject], list[str]]:
    if not numbered:
        msg = f"'{place.name}' holds no folder {PREFIX}<N>, but numbers were given. Give the folder of the dataset."
        raise InvalidInputError(msg)
    wanted = sorted(set(ids))
    subjects = [Subject(numbered[number], number) for number in wanted if number in numbered]
    return subjects, [f"{PREFIX}{number}" for number in wanted if number not in numbered]


def _number_of(folder: Path) -> int | None:
    found = re.fullmatch(rf"{PREFIX}(\d+)", folder.name)
    return int(found[1]) if found and folder.is_dir() else None


def parse_ids(words: Sequence[str]) -> list[int]:
    """Read numbers and ranges of subjects.

    Parameters
    ----------
    words : sequence of str
        For example ``["1-48"]`` or ``["3", "7,9", "11-13"]``.

    Returns
    -------
    list of int
        All numbers, sorted.

    Raises
    ------
    InvalidInputError
        If a word is neither a number nor a range from low to high.
    """
    numbers: set[int] = set()
    for word in (part.strip() for text in words for part in text.split(",")):
        found = _RANGE.fullmatch(word)
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else -1
        if not found or last < first or last - first > LARGEST_RANGE:
            msg = f"'{word}' is no number and no range of subjects. Write for example 1-48, or 3 7 11-13."
            raise InvalidInputError(msg)
        numbers.update(range(first, last + 1))
    return sorted(numbers)
