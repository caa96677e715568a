# SPDX-License-Identifier: Apache-2.0
"""Numbers of the publications, and the switches that depart from them, without importing PyTorch.

A setting that is None is decided by the preset or the variant; a number given always wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...core.errors import InvalidInputError

HEAD_SCALE = (1.0, 24.0, 3.0)
"""The three outputs are exponentials times 1/s, 24 s and 3 s (original SPPINN)."""

PHYSICAL_START = (0.015, 6.0, 1.5)
"""Flow 1/s (63 mL/100 g/min), transit time and delay s that a fresh network says with ``head_init="physical"``."""

CLIPS: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "patients": {"cbf": (0.0, 1000.0), "cbv": (0.0, 20.0), "mtt": (0.0, 50.0), "delay": (0.0, 20.0), "tmax": (0.0, 50.0)},
        "phantom": {"cbf": (0.0, 150.0), "cbv": (0.0, 10.0), "mtt": (0.0, 30.0), "delay": (0.0, 10.0), "tmax": (0.0, 20.0)},
        "none": {},
    }
)
"""Ranges that maps are limited to, by kind of scan."""

COMMON: Mapping[str, Any] = MappingProxyType(
    {
        "batch_of": None,
        "batch": None,
        "steps": None,
        "rate": None,
        "norm": None,
        "data_weight": 1.0,
        "residual_weight": 1.0,
        "derivative": "tangent",
        "encodings": None,
        "head_init": None,
        "artery_steps": None,
        "baseline_frames": 4,
        "clip": "patients",
        "seed": 0,
        "time_limit_s": None,
    }
)
"""Settings of both methods. ``batch_of``: random samples (points) or whole curves of random voxels (curves); ``batch``: samples
of a step; ``steps``: of the fit (resppinn) or of a slice (sppinn); ``norm``: l1 or l2; ``derivative``: tangent, autograd or
double (reverse mode twice); ``encodings``: of a step, 1 shares data and residual positions' codes, 2 computes both;
``head_init``: physical or published (a fresh network says 1/s, 24 s, 3 s); ``artery_steps``: steps that fit the arterial curve
alone at first; ``baseline_frames``: first frames whose mean is
subtracted from each curve, 0 for none; ``clip``: patients, phantom or none; ``time_limit_s``: the steps are cut to what fits."""

RESPPINN: Mapping[str, Any] = MappingProxyType(
    {
        "preset": "product",
        **COMMON,
        "table_rate": None,
        "warm_up": 0.0,
        "levels": 16,
        "features": 2,
        "log2_table": 15,
        "base": 16,
        "finest": 4096,
        "hidden": 3,
        "width_tac": 16,
        "width_aif": 16,
        "width_ode": 16,
        "omega": 15.0,
        "omega_aif": None,
        "scaling": None,
        "start": None,
        "frame": "auto",
    }
)
"""ReSPPINN's table of implementation details, and ``preset``: product or published. ``rate``: of the networks, ``table_rate``:
of the hash encoding's features. ``scaling`` of positions: axes (each to
[0, 1]) or isotropic; ``start``: file of learned weights or the name of a shipped one; ``frame`` that the fit runs in: auto (the
start's), scan or standard."""

RESPPINN_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "published": {
            "batch_of": "points",
            "encodings": 2,
            "head_init": "published",
            "scaling": "axes",
            "artery_steps": 0,
            "omega_aif": 1.0,
            "rate": 1e-3,
            "table_rate": 1e-3,
        },
        "product": {
            "batch_of": "curves",
            "encodings": 1,
            "head_init": "physical",
            "scaling": "axes",
            "artery_steps": 600,
            "omega_aif": 5.0,
            "rate": 5e-3,
            "table_rate": 2e-2,
        },
    }
)
"""The published rates leave 500 steps near a flat start: features begin at 1e-4, and what they move by in so few steps hardly
changes what the networks see, so that late tissue looks normal. Five times the rate, and four times more for the features, find
lesions in 500 steps; the artery is fitted alone for longer (development patients, see RESULTS.md)."""

RESPPINN_COMMON: Mapping[str, Any] = MappingProxyType({"batch": 25000, "norm": "l1"})
STEPS_RANDOM_START, STEPS_LEARNED_START = 5000, 500

SPPINN: Mapping[str, Any] = MappingProxyType(
    {
        "preset": "auto",
        "variant": "resppinn-paper",
        **COMMON,
        "epochs": None,
        "seeding": None,
        "warm_start": None,
        "prefilter": None,
        "prefilter_px": 2.0,
        "hidden": 3,
        "width_tac": 128,
        "width_aif": 16,
        "width_ode": 64,
    }
)
"""SPPINN's settings, with ``preset``: published, quick (fewer steps, for a CPU), or auto: published on a GPU, else quick;
``variant``: original-phantom, original-patients or resppinn-paper; ``epochs`` of a slice (instead of ``steps``); ``seeding``: how
many times longer the middle slice is trained to obtain a start; ``warm_start``: each slice starts from its neighbor;
``prefilter``: none, phantom (Gaussian of ``prefilter_px`` pixels in the plane, and in time) or patients (bilateral), by default
that of the variant."""

