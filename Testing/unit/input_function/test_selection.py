# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import made_up_head
import numpy as np
import pytest

from PerfusionSuiteLib.core import CancelledError, GridMismatchError, InvalidInputError, TimingError
from PerfusionSuiteLib.input_function import METHODS, describe, select_aif

AFFINE = made_up_head.AFFINE


def choose(scene, **options):
    return select_aif(scene.concentration, scene.times, mask=scene.mask, affine=AFFINE, **{"baseline": scene.baseline} | options)


def at(volume, curve):
    return volume[tuple(curve.voxels.T)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("cnr", [100.0, 40.0, 20.0])
def test_the_score_method_finds_arteries_and_no_veins_at_every_noise_level(scene_of, cnr, seed):
    scene = scene_of(cnr, seed)
    aif = choose(scene)
    assert (at(scene.artery, aif) >= 0.2).mean() >= 0.8
    assert (at(scene.vein, aif) == 0).all()
    truth = describe(scene.times, scene.aif)["first_moment_s"]
    assert abs(aif.quality["first_moment_s"] - truth) <= 0.5


@pytest.mark.parametrize("cnr", [100.0, 40.0, 20.0])
@pytest.mark.parametrize("method", ["cluster", "hierarchical"])
def test_the_published_methods_find_arteries_and_no_veins(scene_of, method, cnr):
    scene = scene_of(cnr, 1)
    aif = choose(scene, method=method)
    assert (at(scene.artery, aif) >= 0.2).mean() >= 0.8
    assert (at(scene.vein, aif) == 0).all()


def test_the_curve_is_the_plain_mean_of_the_measured_voxels(scene_of):
    scene = scene_of()
    aif = choose(scene)
    np.testing.assert_allclose(aif.values, at(scene.concentration, aif).mean(axis=0), rtol=1e-5)
    assert aif.quality["voxels"] == len(aif.voxels)
    assert aif.kind == "aif"
    assert aif.scale == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_the_same_scan_gives_the_same_voxels_twice(scene_of, method):
    first, second = (choose(scene_of(), method=method) for _ in range(2))
    np.testing.assert_array_equal(first.voxels, second.voxels)


def test_the_choice_does_not_depend_on_the_unit_of_height(scene_of):
    scene = scene_of()
    doubled = select_aif(2 * scene.concentration, scene.times, mask=scene.mask, affine=AFFINE, baseline=scene.baseline)
    np.testing.assert_array_equal(doubled.voxels, choose(scene).voxels)


def test_a_flipped_and_transposed_scan_gives_the_same_places_in_the_patient(scene_of):
    scene = scene_of()
    turned = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)  # new i = j, new j = -i
    turned[0, 3] = scene.mask.shape[0] - 1  # old i = last - new j
    moved = {
        "concentration": scene.concentration.transpose(1, 0, 2, 3)[:, ::-1],
        "times_s": scene.times,
        "mask": scene.mask.transpose(1, 0, 2)[:, ::-1],
        "affine": AFFINE @ turned,
        "baseline": scene.baseline.transpose(1, 0, 2)[:, ::-1],
    }
    one, two = choose(scene), select_aif(**moved)

    def places(curve, affine):
        return {tuple(np.round(p, 3)) for p in curve.voxels @ affine[:3, :3].T + affine[:3, 3]}

    assert places(one, AFFINE) == places(two, AFFINE @ turned)


def test_excluded_voxels_are_never_chosen(scene_of):
    scene = scene_of()
    strongest = scene.artery > 0.5
    aif = choose(scene, exclude=strongest)
    assert not at(strongest, aif).any()
    assert (at(scene.artery, aif) >= 0.2).all()


def test_arteries_beside_bone_are_left_alone(scene_of):
    scene = scene_of()
    baseline = scene.baseline.copy()
    baseline[19:23, 25:29] = 600.0  # the strongest artery now lies in bone
    aif = choose(scene, baseline=baseline)
    assert (np.hypot(aif.voxels[:, 0] - 20.5, aif.voxels[:, 1] - 26.5) > 3).all()
    assert (at(scene.artery, aif) >= 0.2).all()


def test_fluid_like_groups_are_refused(scene_of):
    scene = scene_of()
    baseline = scene.baseline.copy()
    baseline[18:24, 24:30] = 2.0
    assert (at(baseline, choose(scene, baseline=baseline)) > 10).all()


def test_missing_voxels_are_counted_and_left_out(scene_of):
    scene = scene_of()
    data = scene.concentration.copy()
    data[20, 26, 2, 5] = np.nan
    data[30, 30, 3] = np.nan
    aif = select_aif(data, scene.times, mask=scene.mask, affine=AFFINE)
    assert aif.quality["nonfinite_voxels"] == 2
    assert [20, 26, 2] not in aif.voxels.tolist()
    assert np.isfinite(aif.values).all()


def test_two_phase_frame_times_are_taken_as_they_are(scene_of):
    scene = scene_of(100.0)
    keep = np.r_[0:26, 27 : scene.times.size : 2]
    aif = select_aif(scene.concentration[..., keep], scene.times[keep], mask=scene.mask, affine=AFFINE)
    assert (at(scene.artery, aif) >= 0.2).all()
    np.testing.assert_array_equal(aif.times_s, scene.times[keep])


def test_a_weak_bolus_gives_a_curve_with_a_flag_instead_of_an_error(scene_of):
    scene = scene_of(40.0, 0, 60.0, 12.0)
    aif = choose(scene)
    assert "aif_weak" in aif.flags
    assert (at(scene.artery, aif) >= 0.2).mean() >= 0.8


def test_a_strong_bolus_in_a_long_scan_is_not_flagged(scene_of):
    assert choose(scene_of(100.0)).flags == ()


