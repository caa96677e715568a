# SPDX-License-Identifier: Apache-2.0
"""Training of QTMnet, from cubes to weights with a card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.asl.kinetic import label_density  # noqa: E402
from PerfusionSuiteLib.asl.qtm_weights import S_REF, Protocol, load_weights  # noqa: E402
from PerfusionSuiteLib.cli.main import main  # noqa: E402
from PerfusionSuiteLib.core.errors import CancelledError, InvalidInputError  # noqa: E402
from PerfusionSuiteLib.phantom.vessels import store  # noqa: E402
from PerfusionSuiteLib.phantom.vessels.values import response_times  # noqa: E402
from PerfusionSuiteLib.training import qtmnet  # noqa: E402
from PerfusionSuiteLib.training.qtmnet import Trainer, objective  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_batches import ENTRY_S, Augmentation, Batches, arterial_curves, half_spaces  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_data import Cubes, load, moments, seed_ranges  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_plan import PRESETS, Plan  # noqa: E402

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")
SIZE = (8, 8, 4)
PLAIN = Augmentation(mirror=False)


def cubes(count: int = 32, seed: int = 0) -> Cubes:
    """Blocks of flow that arrives at one time per cube, without vessels."""
    rng = np.random.default_rng(seed)
    flow = np.kron(rng.uniform(5, 80, (count, 2, 2, 2)), np.ones((1, 4, 4, 2)))
    protocol = Protocol()
    delays = np.array(protocol.post_label_delays_s)[:, None, None, None]
    arrival = rng.uniform(0.5, 1.5, (count, 1, 1, 1, 1))
    density = label_density(flow[:, None], arrival, delays, protocol.label_duration_s)
    return Cubes(density.astype(np.float32), flow.astype(np.float32), np.arange(count), protocol, {"preset": "test"})


def plan(**changes: Any) -> Plan:
    usual = Plan(epochs=3, base=8, batch=8, augmentation=PLAIN, noise_channel=False)
    return replace(usual, **changes)


def test_the_loss_falls_by_a_third_in_three_epochs() -> None:
    trained, kept = cubes().split(0.1, 0)
    trainer = Trainer(trained, kept, plan(regression=False, rate=5e-3), CPU)
    trainer.run()
    losses = [row[3] for row in trainer.state.record]
    assert losses[-1] < 0.7 * losses[0]


def test_a_training_begins_with_what_single_voxels_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 0)
    trained, kept = cubes().split(0.1, 0)
    trainer = Trainer(trained, kept, plan(), CPU)
    regression = trainer.state.network.regression
    assert regression is not None
    with torch.inference_mode():
        regression.bend[-1].weight.zero_()
        found = 80.0 * regression(torch.from_numpy(trained.density / S_REF))[1].numpy()[:, 0]
    curves = np.moveaxis(trained.density, 1, 4).reshape(-1, 4).astype(float)
    best = curves @ np.linalg.lstsq(curves, trained.flow.ravel(), rcond=None)[0]
    assert found.ravel() == pytest.approx(best, abs=0.3)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(optimizer: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 5)
    trained, kept = cubes(16).split(0.2, 0)
    how = plan(optimizer=optimizer, augmentation=Augmentation(noise=0.05, blank=0.5, gain=0.05), noise_channel=True)
    whole = Trainer(trained, kept, how, CPU).run()

    calls = []

    def stop(fraction: float, stage: str) -> None:
        calls.append(fraction)
        if len(calls) == 4:  # in the middle of the second epoch
            raise CancelledError

    with pytest.raises(CancelledError):
        Trainer(trained, kept, how, CPU, folder=tmp_path).run(stop)
    again = Trainer(trained, kept, how, CPU, folder=tmp_path)
    assert again.state.epoch == 1
    resumed = again.run()
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_training_that_goes_on_does_not_learn_its_regression_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 3)
    trained, kept = cubes(8).split(0.2, 0)
    first = Trainer(trained, kept, plan(epochs=2), CPU, folder=tmp_path)
    first.keep()
    stages: list[str] = []
    again = Trainer(trained, kept, plan(epochs=2), CPU, folder=tmp_path, progress=lambda share, stage: stages.append(stage))
    assert stages == []
    for name, value in first.state.network.state_dict().items():
        assert torch.equal(again.state.network.state_dict()[name], value), name


def test_the_regression_of_a_training_can_be_stopped() -> None:
    def stop(fraction: float, stage: str) -> None:
        raise CancelledError

    trained, kept = cubes(8).split(0.2, 0)
    with pytest.raises(CancelledError):
        Trainer(trained, kept, plan(), CPU, progress=stop)


def test_a_checkpoint_of_other_cubes_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 1)
    trained, kept = cubes(8).split(0.2, 0)
    Trainer(trained, kept, plan(epochs=1), CPU, folder=tmp_path).run()
    with pytest.raises(InvalidInputError, match="other settings"):
        Trainer(kept, trained, plan(epochs=1), CPU, folder=tmp_path)


def test_the_loss_is_the_published_one() -> None:
    truth = torch.zeros(1, 1, 2, 2, 2)
    found = torch.zeros(1, 1, 2, 2, 2)
    found[..., 1] = 1.0
    assert float(objective(found, truth, 0.0)) == pytest.approx(0.5)
    assert float(objective(found, truth, 0.1)) == pytest.approx(0.5 + 0.1)


def test_the_published_preset_is_the_published_schedule() -> None:
    published = PRESETS["published"]
    assert (published.optimizer, published.rate, published.rate_end, published.epochs) == ("sgd", 1e-3, 1e-6, 40)
    assert not published.regression
    assert published.scale == "image-max"


def test_the_published_preset_learns_and_is_scored_in_absolute_units() -> None:
    trained, kept = cubes().split(0.1, 0)
    trainer = Trainer(trained, kept, replace(PRESETS["published"], base=4, epochs=2, rate=1e-2), CPU)
    trainer.run()
    first, last = trainer.state.record[0], trainer.state.record[-1]
    assert last[3] < first[3]
    assert 0.0 < last[4] < 150.0


class TestBatches:
    def made(self, augmentation: Augmentation, *, scale: str = "physical", noise_channel: bool = True) -> Any:
        batches = Batches.of(cubes(12), augmentation, noise_channel=noise_channel, scale=scale, device=CPU)
        return batches, *batches.make(np.arange(12), torch.Generator().manual_seed(0))

    def test_without_augmentation_cubes_are_only_scaled(self) -> None:
        _, x, y = self.made(PLAIN)
        assert x[:, :4].numpy() == pytest.approx(cubes(12).density / S_REF, rel=1e-5)
        assert not x[:, 4].any()
        assert y[:, 0].numpy() == pytest.approx(cubes(12).flow / 80.0, rel=1e-5)

    def test_images_and_targets_are_mirrored_alike(self) -> None:
        _, x, y = self.made(Augmentation())
        original = cubes(12)
        for number in range(12):
            # one arrival time per cube: label stays proportional to flow wherever it goes, but for T1' that depends on flow
            assert np.corrcoef(x[number, 1].ravel(), y[number, 0].ravel())[0, 1] > 0.999
            assert sorted(y[number].ravel().tolist()) == pytest.approx(sorted((original.flow[number] / 80.0).ravel().tolist()))
        assert not np.allclose(y[:, 0].numpy(), original.flow / 80.0)

    def test_the_noise_is_what_the_network_is_told(self) -> None:
        _, x, _ = self.made(Augmentation(mirror=False, noise=0.1))
        off = x[:, :4].numpy() - cubes(12).density / S_REF
        told = x[:, 4, 0, 0, 0].numpy()
        assert off.std(axis=(1, 2, 3, 4)) == pytest.approx(told, rel=0.12)
        assert told.max() <= 0.1

    def test_a_half_space_is_empty_in_image_and_target(self) -> None:
        _, x, y = self.made(Augmentation(mirror=False, noise=0.1, blank=1.0))
        empty = y[:, 0] == 0.0
        assert 0.2 < float(empty.float().mean()) < 0.8
        assert not x[:, 0][empty].any()

    def test_planes_leave_out_half_on_average(self) -> None:
        kept = half_spaces((8, 8, 4), 1.0, 400, torch.Generator().manual_seed(1))
        assert float(kept.mean()) == pytest.approx(0.5, abs=0.05)
        assert half_spaces((8, 8, 4), 0.0, 5, torch.Generator().manual_seed(1)).all()

    def test_arteries_add_label_and_leave_the_truth(self) -> None:
        _, x, y = self.made(Augmentation(mirror=False, arteries=1.0))
        added = x[:, :4].numpy() - cubes(12).density / S_REF
        assert added.min() > -1e-5
        assert added.max() > 0.1
        assert y[:, 0].numpy() == pytest.approx(cubes(12).flow / 80.0, rel=1e-5)

    def test_label_in_arteries_is_what_has_entered_and_not_yet_left(self) -> None:
        curves = arterial_curves(Protocol(), 500, torch.Generator().manual_seed(0)).numpy()
        assert curves.min() == 0.0
        assert curves.max() < np.exp(-ENTRY_S[0] / 1.65)
        # label lasts as long as labeling, so no streamline is seen at delays further apart than that
        late = arterial_curves(Protocol(1.0, (0.5, 4.5)), 500, torch.Generator().manual_seed(0)).numpy()
        assert (late[:, 0] > 0).any()
        assert late[:, 1].max() < 0.2

    def test_division_by_the_maximum_keeps_absolute_flow(self) -> None:
        batches, x, y = self.made(PLAIN, scale="image-max", noise_channel=False)
        assert x.amax((1, 2, 3, 4)).numpy() == pytest.approx(1.0)
        _, factor = batches.scaled(batches.x, torch.zeros(12, 1, 1, 1, 1))
        assert (y * factor)[:, 0].numpy() == pytest.approx(cubes(12).flow / 80.0, rel=1e-5)

    def test_impossible_augmentations_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="'blank' is 2"):
            Augmentation(blank=2.0).check()


class TestData:
    def test_a_split_shares_no_cube(self) -> None:
        trained, kept = cubes(20).split(0.1, 3)
        assert len(kept) == 2
        assert sorted([*trained.seeds, *kept.seeds]) == list(range(20))

    def test_one_cube_cannot_be_split(self) -> None:
        with pytest.raises(InvalidInputError, match="1 cubes are too few"):
            cubes(1).split(0.1, 0)

    def test_seeds_are_written_as_ranges(self) -> None:
        assert seed_ranges([3, 1, 2, 7]) == "1-3, 7"
        assert seed_ranges(list(range(0, 40, 2))) == "20 of 0-38"

    def test_moments_hold_the_regression(self) -> None:
        some = cubes(4)
        table = moments(some)
        curves = np.moveaxis(some.density, 1, 4).reshape(-1, 4) / S_REF
        rows = np.c_[curves, np.ones(len(curves))]
        best = np.linalg.lstsq(rows, some.flow.ravel(), rcond=None)[0]
        assert rows @ np.linalg.solve(table[:, :5], table[:, 5]) == pytest.approx(rows @ best, abs=0.1)


def fake_cube(seed: int, preset: Any, builder: str = "auto") -> Any:
    """A cube of the store, without the minutes that vessels take."""
    one, times = cubes(1, seed), response_times()
    growth = 1.0 - np.exp(-times)
    response = one.flow[0][..., None] * 1e-3 * growth
    return SimpleNamespace(response=response.astype(np.float32), perfusion=one.flow[0], arrival_s=one.flow[0], kind="regions")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(store, "make_cube", fake_cube)
    monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 3)
    store.write_cubes(tmp_path / "cubes", count=10, seed=5)
    store.write_cubes(tmp_path / "unseen", count=3, seed=500)
    return tmp_path


def test_cubes_are_seen_by_any_protocol(folder: Path) -> None:
    found = load(folder / "cubes", Protocol(1.0, (0.5, 1.0)), limit=4)
    assert found.density.shape == (4, 2, *SIZE)
    expected = found.flow[:, None] * 1e-3 * (np.exp([-0.5, -1.0]) - np.exp([-1.5, -2.0]))[None, :, None, None, None]
    assert found.density == pytest.approx(expected, rel=0.01)
    with pytest.raises(InvalidInputError, match="T1 of blood of 1.65"):
        load(folder / "cubes", Protocol(t1_blood_s=1.5))


def test_blood_that_enters_late_is_seen_as_earlier_and_decayed(folder: Path) -> None:
    protocol = Protocol(1.0, (0.75, 1.25))
    usual, late = load(folder / "cubes", protocol), load(folder / "cubes", protocol, late_s=0.5)
    assert late.density[:, 1] == pytest.approx(usual.density[:, 0] * np.exp(-0.5 / 1.65), rel=2e-3)
    assert np.array_equal(late.flow, usual.flow)
    with pytest.raises(InvalidInputError, match="1 s late where the first delay is 0.75 s"):
        load(folder / "cubes", protocol, late_s=1.0)


def test_later_versions_of_cubes_that_are_kept_back_are_not_trained_on(folder: Path) -> None:
    usual, late = load(folder / "cubes", Protocol()), load(folder / "cubes", Protocol(), late_s=0.5)
    trained, kept = usual.split(0.3, 0)
    both = trained.with_late([late, late])
    assert len(both) == 2 * len(trained)
    assert set(both.seeds) == set(trained.seeds)
    assert not set(both.seeds) & set(kept.seeds)
    assert "7 cubes (with later versions 14)" in both.words()


def test_the_command_writes_weights_card_and_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    words = [
        "--epochs",
        "2",
        "--base",
        "4",
        "--unseen",
        str(folder / "unseen"),
        "--augmentation",
        "noise=0.05",
        "--device",
        "cpu",
    ]
    assert main(["train", "qtmnet", str(folder / "cubes"), str(out), *words]) == 0
    weights = load_weights(out / "qtmnet.safetensors")
    assert weights.protocol == Protocol()
    assert weights.noise_channel
    assert weights.provenance["trained_seeds"] == [5, 14]
    assert {row["method"] for row in weights.provenance["scores"]} >= {"qtmnet", "regression", "asl-single", "asl-multi"}
    card = (out / "qtmnet.md").read_text(encoding="utf-8")
    assert "9 cubes" in card
    assert "3 cubes, seeds 500-502" in card
    assert str(folder) not in card
    assert len((out / "training.csv").read_text().splitlines()) == 3
    assert not list(out.glob("*.checkpoint*"))
    assert "qtmnet: NRMSE" in capsys.readouterr().out


def test_scoring_on_trained_cubes_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "qtmnet", str(folder / "cubes"), str(folder / "out"), "--unseen", str(folder / "cubes")]
    assert main(words) == 2
    assert "cubes of the same seeds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--protocol", "1.5"], "at least one delay"),
        (["--augmentation", "rotate=1"], "is no augmentation"),
        (["--augmentation", "noise=much"], "has no number"),
        (["--epochs", "0"], "epochs is 0"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "qtmnet", str(folder / "cubes"), str(folder / "out"), *words]) == 2
    assert message in capsys.readouterr().err
