# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PerfusionSuiteLib.core import InvalidInputError, TimingError
from PerfusionSuiteLib.input_function import gamma_variate as gv

TIMES = np.linspace(0.0, 60.0, 41)
IRREGULAR = np.concatenate([np.linspace(0, 30, 31), np.linspace(32.5, 60, 12)])


def curve(height=200.0, start=8.0, alpha=3.0, beta=1.8, times=TIMES):
    x = np.maximum(times - start, 0.0)
    peak = (alpha * beta) ** alpha * np.exp(-alpha)
    return height * x**alpha * np.exp(-x / beta) / peak


def test_evaluates_the_textbook_form_with_the_given_peak():
    values = gv.evaluate(TIMES, 200.0, 8.0, 3.0, 1.8)
    np.testing.assert_allclose(values, curve(), atol=1e-9)
    assert gv.evaluate([8.0 + 3.0 * 1.8], 200.0, 8.0, 3.0, 1.8)[0] == pytest.approx(200.0)


@pytest.mark.parametrize("times", [TIMES, IRREGULAR], ids=["uniform", "two phases"])
def test_recovers_the_parameters_of_a_noiseless_curve(times):
    found = gv.fit(curve(150.0, 9.3, 2.4, 2.1, times), times)
    assert found.success
    assert found.height == pytest.approx(150.0, rel=1e-3)
    assert found.start_s == pytest.approx(9.3, abs=0.02)
    assert found.alpha == pytest.approx(2.4, rel=0.01)
    assert found.beta_s == pytest.approx(2.1, rel=0.01)
    assert found.rms < 1e-3


def test_the_area_agrees_with_a_numerical_integral():
    fine = np.linspace(0, 200, 200001)
    found = gv.fit(curve(), TIMES)
    truth = curve(times=fine)
    assert found.area == pytest.approx(np.trapezoid(truth, fine), rel=1e-3)
    fitted = gv.evaluate(fine, found.height, found.start_s, found.alpha, found.beta_s)
    np.testing.assert_allclose(fitted, truth, atol=0.2)


def test_recirculation_and_a_slow_tail_hardly_change_the_first_pass_area():
    y = curve() + curve(45.0, 22.0, 3.0, 4.0)
    assert gv.fit(y, TIMES).area == pytest.approx(float(gv.fit(curve(), TIMES).area), rel=0.05)


def test_a_curve_cut_off_after_the_peak_still_gives_its_whole_area():
    short = TIMES[TIMES <= 18.0]
    assert float(gv.fit(curve(times=short), short).area) == pytest.approx(float(gv.fit(curve(), TIMES).area), rel=0.02)


def test_one_flickering_frame_does_not_pull_the_fit():
    y = curve()
    y[10] -= 60.0
    assert gv.fit(y, TIMES).height == pytest.approx(200.0, rel=0.06)


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e4), st.floats(-5.0, 20.0))
def test_scaling_and_shifting_a_curve_scales_and_shifts_the_fit(factor, shift):
    first = gv.fit(curve(), TIMES)
    other = gv.fit(factor * curve(), TIMES + shift)
    assert other.area == pytest.approx(factor * first.area, rel=1e-4)
    assert other.start_s == pytest.approx(first.start_s + shift, abs=1e-3)


@pytest.mark.parametrize(
    "values", [np.zeros(41), -curve(), np.random.default_rng(0).normal(0, 1, 41), np.linspace(0, 50, 41)],
    ids=["zero", "negative", "noise", "ramp"],
)  # fmt: skip
def test_curves_without_a_first_pass_are_reported_as_failures(values):
    assert not gv.fit(values, TIMES).success


def test_missing_values_and_wrong_times_are_refused():
    bad = curve()
    bad[4] = np.nan
    with pytest.raises(InvalidInputError, match="missing values"):
        gv.fit(bad, TIMES)
    with pytest.raises(TimingError, match="41 frames but 40"):
        gv.fit(curve(), TIMES[:-1])
