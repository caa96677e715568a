# SPDX-License-Identifier: Apache-2.0
"""Head motion on DSC-MRI against motion that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.prepare.dsc import dsc_concentration
from PerfusionSuiteLib.prepare.dsc_chain import prepare_dsc
from PerfusionSuiteLib.prepare.dsc_frames import drop_dummies
from PerfusionSuiteLib.prepare.dsc_motion import correct_dsc_motion, move_cubic
from PerfusionSuiteLib.prepare.in_plane import shrink
from PerfusionSuiteLib.prepare.rigid import Pose

SIZE = {"shape": (72, 72, 10), "spacing_mm": (3.0, 3.0, 6.0), "frames": 30, "interval_s": 2.4, "recipe": "typical", "site": "m1"}


@pytest.fixture(scope="module")
def nodding():
    """A head that nods as contrast arrives."""
    series, truth = phantom.dsc(seed=8, motion="nod", motion_mm=5.0, **SIZE)
    steady = drop_dummies(series)
    return steady, truth.frame_transforms[series.times_s.size - steady.times_s.size :], truth


def test_a_known_motion_is_recovered_although_contrast_passes(nodding):
    """To 0.3 voxels of 3 mm everywhere in the head."""
    series, true, _ = nodding
    moved, _, report = correct_dsc_motion(series)
    assert report.applied
    reference = int(np.argmin(np.linalg.norm(report.translation_mm, axis=1) + np.linalg.norm(report.rotation_deg, axis=1)))
    places = report.center_mm[:, None] + np.array([[0, 0, 0], [55, 0, 0], [0, -60, 0], [0, 0, 30]]).T
    points = np.vstack([places, np.ones(4)])
    errors, motions = [], []
    for shift, angle, transform in zip(report.translation_mm, report.rotation_deg, true, strict=True):
        found = Pose(Rotation.from_rotvec(np.radians(angle)).as_matrix(), shift).matrix(report.center_mm)
        expected = transform @ np.linalg.inv(true[reference])
        errors.append(np.linalg.norm(((found - expected) @ points)[:3], axis=0))
        motions.append(np.linalg.norm(((expected - np.eye(4)) @ points)[:3], axis=0))
    assert np.max(motions) > 1.5
    assert np.mean(errors) < 0.3
    assert np.max(errors) < 0.9
    assert moved.data.min() >= 0
    assert moved.times_s.size + len(report.dropped) == series.times_s.size


def test_what_motion_leaves_at_the_edge_of_the_brain_is_taken_out_and_told(nodding):
    series, _, _ = nodding
    found = prepare_dsc(series)
    assert "motion_leaks" in {f.code for f in found.concentration.findings}
    assert found.motion is not None and found.motion.applied
    untouched = dsc_concentration(found.series, found.masks).concentration
    late = untouched.times_s > untouched.times_s[-1] - 15.0
    edge = found.masks.brain & ~shrink(found.masks.brain, 3.0, np.array(SIZE["spacing_mm"]))
    tails = [np.std(c.data[edge][:, late].mean(axis=1)) for c in (found.concentration, untouched)]
    assert tails[0] < 0.9 * tails[1]


def test_a_still_head_is_returned_untouched():
    series, _ = phantom.dsc(seed=33, motion="none", **{**SIZE, "frames": 24})
    series = drop_dummies(series)
    moved, second, report = correct_dsc_motion(series)
    assert moved is series and second is None
    assert not report.applied


def test_the_second_echo_moves_with_the_first(nodding):
    series, _, _ = nodding
    later = replace(series, data=0.5 * series.data, acquisition=replace(series.acquisition, echo_times_s=(0.06,)))
    moved, second, _ = correct_dsc_motion(series, second_echo=later)
    np.testing.assert_allclose(second.data, 0.5 * moved.data, rtol=1e-4, atol=1e-2)


def test_cubic_interpolation_shifts_by_whole_voxels_exactly():
    image = np.random.default_rng(0).random((8, 9, 7), dtype=np.float32)
    shift = np.eye(4)
    shift[0, 3] = 1.0
    np.testing.assert_allclose(move_cubic(image, shift)[:-1], image[1:], atol=1e-5)


def test_images_without_a_head_are_not_corrected_but_told(nodding):
    series = nodding[0]
    here = np.zeros((*series.shape, 1), bool)
    here[:5, :5, :4] = True
    small = replace(series, data=np.where(here, series.data + 300.0, 0.0))
    moved, _, report = correct_dsc_motion(small)
    assert moved is small
    assert [f.code for f in report.findings] == ["motion_not_estimated"]


def test_ct_is_refused(nodding):
    with pytest.raises(InvalidInputError, match="needs DSC-MRI"):
        correct_dsc_motion(replace(nodding[0], modality="ctp"))
