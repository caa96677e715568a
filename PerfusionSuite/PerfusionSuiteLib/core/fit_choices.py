# SPDX-License-Identifier: Apache-2.0
"""What panels offer for model fits, in words: presets, and the options that matter with their ranges.

Panels open without loading what computes; a test keeps this equal to the registry of the methods, which hold every option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

DEFAULT_FIT = "spatial"

NEEDS_TORCH = ("spatial", "neural", "sppinn", "resppinn", "qtmnet")
"""Methods that need PyTorch, and can use a GPU."""

USES_GPU = (*NEEDS_TORCH, "hemopic")
"""Methods that can use a GPU; those that do not need PyTorch do so when it is there."""

SHOWN_WHILE_RUNNING = ("spatial", "neural", "sppinn", "resppinn")
"""Methods that tell their losses and present maps while they run; the others are silent until they are done."""

MODALITIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hemopic": ("dsc",),
        "hemopic-compat": ("dsc",),
        "asl-single": ("asl",),
        "asl-multi": ("asl",),
        "asl-multi-wd": ("asl",),
        "qtmnet": ("asl",),
    }
)
"""Kinds of scans that a method is made for; those that are missing here take `BOLUS`."""

BOLUS = ("ctp", "dsc")
"""Scans of a contrast bolus."""

DECIDED = "as the method decides"
"""What a form says for an option that is None."""


@dataclass(frozen=True, slots=True)
class FitPreset:
    """A method with some of its options.

    Parameters
    ----------
    name, label, description : str
        What parameters and people call it, and one line about it.
    method : str
        Name of the fitting method.
    options : mapping
        Options that differ from the method's defaults.
    """

    name: str
    label: str
    description: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FitOption:
    """An option that a form offers.

    Parameters
    ----------
    name, label, description : str
        What settings and people call it, and what it does.
    default : object
        The method's own value.
    kind : {"choice", "int", "float", "text", "file"}
        What can be entered; with a default of None, nothing is entered when the method shall decide.
    choices : tuple
        For a choice: the values.
    low, high : float
        For a number: its range.
    undecided : str
        What a form says for None; by default that the method decides.
    """

    name: str
    label: str
    description: str
    default: Any
    kind: Literal["choice", "int", "float", "text", "file"]
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    undecided: str = ""


CUSTOM = "custom"

FIT_PRESETS = (
    FitPreset("fast", "Fast (spatial)", "The whole scan at once in seconds; neighbors are alike but for edges.", "spatial"),
    FitPreset("neural", "Neural", "A neural field of the brain with the objective of the spatial fit.", "neural"),
    FitPreset(
        "resppinn", "Published (ReSPPINN)", "The volume by networks over a hash encoding, with the published numbers.",
        "resppinn", {"preset": "published"},
    ),
    FitPreset(
        "sppinn", "Published (SPPINN)", "Slice by slice by networks, with the published numbers: slow without a GPU.",
        "sppinn", {"preset": "published"},
    ),
    FitPreset(
        "hemopic", "HemoPIC, no artery (DSC-MRI)", "Regions and voxels without an artery: flow is relative.", "hemopic"
    ),
    FitPreset(
        "hemopic-artery", "HemoPIC, with artery (DSC-MRI)", "The same with the arterial curve of the scan as input.", "hemopic",
        {"input": "aif"},
    ),
    FitPreset(
        "hemopic-published", "Published (HemoPIC, DSC-MRI)", "Regional fits around maps of a block-circulant SVD, as published.",
        "hemopic-compat",
    ),
    FitPreset("box", "Every voxel: box (NLR)", "Regression of a box-shaped residue in every voxel.", "nlr"),
    FitPreset("posterior", "Every voxel: posterior means", "The default of the whole job, without networks.", "bayes"),
    FitPreset("qtmnet", "QTMnet (ASL)", "Flow of ASL by a network trained on simulated vessels.", "qtmnet"),
    FitPreset("asl-multi", "Several delays (ASL)", "Flow and arrival of every voxel of ASL, and their errors.", "asl-multi"),
)  # fmt: skip
"""What the panel offers first."""


def _choice(name: str, label: str, description: str, default: Any, *choices: Any) -> FitOption:
    return FitOption(name, label, description, default, "choice", choices)


def _whole(name: str, label: str, description: str, default: Any, low: int, high: int) -> FitOption:
    return FitOption(name, label, description, default, "int", (), low, high)


def _number(name: str, label: str, description: str, default: Any, low: float, high: float) -> FitOption:
    return FitOption(name, label, description, default, "float", (), low, high)


_FAMILIES = ("auto", "box", "exponential", "gamma:2", "gamma:3", "gamma:6")
_HEMOPIC_FAMILIES = ("auto", "box", "exponential", "gamma:2", "gamma:3", "fermi")
_RESIDUE = "How blood leaves the tissue; auto takes what the curves fit better, and the findings say what was taken."
_GUIDE = "Where the static CT image changes, blood volume may change as well; auto trusts it where it can."
_OBJECTIVE = (
    _choice("family", "Residue", _RESIDUE, "auto", *_FAMILIES),
    _choice("guide", "Edges of the CT image", _GUIDE, "auto", "auto", "on", "off"),
    _number("dispersion", "Dispersion", "Share of a late arrival that the vessels spread over time.", 0.0, 0.0, 0.9),
    _number("typical_mtt_s", "Typical transit time [s]", "What is taken where the data say nothing.", 6.0, 1.5, 20.0),
    _whole("rank", "Directions kept", "In how many numbers a curve is told: 10, or 12 to be exact.", 10, 4, 40),
)
_SEED = _whole("seed", "Seed", "Same seed and device, same maps.", 0, 0, 2**31 - 1)
_RATE = "Learning rate of Adam."
_BATCHES = "Random samples (points), as published, or whole curves of random voxels."
_HEAD = "What a fresh network says: a physical guess (63 mL/100 g/min, 6 s, 1.5 s), or the published one (1/s, 24 s, 3 s)."
_PUBLISHED = (
    _choice("batch_of", "Batches of", _BATCHES, None, None, "points", "curves"),
    _whole("steps", "Steps", "Of the fit, or of each slice; 0 lets the method decide.", None, 1, 1_000_000),
    _number("rate", "Learning rate", _RATE, None, 1e-6, 1.0),
    _choice("head_init", "First guess", _HEAD, None, None, "physical", "published"),
    _choice("norm", "Losses", "Absolute (l1) or squared (l2) differences.", None, None, "l1", "l2"),
    _choice("clip", "Limits of maps", "Ranges to which maps are limited.", "patients", "patients", "phantom", "none"),
    _number("time_limit_s", "Time limit [s]", "Steps are cut to what fits; 0 for no limit.", None, 1.0, 1e6),
    _SEED,
)
_NEURAL_START = "random, neural (learned on simulated patients; fewer steps), or the path of a trained start."
_MODEL_ERROR = "Share of a curve that the model may miss beside the noise, so that vessels do not decide alone."
_NEURAL_STEPS = "Of Adam; 0 lets the method decide: 60 from a learned start, else 100."
_START = "Path of trained weights or name of a shipped start; empty for a random one."
_VARIANT = "Configuration of the original for phantoms or patients, or of the ReSPPINN paper."
_INPUT = "The mean curve of tissue (relative flow and volume), or the arterial curve of the scan, chosen or given."
_DIVIDED = "auto: gray matter, white matter and fluid, given or estimated; single: the brain is not divided into tissues."
_CLUSTERS = "Regions that {tissue} is divided into, before small ones are joined."
_ASSUMED = "Transit time that is assumed for normal early tissue, where no artery says it."
_DRAWN = "Voxels are drawn to their region as far as the voxels of the region agree."
_WINDKESSEL = "Experimental: a two-element Windkessel of each region, with a flag that says whether the data tell it."
_SPREAD = "Share of a late arrival that the vessels spread over time."
_SMALLEST = "Smaller regions join the one most alike."
_WEIGHTS = "Path of trained weights; empty for those that come along."
_FLIPS = "Mirror images of the scan whose maps are averaged."
_ESTIMATE = "mean: over all arrival times by their probability; mode: the most probable arrival time."
_ARTERIAL = "Also fit blood in arteries that has not reached the tissue."
_VARIANTS = ("resppinn-paper", "original-patients", "original-phantom")

FIT_OPTIONS: Mapping[str, tuple[FitOption, ...]] = MappingProxyType(
    {
        "spatial": (*_OBJECTIVE, _whole("outer", "Steps", "Gauss-Newton steps.", 6, 1, 100)),
        "neural": (
            FitOption("start", "Start", _NEURAL_START, "random", "text"),
            _whole("steps", "Steps", _NEURAL_STEPS, None, 1, 100_000),
            _number("rate", "Learning rate", _RATE, 2e-2, 1e-6, 1.0),
            _number("model_error", "Model error", _MODEL_ERROR, 0.1, 0.0, 1.0),
            *_OBJECTIVE,
            _SEED,
        ),
        "resppinn": (
            _choice("preset", "Numbers", "As published, or with known improvements.", "product", "product", "published"),
            FitOption("start", "Start", _START, None, "text"),
            *_PUBLISHED,
        ),
        "sppinn": (
            _choice(
                "preset", "Numbers", "As published, fewer steps (quick), or by the device.", "auto", "auto", "published", "quick"
            ),
            _choice("variant", "Configuration", _VARIANT, "resppinn-paper", *_VARIANTS),
            *_PUBLISHED,
        ),
        "hemopic": (
            _choice("input", "Input", _INPUT, "reference", "reference", "aif"),
            _choice("family", "Residue", _RESIDUE, "auto", *_HEMOPIC_FAMILIES),
            _choice("tissue", "Tissue", _DIVIDED, "auto", "auto", "single"),
            _whole("k_gm", "Regions of gray matter", _CLUSTERS.format(tissue="gray matter"), 8, 1, 100),
            _whole("k_wm", "Regions of white matter", _CLUSTERS.format(tissue="white matter"), 6, 1, 100),
            _number("min_region_ml", "Smallest region [mL]", _SMALLEST, 2.0, 0.0, 1000.0),
            _number("reference_mtt_s", "Transit time of the reference [s]", _ASSUMED, 4.5, 1.0, 15.0),
            _number("dispersion", "Dispersion", _SPREAD, 0.0, 0.0, 0.9),
            _choice("shrinkage", "Draw voxels to regions", _DRAWN, True, True, False),
            _choice("robust", "Robust", "Single frames that are off count less.", False, False, True),
            _choice("windkessel", "Windkessel", _WINDKESSEL, False, False, True),
            _SEED,
        ),
        "hemopic-compat": (
            _whole("k_gm", "Regions of gray matter", _CLUSTERS.format(tissue="gray matter"), 8, 1, 100),
            _whole("k_wm", "Regions of white matter", _CLUSTERS.format(tissue="white matter"), 6, 1, 100),
            _whole("seed", "Seed", "Of the clusters: same seed, same regions.", 0, 0, 2**31 - 1),
        ),
        "qtmnet": (
            FitOption("weights", "Weights", _WEIGHTS, "", "text"),
            _choice("flips", "Mirror images", _FLIPS, 8, 8, 4, 2, 1),
        ),
        "asl-multi": (
            _choice("estimate", "Estimate", _ESTIMATE, "mean", "mean", "mode"),
            _number("att_prior_s", "Expected arrival time [s]", "Counts in proportion to the noise.", 1.3, 0.1, 4.0),
            _number("att_prior_sd_s", "Its spread [s]", "How sure the expectation is.", 0.4, 0.05, 10.0),
            _number("att_max", "Latest arrival [s]", "Arrival times are sought up to this.", 3.0, 0.5, 6.0),
            _choice("arterial", "Blood in arteries", _ARTERIAL, False, False, True),
        ),
    }
)
"""Options of each method that the panel offers; methods that are missing here have none that matter."""


def preset_of(method: str, options: Mapping[str, Any]) -> str:
    """Return the preset that a method with its changed options is, ``custom`` when it is none.

    Parameters
    ----------
    method : str
        Name of the method.
    options : mapping
        Options that differ from its defaults.

    Returns
    -------
    str
        Name of a preset, or `CUSTOM`.
    """
    return next((item.name for item in FIT_PRESETS if item.method == method and dict(item.options) == dict(options)), CUSTOM)
