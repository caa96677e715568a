# SPDX-License-Identifier: Apache-2.0
"""Families of residue functions, and what they and their integrals are for a transit time of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray

FAMILIES: Final = ("box", "gamma:3", "gamma:2", "exponential", "fermi")
"""Families that a scan may choose from when the user leaves the choice to it and gives an artery."""

BLIND_FAMILIES: Final = ("gamma:3", "gamma:2", "exponential")
"""The same without an artery. The artery then comes from the reference tissue by taking the family's own residue out of it. Of a
residue with a sharp end that leaves too wide an artery, which fits well and makes normal transits too short (on development
patients flow in lesions 0.23 of normal instead of 0.47, even where the residue is a box; with these families 0.43 to 0.55)."""

FERMI_STEEPNESS = 3.0
"""Width of the shoulder of a Fermi residue over the width of its slope."""

_FAR = 60.0
"""Transit times after which every residue is empty."""


@dataclass(frozen=True, slots=True)
class Residue:
    """A residue function rho(x) over x = time / mean transit time, with rho(0) = 1 and area 1.

    Parameters
    ----------
    name : str
        Family.
    shape : float
        Shape of gamma-distributed transit times; infinity for the box; NaN for the Fermi function.

    Notes
    -----
    All residues of a family are one function on a stretched axis. For an input that is linear between knots the tissue curve is
    a sum of second integrals of the residue, one for each change of slope, so it is exact at any time and for any step
    (hemopic.md section 10.3).
    """

    name: str
    shape: float

    def once(self, x: FloatArray) -> FloatArray:
        """Return the first integral from 0 to `x` (0 for negative `x`)."""
        near = np.clip(x, 0.0, _FAR)
        if self.name == "box":
            found = np.minimum(near, 1.0)
        elif self.name == "fermi":
            p, k = _fermi()
            found = (1.0 + np.exp(-k)) * (near - (np.logaddexp(0.0, p * near - k) - np.logaddexp(0.0, -k)) / p)
        else:
            a = self.shape
            found = near * special.gammaincc(a, a * near) + special.gammainc(a + 1.0, a * near)
        return np.asarray(found)

    def twice(self, x: FloatArray) -> FloatArray:
        """Return the second integral from 0 to `x` (0 for negative `x`)."""
        near = np.clip(x, 0.0, _FAR)
        beyond = np.maximum(x - _FAR, 0.0)  # the first integral has reached 1 there
        if self.name == "box":
            found = np.where(near < 1.0, 0.5 * near**2, near - 0.5)
        elif self.name == "fermi":
            p, k = _fermi()
            bent = special.spence(1.0 + np.exp(p * near - k)) - special.spence(1.0 + np.exp(-k))
            found = (1.0 + np.exp(-k)) * (0.5 * near**2 + near * np.logaddexp(0.0, -k) / p + bent / p**2)
        else:
            a, y = self.shape, self.shape * near
            found = 0.5 * near**2 * special.gammaincc(a, y) + near * special.gammainc(a + 1.0, y)
            found -= 0.5 * (a + 1.0) / a * special.gammainc(a + 2.0, y)
        return np.asarray(found + beyond)

    @property
    def centre(self) -> float:
        """First moment of the residue: 1/2 for a box, 1 for an exponential."""
        return float(_FAR - self.twice(np.array(_FAR)))


def _fermi() -> tuple[float, float]:
    """Return slope and shoulder of the Fermi residue of area 1."""
    k = FERMI_STEEPNESS
    return (1.0 + np.exp(-k)) * np.logaddexp(0.0, k), k


def find_residue(name: str) -> Residue:
    """Return a family by name.

    Parameters
    ----------
    name : str
        ``box``, ``exponential``, ``gamma:K`` with K of at least 1, or ``fermi``.

    Returns
    -------
    Residue
        The family.

    Raises
    ------
    InvalidInputError
        If there is no such family.

    References
    ----------
    Gamma-distributed transit times: Mouridsen et al., NeuroImage 33:570 (2006). Fermi residue: Axel, Invest Radiol 18:94 (1983);
    Jerosch-Herold et al., Med Phys 25:73 (1998).
    """
    if name == "fermi":
        return Residue("fermi", float("nan"))
    if name == "box":
        return Residue("box", float("inf"))
    kind, _, number = str(name).partition(":")
    try:
        shape = 1.0 if name == "exponential" else float(number) if kind == "gamma" else 0.0
    except ValueError:
        shape = 0.0
    if not 1.0 <= shape < 1000.0:
        msg = f"There is no residue family '{name}'. Choose box, exponential, gamma:K with K of at least 1, or fermi."
        raise InvalidInputError(msg)
    return Residue(str(name), shape)
