# SPDX-License-Identifier: Apache-2.0
"""HemoPIC's physical mode on scans with known flow, volume, transit time and delay."""

from __future__ import annotations

from typing import Any

import numpy as np
import physical_scan
import pytest
from numpy.typing import NDArray
from physical_scan import AFFINE, Scan, artery, scan

from PerfusionSuiteLib import hemopic
from PerfusionSuiteLib.core.errors import CancelledError, GridMismatchError, InvalidInputError, PerfusionError, TimingError
from PerfusionSuiteLib.deconvolution import QualityCode

TIMES = np.arange(0.0, 75.0, 1.5)
NOISE = 0.6
SMALL: dict[str, Any] = {"k_gm": 3, "k_wm": 3, "systematic": False, "engine": "numpy"}

Maps = dict[str, NDArray[Any]]


def fitted(made: Scan, *, aif: bool = True, settings: dict[str, Any] | None = None, **options: Any) -> tuple[Maps, Any]:
    return hemopic.fit(
        made.data, made.times_s, affine=AFFINE, labels=made.labels, aif=artery(made.times_s) if aif else None,
        settings={**SMALL, **(settings or {})}, **options,
    )  # fmt: skip


def bias(maps: Maps, made: Scan, key: str) -> float:
    good = np.isfinite(maps[key])
    return float(np.mean(maps[key][good] / made.truth[key][good] - 1.0))


@pytest.fixture(scope="module")
def noisy() -> Scan:
    return scan(TIMES, noise=NOISE)


@pytest.fixture(scope="module")
def with_artery(noisy: Scan) -> tuple[Maps, Any]:
    return fitted(noisy)


class TestWithAnArtery:
    def test_values_are_absolute_and_true(self, noisy: Scan, with_artery: tuple[Maps, Any]) -> None:
        maps, regions = with_artery
        assert not regions.relative
        assert abs(bias(maps, noisy, "cbf")) < 0.10
        assert abs(bias(maps, noisy, "cbv")) < 0.05
        assert abs(bias(maps, noisy, "mtt")) < 0.15
        good = np.isfinite(maps["delay"])
        assert np.sqrt(np.mean((maps["delay"] - noisy.truth["delay"])[good] ** 2)) < 0.5

    def test_intervals_hold_the_truth_in_two_of_three_voxels(self, noisy: Scan, with_artery: tuple[Maps, Any]) -> None:
        maps, _ = with_artery
        inside = []
        for key in ("cbf", "cbv", "mtt", "delay"):
            good = np.isfinite(maps[key])
            off = np.abs(maps[key] - noisy.truth[key])[good]
            inside.append(np.mean(off < maps[f"{key}_sd"][good]))
        assert 0.55 < np.mean(inside) < 0.82

    def test_tmax_is_delay_and_half_the_transit_time(self, with_artery: tuple[Maps, Any]) -> None:
        maps, _ = with_artery
        good = np.isfinite(maps["tmax"])
        assert np.allclose(maps["tmax"][good], maps["delay"][good] + 0.5 * maps["mtt"][good], atol=1e-4)

    def test_the_residue_of_the_scan_is_recognized(self, with_artery: tuple[Maps, Any]) -> None:
        _, regions = with_artery
        said = next(finding.message for finding in regions.findings if finding.code == "residue_family")
        assert "exponential" in said or "gamma:2" in said

    def test_every_region_has_a_row_with_delay_transit_status_and_prior_influence(self, with_artery: tuple[Maps, Any]) -> None:
        _, regions = with_artery
        assert len(regions.rows) == len(np.unique(regions.labels[regions.labels > 0]))
        for row in regions.rows:
            assert row["status"] == "ok"
            assert 0.0 < row["cv_mtt"] < 0.5
            assert 0.0 <= row["prior_influence_mtt"] <= 1.0
            assert row["F_fit"] == pytest.approx(60.0 * row["V_fit"] / row["mtt"])
        assert np.nanmax(np.abs(regions.fitted - regions.observed)) < 0.1 * np.nanmax(regions.observed)


