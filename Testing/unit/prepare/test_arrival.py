# SPDX-License-Identifier: Apache-2.0
"""Arrival of contrast on curves whose arrival is known."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError, TimingError
from PerfusionSuiteLib.prepare import arrival_time
from PerfusionSuiteLib.prepare.arrival import brightest_curve, frames_before_contrast, running_median

TIMES = np.linspace(0.0, 58.5, 40)


def ramp(start_s: float, height: float = 100.0) -> np.ndarray:
    """A curve that rises linearly for 6 s from its start and then falls linearly for 12 s."""
    return height * np.clip(np.minimum((TIMES - start_s) / 6.0, (start_s + 18.0 - TIMES) / 12.0), 0.0, 1.0)


def test_linear_rise_is_found_where_it_crosses_a_tenth_of_the_peak() -> None:
    curve = ramp(12.0)
    assert arrival_time(curve, TIMES) == pytest.approx(12.0 + 0.1 * 6.0, abs=1e-6)


def test_many_curves_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    curves = np.stack([ramp(s) + rng.normal(0, 2, TIMES.size) for s in (5.0, 9.0, 14.0, 22.5)])
    together = arrival_time(curves.reshape(2, 2, -1), TIMES)
    assert together.shape == (2, 2)
    assert together.ravel() == pytest.approx([float(arrival_time(c, TIMES)) for c in curves])


def test_a_noise_spike_early_in_the_baseline_is_ignored() -> None:
    spiky = ramp(20.0)
    spiky[2] = 60.0
    assert arrival_time(spiky, TIMES) == pytest.approx(float(arrival_time(ramp(20.0), TIMES)), abs=0.01)


def test_scaling_a_curve_does_not_move_its_arrival() -> None:
    curve = ramp(15.0) + np.random.default_rng(1).normal(0, 1, TIMES.size)
    assert arrival_time(7.0 * curve + 30.0, TIMES) == pytest.approx(float(arrival_time(curve, TIMES)))


def test_shifting_the_clock_shifts_the_arrival() -> None:
    assert arrival_time(ramp(15.0), TIMES + 100.0) == pytest.approx(float(arrival_time(ramp(15.0), TIMES)) + 100.0)


def test_constant_and_missing_curves_have_no_arrival() -> None:
    broken = ramp(10.0)
    broken[3] = np.nan
    assert np.isnan(arrival_time(np.stack([np.zeros(40), np.full(40, 5.0), broken]), TIMES)).all()


def test_a_curve_that_starts_at_its_peak_arrives_with_the_first_frame() -> None:
    assert arrival_time(np.linspace(10.0, 0.0, 40), TIMES) == TIMES[0]


def test_wrong_number_of_times_is_refused() -> None:
    with pytest.raises(TimingError, match="40 frames but 39"):
        arrival_time(ramp(10.0), TIMES[:-1])


def test_frames_before_contrast_end_one_frame_before_arrival() -> None:
    assert frames_before_contrast(ramp(9.5), TIMES) == 6  # arrival at 10.1 s: frame 6 (9.0 s) is too close, 0 to 5 are safe


def test_no_more_than_ten_frames_are_used() -> None:
    assert frames_before_contrast(ramp(30.0), TIMES) == 10


def test_running_median_removes_one_flicker_and_keeps_a_step() -> None:
    curve = np.zeros((1, 12), np.float32)
    curve[0, 4] = 90.0
    curve[0, 8:] = 50.0
    assert np.array_equal(running_median(curve)[0], [0] * 8 + [50] * 4)


def test_brightest_curve_is_that_of_the_vessels() -> None:
    curves = np.tile(ramp(12.0, 8.0), (2000, 1)).astype(np.float32)
    curves[100:110] = ramp(10.0, 300.0)
    curve, rows = brightest_curve(curves)
    assert set(rows) == set(range(100, 110))
    assert curve == pytest.approx(ramp(10.0, 300.0), abs=1e-3)


def test_no_voxels_no_artery() -> None:
    with pytest.raises(InvalidInputError, match="brain mask is empty"):
        brightest_curve(np.zeros((0, 20), np.float32))
