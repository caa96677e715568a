# SPDX-License-Identifier: Apache-2.0
"""The voxel box fit: known boxes, standard errors, bounds, bad input."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from PerfusionSuiteLib.core.errors import InvalidInputError, TimingError
from PerfusionSuiteLib.deconvolution import QualityCode
from PerfusionSuiteLib.deconvolution.box import shifted_inputs
from PerfusionSuiteLib.fitting import METHODS
from PerfusionSuiteLib.fitting import fit as fit_by

fit = partial(fit_by, method="nlr")

TIMES = np.linspace(0.0, 66.0, 45)
FINE = np.linspace(-40.0, 110.0, 15001)
KEYS = ("cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd", "mtt_sd", "delay_sd", "fit_error")


def arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 12.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


WHOLE = np.cumsum(arterial(FINE)) * 0.01


def box(flow: float, mtt: float, delay: float, times_s: np.ndarray = TIMES) -> np.ndarray:
    upper = np.interp(times_s - delay, FINE, WHOLE)
    return flow / 6000.0 * (upper - np.interp(times_s - delay - mtt, FINE, WHOLE))


def slow_arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 10.0, 0.0) / 6.0
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def drawn_boxes(count: int, interval_s: float) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return times, exact curves below an input that frames 2 s apart still resolve, and the truth."""
    rng = np.random.default_rng(12)
    flow, mtt, delay = rng.uniform(8, 70, count), rng.uniform(2, 15, count), rng.uniform(0, 6, count)
    times = np.linspace(0.0, 60.0, round(60.0 / interval_s) + 1)
    input_now = slow_arterial(FINE)
    whole = (np.cumsum(input_now) - 0.5 * input_now) * 0.01
    start = times - delay[:, None]
    curves = flow[:, None] / 6000.0 * (np.interp(start, FINE, whole) - np.interp(start - mtt[:, None], FINE, whole))
    return times, curves, {"cbf": flow, "mtt": mtt, "delay": delay, "tmax": delay + mtt / 2}


def run(curves: np.ndarray, times_s: np.ndarray = TIMES, **options: Any) -> dict[str, np.ndarray]:
    maps, field = fit(curves, arterial(times_s), times_s, method="nlr", density=1.0, hematocrit_factor=1.0, **options)
    assert field is None
    return maps


class TestKnownBoxes:
    @pytest.mark.parametrize(
        "truth", [(50.0, 4.0, 0.0), (20.0, 12.0, 3.3), (8.0, 18.0, 6.0), (60.0, 3.0, -2.0), (30.0, 8.0, 12.0)]
    )
    def test_are_recovered(self, truth: tuple[float, float, float]) -> None:
        flow, mtt, delay = truth
        maps = run(box(*truth))
        # Flow of short boxes hangs on the curvature of the input, which 1.5 s frames give to 3 %: exact least squares ends there.
        assert maps["cbf"] == pytest.approx(flow, rel=0.005 if mtt > 4 else 0.03)
        assert maps["mtt"] == pytest.approx(mtt, abs=0.1)
        assert maps["delay"] == pytest.approx(delay, abs=0.1)
        assert maps["tmax"] == pytest.approx(maps["delay"] + maps["mtt"] / 2, abs=1e-4)
        assert maps["cbv"] == pytest.approx(flow * mtt / 60, rel=0.01)
        assert maps["quality"] == QualityCode.OK

    @pytest.mark.parametrize("truth", [(50.0, 4.0, 0.0), (60.0, 3.0, -2.0), (45.0, 2.2, 1.4)])
    def test_that_are_short_are_recovered_from_frames_1_s_apart(self, truth: tuple[float, float, float]) -> None:
        times = np.linspace(0.0, 66.0, 67)
        maps = run(box(*truth, times), times)
        assert [float(maps[key]) for key in ("cbf", "mtt", "delay")] == pytest.approx(truth, rel=0.02, abs=0.01)

    def test_are_recovered_from_uneven_frames(self) -> None:
        uneven = np.concatenate([np.linspace(0, 34, 24), np.linspace(37, 66, 10)])
        maps = run(box(35.0, 7.0, 2.0, uneven), uneven)
        assert [float(maps[key]) for key in ("cbf", "mtt", "delay")] == pytest.approx([35.0, 7.0, 2.0], rel=0.03)


