# SPDX-License-Identifier: Apache-2.0
"""The spatial fit against known truth, its invariances, its choices and what it refuses."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core.constants import flow_factor
from PerfusionSuiteLib.core.errors import CancelledError, InvalidInputError
from PerfusionSuiteLib.deconvolution import QualityCode
from PerfusionSuiteLib.fitting import fit
from PerfusionSuiteLib.fitting.response_table import ResponseTable, centre_share, shape_of

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

PEAK, AT, WIDTH = 300.0, 14.0, 3.0
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])


def artery(times_s: np.ndarray) -> np.ndarray:
    return PEAK * np.exp(-0.5 * ((times_s - AT) / WIDTH) ** 2)


def running(times_s: np.ndarray) -> np.ndarray:
    """Its integral in closed form."""
    return PEAK * WIDTH * np.sqrt(np.pi / 2) * (1.0 + erf((times_s - AT) / WIDTH / np.sqrt(2)))


def boxes(times_s: np.ndarray, cbf: np.ndarray, mtt: np.ndarray, delay: np.ndarray) -> np.ndarray:
    since = times_s - delay[..., None]
    return (cbf / flow_factor())[..., None] * (running(since) - running(since - mtt[..., None]))


@cache
def patchwork() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CBF, MTT and delay of voxels that share nothing with their neighbors."""
    rng = np.random.default_rng(0)
    return rng.uniform(10, 70, (10, 10, 3)), rng.uniform(3.5, 12, (10, 10, 3)), rng.uniform(0, 5, (10, 10, 3))


def run(curves: np.ndarray, times_s: np.ndarray, aif: np.ndarray | None = None, **settings: Any) -> dict[str, np.ndarray]:
    aif = artery(times_s) if aif is None else aif
    settings = {"family": "box", **settings}
    return fit(curves, aif, times_s, method="spatial", affine=AFFINE, device="cpu", settings=settings)[0]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@cache
def stroke(residue: str, noise_hu: float, seed: int = 21) -> tuple[Any, Any, np.ndarray, np.ndarray, np.ndarray]:
    """Maps, field, truth and mask of a small piece of the analytic brain with its lesion."""
    series, truth = phantom.brain(seed=seed, noise_hu=noise_hu, residue=residue, crop=True, shape=(48, 48, 4))
    mask = truth.masks["brain"] & ~truth.masks["csf"]
    before = series.data[..., :4].mean(axis=3, keepdims=True)
    guide = series.data.mean(axis=3)
    maps, field = fit(
        series.data - before, truth.aif, series.times_s, method="spatial", affine=series.affine, mask=mask, guide=guide,
        device="cpu",
    )  # fmt: skip
    return maps, field, truth, mask & truth.masks["scored"], guide


class TestResponses:
    def test_integral_of_a_gaussian_is_the_error_function(self) -> None:
        times = np.arange(0.0, 40.0, 0.01)
        table = ResponseTable(times, artery(times))
        np.testing.assert_allclose(table.integral(times), running(times) - running(np.zeros(1)), atol=1e-6 * running(times).max())

    def test_solve_the_differential_equation(self) -> None:
        times = np.arange(0.0, 40.0, 0.01)
        table = ResponseTable(times, artery(times))
        curve = 6.0 * table.curves(np.array([2.0]), 6.0)[0]
        slope = np.gradient(curve, times, edge_order=2)
        expected = table.artery(times - 2.0) - table.artery(times - 8.0)
        assert np.abs(slope - expected)[2:-2].max() < 2e-5 * PEAK

    @pytest.mark.parametrize("family", ["gamma:1", "gamma:2", "gamma:6"])
    def test_of_gamma_families_keep_volume_and_centre(self, family: str) -> None:
        times = np.arange(0.0, 200.0, 0.5)
        table = ResponseTable(times, artery(times), family)
        curve = table.curves(np.array([3.0]), 6.0)[0]
        assert np.trapezoid(curve, times) == pytest.approx(running(np.array([1e3]))[0], rel=1e-3)
        centre = np.trapezoid(curve * times, times) / np.trapezoid(curve, times) - AT
        assert centre == pytest.approx(3.0 + 6.0 * centre_share(shape_of(family)), abs=0.02)

    def test_behind_vessels_that_spread_keep_their_mean_arrival(self) -> None:
        times = np.arange(0.0, 200.0, 0.5)
        plain = ResponseTable(times, artery(times)).curves(np.array([4.0]), 6.0)[0]
        spread = ResponseTable(times, artery(times), dispersion=0.5).curves(np.array([0.0, 4.0, 8.0]), 6.0)[1]
        moment = [np.trapezoid(c * times, times) / np.trapezoid(c, times) for c in (plain, spread)]
        assert moment[1] == pytest.approx(moment[0], abs=0.05)
        assert spread.max() < 0.99 * plain.max()

    @pytest.mark.parametrize("family", ["triangle", "gamma:0.5", "gamma:x", ""])
    def test_of_unknown_families_are_refused(self, family: str) -> None:
        with pytest.raises(InvalidInputError, match="residue family"):
            shape_of(family)


