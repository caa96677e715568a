# SPDX-License-Identifier: Apache-2.0
"""Statistics of regions against sums done by hand, and their mirror images."""

import numpy as np
import pytest

from PerfusionSuiteLib.core.errors import GridMismatchError
from PerfusionSuiteLib.lesion.region_statistics import region_statistics

AFFINE = np.array([[2.0, 0, 0, -9], [0, 2.0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])
"""Ten voxels across: the middle between the fifth and the sixth is x = 0."""


@pytest.fixture
def flow():
    values = np.full((10, 4, 2), 50.0, np.float32)
    values[7:9] = 10.0
    return values


@pytest.fixture
def region():
    mask = np.zeros((10, 4, 2), bool)
    mask[7:9] = True
    return mask


def test_numbers_of_a_known_region(flow, region):
    flow[7, 0, 0] = 18.0
    row = region_statistics({"CBF": flow}, {"core": region}, AFFINE, units={"CBF": "mL/100g/min"})[0]
    inside = np.array([18.0] + [10.0] * 15)
    assert row["volume_ml"] == pytest.approx(16 * 0.02)
    assert (row["voxels"], row["unit"], row["median"]) == (16, "mL/100g/min", 10.0)
    assert row["mean"] == pytest.approx(inside.mean())
    assert row["sd"] == pytest.approx(np.sqrt(((inside - inside.mean()) ** 2).mean()))
    assert row["p95"] == pytest.approx(np.percentile(inside, 95))
    assert row["percent_of_mirror"] is None


def test_the_mirror_image_is_the_other_side(flow, region):
    row = region_statistics({"CBF": flow}, {"core": region}, AFFINE, midplane=(1, 0, 0, 0.0))[0]
    assert row["mirror_mean"] == pytest.approx(50.0)
    assert row["percent_of_mirror"] == pytest.approx(20.0)
    assert row["mirror_voxels"] == 16


def test_what_a_region_shares_with_its_mirror_image_does_not_count_as_such(flow):
    across = np.ones((10, 4, 2), bool)
    row = region_statistics({"CBF": flow}, {"all": across}, AFFINE, midplane=(1, 0, 0, 0.0))[0]
    assert row["mirror_voxels"] == 0
    assert row["mirror_mean"] is None


def test_only_tissue_of_the_mirror_image_counts(flow, region):
    flow[1:3, :, 1] = 90.0
    tissue = np.zeros_like(region)
    tissue[:, :, 0] = True
    row = region_statistics({"CBF": flow}, {"core": region}, AFFINE, midplane=(1, 0, 0, 0.0), tissue=tissue)[0]
    assert row["mirror_mean"] == pytest.approx(50.0)


def test_voxels_that_were_not_computed_do_not_count_but_their_volume_does(flow, region):
    flow[7] = np.nan
    row = region_statistics({"CBF": flow}, {"core": region}, AFFINE)[0]
    assert (row["voxels"], row["mean"]) == (8, 10.0)
    assert row["volume_ml"] == pytest.approx(0.32)


def test_an_empty_region_has_a_volume_of_zero_and_no_mean(flow):
    row = region_statistics({"CBF": flow}, {"empty": np.zeros(flow.shape, bool)}, AFFINE, midplane=(1, 0, 0, 0.0))[0]
    assert (row["volume_ml"], row["mean"], row["percent_of_mirror"]) == (0.0, None, None)


def test_a_region_of_another_grid_is_refused(flow):
    with pytest.raises(GridMismatchError, match="region 'x'"):
        region_statistics({"CBF": flow}, {"x": np.zeros((3, 3, 3), bool)}, AFFINE)
