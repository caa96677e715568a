# SPDX-License-Identifier: Apache-2.0
"""Leakage correction against curves whose blood volume and leakage are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PerfusionSuiteLib.core import Concentration, InvalidInputError, TissueMasks
from PerfusionSuiteLib.prepare.leakage import correct_leakage, fit_leakage, leaked, reference_tissue

TIMES = np.linspace(0.0, 118.5, 80)
FIRST = 9


def reference(times):
    """Tissue that does not leak: a bolus at 15 s with recirculation, washed out with 4 s; peak 10 1/s."""
    fine = np.linspace(0.0, 120.0, 2401)

    def passing(start, width):
        x = np.maximum(fine - start, 0.0) / width
        return x**3 * np.exp(-x)

    blood = passing(15.0, 1.5) + 0.2 * passing(28.0, 3.0)
    tissue = np.convolve(blood, np.exp(-fine / 4.0))[: fine.size]
    return np.interp(times, fine, 10.0 * tissue / tissue.max())


def leak(rate):
    """The same leakage integral on a fine axis: not the code under test."""
    fine = np.linspace(0.0, 120.0, 12001)
    curve, step = reference(fine), 0.01
    total = np.zeros_like(fine)
    for n in range(1, fine.size):
        total[n] = total[n - 1] * np.exp(-rate * step) + step * 0.5 * (curve[n] + curve[n - 1])
    return np.interp(TIMES, fine, total)


def area(curves):
    return np.trapezoid(curves[..., FIRST:], TIMES[FIRST:], axis=-1)


@pytest.mark.parametrize(("model", "rate"), [("bsw", 0.0), ("bidirectional", 0.02)])
def test_correction_brings_the_error_of_blood_volume_below_one_and_a_half_percent(model, rate):
    k1, k2 = (v.ravel() for v in np.meshgrid(np.linspace(0.5, 3.0, 26), [0.01, -0.01, 0.05, -0.05]))
    k1, k2 = np.repeat(k1, 20), np.repeat(k2, 20)
    noise = 0.3 * np.random.default_rng(4).standard_normal((k1.size, TIMES.size))
    curves = (k1[:, None] * reference(TIMES) - k2[:, None] * leak(rate) + noise).astype(np.float32)
    found = fit_leakage(curves, reference(TIMES), TIMES, model=model, first_frame=FIRST)
    true = k1 * area(reference(TIMES))
    assert np.abs(area(curves) / true - 1.0).mean() > 0.8
    assert np.abs(area(found.corrected) / true - 1.0).mean() <= 0.015
    np.testing.assert_array_equal(np.sign(found.k2), np.sign(k2))


def test_without_noise_parameters_are_exact():
    curves = (2.0 * reference(TIMES) - 0.03 * leaked(reference(TIMES), TIMES, 0.0))[None].astype(np.float32)
    found = fit_leakage(curves, reference(TIMES), TIMES, model="bsw")
    assert found.k1[0] == pytest.approx(2.0, rel=1e-5)
    assert found.k2[0] == pytest.approx(0.03, rel=1e-4)
    np.testing.assert_allclose(found.corrected[0], 2.0 * reference(TIMES), atol=2e-4)


def test_the_sign_of_k2_says_which_effect_prevails():
    """T1 brightens the signal and pulls delta R2* down; T2* does the opposite."""
    bent = reference(TIMES) + np.outer([-0.02, 0.02], leak(0.0))
    found = fit_leakage(bent.astype(np.float32), reference(TIMES), TIMES, model="bsw", first_frame=FIRST)
    assert found.k2[0] > 0 > found.k2[1]


def test_return_to_the_blood_is_recovered():
    curves = (2.0 * reference(TIMES) - 0.05 * leak(0.03))[None].astype(np.float32)
    found = fit_leakage(curves, reference(TIMES), TIMES, first_frame=FIRST)
    assert found.return_rate[0] == pytest.approx(0.03, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10.0))
def test_scaling_the_curves_scales_volume_and_leakage(factor):
    curves = (2.0 * reference(TIMES) - 0.05 * leak(0.02))[None].astype(np.float32)
    one, other = (fit_leakage(s * curves, reference(TIMES), TIMES, first_frame=FIRST) for s in (1.0, np.float32(factor)))
    np.testing.assert_allclose(other.k1, factor * one.k1, rtol=1e-3)
    np.testing.assert_allclose(other.k2, factor * one.k2, rtol=5e-3)


def test_integral_agrees_with_a_fine_one_and_with_uneven_frames():
    np.testing.assert_allclose(leaked(reference(TIMES), TIMES, 0.02), leak(0.02), atol=0.6)  # of 140; frames of 1.5 s cut corners
    uneven = np.array([0.0, 1.0, 3.0, 4.0])
    np.testing.assert_allclose(leaked(np.ones(4), uneven, 0.0), uneven)
    np.testing.assert_allclose(leaked(np.ones(4), uneven, 0.5), (1.0 - np.exp(-0.5 * uneven)) / 0.5)
    np.testing.assert_allclose(leaked(uneven, uneven, 1e-9), 0.5 * uneven**2, rtol=1e-6)


def scan(leaky=200, voxels=(16, 16, 6), noise=0.3):
    """A block of tissue with a leaky corner."""
    rng = np.random.default_rng(5)
    shape = (*voxels, TIMES.size)
    data = np.broadcast_to(reference(TIMES), shape).astype(np.float32).copy()
    flat = data.reshape(-1, TIMES.size)
    flat[:leaky] = 2.0 * reference(TIMES) - 0.05 * leak(0.02)
    data += noise * rng.standard_normal(shape, dtype=np.float32)
    everywhere, nowhere = np.ones(voxels, bool), np.zeros(voxels, bool)
    masks = TissueMasks(everywhere, nowhere, nowhere, nowhere)
    level = np.full(voxels, 500.0, np.float32)
    return Concentration(data, np.eye(4), TIMES, everywhere, level, "1/s", noise, FIRST + 1), masks


def test_a_scan_is_corrected_and_its_reference_keeps_out_what_leaks():
    concentration, masks = scan()
    chosen = reference_tissue(concentration, masks).reshape(-1)
    assert chosen[:200].mean() < 0.05
    assert chosen[200:].mean() > 0.5
    result = correct_leakage(concentration, masks)
    assert [f.code for f in result.findings] == ["leakage_corrected"]
    assert np.median(result.k2.reshape(-1)[:200]) == pytest.approx(0.05, rel=0.1)
    corrected = area(result.concentration.data.reshape(-1, TIMES.size)[:200].mean(axis=0)) / area(reference(TIMES))
    assert corrected == pytest.approx(2.0, rel=0.03)


def test_a_weak_reference_refuses_the_correction_and_leaves_the_curves():
    few, masks = scan(voxels=(8, 8, 4))
    result = correct_leakage(few, masks)
    assert result.concentration is few and result.k2 is None
    assert [f.code for f in result.findings] == ["reference_weak"]
    concentration, masks = scan()
    loud = replace(concentration, noise_sd=5.0)
    assert [f.code for f in correct_leakage(loud, masks).findings] == ["reference_weak"]


def test_a_reference_without_a_bolus_is_refused():
    with pytest.raises(InvalidInputError, match="cannot tell blood volume from leakage"):
        fit_leakage(np.ones((3, TIMES.size), np.float32), np.zeros(TIMES.size), TIMES)


def test_wrong_choices_are_refused():
    concentration, masks = scan()
    with pytest.raises(InvalidInputError, match="no leakage model 'magic'"):
        correct_leakage(concentration, masks, model="magic")
    with pytest.raises(InvalidInputError, match="no leakage model 'magic'"):
        fit_leakage(np.ones((3, TIMES.size), np.float32), reference(TIMES), TIMES, model="magic")
    with pytest.raises(InvalidInputError, match="needs DSC-MRI"):
        correct_leakage(replace(concentration, unit="HU"), masks)
