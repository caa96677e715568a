# SPDX-License-Identifier: Apache-2.0
"""The two thresholds of each preset, in words, for panels that open without loading what computes; a test keeps them true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Threshold:
    """One number that decides what is lesion.

    Parameters
    ----------
    field : str
        Name of the field of `lesion.Preset`.
    value : float
        Its value in the preset.
    label : str
        What panels call it.
    unit : str
        Unit that is shown.
    quantity : str
        Key of the map that it is compared with, or that a network needs.
    high : float
        Largest value that a slider goes to.
    step : float
        Of the slider, in whose decimals it is shown.
    """

    field: str
    value: float
    label: str
    unit: str
    quantity: str
    high: float = 1000.0
    step: float = 0.1


_TMAX = Threshold("tmax_s", 6.0, "Hypoperfusion: Tmax above", "s", "tmax")
_DELAY = Threshold("delay_s", 3.0, "Hypoperfusion: delay above", "s", "delay")
_CBF = Threshold("hypoperfusion_cbf", 27.0, "Hypoperfusion: CBF below", "mL/100 g/min", "cbf")
_RCBF = Threshold("rcbf_percent", 30.0, "Core: relative CBF below", "%", "cbf")
_CBV = Threshold("core_cbv", 1.2, "Core: CBV below", "mL/100 g", "cbv")
_PROBABILITY = Threshold("core_probability", 0.5, "Core: probability above", "", "cbf", 0.99, 0.01)

THRESHOLDS: Mapping[str, tuple[Threshold, Threshold]] = MappingProxyType(
    {
        "ct-perfusion-auto": (_TMAX, _RCBF),
        "neuroflow": (_TMAX, Threshold("rcbf_percent", 38.0, "Core: relative CBF up to", "%", "cbf")),
        "rapid-like": (_TMAX, _RCBF),
        "syngo-like": (_CBF, _CBV),
        "mistar-like": (_DELAY, _RCBF),
        "core-network": (_TMAX, _PROBABILITY),
    }
)
"""Threshold of hypoperfusion and of core by name of the preset."""

BY_NETWORK = ("core-network",)
"""Presets whose core a network draws: they need PyTorch, which panels never load."""

MIN_CLUSTER_ML = 1.0
"""Smallest cluster that counts, mL, in every preset."""
