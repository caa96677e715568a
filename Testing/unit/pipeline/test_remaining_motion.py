# SPDX-License-Identifier: Apache-2.0
"""A run takes out what motion correction left beside bone, and says so; a still head is handed on as it is."""

from types import SimpleNamespace

import numpy as np
import pytest

from PerfusionSuiteLib.core import Concentration, MotionReport, TissueMasks
from PerfusionSuiteLib.preparation import Clock, Prepared, without_remaining_motion

TIMES = np.arange(30.0)
AIF = SimpleNamespace(values=200.0 * np.exp(-(((TIMES - 12.0) / 3.0) ** 2)))


@pytest.fixture
def prepared():
    """A drifted head whose bone runs obliquely through thick slices."""
    shape = (32, 32, 6)
    bone = np.indices(shape)[0] < 4 + 2 * np.indices(shape)[2]
    data = np.random.default_rng(1).normal(0.0, 2.0, (*shape, TIMES.size)).astype(np.float32)
    data += (0.03 * AIF.values).astype(np.float32)
    data[bone] = 0.0
    nothing = np.zeros(shape, bool)
    baseline = np.where(bone, 900.0, 35.0).astype(np.float32)
    c = Concentration(data, np.diag([2.0, 2.0, 5.0, 1.0]), TIMES, ~bone, baseline, baseline_frames=4)
    shift = np.zeros((TIMES.size, 3))
    shift[:, 2] = np.linspace(-1.5, 1.5, TIMES.size)
    motion = MotionReport(shift, np.zeros_like(shift), applied=True)
    masks = TissueMasks(~bone, nothing, nothing, bone)
    return Prepared(SimpleNamespace(times_s=TIMES), motion, masks, c, bone, baseline, courses=np.zeros((TIMES.size, 0)))


def finished(prepared):
    return without_remaining_motion(prepared, AIF, Clock(), lambda *_: None)


def codes(prepared):
    return [finding.code for finding in prepared.concentration.findings]


def test_a_run_says_that_leaks_beside_bone_were_taken_out(prepared):
    assert codes(finished(prepared)) == ["motion_leaks"]


@pytest.mark.parametrize("motion", [None, MotionReport(np.zeros((30, 3)), np.zeros((30, 3)), applied=False)])
def test_a_head_that_was_left_as_it_was_is_handed_on(prepared, motion):
    still = Prepared(
        prepared.series, motion, prepared.masks, prepared.concentration, prepared.avoid, prepared.density_image,
        courses=prepared.courses,
    )  # fmt: skip
    assert finished(still) is still
