# SPDX-License-Identifier: Apache-2.0
"""What a scanner wrote is what is read: numbers, place and times, whoever made the scanner."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import InvalidInputError, PerfusionSeries
from PerfusionSuiteLib.core.geometry import check_same_grid
from PerfusionSuiteLib.phantom.export import write_dicom


def assert_same(found: PerfusionSeries, expected: PerfusionSeries) -> None:
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
    np.testing.assert_allclose(found.times_s, expected.times_s - expected.times_s[0], atol=1e-3)


@pytest.mark.parametrize("vendor", ["siemens", "philips", "enhanced"])
def test_slices_of_a_shuttle_keep_their_own_times(tmp_path: Path, shuttle_head: PerfusionSeries, vendor: str) -> None:
    write_dicom(shuttle_head, tmp_path, vendor=vendor)
    found = series.read(tmp_path)
    assert_same(found, shuttle_head)
    assert found.acquisition.shuttle
    expected = shuttle_head.acquisition.slice_times_s - shuttle_head.times_s[0]
    np.testing.assert_allclose(found.acquisition.slice_times_s, expected, atol=1e-3)


def test_a_last_sweep_that_was_cut_short_is_left_out(tmp_path: Path, shuttle_head: PerfusionSeries, edit_files) -> None:
    write_dicom(shuttle_head, tmp_path)
    edit_files(tmp_path, lambda d: not (frame(d) == 13 and int(d.InstanceNumber) % 4 in {1, 2}))
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data, shuttle_head.data[..., :13])
    assert "incomplete_frames" in {finding.code for finding in found.source.findings}


def frame(dataset: pydicom.Dataset) -> int:
    return (int(dataset.InstanceNumber) - 1) // 4


def test_a_tilted_gantry_gives_a_sheared_grid(tmp_path: Path, head: PerfusionSeries) -> None:
    tilted = replace(head, affine=head.affine + np.array([[0, 0, 0, 0], [0, 0, 1.6, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    write_dicom(tilted, tmp_path)
    found = series.read(tmp_path)
    assert_same(found, tilted)
    finding = next(finding for finding in found.source.findings if finding.code == "gantry_tilt")
    assert f"{np.degrees(np.arctan(1.6 / 5.0)):.1f} degrees" in finding.message


def test_a_rotated_head_keeps_its_place(tmp_path: Path, head: PerfusionSeries) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ np.array(
        [[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]
    )
    turned = replace(head, affine=turn @ head.affine)
    write_dicom(turned, tmp_path)
    assert_same(series.read(tmp_path), turned)


def test_a_left_handed_stack_comes_back_in_the_same_place(tmp_path: Path, head: PerfusionSeries) -> None:
    affine = head.affine.copy()
    affine[:3, 2] *= -1
    write_dicom(replace(head, affine=affine), tmp_path)
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data[:, :, ::-1], head.data)
    last = affine @ [3, 4, 3, 1]
    np.testing.assert_allclose(found.affine @ [3, 4, 0, 1], last, atol=1e-3)


def test_other_files_subfolders_and_names_do_not_matter(tmp_path: Path, head: PerfusionSeries) -> None:
    written = write_dicom(head, tmp_path / "a")
    (tmp_path / "b" / "c").mkdir(parents=True)
    for number, path in enumerate(written):
        path.rename(tmp_path / "b" / ("c" if number % 3 else ".") / f"{number * 7919 % 1000:03d}")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._IM00001.dcm").write_bytes(b"\0" * 200)
    (tmp_path / "empty.bin").write_bytes(b"")
    found = series.read(tmp_path)
    assert_same(found, head)
    assert not found.source.findings


def test_dsc_mr_is_read_with_its_echo_time(tmp_path: Path, head: PerfusionSeries) -> None:
    signal = np.rint(np.abs(head.data) * 3 + 50).astype(np.float32)
    acquisition = replace(head.acquisition, echo_times_s=(0.032,), repetition_time_s=1.7)
    perfusion = replace(head, data=signal, modality="dsc", acquisition=acquisition)
    write_dicom(perfusion, tmp_path)
    found = series.read(tmp_path)
    assert_same(found, perfusion)
    assert found.modality == "dsc"
    assert found.acquisition.echo_times_s == pytest.approx((0.032,))
    assert found.acquisition.repetition_time_s == pytest.approx(1.7)


@pytest.mark.parametrize("syntax", ["rle", "j2k", "implicit", "big endian", "deflated"])
def test_other_encodings_are_decoded(tmp_path: Path, head: PerfusionSeries, edit_files, syntax: str, copy_head) -> None:
    copy_head(tmp_path)

    def encode(dataset: pydicom.Dataset) -> None:
        if syntax == "rle":
            dataset.compress(RLELossless, generate_instance_uid=False)
        elif syntax == "j2k":
            _compress_with_itk(dataset)
        else:
            dataset.file_meta.TransferSyntaxUID = {
                "implicit": pydicom.uid.ImplicitVRLittleEndian,
                "big endian": pydicom.uid.ExplicitVRBigEndian,
                "deflated": pydicom.uid.DeflatedExplicitVRLittleEndian,
            }[syntax]
            if syntax == "big endian":
                dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()

    for path in sorted(tmp_path.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        encode(dataset)
        again = pydicom.Dataset(dataset)
        again.file_meta = dataset.file_meta
        again.save_as(path, enforce_file_format=True)
    assert_same(series.read(tmp_path), head)


def _compress_with_itk(dataset: pydicom.Dataset) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.SetFileName(f"{folder}/a.dcm")
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        encoded = pydicom.dcmread(f"{folder}/a.dcm")
    assert encoded.file_meta.TransferSyntaxUID == JPEG2000Lossless
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless


def test_each_image_is_rescaled_by_its_own_slope_and_intercept(
    tmp_path: Path, head: PerfusionSeries, edit_files, copy_head
) -> None:
    copy_head(tmp_path)

    def other_scale(dataset: pydicom.Dataset) -> None:
        if frame(dataset) % 2:
            stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64)
            dataset.PixelData = (2 * stored + 6).astype("<u2").tobytes()
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.BitsStored, dataset.HighBit = 0.5, -1027, 16, 15

    edit_files(tmp_path, other_scale)
    assert_same(series.read(tmp_path), head)


def test_phases_in_several_series_are_joined(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    copy_head(tmp_path)
    edit_files(tmp_path, lambda d: setattr(d, "SeriesInstanceUID", f"1.2.3.{1000 - frame(d)}"))
    found = series.read(tmp_path)
    assert_same(found, head)
    assert any("joined" in sentence for sentence in found.source.decisions)


def test_two_injections_are_not_joined(tmp_path: Path, head: PerfusionSeries) -> None:
    write_dicom(head, tmp_path / "first", seed=1)
    write_dicom(replace(head, data=head.data + 1), tmp_path / "second", seed=2000)
    for path in (tmp_path / "second").glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        first = pydicom.dcmread(next((tmp_path / "first").glob("*.dcm")))
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = first.StudyInstanceUID, first.FrameOfReferenceUID
        dataset.save_as(path)
    found = series.scan(tmp_path)
    assert [item.frames for item in found] == [14, 14]
    assert all(item.usable for item in found)


def test_two_kernels_in_one_series_are_separated(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path / "smooth", seed=1)
    write_dicom(replace(head, data=np.maximum(head.data - 7, -1024)), tmp_path / "sharp", seed=1)

    def sharp(dataset: pydicom.Dataset) -> None:
        dataset.ConvolutionKernel = "SHARP"
        dataset.SOPInstanceUID = generate_uid()

    edit_files(tmp_path / "sharp", sharp)
    found = {item.description: item.index for item in series.scan(tmp_path)}
    assert len(found) == 2
    chosen = series.read(tmp_path, select=next(index for words, index in found.items() if "SHARP" in words))
    np.testing.assert_array_equal(chosen.data, np.maximum(head.data - 7, -1024))
    assert any("perfusion series were found" in sentence for sentence in series.read(tmp_path).source.decisions)


def test_the_series_with_most_images_is_taken_unless_another_is_selected(tmp_path: Path, head: PerfusionSeries) -> None:
    shorter = replace(head, data=head.data[..., :12], times_s=head.times_s[:12])
    write_dicom(shorter, tmp_path / "a", seed=1)
    write_dicom(head, tmp_path / "b", seed=2)
    found = series.read(tmp_path)
    assert found.times_s.size == 14
    uid = next(item.uids[0] for item in series.scan(tmp_path) if item.frames == 12)
    assert series.read(tmp_path, select=uid).times_s.size == 12
    with pytest.raises(InvalidInputError, match="no series '7'"):
        series.read(tmp_path, select=7)


def test_what_derived_objects_need_is_kept_and_no_identifier_is_told(tmp_path: Path, head: PerfusionSeries, edit_files) -> None:
    write_dicom(head, tmp_path / "Case 3")

    def name(dataset: pydicom.Dataset) -> None:
        dataset.PatientName, dataset.PatientID, dataset.SeriesDescription = "Secret^Name", "ID4711", "CTP Secret"

    edit_files(tmp_path, name)
    found = series.read(tmp_path / "Case 3")
    first = [pydicom.dcmread(path) for path in found.source.dicom["files"]]
    assert [int(d.InstanceNumber) for d in first] == [1, 2, 3, 4]
    assert {d.StudyInstanceUID for d in first} == {found.source.dicom["study_uid"]}
    assert {d.SeriesInstanceUID for d in first} == {found.source.dicom["series_uid"]}
    assert {d.FrameOfReferenceUID for d in first} == {found.source.dicom["frame_of_reference_uid"]}
    assert found.source.case_id == "Case 3"
    told = repr((found.source.decisions, found.source.findings, found.source.case_id, found.acquisition))
    assert "Secret" not in told
    assert "4711" not in told
    assert series.read(tmp_path / "Case 3", case_id="P7").source.case_id == "P7"


def test_progress_reaches_the_end_and_can_stop_the_work(tmp_path: Path, head: PerfusionSeries, copy_head) -> None:
    copy_head(tmp_path)
    seen: list[float] = []
    series.read(tmp_path, progress=lambda fraction, stage: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(fraction: float, stage: str) -> None:
        if fraction > 0.5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        series.read(tmp_path, progress=stop)


def test_itk_sees_the_same_grid(tmp_path: Path, head: PerfusionSeries, edit_files, copy_head) -> None:
    """An independent reader agrees about where the first frame lies."""
    copy_head(tmp_path)
    edit_files(tmp_path, lambda d: frame(d) == 0)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, head.data[..., 0])
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    check_same_grid("ITK", head.shape, np.diag([-1, -1, 1, 1]) @ lps, head.shape, head.affine)
    shutil.rmtree(tmp_path)


def test_one_slice_of_unknown_thickness_is_told_since_its_volumes_mean_nothing(
    tmp_path: Path, head: PerfusionSeries, edit_files
) -> None:
    write_dicom(replace(head, data=head.data[:, :, :1]), tmp_path)
    known = series.read(tmp_path)
    assert np.linalg.norm(known.affine[:3, 2]) == pytest.approx(5.0, abs=1e-3)

    def strip(dataset: pydicom.Dataset) -> None:
        for name in ("SliceThickness", "SpacingBetweenSlices"):
            if name in dataset:
                delattr(dataset, name)

    edit_files(tmp_path, strip)
    found = series.read(tmp_path)
    finding = next(finding for finding in found.source.findings if finding.code == "unknown_thickness")
    assert finding.severity == "error"
