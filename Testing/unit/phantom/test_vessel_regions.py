# SPDX-License-Identifier: Apache-2.0
"""Perfusion maps of simulated cubes."""

import numpy as np
import pytest
from scipy import ndimage

from PerfusionSuiteLib.phantom.vessels import PRESETS, Preset
from PerfusionSuiteLib.phantom.vessels.regions import _spread_regions, make_scene, region_map
from PerfusionSuiteLib.phantom.vessels.values import FLOOR_FLOW


def test_forty_connected_regions_own_every_voxel():
    label = region_map(32, np.random.default_rng(1))
    assert set(np.unique(label)) == set(range(40))
    assert all(ndimage.label(label == region)[1] == 1 for region in range(40))


def test_the_same_seed_gives_the_same_map_and_another_seed_another():
    one, same, other = (region_map(16, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_plain_and_compiled_loops_give_the_same_map():
    label = np.full((8, 8, 8), -1, np.int32)
    rng = np.random.default_rng(5)
    seeds = rng.choice(512, 6, replace=False)
    label.ravel()[seeds] = np.arange(6)
    front = np.empty((6, 512), np.int32)
    front[:, 0] = seeds
    _spread_regions(label, front, np.ones(6, np.int64), np.arange(6), rng)
    np.testing.assert_array_equal(label, region_map(8, np.random.default_rng(5), regions=6))


def test_flow_of_a_published_scene_varies_by_ten_percent_about_its_region():
    scene = make_scene(PRESETS["published"], np.random.default_rng(7))
    label = region_map(32, np.random.default_rng(7))  # the first draws are those of the map
    for region in range(40):
        flow = scene.perfusion[label == region]
        middle = 0.5 * (flow.min() + flow.max())
        if flow.min() > FLOOR_FLOW:
            assert flow.max() / middle < 1.1001
    assert scene.perfusion.min() >= FLOOR_FLOW
    assert scene.perfusion.max() <= 88.0


def test_tissue_scenes_have_gray_and_white_matter_with_their_own_relaxation():
    scene = make_scene(Preset("tissue only", "one-way", 1.0, 0.0), np.random.default_rng(8))
    gray, white = scene.perfusion > 36.0, (scene.perfusion > 0) & (scene.perfusion < 33.1)
    assert gray.any()
    assert white.any()
    assert (gray | white | (scene.perfusion == 0)).all()
    assert scene.t1_tissue_s[gray].min() > scene.t1_tissue_s[white].max()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_ischemia_lowers_flow_somewhere_and_only_when_asked(share):
    preset = Preset("regions", "none", 0.0, share)
    plain = make_scene(Preset("regions", "none", 0.0, 0.0), np.random.default_rng(11))
    scene = make_scene(preset, np.random.default_rng(11))
    assert scene.kind == ("regions+ischemia" if share else "regions")
    assert (np.median(scene.perfusion) < np.median(plain.perfusion)) == bool(share)


def test_a_lone_voxel_that_no_vessel_could_reach_is_left_out():
    from PerfusionSuiteLib.phantom.vessels.regions import _without_crumbs

    flow = np.zeros((20, 4, 4))
    flow[:5], flow[8, 1, 1], flow[19, 3, 3] = 30.0, 50.0, 50.0
    kept = _without_crumbs(flow)
    assert kept[8, 1, 1] == 50.0
    assert kept[19, 3, 3] == 0.0
    np.testing.assert_array_equal(kept[:5], flow[:5])
