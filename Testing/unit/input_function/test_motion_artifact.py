# SPDX-License-Identifier: Apache-2.0
"""Voxels that a moving skull passes are told from vessels."""

from __future__ import annotations

import made_up_head
import numpy as np
import pytest

from PerfusionSuiteLib.core import InputFunction
from PerfusionSuiteLib.input_function import scale_to_vof, select_aif, select_vof
from PerfusionSuiteLib.input_function.motion_artifact import find_motion
from PerfusionSuiteLib.input_function.pool import smoothed

AFFINE = made_up_head.AFFINE


def nodding(scene):
    """The head nods when contrast arrives: bone enters voxels above the skull base and leaves others beside the skull."""
    nod = np.where(scene.times > 8.0, np.exp(-(scene.times - 8.0) / 9.0), 0.0).astype(np.float32)
    data, baseline = scene.concentration.copy(), scene.baseline.copy()
    entered = (slice(24, 40), slice(34, 44), slice(0, 2))
    left = (slice(8, 14), slice(40, 60), slice(2, 5))
    data[entered] += 1.5 * scene.aif.max() * nod
    data[left] -= np.where(scene.mask[left], scene.aif.max(), 0.0)[..., None] * nod
    return data, baseline, entered


def test_a_still_head_needs_no_filter(scene_of):
    scene = scene_of()
    aif = select_aif(scene.concentration, scene.times, mask=scene.mask, affine=AFFINE, baseline=scene.baseline)
    assert aif.quality["motion_share"] == 0.0


def test_the_filter_knows_bone_from_blood():
    times = np.linspace(0.0, 60.0, 41)
    rng = np.random.default_rng(0)
    blood = np.stack([made_up_head.bolus(times, start, rng.uniform(30, 200)) for start in rng.uniform(8.0, 14.0, 300)])
    step = np.where(times > 9.0, 1.0, 0.0) * np.exp(-np.maximum(times - 9.0, 0.0) / 30.0)
    bone = -np.outer(rng.uniform(50.0, 300.0, 100), step)
    curves = smoothed(np.concatenate([blood, bone]).astype(np.float32) + rng.normal(0, 1, (400, 41)).astype(np.float32))
    motion = find_motion(curves, np.arange(400) < 300, 1.0)
    assert motion is not None
    entering = np.outer([80.0, 200.0], step).astype(np.float32)
    artery = made_up_head.bolus(times, 9.0, 150.0)[None].astype(np.float32)
    assert (motion.motion_share(entering) > 0.8).all()
    assert motion.motion_share(artery)[0] < 0.2
    mixed = artery + entering[:1]
    assert np.linalg.norm(mixed - motion.motion_part(mixed) - artery) < 0.35 * np.linalg.norm(entering[0])


def test_a_vein_that_resembles_the_drift_of_the_head_is_contrast_when_its_course_is_known():
    times = np.linspace(0.0, 60.0, 41)
    rng = np.random.default_rng(0)
    blood = np.stack([made_up_head.bolus(times, start, rng.uniform(30, 200)) for start in rng.uniform(6.0, 9.0, 300)])
    vein = made_up_head.bolus(times, 16.0, 150.0, beta=3.5)[None].astype(np.float32)
    drift = -np.outer(rng.uniform(50.0, 300.0, 100), np.clip((times - 14.0) / 12.0, 0.0, 1.0))
    curves = smoothed(np.concatenate([blood, drift]).astype(np.float32) + rng.normal(0, 1, (400, 41)).astype(np.float32))
    calm = np.arange(400) < 300
    unaware, aware = (find_motion(curves, calm, 1.0, known) for known in (None, 3.0 * vein))
    assert unaware is not None
    assert aware is not None
    assert unaware.motion_share(vein)[0] > 0.5
    assert aware.motion_share(vein)[0] < 0.35
    assert aware.motion_share(-drift[:1].astype(np.float32))[0] > 0.7


@pytest.mark.parametrize("seed", [0, 1])
def test_bone_that_enters_with_the_bolus_is_not_taken_for_an_artery(scene_of, seed):
    scene = scene_of(40.0, seed)
    data, baseline, entered = nodding(scene)
    aif = select_aif(data, scene.times, mask=scene.mask, affine=AFFINE, baseline=baseline, exclude=scene.artery > 0.6)
    flag = np.zeros(scene.mask.shape, bool)
    flag[entered] = True
    assert not flag[tuple(aif.voxels.T)].any()
    assert (scene.artery[tuple(aif.voxels.T)] >= 0.2).all()


def test_the_vein_is_not_taken_where_it_is_tallest_but_where_it_is_sure(scene_of):
    scene = scene_of(40.0)
    data = scene.concentration.copy()
    rise = np.clip((scene.times - 10.0) / 20.0, 0.0, 1.0).astype(np.float32)
    data[30:35, 66:68, 1:5] += 0.5 * scene.vof.max() * rise  # half of the sinus takes up bone
    vof = select_vof(data, scene.times, mask=scene.mask, affine=AFFINE, aif=InputFunction(scene.times, scene.aif))
    assert (scene.vein[tuple(vof.voxels.T)] == 1).all()
    assert np.abs(vof.values - scene.vof).max() < 0.07 * scene.vof.max()


def test_a_curve_full_of_motion_is_told():
    times = np.linspace(0.0, 50.0, 51)
    artery = InputFunction(times, made_up_head.bolus(times, 8.0, 100.0), quality={"motion_share": 0.2})
    vein = InputFunction(times, made_up_head.bolus(times, 13.0, 180.0), kind="vof")
    scaled = scale_to_vof(artery, vein)
    assert "aif_uncertain" in scaled.flags
    assert any("20%" in finding.message for finding in scaled.findings)
