# SPDX-License-Identifier: Apache-2.0
"""The modes of HemoPIC. A new one is a file with a function and one line in `METHODS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.choosing import chosen, completed
from .physical_settings import OPTIONS as PHYSICAL_OPTIONS
from .physical_settings import check_settings


@dataclass(frozen=True, slots=True)
class HemopicMethod:
    """A mode.

    Parameters
    ----------
    name : str
        What users type.
    description : str
        One line.
    options : mapping
        Settings with their defaults.
    tmax_note : str
        How the exported Tmax lies relative to delay + MTT / 2.
    on_grid : bool
        Whether the method looks at the whole scan: it needs curves on a grid (I, J, K, T) and the affine, and noise is not
        reduced before.
    gpu, needs_torch : bool
        Whether it can compute on a GPU, and whether it cannot do without PyTorch.
    needs_priors : bool
        Whether it needs finished maps of flow, volume and transit time.
    modalities : tuple of str
        Kinds of scans it is meant for.
    """

    name: str
    description: str
    options: Mapping[str, Any]
    tmax_note: str = "delay + MTT/2 of the fitted model."
    on_grid: bool = True
    gpu: bool = False
    needs_torch: bool = False
    needs_priors: bool = False
    modalities: tuple[str, ...] = ("dsc",)

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
            If a setting does not exist or is out of range.
        """
        complete = completed(self.name, self.options, settings)
        if self.name == "hemopic":
            check_settings(complete)
        return complete


COMPAT_OPTIONS: Mapping[str, Any] = MappingProxyType({"k_gm": 8, "k_wm": 6, "seed": 0})
"""Wanted clusters of gray and white matter, and the seed, as published."""

_TABLE = (
    HemopicMethod(
        "hemopic",
        "Regions and voxels of DSC-MRI fitted without an artery (or with one): delay, transit, flow, and their uncertainty.",
        PHYSICAL_OPTIONS,
        tmax_note="delay + MTT/2 of the fitted model; without an artery since the arrival at early normal tissue (about 1 s).",
        gpu=True,
    ),
    HemopicMethod(
        "hemopic-compat",
        "HemoPIC as published (regional fits around finished maps), for comparison.",
        COMPAT_OPTIONS,
        tmax_note="No Tmax: the model has no delay.",
        needs_priors=True,
    ),
)

METHODS: Mapping[str, HemopicMethod] = MappingProxyType({method.name: method for method in _TABLE})
"""All modes by name."""


def find_method(name: str) -> HemopicMethod:
    """Return a mode by name.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    HemopicMethod
        The mode.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    return chosen(name, METHODS, "HemoPIC method")