class TestWithoutAnArtery:
    def test_flow_and_volume_are_right_after_one_scale_and_times_without(self, noisy: Scan) -> None:
        maps, regions = fitted(noisy, aif=False)
        assert regions.relative
        truth, late = noisy.truth, noisy.late
        for key in ("cbf", "cbv"):
            scale = np.nanmedian(truth[key] / maps[key])
            assert np.nanmedian(np.abs(maps[key] * scale / truth[key] - 1.0)) < 0.15
        assert np.nanmedian(maps["mtt"][late]) == pytest.approx(10.0, abs=1.5)
        assert np.nanmedian(maps["mtt"][~late]) == pytest.approx(4.5, abs=1.0)
        later = np.nanmedian(maps["delay"][late]) - np.nanmedian(maps["delay"][~late])
        assert later == pytest.approx(3.0, abs=0.5)
        assert "relative_values" in {finding.code for finding in regions.findings}

    def test_the_scale_of_the_signal_does_not_matter(self, noisy: Scan) -> None:
        larger = Scan(50.0 * noisy.data, noisy.times_s, noisy.truth, noisy.labels)
        a, b = fitted(noisy, aif=False)[0], fitted(larger, aif=False)[0]
        for key in ("cbf", "cbv", "mtt", "delay"):
            good = np.isfinite(a[key]) & np.isfinite(b[key])
            assert good.mean() > 0.95
            assert np.median(np.abs(a[key] - b[key])[good]) < 0.02 * np.median(np.abs(a[key][good]))

    def test_the_reference_curve_is_early_normal_tissue(self, noisy: Scan) -> None:
        curve = hemopic.reference_curve(noisy.data, noisy.times_s)
        assert curve.kind == "reference"
        assert not noisy.late[tuple(curve.voxels.T)].any()
        assert curve.values.max() < artery(noisy.times_s).max()


class TestInvariance:
    """Acceptance checks 9, 11 and 12 of hemopic.md, in which the published mode fails."""

    def test_more_frames_before_the_bolus_change_nothing(self) -> None:
        early, late = scan(TIMES), scan(np.arange(-15.0, 75.0, 1.5) + 0.0)
        shifted = Scan(late.data, late.times_s + 15.0, late.truth, late.labels)
        a = fitted(early)[0]
        b, _ = hemopic.fit(
            shifted.data, shifted.times_s, affine=AFFINE, labels=shifted.labels, aif=artery(late.times_s), settings=SMALL
        )
        for key in ("cbf", "mtt", "delay"):
            assert np.nanmax(np.abs(a[key] - b[key])) < 0.03 * np.nanmax(a[key])

    def test_another_repetition_time_changes_little(self) -> None:
        a, b = (fitted(scan(np.arange(0.0, 75.0, step)))[0] for step in (1.0, 2.0))
        for key in ("cbf", "mtt", "delay"):
            assert np.nanmedian(np.abs(a[key] - b[key])) < 0.06 * np.nanmedian(a[key])

    def test_uneven_frames_are_no_worse(self) -> None:
        rng = np.random.default_rng(2)
        uneven = scan(np.sort(np.concatenate([[0.0], rng.uniform(0.5, 75.0, 55)])))
        maps, _ = fitted(uneven)
        assert abs(bias(maps, uneven, "cbf")) < 0.10
        assert abs(bias(maps, uneven, "mtt")) < 0.10

    def test_slow_frames_still_give_true_values_within_their_intervals(self) -> None:
        slow = scan(np.arange(0.0, 75.0, 3.0), noise=0.4)
        maps, _ = fitted(slow)
        assert abs(bias(maps, slow, "cbf")) < 0.05
        good = np.isfinite(maps["mtt"])
        assert np.mean((np.abs(maps["mtt"] - slow.truth["mtt"]) < maps["mtt_sd"])[good]) > 0.55

    def test_flow_per_second_and_per_minute_are_the_same_fit(self, noisy: Scan, with_artery: tuple[Maps, Any]) -> None:
        per_second, _ = fitted(noisy, density=1.05 * 60.0)  # the factor 6000 / density becomes a sixtieth
        maps, _ = with_artery
        good = np.isfinite(maps["cbf"])
        assert np.allclose(per_second["cbf"][good] * 60.0, maps["cbf"][good], rtol=1e-4)
        assert np.array_equal(per_second["mtt"][good], maps["mtt"][good])
        assert np.array_equal(per_second["delay"][good], maps["delay"][good])

    def test_torch_and_numpy_agree(self, noisy: Scan, with_artery: tuple[Maps, Any]) -> None:
        pytest.importorskip("torch")
        other, _ = fitted(noisy, settings={"engine": "torch"}, device="cpu")
        maps, _ = with_artery
        for key in ("cbf", "mtt", "delay", "mtt_sd", "prior_mtt"):
            good = np.isfinite(maps[key]) & np.isfinite(other[key])
            assert good.mean() > 0.98
            assert np.percentile(np.abs(maps[key] - other[key])[good], 99) < 5e-3 * np.median(np.abs(maps[key][good]))


