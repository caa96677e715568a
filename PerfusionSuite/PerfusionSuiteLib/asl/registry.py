# SPDX-License-Identifier: Apache-2.0
"""The ASL methods. A new one is a file with a `fit` function and one line in `METHODS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.choosing import chosen, completed
from . import multi, qtm, single, weighted_delay
from .request import AslRequest


@dataclass(frozen=True, slots=True)
class AslMethod:
    """A method that quantifies ASL.

    Parameters
    ----------
    name : str
        What users type.
    description : str
        One line.
    fit : callable
        Takes an `AslRequest`; returns values of the voxels of the mask with their flags, or whole maps.
    options : mapping
        Options with their defaults.
    min_delays : int
        Delays that the method needs.
    gpu : bool
        Whether it can compute on a GPU; such methods need PyTorch.
    tmax_note : str
        Empty: ASL has no Tmax.
    """

    name: str
    description: str
    fit: Callable[[AslRequest], dict[str, Any]]
    options: Mapping[str, Any]
    min_delays: int = 1
    gpu: bool = False
    tmax_note: str = ""

    def complete(self, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the options with defaults filled in.

        Parameters
        ----------
        settings : mapping, optional
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
        return completed(self.name, self.options, settings, "option")


def _network(request: AslRequest) -> dict[str, Any]:
    """Hand the measurement to the network, which loads PyTorch when it predicts."""
    return dict(qtm.predict(request.difference, settings=request.options, device=request.device, progress=request.progress))


_TABLE = (
    AslMethod("asl-single", "Flow from one delay: consensus equation (Alsop 2015).", single.fit, single.OPTIONS),
    AslMethod("asl-multi", "Flow and arrival time from several delays, with standard errors.", multi.fit, multi.OPTIONS, 2),
    AslMethod(
        "asl-multi-wd", "Flow and arrival time by the weighted delay (Dai 2012).", weighted_delay.fit, weighted_delay.OPTIONS, 2
    ),
    AslMethod("qtmnet", "Network trained on simulated vessels (QTMnet).", _network, qtm.OPTIONS, 4, gpu=True),
)

METHODS: Mapping[str, AslMethod] = MappingProxyType({method.name: method for method in _TABLE})
"""All methods by name."""


def find_method(name: str) -> AslMethod:
    """Return a method by name.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    AslMethod
        The method.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    return chosen(name, METHODS, "ASL method")


def default_method(delays: int) -> str:
    """Return the recommended method.

    Parameters
    ----------
    delays : int
        Number of post-label delays.

    Returns
    -------
    str
        ``asl-multi`` from three delays on, else ``asl-single``.
    """
    return "asl-multi" if delays >= 3 else "asl-single"
