# SPDX-License-Identifier: Apache-2.0
"""Reptile: weights from which a fit of any new patient needs few steps, learned by fitting one patient after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core import ProgressCallback, part_of
from ..core.errors import InvalidInputError, NumericalError
from ..fitting.checkpoint import Checkpoint, fingerprint
from ..fitting.published.schedule import one_cycle
from .epochs import go_on

Weights = dict[str, NDArray[Any]]

BETAS, TINY = (0.9, 0.999), 1e-8

COLUMNS = ("step", "patient", "seconds", "loss", "distance")
"""Of the record: outer step, number of the patient, time, last loss of its fit, and how far the fit went (root mean square)."""


class Learner(Protocol):
    """One method of fitting, as Reptile sees it."""

    method: str

    def parameters(self) -> Weights:
        """Return the random weights that the training starts from, by name."""

    def fit_inner(self, weights: Mapping[str, NDArray[Any]], patient: Any, seed: int) -> tuple[Weights, float]:
        """Fit one patient.

        Parameters
        ----------
        weights : mapping of str to ndarray
            Where the fit starts; must not be changed.
        patient : object
            From the cohort.
        seed : int
            Of what is drawn in the fit.

        Returns
        -------
        weights : dict of ndarray
            Where it ended.
        loss : float
            Its last loss.
        """


class Patients(Protocol):
    """Patients by number."""

    def __len__(self) -> int: ...

    def patient(self, number: int) -> Any:
        """Return a patient."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The outer loop.

    Parameters
    ----------
    outer : {"adam", "interp"}
        ``adam``: epsilon times the way back from the fitted weights is given to Adam as a gradient, as the text and table of
        ReSPPINN say; ``interp``: the weights move by epsilon towards the fitted ones, as its algorithm box and Reptile say.
    outer_steps : int
        Number of fits.
    epsilon : float
        See above.
    epsilon_end : float, optional
        With it, epsilon of ``interp`` descends linearly to this value; it stays constant otherwise, as published.
    rate, warm_up : float
        Highest rate of Adam, and the share of the steps in which it rises.
    seed : int
        Of the order of patients and of what the fits draw.
    minutes : float, optional
        Time limit; the schedule then comes to its end within it.
    """

    outer: str = "adam"
    outer_steps: int = 7500
    epsilon: float = 0.1
    epsilon_end: float | None = None
    rate: float = 1e-2
    warm_up: float = 0.3
    seed: int = 0
    minutes: float | None = None

    def check(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        InvalidInputError
            If a value is out of range.
        """
        if self.outer not in ("adam", "interp"):
            msg = f"There is no outer loop '{self.outer}'. Choose adam or interp."
            raise InvalidInputError(msg)
        numbers = {"outer_steps": self.outer_steps, "epsilon": self.epsilon, "rate": self.rate, "minutes": self.minutes}
        for name, value in numbers.items():
            if value is not None and not value > 0:
                msg = f"{name} is {value!r}, but it must be above 0. Correct it."
                raise InvalidInputError(msg)
        if self.outer == "interp" and self.epsilon > 1.0:
            msg = f"epsilon is {self.epsilon:g}, but weights can move by at most all of the way (1). Choose 0.1, for example."
            raise InvalidInputError(msg)


@dataclass(slots=True)
class State:
    """Where the training is."""

    weights: Weights
    first: Weights
    second: Weights
    step: int = 0
    seconds: float = 0.0
    record: list[tuple[float, ...]] = field(default_factory=list)


def learns(value: NDArray[Any]) -> bool:
    """Whether an array is learned; counters and tables of integers are not."""
    return value.dtype.kind == "f"


