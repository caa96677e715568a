# SPDX-License-Identifier: Apache-2.0
"""Masks, features, clusters and numbers of regions, and the texture of maps."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.hemopic import compat_clusters
from PerfusionSuiteLib.hemopic.compat_clusters import (
    CurveShapes,
    class_clusters,
    curve_shapes,
    features_of,
    k_means,
    merge_small,
    nearest_center,
)
from PerfusionSuiteLib.hemopic.compat_maps import (
    Limits,
    fill_from_nearest,
    flow_texture,
    limits_of,
    transit_time,
    volume_texture,
)
from PerfusionSuiteLib.hemopic.compat_regions import (
    MaskedCurves,
    find_regions,
    masked_curves,
    positive_median,
    reference_above,
    reference_of,
    smoothed,
)


def shapes(count: int, seed: int = 0) -> CurveShapes:
    random = np.random.default_rng(seed)
    return CurveShapes(random.gamma(4.0, 2.0, count), random.integers(8, 20, count) * 1.5, random.gamma(5.0, 9.0, count))


class TestCurveShapes:
    def test_checked_example(self) -> None:
        found = curve_shapes(np.array([[1, 1, 1, 1, 1, 2, 5, 9, 6, 3]], np.float32), 1.5)
        assert (found.peak[0], found.ttp_s[0]) == (8.0, 7 * 1.5)
        slope = found.peak[0] / (found.ttp_s[0] + 1.5)
        assert slope == pytest.approx(0.6666667, abs=5e-8)

    def test_area_counts_the_excess_only(self) -> None:
        found = curve_shapes(np.array([[2, 2, 2, 2, 2, 0, 4, 5, 2, 2]], np.float32), 2.0)
        assert found.area[0] == pytest.approx(10.0)

    def test_many_curves_at_once_are_the_same_as_one_by_one(self) -> None:
        curves = np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32)
        together = curve_shapes(curves, 1.0)
        alone = [curve_shapes(curve[None], 1.0) for curve in curves]
        np.testing.assert_allclose(together.peak, [one.peak[0] for one in alone])
        np.testing.assert_allclose(together.area, [one.area[0] for one in alone])

    def test_a_flat_curve_has_no_peak(self) -> None:
        found = curve_shapes(np.full((1, 10), 3.0, np.float32), 1.0)
        assert (found.peak[0], found.ttp_s[0], found.area[0]) == (0.0, 0.0, 0.0)


class TestReference:
    def test_four_fifths_of_the_brain_are_above_the_threshold(self) -> None:
        random = np.random.default_rng(0)
        curves = np.zeros((10_000, 20), np.float32)
        curves[:, 10] = random.uniform(0.0, 10.0, 10_000)
        masked = MaskedCurves(curves, np.ones((10, 10, 100), bool), 1.0)
        reference = reference_of(masked, curve_shapes(curves, 1.0))
        low, high = np.percentile(curves[:, 10], [20, 80])
        assert reference.threshold == pytest.approx(low + 0.02 * (high - low), rel=1e-6)
        assert reference.chosen.mean() == pytest.approx(0.788, abs=0.005)
        assert reference.curve.max() == pytest.approx(1.0)

    def test_all_voxels_count_when_few_are_above(self) -> None:
        curves = np.random.default_rng(0).uniform(0, 1, (4000, 20)).astype(np.float32)
        masked = MaskedCurves(curves, np.ones((10, 10, 40), bool), 1.0)
        assert reference_of(masked, curve_shapes(curves, 1.0)).chosen.all()
        assert reference_above(masked, curve_shapes(curves, 1.0), 1e9).chosen.all()

    def test_smoothing_keeps_a_constant_and_clips_at_zero(self) -> None:
        np.testing.assert_allclose(smoothed(np.full(20, 3.0)), 3.0)
        assert (smoothed(np.full(20, -3.0)) == 0.0).all()

    def test_the_baseline_of_a_curve_has_no_effect(self) -> None:
        curve = np.maximum(np.random.default_rng(0).normal(5.0, 1.0, 30), 0.0)
        np.testing.assert_allclose(smoothed(curve + 2.0), smoothed(curve) + 2.0)

    def test_a_very_short_curve_is_left_alone(self) -> None:
        curve = np.array([1.0, -2.0, 5.0, 0.0])
        np.testing.assert_array_equal(smoothed(curve), curve)

    def test_incomplete_curves_are_left_out(self) -> None:
        tracer = np.ones((4, 4, 2, 6), np.float32)
        tracer[0, 0, 0, 3] = np.nan
        labels = np.ones((4, 4, 2), np.uint8)
        labels[3] = 0
        found = masked_curves(tracer, 1.0, labels)
        assert found.values.shape == (23, 6)
        assert not found.show[0, 0, 0]

    def test_no_complete_curve_is_an_error(self) -> None:
        with pytest.raises(InvalidInputError, match="complete tracer curve"):
            masked_curves(np.full((2, 2, 2, 6), np.nan), 1.0, np.ones((2, 2, 2), np.uint8))


class TestClusters:
    def test_features_are_scaled_by_median_and_deviation(self) -> None:
        found = features_of(shapes(999), np.argwhere(np.ones((9, 3, 37), bool)), np.arange(999))
        np.testing.assert_allclose(np.median(found, axis=0), 0.0, atol=1e-6)
        spread = np.median(np.abs(found), axis=0) * 1.4826
        np.testing.assert_allclose(spread[:3], 1.0, rtol=1e-5)
        np.testing.assert_allclose(spread[3:], 0.10, rtol=1e-5)

    def test_one_time_to_peak_in_half_of_the_class_makes_it_rule_everything(self) -> None:
        """As published: no spread, so the few other times become huge."""
        given = shapes(1000)
        same = CurveShapes(given.peak, np.where(np.arange(1000) < 600, 15.0, 16.5), given.area)
        found = features_of(same, np.argwhere(np.ones((10, 10, 10), bool)), np.arange(1000))
        assert found[:, 1].max() > 1e11

    def test_small_classes_stay_whole(self) -> None:
        positions = np.argwhere(np.ones((10, 10, 10), bool))
        assert not class_clusters(shapes(1000), positions, np.arange(799), clusters=8, seed=0, tissue=1).any()
        assert not class_clusters(shapes(1000), positions, np.arange(1000), clusters=1, seed=0, tissue=1).any()

    def test_the_seed_decides(self) -> None:
        positions = np.argwhere(np.ones((20, 20, 20), bool))
        runs = [class_clusters(shapes(8000), positions, np.arange(8000), clusters=6, seed=n, tissue=1) for n in (0, 0, 1)]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert (runs[0] != runs[2]).any()
        assert np.bincount(runs[0]).min() >= 400

    def test_large_classes_are_clustered_on_a_sample_and_all_voxels_get_a_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compat_clusters, "MAX_SAMPLES", 2000)
        positions = np.argwhere(np.ones((20, 20, 20), bool))
        runs = [class_clusters(shapes(8000), positions, np.arange(8000), clusters=4, seed=3, tissue=2) for _ in range(2)]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert np.bincount(runs[0]).sum() == 8000
        assert np.unique(runs[0]).size > 1

    def test_groups_that_lie_apart_are_found(self) -> None:
        random = np.random.default_rng(0)
        truth = np.repeat([0, 1, 2], 1000)
        sample = (random.normal(size=(3000, 2)) + np.array([[0, 0], [30, 0], [0, 30]])[truth]).astype(np.float32)
        starts = [k_means(sample, 3, seed) for seed in range(6)]
        best = min(starts, key=lambda centers: np.square(sample - centers[nearest_center(sample, centers)]).sum())
        np.testing.assert_allclose(sorted(map(tuple, np.round(best))), [(0, 0), (0, 30), (30, 0)], atol=1.0)

    def test_ties_go_to_the_first_center(self) -> None:
        centers = np.array([[1.0], [1.0], [-1.0]], np.float32)
        assert nearest_center(np.array([[1.0], [0.0]], np.float32), centers).tolist() == [0, 0]

    def test_small_clusters_join_the_nearest_large_one_and_numbers_close_up(self) -> None:
        labels = np.repeat([0, 1, 2, 3], [500, 100, 450, 399]).astype(np.int32)
        centers = np.array([[0.0], [9.0], [10.0], [1.0]], np.float32)
        np.testing.assert_array_equal(merge_small(labels, centers), np.repeat([0, 1, 1, 0], [500, 100, 450, 399]))

    def test_a_class_without_a_large_cluster_becomes_one_region(self) -> None:
        labels = np.repeat([0, 1, 2], 300).astype(np.int32)
        assert not merge_small(labels, np.zeros((3, 1), np.float32)).any()


class TestNumbers:
    def test_gray_matter_first_then_white_then_csf_then_stem(self) -> None:
        labels = np.repeat(np.array([3, 1, 4, 2], np.uint8), 900).reshape(10, 18, 20)
        curves = np.random.default_rng(0).normal(size=(3600, 12)).astype(np.float32)
        masked = MaskedCurves(curves, labels > 0, 1.0)
        found, tissues, unlabeled = find_regions(masked, curve_shapes(curves, 1.0), labels, k_gm=1, k_wm=1, seed=0)
        assert (tissues, unlabeled) == ({1: 1, 2: 2, 3: 3, 4: 4}, 0)
        np.testing.assert_array_equal(found, np.repeat([3, 1, 4, 2], 900))

    def test_a_voxel_of_an_unknown_class_takes_the_nearest_region(self) -> None:
        labels = np.ones((10, 10, 10), np.uint8)
        labels[:, :, 5:], labels[0, 0, 0] = 2, 9
        curves = np.random.default_rng(0).normal(size=(1000, 12)).astype(np.float32)
        masked = MaskedCurves(curves, labels > 0, 1.0)
        found, _, unlabeled = find_regions(masked, curve_shapes(curves, 1.0), labels, k_gm=8, k_wm=6, seed=0)
        assert (found[0], unlabeled) == (1, 0)

    def test_a_prior_needs_twenty_positive_values(self) -> None:
        assert positive_median(np.array([5.0] * 19 + [0.0, np.nan, -3.0])) == 1e-6
        assert positive_median(np.array([5.0] * 20 + [0.0, np.nan, -3.0])) == 5.0


class TestMaps:
    def test_textures_keep_the_level_of_the_region(self) -> None:
        given = shapes(500)
        assert flow_texture(given, np.arange(500), 1.0).mean() == pytest.approx(1.0)
        assert volume_texture(np.random.default_rng(0).gamma(2, 2, 500), 3.0).mean() == pytest.approx(1.0)

    def test_textures_are_limited(self) -> None:
        volume = np.concatenate([np.full(400, 4.0), [400.0, 0.04, -1.0, np.nan]])
        texture = volume_texture(volume, 3.0)
        np.testing.assert_allclose(texture[-4:] / texture[0], [2.0, 0.5, 1.0, 1.0])

    def test_a_late_start_of_the_scan_flattens_flow(self) -> None:
        """As published: the texture divides by the time since the first frame."""
        early, late = shapes(500), shapes(500)
        late = CurveShapes(late.peak, late.ttp_s + 30.0, late.area)
        spread = [float(np.std(flow_texture(one, np.arange(500), 1.0) / one.peak)) for one in (early, late)]
        assert spread[1] < 0.7 * spread[0]

    def test_without_positive_values_there_is_no_texture(self) -> None:
        flat = CurveShapes(np.zeros(50), np.zeros(50), np.zeros(50))
        np.testing.assert_allclose(flow_texture(flat, np.arange(50), 1.0), 1.0)

    def test_holes_take_the_nearest_value_and_outside_stays_empty(self) -> None:
        show = np.ones((5, 1, 1), bool)
        show[4] = False
        volume, filled = fill_from_nearest(np.array([2.0, np.nan, 1e-9, 7.0]), show)
        np.testing.assert_array_equal(volume.ravel(), [2.0, 2.0, 7.0, 7.0, np.nan])
        assert filled == 2

    def test_limits_come_from_the_given_map_when_it_has_enough_values(self) -> None:
        values = np.arange(1.0, 402.0)
        found = limits_of(np.concatenate([values, np.zeros(5), [np.nan]]), (1.0, 200.0))
        assert (found.low, found.high) == (5.0, 399.0)
        assert limits_of(values[:200], (1.0, 200.0)) == Limits(1.0, 200.0)

    def test_transit_time_is_limited_and_flow_is_not(self) -> None:
        cbf, cbv = np.array([60.0, 1e-5, 60.0, np.nan]), np.array([4.0, 4.0, 1e-4, 4.0])
        found = transit_time(cbf, cbv, Limits(1.0, 100.0), Limits(0.5, 12.0))
        np.testing.assert_allclose(found, [4.0, 12.0, 0.5, np.nan])
