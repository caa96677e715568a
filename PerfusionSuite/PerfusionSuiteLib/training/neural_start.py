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
import torch
from numpy.typing import NDArray

from ..core.constants import flow_factor
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import no_progress
from ..deconvolution.problem import make_problem
from ..fitting import neural
from ..fitting.lattice_field import LEVELS_MM, frame_lattices
from ..fitting.lattice_network import Adam, LatticeNetwork, random_weights
from ..fitting.neural_fit import place
from ..fitting.neural_learner import Learner
from ..fitting.neural_objective import Objective, prepare
from ..fitting.request import FitRequest

Weights = dict[str, NDArray[np.float32]]

TRAINED_LEVELS = 3
"""Lattices that a start holds, from the coarsest on: what is finer differs from brain to brain."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A prepared scan to learn from.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        Enhancement.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s, aif : ndarray, shape (T,)
        Frame times in s, and arterial input in the unit of the enhancement.
    mask : ndarray of bool, shape (I, J, K)
        The brain.
    """

    data: NDArray[np.float32]
    affine: FloatArray
    times_s: FloatArray
    aif: FloatArray
    mask: BoolArray


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


def lesson_of(scan: Scan, settings: Mapping[str, Any] | None = None) -> Lesson:
    """Prepare a scan.

    Parameters
    ----------
    scan : Scan
        Curves and arterial input.
    settings : mapping, optional
        Settings of the method ``neural`` that differ from the defaults.

    Returns
    -------
    Lesson
        Ready to be learned from.
    """
    problem = make_problem(scan.data, scan.aif, scan.times_s, scan.mask)
    request = FitRequest(problem, {**neural.OPTIONS, "start": "random", **(settings or {})}, flow_factor(), scan.affine)
    plan = neural.checked_plan(request.settings, scan.times_s.size)
    objective = prepare(request, plan.objective, plan.model_error, torch.device("cpu"), no_progress)
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


def learn(weights: Mapping[str, NDArray[Any]], lesson: Lesson, *, steps: int, rate: float, warm_up: float = 0.1) -> Weights:
    """Take the inner steps of Reptile: fit one scan from a start.

    Parameters
    ----------
    weights : mapping of str to ndarray
        The start; left as it is.
    lesson : Lesson
        The scan.
    steps : int
        Steps of Adam; none returns the start.
    rate : float
        Largest learning rate.
    warm_up : float
        Share of the steps over which the rate rises.

    Returns
    -------
    dict of ndarray
        The same weights after the steps.
    """
    learner = _learner(weights, lesson, steps, rate, warm_up)
    for _ in range(steps):
        learner.step()
    found = learner.network.arrays()
    return {name: found[name].reshape(np.shape(values)) for name, values in weights.items()}


def losses(weights: Mapping[str, NDArray[Any]] | None, lesson: Lesson, *, steps: int, rate: float, seed: int = 0) -> list[float]:
    """Return the objective per voxel before each step and after the last one, to compare starts.

    Parameters
    ----------
    weights : mapping of str to ndarray or None
        The start; None for a random one.
    lesson : Lesson
        The scan.
    steps : int
        Steps of Adam.
    rate : float
        Largest learning rate.
    seed : int
        Of a random start.

    Returns
    -------
    list of float
        ``steps + 1`` values.
    """
    learner = _learner(weights, lesson, steps, rate, 0.1, seed)
    found = [learner.step()["loss"] for _ in range(steps)]
    found.append(lesson.objective.slope(learner.theta())[1])
    return [value / len(lesson.points) for value in found]


def _learner(
    weights: Mapping[str, NDArray[Any]] | None, lesson: Lesson, steps: int, rate: float, warm_up: float, seed: int = 0
) -> Learner:
    network = LatticeNetwork(frame_lattices(LEVELS_MM), lesson.points, seed, torch.device("cpu"), weights)
    return Learner(lesson.objective, network, Adam(network.weights, steps, rate, warm_up), steps)


def _kept(name: str) -> bool:
    return not name.startswith("level") or int(name.removeprefix("level")) < TRAINED_LEVELS
