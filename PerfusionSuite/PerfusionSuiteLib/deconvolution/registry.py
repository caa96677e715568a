# SPDX-License-Identifier: Apache-2.0
"""The deconvolution methods. A new one is a file with a `prepare` function and one line in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.choosing import chosen, completed
from . import csvd, osvd, ssvd, ssvd_delay, tikhonov
from .problem import Problem
from .residues import ResidueEstimator

Prepare = Callable[[Problem, Mapping[str, Any]], ResidueEstimator]


@dataclass(frozen=True, slots=True)
class Method:
    """A deconvolution method.

    Parameters
    ----------
    name : str
        What users type.
    description : str
        One line.
    prepare : callable
        Turns a problem and a complete set of options into an estimator.
    options : mapping
        Options with their defaults.
    tmax_note : str
        How the exported Tmax lies relative to delay + MTT / 2, for whoever sets a threshold.
    """

    name: str
    description: str
    prepare: Prepare
    options: Mapping[str, Any]
    tmax_note: str

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options with defaults filled in.

        Parameters
        ----------
        options : mapping
            Options that differ from the defaults.

        Returns
        -------
        dict
            Every option of the method.

        Raises
        ------
        InvalidInputError
            If an option does not exist.
        """
        return completed(self.name, self.options, options, "option")


_CAUSAL = "Time of the maximum of a causal residue: never negative, later than the arrival and earlier than delay + MTT/2."
_CIRCULAR = "Near the middle of a box residue (offset about 0); before it for residues that decay from the start."
_MOVED = "Time of the maximum of the residue behind each voxel's own arrival: earlier than delay + MTT/2."

_TABLE = (
    Method("ssvd", "Truncated SVD of the causal matrix (Østergaard 1996).", ssvd.prepare, ssvd.OPTIONS, _CAUSAL),
    Method("ssvd-delay", "Truncated SVD behind each voxel's own arterial delay.", ssvd_delay.prepare, ssvd_delay.OPTIONS, _MOVED),
    Method("csvd", "Block-circulant SVD, insensitive to delay (Wu 2003).", csvd.prepare, csvd.OPTIONS, _CIRCULAR),
    Method("osvd", "Block-circulant SVD limited by oscillation (Wu 2003).", osvd.prepare, osvd.OPTIONS, _CIRCULAR),
    Method("tikhonov", "Tikhonov: L-curve, GCV or fixed (Calamante 2003).", tikhonov.prepare, tikhonov.OPTIONS, _CAUSAL),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _TABLE})
"""All methods by name."""


def find_method(name: str) -> Method:
    """Return a method by name.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    Method
        The method.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    return chosen(name, METHODS, "deconvolution method")
