# SPDX-License-Identifier: Apache-2.0
"""Frame times come from the best source that exists, and the source is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import PerfusionSeries, TimingError
from PerfusionSuiteLib.phantom.export import write_dicom
from PerfusionSuiteLib.series.dicom_clock import seconds_of_datetime, seconds_of_time

SLICES = 4


def frame(dataset: Dataset) -> int:
    return (int(dataset.InstanceNumber) - 1) // SLICES


def constant_clocks(dataset: Dataset) -> None:
    dataset.AcquisitionTime = dataset.ContentTime = "101010"


def test_times_go_on_after_midnight(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    """Some scanners keep the date of the start."""
    copy_head(tmp_path)

    def late(dataset: Dataset) -> None:
        seconds = (86400 - 13 + 2 * frame(dataset)) % 86400
        dataset.AcquisitionTime = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.00"
        dataset.AcquisitionDate = dataset.ContentDate = "20200229"

    edit_files(tmp_path, late)
    np.testing.assert_allclose(series.read(tmp_path).times_s, head.times_s, atol=1e-3)


def test_times_go_on_into_the_next_day(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)

    def late(dataset: Dataset) -> None:
        seconds = 86400 - 13 + 2 * frame(dataset)
        dataset.AcquisitionDate = "20200229" if seconds < 86400 else "20200301"
        seconds %= 86400
        dataset.AcquisitionTime = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"

    edit_files(tmp_path, late)
    np.testing.assert_allclose(series.read(tmp_path).times_s, head.times_s, atol=1e-3)


def test_trigger_time_is_in_milliseconds(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)

    def trigger(dataset: Dataset) -> None:
        constant_clocks(dataset)
        dataset.TriggerTime = str(2000 * frame(dataset) + 150)

    edit_files(tmp_path, trigger)
    found = series.read(tmp_path)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-3)
    assert "TriggerTime" in found.acquisition.time_source


def test_temporal_positions_need_an_interval(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path, vendor="philips")
    edit_files(tmp_path, constant_clocks)
    with pytest.raises(TimingError, match="Give the interval between frames"):
        series.read(tmp_path)
    found = series.read(tmp_path, interval_s=2.0)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert "TemporalPositionIdentifier" in found.acquisition.time_source


def test_temporal_resolution_of_the_header_serves_as_interval(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path, vendor="philips")

    def resolution(dataset: Dataset) -> None:
        constant_clocks(dataset)
        dataset.TemporalResolution = "2000"

    edit_files(tmp_path, resolution)
    np.testing.assert_allclose(series.read(tmp_path).times_s, head.times_s, atol=1e-6)


def test_instance_order_is_the_last_resort(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, constant_clocks)
    found = series.read(tmp_path, interval_s=2.0)
    np.testing.assert_array_equal(found.data, head.data)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert "instance numbers" in found.acquisition.time_source


def test_counted_frames_of_which_some_slices_lack_one_are_named(
    tmp_path: Path, head: PerfusionSeries, edit_files, copy_head
) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, constant_clocks)
    path = next(path for path in tmp_path.iterdir() if pydicom.dcmread(path).InstanceNumber == 2 * SLICES + 1)
    path.unlink()
    found = series.read(tmp_path, interval_s=2.0)
    assert {"uneven_counts", "incomplete_frames"} <= {finding.code for finding in found.source.findings}


def test_times_of_the_files_win_over_a_given_interval_and_a_difference_is_told(
    tmp_path: Path, head: PerfusionSeries, copy_head
) -> None:
    copy_head(tmp_path)
    found = series.read(tmp_path, interval_s=1.0)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-3)
    assert [finding.code for finding in found.source.findings] == ["interval_differs"]
    assert not series.read(tmp_path, interval_s=2.0).source.findings


def test_mid_scan_times_that_restart_are_added_to_the_acquisition_time(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path, vendor="ge")

    def restart(dataset: Dataset) -> None:
        group, rest = divmod(frame(dataset), 7)
        dataset.AcquisitionTime = f"1010{14 * group:02d}"
        dataset[0x0019, 0x1024].value = f"{2 * rest:.2f}"

    edit_files(tmp_path, restart)
    found = series.read(tmp_path)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-3)
    assert "plus GE private" in found.acquisition.time_source


def test_small_differences_between_slices_count_as_one_time(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path, vendor="ge")

    def jitter(dataset: Dataset) -> None:
        dataset[0x0019, 0x1024].value = f"{2 * frame(dataset) + 0.005 * (int(dataset.InstanceNumber) % 4):.3f}"

    edit_files(tmp_path, jitter)
    found = series.read(tmp_path)
    assert found.acquisition.slice_times_s is None
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-3)


def test_whole_seconds_that_alternate_are_reported(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)

    def rounded(dataset: Dataset) -> None:
        dataset.AcquisitionTime = f"1010{int(1.6 * frame(dataset)) + 10:02d}"

    edit_files(tmp_path, rounded)
    assert "times_rounded" in {finding.code for finding in series.read(tmp_path).source.findings}
    assert not np.ptp(np.diff(head.times_s))


def test_milliseconds_of_a_private_clock_are_recognized(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path, vendor="ge")

    def thousandfold(dataset: Dataset) -> None:
        dataset[0x0019, 0x1024].value = str(2000 * frame(dataset))

    edit_files(tmp_path, thousandfold)
    np.testing.assert_allclose(series.read(tmp_path).times_s, head.times_s, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("093015.25", 34215.25), ("09:30:15", 34215.0), ("0930", 34200.0), ("09", 32400.0), (" 093015 ", 34215.0)],
)
def test_dicom_times_are_read_in_all_their_forms(text: str, seconds: float) -> None:
    assert seconds_of_time(text) == seconds


@pytest.mark.parametrize("text", ["", "later", "9", "None"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert np.isnan(seconds_of_time(text))


def test_a_time_zone_does_not_change_differences() -> None:
    early, late = seconds_of_datetime("20200229235959.5+0100"), seconds_of_datetime("20200301000001.0+0100")
    assert late - early == pytest.approx(1.5)
    assert np.isnan(seconds_of_datetime("20200229"))
