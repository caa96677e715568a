# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import made_up_head
import numpy as np
import pytest

from PerfusionSuiteLib.core import InputFunction, InvalidInputError
from PerfusionSuiteLib.input_function import scale_to_vof, select_aif, select_vof

AFFINE = made_up_head.AFFINE
TIMES = np.linspace(0.0, 60.0, 41)


def veins(scene, **options):
    aif = InputFunction(scene.times, scene.aif)
    return select_vof(scene.concentration, scene.times, mask=scene.mask, affine=AFFINE, aif=aif, **options)


def with_slow_sinus(scene, delay_s: float, mean_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The scene with veins that fill later and more slowly; returns the data and the curve of the sinus."""
    fine = np.linspace(0.0, scene.times[-1], 20 * scene.times.size)
    step = fine[1]
    kernel = fine * np.exp(-2.0 * fine / mean_s)
    artery = np.interp(fine, scene.times, scene.aif)
    wide = np.convolve(artery, kernel / (kernel.sum() * step))[: fine.size] * step
    sinus = np.interp(scene.times - delay_s, fine, wide, left=0.0)
    data = scene.concentration + np.where(scene.vein[..., None] > 0, sinus - scene.vof, 0.0)
    return data.astype(np.float32), sinus


def pair(factor: float, end: float = 60.0) -> tuple[InputFunction, InputFunction]:
    """An artery and a vein of one shape, later by 5 s, whose areas differ by a factor."""
    times = TIMES[end >= TIMES]
    artery = InputFunction(times, made_up_head.bolus(times, 8.0, 60.0))
    return artery, InputFunction(times, made_up_head.bolus(times, 13.0, factor * 60.0), kind="vof")


@pytest.mark.parametrize("cnr", [100.0, 40.0, 20.0])
def test_the_sinus_at_the_back_of_the_midline_is_found(scene_of, cnr):
    scene = scene_of(cnr)
    vof = veins(scene)
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()
    assert (np.hypot(vof.voxels[:, 0] - 32, vof.voxels[:, 1] - 65) <= 2).all()
    assert vof.kind == "vof"
    assert np.abs(vof.values - scene.vof).max() < 0.05 * scene.vof.max() + 1.0


def test_the_back_is_taken_from_patient_space_and_not_from_the_array(scene_of):
    scene = scene_of()
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = scene.mask.shape[1] - 1
    aif = InputFunction(scene.times, scene.aif)
    vof = select_vof(scene.concentration[:, ::-1], scene.times, mask=scene.mask[:, ::-1], affine=AFFINE @ flip, aif=aif)
    assert (vof.voxels[:, 1] < 12).all()


def test_another_vein_serves_when_the_sinus_is_not_covered(scene_of):
    scene = scene_of()
    mask = scene.mask.copy()
    mask[:, 60:] = False
    aif = InputFunction(scene.times, scene.aif)
    vof = select_vof(scene.concentration, scene.times, mask=mask, affine=AFFINE, aif=aif)
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()


def test_bone_is_not_a_vein(scene_of):
    scene = scene_of()
    baseline = np.where(scene.vein > 0, 800.0, 35.0)
    vof = veins(scene, baseline=baseline)
    assert vof is None or (scene.vein[tuple(vof.voxels.T)] == 0).all()


def test_without_a_vein_the_answer_is_none_and_the_aif_says_so(scene_of):
    scene = scene_of(100.0)
    data = np.where(scene.vein[..., None] > 0, 0.0, scene.concentration)
    mask = scene.mask & ((scene.artery > 0) | (np.indices(scene.mask.shape)[0] < 4))
    aif = InputFunction(scene.times, scene.aif)
    assert select_vof(data, scene.times, mask=mask, affine=AFFINE, aif=aif) is None
    scaled = scale_to_vof(aif, None)
    assert {"vof_missing", "absolute_values_unreliable"} <= set(scaled.flags)
    assert scaled.scale == 1.0
    np.testing.assert_array_equal(scaled.values, aif.values)


def test_a_vein_cut_off_by_the_end_of_the_scan_is_flagged(scene_of):
    scene = scene_of(100.0, 0, 25.5)
    assert "truncated_venous" in veins(scene).flags
    assert "truncated_venous" not in veins(scene_of(100.0)).flags


def test_scaling_removes_the_partial_volume_of_the_scene(scene_of):
    scene = scene_of(100.0)
    aif = select_aif(scene.concentration, scene.times, mask=scene.mask, affine=AFFINE, exclude=scene.artery > 0.6)
    scaled = scale_to_vof(aif, veins(scene))
    assert scaled.scale > 1.3
    assert np.abs(scaled.values - scene.aif).max() < 0.05 * scene.aif.max()


@pytest.mark.parametrize("factor", [1.5, 3.0, 8.0])
@pytest.mark.parametrize("end", [60.0, 26.0], ids=["whole", "cut off"])
def test_areas_are_made_equal_even_when_the_vein_is_cut_off(factor, end):
    scaled = scale_to_vof(*pair(factor, end))
    assert scaled.scale == pytest.approx(factor, rel=0.03)
    assert scaled.quality["scale"] == scaled.scale
    assert scaled.quality["aif_vof_delay_s"] == pytest.approx(5.0, abs=1.5)
    assert ("aif_scaled_large" in scaled.flags) == (factor > 4)


def test_an_artery_larger_than_the_vein_is_not_made_smaller():
    aif, vof = pair(0.6)
    scaled = scale_to_vof(aif, vof)
    assert scaled.scale == 1.0
    np.testing.assert_array_equal(scaled.values, aif.values)


def test_a_huge_factor_is_limited_and_flagged():
    scaled = scale_to_vof(*pair(25.0))
    assert scaled.scale == 10.0
    assert {"aif_scaled_large", "absolute_values_unreliable"} <= set(scaled.flags)
    assert scale_to_vof(*pair(25.0), max_factor=30.0).scale == pytest.approx(25.0, rel=0.03)


def test_a_cut_off_vein_that_no_gamma_variate_fits_leaves_the_artery_unscaled():
    aif, _ = pair(2.0)
    rising = InputFunction(TIMES, np.where(TIMES > 15, 100.0 + 40.0 * (np.arange(TIMES.size) % 2), 0.0), kind="vof")
    scaled = scale_to_vof(aif, rising)
    assert scaled.scale == 1.0
    assert "absolute_values_unreliable" in scaled.flags


def test_the_scale_factor_does_not_depend_on_the_unit():
    aif, vof = pair(3.0)
    small = scale_to_vof(InputFunction(TIMES, aif.values / 50), InputFunction(TIMES, vof.values / 50, kind="vof"))
    assert small.scale == pytest.approx(scale_to_vof(aif, vof).scale, rel=1e-4)


def test_scaling_twice_and_factors_below_one_are_refused():
    aif, vof = pair(3.0)
    with pytest.raises(InvalidInputError, match="already scaled by"):
        scale_to_vof(scale_to_vof(aif, vof), vof)
    with pytest.raises(InvalidInputError, match=r"largest scale factor is 0\.5"):
        scale_to_vof(aif, vof, max_factor=0.5)


def test_voxels_that_the_skull_moves_into_are_not_taken_for_the_sinus(scene_of):
    scene = scene_of(40.0)
    data = scene.concentration.copy()
    jerk = np.where(scene.times > 18.0, 1.5 * scene.vof.max(), 0.0)  # bone stays in the voxel after the head has moved
    data[30:35, 66:68, 2:4] += jerk.astype(np.float32)
    aif = InputFunction(scene.times, scene.aif)
    vof = select_vof(data, scene.times, mask=scene.mask, affine=AFFINE, aif=aif)
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()
    assert np.abs(vof.values - scene.vof).max() < 0.1 * scene.vof.max()


def test_bone_that_moves_in_everywhere_does_not_crowd_veins_out(scene_of):
    scene = scene_of(40.0)
    data, rng = scene.concentration.copy(), np.random.default_rng(3)
    bed = 1.8 * np.interp(scene.times - 4.0, scene.times, scene.vof, left=0.0)
    for i, j in ((12, 30), (16, 52), (22, 60), (28, 14), (36, 12), (42, 60), (48, 54), (52, 28), (24, 44), (40, 50)):
        sway = 0.22 * bed.max() * np.sin(scene.times / 60.0 * rng.uniform(14, 30) + rng.uniform(0, 6)) * (bed > 0.05 * bed.max())
        data[i : i + 2, j : j + 2, 1:4] += (bed + sway).astype(np.float32)
    vof = select_vof(data, scene.times, mask=scene.mask, affine=AFFINE, aif=InputFunction(scene.times, 0.5 * scene.aif))
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()


def test_veins_that_fill_no_voxel_make_the_scale_doubtful(scene_of):
    scene = scene_of(100.0)
    part = np.where(scene.vein > 0, 0.45, 0.0)
    part[31:34, 65:67, 2] = 0.75  # the widest place of the widest vein, and still three quarters of it
    narrow = scene.concentration - ((scene.vein - part)[..., None] * scene.vof).astype(np.float32)
    aif = InputFunction(scene.times, 0.3 * scene.aif)

    def judged(data):
        vof = select_vof(data, scene.times, mask=scene.mask, affine=AFFINE, aif=aif, baseline=scene.baseline)
        return scale_to_vof(aif, vof)

    assert judged(narrow).scale < 0.85 / 0.3
    assert "wide enough" in next(f.message for f in judged(narrow).findings if f.code == "aif_uncertain")
    assert not any("wide enough" in f.message for f in judged(scene.concentration).findings)


def test_a_sinus_that_fills_long_after_the_artery_is_found_before_a_branch_behind_a_blockage(scene_of):
    scene = scene_of(40.0, 0, 48.0)
    data, sinus = with_slow_sinus(scene, 12.0, 14.0)
    artery = 0.4 * scene.aif
    assert scene.times[sinus.argmax()] - scene.times[artery.argmax()] > 16.0
    late = np.interp(scene.times - 5.0, scene.times, artery, left=0.0)
    branch = (slice(44, 47), slice(40, 43), slice(1, 5))
    data[branch] += late.astype(np.float32)
    aif = InputFunction(scene.times, artery)
    vof = select_vof(data, scene.times, mask=scene.mask, affine=AFFINE, aif=aif)
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()
    assert "truncated_venous" in vof.flags
    assert scale_to_vof(aif, vof).scale == pytest.approx(1 / 0.4, rel=0.1)


def test_a_vein_with_hardly_more_contrast_than_the_artery_is_taken_where_there_is_no_other(scene_of):
    scene = scene_of(100.0)
    aif = InputFunction(scene.times, scene.aif)  # pure blood, as in the sinus
    vof = veins(scene)
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()
    assert scale_to_vof(aif, vof).scale == pytest.approx(1.0, abs=0.1)


def test_strong_recirculation_does_not_hide_the_sinus(scene_of):
    scene = scene_of(40.0)
    level = np.interp(scene.times - 8.0, scene.times, np.cumsum(scene.vof) / scene.vof.sum(), left=0.0)
    wide = scene.vof + 0.62 * scene.vof.max() * level * np.exp(-np.maximum(scene.times - 25.0, 0.0) / 60.0)
    above = scene.times[wide > 0.5 * wide.max()]
    assert above[-1] - above[0] > 26.0
    data = scene.concentration + np.where(scene.vein[..., None] > 0, wide - scene.vof, 0.0).astype(np.float32)
    data[44:47, 40:43, 1:5] += (0.35 * scene.vof).astype(np.float32)  # a small vein behind the artery's first pass alone
    again = np.interp(scene.times + 4.0, scene.times, wide - scene.vof)
    aif = InputFunction(scene.times, 0.5 * (scene.aif + again))
    vof = select_vof(data, scene.times, mask=scene.mask, affine=AFFINE, aif=aif)
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()


def moved_vein(factor: float) -> tuple[InputFunction, InputFunction]:
    """A cut-off vein that the head moves out of its voxels after the peak, and bone into them at the end: no fit can follow."""
    aif, vof = pair(factor, 42.0)
    times, top = vof.times_s, float(vof.values.max())
    moved = np.where(times > 32.0, top, 0.0) - np.where((times > 21.0) & (times <= 32.0), 0.4 * top, 0.0)
    return aif, InputFunction(times, vof.values + moved, kind="vof")


@pytest.mark.parametrize("factor", [2.5, 5.0])
def test_a_vein_that_no_fit_follows_still_scales_the_artery_by_its_sampled_area(factor):
    aif, vof = moved_vein(factor)
    scaled = scale_to_vof(aif, vof)
    assert scaled.scale == pytest.approx(factor, rel=0.25)
    assert "absolute_values_unreliable" in scaled.flags


def test_what_no_fit_follows_and_is_no_taller_than_the_artery_scales_nothing():
    aif, vof = moved_vein(0.9)
    scaled = scale_to_vof(aif, vof)
    assert scaled.scale == 1.0
    assert "absolute_values_unreliable" in scaled.flags
