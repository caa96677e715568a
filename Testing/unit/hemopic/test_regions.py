# SPDX-License-Identifier: Apache-2.0
"""Division of the brain into regions, and the estimate of tissue classes."""

from __future__ import annotations

import numpy as np
import physical_scan
import pytest

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.hemopic.physical_features import CurveFeatures, curve_features
from PerfusionSuiteLib.hemopic.regions import RegionRules, Regions, assign, k_means, make_regions, robust_scaled
from PerfusionSuiteLib.hemopic.tissue_estimate import estimate_tissue

TIMES = np.arange(0.0, 70.0, 1.5)


def divided(scan: physical_scan.Scan, **rules: float) -> Regions:
    features = curve_features(scan.data.reshape(-1, scan.times_s.size), scan.times_s)
    shape = scan.labels.shape
    chosen = RegionRules({1: 2, 2: 2}, **rules)
    return make_regions(features, scan.labels.ravel(), np.arange(scan.labels.size), shape, physical_scan.AFFINE, chosen)


def test_features_of_a_curve_are_its_peak_its_time_its_area_and_its_moments() -> None:
    curve = np.exp(-0.5 * ((TIMES - 30.0) / 5.0) ** 2)[None]
    found = curve_features(curve, TIMES)
    assert found.ttp_s[0] == 30.0
    assert found.mean_s[0] == pytest.approx(30.0, abs=0.05)
    assert found.area[0] == pytest.approx(5.0 * np.sqrt(2.0 * np.pi), rel=1e-3)
    assert 2.0 < found.width_s[0] < 5.0


class TestScaling:
    def test_a_feature_that_most_voxels_share_is_scaled_by_its_other_spreads(self) -> None:
        values = np.zeros((100, 1))
        values[:30, 0] = np.linspace(1.0, 2.0, 30)
        assert 0.0 < np.abs(robust_scaled(values)).max() < 10.0  # MAD is zero

    def test_a_feature_without_spread_counts_nothing(self) -> None:
        assert (robust_scaled(np.full((10, 1), 7.0)) == 0).all()


class TestKMeans:
    def test_finds_well_separated_clusters_and_is_the_same_each_time(self) -> None:
        rng = np.random.default_rng(0)
        points = np.concatenate([rng.normal(c, 0.1, (200, 2)) for c in ((0, 0), (5, 0), (0, 5), (5, 5))]).astype(np.float32)
        first, second = k_means(points, 4, 3), k_means(points, 4, 3)
        assert (first == second).all()
        nearest, distance = assign(points, first)
        assert all(np.unique(nearest[n * 200 : (n + 1) * 200]).size == 1 for n in range(4))
        assert distance.max() < 0.5

    def test_more_clusters_than_different_points_gives_fewer(self) -> None:
        assert len(k_means(np.zeros((50, 2), np.float32), 5, 0)) == 1


class TestRegions:
    def test_late_tissue_becomes_regions_of_its_own_within_each_tissue(self) -> None:
        scan = physical_scan.scan(TIMES, noise=0.2)
        found = divided(scan, min_volume_ml=1.0)
        assert found.tissue == ("GM", "GM", "WM", "WM")
        number, late = found.number.reshape(scan.labels.shape), scan.late
        for label in (1, 2):
            tissue = scan.labels == label
            assert set(np.unique(number[tissue & late])).isdisjoint(np.unique(number[tissue & ~late]))

    def test_small_regions_join_others(self) -> None:
        scan = physical_scan.scan(TIMES, noise=0.2)
        voxel_ml = 0.045
        found = divided(scan, min_volume_ml=10.0)
        assert np.bincount(found.number)[1:].min() * voxel_ml >= 10.0

    def test_do_not_depend_on_the_order_of_axes_in_the_array(self) -> None:
        scan = physical_scan.scan(TIMES, noise=0.2)
        turned = physical_scan.Scan(scan.data[::-1], scan.times_s, {k: v[::-1] for k, v in scan.truth.items()}, scan.labels[::-1])
        a, b = divided(scan).number.reshape(scan.labels.shape), divided(turned).number.reshape(scan.labels.shape)[::-1]
        assert np.mean([np.bincount(b[a == n]).max() / (a == n).sum() for n in np.unique(a)]) > 0.97

    def test_voxels_without_a_tissue_belong_to_none(self) -> None:
        scan = physical_scan.scan(TIMES)
        scan.labels[:3] = 0
        assert (divided(scan).number.reshape(scan.labels.shape)[:3] == 0).all()

    def test_unknown_labels_are_refused(self) -> None:
        scan = physical_scan.scan(TIMES)
        scan.labels[0, 0, 0] = 9
        with pytest.raises(InvalidInputError, match="tissue labels hold"):
            divided(scan)


class TestTissueEstimate:
    def test_tells_grey_from_white_matter_and_bright_fluid(self) -> None:
        scan = physical_scan.scan(TIMES, noise=0.3, size=36)
        data, baseline = scan.data.copy(), np.full(scan.labels.shape, 500.0, np.float32)
        fluid = np.zeros(scan.labels.shape, bool)
        fluid[:, 30:] = True
        data[fluid] *= 0.05
        baseline[fluid] = 1200.0
        features = curve_features(data.reshape(-1, TIMES.size), TIMES)
        index = np.arange(fluid.size)
        found = estimate_tissue(features, baseline.ravel(), index, fluid.shape, physical_scan.AFFINE).reshape(fluid.shape)
        assert (found[fluid] == 3).mean() > 0.9
        inside = ~fluid
        assert (found[inside] == scan.labels[inside]).mean() > 0.9

    def test_of_curves_without_tracer_does_not_fail(self) -> None:
        none = np.zeros(64, np.float32)
        features = CurveFeatures(none, none, none, none, none)
        found = estimate_tissue(features, None, np.arange(64), (4, 4, 4), physical_scan.AFFINE)
        assert found.shape == (64,)
