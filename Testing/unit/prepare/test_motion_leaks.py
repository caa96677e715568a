# SPDX-License-Identifier: Apache-2.0
"""What moved bone leaves beside it is taken out of curves; what is far from edges, and a still head, stay as they are."""

import numpy as np
import pytest

from PerfusionSuiteLib.core import Concentration, MotionReport
from PerfusionSuiteLib.prepare import without_leaks

TIMES = np.arange(40.0)
NOISE_SD = 2.0
BOLUS = 8.0 * ((np.maximum(TIMES - 8.0, 0.0) / 6.0) ** 2 * np.exp(-np.maximum(TIMES - 8.0, 0.0) / 4.0)).astype(np.float32)
DRIFT_MM = 3.0 * np.sin(TIMES / 9.0)


def report(applied=True, dropped=()):
    """A head that slides along its axis and back."""
    shift = np.zeros((TIMES.size, 3))
    shift[:, 2] = DRIFT_MM
    return MotionReport(shift, np.zeros((TIMES.size, 3)), applied, dropped)


def scan(leak_hu=0.0):
    """Tissue with bone in one corner, thicker from slice to slice, and a leak beside it; also the leak and where it is."""
    shape = (40, 40, 6)
    i, _, k = np.indices(shape)
    bone = i < 4 + 2 * k
    beside = ~bone & (i < 6 + 2 * k) & (k > 0) & (k < 5)  # beyond the ends nothing is known
    rng = np.random.default_rng(3)
    data = np.tile(BOLUS, (*shape, 1)) * rng.normal(1.0, 0.15, (*shape, 1)).astype(np.float32)
    data[30:32, ::8] *= 10.0  # vessels
    data += rng.normal(0.0, NOISE_SD, data.shape).astype(np.float32)
    leak = np.zeros_like(data)
    leak[beside] = leak_hu * rng.uniform(0.5, 1.5, (beside.sum(), 1)) * DRIFT_MM**2 / 9.0
    data = data + leak
    data -= data[..., :6].mean(axis=-1, keepdims=True)
    leak -= leak[..., :6].mean(axis=-1, keepdims=True)
    baseline = np.where(bone, 900.0, 35.0).astype(np.float32)
    mask = ~bone
    data[~mask] = 0.0
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    return Concentration(data.astype(np.float32), affine, TIMES, mask, baseline, "HU", baseline_frames=6), leak, beside


def steadied(concentration, motion=None, **options):
    other = ~concentration.mask
    return without_leaks(concentration, motion or report(), TIMES, other, NOISE_SD, **options)


def power(curves):
    """Root mean square of the courses that groups of voxels share, which noise does not hide."""
    return float(np.sqrt(np.mean(curves.mean(axis=0) ** 2)))


def test_a_leak_beside_bone_is_taken_out():
    concentration, leak, beside = scan(leak_hu=25.0)
    found, count = steadied(concentration)
    assert count >= beside.sum() / 2
    error = found.data[beside] - (concentration.data - leak)[beside]
    assert power(error) < 0.2 * power(leak[beside])


def test_enhancement_beside_bone_without_a_leak_stays():
    concentration, _, beside = scan()
    found, _ = steadied(concentration)
    assert power(found.data[beside] - concentration.data[beside]) < 0.1 * power(concentration.data[beside])


def test_a_vessel_beside_bone_stays():
    concentration, _, beside = scan()
    concentration.data[beside] += 20.0 * BOLUS
    found, _ = steadied(concentration)
    assert power(found.data[beside] - concentration.data[beside]) < 0.05 * power(concentration.data[beside])


def test_voxels_far_from_bone_are_not_touched():
    concentration, _, _ = scan(leak_hu=25.0)
    found, _ = steadied(concentration)
    np.testing.assert_array_equal(found.data[28:], concentration.data[28:])


def test_a_head_that_was_not_moved_is_not_touched():
    concentration, _, _ = scan(leak_hu=25.0)
    found, count = steadied(concentration, report(applied=False))
    assert found is concentration
    assert count == 0


def test_a_correction_that_moved_nothing_leaves_everything():
    concentration, _, _ = scan()
    nothing = MotionReport(np.zeros((TIMES.size, 3)), np.zeros((TIMES.size, 3)), applied=True)
    found, count = steadied(concentration, nothing)
    assert found is concentration
    assert count == 0


def test_frames_that_were_left_out_do_not_shift_the_poses():
    concentration, leak, beside = scan(leak_hu=25.0)
    kept = np.array([t for t in range(TIMES.size) if t not in (5, 20, 21)])
    fewer = Concentration(
        concentration.data[..., kept], concentration.affine, TIMES[kept], concentration.mask, concentration.baseline, "HU",
        baseline_frames=5,
    )  # fmt: skip
    found, _ = without_leaks(fewer, report(dropped=(5, 20, 21)), TIMES[kept], ~fewer.mask, NOISE_SD)
    truth = (concentration.data - leak)[..., kept]
    truth = truth - truth[..., :5].mean(axis=-1, keepdims=True)
    assert power((found.data - truth)[beside]) < 0.25 * power(leak[beside][:, kept])


@pytest.mark.parametrize("overwrite", [False, True])
def test_curves_are_overwritten_only_when_allowed(overwrite):
    concentration, _, beside = scan(leak_hu=25.0)
    before = concentration.data.copy()
    found, _ = steadied(concentration, overwrite=overwrite)
    assert np.array_equal(concentration.data, before) is not overwrite
    assert np.shares_memory(found.data, concentration.data) is overwrite
    assert not np.array_equal(found.data[beside], before[beside])


def test_curves_of_another_unit_than_the_image_tell_how_they_follow_it():
    concentration, _, _ = scan(leak_hu=25.0)
    other = Concentration(
        concentration.data,
        concentration.affine,
        TIMES,
        concentration.mask,
        0.1 * concentration.baseline,
        "1/s",
        baseline_frames=6,
    )
    found, count = steadied(concentration)
    told, same = steadied(other, gain=np.full(concentration.mask.shape, 10.0, np.float32))
    assert same == pytest.approx(count, rel=0.01)
    np.testing.assert_allclose(told.data, found.data, atol=0.05)
    assert np.abs(steadied(other)[0].data - found.data).max() > 0.05