class TestWithoutNoise:
    @pytest.mark.parametrize(("interval", "percent"), [(1.0, 0.5), (1.5, 1.5), (2.0, 5.0)])
    def test_boxes_are_recovered(self, interval: float, percent: float) -> None:
        cbf, mtt, delay = patchwork()
        times = np.arange(0.0, 60.1, interval)
        maps = run(boxes(times, cbf, mtt, delay) + 5.0, times, rank=12, outer=10)
        assert 100 * rms(maps["cbf"] / cbf - 1) < percent
        assert rms(maps["tmax"] - delay - mtt / 2) < 0.02

    def test_few_directions_say_the_same_as_all(self) -> None:
        cbf, mtt, delay = patchwork()
        times = np.arange(0.0, 60.1, 1.5)
        curves = boxes(times, cbf, mtt, delay)
        few, all_of_them = run(curves, times), run(curves, times, rank=30)
        assert rms(few["cbf"] / all_of_them["cbf"] - 1) < 0.01

    def test_unequal_intervals_are_accepted(self) -> None:
        cbf, mtt, delay = patchwork()
        times = np.concatenate([np.arange(0.0, 30.0, 1.0), np.arange(30.0, 64.0, 2.5)])
        maps = run(boxes(times, cbf, mtt, delay), times, rank=12)
        assert np.median(np.abs(maps["cbf"] / cbf - 1)) < 0.01

    def test_a_frame_without_weight_says_nothing(self) -> None:
        cbf, mtt, delay = patchwork()
        times = np.arange(0.0, 60.1, 1.0)
        curves, weights = boxes(times, cbf, mtt, delay), np.ones(times.size)
        weights[[20, 33]] = 0
        spoilt = curves.copy()
        spoilt[..., [20, 33]] += 500.0
        clean, dirty = run(curves, times, frame_weights=weights), run(spoilt, times, frame_weights=weights)
        np.testing.assert_allclose(dirty["cbf"], clean["cbf"], rtol=1e-3)
        assert rms(dirty["cbf"] / cbf - 1) < 0.02


