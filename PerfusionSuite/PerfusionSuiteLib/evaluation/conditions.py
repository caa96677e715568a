# SPDX-License-Identifier: Apache-2.0
"""Conditions of the systematic study: what is varied, one thing at a time, around a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ..core.errors import InvalidInputError

GRIDS: Mapping[str, tuple[tuple[int, int, int], tuple[float, float, float]]] = {
    "standard": ((192, 192, 12), (1.15, 1.15, 8.0)),
    "small": ((96, 96, 6), (2.2, 2.2, 10.0)),
}
"""Voxels and their size in mm by the name of the grid."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How patients are made and prepared; the defaults are the reference of issue figures.

    Parameters
    ----------
    grid : str
        A key of `GRIDS`.
    recipe : str
        Difficulty of the digital patient.
    noise_hu : float, HU
        Noise of a voxel.
    interval_s : float, s
        Time between frames.
    residue : str
        Family of residues for all tissues, or empty to draw it with the patient.
    frames : int
        Number of frames, or 0 to draw the duration.
    motion : str
        Kind of head motion, with its size in mm as in ``drift:4``, or empty for what the recipe draws.
    site : str
        Site of the lesion, or empty to draw it.
    noise_reduction : str
        Filter in front of the method; empty for the one of the chain.
    """

    grid: str = "standard"
    recipe: str = "typical"
    noise_hu: float = 4.0
    interval_s: float = 1.0
    residue: str = ""
    frames: int = 0
    motion: str = ""
    site: str = ""
    noise_reduction: str = ""

    def __post_init__(self) -> None:
        if self.grid not in GRIDS:
            msg = f"There is no grid '{self.grid}'. Choose one of: {', '.join(GRIDS)}."
            raise InvalidInputError(msg)

    @property
    def name(self) -> str:
        """What differs from the reference, in words."""
        changed = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(level_words(key, getattr(self, key)) for key in changed) or "reference"

    def as_columns(self) -> dict[str, Any]:
        """Return the fields as cells of a table.

        Returns
        -------
        dict
            By the name of the field.
        """
        return asdict(self)

    def same_scan(self) -> Condition:
        """Return the condition without what happens after the scan, which tells patients apart.

        Returns
        -------
        Condition
            With the reference's noise reduction.
        """
        return replace(self, noise_reduction=Condition().noise_reduction)


FACTORS = tuple(f.name for f in fields(Condition))
"""Everything that can be varied, in the order of tables."""

_TITLES = {
    "grid": "Grid",
    "recipe": "Recipe",
    "noise_hu": "Noise, HU",
    "interval_s": "Frame interval, s",
    "residue": "Residue family",
    "frames": "Frames",
    "motion": "Head motion",
    "site": "Lesion site",
    "noise_reduction": "Noise reduction",
}
_DRAWN = {"residue": "drawn", "frames": "drawn", "motion": "of the recipe", "site": "drawn", "noise_reduction": "default"}


def factor_title(factor: str) -> str:
    """Name a factor for a reader.

    Parameters
    ----------
    factor : str
        One of `FACTORS`.

    Returns
    -------
    str
        With its unit.
    """
    return _TITLES[factor]


def level_label(factor: str, level: Any) -> str:
    """Write a level alone, for an axis.

    Parameters
    ----------
    factor : str
        One of `FACTORS`.
    level : object
        Its value.

    Returns
    -------
    str
        For example ``4`` or ``drawn``.
    """
    if factor in _DRAWN and not level:
        return _DRAWN[factor]
    return f"{level:g}" if isinstance(level, float) else str(level)


def level_words(factor: str, level: Any) -> str:
    """Write a level with what it is.

    Parameters
    ----------
    factor : str
        One of `FACTORS`.
    level : object
        Its value.

    Returns
    -------
    str
        For example ``noise 8 HU``.
    """
    label = level_label(factor, level)
    named = {"noise_hu": f"noise {label} HU", "interval_s": f"frames every {label} s", "frames": f"{label} frames"}
    return named.get(factor, f"{_TITLES[factor].split(',')[0].lower()} {label}")


def one_at_a_time(base: Condition, levels: Mapping[str, Sequence[Any]]) -> list[Condition]:
    """List the conditions of a design that varies one factor at a time.

    Parameters
    ----------
    base : Condition
        The reference, always first.
    levels : mapping of str to sequence
        Levels by factor; the reference's own level adds nothing.

    Returns
    -------
    list of Condition
        Without repetition. Conditions of one scan (that differ in noise reduction only) follow each other.

    Raises
    ------
    InvalidInputError
        If a factor is unknown.
    """
    if unknown := sorted(set(levels) - set(FACTORS)):
        msg = f"There is no factor {', '.join(unknown)}. Choose from: {', '.join(FACTORS)}."
        raise InvalidInputError(msg)
    varied = [replace(base, **{factor: level}) for factor, values in levels.items() for level in values]
    found = list(dict.fromkeys([base, *varied]))
    scans = list(dict.fromkeys(condition.same_scan() for condition in found))
    return sorted(found, key=lambda condition: scans.index(condition.same_scan()))


def varied_factor(condition: Condition, base: Condition) -> str:
    """Tell which factor alone distinguishes a condition from the reference.

    Parameters
    ----------
    condition, base : Condition
        Compared.

    Returns
    -------
    str
        The factor; empty when none or several differ.
    """
    changed = [factor for factor in FACTORS if getattr(condition, factor) != getattr(base, factor)]
    return changed[0] if len(changed) == 1 else ""
