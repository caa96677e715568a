# SPDX-License-Identifier: Apache-2.0
"""The outer loop of Reptile on fits whose outcome is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core.errors import CancelledError, InvalidInputError, NumericalError
from PerfusionSuiteLib.training.reptile import Plan, Reptile


class Descent:
    """Fits a patient, who is a point, by some steps of gradient descent towards it."""

    method = "descent"

    def __init__(self, inner_steps: int = 5) -> None:
        self.inner_steps = inner_steps

    def parameters(self) -> dict[str, np.ndarray]:
        return {"table": np.zeros((2, 2), np.float32), "net": np.ones(3, np.float32), "count": np.arange(4)}

    def fit_inner(self, weights: Mapping[str, np.ndarray], patient: float, seed: int) -> tuple[dict[str, Any], float]:
        fitted = {name: value.copy() for name, value in weights.items()}
        for _ in range(self.inner_steps):
            for name in ("table", "net"):
                fitted[name] += np.float32(0.3) * (np.float32(patient) - fitted[name])
        fitted["count"] = fitted["count"] + 1
        return fitted, float(abs(fitted["net"] - patient).max())


class Points(list):
    def patient(self, number: int) -> float:
        return self[number]


def train(points: list[float], learner: Descent | None = None, **plan: Any) -> Reptile:
    reptile = Reptile(learner or Descent(), Points(points), Plan(**{"outer": "interp", "outer_steps": 1, **plan}))
    reptile.run()
    return reptile


def test_moving_all_the_way_gives_the_fitted_weights_exactly() -> None:
    learner = Descent()
    expected, _ = learner.fit_inner(learner.parameters(), 0.7, 0)
    weights = train([0.7], epsilon=1.0).state.weights
    assert np.array_equal(weights["table"], expected["table"])
    assert np.array_equal(weights["net"], expected["net"])


def test_moving_by_a_tenth_moves_by_a_tenth() -> None:
    learner = Descent()
    start = learner.parameters()["net"]
    expected, _ = learner.fit_inner(learner.parameters(), 0.7, 0)
    assert train([0.7], epsilon=0.1).state.weights["net"] == pytest.approx(start + 0.1 * (expected["net"] - start))


@pytest.mark.parametrize("plan", [{"outer": "interp", "epsilon": 0.5}, {"outer": "adam", "rate": 0.05}])
def test_many_steps_on_one_patient_end_at_its_optimum(plan: dict[str, Any]) -> None:
    weights = train([2.0], outer_steps=300, **plan).state.weights
    assert weights["table"] == pytest.approx(np.full((2, 2), 2.0), abs=0.02)
    assert weights["net"] == pytest.approx(np.full(3, 2.0), abs=0.02)


@pytest.mark.parametrize("outer", ["interp", "adam"])
def test_fits_without_steps_leave_the_weights_alone(outer: str) -> None:
    weights = train([2.0], Descent(0), outer=outer, outer_steps=5).state.weights
    assert np.array_equal(weights["net"], np.ones(3, np.float32))


def test_counters_stay_and_every_learned_array_moves() -> None:
    weights = train([2.0], outer_steps=3).state.weights
    assert np.array_equal(weights["count"], np.arange(4))
    assert (weights["table"] > 0).all()
    assert (weights["net"] > 1).all()


def test_two_patients_end_between_them() -> None:
    weights = train([0.0, 4.0], outer_steps=400, epsilon=0.3, epsilon_end=0.01).state.weights
    assert weights["net"] == pytest.approx(np.full(3, 2.0), abs=0.5)


def test_adam_cancels_the_size_of_epsilon_and_interpolation_does_not() -> None:
    for outer, ratio in (("adam", 1.0), ("interp", 10.0)):
        small, large = (train([2.0], outer=outer, epsilon=epsilon).state.weights["net"] - 1.0 for epsilon in (0.01, 0.1))
        assert large / small == pytest.approx(np.full(3, ratio), rel=1e-3)


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    plan = Plan("adam", 20, seed=5)
    whole = Reptile(Descent(), Points([1.0, 2.0, 3.0]), plan)
    whole.run()

    def stop(fraction: float, stage: str) -> None:
        if fraction >= 0.5:
            raise CancelledError

    first = Reptile(Descent(), Points([1.0, 2.0, 3.0]), plan, folder=tmp_path)
    with pytest.raises(CancelledError):
        first.run(stop)
    second = Reptile(Descent(), Points([1.0, 2.0, 3.0]), plan, folder=tmp_path)
    assert second.state.step == 10
    second.run()
    assert np.array_equal(second.state.weights["net"], whole.state.weights["net"])
    assert [row[1] for row in second.state.record] == [row[1] for row in whole.state.record]
    with pytest.raises(InvalidInputError, match="belongs to another scan or other settings"):
        Reptile(Descent(), Points([1.0]), Plan("adam", 20, seed=6), folder=tmp_path)


def test_a_time_limit_ends_the_training() -> None:
    assert train([1.0], outer_steps=10**9, minutes=1e-4).state.step < 10**6


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"outer": "sgd"}, "Choose adam or interp"),
        ({"epsilon": 0.0}, "epsilon is 0.0, but it must be above 0"),
        ({"outer": "interp", "epsilon": 1.5}, "at most all of the way"),
        ({"outer_steps": 0}, "outer_steps is 0"),
    ],
)
def test_plans_that_cannot_work_are_refused(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Plan(**plan).check()


def test_a_fit_that_runs_away_ends_the_training_with_a_sentence() -> None:
    with pytest.raises(NumericalError, match="fit of step 1 ran away"):
        train([float("nan")])
