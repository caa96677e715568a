# SPDX-License-Identifier: Apache-2.0
"""The part of the brain that a moving skull does not reach."""

from __future__ import annotations

import numpy as np

from PerfusionSuiteLib.prepare.calm import calm_region

AFFINE = np.diag([2.0, 2.0, 6.0, 1.0])


def skull_and_brain() -> tuple[np.ndarray, np.ndarray]:
    """A round brain of radius 40 mm in a ring of bone, six slices."""
    i, j, _ = np.indices((64, 64, 6))
    radius = 2.0 * np.hypot(i - 31.5, j - 31.5)
    return np.where((radius >= 46.0) & (radius < 54.0), 1000.0, 35.0), radius < 40.0


def test_the_calm_region_is_far_from_bone_and_not_in_an_end_slice() -> None:
    baseline, brain = skull_and_brain()
    calm = calm_region(baseline, brain, AFFINE)
    assert calm[32, 32, 1:5].all()
    assert not calm[..., [0, -1]].any()
    assert (calm <= brain).all()
    i, j = np.nonzero(calm[:, :, 2])
    assert 2.0 * np.hypot(i - 31.5, j - 31.5).max() <= 46.0 - 6.0


def test_bone_in_the_slice_above_disturbs_the_calm_and_bone_two_slices_away_does_not() -> None:
    baseline, brain = skull_and_brain()
    baseline[30:34, 30:34, 4] = 800.0
    calm = calm_region(baseline, brain, AFFINE)
    assert not calm[30:34, 30:34, 3].any()
    assert calm[30:34, 30:34, 2].all()


def test_a_scan_of_two_slices_has_no_end_slices_to_leave_out() -> None:
    baseline, brain = skull_and_brain()
    assert calm_region(baseline[..., :2], brain[..., :2], AFFINE).any()
