# SPDX-License-Identifier: Apache-2.0
"""Every threshold besides the two of the sliders, in words and with its range, for the form of a panel.

Panels open without loading what computes; a test keeps this equal to the presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fit_choices import FitOption
from .threshold_words import THRESHOLDS


def _number(name: str, label: str, description: str, default: float, low: float, high: float) -> FitOption:
    return FitOption(name, label, description, default, "float", (), low, high)


def _choice(name: str, label: str, description: str, choices: tuple[Any, ...]) -> FitOption:
    return FitOption(name, label, description, choices[0], "choice", choices)


_ALL = (
    _choice("hypoperfusion_rule", "Hypoperfusion by", "Which map decides about hypoperfusion.", ("tmax", "delay", "cbf")),
    _number("tmax_s", "Tmax [s]", "Hypoperfusion: Tmax above this, also used by the intensity ratio.", 6.0, 0.1, 60.0),
    _number("late_by_s", "Late by [s]", "By Tmax: this much later than normal tissue, too; 0 asks for nothing.", 1.75, 0.0, 10.0),
    _number("smooth_mm", "Smooth Tmax [mm]", "By Tmax: SD of the Gaussian within slices and tissue.", 0.8, 0.0, 10.0),
    _number("delay_s", "Delay [s]", "Hypoperfusion by delay: above this.", 3.0, 0.1, 60.0),
    _number("hypoperfusion_cbf", "CBF", "Hypoperfusion by flow: below this, in the unit of the map.", 27.0, 0.1, 200.0),
    _choice("core_rule", "Core by", "Which map decides about core.", ("rcbf", "cbv", "adc", "network")),
    _number("rcbf_percent", "Relative CBF [%]", "Core by relative flow: below this.", 30.0, 0.1, 150.0),
    _number("core_cbv", "CBV", "Core by blood volume: below this, in the unit of the map.", 1.2, 0.1, 20.0),
    _number("core_adc", "ADC [1e-6 mm²/s]", "Core by diffusion: below this.", 620.0, 10.0, 3000.0),
    _number("core_probability", "Probability", "Core by a network: above this.", 0.5, 0.01, 0.99),
    FitOption("core_network", "Network", "Core by a network: its file (.safetensors) or name.", "core", "file"),
    _choice("core_region", "Core lies", "Where core may lie.", ("hypoperfusion", "anywhere")),
    _choice("strict", "Threshold itself is normal", "True compares with > and <, False with ≥ and ≤.", (True, False)),
    _number("severe_tmax_s", "Severe Tmax [s]", "Numerator of the hypoperfusion intensity ratio.", 10.0, 0.1, 60.0),
    FitOption("tmax_levels_s", "Tmax levels [s]", "Their volumes are reported.", "4, 6, 8, 10", "text"),
    FitOption("cbf_levels_percent", "CBF levels [%]", "Their volumes are reported.", "20, 30, 34, 38", "text"),
    FitOption("cbv_levels_percent", "CBV levels [%]", "Their volumes are reported.", "34, 38, 42", "text"),
    _number("venous_tmax_s", "Venous Tmax [s]", "Prolonged venous transit from this in a sinus.", 10.0, 0.1, 60.0),
    _number("thin_mm", "Thin parts [mm]", "Rims and vessels of less than this half width do not count.", 1.2, 0.0, 10.0),
    _number("reference_tmax_s", "Normal Tmax [s]", "The normal region has at most this Tmax.", 4.0, 0.1, 60.0),
    _choice("reference_statistic", "Normal value", "How it is taken from the normal region.", ("mean", "median")),
    _number("bilateral_fraction", "Bilateral from", "Part of both hemispheres that is late.", 0.2, 0.01, 0.99),
    _number("midplane_margin_mm", "Midline margin [mm]", "Tissue nearer to the midline is no reference.", 3.0, 0.0, 50.0),
    _number("csf_hu", "Fluid below [HU]", "In finished maps with a baseline.", 15.0, 0.0, 100.0),
    FitOption("csf_dilation_voxels", "Fluid margin [voxels]", "On grids of up to 1.2 mm.", 1, "int", (), 0, 5),
    _number("vessel_cbv", "Vessel above CBV", "In finished maps, in the unit of the map.", 8.0, 0.1, 1000.0),
    _number("vessel_cbv_ratio", "Vessel above × median", "In finished maps, of the median CBV of the brain.", 2.5, 0.1, 1000.0),
    FitOption("cortex_percentiles", "Cortex percentiles", "Blood volumes that stand for cortex.", "40, 90", "text"),
)

UNASKED_BEFORE: Mapping[str, float] = MappingProxyType({"late_by_s": 0.0, "smooth_mm": 0.0})
"""Thresholds that earlier versions did not have, with the values that mean what those versions did."""

_DIFFERING: Mapping[str, Mapping[str, Any]] = {
    "neuroflow": {"late_by_s": 0.0, "smooth_mm": 0.0, "rcbf_percent": 38.0, "strict": False},
    "rapid-like": {"late_by_s": 0.0, "smooth_mm": 0.0, "core_region": "anywhere"},
    "syngo-like": {"hypoperfusion_rule": "cbf", "core_rule": "cbv"},
    "mistar-like": {"hypoperfusion_rule": "delay"},
    "core-network": {"core_rule": "network"},
}
"""Where presets differ from the first one."""


def _options(preset: str) -> tuple[FitOption, ...]:
    on_sliders = {threshold.field for threshold in THRESHOLDS[preset]}
    own = _DIFFERING.get(preset, {})
    return tuple(
        FitOption(o.name, o.label, o.description, own.get(o.name, o.default), o.kind, o.choices, o.low, o.high)
        for o in _ALL
        if o.name not in on_sliders
    )


THRESHOLD_OPTIONS: Mapping[str, tuple[FitOption, ...]] = MappingProxyType({name: _options(name) for name in THRESHOLDS})
"""By preset: what the form offers, with the preset's own values."""

LISTS = tuple(option.name for option in _ALL if option.kind == "text")
"""Thresholds that are lists of numbers, typed with commas."""
