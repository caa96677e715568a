# SPDX-License-Identifier: Apache-2.0
"""``evaluate qtmnet`` from arguments to tables and pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.asl.kinetic import label_density  # noqa: E402
from PerfusionSuiteLib.asl.qtm_network import QtmNetwork  # noqa: E402
from PerfusionSuiteLib.asl.qtm_weights import Protocol, QtmWeights, save_weights  # noqa: E402
from PerfusionSuiteLib.cli import evaluate_qtmnet  # noqa: E402
from PerfusionSuiteLib.cli.main import main  # noqa: E402
from PerfusionSuiteLib.core.asl import AslSeries  # noqa: E402
from PerfusionSuiteLib.phantom.vessels.values import response_times  # noqa: E402

pytestmark = pytest.mark.torch

PROTOCOL = Protocol()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tensors = {name: value.detach().numpy().copy() for name, value in QtmNetwork(4, 4).state_dict().items()}
    moments = tuple(map(tuple, np.eye(5, 6).tolist()))
    made = QtmWeights(tensors, PROTOCOL, base=4, moments=moments, provenance={"trained_seeds": [0, 99], "brains": ["0003"]})
    return save_weights(tmp_path / "small.safetensors", made)


def a_cube(seed: int, preset: Any) -> Any:
    times = response_times()
    flow = np.random.default_rng(seed).uniform(10, 80, (8, 8, 4)).astype(np.float32)
    return SimpleNamespace(response=flow[..., None] * 1e-4 * (1.0 - np.exp(-times)), times_s=times, perfusion=flow)


def a_brain(**options: Any) -> Any:
    flow = np.full((12, 14, 6), 50.0, np.float32)
    delays = np.array(PROTOCOL.post_label_delays_s)
    share = np.ones(flow.shape, np.float32)
    return SimpleNamespace(
        delta_s=label_density(flow[..., None], 1.2, delays, 1.45).astype(np.float32), perfusion=flow, mask=share > 0, gray=share,
        white=0 * share, lesion=0 * share, affine=np.diag([2.0, 2.0, 4.0, 1.0]),
    )  # fmt: skip


def test_cubes_and_brains_end_in_a_report(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate_qtmnet, "make_cube", a_cube)
    monkeypatch.setattr(evaluate_qtmnet, "simulate_brain", a_brain)
    out = tmp_path / "out"
    words = ["--weights", str(weights), "--count", "2", "--settings-count", "1", "--brains", "7", "--noise", "0.05"]
    assert main(["evaluate", "qtmnet", str(out), *words, "--device", "cpu"]) == 0
    text = (out / "summary.md").read_text(encoding="utf-8")
    assert "brain 7" in text
    for condition in ("as trained", "noise 0.05", "voxels of 4 x 4 x 4 mm", "no exchange", "late arrival"):
        assert condition in text
    names = {path.name for path in out.iterdir()}
    assert names >= {"rows.csv", "report.html", "brain-7.png", "brain-7-noise-0.05.png", "cube.png", "noise-cubes.png"}
    assert "report.html" in capsys.readouterr().out


def test_cubes_of_the_training_are_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate_qtmnet, "make_cube", a_cube)
    monkeypatch.setattr(evaluate_qtmnet, "FIRST_CUBE", 98)
    assert main(["evaluate", "qtmnet", str(tmp_path / "out"), "--weights", str(weights), "--count", "2"]) == 2
    assert "trained on cubes of seeds 0 to 99" in capsys.readouterr().err


def test_brains_of_the_training_are_refused(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--weights", str(weights), "--count", "0", "--brains", "4", "3"]
    assert main(["evaluate", "qtmnet", str(tmp_path / "out"), *words]) == 2
    assert "trained on the simulated brain 3" in capsys.readouterr().err


def test_a_scan_is_compared_with_the_multi_delay_model(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    brain = a_brain()
    control = np.full((*brain.mask.shape, 4), 100.0, np.float32)
    m0 = np.full(brain.mask.shape, 1000.0, np.float32)
    m0[0] = m0[-1] = 0.0
    label = control - brain.delta_s * 2.0 * 0.85 / 0.9 * 1000.0
    data = np.stack([control, label], axis=4).reshape(*brain.mask.shape, 8)
    delays = np.repeat(PROTOCOL.post_label_delays_s, 2)
    scan = AslSeries(
        data, brain.affine, ("control", "label") * 4, delays, np.full(8, 1.45), m0=m0, labeling_efficiency=0.85,
        background_suppression_pulses=0, field_strength_t=3.0,
    )  # fmt: skip
    monkeypatch.setattr(evaluate_qtmnet.series, "read", lambda path, **options: scan)
    out = tmp_path / "out"
    assert main(["evaluate", "qtmnet", str(out), "--weights", str(weights), "--scan", "IN", "--device", "cpu"]) == 0
    text = (out / "summary.md").read_text(encoding="utf-8")
    assert "qtmnet against asl-multi" in text
    assert "apart" in text
    assert (out / "scan.png").is_file()
    other = replace(scan, post_label_delays_s=delays + 0.3)
    monkeypatch.setattr(evaluate_qtmnet.series, "read", lambda path, **options: other)
    assert main(["evaluate", "qtmnet", str(out), "--weights", str(weights), "--scan", "IN"]) == 2
    assert "These weights of QTMnet know" in capsys.readouterr().err