class TestRegionsRegularize:
    def test_noisy_voxels_are_drawn_to_their_region_and_get_better(self, noisy: Scan, with_artery: tuple[Maps, Any]) -> None:
        alone, _ = fitted(noisy, settings={"shrinkage": False})
        maps, _ = with_artery
        error = [np.nanmedian(np.abs(m["mtt"] - noisy.truth["mtt"])) for m in (alone, maps)]
        assert error[1] < error[0]
        assert np.nanmedian(maps["prior_mtt"]) > np.nanmedian(alone["prior_mtt"])

    def test_without_labels_tissue_is_estimated_or_the_brain_divided_as_a_whole(self, noisy: Scan) -> None:
        _, estimated = hemopic.fit(noisy.data, noisy.times_s, affine=AFFINE, settings=SMALL)
        assert {"GM", "WM"} <= set(estimated.tissues)
        _, whole = hemopic.fit(noisy.data, noisy.times_s, affine=AFFINE, settings={**SMALL, "tissue": "single"})
        assert set(whole.tissues) == {"Brain"}


class TestOptions:
    def test_a_spoiled_frame_matters_less_to_the_robust_fit(self) -> None:
        made = scan(TIMES, noise=0.3)
        rng = np.random.default_rng(5)
        spoiled = made.data.copy()
        flat = spoiled.reshape(-1, TIMES.size)
        flat[np.arange(len(flat)), rng.integers(16, 24, len(flat))] += 12.0
        worse = Scan(spoiled, made.times_s, made.truth, made.labels)
        plain, robust = (fitted(worse, settings={"robust": r})[0] for r in (False, True))
        error = [np.nanmedian(np.abs(m["cbv"] / made.truth["cbv"] - 1.0)) for m in (plain, robust)]
        assert error[1] < 0.8 * error[0]

    def test_dispersion_by_voxel_tells_spread_from_shift(self) -> None:
        rng = np.random.default_rng(3)
        data = np.empty((20, 20, 2, TIMES.size))
        data[:10] = physical_scan.tissue(TIMES, 4.0, 4.0, 4.0)
        data[10:] = physical_scan.tissue(TIMES, 4.0, 4.0, 2.0, spread_s=2.0)
        data += 0.1 * rng.normal(size=data.shape)
        options = {**SMALL, "dispersion": "voxel", "family": "exponential", "tissue": "single"}
        maps, _ = hemopic.fit(data, TIMES, affine=AFFINE, aif=artery(TIMES), settings=options)
        assert np.nanmean(maps["dispersion"][10:]) > np.nanmean(maps["dispersion"][:10]) + 0.15

    def test_bootstrap_and_profile_agree_with_the_curvature_in_size(self, noisy: Scan) -> None:
        _, regions = fitted(noisy, settings={"bootstrap": 50, "profile": True})
        for row in regions.rows:
            assert row["mtt_low"] <= row["mtt"] <= row["mtt_high"]
            assert 0.0 < row["boot_cv_mtt"] < 0.2
            assert row["boot_sd_delay"] < 0.5

    def test_the_windkessel_extension_says_that_steady_flow_does_not_identify_it(self, noisy: Scan) -> None:
        _, regions = fitted(noisy, settings={"windkessel": True})
        assert all(np.isfinite(row["tau_fit"]) for row in regions.rows)
        assert not any(row["wk_identified"] for row in regions.rows)
        assert all(np.isnan(row["R_fit"]) for row in regions.rows)
        assert "windkessel_experimental" in {finding.code for finding in regions.findings}


