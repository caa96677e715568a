# SPDX-License-Identifier: Apache-2.0
"""Tmax is averaged a little, within slices and tissue, before it is compared with thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps
from PerfusionSuiteLib.lesion.hypoperfusion import judged_tmax
from PerfusionSuiteLib.lesion.presets import Preset, preset_of
from PerfusionSuiteLib.lesion.preview import preview, preview_basis
from PerfusionSuiteLib.results.thresholds import hypoperfusion_words

SIZE_MM = (1.0, 1.0, 5.0)
AFFINE = np.diag((*SIZE_MM, 1.0))


def a_map(tmax: np.ndarray, affine: np.ndarray = AFFINE) -> PerfusionMaps:
    return PerfusionMaps.from_arrays({"tmax": tmax, "cbf": np.full(tmax.shape, 40.0)}, affine)


def test_what_is_no_tissue_and_other_slices_stay_out_of_the_averages() -> None:
    tmax = np.full((21, 21, 3), 4.0)
    tmax[:, :, 2] = 30.0
    tmax[12:] = 60.0
    tissue = np.zeros(tmax.shape, bool)
    tissue[:12, :, :2] = True
    judged = judged_tmax(a_map(tmax), Preset(), tissue)
    assert judged[tissue] == pytest.approx(4.0, abs=1e-5)
    assert np.isnan(judged[~tissue]).all()


def test_a_voxel_without_a_number_takes_no_part() -> None:
    tmax = np.full((9, 9, 1), 5.0)
    tmax[4, 4] = np.nan
    judged = judged_tmax(a_map(tmax), Preset(), np.ones(tmax.shape, bool))
    assert np.isnan(judged[4, 4, 0])
    assert np.delete(judged.ravel(), 40) == pytest.approx(5.0, abs=1e-5)


def test_noise_falls_as_much_on_a_fine_grid_as_the_gaussian_says_whatever_the_order_of_axes() -> None:
    rng = np.random.default_rng(0)
    noise = 5.0 + rng.normal(size=(80, 80, 4))
    sigma = Preset().smooth_mm  # in voxels of 1 mm
    expected = (
        np.exp(-(np.arange(-9, 10) ** 2) / (2 * sigma**2)) / np.exp(-(np.arange(-9, 10) ** 2) / (2 * sigma**2)).sum()
    ) ** 2
    tissue = np.ones(noise.shape, bool)
    judged = judged_tmax(a_map(noise), Preset(), tissue)
    assert judged[10:-10, 10:-10].std() == pytest.approx(expected.sum(), rel=0.05)
    turned = np.zeros((4, 4))
    turned[2, 0], turned[0, 1], turned[1, 2], turned[3, 3] = SIZE_MM[2], SIZE_MM[0], SIZE_MM[1], 1.0  # slices first
    across = judged_tmax(a_map(noise.transpose(2, 0, 1), turned), Preset(), tissue.transpose(2, 0, 1))
    np.testing.assert_allclose(across.transpose(1, 2, 0), judged, rtol=1e-5)


def test_presets_that_take_the_threshold_alone_and_earlier_lesions_compare_the_map_itself() -> None:
    maps = a_map(np.full((5, 5, 1), 5.0))
    tissue = np.ones((5, 5, 1), bool)
    for preset in (lesion.PRESETS["rapid-like"], lesion.PRESETS["neuroflow"], preset_of({"tmax_s": 6.0, "late_by_s": 1.75})):
        assert judged_tmax(maps, preset, tissue) is maps["tmax"].values


def test_words_say_so() -> None:
    thresholds = Preset().as_dict()
    assert "averaged over 0.8 mm" in hypoperfusion_words(thresholds)
    assert "averaged" not in hypoperfusion_words({**thresholds, "smooth_mm": 0.0})


def test_a_map_of_whole_seconds_does_not_cross_a_threshold_by_rounding() -> None:
    tissue = np.random.default_rng(0).random((40, 40, 2)) > 0.4
    judged = judged_tmax(a_map(np.full(tissue.shape, 6.0)), Preset(), tissue)
    assert not (judged[tissue] > 6.0).any()
    assert (judged[tissue] >= 6.0).all()


def test_levels_of_presets_by_delay_or_flow_are_of_the_map_itself() -> None:
    maps = a_map(np.full((5, 5, 1), 5.0))
    for name in ("mistar-like", "syngo-like"):
        assert judged_tmax(maps, lesion.PRESETS[name], np.ones((5, 5, 1), bool)) is maps["tmax"].values


@pytest.mark.parametrize("wrong", [-1.0, 11.0, float("nan")])
def test_a_width_that_makes_no_sense_is_refused(wrong: float) -> None:
    with pytest.raises(InvalidInputError, match="smooth_mm"):
        Preset(smooth_mm=wrong)


def test_what_is_compared_as_it_is_has_an_offset_of_its_own_unless_the_user_gives_one() -> None:
    preset = Preset()
    assert preset.reference_offset("spatial") > preset.offset("spatial")
    assert preset.reference_offset("osvd") == preset.offset("osvd")
    assert replace(preset, tmax_offset_s={"spatial": -1.0}).reference_offset("spatial") == -1.0
    for plain in (lesion.PRESETS["rapid-like"], preset_of({"tmax_s": 6.0})):
        assert plain.offset("spatial") == preset.reference_offset("spatial")


def test_lesions_normal_region_and_preview_use_their_offsets() -> None:
    """Left: 5.6 s is late for the spatial fit; right: 3.6 s is normal, 3.9 s is not."""
    i, j, _ = np.indices((40, 40, 2))
    right_s = np.where(j < 20, 3.6, 3.9)
    tmax = np.where(i < 20, right_s, np.where(j < 20, 5.6, 3.6))
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])  # i grows to the left
    affine[:2, 3] = 39.0
    arrays = {"tmax": tmax, "cbf": np.where(tmax > 5, 10.0, np.where(right_s > 3.8, 20.0, 50.0)), "cbv": np.full(tmax.shape, 3.0)}
    maps = PerfusionMaps.from_arrays(arrays, affine)
    preset = replace(Preset(), late_by_s=1.0)
    plane = (1.0, 0.0, 0.0, 0.0)
    _, found = lesion.segment(maps, preset=preset, midplane=plane, method="spatial")
    assert found.side == "left"
    assert found.hypoperfusion[30, 10, 0]
    assert found.reference[10, 10, 0]
    assert not found.reference[10, 30, 0]
    assert (found.thresholds["tmax_offset_s"], found.thresholds["reference_offset_s"]) == (-0.5, -0.25)
    basis = preview_basis(maps, preset=preset, midplane=plane)
    hypoperfusion, core = preview(basis, preset, method="spatial")
    np.testing.assert_array_equal(hypoperfusion, found.hypoperfusion)
    np.testing.assert_array_equal(core, found.core)
    _, plain = lesion.segment(maps, preset=replace(preset, smooth_mm=0.0), midplane=plane, method="spatial")
    assert not plain.hypoperfusion.any()
