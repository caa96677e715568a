# SPDX-License-Identifier: Apache-2.0
"""Residue functions: what is left in tissue at a time after a unit of indicator arrived, in several families.

All families have the same meaning of the mean transit time: the integral of the residue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray

FAMILIES = ("box", "exponential", "gamma:K", "mixed")
COMPARTMENTS = ("gm", "wm", "deep")


@dataclass(frozen=True)
class ResidueFamily:
    """A family of residue functions.

    Parameters
    ----------
    name : str
        ``box``, ``exponential`` or ``gamma:K``.
    shape : float
        Shape of the gamma distribution of transit times; 1 is exponential, infinite is a box.
    """

    name: str
    shape: float

    def residue(self, times_s: Any, mtt_s: Any) -> FloatArray:
        """Return R(t), 1 at 0.

        Parameters
        ----------
        times_s, mtt_s : array-like, s
            Broadcast against each other.

        Returns
        -------
        ndarray
            Residue, 0 before 0.
        """
        t, m = np.asarray(times_s, float), np.asarray(mtt_s, float)
        if np.isinf(self.shape):
            value = (t < m).astype(float)
        else:
            value = special.gammaincc(self.shape, self.shape * np.maximum(t, 0.0) / m)
        result: FloatArray = np.where(t < 0, 0.0, value)
        return result

    def integral(self, times_s: Any, mtt_s: Any) -> FloatArray:
        """Return the integral of R from 0 to t, exactly.

        Parameters
        ----------
        times_s, mtt_s : array-like, s
            Broadcast against each other.

        Returns
        -------
        ndarray, s
            Integral; tends to the mean transit time.
        """
        t, m = np.maximum(np.asarray(times_s, float), 0.0), np.asarray(mtt_s, float)
        if np.isinf(self.shape):
            until: FloatArray = np.minimum(t, m)
            return until
        scaled = self.shape * t / m
        total: FloatArray = t * special.gammaincc(self.shape, scaled) + m * special.gammainc(self.shape + 1.0, scaled)
        return total


def parse_family(name: str) -> ResidueFamily:
    """Return the family of a name.

    Parameters
    ----------
    name : str
        ``box``, ``exponential`` or ``gamma:K`` with K from 1 to 50.

    Returns
    -------
    ResidueFamily
        The family.

    Raises
    ------
    InvalidInputError
        If the name is unknown or K out of range.
    """
    if name == "box":
        return ResidueFamily(name, np.inf)
    if name == "exponential":
        return ResidueFamily(name, 1.0)
    kind, _, number = name.partition(":")
    try:
        shape = float(number)
    except ValueError:
        shape = float("nan")
    if kind != "gamma" or not 1.0 <= shape <= 50.0:
        msg = f"There is no residue family '{name}'. Use box, exponential, gamma:K with K from 1 to 50, or mixed."
        raise InvalidInputError(msg)
    return ResidueFamily(name, shape)


def draw_families(rng: np.random.Generator, residue: str | None) -> dict[str, ResidueFamily]:
    """Return the family of each tissue.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream; always advanced by the same number of draws.
    residue : str or None
        A family for all tissues, ``mixed`` (differs between tissues), or None to draw that too.

    Returns
    -------
    dict of str to ResidueFamily
        By ``gm wm deep``.

    Raises
    ------
    InvalidInputError
        If the name is unknown.
    """
    kind, shape = rng.random(), float(np.round(rng.uniform(1.5, 6.0), 2))
    mixture = {
        "gm": f"gamma:{rng.uniform(2.0, 6.0):.2f}",
        "wm": ("exponential", f"gamma:{rng.uniform(1.5, 3.0):.2f}")[int(rng.random() < 0.6)],
        "deep": ("box", f"gamma:{rng.uniform(2.0, 5.0):.2f}")[int(rng.random() < 0.7)],
    }
    if residue is None:
        residue = ("box", "exponential", f"gamma:{shape:g}", "mixed")[int(np.searchsorted((0.2, 0.35, 0.75), kind))]
    names = mixture if residue == "mixed" else dict.fromkeys(COMPARTMENTS, residue)
    return {name: parse_family(family) for name, family in names.items()}
