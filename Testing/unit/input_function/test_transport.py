# SPDX-License-Identifier: Apache-2.0
"""Scaling by indicator transport: the vein is the artery, later, wider and fuller."""

from __future__ import annotations

import made_up_head
import numpy as np
import pytest
from scipy import stats

from PerfusionSuiteLib.core import InputFunction
from PerfusionSuiteLib.input_function import area_ratio, scale_to_vof, transport

FINE = np.linspace(0.0, 90.0, 901)


def artery_of(height: float) -> np.ndarray:
    """First pass, a recirculation bump and a slow tail, as real arteries have them."""
    first = made_up_head.bolus(FINE, 7.0, 1.0)
    again = np.convolve(first, stats.gamma.pdf(FINE - 8.0, 5.0, scale=1.4))[: FINE.size] * 0.1
    return height * (first + 0.35 * again)


KERNELS = {
    "gamma": stats.gamma.pdf(FINE - 2.0, 3.0, scale=1.6),
    "lognormal": stats.lognorm.pdf(FINE - 1.5, 0.5, scale=4.5),
    "inverse Gaussian": stats.invgauss.pdf(FINE, 0.35, scale=18.0),
    "two ways through": 0.7 * stats.gamma.pdf(FINE - 1.0, 3.0, scale=1.5) + 0.3 * stats.gamma.pdf(FINE - 1.0, 5.0, scale=1.9),
}


def pair(end_s: float, kernel: str = "gamma", fraction: float = 0.4, noise: float = 0.0) -> tuple[InputFunction, InputFunction]:
    """An artery in partial volume and the full vein behind a kernel of unit area, up to a time."""
    rng = np.random.default_rng(3)
    blood = artery_of(250.0)
    vein = np.convolve(blood, KERNELS[kernel])[: FINE.size] * (FINE[1] - FINE[0])
    times = np.linspace(0.0, 80.0, 81)
    times = times[times <= end_s]

    def seen(curve: np.ndarray) -> np.ndarray:
        return np.interp(times, FINE, curve) + rng.normal(0.0, noise, times.size)

    return InputFunction(times, seen(fraction * blood)), InputFunction(times, seen(vein), kind="vof")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("end_s", [34.0, 42.0, 60.0])
def test_the_share_of_blood_is_found_however_early_the_scan_ends(kernel, end_s):
    found = transport.fit(*pair(end_s, kernel))
    assert found.success
    assert found.factor == pytest.approx(1 / 0.4, rel=0.06)


def test_the_truncated_vein_of_this_test_would_mislead_a_ratio_of_sampled_areas():
    artery, vein = pair(34.0)
    assert vein.values[-3:].mean() > 0.3 * vein.values.max()
    sampled = np.trapezoid(vein.values, vein.times_s) / np.trapezoid(artery.values, artery.times_s)
    assert sampled < 0.93 / 0.4
    assert area_ratio(artery, vein).factor == pytest.approx(1 / 0.4, rel=0.02)


def test_noise_of_the_curves_shows_in_the_standard_deviation():
    quiet, noisy = transport.fit(*pair(45.0, noise=0.5)), transport.fit(*pair(45.0, noise=8.0))
    assert noisy.factor == pytest.approx(1 / 0.4, rel=0.1)
    assert noisy.factor_sd > 3.0 * quiet.factor_sd


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_the_unit_of_the_curves_does_not_matter(unit):
    artery, vein = pair(45.0)
    scaled = transport.fit(InputFunction(artery.times_s, unit * artery.values), InputFunction(vein.times_s, unit * vein.values))
    assert scaled.factor == pytest.approx(transport.fit(artery, vein).factor, rel=1e-3)


def test_a_later_clock_changes_nothing():
    artery, vein = pair(45.0)
    later = [InputFunction(c.times_s + 100.0, c.values, kind=c.kind) for c in (artery, vein)]
    assert transport.fit(*later).factor == pytest.approx(transport.fit(artery, vein).factor, rel=1e-6)


def test_frames_at_uneven_times_are_taken_as_they_are():
    artery, vein = pair(60.0)
    keep = np.r_[0:30, 30 : artery.times_s.size : 3]
    uneven = [InputFunction(c.times_s[keep], c.values[keep], kind=c.kind) for c in (artery, vein)]
    assert transport.fit(*uneven).factor == pytest.approx(1 / 0.4, rel=0.04)


def test_a_curve_that_no_artery_can_have_fed_makes_absolute_values_unreliable():
    artery, vein = pair(50.0)
    ramp = InputFunction(vein.times_s, vein.times_s * 3.0, kind="vof")
    assert "absolute_values_unreliable" in scale_to_vof(artery, ramp).flags


def test_a_vein_with_less_blood_than_the_artery_is_called_no_vein():
    artery, vein = pair(50.0, fraction=1.0)
    thin = InputFunction(vein.times_s, 0.5 * vein.values, kind="vof")
    scaled = scale_to_vof(artery, thin)
    assert scaled.scale == 1.0
    assert "absolute_values_unreliable" in scaled.flags
    assert any("no large vein" in finding.message for finding in scaled.findings)


def test_little_blood_in_the_artery_is_told():
    assert "aif_uncertain" in scale_to_vof(*pair(50.0, fraction=0.25)).flags
    assert scale_to_vof(*pair(50.0, fraction=0.6)).flags == ()


def test_the_courses_of_veins_are_those_that_the_fit_finds_again():
    artery, _ = pair(80.0)
    found = transport.courses(artery, artery.times_s, np.array([1.0, 4.0]), np.array([3.0, 8.0]))
    assert found.shape == (4, artery.times_s.size)
    for course, (shift, mean) in zip(found, [(1.0, 3.0), (1.0, 8.0), (4.0, 3.0), (4.0, 8.0)], strict=True):
        again = transport.fit(artery, InputFunction(artery.times_s, course, kind="vof"))
        assert again.fits
        assert again.factor == pytest.approx(1.0, rel=0.02)
        assert again.shift_s + again.spread_s == pytest.approx(shift + mean, rel=0.03)
