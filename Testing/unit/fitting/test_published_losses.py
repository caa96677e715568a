# SPDX-License-Identifier: Apache-2.0
"""Losses, batches, schedules and scales of the published methods against what is known exactly."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import erf

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.core.constants import flow_factor  # noqa: E402
from PerfusionSuiteLib.core.errors import InvalidInputError  # noqa: E402
from PerfusionSuiteLib.fitting.field_sampling import maps_of  # noqa: E402
from PerfusionSuiteLib.fitting.published.batches import Draws  # noqa: E402
from PerfusionSuiteLib.fitting.published.losses import residual  # noqa: E402
from PerfusionSuiteLib.fitting.published.scan import baseline_count, normalized, slice_scale, volume_scale  # noqa: E402
from PerfusionSuiteLib.fitting.published.schedule import halved, one_cycle, share_done  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_unit_of_flow_is_69_841_times_60() -> None:
    assert flow_factor() / 60 == pytest.approx(69.841, abs=5e-4)
    maps = maps_of({name: np.array([value]) for name, value in (("flow", 0.01), ("mtt", 5.0), ("delay", 2.0))}, flow_factor())
    assert maps["cbf"][0] == pytest.approx(41.905, abs=1e-3)
    assert maps["cbv"][0] == pytest.approx(3.4921, abs=1e-4)
    assert maps["tmax"][0] == pytest.approx(4.5)


class TestResidual:
    """A Gaussian artery has a closed form for its tissue curve by the box model."""

    flow, mtt, delay, mean, width = 0.012, 5.5, 2.25, 18.0, 4.0

    def artery(self, times: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((times - self.mean) / self.width) ** 2)

    def integral(self, times: np.ndarray) -> np.ndarray:
        return self.width * math.sqrt(math.pi / 2) * erf((times - self.mean) / self.width / math.sqrt(2))

    def tissue(self, times: np.ndarray) -> np.ndarray:
        return self.flow * (self.integral(times - self.delay) - self.integral(times - self.delay - self.mtt))

    def test_vanishes_for_exact_curves_and_true_parameters(self) -> None:
        times = np.arange(0.0, 60.0, 0.01)
        sd = 17.0
        slope = np.gradient(self.tissue(times), times, edge_order=2) * sd
        parts = (
            slope,
            self.artery(times - self.delay),
            self.artery(times - self.delay - self.mtt),
            np.full_like(times, self.flow),
        )
        rest = residual(*(torch.from_numpy(part) for part in parts), sd)
        assert float(rest.abs().max()) < 1e-6 * self.flow * 100
        wrong = residual(*(torch.from_numpy(part) for part in (*parts[:3], parts[3] * 1.1)), sd)
        assert float(wrong.abs().max()) > 100 * float(rest.abs().max())

    def test_the_integrated_form_is_the_same_model(self) -> None:
        times = np.arange(0.0, 60.0, 0.01)
        steps = self.flow * (self.artery(times - self.delay) - self.artery(times - self.delay - self.mtt))
        summed = np.concatenate([[0.0], np.cumsum(0.5 * (steps[1:] + steps[:-1])) * 0.01]) + self.tissue(times[:1])
        assert np.abs(summed - self.tissue(times)).max() < 1e-6


class TestSchedule:
    def test_one_cycle_without_warm_up_starts_at_the_base_rate_and_ends_at_nothing(self) -> None:
        rates = [one_cycle(share_done(step, 500), 1e-3) for step in range(500)]
        assert rates[0] == 1e-3
        assert rates[-1] < 1e-7
        assert (np.diff(rates) < 0).all()

    def test_a_warm_up_of_exactly_one_step_works(self) -> None:
        rates = [one_cycle(share_done(step, 10), 1e-2, 0.1) for step in range(10)]
        assert rates[0] == pytest.approx(4e-4)
        assert max(rates) == pytest.approx(1e-2, rel=0.01)

    def test_a_single_step_has_the_base_rate(self) -> None:
        assert one_cycle(share_done(0, 1), 1e-3) == 1e-3

    def test_halving_happens_at_its_steps(self) -> None:
        assert [halved(step, 1.0, [3, 6]) for step in (0, 2, 3, 5, 6, 9)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


class TestScales:
    def test_positions_fill_the_unit_cube_by_axis_or_isotropically(self) -> None:
        affine = np.diag([0.91, 0.91, 5.0, 1.0])
        assert volume_scale((256, 256, 32), affine, "axes") * np.array([255, 255, 31]) == pytest.approx([1, 1, 1])
        isotropic = volume_scale((256, 256, 32), affine, "isotropic")
        assert isotropic * np.array([255, 255, 31]) == pytest.approx([1, 1, 31 * 5 / (255 * 0.91)])
        assert isotropic[0] / 0.91 == pytest.approx(isotropic[2] / 5.0)

    def test_pixel_indices_of_a_slice_share_mean_and_spread(self) -> None:
        i, j = np.meshgrid(np.arange(7), np.arange(12), indexing="ij")
        both = np.concatenate([i.ravel(), j.ravel()])
        assert slice_scale((7, 12, 3)) == pytest.approx((both.mean(), both.std()))

    def test_curves_and_artery_lose_their_baseline_and_share_the_peak(self) -> None:
        times = np.linspace(0.0, 40.0, 21)
        aif = 5.0 + 200.0 * np.exp(-0.5 * ((times - 20) / 4) ** 2)
        curves = (3.0 + 0.1 * aif)[None].astype(np.float32)
        scan = normalized(curves, np.zeros((1, 3), np.float32), times, aif, 4)
        assert float(scan.aif.max()) == pytest.approx(1.0)
        assert float(scan.curves.max()) == pytest.approx(0.1, rel=1e-4)
        assert float(scan.times.mean()) == pytest.approx(0.0, abs=1e-6)
        assert float(scan.times.std(correction=0)) == pytest.approx(1.0)

    def test_frames_with_contrast_are_no_baseline(self) -> None:
        aif = np.array([0.0, 1.0, 40.0, 90.0, 100.0, 50.0])
        assert baseline_count(aif, 4) == 2
        assert baseline_count(aif, 0) == 0

    def test_an_artery_that_falls_from_the_first_frame_on_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="does not rise above its first 1 frames"):
            normalized(np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32), np.arange(3.0), np.array([9.0, 5.0, 1.0]), 4)


class TestBatches:
    def scan(self, voxels: int = 30, frames: int = 8) -> SimpleNamespace:
        rng = np.random.default_rng(0)
        curves = rng.random((voxels, frames)).astype(np.float32)
        return normalized(
            curves, rng.random((voxels, 3)).astype(np.float32), np.arange(float(frames)), np.arange(frames) ** 2.0, 0
        )

    def draws(self, **changed: object) -> Draws:
        options = {"batch": 24, "batch_of": "points", "by_epoch": False, "artery_at_batch": False, **changed}
        return Draws(self.scan(), generator=torch.Generator().manual_seed(0), **options)

    def test_an_epoch_shows_every_sample_once(self) -> None:
        draws, scan = self.draws(by_epoch=True), self.scan()
        values = torch.cat([draws.draw().values[:, 0] for _ in range(draws.per_epoch())])
        assert draws.per_epoch() == 10
        assert torch.equal(values.sort().values, scan.curves.reshape(-1).sort().values)

    def test_whole_curves_hold_as_many_samples_as_points_do(self) -> None:
        batch = self.draws(batch_of="curves").draw()
        assert batch.values.shape == (3, 8)
        assert batch.positions.shape == (3, 3)
        assert batch.times.shape == (1, 8)

    def test_collocation_times_are_fresh_and_within_the_scan(self) -> None:
        draws, scan = self.draws(), self.scan()
        first, second = draws.draw().collocation, draws.draw().collocation
        assert not torch.equal(first, second)
        assert float(scan.times[0]) <= float(first.min()) <= float(first.max()) <= float(scan.times[-1])

    def test_frames_are_weighed_by_their_share_of_the_batch(self) -> None:
        batch = self.draws(artery_at_batch=True).draw()
        assert float(batch.frame_share.sum()) == pytest.approx(1.0)

    def test_a_state_brings_back_the_next_batches(self) -> None:
        for options in ({"by_epoch": True}, {"batch_of": "curves"}, {}):
            one, other = self.draws(**options), self.draws(**options)
            one.draw()
            other.restore(one.state())
            assert torch.equal(one.draw().values, other.draw().values)
