# SPDX-License-Identifier: Apache-2.0
"""Learning where a neural fit starts: what Reptile needs to know about the method ``neural``. Needs PyTorch.

A start holds the perceptron and the coarser lattices over the standard frame. The finest level belongs to the voxels of one scan
and starts at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.constants import flow_factor
from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import no_progress
from ..deconvolution.problem import make_problem
from ..fitting import neural
from ..fitting.lattice_field import LEVELS_MM, frame_lattices
from ..fitting.lattice_network import Adam, LatticeNetwork, random_weights
from ..fitting.neural_fit import place
from ..fitting.neural_learner import Learner
from ..fitting.neural_objective import Objective, prepare
from ..fitting.request import FitRequest
from ..fitting.start_file import STANDARD_FRAME, Start
from .patients import Patient

Weights = dict[str, NDArray[np.float32]]

INNER_STEPS = 20
"""Steps of a fit in the training."""

TRAINED_LEVELS = 3
"""Lattices that a start holds, from the coarsest on: what is finer differs from brain to brain."""


MOST_KEPT_VOXELS = 3_000_000
"""Prepared scans are kept in memory up to so many voxels."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one scan asks of the network.

    Parameters
    ----------
    objective : Objective
        Its objective.
    points : ndarray, shape (N, 3)
        Its voxels in the standard frame.
    """

    objective: Objective
    points: FloatArray


def lesson_of(scan: Patient, settings: Mapping[str, Any], device: Any) -> Lesson:
    """Prepare a scan.

    Parameters
    ----------
    scan : Patient
        Curves and arterial input.
    settings : mapping
        All settings of the method ``neural``.
    device : torch.device
        Where it is learned from.

    Returns
    -------
    Lesson
        Ready to be learned from.
    """
    problem = make_problem(scan.volume(), scan.aif, scan.times_s, scan.mask)
    request = FitRequest(problem, settings, flow_factor(), scan.affine)
    plan = neural.checked_plan(request.settings, scan.times_s.size)
    objective = prepare(request, plan.objective, plan.model_error, device, no_progress)
    return Lesson(objective, place(objective.mask, scan.affine, standard=True).points(objective.mask))


def first_weights(seed: int) -> Weights:
    """Return a start that has learned nothing: a random perceptron, and lattices at zero.

    Parameters
    ----------
    seed : int
        Of the perceptron.

    Returns
    -------
    dict of ndarray
        Weights of a start.
    """
    weights = random_weights([lattice.count for lattice in frame_lattices(LEVELS_MM)], seed)
    return {
        name: np.zeros_like(values) if name.startswith("level") else values for name, values in weights.items() if _kept(name)
    }


class NeuralLearner:
    """Fits a neural field to a patient of a cohort, from lattices that lie in the standard frame.

    Parameters
    ----------
    inner_steps : int
        Steps of a fit; 0 returns the start.
    device : torch.device
        Where.
    settings : mapping, optional
        Settings of the method that differ from its defaults.
    """

    method = "neural"
    batch = 0
    """Every step sees all curves."""

    def __init__(self, inner_steps: int, device: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.inner_steps, self._device = inner_steps, device
        self.settings = {**neural.OPTIONS, "start": "random", **(settings or {})}
        self._lessons: dict[str, Lesson] = {}

    def parameters(self) -> Weights:
        """Return weights that have learned nothing."""
        return first_weights(int(self.settings["seed"]))

    def fit_inner(self, weights: Mapping[str, NDArray[Any]], patient: Patient, seed: int) -> tuple[Weights, float]:
        """Fit a patient, see `reptile.Learner`; nothing is drawn, so the seed plays no part."""
        if self.inner_steps == 0:
            return {name: np.array(value) for name, value in weights.items()}, float("nan")
        learner = self._learner(weights, self._lesson(patient), self.inner_steps)
        for _ in range(self.inner_steps):
            learner.step()
        found = learner.network.arrays()
        loss = learner.objective.slope(learner.theta())[1] / found["finest"].shape[0]
        return {name: found[name].reshape(np.shape(values)) for name, values in weights.items()}, loss

    def losses(self, weights: Mapping[str, NDArray[Any]] | None, patient: Patient, steps: int) -> list[float]:
        """Return the loss per voxel before each step of a fit and after the last one, to compare starts.

        Parameters
        ----------
        weights : mapping of str to ndarray or None
            The start; None for a random one as a fit without a start draws it.
        patient : Patient
            The scan.
        steps : int
            Steps of the fit.

        Returns
        -------
        list of float
            ``steps + 1`` values.
        """
        lesson = self._lesson(patient)
        learner = self._learner(weights, lesson, steps)
        found = [learner.step()["loss"] for _ in range(steps)]
        found.append(lesson.objective.slope(learner.theta())[1])
        return [value / len(lesson.points) for value in found]

    def start(self, weights: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> Start:
        """Return the outcome of a training as a start."""
        return Start(self.method, dict(weights), STANDARD_FRAME, {}, provenance)

    def _lesson(self, patient: Patient) -> Lesson:
        if patient.name not in self._lessons:
            kept = sum(len(lesson.points) for lesson in self._lessons.values())
            if kept > MOST_KEPT_VOXELS:
                self._lessons.clear()
            self._lessons[patient.name] = lesson_of(patient, self.settings, self._device)
        return self._lessons[patient.name]

    def _learner(self, weights: Mapping[str, NDArray[Any]] | None, lesson: Lesson, steps: int) -> Learner:
        lattices = frame_lattices(LEVELS_MM)
        network = LatticeNetwork(lattices, lesson.points, int(self.settings["seed"]), self._device, weights)
        return Learner(lesson.objective, network, Adam(network.weights, steps, float(self.settings["rate"])), steps)


def make_learner(inner_steps: int | None, batch: int | None, device: Any) -> NeuralLearner:
    """Return the learner for `learners.make`."""
    if batch is not None:
        msg = f"The method 'neural' has no batches: every step sees all curves. Leave out the batch of {batch}."
        raise InvalidInputError(msg)
    return NeuralLearner(INNER_STEPS if inner_steps is None else inner_steps, device)


def _kept(name: str) -> bool:
    return not name.startswith("level") or int(name.removeprefix("level")) < TRAINED_LEVELS
