# SPDX-License-Identifier: Apache-2.0
"""Motion that correction leaves is read off the skull and taken out of the curves, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import fitting, phantom, pipeline, prepare
from PerfusionSuiteLib.prepare.residual_motion import motion_courses, through_slope, without_courses

COARSE = {"shape": (96, 96, 6), "spacing_mm": (2.2, 2.2, 10.0), "interval_s": 1.5}


def prepared(**options):
    series, truth = phantom.ctp(seed=12, recipe="clean", **COARSE, **options)
    still, _ = prepare.correct_motion(series)
    masks = prepare.tissue_masks(still)
    return still, masks, prepare.ct_concentration(still, masks), truth


@pytest.fixture(scope="module")
def still_head():
    return prepared(motion="none")


@pytest.fixture(scope="module")
def drifting_head():
    return prepared(motion="drift", motion_mm=4.0)


def steadied(series, masks, c, truth):
    aif = np.interp(c.times_s, truth.times_s, truth.aif)
    courses = motion_courses(series, masks)
    noise = prepare.noise_sd(c.data[c.mask], c.baseline_frames)
    return without_courses(c, courses, 0.2 * aif.max(), fitting.expected_moments(c.times_s, aif), noise)


def test_a_still_head_shows_no_courses(still_head):
    series, masks, *_ = still_head
    assert motion_courses(series, masks).shape == (series.times_s.size, 0)


def test_courses_have_mean_zero_and_mean_square_one(drifting_head):
    courses = motion_courses(*drifting_head[:2])
    assert courses.shape[1] >= 1
    np.testing.assert_allclose(courses.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose((courses**2).mean(axis=0), 1.0)


def test_tissue_of_a_drifting_head_comes_nearer_to_that_of_the_still_one(drifting_head, still_head):
    series, masks, c, truth = drifting_head
    reference = still_head[2]
    tissue = masks.tissue & still_head[1].tissue & truth.masks["scored"]
    after = steadied(series, masks, c, truth)

    def error(curves):
        return np.sqrt(np.mean((curves[tissue] - reference.data[tissue]) ** 2))

    assert error(after.data) < error(c.data)


def test_vessels_and_what_lies_outside_the_mask_stay_as_they_are(drifting_head):
    series, masks, c, truth = drifting_head
    after = steadied(series, masks, c, truth)
    middle = (c.data[..., :-2] + c.data[..., 1:-1] + c.data[..., 2:]).max(axis=3) / 3.0
    vessels = c.mask & (middle > 0.21 * truth.aif.max())
    assert vessels.any()
    np.testing.assert_array_equal(after.data[vessels], c.data[vessels])
    np.testing.assert_array_equal(after.data[~c.mask], c.data[~c.mask])


def test_a_course_that_was_added_is_found_and_tissue_without_it_hardly_changes(still_head):
    _, masks, c, truth = still_head
    aif = np.interp(c.times_s, truth.times_s, truth.aif)
    course = np.sign(c.times_s - c.times_s.mean())
    course = ((course - course.mean()) / course.std())[:, None]
    signs = np.random.default_rng(1).choice([-1.0, 1.0], c.mask.shape)  # going up and down an image
    added = (0.3 * signs * through_slope(c.baseline))[..., None] * course[:, 0]
    moved = replace(c, data=(c.data + added - added[..., : c.baseline_frames].mean(axis=3, keepdims=True)).astype(np.float32))
    expected = fitting.expected_moments(c.times_s, aif)
    after = without_courses(moved, course, 0.5 * aif.max(), expected, 2.0)
    tissue = masks.tissue & truth.masks["scored"]
    before = np.abs(moved.data - c.data)[tissue].mean()
    assert np.abs(after.data - c.data)[tissue].mean() < 0.7 * before


def test_enhancement_is_not_taken_for_motion_although_the_head_nods_with_it(still_head):
    _, masks, c, truth = still_head
    aif = np.interp(c.times_s, truth.times_s, truth.aif)
    enhancement = c.data[masks.tissue].mean(axis=0, dtype=np.float64)
    course = ((enhancement - enhancement.mean()) / enhancement.std())[:, None]
    after = without_courses(c, course, 0.5 * aif.max(), fitting.expected_moments(c.times_s, aif), 2.0)
    flow = [np.abs(concentration.data[masks.tissue]).mean(axis=0).max() for concentration in (c, after)]
    assert after.data[masks.tissue].mean(axis=0).max() == pytest.approx(enhancement.max(), rel=0.05)
    assert flow[1] <= flow[0]


def test_a_single_slice_and_a_scan_without_skull_are_left_alone(still_head):
    series, masks, *_ = still_head
    one = replace(series, data=series.data[:, :, :1])
    flat = replace(series, data=np.minimum(series.data, 80.0))
    assert not through_slope(one.data[..., 0]).any()
    assert motion_courses(flat, masks).shape[1] == 0


def test_a_drifting_head_keeps_the_box_residues_of_its_tissue():
    scan = {"shape": (112, 112, 7), "spacing_mm": (2.0, 2.0, 13.0), "interval_s": 1.0, "noise_hu": 4.0}
    series, _ = phantom.ctp(seed=7002, recipe="typical", residue="box", motion="drift", motion_mm=4.0, **scan)
    study = pipeline.run(series, pipeline.Settings(method="bayes"))
    assert "remaining_motion" in {finding.code for finding in study.findings}
    told = study.maps["cbf"].provenance.settings["residue_shape"]  # one shape, or one for gray and one for white matter
    assert {shape.split()[0] for shape in told.split(", ")} == {"inf"}
