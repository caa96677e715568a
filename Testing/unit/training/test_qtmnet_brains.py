# SPDX-License-Identifier: Apache-2.0
"""Simulated brains in the training of QTMnet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.asl.kinetic import label_density  # noqa: E402
from PerfusionSuiteLib.asl.qtm import error_of  # noqa: E402
from PerfusionSuiteLib.asl.qtm_weights import S_REF, Protocol, QtmWeights  # noqa: E402
from PerfusionSuiteLib.core.errors import CancelledError, InvalidInputError, NumericalError  # noqa: E402
from PerfusionSuiteLib.core.files import write_json  # noqa: E402
from PerfusionSuiteLib.core.nifti import write_volume  # noqa: E402
from PerfusionSuiteLib.evaluation import qtmnet_estimators as estimators  # noqa: E402
from PerfusionSuiteLib.training import qtmnet  # noqa: E402
from PerfusionSuiteLib.training.qtmnet import Trainer  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_batches import Augmentation, Batches  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_brains import FLOWS, PIECE, Brain, Pieces, read_brain, read_brains  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_data import Cubes  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_outcome import spread_of  # noqa: E402
from PerfusionSuiteLib.training.qtmnet_plan import Plan  # noqa: E402

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")
SHAPE = (20, 22, 10)
PROTOCOL = Protocol()
DELAYS = np.array(PROTOCOL.post_label_delays_s)


def brain(seed: int = 1) -> Brain:
    """An ellipsoid with blocks of flow and one arrival time."""
    flow = np.kron(np.random.default_rng(seed).uniform(10, 80, (5, 6, 5)), np.ones((4, 4, 2)))[:20, :22, :10]
    place = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    mask = (place**2).sum(axis=0) < 1.0
    flow = np.where(mask, flow, 0.0).astype(np.float32)
    density = np.where(mask, np.moveaxis(label_density(flow[..., None], 1.2, DELAYS, PROTOCOL.label_duration_s), 3, 0), 0.0)
    return Brain(f"{seed:04d}", density.astype(np.float32), flow, mask)


def written(one: Brain, folder: Path, delays: Any = DELAYS) -> Path:
    """Write what ``phantom asl-brain`` writes, as far as a training reads it."""
    (folder / f"sub-{one.name}").mkdir(parents=True)
    affine, truth = np.diag([2.0, 2.0, 4.0, 1.0]), folder / "truth"
    write_volume(truth / "label_density.nii.gz", 1000.0 * np.moveaxis(one.density, 0, 3) + 1.0, affine)
    write_volume(truth / "cbf.nii.gz", np.where(one.mask, one.flow, np.nan), affine)
    write_volume(truth / "mask_scored.nii.gz", one.mask, affine, dtype=np.uint8)
    write_json(truth / "truth.json", {"label_duration_s": PROTOCOL.label_duration_s, "post_label_delays_s": delays})
    return folder


def cubes(count: int = 8) -> Cubes:
    rng = np.random.default_rng(0)
    flow = rng.uniform(5, 80, (count, 8, 8, 4))
    density = label_density(flow[:, None], 1.0, DELAYS[:, None, None, None], PROTOCOL.label_duration_s)
    return Cubes(density.astype(np.float32), flow.astype(np.float32), np.arange(count), PROTOCOL, {"preset": "test"})


def pieces(augmentation: Augmentation, count: int = 6) -> tuple[Any, Any]:
    batches = Batches.of(cubes(), augmentation, noise_channel=True, scale="physical", device=CPU)
    return Pieces([brain(1), brain(2)], batches).make(count, torch.Generator().manual_seed(0))


class TestReading:
    def test_a_brain_is_empty_outside_its_mask(self, tmp_path: Path) -> None:
        one = brain()
        found = read_brain(written(one, tmp_path / "a"), PROTOCOL)
        assert found.name == "0001"
        assert found.density[:, one.mask] == pytest.approx(one.density[:, one.mask] + 1e-3, rel=1e-5)
        assert not found.density[:, ~one.mask].any()
        assert found.flow == pytest.approx(one.flow)

    def test_another_protocol_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="but the training labeling 1.45 s, delays 1.025"):
            read_brain(written(brain(), tmp_path / "a", DELAYS + 0.1), PROTOCOL)

    def test_a_folder_without_a_brain_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="holds no simulated brain"):
            read_brain(tmp_path, PROTOCOL)

    def test_the_last_brain_is_kept_back(self, tmp_path: Path) -> None:
        folders = [written(brain(seed), tmp_path / str(seed)) for seed in (1, 2, 3)]
        trained, kept = read_brains(folders, PROTOCOL)
        assert [one.name for one in trained] == ["0001", "0002"]
        assert kept is not None
        assert kept.name == "0003"
        assert read_brains([], PROTOCOL) == ([], None)
        with pytest.raises(InvalidInputError, match="two or more different brains"):
            read_brains(folders[:1], PROTOCOL)
        with pytest.raises(InvalidInputError, match="two or more different brains"):
            read_brains([folders[0], folders[0]], PROTOCOL)


class TestPieces:
    def test_label_and_flow_change_by_the_same_factor(self) -> None:
        x, y = pieces(Augmentation(mirror=False))
        assert x.shape == (6, 5, *PIECE)
        one = brain()
        ratio = np.median(one.density[1, one.mask] / S_REF / (one.flow[one.mask] / 80.0))
        inside = y[:, 0] > 0
        assert inside.flatten(1).any(1).all()
        assert (x[:, 1][inside] / y[:, 0][inside]).numpy() == pytest.approx(ratio, rel=0.02)  # T1' depends on flow a little
        most = y.amax((1, 2, 3, 4)).numpy()
        assert most.max() <= FLOWS[1]
        assert most.min() < 0.8

    def test_noise_stays_inside_the_brain(self) -> None:
        x, y = pieces(Augmentation(noise=0.1, coarse=0.0))
        outside = y[:, 0] == 0.0
        assert outside.any()
        assert not x[:, 0][outside].any()
        assert (x[:, 4].std((1, 2, 3)) == 0).all()


def test_noise_of_larger_voxels_is_as_strong_as_told_and_smooth() -> None:
    batches = Batches.of(
        cubes(), Augmentation(mirror=False, noise=0.1, coarse=1.0), noise_channel=True, scale="physical", device=CPU
    )
    empty = torch.zeros(64, 4, 16, 16, 8)
    x, y, sd = batches.noisy(empty, empty[:, :1], torch.Generator().manual_seed(1))
    assert x.square().mean((1, 2, 3, 4)).sqrt().numpy() == pytest.approx(sd.ravel().numpy(), rel=1e-4)
    assert float((x[:, :, 1:] * x[:, :, :-1]).mean() / x.square().mean()) > 0.2
    assert not y.any()


def test_larger_voxels_keep_the_mean() -> None:
    batches = Batches.of(cubes(), Augmentation(mirror=False, coarse=1.0), noise_channel=True, scale="physical", device=CPU)
    whole = torch.rand((4, 4, 16, 16, 8), generator=torch.Generator().manual_seed(2))
    x, y, _ = batches.noisy(whole, whole[:, :1], torch.Generator().manual_seed(3))
    assert x.mean().item() == pytest.approx(whole.mean().item(), abs=0.02)
    assert x.std() < 0.8 * whole.std()
    assert torch.equal(y, x[:, :1])


class TestTraining:
    def plan(self, **changes: Any) -> Plan:
        how = Augmentation(noise=0.05, gain=0.05, coarse=0.5)
        return replace(Plan(epochs=2, base=4, batch=4, augmentation=how), **changes)

    def test_a_training_with_brains_that_was_stopped_ends_as_one_that_was_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 2)
        monkeypatch.setattr(qtmnet, "SCORED_EVERY", 1)
        trained, kept = cubes(10).split(0.2, 0)
        given: dict[str, Any] = {"brains": [brain(1), brain(2)], "kept_brain": brain(3)}
        whole = Trainer(trained, kept, self.plan(), CPU, **given)
        assert whole.steps == 4  # two with cubes, and as many with pieces
        expected = whole.run().state_dict()
        assert all(0.0 < row[6] < 150.0 for row in whole.state.record)

        calls = []

        def stop(fraction: float, stage: str) -> None:
            calls.append(fraction)
            if len(calls) == 6:
                raise CancelledError

        with pytest.raises(CancelledError):
            Trainer(trained, kept, self.plan(), CPU, folder=tmp_path, **given).run(stop)
        again = Trainer(trained, kept, self.plan(), CPU, folder=tmp_path, **given)
        assert again.state.epoch == 1
        found = again.run().state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())

    def test_steps_without_a_gradient_are_left_out_but_not_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(qtmnet, "VOXEL_STEPS", 2)
        monkeypatch.setattr("PerfusionSuiteLib.training.epochs.MOST_LOST", 1)
        trained, kept = cubes(16).split(0.1, 0)
        trained.density[0] = np.nan
        trainer = Trainer(trained, kept, self.plan(epochs=1, regression=False), CPU)
        trainer.run()
        assert all(value.isfinite().all() for value in trainer.state.network.state_dict().values())
        trained.density[:] = np.nan
        with pytest.raises(NumericalError, match="ran away"):
            Trainer(trained, kept, self.plan(epochs=1, regression=False), CPU).run()

    def test_pieces_cannot_replace_all_cubes(self) -> None:
        with pytest.raises(InvalidInputError, match="pieces is 1.0"):
            self.plan(pieces=1.0).check()


def test_intervals_learned_on_a_brain_hold_two_thirds_of_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    one, rng = brain(), np.random.default_rng(0)

    def network(weights: QtmWeights, density: Any, noise: float = 0.0, **options: Any) -> Any:
        spread = 2.0 + 0.1 * one.flow + 100.0 * noise
        variance = np.full(one.flow.shape, 0.5)
        return (one.flow + spread * rng.standard_normal(one.flow.shape))[None], variance[None]

    monkeypatch.setattr(estimators, "network", network)
    weights = QtmWeights({}, PROTOCOL, most_noise=0.08 * S_REF)
    learned = replace(weights, spread=spread_of(weights, cubes(), 0, brain=one))
    for noise in (0.0, 0.08):
        flow, variance = network(weights, None, noise)
        covered = np.abs(flow[0] - one.flow) <= error_of(flow[0], variance[0], noise * S_REF, learned)
        assert 0.55 < covered[one.mask].mean() < 0.8