@cache
def scene() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Times, curves and maps that the invariances refer to."""
    times = np.arange(0.0, 60.1, 1.0)
    curves = boxes(times, *patchwork())
    return times, curves, run(curves, times)


class TestInvariance:
    def test_later_tissue_is_later_and_nothing_else(self) -> None:
        times, _, maps = scene()
        cbf, mtt, delay = patchwork()
        later = run(boxes(times, cbf, mtt, delay + 1.3), times)
        for name, shift in (("delay", 1.3), ("tmax", 1.3), ("mtt", 0.0)):
            assert rms(later[name] - maps[name] - shift) < 0.03
        assert rms(later["cbf"] / maps["cbf"] - 1) < 0.01

    def test_twice_the_tissue_is_twice_the_flow_and_volume(self) -> None:
        times, curves, maps = scene()
        double = run(2.0 * curves, times)
        for name, factor in (("cbf", 2.0), ("cbv", 2.0), ("mtt", 1.0), ("tmax", 1.0)):
            np.testing.assert_allclose(double[name], factor * maps[name], rtol=5e-3, atol=0.02)

    def test_twice_the_artery_is_half_the_flow_and_volume(self) -> None:
        times, curves, maps = scene()
        half = run(curves, times, 2.0 * artery(times))
        for name, factor in (("cbf", 0.5), ("cbv", 0.5), ("mtt", 1.0), ("tmax", 1.0)):
            np.testing.assert_allclose(half[name], factor * maps[name], rtol=5e-3, atol=0.02)

    def test_an_added_constant_changes_nothing(self) -> None:
        times, curves, maps = scene()
        found = run(curves + np.linspace(-20, 20, 10)[:, None, None, None], times)
        for name in ("cbf", "cbv", "mtt", "delay", "tmax"):
            np.testing.assert_allclose(found[name], maps[name], rtol=5e-3, atol=0.02)

    def test_a_later_scan_changes_nothing(self) -> None:
        times, curves, maps = scene()
        found = run(curves, times + 7.0, artery(times))
        np.testing.assert_allclose(found["cbf"], maps["cbf"], rtol=2e-3)


class TestStroke:
    @pytest.mark.parametrize(("noise", "cbf", "tmax"), [(2.0, 3.9, 0.42), (4.0, 5.5, 0.70)])
    def test_errors_stay_below_the_bars(self, noise: float, cbf: float, tmax: float) -> None:
        maps, _, truth, scored, _ = stroke("box", noise)
        assert rms((maps["cbf"] - truth.maps["cbf"])[scored]) < cbf
        assert rms((maps["tmax"] - truth.maps["tmax"])[scored]) < tmax

    @pytest.mark.parametrize(("residue", "chosen"), [("box", "box"), ("gamma:2", "gamma:2"), ("exponential", "exponential")])
    def test_the_residue_is_found(self, residue: str, chosen: str) -> None:
        _, field, _, _, _ = stroke(residue, 2.0)
        left = field.settings["evidence_against"]
        assert 1.0 / shape_of(field.settings["family"]) == pytest.approx(1.0 / shape_of(residue), abs=0.1)
        assert left[chosen] == min(left.values()) >= 0.0
        assert min(value for name, value in left.items() if (name == "box") != (chosen == "box")) > left[chosen] + 0.02

    def test_flow_of_an_exponential_residue_is_not_biased(self) -> None:
        maps, _, truth, scored, _ = stroke("exponential", 2.0)
        assert np.mean(maps["cbf"][scored]) == pytest.approx(np.mean(truth.maps["cbf"][scored]), rel=0.15)

    @pytest.mark.parametrize("name", ["cbf", "tmax"])
    def test_intervals_cover_as_often_as_they_say(self, name: str) -> None:
        shares = []
        # Brains that no factor was read off.
        for residue, noise, seed in (("box", 2.0, 31), ("box", 4.0, 32), ("gamma:2", 2.0, 31), ("exponential", 2.0, 32)):
            maps, _, truth, scored, _ = stroke(residue, noise, seed)
            shares.append(np.mean((np.abs(maps[name] - truth.maps[name]) < maps[f"{name}_sd"])[scored]))
        assert 0.60 < np.mean(shares) < 0.76

    def test_the_loss_falls_and_the_field_holds_the_maps(self) -> None:
        maps, field, _, scored, _ = stroke("box", 2.0)
        assert field.kind == "raster"
        assert (np.diff(field.history["loss"]) <= 1e-3 * field.history["loss"][0]).all()
        volume = np.exp(field.weights["log_volume"][scored]) * flow_factor() / 60
        np.testing.assert_allclose(volume, maps["cbv"][scored], rtol=1e-4)


class TestRequests:
    times = np.arange(0.0, 50.1, 1.0)

    def curves(self) -> np.ndarray:
        return boxes(self.times, *patchwork())

    def test_missing_curves_get_a_code_and_spoil_no_neighbor(self) -> None:
        curves = self.curves()
        curves[4, 4, 1, 7] = np.nan
        maps = run(curves, self.times)
        assert maps["quality"][4, 4, 1] == QualityCode.NOT_FINITE
        assert np.isnan(maps["cbf"][4, 4, 1])
        assert np.isfinite(maps["cbf"]).sum() == maps["cbf"].size - 1

    def test_a_scan_without_a_complete_curve_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="None of the curves"):
            run(np.full((4, 4, 2, self.times.size), np.nan), self.times)

    @pytest.mark.parametrize("shape", [(1, 1, 1), (6, 1, 1), (1, 5, 4)])
    def test_small_and_flat_volumes_are_accepted(self, shape: tuple[int, int, int]) -> None:
        cbf, mtt, delay = (values[: shape[0], : shape[1], :1].repeat(shape[2], axis=2) for values in patchwork())
        maps = run(boxes(self.times, cbf, mtt, delay), self.times, family="auto")
        np.testing.assert_allclose(maps["cbf"], cbf, rtol=0.05)

    def test_where_nothing_enhances_there_are_no_times(self) -> None:
        curves = self.curves()
        curves[:5] = 4.0
        maps = run(curves, self.times)
        assert (maps["quality"][:4] == QualityCode.NO_ENHANCEMENT).all()
        assert np.isnan(maps["tmax"][:4]).all()
        assert (maps["quality"][5:] == QualityCode.OK).all()

    def test_outside_of_the_mask_there_is_nothing(self) -> None:
        mask = np.zeros((10, 10, 3), bool)
        mask[2:7, 3:8, 1] = True
        maps, field = fit(self.curves(), artery(self.times), self.times, method="spatial", affine=AFFINE, mask=mask)
        assert (np.isfinite(maps["cbf"]) == mask).all()
        assert (maps["quality"][~mask] == QualityCode.OUTSIDE_MASK).all()
        assert field is not None
        assert (field.mask == mask).all()

    def test_a_run_can_be_repeated_bit_by_bit(self) -> None:
        first, second = run(self.curves(), self.times), run(self.curves(), self.times)
        np.testing.assert_array_equal(first["cbf"], second["cbf"])

    def test_cancelling_stops(self) -> None:
        def stop(fraction: float, stage: str) -> None:
            if fraction > 0.6:
                raise CancelledError("Cancelled.")

        with pytest.raises(CancelledError):
            fit(self.curves(), artery(self.times), self.times, method="spatial", affine=AFFINE, progress=stop)

    def test_a_noisy_guide_is_not_trusted_and_said(self) -> None:
        class Notes:
            checkpoint = None

            def __init__(self) -> None:
                self.codes: list[str] = []
                self.previews: list[Any] = []

            def loss(self, *args: Any) -> None: ...

            def preview(self, make: Any) -> None:
                self.previews.append(make())

            def note(self, code: str, *args: Any, **facts: Any) -> None:
                self.codes.append(code)

        watch = Notes()
        curves = self.curves() + np.random.default_rng(1).normal(0, 12, (10, 10, 3, self.times.size))
        fit(curves, artery(self.times), self.times, method="spatial", affine=AFFINE, guide=np.zeros((10, 10, 3)), watch=watch)
        assert "guide_noisy" in watch.codes
        assert "residue_chosen" in watch.codes
        assert {"cbf", "tmax"} <= set(watch.previews[-1])

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"family": "round"}, "residue family"), ({"rank": 8.5}, "rank must be a whole number"),
            ({"smoothness": (1, 2)}, "smoothness must be three"), ({"guide": "maybe"}, "guide must be"),
            ({"frame_weights": [1, 1]}, "frame_weights must be"), ({"mtt_spread": "wide"}, "mtt_spread must be a number"),
            ({"nonsense": 1}, "no setting"),
            ({"average": "no"}, "average must be true or false"),
        ],
    )  # fmt: skip
    def test_unusable_settings_are_refused(self, settings: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            run(self.curves(), self.times, **settings)

    def test_curves_without_a_grid_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="looks at neighbors"):
            fit(self.curves().reshape(-1, self.times.size), artery(self.times), self.times, method="spatial")
