# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionSeries, Source, TimingError
from PerfusionSuiteLib.core.series import check_enough_times


def make(times, frames=12, **kwargs):
    return PerfusionSeries(np.zeros((2, 3, 4, frames)), np.eye(4), times, **kwargs)


def test_data_become_contiguous_float32_with_time_last():
    data = np.zeros((12, 2, 3, 4)).transpose(1, 2, 3, 0)
    series = PerfusionSeries(data, np.eye(4), np.arange(12.0))
    assert series.data.dtype == np.float32
    assert series.data.flags.c_contiguous
    assert series.shape == (2, 3, 4)


def test_interval_is_the_median_of_uneven_times():
    times = np.concatenate([np.arange(10) * 1.0, [12.0, 15.0]])
    assert make(times).interval_s == 1.0


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(11.0), "12 frames but 11 frame times"),
        (np.r_[np.arange(11.0), np.nan], "1 of 12 frame times are missing"),
        (np.r_[np.arange(11.0), 10.0], "frame 12 of 12 is at 10 s after 10 s"),
    ],
)
def test_wrong_times_are_named(times, message):
    with pytest.raises(TimingError, match=message):
        make(times)


def test_slice_times_must_fit_the_data():
    with pytest.raises(TimingError, match=r"\(3, 12\)"):
        make(np.arange(12.0), acquisition=Acquisition(slice_times_s=np.zeros((3, 12))))


def test_a_static_volume_is_refused():
    with pytest.raises(InvalidInputError, match="4 dimensions"):
        PerfusionSeries(np.zeros((2, 2, 2)), np.eye(4), [0.0])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(9) * 2.0, "9 frames, at least 10"),
        (np.arange(12) * 1.0, "span 11 s, at least 20"),
        (np.arange(45) * 1e-3, "in seconds"),
        (np.arange(45) * 1000.0, "milliseconds"),
    ],
)
def test_scans_too_short_for_a_bolus_are_refused(times, message):
    with pytest.raises(TimingError, match=message):
        check_enough_times(times)


def test_a_released_series_still_says_what_it_was():
    series = PerfusionSeries(np.ones((3, 4, 5, 12)), np.diag([2.0, 2.0, 5.0, 1.0]), np.arange(12.0))
    released = series.released()
    assert released.shape == (3, 4, 5)
    assert released.interval_s == 1.0
    assert released.voxel_mm == (2.0, 2.0, 5.0)
    assert np.isnan(released.data).all()
    assert replace(released, source=Source("dicom")).data.strides == (0, 0, 0, 0)