def test_a_short_scan_is_flagged_by_its_coverage(scene_of):
    scene = scene_of(100.0, 0, 33.0)
    aif = choose(scene)
    assert "aif_coverage_short" in aif.flags
    assert aif.quality["coverage_s"] < 25


def test_dsc_curves_have_no_limit_in_hounsfield_units(scene_of):
    scene = scene_of(40.0, 0, 60.0, 12.0)
    aif = select_aif(scene.concentration, scene.times, mask=scene.mask, affine=AFFINE, unit="1/s")
    assert (at(scene.artery, aif) >= 0.2).mean() >= 0.8
    assert not any("HU" in finding.message for finding in aif.findings)


def test_quality_numbers_describe_the_curve(scene_of):
    scene = scene_of(100.0)
    quality = choose(scene).quality
    assert quality["ttp_s"] == pytest.approx(12.8, abs=1.5)
    assert quality["bat_s"] == pytest.approx(8.8, abs=1.5)
    assert 5.0 < quality["fwhm_s"] < 11.0
    assert quality["tissue_ttp_gap_s"] > 1.0
    assert quality["noise_sd"] == pytest.approx(3.0, rel=0.15)
    assert quality["cnr"] > 30


def test_nothing_enhances(scene_of):
    scene = scene_of()
    with pytest.raises(InvalidInputError, match="No voxel of the mask enhances"):
        select_aif(np.zeros_like(scene.concentration), scene.times, mask=scene.mask, affine=AFFINE)


def test_noise_alone_is_not_an_artery(scene_of):
    scene = scene_of()
    noise = np.random.default_rng(0).normal(0, 5, scene.concentration.shape).astype(np.float32)
    with pytest.raises(InvalidInputError, match="No artery was found"):
        select_aif(noise, scene.times, mask=scene.mask, affine=AFFINE)


def test_wrong_inputs_are_refused_with_the_reason(scene_of):
    scene = scene_of()
    data, times, mask = scene.concentration, scene.times, scene.mask
    with pytest.raises(InvalidInputError, match="no method 'best'"):
        select_aif(data, times, mask=mask, affine=AFFINE, method="best")
    with pytest.raises(InvalidInputError, match="is empty"):
        select_aif(data, times, mask=np.zeros_like(mask), affine=AFFINE)
    with pytest.raises(GridMismatchError, match="Resample"):
        select_aif(data, times, mask=mask[:-1], affine=AFFINE)
    with pytest.raises(InvalidInputError, match="4 dimensions"):
        select_aif(data[..., 0], times, mask=mask, affine=AFFINE)
    with pytest.raises(InvalidInputError, match="baseline has shape"):
        select_aif(data, times, mask=mask, affine=AFFINE, baseline=np.zeros((2, 2, 2)))
    with pytest.raises(InvalidInputError, match="tissue curve has shape"):
        select_aif(data, times, mask=mask, affine=AFFINE, tissue_curve=np.zeros(3))
    with pytest.raises(TimingError, match="must increase"):
        select_aif(data, times[::-1], mask=mask, affine=AFFINE)


def test_progress_grows_and_can_cancel(scene_of):
    told: list[float] = []
    scene = scene_of()
    choose(scene, progress=lambda part, _: told.append(part))
    assert told == sorted(told)
    assert told[-1] <= 1.0

    def stop(_part: float, _stage: str) -> None:
        raise CancelledError("stopped")

    with pytest.raises(CancelledError, match="stopped"):
        choose(scene, progress=stop)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_many_tall_veins_do_not_drown_a_few_partial_volume_arteries(scene_of, seed):
    scene = scene_of(40.0, seed)
    aif = choose(scene, exclude=scene.artery > 0.4)
    assert (at(scene.artery, aif) >= 0.2).all()
    assert (at(scene.vein, aif) == 0).all()


def test_noise_does_not_make_the_curve_too_tall(scene_of):
    """Voxels are not picked for their highest noise: the mean of the measured voxels is near the noiseless one."""
    excess = []
    for seed in range(3):
        scene = scene_of(20.0, seed)
        aif = choose(scene)
        excess.append(aif.values.max() / (at(scene.artery, aif).mean() * scene.aif.max()) - 1.0)
    assert abs(np.mean(excess)) < 0.06


def test_contrast_in_the_baseline_frames_does_not_lower_the_arterial_curve(scene_of):
    scene = scene_of(100.0)
    data = scene.concentration - 0.12 * scene.aif.max() * scene.artery[..., None].astype(np.float32)
    aif = select_aif(data, scene.times, mask=scene.mask, affine=AFFINE)
    part = at(scene.artery, aif).mean()
    assert aif.quality["baseline_shift"] == pytest.approx(-0.12 * part * scene.aif.max(), rel=0.1)
    assert np.abs(aif.values - part * scene.aif).max() < 0.05 * part * scene.aif.max()
    assert choose(scene).quality["baseline_shift"] == 0.0


def test_arteries_that_strong_recirculation_keeps_wide_are_chosen_as_others_are(scene_of):
    scene = scene_of(40.0)

    def again(curves):  # blood comes back after 7 and 13 s, nearly as tall: tissue sees that, too
        late = [np.roll(curves, steps, axis=-1) * (np.arange(scene.times.size) >= steps) for steps in (5, 9)]
        return (curves + 0.8 * late[0] + 0.6 * late[1]).astype(np.float32)

    wide = again(scene.aif)
    assert describe(scene.times, wide)["fwhm_s"] > 18.0
    aif = select_aif(again(scene.concentration), scene.times, mask=scene.mask, affine=AFFINE, baseline=scene.baseline)
    assert at(scene.artery, aif).min() >= 0.3
    assert (at(scene.vein, aif) == 0).all()
    assert "aif_weak" not in aif.flags
