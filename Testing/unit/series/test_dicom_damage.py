# SPDX-License-Identifier: Apache-2.0
"""Lost, doubled and damaged files cost frames, not correctness, and are reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import InvalidInputError, PerfusionSeries, TimingError
from PerfusionSuiteLib.phantom.export import write_dicom

SLICES = 4


def frame(dataset: Dataset) -> int:
    return (int(dataset.InstanceNumber) - 1) // SLICES


def place(dataset: Dataset) -> int:
    return (int(dataset.InstanceNumber) - 1) % SLICES


def codes(found: PerfusionSeries) -> set[str]:
    return {finding.code for finding in found.source.findings}


def without(frames: int, *lost: int) -> list[int]:
    return [n for n in range(frames) if n not in lost]


@pytest.mark.parametrize("vendor", ["generic", "ge"])
def test_a_frame_that_lacks_a_slice_is_left_out(tmp_path: Path, head: PerfusionSeries, edit_files, vendor: str) -> None:
    write_dicom(head, tmp_path, vendor=vendor)
    edit_files(tmp_path, lambda d: not (frame(d) == 4 and place(d) == 2))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data[..., without(14, 4)])
    np.testing.assert_allclose(found.times_s, head.times_s[without(14, 4)], atol=1e-3)
    assert {"incomplete_frames", "missing_frames"} <= codes(found)
    assert any("frame 5" in sentence for sentence in found.source.decisions)


def test_a_shuttle_frame_that_lacks_a_slice_is_left_out(tmp_path: Path, shuttle_head: PerfusionSeries, edit_files) -> None:
    write_dicom(shuttle_head, tmp_path)
    edit_files(tmp_path, lambda d: (frame(d), place(d)) not in {(4, 2), (9, 0)})
    found = series.read(tmp_path)
    kept = without(14, 4, 9)
    np.testing.assert_array_equal(found.data, shuttle_head.data[..., kept])
    expected = shuttle_head.acquisition.slice_times_s[:, kept] - shuttle_head.times_s[0]
    np.testing.assert_allclose(found.acquisition.slice_times_s, expected, atol=1e-3)


def test_a_jog_scan_that_ends_at_its_first_table_position_loses_only_the_last_frame(
    tmp_path: Path, head: PerfusionSeries, edit_files
) -> None:
    """Two table positions take turns; the lower one is reached once more than the upper one."""
    slice_times = head.times_s + np.array([0.0, 0.0, 1.0, 1.0])[:, None]
    jog = replace(head, acquisition=replace(head.acquisition, slice_times_s=slice_times))
    write_dicom(jog, tmp_path)
    edit_files(tmp_path, lambda d: not (frame(d) == 13 and place(d) > 1))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data[..., :13])
    np.testing.assert_allclose(np.ptp(found.acquisition.slice_times_s, axis=0), 1.0, atol=1e-3)


def test_equally_many_losses_in_all_slices_do_not_shift_frames(
    tmp_path: Path, head: PerfusionSeries, edit_files, copy_head
) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, lambda d: frame(d) != place(d) + 3)
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data[..., without(14, 3, 4, 5, 6)])


def test_a_lost_frame_is_reported(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, lambda d: frame(d) != 6)
    found = series.read(tmp_path)
    np.testing.assert_allclose(found.times_s, head.times_s[without(14, 6)], atol=1e-3)
    finding = next(finding for finding in found.source.findings if finding.code == "missing_frames")
    assert "About 1 frames" in finding.message
    assert "4.0 s after 10.0 s" in finding.message


def test_a_planned_change_of_the_interval_is_not_called_a_loss(tmp_path: Path, head: PerfusionSeries) -> None:
    times = np.concatenate([np.arange(8) * 1.0, 7 + 3.0 * np.arange(1, 7)])
    write_dicom(replace(head, times_s=times), tmp_path)
    found = series.read(tmp_path)
    np.testing.assert_allclose(found.times_s, times, atol=1e-3)
    assert not codes(found)


def test_copies_of_files_are_left_out(tmp_path: Path, head: PerfusionSeries) -> None:
    for path in write_dicom(head, tmp_path)[:6]:
        path.with_name(f"copy of {path.name}").write_bytes(path.read_bytes())
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data)
    assert "duplicate_images" in codes(found)


def test_copies_with_other_pixels_are_an_error_finding(tmp_path: Path, head: PerfusionSeries) -> None:
    """Two reconstructions with one header must not be taken for one scan without a word."""
    for path in write_dicom(head, tmp_path)[:6]:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = generate_uid()
        dataset.InstanceNumber += 1000
        dataset.PixelData = bytes(len(dataset.PixelData))
        dataset.save_as(path.with_name(f"other {path.name}"))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data)
    finding = next(finding for finding in found.source.findings if finding.code == "different_duplicates")
    assert finding.severity == "error"
    assert "6 of 62 images" in finding.message


def test_a_slice_that_few_frames_have_is_left_out(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, lambda d: not (place(d) == 3 and frame(d) > 2))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data[:, :, :3])
    assert "slices_dropped" in codes(found)


@pytest.mark.parametrize("damage", ["cut off", "header"])
def test_a_damaged_file_costs_its_frame(tmp_path: Path, head: PerfusionSeries, damage: str) -> None:
    paths = write_dicom(head, tmp_path, shuffle=False)
    content = paths[6 * SLICES + 1].read_bytes()
    paths[6 * SLICES + 1].write_bytes(content[: len(content) - 100] if damage == "cut off" else content[:140] + b"\xff" * 400)
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data[..., without(14, 6)])
    assert codes(found) & {"damaged_images", "unreadable_files"}


def test_a_damaged_compressed_file_costs_its_frame(tmp_path: Path, head: PerfusionSeries, capfd) -> None:
    paths = write_dicom(head, tmp_path, shuffle=False, compress=True)
    dataset = pydicom.dcmread(paths[3])
    dataset.PixelData = pydicom.encaps.encapsulate([b"\x00\x01" * 60])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(paths[3])
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data[..., 1:])
    np.testing.assert_allclose(found.times_s, head.times_s[1:] - head.times_s[1], atol=1e-3)


def test_undecodable_pixels_are_refused(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path, compress=True)

    def break_stream(dataset: Dataset) -> None:
        dataset.PixelData = pydicom.encaps.encapsulate([b"\x00\x01" * 60])
        dataset["PixelData"].VR = "OB"

    edit_files(tmp_path, break_stream)
    with pytest.raises(InvalidInputError, match=r"cannot be decoded \(JPEG Lossless"):
        series.read(tmp_path)


def test_a_missing_slice_position_is_an_error_finding(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, lambda d: place(d) != 1)
    found = series.read(tmp_path)
    finding = next(finding for finding in found.source.findings if finding.code == "uneven_slices")
    assert finding.severity == "error"
    assert "5.00 to 10.00 mm" in finding.message


def same_time(dataset: Dataset) -> None:
    dataset.AcquisitionTime = dataset.ContentTime = "101010"


def no_times(dataset: Dataset) -> None:
    for name in ("AcquisitionTime", "ContentTime", "AcquisitionDate", "ContentDate"):
        delattr(dataset, name)


def strip_position(dataset: Dataset) -> None:
    del dataset.ImagePositionPatient, dataset.SliceLocation


def phase(dataset: Dataset) -> None:
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "P", "ND"]


def localizer(dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def color(dataset: Dataset) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"


def report(dataset: Dataset) -> None:
    dataset.Modality = "PT"


BAD: dict[str, tuple[Callable[[Dataset], bool | None], str, type[Exception]]] = {
    "equal times": (same_time, r"AcquisitionTime is the same for all images.*Give the interval", TimingError),
    "no times": (no_times, "hold no usable frame times", TimingError),
    "one frame": (lambda d: frame(d) == 3, "only one frame", InvalidInputError),
    "nine frames": (lambda d: frame(d) < 9, "only 9 frames", InvalidInputError),
    "localizers": (localizer, "a localizer", InvalidInputError),
    "phase images": (phase, "instead of the magnitude", InvalidInputError),
    "color maps": (color, "color pictures", InvalidInputError),
    "another modality": (report, "modality PT is neither CT nor MR", InvalidInputError),
    "no positions": (strip_position, "without a position", InvalidInputError),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_perfusion_series_is_refused_with_the_reason(
    tmp_path: Path, head: PerfusionSeries, edit_files, what: str, copy_head
) -> None:
    edit, message, error = BAD[what]
    copy_head(tmp_path)
    edit_files(tmp_path, edit)
    with pytest.raises(error, match=message):
        series.read(tmp_path)


def test_mixed_matrix_sizes_are_separated(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path / "a", seed=1)
    write_dicom(replace(head, data=head.data[:12, :10]), tmp_path / "b", seed=1)
    edit_files(tmp_path / "b", lambda d: setattr(d, "SOPInstanceUID", generate_uid()))
    found = series.scan(tmp_path)
    assert {item.matrix for item in found} == {(24, 20), (12, 10)}
    assert series.read(tmp_path, select=found[0].index).shape[:2] == found[0].matrix


def test_a_folder_without_any_readable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 300)
    with pytest.raises(InvalidInputError, match="none has a readable image"):
        series.read(tmp_path)


def test_stored_values_without_rescaling_are_corrected_and_reported(
    tmp_path: Path, head: PerfusionSeries, edit_files, copy_head
) -> None:
    copy_head(tmp_path)

    def forget(dataset: Dataset) -> None:
        del dataset.RescaleIntercept, dataset.RescaleSlope

    edit_files(tmp_path, forget)
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, head.data)
    assert "rescale_not_applied" in codes(found)


def test_padding_below_air_becomes_air(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)

    def pad(dataset: Dataset) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.int16) - 1024
        stored[:10] = -2000
        dataset.PixelData, dataset.PixelRepresentation, dataset.RescaleIntercept = stored.tobytes(), 1, 0
        dataset.BitsStored, dataset.HighBit = 16, 15

    edit_files(tmp_path, pad)
    found = series.read(tmp_path)
    assert (found.data[:10, 0] == -1024).all()
    np.testing.assert_array_equal(found.data[:, 1:], head.data[:, 1:])
