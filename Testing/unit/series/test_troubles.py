# SPDX-License-Identifier: Apache-2.0
"""Whatever happened to the files between scanner and reader: the rest is exact and every decision is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import InvalidInputError, PerfusionSeries, TimingError
from PerfusionSuiteLib.phantom.export import TROUBLES, write_dicom

LOST = 4
"""A third of the way through twelve frames."""


@pytest.fixture
def head(head: PerfusionSeries) -> PerfusionSeries:
    """Three slices and twelve frames."""
    return replace(head, data=head.data[::2, ::2, :3, :12], times_s=head.times_s[:12])


def codes(found: PerfusionSeries) -> set[str]:
    return {finding.code for finding in found.source.findings}


def assert_same(found: PerfusionSeries, expected: PerfusionSeries, frames: list[int]) -> None:
    np.testing.assert_array_equal(found.data, expected.data[..., frames])
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
    times = expected.times_s[frames]
    np.testing.assert_allclose(found.times_s, times - times[0], atol=1e-5)


EVERY = list(range(12))
REST = [n for n in EVERY if n != LOST]
EXPECTED: dict[str, tuple[list[int], set[str]]] = {
    "missing-slice": (REST, {"incomplete_frames", "missing_frames"}),
    "missing-frame": (REST, {"missing_frames"}),
    "duplicate-frame": (EVERY, {"duplicate_images"}),
    "clutter": (EVERY, {"ignored_images"}),
    "second-reconstruction": (EVERY, {"several_series"}),
    "anonymous": (EVERY, set()),
    "midnight": (EVERY, set()),
    "no-extension": (EVERY, set()),
}


@pytest.mark.parametrize("vendor", ["siemens", "ge"])
@pytest.mark.parametrize("trouble", EXPECTED)
def test_the_rest_is_read_exactly(tmp_path: Path, head: PerfusionSeries, trouble: str, vendor: str) -> None:
    write_dicom(head, tmp_path, vendor=vendor, troubles=[trouble])
    frames, findings = EXPECTED[trouble]
    found = series.read(tmp_path)
    assert_same(found, head, frames)
    assert codes(found) == findings


def test_every_trouble_is_tried() -> None:
    assert set(TROUBLES) == {*EXPECTED, "no-times"}


@pytest.mark.parametrize("vendor", ["generic", "ge"])
def test_without_times_the_order_and_a_given_interval_are_used(tmp_path: Path, head: PerfusionSeries, vendor: str) -> None:
    write_dicom(head, tmp_path, vendor=vendor, troubles=["no-times", "no-extension"])
    with pytest.raises(TimingError, match=r"hold no usable frame times.*interval_s=1.5 in Python, --interval 1.5 on the command"):
        series.read(tmp_path)
    found = series.read(tmp_path, interval_s=2.0)
    assert_same(found, head, EVERY)
    assert found.acquisition.time_source == "order of instance numbers times the given interval of 2 s"


def test_what_else_lies_in_the_folder_is_named_and_left_aside(tmp_path: Path, head: PerfusionSeries) -> None:
    write_dicom(head, tmp_path, troubles=["clutter"])
    found = series.read(tmp_path)
    (finding,) = found.source.findings
    assert finding.severity == "info"
    for words in ("2 image(s): a localizer", "12 image(s): projections (MIP)", "4 image(s): color", "2 file(s) without an image"):
        assert words in finding.message
    assert sorted(item.usable for item in series.scan(tmp_path)) == [False, False, False, True]


def test_a_dicomdir_stands_for_its_folder(tmp_path: Path, head: PerfusionSeries) -> None:
    write_dicom(head, tmp_path, troubles=["clutter"])
    found = series.read(tmp_path / "DICOMDIR")
    assert_same(found, head, EVERY)
    assert any("DICOMDIR" in sentence for sentence in found.source.decisions)


def test_of_two_reconstructions_the_one_that_is_read_is_named_with_the_way_to_the_other(
    tmp_path: Path, head: PerfusionSeries
) -> None:
    write_dicom(head, tmp_path, troubles=["second-reconstruction"])
    found = series.read(tmp_path)
    (finding,) = found.source.findings
    assert finding.severity == "warning"
    assert "smoother kernel" in finding.message
    assert "PHANTOM-SHARP" in finding.message
    assert "select=N in Python or --series N" in finding.advice
    sharp = next(item for item in series.scan(tmp_path) if "SHARP" in item.description)
    np.testing.assert_array_equal(series.read(tmp_path, select=sharp.index).data, head.data + 20)
    with pytest.raises(InvalidInputError, match=r"no series '9'.*0: CT .*kernel.*1: CT"):
        series.read(tmp_path, select=9)


def test_troubles_come_together(tmp_path: Path, head: PerfusionSeries) -> None:
    scan = replace(head, times_s=np.concatenate([np.arange(7) * 1.0, 6.0 + 3.0 * np.arange(1, 6)]))
    several = ["missing-slice", "clutter", "midnight", "anonymous", "no-extension"]
    write_dicom(scan, tmp_path, vendor="canon", encoding="jpeg-lossless", troubles=several)
    found = series.read(tmp_path)
    assert_same(found, scan, REST)
    assert codes(found) == {"incomplete_frames", "missing_frames", "ignored_images", "series_joined"}


def test_unknown_troubles_and_folders_without_single_images_are_refused(tmp_path: Path, head: PerfusionSeries) -> None:
    with pytest.raises(InvalidInputError, match="trouble 'fire' is unknown"):
        write_dicom(head, tmp_path / "a", troubles=["fire"])
    with pytest.raises(InvalidInputError, match="no single-frame DICOM images"):
        write_dicom(head, tmp_path / "b", vendor="enhanced", troubles=["missing-slice"])


def test_slices_whose_position_was_removed_are_placed_by_their_location(
    tmp_path: Path, head: PerfusionSeries, edit_files
) -> None:
    write_dicom(head, tmp_path)
    edit_files(tmp_path, lambda d: d.__delattr__("ImagePositionPatient"))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data)
    np.testing.assert_allclose(found.voxel_mm, head.voxel_mm, atol=1e-4)
    assert "unknown_position" in codes(found)


def test_a_reformatted_series_is_read_with_a_note(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path)
    edit_files(tmp_path, lambda d: setattr(d, "ImageType", ["DERIVED", "SECONDARY", "AXIAL", "MPR"]))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data)
    assert codes(found) == {"derived_series"}


def test_an_original_is_preferred_to_what_was_derived_from_it(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path / "a")
    write_dicom(replace(head, data=np.maximum(head.data - 5, -1024)), tmp_path / "b", seed=1)
    edit_files(tmp_path / "b", lambda d: setattr(d, "ImageType", ["DERIVED", "SECONDARY", "AXIAL"]))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data)
    assert "original rather than derived" in next(f.message for f in found.source.findings if f.code == "several_series")