class TestFloor:
    @pytest.mark.parametrize(("interval_s", "percent"), [(1.0, 0.5), (1.5, 1.5), (2.0, 5.0)])
    def test_exact_boxes_leave_only_the_error_of_the_sampled_input(self, interval_s: float, percent: float) -> None:
        times, curves, truth = drawn_boxes(2000, interval_s)
        for spread in (None, 0.5):
            settings = {"mtt_spread": spread}
            maps, _ = fit(curves, slow_arterial(times), times, density=1.0, hematocrit_factor=1.0, settings=settings)
            assert (maps["quality"] == QualityCode.OK).all()
            assert np.sqrt(np.mean((maps["cbf"] / truth["cbf"] - 1.0) ** 2)) <= percent / 100.0
            assert np.sqrt(np.mean((maps["tmax"] - truth["tmax"]) ** 2)) <= 0.02

    @pytest.mark.parametrize("interval_s", [1.0, 1.5, 2.0])
    def test_is_that_of_exact_least_squares_with_the_same_input(self, interval_s: float) -> None:
        times, curves, truth = drawn_boxes(40, interval_s)
        input_now = slow_arterial(times)
        maps, _ = fit(curves, input_now, times, density=1.0, hematocrit_factor=1.0, settings={"mtt_spread": None})
        for number, curve in enumerate(curves):

            def residual(p: np.ndarray, curve: np.ndarray = curve) -> np.ndarray:
                integral, _ = shifted_inputs(times, input_now, np.array([p[1], p[1] + p[2]]))
                return p[0] / 6000.0 * (integral[:, 0] - integral[:, 1]) - curve

            start = [truth[key][number] for key in ("cbf", "delay", "mtt")]
            best = least_squares(residual, start, xtol=1e-12, ftol=1e-12, gtol=1e-12, x_scale=(30.0, 1.0, 1.0)).x
            assert maps["cbf"][number] == pytest.approx(best[0], rel=2e-3)
            assert [maps["delay"][number], maps["mtt"][number]] == pytest.approx(best[1:], abs=5e-3)


class TestStatistics:
    def test_standard_errors_are_the_spread_of_repeated_fits(self) -> None:
        noise = np.random.default_rng(5).normal(0, 0.8, (4000, TIMES.size))
        maps = run(box(40.0, 8.0, 2.0) + noise, settings={"mtt_spread": None})
        for key in ("cbf", "mtt", "delay"):
            assert np.median(maps[f"{key}_sd"]) == pytest.approx(np.std(maps[key]), rel=0.12), key
        assert np.mean(maps["mtt"]) == pytest.approx(8.0, abs=0.1)

    def test_the_fit_error_is_one_when_the_model_is_true(self) -> None:
        curves = box(40.0, 8.0, 2.0) + np.random.default_rng(6).normal(0, 0.8, (2000, TIMES.size))
        assert np.median(run(curves)["fit_error"]) == pytest.approx(1.0, abs=0.1)
        assert np.median(run(curves, settings={"noise_sd": 0.4})["fit_error"]) == pytest.approx(2.0, abs=0.1)

    def test_the_prior_costs_less_than_half_a_standard_error_of_bias(self) -> None:
        noise = np.random.default_rng(5).normal(0, 0.8, (4000, TIMES.size))
        maps = run(box(40.0, 8.0, 2.0) + noise)
        assert abs(np.mean(maps["mtt"]) - 8.0) < 0.5 * np.median(maps["mtt_sd"])

    def test_the_prior_keeps_flow_from_running_away_in_noise(self) -> None:
        curves = box(40.0, 5.0, 2.0) + np.random.default_rng(11).normal(0, 4.0, (2000, TIMES.size))
        plain, pulled = (run(curves, settings={"mtt_spread": spread})["cbf"] for spread in (None, 0.5))
        assert np.nanstd(pulled) < 0.7 * np.nanstd(plain)
        assert np.nanmedian(pulled) == pytest.approx(40.0, rel=0.1)

    def test_no_general_optimizer_finds_a_better_fit(self) -> None:
        rng = np.random.default_rng(7)
        drawn = [
            (f, m, d) for f, m, d in zip(rng.uniform(15, 50, 12), rng.uniform(4, 12, 12), rng.uniform(0, 6, 12), strict=True)
        ]
        curves = np.array([box(*values) for values in drawn]) + rng.normal(0, 0.6, (12, TIMES.size))
        maps = run(curves, settings={"mtt_spread": None})
        for number, truth in enumerate(drawn):
            found = np.array([maps[key][number] for key in ("cbf", "mtt", "delay")], float)
            best = least_squares(lambda p, c=curves[number]: box(*p) - c, truth)
            assert ((box(*found) - curves[number]) ** 2).sum() <= 1.01 * 2 * best.cost


