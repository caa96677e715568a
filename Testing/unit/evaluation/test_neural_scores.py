# SPDX-License-Identifier: Apache-2.0
"""Scores of fits on phantoms: structural similarity, published limits and borders, intervals, lesions."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.evaluation.neural_estimate import Estimate, Estimator, Meter, estimate, estimator
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition, FieldScan, make_scan, paper_filter
from PerfusionSuiteLib.evaluation.neural_scores import ALL, CLIPPED, coverage, lesions, score
from PerfusionSuiteLib.evaluation.ssim import ssim


@pytest.fixture(scope="module")
def tile_scan() -> FieldScan:
    series, truth = phantom.tiles(residue="box", tile_px=8, cbvs=(4.0,))
    return make_scan(series, truth, FieldCondition("tiles", "box", 0.0))


@pytest.fixture(scope="module")
def crop_scan() -> FieldScan:
    series, truth = phantom.brain(seed=7, noise_hu=0.0, crop=True, shape=(48, 48, 3))
    return make_scan(series, truth, FieldCondition("crop", "box", 0.0))


def found(maps: dict[str, Any], scan: FieldScan) -> dict[tuple[str, str, str], float]:
    return {(r["subject"], r["region"], r["measure"]): r["value"] for r in score(Estimate(maps, 1.5, 10.0), scan)}


def truth_of(scan: FieldScan) -> dict[str, Any]:
    return {key: scan.truth[key].copy() for key in ("cbf", "cbv", "mtt", "delay", "tmax")}


def test_structural_similarity_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    truth, estimate_ = rng.uniform(10.0, 60.0, (2, 12, 11, 2))
    top = np.percentile(truth, 99.5)
    c1, c2 = (0.01 * top) ** 2, (0.03 * top) ** 2
    windows = []
    for k in range(2):
        for i in range(12 - 6):
            for j in range(11 - 6):
                a, b = estimate_[i : i + 7, j : j + 7, k].ravel(), truth[i : i + 7, j : j + 7, k].ravel()
                (var_a, both), (_, var_b) = np.cov(a, b)
                light = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
                windows.append(light * (2 * both + c2) / (var_a + var_b + c2))
    assert ssim(estimate_, truth, np.ones(truth.shape, bool)) == pytest.approx(np.mean(windows), rel=1e-9)


def test_structural_similarity_of_equal_maps_is_one_and_what_is_left_out_counts_as_zero() -> None:
    truth = np.random.default_rng(2).uniform(1.0, 2.0, (9, 9, 1))
    mask = np.ones(truth.shape, bool)
    assert ssim(truth, truth, mask) == pytest.approx(1.0)
    holed, zeroed = truth.copy(), truth.copy()
    holed[4, 4], zeroed[4, 4] = np.nan, 0.0
    assert ssim(holed, truth, mask) == ssim(zeroed, truth, mask) < 0.9
    mask[4, 4] = False
    assert np.isnan(ssim(truth, truth, mask))


def test_errors_of_a_shifted_map_are_the_shift(tile_scan: FieldScan) -> None:
    maps = truth_of(tile_scan)
    maps["mtt"] += np.float32(2.0)
    numbers = found(maps, tile_scan)
    for measure, value in (("mse", 4.0), ("mae", 2.0), ("me", 2.0), ("rmse", 2.0), ("missing_percent", 0.0)):
        assert numbers["mtt", ALL, measure] == pytest.approx(value, abs=1e-4)
    assert numbers["cbf", ALL, "mse"] == 0.0
    assert numbers["cbf", ALL, "ssim"] == pytest.approx(1.0)
    assert (numbers["time", "", "seconds"], numbers["memory", "", "peak"]) == (1.5, 10.0)


def test_two_pixels_on_either_side_of_inner_borders_are_left_out(tile_scan: FieldScan) -> None:
    kept = tile_scan.masks["inner"].sum(axis=(0, 1))
    assert kept[0] == (7 * 8 - 6 * 4) ** 2
    maps = truth_of(tile_scan)
    maps["cbv"][~tile_scan.masks["inner"]] += 1.0
    numbers = found(maps, tile_scan)
    assert numbers["cbv", CLIPPED, "mae"] == 0.0
    assert numbers["cbv", ALL, "mae"] == pytest.approx(1.0 - kept[0] / (7 * 8) ** 2)


def test_published_limits_hold_for_every_map(tile_scan: FieldScan) -> None:
    maps = {key: np.full_like(values, 1e4) for key, values in truth_of(tile_scan).items()}
    numbers = found(maps, tile_scan)
    inner = tile_scan.masks["inner"]
    for key, limit in (("cbf", 150.0), ("cbv", 10.0), ("mtt", 30.0), ("delay", 10.0), ("tmax", 20.0)):
        assert numbers[key, CLIPPED, "me"] == pytest.approx(limit - tile_scan.truth[key][inner].mean(), rel=1e-5)
    low = found({key: -values for key, values in maps.items()}, tile_scan)
    assert low["cbf", CLIPPED, "me"] == pytest.approx(-tile_scan.truth["cbf"][inner].mean(), rel=1e-5)


def test_voxels_that_are_left_out_are_counted(tile_scan: FieldScan) -> None:
    maps = truth_of(tile_scan)
    where = np.argwhere(tile_scan.masks["scored"])
    maps["cbf"][tuple(where[: len(where) // 4].T)] = np.nan
    assert found(maps, tile_scan)["cbf", ALL, "missing_percent"] == pytest.approx(25.0)


def test_honest_intervals_cover_what_they_say() -> None:
    rng = np.random.default_rng(3)
    sd = rng.uniform(0.5, 5.0, 40_000)
    error, truth = sd * rng.standard_normal(sd.size), rng.uniform(0.0, 60.0, sd.size)
    shares = coverage(truth + error, sd, truth, np.ones(sd.size, bool))
    for level, share in shares.items():
        assert share == pytest.approx(level, abs=0.9)
    assert coverage(truth + error, 2.0 * sd, truth, np.ones(sd.size, bool))[68] == pytest.approx(95.3, abs=0.7)
    nothing = coverage(truth, np.full_like(sd, np.nan), truth, np.ones(sd.size, bool))
    assert np.isnan(nothing[68])


def test_perfect_maps_find_the_lesion_and_its_core(crop_scan: FieldScan) -> None:
    numbers = found(truth_of(crop_scan), crop_scan)
    assert numbers["hypoperfusion", ALL, "dice"] == 1.0
    assert numbers["core", ALL, "dice"] > 0.95


def test_maps_without_values_find_no_lesion(crop_scan: FieldScan) -> None:
    empty = {key: np.full_like(values, np.nan) for key, values in truth_of(crop_scan).items()}
    masks = lesions(empty, crop_scan)
    assert not masks["hypoperfusion"].any() and not masks["core"].any()


def test_the_section_of_the_vessels_is_not_fitted() -> None:
    series, truth = phantom.tiles(residue="box", tile_px=8, cbvs=(4.0, 5.0))
    fitted = make_scan(series, truth, FieldCondition("tiles", "box", 0.0)).concentration.mask
    np.testing.assert_array_equal(fitted, truth.masks["scored"])


def test_the_artery_of_the_tiles_is_measured_and_scaled_by_the_vein() -> None:
    series, truth = phantom.tiles(residue="box", tile_px=16, cbvs=(4.0,))
    scan = make_scan(series, truth, FieldCondition("tiles", "box", 0.0))
    np.testing.assert_allclose(scan.aif, truth.aif, atol=0.02 * truth.aif.max())
    noisy, _ = phantom.tiles(residue="box", tile_px=16, cbvs=(4.0,), noise_hu=5.0, seed=1)
    assert not np.allclose(make_scan(noisy, truth, FieldCondition("tiles", "box", 5.0)).aif, scan.aif)


def test_half_of_the_frames_are_left_out_with_their_times(tile_scan: FieldScan) -> None:
    series, truth = phantom.tiles(residue="box", tile_px=8, cbvs=(4.0,))
    half = make_scan(series, truth, FieldCondition("tiles", "box", 0.0, half_frames=True))
    np.testing.assert_array_equal(half.concentration.times_s, tile_scan.concentration.times_s[::2])
    assert half.concentration.data.shape[3] == half.aif.size == 15
    np.testing.assert_allclose(half.aif, truth.aif[::2], atol=0.03 * truth.aif.max())  # no contrast in its baseline


def test_the_published_prefilter_is_cut_off_and_weighs_three_frames() -> None:
    data = np.zeros((15, 15, 1, 7), np.float32)
    data[7, 7, 0, 3] = 1.0
    smooth = paper_filter(data, 1.5, np.ones((15, 15, 1), bool))
    touched = np.argwhere(smooth[:, :, 0, 3] > 0)
    assert touched.min() == 7 - 3 and touched.max() == 7 + 3
    np.testing.assert_allclose(smooth[7, 7, 0, 2:5] / smooth[7, 7, 0, 3], [0.5, 1.0, 0.5], rtol=1e-5)
    assert smooth[:, :, 0].sum() == pytest.approx(1.0, rel=1e-5)
    mask = np.zeros((15, 15, 1), bool)
    mask[3:9, 4:12] = True
    np.testing.assert_allclose(paper_filter(np.ones_like(data), 2.0, mask)[mask], 1.0, rtol=1e-5)


def test_a_prefilter_replaces_the_filter_of_every_method() -> None:
    series, truth = phantom.tiles(residue="box", tile_px=8, cbvs=(4.0,), noise_hu=4.0)
    scan = make_scan(series, truth, FieldCondition("tiles", "box", 4.0, gaussian_px=1.0))
    bare = Estimator("bare", "csvd", "none")
    np.testing.assert_array_equal(estimate(estimator("csvd"), scan).maps["cbf"], estimate(bare, scan).maps["cbf"])


def test_estimates_lie_on_the_grid_and_say_what_they_took(tile_scan: FieldScan) -> None:
    result = estimate(estimator("nlr"), tile_scan)
    assert {"cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd"} <= set(result.maps)
    assert np.isnan(result.maps["cbf"][~tile_scan.concentration.mask]).all()
    assert result.seconds > 0


def test_memory_is_measured() -> None:
    with Meter() as meter:
        fresh = mmap.mmap(-1, 128 * 2**20)  # straight from the system: an array may get memory that others have freed
        np.frombuffer(fresh, np.uint8)[:] = 1
    assert np.isnan(meter.memory_mib) or meter.memory_mib > 100.0


def test_options_stand_in_braces_behind_the_name() -> None:
    how = estimator("spatial{smoothness=[4,0.5,1],family=box,outer=3}:guided")
    assert (how.method, how.guided) == ("spatial", True)
    assert how.options == {"smoothness": [4, 0.5, 1], "family": "box", "outer": 3}
    with pytest.raises(InvalidInputError, match="no setting 'wings'"):
        estimator("nlr{wings=2}")
    with pytest.raises(InvalidInputError, match="is no option"):
        estimator("nlr{wings}")
    with pytest.raises(InvalidInputError, match="names no method"):
        estimator("nlr{")


def test_unknown_methods_and_conditions_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no method 'magic'"):
        estimator("magic")
    with pytest.raises(InvalidInputError, match="nothing can guide it"):
        estimator("csvd:guided")
    with pytest.raises(InvalidInputError, match="no phantom 'apple'"):
        FieldCondition("apple")
    with pytest.raises(InvalidInputError, match="make no sense"):
        FieldCondition("tiles", "box", -1.0)
