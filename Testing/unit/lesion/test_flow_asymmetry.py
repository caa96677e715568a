# SPDX-License-Identifier: Apache-2.0
"""Low flow against the other side: found where it is, not where there is noise or fluid."""

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.lesion import low_flow

SHAPE = (60, 70, 12)
AFFINE = np.array([[-3.0, 0, 0, 88.5], [0, -3.0, 0, 103.5], [0, 0, 5.0, -30.0], [0, 0, 0, 1]])
PLANE = (1.0, 0.0, 0.0, 0.0)


def a_brain():
    i, j, k = np.indices(SHAPE)
    brain = np.hypot((i - 29.5) / 24, (j - 34.5) / 30) < 1
    flow = np.where(brain, 50.0, 0.0)
    lesion = brain & (np.hypot(i - 45, j - 30) < 8) & (k > 3)  # i grows to the patient's left
    return brain, flow, lesion


def test_a_lesion_is_found_on_its_side():
    brain, flow, lesion = a_brain()
    found = low_flow(np.where(lesion, 15.0, flow), brain, AFFINE, midplane=PLANE)
    low = found.lesions.hypoperfusion
    assert found.lesions.side == "left"
    assert 2 * (low & lesion).sum() / (low.sum() + lesion.sum()) > 0.85
    assert np.nanmedian(found.percent[lesion]) == pytest.approx(30.0, abs=6)
    assert not (found.lesions.reference & lesion).any()
    assert abs(int(found.lesions.reference.sum()) - int(low.sum())) < 0.05 * low.sum()


def test_mirrored_patients_give_mirrored_results():
    brain, flow, lesion = a_brain()
    flow = np.where(lesion, 15.0, flow)
    one = low_flow(flow, brain, AFFINE, midplane=PLANE).lesions
    other = low_flow(flow[::-1], brain[::-1], AFFINE, midplane=PLANE).lesions
    assert other.side == "right"
    assert (other.hypoperfusion != one.hypoperfusion[::-1]).sum() <= 0.01 * one.hypoperfusion.sum()


def test_a_symmetric_brain_has_no_low_flow():
    brain, flow, _ = a_brain()
    found = low_flow(flow, brain, AFFINE, midplane=PLANE)
    assert found.lesions.side == "none"
    assert not found.lesions.hypoperfusion.any()


def test_noise_is_no_lesion():
    brain, flow, _ = a_brain()
    noisy = np.maximum(flow + np.random.default_rng(1).normal(0, 40, SHAPE), 0)
    found = low_flow(noisy, brain, AFFINE, midplane=PLANE, standard_error=np.full(SHAPE, 40.0))
    assert found.lesions.hypoperfusion.sum() * 0.045 < 3.0


def test_the_scale_of_flow_does_not_matter():
    brain, flow, lesion = a_brain()
    flow = np.where(lesion, 20.0, flow)
    one, other = (low_flow(flow * scale, brain, AFFINE, midplane=PLANE).lesions.hypoperfusion for scale in (1.0, 0.01))
    assert np.array_equal(one, other)


def test_high_flow_on_one_side_is_told():
    brain, flow, lesion = a_brain()
    i, j, _ = np.indices(SHAPE)
    bright = brain & (np.hypot(i - 42, j - 52) < 5.5)
    found = low_flow(np.where(lesion, 15.0, np.where(bright, 120.0, flow)), brain, AFFINE, midplane=PLANE)
    assert [finding.code for finding in found.lesions.findings] == ["both_sides"]
    assert found.lesions.side == "left"


def test_the_plane_is_found_by_the_outline():
    brain, flow, lesion = a_brain()
    found = low_flow(np.where(lesion, 15.0, flow), brain, AFFINE)
    assert abs(found.lesions.midplane[3]) < 2.0
    assert found.lesions.side == "left"


def test_wrong_limits_and_empty_brains_are_refused():
    brain, flow, _ = a_brain()
    with pytest.raises(InvalidInputError, match="below 140 %"):
        low_flow(flow, brain, AFFINE, percent=140)
    with pytest.raises(InvalidInputError, match="No tissue has a flow"):
        low_flow(flow, np.zeros(SHAPE, bool), AFFINE)


def test_the_outermost_slices_of_a_tilted_head_are_compared_too():
    brain, flow, _ = a_brain()
    tilted = (np.cos(0.03), 0.0, np.sin(0.03), 0.0)  # under 2 degrees: mirror points lie less than a slice outside
    found = low_flow(flow, brain, AFFINE, midplane=tilted)
    compared = np.isfinite(found.percent).sum(axis=(0, 1)) / brain.sum(axis=(0, 1))
    assert compared.min() > 0.5
