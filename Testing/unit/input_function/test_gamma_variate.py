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
@pytest.mark.parametrize("fitter", [gv.fit, gv.fit_many], ids=["single", "batch"])
def test_recovers_the_parameters_of_a_noiseless_curve(fitter, times):
    found = fitter(curve(150.0, 9.3, 2.4, 2.1, times), times)
    assert found.success
    assert float(found.height) == pytest.approx(150.0, rel=1e-3)
    assert float(found.start_s) == pytest.approx(9.3, abs=0.02)
    assert float(found.alpha) == pytest.approx(2.4, rel=0.01)
    assert float(found.beta_s) == pytest.approx(2.1, rel=0.01)
    assert float(found.rms) < 1e-3


def test_area_and_mean_agree_with_numerical_integrals():
    fine = np.linspace(0, 200, 200001)
    found = gv.fit(curve(), TIMES)
    truth = curve(times=fine)
    assert float(found.area) == pytest.approx(np.trapezoid(truth, fine), rel=1e-3)
    assert float(found.mean_s) == pytest.approx(np.trapezoid(truth * fine, fine) / np.trapezoid(truth, fine), abs=0.01)
    assert float(found.peak_s) == pytest.approx(fine[truth.argmax()], abs=0.02)
    np.testing.assert_allclose(found.curve(fine), truth, atol=0.2)


def test_recirculation_and_a_slow_tail_hardly_change_the_first_pass_area():
    y = curve() + curve(45.0, 22.0, 3.0, 4.0)
    assert float(gv.fit(y, TIMES).area) == pytest.approx(float(gv.fit(curve(), TIMES).area), rel=0.05)


def test_a_curve_cut_off_after_the_peak_still_gives_its_whole_area():
    short = TIMES[TIMES <= 18.0]
    assert float(gv.fit(curve(times=short), short).area) == pytest.approx(float(gv.fit(curve(), TIMES).area), rel=0.02)


def test_one_flickering_frame_does_not_pull_the_fit():
    y = curve()
    y[10] -= 60.0
    assert float(gv.fit(y, TIMES).height) == pytest.approx(200.0, rel=0.06)


def test_batch_and_single_fits_agree_on_noisy_curves():
    rng = np.random.default_rng(3)
    y = np.stack([curve(h, s, a, b) for h, s, a, b in zip(
        rng.uniform(50, 300, 40), rng.uniform(5, 12, 40), rng.uniform(2, 4, 40), rng.uniform(1.2, 2.5, 40), strict=True
    )])  # fmt: skip
    y += rng.normal(0, 2.0, y.shape)
    many = gv.fit_many(y, TIMES)
    single = [gv.fit(v, TIMES) for v in y]
    assert many.success.all()
    np.testing.assert_allclose(many.area, [float(s.area) for s in single], rtol=0.03)
    np.testing.assert_allclose(many.rms, [float(s.rms) for s in single], atol=0.01)


def test_a_batch_keeps_the_shape_of_the_voxels():
    y = np.broadcast_to(curve(), (3, 2, 4, TIMES.size))
    assert gv.fit_many(y, TIMES).height.shape == (3, 2, 4)
    assert gv.fit_many(y, TIMES).curve(TIMES).shape == (3, 2, 4, TIMES.size)


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e4), st.floats(-5.0, 20.0))
def test_scaling_and_shifting_a_curve_scales_and_shifts_the_fit(factor, shift):
    first = gv.fit_many(curve(), TIMES)
    other = gv.fit_many(factor * curve(), TIMES + shift)
    assert float(other.area) == pytest.approx(factor * float(first.area), rel=1e-4)
    assert float(other.mean_s) == pytest.approx(float(first.mean_s) + shift, abs=1e-3)


@pytest.mark.parametrize(
    "values", [np.zeros(41), -curve(), np.random.default_rng(0).normal(0, 1, 41), np.linspace(0, 50, 41)],
    ids=["zero", "negative", "noise", "ramp"],
)  # fmt: skip
def test_curves_without_a_first_pass_are_reported_as_failures(values):
    assert not gv.fit(values, TIMES).success
    assert not gv.fit_many(values, TIMES).success


def test_missing_values_and_wrong_times_are_refused():
    bad = curve()
    bad[4] = np.nan
    with pytest.raises(InvalidInputError, match="missing values"):
        gv.fit(bad, TIMES)
    with pytest.raises(TimingError, match="41 frames but 40"):
        gv.fit_many(curve(), TIMES[:-1])
