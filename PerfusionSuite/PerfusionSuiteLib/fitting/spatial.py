# SPDX-License-Identifier: Apache-2.0
"""The most probable perfusion of a whole scan: every curve is explained, and neighbors are alike unless the curves say otherwise.

This file holds settings and their checks; what computes lies in `spatial_run` and needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .artery_error import EXACT, checked_error
from .devices import require_torch
from .option_checks import checked_flag, checked_number, checked_whole
from .request import FitRequest, Fitted
from .response_table import shape_of

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "family": "auto",
        "tissues": True,
        "dispersion": 0.0,
        "rank": 10,
        "average": True,
        "model_factor": 8.0,
        "smoothness": (0.1, 0.1, 0.4),
        "scales": (0.2, 0.4, 0.15),
        "typical_mtt_s": 6.0,
        "mtt_spread": 1.0,
        "earliest_delay_s": -3.0,
        "guide": "auto",
        "guide_hu": 2.5,
        "noise_sd": None,
        "outliers": 0.0,
        "frame_weights": None,
        "borders": True,
        "artery_error": EXACT,
        "outer": 6,
        "inner": 12,
    }
)
"""Residue: ``auto``, ``box``, ``exponential`` or ``gamma:K``; whether gray and white matter, as the static image shows them, may
have one each (with ``auto``); share of a delay that is dispersion. Directions in which curves are
told (8 or more; 12 to be exact). Whether alike neighbors are averaged before and transit times pooled over alike tissue after
(`pooled_transit`), and by what factor the noise that is left counts then, for averaging mixes tissues. Smoothness of ln CBV,
centre time and ln MTT, and the differences between neighbors from which on it counts as an edge (ln, s, ln). Log-normal prior of
the transit time. Earliest arrival after the arterial input's. Whether edges of the static image keep tissues apart (auto: when
its noise is small against `guide_hu`; on, off). Noise of a sample (None: measured). Degrees of freedom of the misfit (0:
Gaussian). Weights of the frames (0 leaves one out). Whether voxels between two tissues are explained by both of them
(`border_voxels`). How well the arterial input is known: standard deviations that it adds to flow (share) and Tmax (s); a run of a
scan says so itself (`artery_error`). Gauss-Newton steps, and conjugate gradients in each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Checked settings of a fit; see `OPTIONS`."""

    family: str
    tissues: bool
    dispersion: float
    rank: int
    average: bool
    model_factor: float
    smoothness: tuple[float, float, float]
    scales: tuple[float, float, float]
    typical_mtt_s: float
    mtt_spread: float
    earliest_delay_s: float
    guide: str
    guide_hu: float
    noise_sd: float | None
    outliers: float
    frame_weights: FloatArray | None
    borders: bool
    artery_error: tuple[float, float]
    outer: int
    inner: int


def _three(settings: Mapping[str, Any], name: str, low: float) -> tuple[float, float, float]:
    try:
        found = [float(value) for value in settings[name]]
    except (TypeError, ValueError):
        found = []
    if len(found) != 3 or not all(low <= value <= 1e3 for value in found):
        msg = f"{name} must be three numbers from {low:g} to 1000 (ln CBV, centre time, ln MTT), not {settings[name]!r}."
        raise InvalidInputError(msg)
    return found[0], found[1], found[2]


def _frame_weights(value: Any, frames: int) -> FloatArray | None:
    if value is None:
        return None
    weights = np.asarray(value, np.float64)
    if weights.shape != (frames,) or not (np.isfinite(weights) & (weights >= 0)).all() or (weights > 0).sum() < 8:
        msg = f"frame_weights must be {frames} numbers of at least 0, one for each frame, with 8 above 0. Correct the setting."
        raise InvalidInputError(msg)
    return weights


def checked_plan(settings: Mapping[str, Any], frames: int) -> Plan:
    """Check settings.

    Parameters
    ----------
    settings : mapping
        Every key of `OPTIONS`.
    frames : int
        Number of frames of the scan.

    Returns
    -------
    Plan
        The checked settings.

    Raises
    ------
    InvalidInputError
        If one cannot be used.
    """
    family, guide = str(settings["family"]), settings["guide"]
    if family != "auto":
        shape_of(family)
    if guide not in ("auto", "on", "off"):
        msg = f"guide must be auto, on or off, not {guide!r}. Correct the setting."
        raise InvalidInputError(msg)
    noise = None if settings["noise_sd"] is None else checked_number(settings, "noise_sd", 1e-12, 1e12)
    return Plan(
        family, checked_flag(settings, "tissues"), checked_number(settings, "dispersion", 0.0, 0.9),
        checked_whole(settings, "rank", 4, 40), checked_flag(settings, "average"),
        checked_number(settings, "model_factor", 0.01, 1e4), _three(settings, "smoothness", 0.0),
        _three(settings, "scales", 1e-3), checked_number(settings, "typical_mtt_s", 1.5, 20.0),
        checked_number(settings, "mtt_spread", 0.05, 5.0), checked_number(settings, "earliest_delay_s", -8.0, 0.0),
        guide, checked_number(settings, "guide_hu", 0.1, 1e3), noise, checked_number(settings, "outliers", 0.0, 1e6),
        _frame_weights(settings["frame_weights"], frames), checked_flag(settings, "borders"),
        checked_error(settings["artery_error"]), checked_whole(settings, "outer", 1, 100),
        checked_whole(settings, "inner", 1, 200),
    )  # fmt: skip


def fit(request: FitRequest) -> Fitted:
    """Fit blood volume, transit time and arrival of all voxels together.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid, and settings (see `OPTIONS`).

    Returns
    -------
    Fitted
        Maps as `fitting.fit` documents them, with standard deviations, and a field of kind ``raster``.

    Raises
    ------
    InvalidInputError
        If a setting cannot be used.
    MissingPackageError
        If PyTorch is not installed.
    """
    plan = checked_plan(request.settings, request.problem.times_s.size)
    require_torch("spatial")
    from .spatial_run import run

    return run(request, plan)