class TestInvariance:
    def test_a_block_equals_single_voxels(self) -> None:
        curves = np.array([box(30, 6, 1), box(12, 14, 5), box(45, 4, 0)]) + np.random.default_rng(8).normal(0, 0.3, (3, 45))
        together = run(curves, settings={"noise_sd": 0.3})
        for number, curve in enumerate(curves):
            alone = run(curve, settings={"noise_sd": 0.3})
            for key in KEYS:
                assert alone[key] == pytest.approx(together[key][number], rel=2e-3, abs=2e-3), key

    def test_units_cancel(self) -> None:
        curves = np.array([box(30, 6, 1), box(12, 14, 5)]) + np.random.default_rng(9).normal(0, 0.3, (2, 45))
        first, _ = fit(curves, arterial(TIMES), TIMES)
        second, _ = fit(curves * 1e-4, arterial(TIMES) * 1e-4, TIMES)
        for key in KEYS:
            np.testing.assert_allclose(second[key], first[key], rtol=5e-3, atol=2e-3)

    def test_density_and_hematocrit_scale_flow_only(self) -> None:
        plain, clinical = run(box(30, 6, 1)), fit(box(30, 6, 1), arterial(TIMES), TIMES)[0]
        assert clinical["cbf"] == pytest.approx(plain["cbf"] * (0.55 / 0.75) / 1.05, rel=1e-5)
        assert clinical["mtt"] == pytest.approx(plain["mtt"], rel=1e-6)

    def test_a_mask_leaves_the_rest_missing(self) -> None:
        curves = np.tile(box(30, 6, 1), (2, 2, 2, 1))
        mask = np.zeros((2, 2, 2), bool)
        mask[0, 1, 1] = True
        maps = run(curves, mask=mask)
        assert np.isfinite(maps["cbf"]).sum() == 1
        assert (maps["quality"] == np.where(mask, QualityCode.OK, QualityCode.OUTSIDE_MASK)).all()


class TestReasons:
    def test_missing_samples_zeros_noise_and_bounds_have_codes(self) -> None:
        noise = np.random.default_rng(10).normal(0, 5.0, TIMES.size)
        broken = box(30, 6, 1)
        broken[3] = np.nan
        late = box(30, 6, 26.0)
        maps = run(np.array([broken, np.zeros(45), noise, late, -box(30, 6, 1)]))
        expected = [QualityCode.NOT_FINITE, QualityCode.NO_ENHANCEMENT, QualityCode.POOR_FIT, QualityCode.AT_BOUND]
        assert list(maps["quality"][:4]) == expected
        assert maps["quality"][4] in (QualityCode.NO_ENHANCEMENT, QualityCode.POOR_FIT)
        assert all(np.isnan(maps[key]).all() for key in KEYS)


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"method": "magic"}, "no fitting method 'magic'"),
            ({"device": "tpu"}, "no device 'tpu'"),
            ({"settings": {"speed": 1}}, "no setting 'speed'"),
            ({"settings": {"mtt_range_s": (5, 2)}}, "mtt_range_s must be two increasing times"),
            ({"settings": {"delay_range_s": 3}}, "delay_range_s must be two increasing times"),
            ({"settings": {"noise_sd": -1}}, "noise_sd must be a positive number"),
            ({"settings": {"mtt_spread": "wide"}}, "mtt_spread must be a positive number"),
            ({"mask": np.zeros(2, bool)}, "mask is empty"),
        ],
    )
    def test_is_refused_with_a_sentence(self, change: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            fit(np.ones((2, 45)), arterial(TIMES), TIMES, **change)

    def test_wrong_times_are_refused(self) -> None:
        with pytest.raises(TimingError, match="45 frames but 44"):
            fit(np.ones((2, 45)), arterial(TIMES), TIMES[:-1])


def test_the_registry_describes_the_method() -> None:
    assert METHODS["nlr"].description.endswith(".")
    assert METHODS["nlr"].tmax_note
