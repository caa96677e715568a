# SPDX-License-Identifier: Apache-2.0
"""What Reptile learns for neural fits: fewer steps on a patient it has never seen, in one frame only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError, NoWatch
from PerfusionSuiteLib.fitting import fit, neural
from PerfusionSuiteLib.fitting.curve_model import CurveModel
from PerfusionSuiteLib.fitting.start_file import STANDARD_FRAME, Frame, load_start, save_start, shipped_starts

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.torch

from PerfusionSuiteLib.training.neural_start import NeuralLearner, make_learner  # noqa: E402  # needs PyTorch
from PerfusionSuiteLib.training.patients import Patient, simulated  # noqa: E402

TIMES = np.linspace(0.0, 58.5, 40)
SHAPE = (18, 22, 4)
AFFINE = np.array([[7.5, 0.0, 0.0, -64.0], [0.0, 7.5, 0.0, -79.0], [0.0, 0.0, 12.0, -18.0], [0.0, 0.0, 0.0, 1.0]])
SETTINGS = {"family": "box", "average": False, "guide": "off"}


def arterial() -> np.ndarray:
    x = np.maximum(TIMES - 8.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def patient(seed: int) -> Patient:
    """A head with a gray rim, a white middle and a late side whose place differs from patient to patient."""
    draw = np.random.default_rng(seed)
    at = (np.indices(SHAPE).reshape(3, -1).T - (np.array(SHAPE) - 1) / 2) / [8.5, 10.5, 3.5]
    mask = ((at**2).sum(axis=1) <= 1.0).reshape(SHAPE)
    x, y, _ = at[mask.ravel()].T
    rim = 0.5 + 0.5 * np.tanh(8 * (np.hypot(x, y) - 0.6))
    late = np.exp(-((x - draw.uniform(-0.6, 0.6)) ** 2 + (y - draw.uniform(-0.6, 0.6)) ** 2) / 0.1)
    mtt = (4.5 + draw.normal(0, 0.3)) * (1 + late)
    flow = (0.02 + 0.03 * rim) * (1 + draw.normal(0, 0.1)) / mtt
    curves = CurveModel(TIMES, arterial()).curves(flow, mtt, 1.0 + 3.0 * late, TIMES)
    curves += draw.normal(0, 2.0, curves.shape).astype(np.float32)
    return Patient(f"made-{seed}", curves, mask, AFFINE, TIMES, arterial())


@pytest.fixture(scope="module")
def learned() -> tuple[NeuralLearner, dict[str, Any]]:
    """A small training: weights move towards those of three patients in turn."""
    learner = NeuralLearner(20, torch.device("cpu"), SETTINGS)
    weights: dict[str, Any] = learner.parameters()
    for outer in range(8):
        fitted, _ = learner.fit_inner(weights, patient(outer % 3), 0)
        weights = {name: weights[name] + 0.5 * (fitted[name] - weights[name]) for name in weights}
    return learner, weights


def test_a_learned_start_needs_20_steps_where_a_random_one_needs_40(learned: Any) -> None:
    learner, weights = learned
    unseen = patient(77)
    assert learner.losses(weights, unseen, 20)[-1] < learner.losses(None, unseen, 40)[-1]


def test_without_inner_steps_nothing_changes(learned: Any) -> None:
    _, weights = learned
    same, _ = NeuralLearner(0, torch.device("cpu"), SETTINGS).fit_inner(weights, patient(1), 0)
    for name, values in weights.items():
        np.testing.assert_array_equal(same[name], values)


def test_a_fit_leaves_the_start_as_it_is_and_is_the_same_every_time(learned: Any) -> None:
    learner, weights = learned
    before = {name: values.copy() for name, values in weights.items()}
    one, loss = learner.fit_inner(weights, patient(5), 1)
    two, again = learner.fit_inner(weights, patient(5), 2)
    assert loss == again
    for name, values in weights.items():
        np.testing.assert_array_equal(values, before[name])
        np.testing.assert_array_equal(one[name], two[name])


def _run(start: Path, settings: dict[str, Any] | None = None, *, watch: Any = None) -> Any:
    given = patient(8)
    return fit(
        given.volume(), given.aif, TIMES, method="neural", affine=AFFINE, mask=given.mask, watch=watch,
        settings={**SETTINGS, "start": str(start), "steps": 3, **(settings or {})}, device="cpu",
    )  # fmt: skip


def test_a_start_from_a_file_serves_a_fit_of_any_raster(learned: Any, tmp_path: Path) -> None:
    learner, weights = learned
    path = save_start(tmp_path / "own.safetensors", learner.start(weights, {"patients": ["made"]}))
    assert load_start(path, "neural").frame.standard
    maps, field = _run(path)
    assert np.isfinite(maps["cbf"]).sum() == patient(8).mask.sum()
    assert field.weights["level0"].shape[:3] == (17, 17, 12)
    assert field.settings["start"] == "own.safetensors"


def test_a_start_of_another_frame_or_method_is_refused(learned: Any, tmp_path: Path) -> None:
    learner, weights = learned
    start = learner.start(weights, {})
    other = replace(start, frame=Frame("own", (64, 64, 8), (3.0, 3.0, 8.0)))
    with pytest.raises(InvalidInputError, match="belongs to 64 x 64 x 8 voxels"):
        _run(save_start(tmp_path / "frame.safetensors", other))
    with pytest.raises(InvalidInputError, match="belongs to the method 'resppinn'"):
        _run(save_start(tmp_path / "method.safetensors", replace(start, method="resppinn")))
    with pytest.raises(InvalidInputError, match="numbers for 'level0'"):
        _run(save_start(tmp_path / "size.safetensors", replace(start, weights={**weights, "level0": np.zeros((5, 4))})))


def test_there_are_no_batches() -> None:
    with pytest.raises(InvalidInputError, match="no batches"):
        make_learner(None, 5000, torch.device("cpu"))
    assert make_learner(None, None, torch.device("cpu")).inner_steps == 20


@pytest.mark.slow
def test_the_start_that_comes_with_the_software_needs_20_steps_where_a_random_one_needs_40() -> None:
    assert "neural" in shipped_starts()
    start = load_start("neural", "neural")
    assert start.frame == STANDARD_FRAME
    trained = set(start.provenance["patients"])
    assert "simulated-0399" not in trained
    learner, unseen = NeuralLearner(20, torch.device("cpu")), simulated(399, shape=(48, 48, 12), spacing_mm=(4.85, 4.85, 12.0))
    assert learner.losses(start.weights, unseen, 20)[-1] < learner.losses(None, unseen, 40)[-1]


class Notes(NoWatch):
    def __init__(self) -> None:
        self.codes: list[str] = []

    def note(self, code: str, message: str, advice: str = "", **facts: Any) -> None:
        self.codes.append(code)


def test_whoever_starts_a_slab_from_what_was_learned_of_heads_is_told(
    learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, weights = learned
    start = save_start(tmp_path / "own.safetensors", learner.start(weights, {}))
    whole, slab = Notes(), Notes()
    _run(start, watch=slab)
    monkeypatch.setattr(neural, "shows_head", lambda mask, affine: True)
    _run(start, watch=whole)
    assert slab.codes[:2] == ["learned_start", "start_without_head"]
    assert "learned_start" in whole.codes
    assert "start_without_head" not in whole.codes
