# SPDX-License-Identifier: Apache-2.0
"""The fast operators against textbook linear algebra on small cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import circulant

from PerfusionSuiteLib.deconvolution import deconvolve
from PerfusionSuiteLib.deconvolution.levels import AUTO_LEVELS, noise_sd, truncation_level
from PerfusionSuiteLib.deconvolution.matrices import causal_matrix, padding_matrix
from PerfusionSuiteLib.deconvolution.problem import make_problem
from PerfusionSuiteLib.deconvolution.residues import find_peaks
from PerfusionSuiteLib.deconvolution.ssvd import causal_inverse
from PerfusionSuiteLib.deconvolution.timegrid import is_uniform, make_grid, spline_on_grid, trapezoid_weights

TIMES = np.linspace(0.0, 38.0, 20)


def arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 5.0, 0.0) / 4.5
    return 100.0 * (x * np.exp(1.0 - x)) ** 3


CURVES = np.random.default_rng(3).normal(size=(6, 20)).cumsum(axis=1)
RAW = {"density": 1.0, "hematocrit_factor": 1.0, "residue": True}


def circulant_matrix() -> np.ndarray:
    a = np.pad(arterial(TIMES), (0, 20))
    return circulant(2.0 * (np.roll(a, 1) + 4 * a + np.roll(a, -1)) / 6.0)


def test_csvd_equals_the_explicit_svd_of_the_circulant_matrix() -> None:
    u, s, vt = np.linalg.svd(circulant_matrix())
    keep = s >= 0.1 * s[0]
    expected = (np.pad(CURVES, ((0, 0), (0, 20))) @ u[:, keep]) / s[keep] @ vt[keep]
    result = deconvolve(CURVES, arterial(TIMES), TIMES, method="csvd", extend_tail=False, **RAW)
    lags = np.rint(result["residue_times_s"] / 2.0).astype(int)
    np.testing.assert_allclose(result["residue"], expected[:, lags % 40], atol=2e-5 * np.abs(expected).max())


def test_ssvd_equals_the_explicit_svd_of_the_causal_matrix() -> None:
    expected = CURVES @ causal_inverse(arterial(TIMES), 2.0, 0.2).T
    result = deconvolve(CURVES, arterial(TIMES), TIMES, method="ssvd", **RAW)
    lags = np.rint(result["residue_times_s"] / 2.0).astype(int)
    np.testing.assert_allclose(result["residue"], expected[:, lags], atol=1e-5 * np.abs(expected).max())


def test_an_untruncated_causal_inverse_inverts_the_convolution() -> None:
    aif = np.exp(-TIMES / 4.0)
    np.testing.assert_allclose(causal_inverse(aif, 2.0, 1e-12) @ causal_matrix(aif, 2.0), np.eye(20), atol=1e-9)


def test_osvd_keeps_the_weakest_truncation_that_does_not_oscillate() -> None:
    limit = 0.12
    u, s, vt = np.linalg.svd(circulant_matrix())
    padded = np.pad(CURVES, ((0, 0), (0, 20)))
    result = deconvolve(CURVES, arterial(TIMES), TIMES, method="osvd", oi_max=limit, extend_tail=False, **RAW)
    lags = np.rint(result["residue_times_s"] / 2.0).astype(int)
    for curve, found in zip(padded, result["residue"], strict=True):
        for level in np.append(np.unique(np.round(s[s >= 0.01 * s[0]] / s[0], 9)) - 1e-8, 0.95):
            keep = s >= level * s[0]
            k = (curve @ u[:, keep]) / s[keep] @ vt[keep]
            if k.max() > 0 and np.abs(np.diff(k, 2)).sum() / k.max() / 40 <= limit:
                break
        np.testing.assert_allclose(found, k[lags % 40], atol=1e-4 * np.abs(k).max())


@pytest.mark.parametrize("rule", ["lcurve", "gcv"])
def test_tikhonov_equals_the_normal_equations_at_the_strength_of_the_rule(rule: str) -> None:
    a = causal_matrix(arterial(TIMES), 2.0)
    top = np.linalg.svd(a, compute_uv=False)[0]
    strengths = np.geomspace(1e-4, 1.0, 60) * top
    result = deconvolve(CURVES, arterial(TIMES), TIMES, method="tikhonov", rule=rule, strength_min=0.0, **RAW)
    lags = np.rint(result["residue_times_s"] / 2.0).astype(int)
    for curve, found in zip(CURVES, result["residue"], strict=True):
        candidates = [np.linalg.solve(a.T @ a + q**2 * np.eye(20), a.T @ curve)[lags] for q in strengths]
        distance = [np.abs(k - found).max() / np.abs(k).max() for k in candidates]
        assert min(distance) < 1e-2


def test_a_fixed_tikhonov_strength_is_the_normal_equations() -> None:
    a = causal_matrix(arterial(TIMES), 2.0)
    top = np.linalg.svd(a, compute_uv=False)[0]
    expected = np.linalg.solve(a.T @ a + (0.1 * top) ** 2 * np.eye(20), a.T @ CURVES.T).T
    result = deconvolve(CURVES, arterial(TIMES), TIMES, method="tikhonov", rule="fixed", strength=0.1, **RAW)
    lags = np.rint(result["residue_times_s"] / 2.0).astype(int)
    np.testing.assert_allclose(result["residue"], expected[:, lags], atol=1e-5 * np.abs(expected).max())


class TestPeaks:
    def test_a_parabola_is_found_between_samples(self) -> None:
        rows = np.arange(12.0)
        k = np.stack([5.0 - (rows - top) ** 2 for top in (4.0, 6.3, 7.8)], axis=1).astype(np.float32)
        np.testing.assert_allclose(find_peaks(k).position, [4.0, 6.3, 7.8], atol=1e-5)

    def test_half_rise_is_interpolated_before_the_maximum(self) -> None:
        k = np.array([[0, 0, 2, 4, 4, 0, 3]], np.float32).T
        assert find_peaks(k).half_rise[0] == pytest.approx(2.0)
        k = np.array([[0, 1, 4, 0, 0]], np.float32).T
        assert find_peaks(k).half_rise[0] == pytest.approx(1.0 + 1.0 / 3.0)

    def test_a_maximum_in_the_first_or_last_row_stays_there(self) -> None:
        k = np.array([[3, 2, 1], [1, 2, 3]], np.float32).T
        np.testing.assert_array_equal(find_peaks(k).position, [0, 2])

    def test_the_first_of_equal_maxima_counts(self) -> None:
        k = np.array([[0, 5, 0, 5, 0]], np.float32).T
        assert find_peaks(k).position[0] == 1.0

    def test_more_than_255_lags_work(self) -> None:
        k = np.zeros((700, 2), np.float32)
        k[610, 0], k[3, 1] = 1.0, 1.0
        np.testing.assert_array_equal(find_peaks(k).position, [610, 3])


class TestTimeGrid:
    def test_small_jitter_is_uniform_and_a_missing_frame_is_not(self) -> None:
        assert is_uniform(TIMES + 0.01 * np.sin(np.arange(20)))
        assert not is_uniform(np.delete(TIMES, 9))

    def test_a_parabola_is_resampled_exactly(self) -> None:
        times = np.concatenate([np.linspace(0, 10, 11), np.linspace(13, 40, 10)])
        grid = make_grid(times)
        assert grid.interval_s <= 1.0
        inner = (grid.times_s > 1.0) & (grid.times_s < 37.0)
        np.testing.assert_allclose(
            ((0.3 * times**2 - times) @ grid.resampling)[inner], (0.3 * grid.times_s**2 - grid.times_s)[inner]
        )

    def test_the_spline_of_the_aif_is_not_widened(self) -> None:
        fine = np.linspace(0, 38, 3801)
        spread = np.abs(spline_on_grid(TIMES, arterial(TIMES), fine) - arterial(fine)).max()
        assert spread < 0.5 * np.abs(np.interp(fine, TIMES, arterial(TIMES)) - arterial(fine)).max()

    def test_the_aif_is_zero_before_the_scan_and_decays_after_it(self) -> None:
        curve = spline_on_grid(TIMES, np.full(20, 2.0), np.array([-1.0, 10.0, 53.0]))
        np.testing.assert_allclose(curve, [0.0, 2.0, 2.0 / np.e])

    def test_weights_of_uneven_times_integrate_a_line(self) -> None:
        times = np.array([0.0, 1.0, 3.0, 7.0])
        assert (2.0 * times + 1.0) @ trapezoid_weights(times) == pytest.approx(56.0)


def test_a_tail_is_continued_only_when_asked() -> None:
    curve = np.linspace(1, 3, 6)
    assert (curve @ padding_matrix(6, 1.0, False))[6:].max() == 0.0
    tail = (curve @ padding_matrix(6, 1.0, True))[6:]
    np.testing.assert_allclose(tail, 2.6 * np.exp(-np.arange(1, 7) / 15.0))


class TestNoiseRule:
    def test_noise_is_measured_in_spite_of_a_bolus(self) -> None:
        times = np.linspace(0, 66, 45)
        noise = np.random.default_rng(1).normal(0, 2.0, (3000, 45))
        assert noise_sd(10 * arterial(times) / 100 + noise) == pytest.approx(2.0, rel=0.05)

    def test_more_noise_means_more_truncation(self) -> None:
        clean = np.tile(0.005 * np.cumsum(arterial(TIMES)) * np.exp(-TIMES / 30), (400, 1))
        noise = np.random.default_rng(2).normal(0, 1.0, clean.shape)
        levels = []
        for sd in (0.02, 0.2, 1.0):
            problem = make_problem(clean + sd * noise, arterial(TIMES), TIMES)
            levels.append(truncation_level("auto", problem, lambda p: causal_inverse(arterial(TIMES), 2.0, p).T))
        assert levels == sorted(levels)
        assert levels[0] < levels[2]

    @pytest.mark.parametrize("method", ["ssvd", "csvd", "ssvd-delay"])
    def test_the_truncation_of_the_rule_is_one_that_can_be_given(self, method: str) -> None:
        curves = 0.005 * np.cumsum(arterial(TIMES)) + np.random.default_rng(2).normal(0, 0.5, (50, 20))
        automatic = deconvolve(curves, arterial(TIMES), TIMES, method=method, truncation="auto")["cbf"]
        given = [deconvolve(curves, arterial(TIMES), TIMES, method=method, truncation=p)["cbf"] for p in AUTO_LEVELS]
        assert any(np.array_equal(automatic, flow, equal_nan=True) for flow in given)

    def test_a_scan_without_voxels_that_are_finite_is_survived(self) -> None:
        result = deconvolve(np.full((3, 20), np.nan), arterial(TIMES), TIMES, method="csvd", truncation="auto")
        assert np.isnan(result["cbf"]).all()
