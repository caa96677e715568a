# SPDX-License-Identifier: Apache-2.0
"""What deconvolution must do whatever the method: units, delay, scale, masks, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core.errors import CancelledError, GridMismatchError, InvalidInputError, TimingError
from PerfusionSuiteLib.deconvolution import METHODS, QualityCode, deconvolve

TIMES = np.linspace(0.0, 66.0, 45)
STEP = 0.01
FINE = np.linspace(-20.0, 90.0, 11001)


def arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 12.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def box_tissue(flow: float, mtt: float, delay: float, times_s: np.ndarray = TIMES) -> np.ndarray:
    """The tissue curve of a box residue; flow in mL/100 mL/min, made in continuous time."""
    whole = np.cumsum(arterial(FINE)) * STEP
    upper = np.interp(times_s - delay, FINE, whole)
    return flow / 6000.0 * (upper - np.interp(times_s - delay - mtt, FINE, whole))


def some_curves(count: int, noise: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(4)
    drawn = zip(rng.uniform(10, 60, count), rng.uniform(3, 12, count), rng.uniform(0, 6, count), strict=True)
    return np.array([box_tissue(*values) for values in drawn]) + rng.normal(0, noise, (count, TIMES.size))


def maps(curves: np.ndarray, method: str = "csvd", **options: Any) -> dict[str, np.ndarray]:
    return deconvolve(curves, arterial(TIMES), TIMES, method=method, density=1.0, hematocrit_factor=1.0, **options)


class TestKnownAnswers:
    @pytest.mark.parametrize("method", METHODS)
    def test_flow_volume_and_transit_time_of_slow_tissue_are_right(self, method: str) -> None:
        result = maps(box_tissue(30.0, 8.0, 1.0), method)
        assert result["cbv"] == pytest.approx(4.0, rel=0.01)  # 30 * 8 / 60
        assert result["cbf"] == pytest.approx(30.0, rel=0.3)  # regularization over- and undershoots an edge
        assert result["mtt"] == pytest.approx(60 * result["cbv"] / result["cbf"], rel=1e-5)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_delay_is_found_within_a_second(self, method: str) -> None:
        found = [float(maps(box_tissue(30.0, 6.0, delay), method)["delay"]) for delay in (1.0, 3.0, 5.0)]
        assert found == pytest.approx([1.0, 3.0, 5.0], abs=1.0)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_maximum_of_the_residue_lies_within_the_box(self, method: str) -> None:
        peak = float(maps(box_tissue(30.0, 6.0, 3.0), method)["tmax"])
        assert 2.5 <= peak <= 9.5

    def test_values_per_mass_and_blood_follow_from_the_constants(self) -> None:
        curve, aif = box_tissue(30.0, 8.0, 1.0), arterial(TIMES)
        plain, clinical = maps(curve), deconvolve(curve, aif, TIMES, method="csvd")
        assert clinical["cbf"] == pytest.approx(plain["cbf"] * (0.55 / 0.75) / 1.05, rel=1e-5)
        assert clinical["cbv"] == pytest.approx(plain["cbv"] * (0.55 / 0.75) / 1.05, rel=1e-5)
        assert clinical["mtt"] == pytest.approx(plain["mtt"], rel=1e-5)


class TestDelay:
    @pytest.mark.parametrize("delay", [-2.0, 2.0, 4.0, 6.0])
    def test_circulant_flow_does_not_depend_on_delay(self, delay: float) -> None:
        straight, moved = maps(box_tissue(40.0, 6.0, 0.0)), maps(box_tissue(40.0, 6.0, delay))
        assert moved["cbf"] == pytest.approx(straight["cbf"], rel=0.03)
        assert moved["tmax"] - straight["tmax"] == pytest.approx(delay, abs=0.5)

    def test_causal_flow_is_wrong_when_tissue_arrives_before_the_aif(self) -> None:
        straight, early = (float(maps(box_tissue(40.0, 6.0, d), "ssvd")["cbf"]) for d in (0.0, -2.0))
        assert abs(early / straight - 1.0) > 0.03

    def test_delay_correction_keeps_the_flow_of_early_and_late_tissue(self) -> None:
        flows = [float(maps(box_tissue(40.0, 6.0, d), "ssvd-delay")["cbf"]) for d in (-2.0, 0.0, 4.0, 8.0)]
        assert flows == pytest.approx([flows[1]] * 4, rel=0.03)


class TestInvariance:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_block_of_voxels_equals_one_voxel_at_a_time(self, method: str) -> None:
        curves = some_curves(7)
        # What is decided from the whole scan is given here, so that a single voxel gets the same settings.
        fixed = {"tikhonov": {"strength_min": 0.05}, "csvd": {"extend_tail": False}, "osvd": {"extend_tail": False}}
        together = maps(curves, method, **fixed.get(method, {}))
        for number, curve in enumerate(curves):
            alone = maps(curve, method, **fixed.get(method, {}))
            for key in ("cbf", "cbv", "mtt", "tmax", "delay"):
                assert alone[key] == pytest.approx(together[key][number], rel=2e-3, abs=2e-3), key

    @pytest.mark.parametrize("method", METHODS)
    def test_the_unit_of_the_concentration_cancels(self, method: str) -> None:
        curves, aif = some_curves(20), arterial(TIMES)
        first = deconvolve(curves, aif, TIMES, method=method)
        second = deconvolve(curves * 1e-4, aif * 1e-4, TIMES, method=method)
        for key in ("cbf", "cbv", "mtt", "tmax", "delay"):
            np.testing.assert_allclose(second[key], first[key], rtol=2e-3, atol=2e-3)

    @pytest.mark.parametrize("method", METHODS)
    def test_flow_grows_with_the_curve_and_times_stay(self, method: str) -> None:
        curves, aif = some_curves(20), arterial(TIMES)
        first, second = (deconvolve(curves * scale, aif, TIMES, method=method) for scale in (1.0, 2.0))
        np.testing.assert_allclose(second["cbf"], 2.0 * first["cbf"], rtol=2e-3)
        np.testing.assert_allclose(second["tmax"], first["tmax"], atol=2e-3)

    def test_a_mask_selects_and_changes_nothing_else(self) -> None:
        curves = some_curves(24).reshape(2, 3, 4, -1)
        mask = np.zeros((2, 3, 4), bool)
        mask[1, :, 2:] = True
        whole, part = maps(curves), maps(curves, mask=mask)
        np.testing.assert_allclose(part["cbf"][mask], whole["cbf"][mask], rtol=1e-5)
        assert np.isnan(part["cbf"][~mask]).all()
        assert (part["quality"][~mask] == QualityCode.OUTSIDE_MASK).all()

    def test_many_blocks_give_the_same_as_few_voxels(self) -> None:
        few = some_curves(10)
        many = np.tile(few, (2000, 1))
        np.testing.assert_allclose(maps(many)["tmax"].reshape(2000, 10), np.tile(maps(few)["tmax"], (2000, 1)), atol=1e-3)

    @pytest.mark.parametrize("method", METHODS)
    def test_uneven_frame_times_give_the_maps_of_even_ones(self, method: str) -> None:
        uneven = np.concatenate([np.linspace(0, 30, 31), np.linspace(32, 66, 18)])
        even = maps(box_tissue(35.0, 7.0, 2.0), method)
        other = deconvolve(
            box_tissue(35.0, 7.0, 2.0, uneven), arterial(uneven), uneven, method=method, density=1.0, hematocrit_factor=1.0
        )
        assert other["cbv"] == pytest.approx(even["cbv"], rel=0.01)
        assert other["cbf"] == pytest.approx(even["cbf"], rel=0.12)
        assert other["delay"] == pytest.approx(even["delay"], abs=0.6)


class TestResidue:
    def test_the_residue_comes_on_request_with_its_lags(self) -> None:
        result = maps(some_curves(6).reshape(2, 3, -1), residue=True)
        lags = result["residue_times_s"]
        assert result["residue"].shape == (2, 3, lags.size)
        assert lags[0] <= -4.0 < 0.0 < 20.0 <= lags[-1]
        np.testing.assert_allclose(6000.0 * result["residue"].max(axis=-1), result["cbf"], rtol=1e-5)

    def test_a_maximum_outside_the_window_is_not_looked_for(self) -> None:
        late = box_tissue(40.0, 4.0, 12.0)
        assert maps(late)["tmax"] > 11.0
        assert maps(late, lag_window=(-2.0, 8.0))["tmax"] <= 9.0


class TestOddCurves:
    def test_a_voxel_with_a_missing_sample_has_no_values_and_a_reason(self) -> None:
        curves = some_curves(5)
        curves[2, 7] = np.nan
        result = maps(curves)
        assert np.isnan([result[key][2] for key in ("cbf", "cbv", "mtt", "tmax", "delay")]).all()
        assert list(result["quality"]) == [0, 0, QualityCode.NOT_FINITE, 0, 0]

    def test_an_infinite_sample_counts_as_missing(self) -> None:
        curves = some_curves(3)
        curves[0, 0] = np.inf
        assert maps(curves)["quality"][0] == QualityCode.NOT_FINITE

    @pytest.mark.parametrize("method", METHODS)
    def test_a_curve_of_zeros_has_no_flow(self, method: str) -> None:
        curves = some_curves(3)
        curves[1] = 0.0
        result = maps(curves, method)
        assert np.isnan(result["cbf"][1])
        assert result["cbv"][1] == 0.0
        assert result["quality"][1] == QualityCode.NO_ENHANCEMENT

    def test_negative_areas_are_kept(self) -> None:
        assert maps(-some_curves(3))["cbv"].max() < 0

    def test_transit_time_is_missing_where_there_is_hardly_any_flow(self) -> None:
        curves = some_curves(9, noise=0.0)
        curves[0] *= 1e-4
        result = maps(curves)
        assert np.isnan(result["mtt"][0])
        assert result["quality"][0] == QualityCode.LOW_FLOW
        assert np.isfinite(result["mtt"][1:]).all()

    def test_integers_are_accepted(self) -> None:
        curve = np.rint(box_tissue(60.0, 6.0, 1.0) * 10).astype(np.int16)
        assert maps(curve)["cbf"] == pytest.approx(10 * maps(box_tissue(60.0, 6.0, 1.0))["cbf"], rel=0.02)


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"aif": arterial(TIMES)[:-1]}, InvalidInputError, "44 values but the series has 45 frames"),
            ({"aif": np.zeros(45)}, InvalidInputError, "never rises above zero"),
            ({"aif": -arterial(TIMES)}, InvalidInputError, "never rises above zero"),
            ({"aif": np.full(45, np.nan)}, InvalidInputError, "45 of 45 AIF values are missing"),
            ({"times_s": TIMES[:-1]}, TimingError, "45 frames but 44 frame times"),
            ({"times_s": TIMES[::-1]}, TimingError, "must increase"),
            ({"times_s": TIMES / 1000}, TimingError, "in seconds"),
            ({"mask": np.zeros(3, bool)}, InvalidInputError, "mask is empty"),
            ({"mask": np.ones(4, bool)}, GridMismatchError, "mask has shape"),
            ({"density": 0.0}, InvalidInputError, "density must be a positive number"),
            ({"hematocrit_factor": np.nan}, InvalidInputError, "hematocrit_factor must be a positive number"),
            ({"method": "magic"}, InvalidInputError, "no deconvolution method 'magic'"),
            ({"truncation": 2.0}, InvalidInputError, "truncation must be a number between 0 and 1"),
            ({"oi_max": 0.1}, InvalidInputError, "no option 'oi_max'"),
            ({"lag_window": (2.0, 1.0)}, InvalidInputError, "lag_window must start"),
            ({"lag_window": 4.0}, InvalidInputError, "lag_window must be two times"),
            ({"extend_tail": "maybe"}, InvalidInputError, "extend_tail must be"),
            ({"concentration": np.zeros((0, 45))}, InvalidInputError, "no curves"),
            ({"concentration": np.zeros((3, 45), complex)}, InvalidInputError, "real numbers"),
        ],
    )
    def test_is_refused_with_a_sentence(self, change: dict[str, Any], error: type[Exception], words: str) -> None:
        given: dict[str, Any] = {"concentration": some_curves(3), "aif": arterial(TIMES), "times_s": TIMES, "method": "csvd"}
        given |= change
        with pytest.raises(error, match=words):
            deconvolve(given.pop("concentration"), given.pop("aif"), given.pop("times_s"), **given)

    def test_fewer_than_ten_frames_are_refused(self) -> None:
        times = np.linspace(0, 40, 9)
        with pytest.raises(TimingError, match="9 frames"):
            deconvolve(np.ones((2, 9)), arterial(times), times)

    def test_an_unknown_tikhonov_rule_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="rule must be"):
            maps(some_curves(2), "tikhonov", rule="guess")


class TestProgress:
    def test_progress_ends_at_one(self) -> None:
        seen: list[float] = []
        maps(np.tile(some_curves(10), (1500, 1)), progress=lambda fraction, _: seen.append(fraction))
        assert seen[0] == 0.0
        assert seen[-1] == 1.0
        assert seen == sorted(seen)

    def test_cancelling_stops_the_run(self) -> None:
        def cancel(fraction: float, stage: str) -> None:
            raise CancelledError(stage)

        with pytest.raises(CancelledError):
            maps(some_curves(4), progress=cancel)


def test_every_method_describes_itself() -> None:
    assert list(METHODS) == ["ssvd", "ssvd-delay", "csvd", "osvd", "tikhonov"]
    for name, method in METHODS.items():
        assert method.name == name
        assert method.description.endswith(".")
        assert method.tmax_note
        assert "lag_window" in method.options
