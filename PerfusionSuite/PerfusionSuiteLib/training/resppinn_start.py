# SPDX-License-Identifier: Apache-2.0
"""How Reptile trains a start for ReSPPINN: an inner loop is one fit of a patient laid into the standard frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from ..fitting.published.choices import STEPS_LEARNED_START
from ..fitting.published.volume import SHAPING, VolumeFit, complete, learned
from ..fitting.resppinn import OPTIONS
from ..fitting.standard_frame import STANDARD_SHAPE, standard_affine
from ..fitting.start_file import STANDARD_FRAME, Start
from .patients import Patient

SPARE = 1.5
"""Voxels that are made ready for a fit, over those that its batches draw."""


class ResppinnLearner:
    """Fits ReSPPINN to a patient of a cohort.

    Parameters
    ----------
    inner_steps : int
        Steps of a fit; 0 returns the start.
    device : torch.device
        Where.
    settings : mapping, optional
        Settings of the method that differ from its defaults.
    """

    method = "resppinn"

    def __init__(self, inner_steps: int, device: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.inner_steps, self._device = inner_steps, device
        own = {"steps": max(1, inner_steps), "artery_steps": 0}
        self.settings = complete({**OPTIONS, **(settings or {}), **own})
        self.batch = int(self.settings["batch"])
        self._frames: dict[str, FloatArray] = {}

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return random weights."""
        from ..fitting.published.fields import hash_fields
        from ..fitting.published.seeds import seeded

        return dict(learned(hash_fields(self.settings, seeded(self.settings["seed"]))))

    def fit_inner(
        self, weights: Mapping[str, NDArray[Any]], patient: Patient, seed: int
    ) -> tuple[dict[str, NDArray[Any]], float]:
        """Fit a patient, see `reptile.Learner`."""
        if self.inner_steps == 0:
            return {name: np.array(value) for name, value in weights.items()}, float("nan")
        volume = self.volume(patient, seed)
        loop = volume.loop(volume.fresh_fields(weights), self._device, self.settings["batch"], seed)
        told: dict[str, float] = {}
        while loop.step < loop.steps:
            told = loop.advance() or told
        return dict(learned(loop.fields)), told["loss"]

    def volume(self, patient: Patient, seed: int) -> VolumeFit:
        """Make as many voxels of a patient ready as the batches of a fit draw."""
        from ..fitting.published.raster import Raster

        frame = self._frames.get(patient.name)
        if frame is None:
            frame = self._frames[patient.name] = standard_affine(patient.mask, patient.affine)
        frames = patient.times_s.size
        wanted = int(SPARE * self.inner_steps * max(1, self.settings["batch"] // frames)) + 1
        rows = np.arange(len(patient.curves))
        if wanted < rows.size:
            rows = np.sort(np.random.default_rng(seed).choice(rows.size, wanted, replace=False))
        change = np.linalg.inv(frame) @ patient.affine
        points = np.argwhere(patient.mask)[rows] @ change[:3, :3].T + change[:3, 3]
        raster = Raster(np.ones(STANDARD_SHAPE, bool), frame, points)
        return VolumeFit.of(self.settings, raster, patient.curves[rows].astype(np.float32), patient.times_s, patient.aif)

    def start(self, weights: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> Start:
        """Return the outcome of a training as a start."""
        shaping = {name: self.settings[name] for name in SHAPING}
        return Start(self.method, dict(weights), STANDARD_FRAME, shaping, provenance)


def make_learner(inner_steps: int | None, batch: int | None, device: Any) -> ResppinnLearner:
    """Return the learner for `learners.make`: 500 steps of 25000 samples by default, as published."""
    settings = {} if batch is None else {"batch": batch}
    return ResppinnLearner(STEPS_LEARNED_START if inner_steps is None else inner_steps, device, settings)
