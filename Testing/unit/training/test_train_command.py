# SPDX-License-Identifier: Apache-2.0
"""``train reptile`` from prepared patients to weights that a fit starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.cli.main import main  # noqa: E402
from PerfusionSuiteLib.core.errors import InvalidInputError  # noqa: E402
from PerfusionSuiteLib.fitting import fit  # noqa: E402
from PerfusionSuiteLib.fitting.start_file import load_start  # noqa: E402
from PerfusionSuiteLib.training.patients import Cohort, Patient, scans_in  # noqa: E402
from PerfusionSuiteLib.training.reptile import Reptile  # noqa: E402
from PerfusionSuiteLib.training.resppinn_start import ResppinnLearner  # noqa: E402

pytestmark = pytest.mark.torch

TIMES = np.linspace(0.0, 40.0, 21)
AFFINE = np.diag([4.0, 4.0, 8.0, 1.0])


def artery(times: np.ndarray) -> np.ndarray:
    x = np.maximum(times - 8.0, 0.0) / 5.0
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def patient(name: str, delay: float = 2.0) -> Patient:
    mask = np.zeros((10, 12, 4), bool)
    mask[1:-1, 1:-1] = True
    curve = 0.1 * artery(TIMES - delay)
    rng = np.random.default_rng(len(name))
    curves = curve + rng.normal(0, 1.0, (int(mask.sum()), TIMES.size))
    return Patient(name, curves.astype(np.float32), mask, AFFINE, TIMES, artery(TIMES))


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    folder = tmp_path / "cohort"
    for number in range(3):
        patient(f"case-{number}", 1.0 + number).save(folder / f"case-{number}.patient.safetensors")
    return folder


def test_a_prepared_patient_comes_back_from_disk(tmp_path: Path) -> None:
    one = patient("one")
    other = Patient.load(one.save(tmp_path / "one.patient.safetensors"))
    assert np.array_equal(other.mask, one.mask)
    assert other.curves == pytest.approx(one.curves, abs=0.05)
    assert other.curves.dtype == np.float16
    assert other.volume().shape == (10, 12, 4, 21)
    assert np.array_equal(other.affine, AFFINE)


def test_a_digital_patient_is_prepared_once(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, [204], shape=(48, 48, 4), spacing_mm=(4.4, 4.4, 20.0))
    first = cohort.patient(0)
    written = (tmp_path / "simulated-0204.patient.safetensors").stat().st_mtime_ns
    second = cohort.patient(0)
    assert (tmp_path / "simulated-0204.patient.safetensors").stat().st_mtime_ns == written
    assert np.array_equal(first.curves, second.curves)
    assert first.aif.max() > 50.0


def test_a_fit_without_steps_returns_the_start() -> None:
    learner = ResppinnLearner(0, torch.device("cpu"), {"levels": 2, "base": 4, "finest": 8, "batch": 100})
    weights = learner.parameters()
    fitted, _ = learner.fit_inner(weights, patient("one"), 0)
    assert all(np.array_equal(fitted[name], weights[name]) for name in weights)


def test_fits_move_all_three_fields_and_the_table() -> None:
    learner = ResppinnLearner(3, torch.device("cpu"), {"levels": 2, "base": 4, "finest": 8, "batch": 100})
    weights = learner.parameters()
    fitted, _ = learner.fit_inner(weights, patient("one"), 0)
    assert fitted.keys() == weights.keys()
    assert {name.split(".")[0] for name in weights} == {"tac", "ode", "aif", "encoding"}
    assert all(not np.array_equal(fitted[name], weights[name]) for name in weights if not name.startswith("tac.biases.3"))


def test_the_command_writes_weights_card_and_record_that_a_fit_can_use(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["train", "reptile", str(out), "--method", "resppinn", "--cohort", str(cohort), "--device", "cpu"]
    assert main([*words, "--outer", "interp", "--outer-steps", "2", "--inner-steps", "2", "--batch", "100"]) == 0
    start = load_start(out / "resppinn.safetensors", "resppinn")
    assert start.frame.standard
    assert start.provenance["outer_steps"] == 2
    text = (out / "resppinn.md").read_text()
    assert "7500 x 500" in text
    assert "| case-003 | 2 |" in text
    assert str(tmp_path) not in text
    assert len((out / "training.csv").read_text().splitlines()) == 3
    assert not list(out.glob("*.checkpoint.safetensors"))
    one = patient("one")
    maps, _ = fit(
        one.volume(), one.aif, TIMES, method="resppinn", affine=AFFINE, mask=one.mask, device="cpu",
        settings={"start": str(out / "resppinn.safetensors"), "steps": 2, "batch": 100},
    )  # fmt: skip
    assert np.isfinite(maps["cbf"][one.mask]).all()


def test_a_training_that_is_stopped_says_that_it_can_go_on(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "reptile", str(tmp_path / "out"), "--method", "resppinn", "--cohort", str(cohort), "--device", "cpu"]
    words += ["--outer-steps", "2", "--inner-steps", "2", "--batch", "100"]
    step = Reptile._step

    def stopped_at_the_second(self: Reptile) -> str:
        if self.state.step == 1:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patched:
        patched.setattr(Reptile, "_step", stopped_at_the_second)
        assert main(words) == 3
    said = capsys.readouterr().err
    assert "is kept" in said
    assert "the same command goes on" in said
    assert "no results" not in said
    assert main(words) == 0
    assert "Going on after 1 fit" in capsys.readouterr().out


def test_a_training_stopped_before_anything_was_finished_says_so_and_leaves_nothing(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "reptile", str(tmp_path / "out"), "--method", "resppinn", "--cohort", str(cohort), "--device", "cpu"]

    def stopped(self: Reptile) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reptile, "_step", stopped)
    assert main(words) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "perfusion-suite: Cancelled before anything was finished, so nothing is kept."
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_command_needs_patients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "reptile", str(tmp_path / "out"), "--method", "resppinn"]) == 2
    assert "either --simulated N or --cohort FOLDER" in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match="holds no scans"):
        scans_in(tmp_path)
    with pytest.raises(InvalidInputError, match="There is no folder"):
        scans_in(tmp_path / "none")
