# SPDX-License-Identifier: Apache-2.0
"""A neural field of the brain fitted to all curves at once: the objective of the spatial fit, minimized over a network.

This file holds settings and their checks; what computes lies in `neural_fit` and needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from . import spatial
from .devices import require_torch
from .option_checks import checked_number, checked_whole
from .request import FitRequest, Fitted
from .standard_frame import shows_head

_OWN: Mapping[str, Any] = MappingProxyType(
    {"start": "random", "steps": None, "rate": 0.02, "guidance": None, "model_error": 0.1, "seed": 0}
)

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {**{name: value for name, value in spatial.OPTIONS.items() if name not in ("tissues", "outer", "inner")}, **_OWN}
)
"""Those of the objective as for `spatial.OPTIONS`. Where the network starts: ``random``, ``neural`` (what was learned on
simulated patients: fewer steps), or a file of ``perfusion-suite train``. Steps (None: 60 from a learned start, 100 from a random
one) and learning rate of Adam. Share of the steps in which every voxel counts alike and is drawn to its own best guess, less and
less (None: 0.65 from a learned start, 0 from a random one). Share of a curve that the model may miss beside the noise: without
it, the large curves of vessels would take all steps for themselves. Seed of a random start."""

STEPS_COLD, STEPS_LEARNED = 100, 60
GUIDANCE_COLD, GUIDANCE_LEARNED = 0.0, 0.65
"""After 20 steps from the learned start cores and lesions on both sides were missed that 60 steps find (RESULTS.md)."""


@dataclass(frozen=True, slots=True)
class NeuralPlan:
    """Checked settings of a fit; see `OPTIONS`.

    Parameters
    ----------
    objective : spatial.Plan
        Those of the objective.
    start : str
        ``random``, or the name or file of a learned start.
    steps : int
        Steps of Adam.
    rate : float
        Largest learning rate.
    guidance : float
        Share of the steps that are guided.
    model_error : float
        Share of a curve that the model may miss.
    seed : int
        Of a random start.
    """

    objective: spatial.Plan
    start: str
    steps: int
    rate: float
    guidance: float
    model_error: float
    seed: int


def checked_plan(settings: Mapping[str, Any], frames: int) -> NeuralPlan:
    """Check settings.

    Parameters
    ----------
    settings : mapping
        Every key of `OPTIONS`.
    frames : int
        Number of frames of the scan.

    Returns
    -------
    NeuralPlan
        The checked settings.

    Raises
    ------
    InvalidInputError
        If one cannot be used.
    """
    own = {name: settings[name] for name in OPTIONS if name not in _OWN}
    objective = spatial.checked_plan({**spatial.OPTIONS, "tissues": False, **own}, frames)
    start = str(settings["start"])
    cold = start == "random"
    usual = {
        "steps": STEPS_COLD if cold else STEPS_LEARNED,
        "guidance": GUIDANCE_COLD if cold else GUIDANCE_LEARNED,
    }
    used = {**settings, **{name: value for name, value in usual.items() if settings[name] is None}}
    return NeuralPlan(
        objective, start, checked_whole(used, "steps", 1, 100_000), checked_number(used, "rate", 1e-6, 1.0),
        checked_number(used, "guidance", 0.0, 1.0), checked_number(used, "model_error", 0.0, 1.0),
        checked_whole(used, "seed", 0, 2**31 - 1),
    )  # fmt: skip


def fit(request: FitRequest) -> Fitted:
    """Fit a neural field.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid, and settings (see `OPTIONS`).

    Returns
    -------
    Fitted
        Maps as `fitting.fit` documents them, with standard deviations, and a field of kind ``lattice``.

    Raises
    ------
    InvalidInputError
        If a setting, the start or the checkpoint cannot be used.
    MissingPackageError
        If PyTorch is not installed.
    """
    require_torch("neural")
    plan = checked_plan(request.settings, request.problem.times_s.size)
    if plan.start != "random":
        _tell_start(request)
    from .neural_fit import run

    return run(request, plan)


def _tell_start(request: FitRequest) -> None:
    """Warn of what a learned start may hide."""
    request.watch.note(
        "learned_start",
        "From a learned start a lesion may be missed that a random start finds (one of ten digital patients).",
        "Choose start=random before a lesion is read off these maps.",
    )
    if not shows_head(request.mask, request.affine):
        request.watch.note(
            "start_without_head",
            "The learned start knows where things lie in a head, but this scan does not show a whole one.",
            "Choose start=random, unless you trained the start on such scans.",
        )
