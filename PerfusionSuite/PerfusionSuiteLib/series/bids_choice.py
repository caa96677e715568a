# SPDX-License-Identifier: Apache-2.0
"""Which ASL scan of a BIDS tree is meant: by subject, session and run, or by a sentence that lists the choices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InvalidInputError
from .asl_bids import stem_of

ENTITIES: Mapping[str, str] = {"subject": "sub", "session": "ses", "run": "run"}
"""What a user can choose by, and what it is called in a file's name."""

HOW_TO_CHOOSE = "with --subject, --session and --run (bids= in Python), or give the file itself"

_NAME = re.compile(r"^sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_asl\.nii(\.gz)?$")
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class BidsScan:
    """An ASL scan of a BIDS tree.

    Parameters
    ----------
    path : Path
        ``sub-*_asl.nii.gz``.
    entities : dict
        By their names in the file: ``sub``, ``ses``, ``run``, ``acq``, ...
    """

    path: Path
    entities: dict[str, str]

    @property
    def name(self) -> str:
        """The entities as the file has them, for example ``sub-01_ses-2_run-1``."""
        return stem_of(self.path).removesuffix("_asl")


def bids_scans(place: Path) -> tuple[BidsScan, ...]:
    """List the ASL scans of a BIDS tree; those of derivatives inside of it are left out.

    Parameters
    ----------
    place : Path
        A data set, a subject, a session or a perf folder.

    Returns
    -------
    tuple of BidsScan
        Sorted by path; empty when there are none.
    """
    if not place.is_dir():
        return ()
    found = sorted(path for path in place.rglob("sub-*_asl.nii*") if _NAME.match(path.name))
    kept = [path for path in found if not {"derivatives", "sourcedata"} & set(path.relative_to(place).parts[:-1])]
    return tuple(BidsScan(path, dict(part.split("-", 1) for part in stem_of(path).split("_")[:-1])) for path in kept)


def chosen_scan(place: Path, wishes: Mapping[str, str | None]) -> Path:
    """Return the one ASL scan of a BIDS tree that is meant.

    Parameters
    ----------
    place : Path
        What the user gave; anything that holds no ASL scan in BIDS comes back as it is.
    wishes : mapping of str to str or None
        ``subject``, ``session`` and ``run`` as far as they were given, with or without ``sub-``, ``ses-`` and ``run-``.

    Returns
    -------
    Path
        The file, or `place` when it holds one scan only and nothing was wished.

    Raises
    ------
    InvalidInputError
        If no scan is what was wished, or several are; the sentence lists them.
    """
    given = {ENTITIES[key]: _label(ENTITIES[key], value) for key, value in wishes.items() if value is not None}
    scans = bids_scans(place)
    if not scans:
        if given:
            msg = f"'{place.name}' holds no ASL scan in BIDS (sub-*_asl.nii.gz), so --subject, --session and --run say nothing."
            raise InvalidInputError(f"{msg} Leave them out, or give the BIDS folder.")
        return place
    fitting = [scan for scan in scans if all(_same(scan.entities.get(key), label) for key, label in given.items())]
    if not fitting:
        wanted = " ".join(f"{key}-{label}" for key, label in given.items())
        msg = f"No ASL scan of '{place.name}' is {wanted}. There are {_listed(scans)}. Choose one of them {HOW_TO_CHOOSE}."
        raise InvalidInputError(msg)
    if len(fitting) > 1:
        msg = f"'{place.name}' holds {len(fitting)} ASL scans: {_listed(fitting)}. Choose one {HOW_TO_CHOOSE}."
        raise InvalidInputError(msg)
    return fitting[0].path if len(scans) > 1 else place


def _label(entity: str, value: str) -> str:
    return str(value).strip().removeprefix(f"{entity}-")


def _same(found: str | None, wanted: str) -> bool:
    """Whether two labels are the same; numbers may be padded with zeros (run-1 and run-01)."""
    if found is None:
        return False
    return found == wanted or (found.isdigit() and wanted.isdigit() and int(found) == int(wanted))


def _listed(scans: Sequence[BidsScan]) -> str:
    names = [scan.name for scan in scans]
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more
