# SPDX-License-Identifier: Apache-2.0
"""Core by diffusion, and blood volume relative to white matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps, TissueMasks

SHAPE = (40, 48, 6)
AFFINE = np.array([[-4.0, 0, 0, 78.0], [0, -4.0, 0, 94.0], [0, 0, 8.0, 0], [0, 0, 0, 1.0]])
TUMOR = np.zeros(SHAPE, bool)
TUMOR[6:12, 20:26, 2:4] = True


@pytest.fixture
def maps():
    """White matter with 2 mL/100 g inside, grey with 4 around; a tumor with 8 on one side."""
    rng = np.random.default_rng(0)
    i, j, _ = np.indices(SHAPE)
    away = np.hypot((i - 19.5) / 18, (j - 23.5) / 22)
    cbv = np.where(away < 0.75, 2.0, 4.0) * rng.normal(1.0, 0.05, SHAPE)
    cbv[TUMOR] = 8.0
    arrays = {"cbv": cbv, "cbf": 10 * cbv, "tmax": np.full(SHAPE, 2.0), "adc": np.full(SHAPE, 800.0)}
    return PerfusionMaps.from_arrays({k: v.astype(np.float32) for k, v in arrays.items()}, AFFINE)


@pytest.fixture
def masks():
    i, j, _ = np.indices(SHAPE)
    brain, none = np.hypot((i - 19.5) / 18, (j - 23.5) / 22) < 1.0, np.zeros(SHAPE, bool)
    return TissueMasks(brain, none, none, none)


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "1e-6 mm2/s"), (1e-3, "1e-3 mm2/s"), (1e-6, "mm2/s")])
def test_the_unit_of_an_adc_map_is_told_by_the_brain(masks, factor, unit):
    adc, found = lesion.adc_map(np.full(SHAPE, 800.0 * factor), masks.brain)
    assert found == unit
    np.testing.assert_allclose(adc, 800.0, rtol=1e-6)


def test_maps_that_are_no_diffusion_or_lie_elsewhere_are_refused(masks):
    with pytest.raises(InvalidInputError, match="fits no unit of diffusion"):
        lesion.adc_map(np.full(SHAPE, 80.0), masks.brain)
    with pytest.raises(InvalidInputError, match="Register it"):
        lesion.adc_map(np.zeros(SHAPE), masks.brain)


def test_with_the_preset_adc_the_core_is_where_diffusion_is_low(maps, masks):
    low = np.zeros(SHAPE, bool)
    low[28:33, 20:28, 2:5] = True
    adc = maps["adc"].values.copy()
    adc[low] = 500.0
    _, found = lesion.segment(maps.added(replace(maps["adc"], values=adc)), masks=masks, preset="adc")
    np.testing.assert_array_equal(found.core, low & masks.tissue)
    assert found.thresholds["core_adc"] == 620.0


def test_the_preset_adc_without_a_map_says_what_is_missing(maps, masks):
    without = PerfusionMaps([item for key, item in maps.items() if key != "adc"])
    with pytest.raises(InvalidInputError, match="needs the maps adc"):
        lesion.segment(without, masks=masks, preset="adc")


def test_white_matter_is_the_class_with_less_blood(maps, masks):
    found = lesion.white_matter(maps, masks.tissue & ~TUMOR)
    assert np.median(maps["cbv"].values[found]) == pytest.approx(2.0, rel=0.03)
    assert (maps["cbv"].values[found] < 3.0).all()


def test_scaling_to_white_matter_is_free_of_the_scale_of_the_input(maps, masks):
    for factor in (0.1, 1.0, 7.0):
        given = maps.added(*(replace(maps[k], values=factor * maps[k].values) for k in ("cbf", "cbv")))
        scaled, findings = lesion.scale_to_white_matter(given, masks)
        np.testing.assert_allclose(scaled["cbv"].values, maps["cbv"].values, rtol=0.03)
        np.testing.assert_allclose(scaled["cbf"].values, maps["cbf"].values, rtol=0.03)
        np.testing.assert_array_equal(scaled["tmax"].values, maps["tmax"].values)
        assert [f.code for f in findings] == ["dsc_scaled_to_white_matter"]


def test_without_white_matter_nothing_is_scaled_and_that_is_told(maps, masks):
    empty = maps.added(replace(maps["cbv"], values=np.zeros(SHAPE, np.float32)))
    scaled, findings = lesion.scale_to_white_matter(empty, masks)
    assert scaled is empty
    assert findings[0].severity == "warning"


def test_a_tumor_is_compared_with_white_matter_of_the_other_side(maps, masks):
    middle = np.array([1.0, 0.0, 0.0, 0.0])
    rcbv, reference, numbers = lesion.tumor_blood_volume(maps, masks, TUMOR, middle)
    assert numbers["rcbv_mean"] == pytest.approx(4.0, rel=0.03)
    assert np.median(rcbv.values[TUMOR]) == pytest.approx(400.0, rel=0.03)
    assert not reference[:20].any()
    assert numbers["reference_voxels"] == reference.sum() > 100


def test_a_given_normal_region_wins(maps, masks):
    middle, given = np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(SHAPE, bool)
    given[19:21, 2:5] = True  # grey matter
    assert lesion.tumor_blood_volume(maps, masks, TUMOR, middle, given)[2]["rcbv_mean"] == pytest.approx(2.0, rel=0.05)
    with pytest.raises(InvalidInputError, match="holds no blood volume"):
        lesion.tumor_blood_volume(maps, masks, np.zeros(SHAPE, bool), middle)