class TestTrouble:
    """Acceptance check 13: a clear status, no crash, no silent fill."""

    def test_tissue_without_tracer_has_no_values_but_a_reason(self, noisy: Scan) -> None:
        data = noisy.data.copy()
        data[:3] = 0.0
        data[3, 0, 0, 4] = np.nan
        maps, regions = fitted(Scan(data, noisy.times_s, noisy.truth, noisy.labels))
        assert np.isnan(maps["cbf"][:3]).all()
        assert np.isin(maps["quality"][:3], [QualityCode.NO_ENHANCEMENT, QualityCode.LOW_SNR]).all()
        assert maps["quality"][3, 0, 0] == QualityCode.NOT_FINITE
        assert np.isfinite(maps["cbf"][4:]).mean() > 0.95
        assert all(row["n_vox_fit"] > 0 for row in regions.rows)

    def test_a_region_without_tracer_is_named_and_has_no_parameters(self, noisy: Scan) -> None:
        data, labels = noisy.data.copy(), noisy.labels.copy()
        data[:6] = 0.0
        labels[:6] = 3
        _, regions = fitted(Scan(data, noisy.times_s, noisy.truth, labels))
        (row,) = [row for row in regions.rows if row["tissue"] == "CSF"]
        assert row["status"] == "no_tracer"
        assert np.isnan(row["F_fit"])
        assert not row["success"]
        assert "region_not_fitted" in {finding.code for finding in regions.findings}

    def test_voxels_outside_the_mask_stay_empty(self, noisy: Scan) -> None:
        mask = np.zeros(noisy.labels.shape, bool)
        mask[4:20] = True
        maps, regions = fitted(noisy, mask=mask)
        assert np.isnan(maps["cbf"][~mask]).all()
        assert (maps["quality"][~mask] == QualityCode.OUTSIDE_MASK).all()
        assert (regions.labels[~mask] == 0).all()

    def test_noise_alone_ends_with_reasons(self) -> None:
        data = np.random.default_rng(0).normal(size=(10, 10, 2, TIMES.size))
        maps, _ = hemopic.fit(data, TIMES, affine=AFFINE, aif=artery(TIMES), settings=SMALL)
        assert np.isfinite(maps["cbf"]).mean() < 0.7
        assert (maps["quality"][np.isnan(maps["cbf"])] > 0).all()

    def test_nothing_but_missing_values_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="enhances"):
            hemopic.fit(np.full((4, 4, 2, TIMES.size), np.nan), TIMES, affine=AFFINE)

    def test_five_dimensions_with_a_single_one_are_read(self, noisy: Scan) -> None:
        maps, _ = hemopic.fit(noisy.data[:, :, :, None], noisy.times_s, affine=AFFINE, labels=noisy.labels, settings=SMALL)
        assert maps["cbf"].shape == noisy.labels.shape

    @pytest.mark.parametrize(
        ("wrong", "error", "words"),
        [
            ({"times_s": TIMES[:-1]}, TimingError, "frame times"),
            ({"concentration": np.zeros((4, 4, TIMES.size))}, InvalidInputError, r"\(I, J, K, T\)"),
            ({"mask": np.ones((2, 2, 2), bool)}, GridMismatchError, "mask"),
            ({"mask": np.zeros((24, 24, 2), bool)}, InvalidInputError, "empty"),
            ({"labels": np.zeros((2, 2, 2))}, GridMismatchError, "tissue label"),
            ({"aif": np.zeros(TIMES.size)}, InvalidInputError, "AIF"),
            ({"method": "hemopics"}, InvalidInputError, "no HemoPIC method"),
            ({"device": "tpu"}, InvalidInputError, "no device"),
            ({"settings": {"k": 3}}, InvalidInputError, "no setting"),
            ({"settings": {"k_gm": 2.5}}, InvalidInputError, "whole number"),
            ({"settings": {"family": "fourier"}}, InvalidInputError, "residue family"),
            ({"settings": {"input": "aif"}}, InvalidInputError, "none was given"),
            ({"settings": {"engine": "numpy"}, "device": "cuda"}, InvalidInputError, "numpy cannot use"),
            ({"method": "hemopic-compat"}, InvalidInputError, "finished maps"),
        ],
    )
    def test_wrong_input_is_told(self, noisy: Scan, wrong: dict[str, Any], error: type[PerfusionError], words: str) -> None:
        given = {"concentration": noisy.data, "times_s": noisy.times_s, "affine": AFFINE, **wrong}
        with pytest.raises(error, match=words):
            hemopic.fit(given.pop("concentration"), given.pop("times_s"), **given)

    def test_a_series_of_one_frame_is_refused(self) -> None:
        with pytest.raises(PerfusionError):
            hemopic.fit(np.ones((3, 3, 2, 1)), [0.0], affine=AFFINE)

    def test_a_user_can_cancel(self, noisy: Scan) -> None:
        def cancel(fraction: float, stage: str) -> None:
            if fraction > 0.25:
                msg = "stop"
                raise CancelledError(msg)

        with pytest.raises(CancelledError):
            fitted(noisy, progress=cancel)


def test_the_published_mode_is_reached_by_its_name(noisy: Scan) -> None:
    priors = {key: noisy.truth[key].astype(np.float32) for key in ("cbf", "cbv", "mtt")}
    maps, regions = hemopic.fit(
        noisy.data, noisy.times_s, method="hemopic-compat", affine=AFFINE, labels=noisy.labels, priors=priors
    )
    assert set(maps) == {"cbf", "cbv", "mtt"}
    assert regions.rows[0]["tissue"] == "GM"


def test_curves_of_the_scan_are_not_those_of_the_fit() -> None:
    assert physical_scan.artery(5.0) == 0.0
