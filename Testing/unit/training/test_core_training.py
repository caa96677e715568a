# SPDX-License-Identifier: Apache-2.0
"""Training and scoring of the network of the infarct core."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib import results  # noqa: E402
from PerfusionSuiteLib.cli.main import main  # noqa: E402
from PerfusionSuiteLib.core import CancelledError, InvalidInputError  # noqa: E402
from PerfusionSuiteLib.core.nifti import write_volume  # noqa: E402
from PerfusionSuiteLib.evaluation.core_scores import core_row, core_scores  # noqa: E402
from PerfusionSuiteLib.lesion.core_weights import load_weights  # noqa: E402
from PerfusionSuiteLib.training import core_trainer  # noqa: E402
from PerfusionSuiteLib.training.core_batches import Windows  # noqa: E402
from PerfusionSuiteLib.training.core_cases import CoreCase  # noqa: E402
from PerfusionSuiteLib.training.core_cohort import folders_of_cases, own_case  # noqa: E402
from PerfusionSuiteLib.training.core_plan import PUBLISHED, Augmentation, Plan  # noqa: E402
from PerfusionSuiteLib.training.core_trainer import Trainer, core_found, objective  # noqa: E402

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")
AFFINE = np.diag([4.0, 4.0, 5.0, 1.0])
SHAPE = (32, 32, 4)
INPUTS = ("rcbf", "rcbv", "tmax")
STILL = Augmentation(flip=0.0, rotate=0.0, zoom=0.0)


def case(number: int) -> CoreCase:
    """Low flow where the core is, noise everywhere."""
    rng = np.random.default_rng(number)
    i, j, _ = np.indices(SHAPE)
    brain = (i - 15.5) ** 2 + (j - 15.5) ** 2 < 14**2
    allowed = brain & (i > 15)
    core = allowed & ((i - 22) ** 2 + (j - rng.uniform(10, 22)) ** 2 < rng.uniform(10, 30))
    rcbf = np.where(core, 0.2, 0.8) + rng.normal(0, 0.15, SHAPE)
    image = np.where(brain, np.stack([rcbf, 0.5 + 0.5 * rcbf, 1.2 - rcbf]), 0.0).clip(0, 3)
    return CoreCase(f"case-{number:03d}", image, INPUTS, core, brain, allowed, core & (rcbf < 0.1), AFFINE, {"method": "spatial"})


def plan(**changes: Any) -> Plan:
    return replace(Plan(voxel_mm=4.0, window=(32, 32, 4), epochs=4, augmentation=STILL, rate=5e-3), **changes)


def test_a_network_learns_what_low_flow_means() -> None:
    trainer = Trainer([case(number) for number in range(6)], [], plan(epochs=10), CPU)
    weights = trainer.run()
    unseen = case(100)
    found = core_found(weights, unseen, "cpu")
    row = core_row("x", "network", found, unseen.core, unseen.scored, 1.0)
    assert row.dice > 0.8
    assert weights.methods == ("spatial",)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    cases = [case(number) for number in range(3)]
    whole = Trainer(cases, [], plan(), CPU).run()
    calls = 0

    def stop(share: float, text: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise CancelledError("stop")

    with pytest.raises(CancelledError):
        Trainer(cases, [], plan(), CPU, tmp_path).run(stop)
    second = Trainer(cases, [], plan(), CPU, tmp_path)
    assert second.state.epoch == 2
    resumed = second.run()
    for name, value in whole.tensors.items():
        np.testing.assert_allclose(resumed.tensors[name], value, rtol=1e-5, atol=1e-7)


def test_a_checkpoint_of_other_cases_is_refused(tmp_path: Path) -> None:
    first = Trainer([case(0)], [], plan(epochs=1), CPU, tmp_path)
    first.run()
    with pytest.raises(InvalidInputError, match="belongs to another"):
        Trainer([case(1)], [], plan(epochs=1), CPU, tmp_path)


def test_the_best_epoch_is_kept_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.9, 0.0, 0.0])
    trainer = Trainer([case(0)], [case(1)], plan(select=True), CPU)
    monkeypatch.setattr(core_trainer, "RUNNING", 1)
    monkeypatch.setattr(trainer, "_score", lambda: next(scores))
    states = []
    original = trainer._select

    def select() -> None:
        original()
        states.append({name: value.clone() for name, value in trainer.state.network.state_dict().items()})

    monkeypatch.setattr(trainer, "_select", select)
    weights = trainer.run()
    for name, value in states[1].items():
        np.testing.assert_array_equal(weights.tensors[name], value.numpy())


def test_the_best_epoch_is_told_by_the_mean_of_the_last_ones_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1, 0.5, 0.95, 0.2])
    monkeypatch.setattr(Trainer, "_score", lambda self: next(scores))
    monkeypatch.setattr(core_trainer, "RUNNING", 2)
    cases, calls = [case(0), case(1)], 0

    def stop(share: float, text: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:  # within the third epoch
            raise CancelledError("stop")

    chosen = plan(epochs=5, select=True)
    with pytest.raises(CancelledError):
        Trainer(cases, [case(2)], chosen, CPU, tmp_path).run(stop)
    trainer = Trainer(cases, [case(2)], chosen, CPU, tmp_path)
    first = {name: value.clone() for name, value in trainer.state.best.items()}
    trainer.run()
    # The means of two are 0.9, 0.5, 0.3, 0.725, 0.575: what came after the interruption was not better than the first epoch.
    assert all(torch.equal(trainer.state.best[name], value) for name, value in first.items())


def test_weights_know_what_kind_of_scan_they_learned_from() -> None:
    def of(number: int, **facts: Any) -> CoreCase:
        return replace(case(number), facts={"method": "spatial", **facts})

    def modality(*cases: CoreCase) -> str:
        return Trainer(cases, [], plan(), CPU).weights().modality

    assert modality(of(0, modality="dsc"), of(1, modality="dsc")) == "dsc"
    assert modality(of(0, seed=400), of(1, modality="ctp")) == "ctp"
    assert modality(of(0), of(1, modality="ctp")) == ""
    with pytest.raises(InvalidInputError, match="Train a network for each kind"):
        modality(of(0, modality="dsc"), of(1, modality="ctp"))


def test_the_published_plan_is_that_of_the_publication() -> None:
    assert (PUBLISHED.inputs, PUBLISHED.rate, PUBLISHED.epochs, PUBLISHED.window) == (("rcbf",), 5e-5, 500, (256, 256, 20))
    assert PUBLISHED.select
    assert PUBLISHED.warm_up == 0.0
    trainer = Trainer([case(0)], [case(1)], replace(PUBLISHED, epochs=1), CPU)
    assert trainer.rate(0.0) == pytest.approx(5e-5)
    assert trainer.rate(1.0) < 1e-7


def test_an_unchanged_window_shows_the_case_as_it_is() -> None:
    one = case(3)
    image, core = Windows([one], plan(), CPU).make(0, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(image[0].numpy(), one.image, atol=2e-3)
    np.testing.assert_array_equal(core[0].numpy().astype(bool), one.core)


def test_a_mirrored_window_mirrors_image_and_core() -> None:
    one = case(4)
    changed = plan(augmentation=replace(STILL, flip=1.0))
    image, core = Windows([one], changed, CPU).make(0, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(image[0].numpy(), one.image[:, ::-1], atol=2e-3)
    np.testing.assert_array_equal(core[0].numpy().astype(bool), one.core[::-1])


def test_a_perfect_answer_costs_nothing_and_finding_core_where_none_is_costs() -> None:
    core = torch.zeros((1, 8, 8, 4), dtype=torch.int64)
    core[:, :4] = 1
    sure = 40.0 * torch.stack([1.0 - core, core.float()], dim=1) - 20.0
    assert float(objective(sure, core)) == pytest.approx(0.0, abs=1e-3)
    assert float(objective(sure, torch.zeros_like(core))) > 1.0


def test_scores_follow_their_definitions() -> None:
    nothing, some = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    some[:2] = True
    everywhere = np.ones_like(some)
    rows = [
        core_row("a", "m", nothing, nothing, everywhere, 1.0),
        core_row("b", "m", some, nothing, everywhere, 1.0),
        core_row("c", "m", nothing, some, everywhere, 1.0),
        core_row("d", "m", ~some, some, everywhere, 1.0),
    ]
    assert [row.dice for row in rows] == [1.0, 0.0, 0.0, 0.0]
    found = core_scores(rows)
    assert (found.mvd_ml, found.avd_ml) == (0.0, 16.0)
    assert (found.fnr, found.fnr_nothing, found.false_ml) == (1.0, 0.5, 32.0)
    assert found.dice == 0.25


def own_folder(root: Path, name: str, seed: int) -> Path:
    """Write finished maps with an infarct, as a user has them."""
    i, j, k = np.indices((32, 32, 6))
    brain = (i - 15.5) ** 2 + (j - 15.5) ** 2 < 14**2
    late = brain & (i > 20) & (np.abs(j - 10 - seed) < 6) & (k > 0)
    rng = np.random.default_rng(seed)
    affine = np.diag([4.0, 4.0, 5.0, 1.0])
    affine[:3, 3] = (-62.0, -62.0, 0.0)
    values = {"cbf": np.where(late, 12.0, 55.0), "cbv": np.where(late, 2.0, 4.0), "tmax": np.where(late, 9.0, 1.0)}
    folder = root / name
    folder.mkdir(parents=True)
    for key, value in values.items():
        noisy = np.where(brain, value + rng.normal(0, 0.2, value.shape), np.nan).astype(np.float32)
        write_volume(folder / f"{key}.nii.gz", noisy, affine)
    write_volume(folder / "infarct.nii.gz", late.astype(np.uint8), affine)
    return folder


def test_a_case_of_ones_own_is_read_without_its_name(tmp_path: Path) -> None:
    own_folder(tmp_path, "Doe, Jane", 3)
    (folder,) = folders_of_cases(tmp_path)
    read = own_case(folder, "case-001")
    saved = CoreCase.load(read.save(tmp_path / "case-001.core.safetensors"))
    assert b"Doe" not in (tmp_path / "case-001.core.safetensors").read_bytes()
    assert saved.inputs == INPUTS
    np.testing.assert_array_equal(saved.core, read.core)
    assert saved.core.any()
    assert not (saved.core & ~saved.allowed & saved.scored).any()


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"infarct\.nii\.gz"):
        folders_of_cases(tmp_path)


def test_a_training_without_a_kept_case_says_that_there_will_be_no_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        own_folder(tmp_path / "cohort", f"patient-{number}", number)
    words = ["train", "core", str(tmp_path / "out"), "--cohort", str(tmp_path / "cohort"), "--epochs", "1", "--voxel-mm", "4"]
    assert main([*words, "--window", "32", "32", "8", "--device", "cpu"]) == 0
    assert "No case is kept back" in capsys.readouterr().out
    assert "Scored on | nothing" in (tmp_path / "out" / "core.md").read_text()


def test_a_user_trains_on_a_cohort_and_draws_cores_with_the_result(tmp_path: Path) -> None:
    for number in range(4):
        own_folder(tmp_path / "cohort", f"patient-{number}", number)
    words = ["train", "core", str(tmp_path / "out"), "--cohort", str(tmp_path / "cohort"), "--epochs", "2", "--voxel-mm", "4"]
    assert main([*words, "--window", "32", "32", "8", "--held-out", "0.25", "--device", "cpu"]) == 0
    weights = load_weights(tmp_path / "out" / "core.safetensors")
    assert weights.provenance["trained"] == ["case-001", "case-002", "case-003"]
    card = (tmp_path / "out" / "core.md").read_text()
    assert "relative CBF below 30 %" in card
    assert "patient-" not in card
    assert not list((tmp_path / "out").glob("*.checkpoint.*"))
    found = tmp_path / "drawn"
    words = ["segment", str(tmp_path / "cohort" / "patient-0"), str(found), "--preset", "core-network"]
    assert main([*words, "--threshold", f"core_network={tmp_path / 'out' / 'core.safetensors'}"]) == 0
    assert (found / "core_probability.nii.gz").is_file()
    assert str(tmp_path) not in (found / "metrics.json").read_text()
    assert results.holds_maps(found) is False


def test_leave_one_out_never_trains_on_its_test_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        own_folder(tmp_path / "cohort", f"patient-{number}", number)
    seen = []
    original = Trainer.__init__

    def watched(self: Trainer, trained: Any, kept: Any, *rest: Any, **more: Any) -> None:
        seen.append({one.name for one in (*trained, *kept)})
        original(self, trained, kept, *rest, **more)

    monkeypatch.setattr(Trainer, "__init__", watched)
    words = ["evaluate", "core", str(tmp_path / "out"), "--cohort", str(tmp_path / "cohort"), "--leave-one-out"]
    assert main([*words, "--epochs", "1", "--device", "cpu"]) == 0
    with (tmp_path / "out" / "cases.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == "network"]
    assert [row["case"] for row in rows] == ["case-002", "case-003", "case-004"]
    assert len(seen) == len(rows)
    for row, names in zip(rows, seen, strict=True):
        assert row["case"] not in names
    assert (tmp_path / "out" / "agreement.png").is_file()


def test_a_network_is_not_scored_on_what_it_has_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PerfusionSuiteLib.lesion.core_weights import save_weights

    trainer = Trainer([replace(case(0), name="simulated-0400")], [], plan(epochs=1), CPU)
    weights = replace(trainer.run(), provenance={"trained": ["simulated-0400"]})
    path = save_weights(tmp_path / "w.safetensors", weights)
    words = ["evaluate", "core", str(tmp_path / "out"), "--simulated", "1", "--seed", "400", "--weights", str(path)]
    assert main(words) != 0
    assert "has learned from the digital patient 400" in capsys.readouterr().err


def test_a_case_without_any_map_is_refused_by_name() -> None:
    empty = replace(case(5), image=np.zeros((3, *SHAPE)))
    with pytest.raises(InvalidInputError, match=r"case-005.* are empty"):
        Windows([empty], plan(), CPU)
