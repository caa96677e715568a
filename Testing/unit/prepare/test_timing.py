# SPDX-License-Identifier: Apache-2.0
"""Time axes: shuttle scans, mixed phases, gaps, monotone interpolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from PerfusionSuiteLib.core import Acquisition, Concentration, PerfusionSeries, TimingError
from PerfusionSuiteLib.prepare import common_times, regular_times
from PerfusionSuiteLib.prepare.timing import gap_finding, is_uniform, pchip


def bolus(times_s: np.ndarray, start_s: float, height: float = 60.0, width_s: float = 2.4) -> np.ndarray:
    x = np.maximum(times_s - start_s, 0.0) / (3.0 * width_s)
    return height * x**3 * np.exp(3.0 * (1.0 - x))


def shuttle(offset_s: float, interval_s: float = 3.0) -> PerfusionSeries:
    """Two table positions, the upper one half a period later; one bolus for both."""
    frames = round(60.0 / interval_s)
    frame_times = interval_s * np.linspace(0, frames - 1, frames)
    slice_times = np.stack([frame_times + (offset_s if k >= 2 else 0.0) for k in range(4)])
    data = np.full((12, 12, 4, frames), -1000.0, np.float32)
    for k in range(4):
        data[2:10, 2:10, k] = 35.0 + bolus(slice_times[k], 14.0)
    return PerfusionSeries(data, np.diag([4.0, 4, 8, 1]), frame_times, "ctp", Acquisition("test", slice_times, True))


def a_concentration(times: np.ndarray, unit: str = "HU") -> Concentration:
    mask = np.zeros((3, 3, 2), bool)
    mask[1] = True
    data = np.where(mask[..., None], bolus(times, 12.0), 0.0).astype(np.float32)
    return Concentration(data, np.eye(4), times, mask, np.zeros(mask.shape, np.float32), unit, 1.5, 5)


class TestPchip:
    def test_it_equals_the_scalar_reference_voxel_by_voxel(self) -> None:
        rng = np.random.default_rng(0)
        times = np.cumsum(rng.uniform(0.5, 3.0, 25))
        curves = rng.normal(0, 10, (60, 25)).astype(np.float32)
        curves[::4] = np.round(curves[::4] / 10) * 10  # plateaus and sign changes
        grid = np.linspace(times[0], times[-1], 77)
        expected = np.stack([PchipInterpolator(times, c.astype(float))(grid) for c in curves])
        assert np.abs(pchip(times, curves, grid, chunk=7) - expected).max() < 1e-3

    def test_a_step_does_not_overshoot(self) -> None:
        times = np.linspace(0, 19, 20)
        step = np.where(times > 9, 100.0, 0.0)[None].astype(np.float32)
        fine = pchip(times, step, np.linspace(0, 19, 400))
        assert fine.min() >= -1e-4
        assert fine.max() <= 100.0 + 1e-4

    def test_two_frames_are_too_few(self) -> None:
        with pytest.raises(TimingError, match="2 frames"):
            pchip(np.array([0.0, 1.0]), np.zeros((1, 2), np.float32), np.array([0.5]))


class TestCommonTimes:
    def test_slices_that_share_their_times_are_left_alone(self) -> None:
        series = shuttle(0.0)
        assert common_times(series) is series
        plain = replace(series, acquisition=Acquisition())
        assert common_times(plain) is plain

    def test_delay_step_between_slabs_disappears(self) -> None:
        series = common_times(shuttle(1.5))
        fine = np.linspace(series.times_s[0], series.times_s[-1], 2000)
        peak = [fine[np.argmax(PchipInterpolator(series.times_s, series.data[5, 5, k])(fine))] for k in (0, 3)]
        curves = series.data[5, 5].astype(float) - 35.0
        centroid = (curves * series.times_s).sum(1) / curves.sum(1)
        assert abs(centroid[3] - centroid[0]) < 0.2
        assert abs(peak[1] - peak[0]) < 1.5  # a peak between 3 s samples is not better known than this

    def test_grid_covers_only_what_every_slice_has(self) -> None:
        series = common_times(shuttle(1.5))
        assert series.times_s[0] == pytest.approx(1.5)
        assert series.times_s[-1] <= 57.0
        assert np.diff(series.times_s) == pytest.approx(1.0)
        assert series.acquisition.slice_times_s is None
        assert "slices_resampled_in_time" in [f.code for f in series.source.findings]

    def test_step_is_never_coarser_than_the_data(self) -> None:
        assert np.diff(common_times(shuttle(0.4, 0.75)).times_s) == pytest.approx(0.75)

    def test_slices_without_common_time_are_refused(self) -> None:
        with pytest.raises(TimingError, match="in common"):
            common_times(shuttle(56.0))


class TestRegularTimes:
    def test_uniform_times_are_left_alone(self) -> None:
        times = np.linspace(0, 58.5, 40)
        concentration = a_concentration(times + 0.005 * np.sin(np.arange(40)))
        assert regular_times(concentration) is concentration

    def test_two_phases_become_one_second_frames_with_the_same_area(self) -> None:
        times = np.concatenate([np.linspace(0, 30, 21), np.linspace(33, 60, 10)])
        concentration = a_concentration(times)
        regular = regular_times(concentration)
        assert np.diff(regular.times_s) == pytest.approx(1.0)
        assert is_uniform(regular.times_s)
        area = np.trapezoid(regular.data[1, 1, 1], regular.times_s)
        fine = np.linspace(0, 60, 6001)
        assert area == pytest.approx(np.trapezoid(bolus(fine, 12.0), fine), rel=0.02)
        assert not regular.data[0].any()

    def test_mr_keeps_its_repetition_time(self) -> None:
        times = np.delete(np.linspace(0, 58.5, 40), 30)
        assert np.diff(regular_times(a_concentration(times, "1/s")).times_s) == pytest.approx(1.5)

    def test_baseline_frames_cover_the_same_time(self) -> None:
        times = np.concatenate([np.linspace(0, 30, 16), np.linspace(31, 60, 30)])
        regular = regular_times(a_concentration(times))  # five frames up to 8 s
        assert regular.times_s[regular.baseline_frames - 1] == pytest.approx(8.0)


class TestGaps:
    times = np.linspace(0, 58.5, 40)

    def test_a_missing_frame_on_the_upslope_is_reported(self) -> None:
        kept = np.delete(self.times, 11)
        (finding,) = gap_finding(kept, bolus(kept, 12.0))
        assert finding.code == "gap_in_first_pass"
        assert "3.0 s" in finding.message

    def test_a_missing_frame_before_the_bolus_is_not(self) -> None:
        kept = np.delete(self.times, 3)
        assert gap_finding(kept, bolus(kept, 15.0)) == ()

    def test_a_planned_change_of_interval_is_not_a_gap(self) -> None:
        phases = np.concatenate([np.linspace(0, 20, 21), np.linspace(23, 62, 14)])
        assert gap_finding(phases, bolus(phases, 10.0, width_s=4.0)) == ()