class Reptile:
    """Learns a start.

    Parameters
    ----------
    learner : Learner
        Fits a patient.
    patients : Patients
        To draw from.
    plan : Plan
        The outer loop.
    folder : Path, optional
        Where checkpoints are kept.
    belongs_to : mapping
        Plain values that a checkpoint must agree with, beside the plan.
    """

    def __init__(
        self,
        learner: Learner,
        patients: Patients,
        plan: Plan,
        *,
        folder: Path | None = None,
        belongs_to: Mapping[str, Any] | None = None,
    ) -> None:
        plan.check()
        self.learner, self.patients, self.plan = learner, patients, plan
        facts = {key: value for key, value in asdict(plan).items() if key != "minutes"}
        mark = fingerprint({}, {**facts, **(belongs_to or {}), "method": learner.method})
        self._keeper = Checkpoint(folder, f"reptile-{learner.method}", mark)
        self.state = self._resumed() or self._fresh()

    def _fresh(self) -> State:
        weights = {name: np.array(value) for name, value in self.learner.parameters().items()}
        zeros = {name: np.zeros_like(value) for name, value in weights.items() if learns(value)}
        return State(weights, zeros, {name: value.copy() for name, value in zeros.items()})

    def run(self, progress: ProgressCallback | None = None, told: Callable[[str], None] | None = None) -> Weights:
        """Train to the end of steps or time.

        Parameters
        ----------
        progress : callable, optional
            Progress and cancelling.
        told : callable, optional
            Takes a line after each patient.

        Returns
        -------
        dict of ndarray
            The weights after the last step; none is selected.

        Raises
        ------
        CancelledError
            If progress says so; a checkpoint was kept then.
        NumericalError
            If a fit ran away.
        """
        tell, say = part_of(progress, 0.0, 1.0), told or (lambda line: None)

        def work() -> str:
            tell(self._share(), f"Reptile, fit {self.state.step + 1}")
            return self._step()

        go_on(lambda: self._share() >= 1.0, work, self.keep, say)
        return self.state.weights

    def _share(self) -> float:
        """What is done, of steps or of time."""
        steps = self.state.step / self.plan.outer_steps
        return steps if self.plan.minutes is None else max(steps, self.state.seconds / (60.0 * self.plan.minutes))

    def _step(self) -> str:
        state, plan = self.state, self.plan
        began = time.perf_counter()
        # The draw depends on seed and step alone: a training that goes on draws what it would have drawn.
        draw = np.random.default_rng([plan.seed, state.step])
        number, seed = int(draw.integers(len(self.patients))), int(draw.integers(2**31))
        fitted, loss = self.learner.fit_inner(state.weights, self.patients.patient(number), seed)
        distance = self._move(fitted)
        state.step += 1
        state.seconds += time.perf_counter() - began
        state.record.append((state.step, number, state.seconds, loss, distance))
        return f"step {state.step}  patient {number}  loss {loss:.5f}  moved {distance:.2e}  {state.seconds:.0f} s"

    def _move(self, fitted: Mapping[str, NDArray[Any]]) -> float:
        """Move the weights according to where a fit ended."""
        state, plan, squares, count = self.state, self.plan, 0.0, 0
        share = self._share()
        epsilon = plan.epsilon if plan.epsilon_end is None else plan.epsilon + share * (plan.epsilon_end - plan.epsilon)
        rate = one_cycle(share, plan.rate, plan.warm_up)
        for name, value in state.weights.items():
            if not learns(value):
                continue
            back = value - np.asarray(fitted[name], value.dtype)
            if not np.isfinite(back).all():
                msg = f"The fit of step {state.step + 1} ran away. Lower the learning rate or leave that patient out."
                raise NumericalError(msg)
            squares, count = squares + float(np.square(back, dtype=np.float64).sum()), count + back.size
            if plan.outer == "interp":
                state.weights[name] = (
                    np.array(fitted[name], value.dtype) if epsilon == 1.0 else value - value.dtype.type(epsilon) * back
                )
            else:
                state.weights[name] = value - self._adam(name, plan.epsilon * back, rate)
        return float(np.sqrt(squares / max(count, 1)))

    def _adam(self, name: str, gradient: NDArray[Any], rate: float) -> NDArray[Any]:
        """Return Adam's step for a gradient (Kingma and Ba, ICLR 2015)."""
        state, number = self.state, self.state.step + 1
        first = state.first[name] = BETAS[0] * state.first[name] + (1.0 - BETAS[0]) * gradient
        second = state.second[name] = BETAS[1] * state.second[name] + (1.0 - BETAS[1]) * gradient * gradient
        scale = np.sqrt(second / (1.0 - BETAS[1] ** number)) + TINY
        return np.asarray(rate / (1.0 - BETAS[0] ** number) * first / scale, gradient.dtype)

    def keep(self) -> None:
        """Write a checkpoint."""
        state = self.state
        tensors = {f"weights/{name}": value for name, value in state.weights.items()}
        tensors |= {f"first/{name}": value for name, value in state.first.items()}
        tensors |= {f"second/{name}": value for name, value in state.second.items()}
        tensors["record"] = np.array(state.record, np.float64).reshape(-1, len(COLUMNS))
        self._keeper.save(tensors, {"step": state.step, "seconds": state.seconds})

    def _resumed(self) -> State | None:
        kept = self._keeper.load()
        if kept is None:
            return None
        tensors, facts = kept

        def part(prefix: str) -> Weights:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        record = [tuple(float(v) for v in row) for row in tensors["record"]]
        return State(part("weights/"), part("first/"), part("second/"), int(facts["step"]), float(facts["seconds"]), record)

    def forget(self) -> None:
        """Remove the checkpoint."""
        self._keeper.clear()