SPPINN_VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "original-phantom": {
            "activation": {"tac": "tanh", "ode": "tanh", "aif": "tanh"}, "omega": {}, "epochs": 300, "batch": 5000, "norm": "l2",
            "halve_epochs": (400,), "schedule": "halved", "aif_points": "batch", "prefilter": "phantom",
        },
        "original-patients": {
            "activation": {"tac": "sine", "ode": "sine", "aif": "tanh"}, "omega": {"tac": (30.0, 1.0), "ode": (30.0, 1.0)},
            "epochs": 200, "batch": 5000, "norm": "l2", "halve_shares": (1 / 3, 2 / 3), "schedule": "halved",
            "aif_points": "batch", "prefilter": "patients",
        },
        "resppinn-paper": {
            "activation": {"tac": "sine", "ode": "sine", "aif": "sine"},
            "omega": {"tac": (15.0, 15.0), "ode": (15.0, 15.0), "aif": (1.0, 1.0)},
            "steps": 5000, "batch": 25000, "norm": "l1", "schedule": "one-cycle", "aif_points": "frames", "prefilter": "none",
        },
    }
)  # fmt: skip
"""Tables of the two publications: networks (``omega``: of the first and of the other layers), length, batch, schedule."""

SPPINN_PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {
        "batch_of": "points",
        "encodings": 1,
        "head_init": "published",
        "seeding": 2.0,
        "warm_start": True,
        "artery_steps": 0,
        "rate": 1e-3,
    }
)
SPPINN_QUICK: Mapping[str, Any] = MappingProxyType(
    {
        "batch_of": "curves",
        "encodings": 1,
        "head_init": "physical",
        "seeding": 2.0,
        "warm_start": True,
        "batch": 5000,
        "steps": 300,
        "artery_steps": 600,
    }
)

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "batch_of": ("points", "curves"),
        "norm": ("l1", "l2"),
        "derivative": ("tangent", "autograd", "double"),
        "head_init": ("physical", "published"),
        "clip": tuple(CLIPS),
        "scaling": ("axes", "isotropic"),
        "frame": ("auto", "scan", "standard"),
        "variant": tuple(SPPINN_VARIANTS),
        "prefilter": ("none", "phantom", "patients"),
        "preset": ("product", "published", "quick", "auto"),
    }
)
_COUNTS = (
    "batch", "steps", "levels", "features", "log2_table", "base", "finest", "hidden", "epochs",
    "width_tac", "width_aif", "width_ode",
)  # fmt: skip
_POSITIVE = ("rate", "table_rate", "omega_aif", "seeding", "time_limit_s")
_NOT_NEGATIVE = ("data_weight", "residual_weight", "warm_up", "artery_steps", "prefilter_px")
_MAY_BE_NONE = ("steps", "epochs", "time_limit_s")


def check_choices(settings: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be used.

    Parameters
    ----------
    settings : mapping
        Settings with the preset's values filled in.

    Raises
    ------
    InvalidInputError
        If a word is unknown or a number out of range.
    """
    for name, value in settings.items():
        if name in _WORDS and value not in _WORDS[name]:
            msg = f"The setting {name} is {value!r}. Choose one of {', '.join(_WORDS[name])}."
            raise InvalidInputError(msg)
        if value is None and name in _MAY_BE_NONE:
            continue
        if name in _COUNTS and not (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            msg = f"The setting {name} is {value!r}; a whole number of at least 1 is expected. Correct it."
            raise InvalidInputError(msg)
        if name in (*_POSITIVE, *_NOT_NEGATIVE) and not (
            _is_number(value) and (value > 0 or (name in _NOT_NEGATIVE and value == 0))
        ):
            msg = f"The setting {name} is {value!r}; a positive number is expected. Correct it."
            raise InvalidInputError(msg)
    _check_others(settings)


def _check_others(settings: Mapping[str, Any]) -> None:
    if settings["encodings"] not in (1, 2):
        msg = f"The setting encodings is {settings['encodings']!r}, but a step has 1 or 2. Correct it."
        raise InvalidInputError(msg)
    frames = settings["baseline_frames"]
    if not isinstance(frames, int) or frames < 0:
        msg = f"The setting baseline_frames is {frames!r}; a whole number of frames, or 0 for none, is expected. Correct it."
        raise InvalidInputError(msg)
    if not isinstance(settings["seed"], int) or settings["seed"] < 0:
        msg = f"The setting seed is {settings['seed']!r}; a whole number of at least 0 is expected. Correct it."
        raise InvalidInputError(msg)
    omega = settings["omega"]  # of SPPINN's variants a mapping, which users cannot set
    if not isinstance(omega, Mapping) and not (_is_number(omega) and omega > 0):
        msg = f"The setting omega is {omega!r}; a positive number is expected. Correct it."
        raise InvalidInputError(msg)
    if settings.get("log2_table", 1) > 24 or settings.get("finest", 16) < settings.get("base", 16):
        msg = "The hash encoding needs log2_table of at most 24 and finest of at least base. Correct the settings."
        raise InvalidInputError(msg)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < float("inf")


def filled(settings: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Replace what is None by the first layer that says something.

    Parameters
    ----------
    settings : mapping
        Settings of a request.
    *layers : mapping
        Values of preset and variant, the first wins.

    Returns
    -------
    dict
        Complete settings.
    """
    complete = dict(settings)
    for layer in layers:
        for name, value in layer.items():
            if complete.get(name) is None:
                complete[name] = value
    return complete
