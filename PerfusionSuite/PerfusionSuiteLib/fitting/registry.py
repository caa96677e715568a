# SPDX-License-Identifier: Apache-2.0
"""The fitting methods. A new one is a file with a `fit` function and one line in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.choosing import chosen, completed
from . import bayes, neural, nlr, resppinn, spatial, sppinn
from .request import FitRequest, Fitted


@dataclass(frozen=True, slots=True)
class FitMethod:
    """A fitting method.

    Parameters
    ----------
    name : str
        What users type.
    description : str
        One line.
    fit : callable
        Takes a `FitRequest`, returns a `Fitted`.
    options : mapping
        Settings with their defaults.
    tmax_note : str
        How the exported Tmax lies relative to delay + MTT / 2.
    on_grid : bool
        Whether the method looks at neighbors: it then needs curves on a grid (I, J, K, T) and the affine, and does its own
        noise reduction.
    gpu : bool
        Whether it can compute on a GPU; such methods need PyTorch.
    modalities : tuple of str
        Kinds of scans it is meant for.
    """

    name: str
    description: str
    fit: Callable[[FitRequest], Fitted]
    options: Mapping[str, Any]
    tmax_note: str = "delay + MTT/2 of the fitted model."
    on_grid: bool = False
    gpu: bool = False
    modalities: tuple[str, ...] = ("ctp", "dsc")

    def complete(self, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the settings with defaults filled in.

        Parameters
        ----------
        settings : mapping, optional
            Settings that differ from the defaults.

        Returns
        -------
        dict
            Every setting of the method.

        Raises
        ------
        InvalidInputError
            If a setting does not exist.
        """
        return completed(self.name, self.options, settings)


_TABLE = (
    FitMethod("nlr", "Regression of a box-shaped residue in every voxel (Bennink 2016).", nlr.fit, nlr.OPTIONS),
    FitMethod("bayes", "Posterior means over arrival and transit time; the scan chooses the residue.", bayes.fit, bayes.OPTIONS),
    FitMethod(
        "spatial",
        "Most probable maps of the whole scan, neighbors alike but for edges.",
        spatial.fit,
        spatial.OPTIONS,
        on_grid=True,
        gpu=True,
    ),
    FitMethod(
        "neural",
        "Neural field of the brain, on the objective of the spatial fit.",
        neural.fit,
        neural.OPTIONS,
        on_grid=True,
        gpu=True,
    ),
    FitMethod(
        "sppinn",
        "Physics-informed neural field slice by slice (de Vries 2023).",
        sppinn.fit,
        sppinn.OPTIONS,
        on_grid=True,
        gpu=True,
    ),
    FitMethod(
        "resppinn",
        "Physics-informed neural field over a hash encoding (ReSPPINN).",
        resppinn.fit,
        resppinn.OPTIONS,
        on_grid=True,
        gpu=True,
    ),
)

METHODS: Mapping[str, FitMethod] = MappingProxyType({method.name: method for method in _TABLE})
"""All methods by name."""


def find_method(name: str) -> FitMethod:
    """Return a method by name.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    FitMethod
        The method.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    return chosen(name, METHODS, "fitting method")
