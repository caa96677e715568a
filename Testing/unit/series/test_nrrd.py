# SPDX-License-Identifier: Apache-2.0
"""Sequences and multi-volumes as 3D Slicer saves them."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionSeries, TimingError

DIRECTIONS = "(0.9,0,0) (0,1.1,0) (0,0,5)"
SEQUENCE_TIMES = "axis 0 index values:=" + " ".join(f"{2 * n:.6f}" for n in range(14))
UNITS = 'units: "s" "mm" "mm" "mm"'


def write(
    path: Path, head: PerfusionSeries, *lines: str, first: bool = True, encoding: str = "gzip", kind: str = "short", cut: int = 0
) -> Path:
    """Write the header lines that 3D Slicer writes, and the data with the list axis first or last."""
    sizes = ("14 24 20 4", "24 20 4 14")[not first]
    directions = (f"none {DIRECTIONS}", f"{DIRECTIONS} none")[not first]
    kinds = ("list domain domain domain", "domain domain domain list")[not first]
    numpy_kind = {"short": "<i2", "float": "<f4", "double": "<f8"}[kind]
    values = np.moveaxis(head.data, 3, 0) if first else head.data
    content = values.astype(numpy_kind).tobytes(order="F")
    header = [
        "NRRD0005",
        "# Complete NRRD file format specification at:",
        f"type: {kind}",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {sizes}",
        f"space directions: {directions}",
        f"kinds: {kinds}",
        "endian: little",
        f"encoding: {encoding}",
        "space origin: (-10.8,-11.25,-31.5)",
        *lines,
    ]
    body = gzip.compress(content) if encoding == "gzip" else content
    path.write_bytes("\n".join(header).encode() + b"\n\n" + body[: len(body) - cut])
    return path


@pytest.mark.parametrize("kind", ["short", "float", "double"])
@pytest.mark.parametrize("encoding", ["gzip", "raw"])
@pytest.mark.parametrize("first", [True, False], ids=["list first", "list last"])
def test_a_sequence_gives_back_the_scan(tmp_path: Path, head: PerfusionSeries, first: bool, encoding: str, kind: str) -> None:
    path = write(tmp_path / "c.seq.nrrd", head, UNITS, SEQUENCE_TIMES, first=first, encoding=encoding, kind=kind)
    found = series.read(path)
    np.testing.assert_array_equal(found.data, head.data)
    np.testing.assert_allclose(found.affine, head.affine, atol=1e-6)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert found.modality == "ctp"
    assert found.source.case_id == "c"


def test_a_multi_volume_has_its_times_in_milliseconds(tmp_path: Path, head: PerfusionSeries) -> None:
    labels = ",".join(str(2000 * n) for n in range(14))
    lines = (f"MultiVolume.FrameLabels:={labels}", "MultiVolume.FrameIdentifyingDICOMTagUnits:=ms")
    found = series.read(write(tmp_path / "a.nrrd", head, *lines))
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert "FrameLabels" in found.acquisition.time_source


@pytest.mark.parametrize(("space", "signs"), [("right-anterior-superior", (1, 1, 1)), ("LAS", (-1, 1, 1))])
def test_every_space_is_turned_to_ras(tmp_path: Path, head: PerfusionSeries, space: str, signs: tuple[int, ...]) -> None:
    path = write(tmp_path / "a.nrrd", head, UNITS, SEQUENCE_TIMES)
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", space.encode()))
    found = series.read(path)
    np.testing.assert_allclose(np.diag(found.affine)[:3], np.array(signs) * [0.9, 1.1, 5.0], atol=1e-6)
    np.testing.assert_allclose(found.affine[:3, 3], np.array(signs) * [-10.8, -11.25, -31.5], atol=1e-6)


@pytest.mark.parametrize("lines", [(), (SEQUENCE_TIMES,), ('units: "count" "mm" "mm" "mm"', SEQUENCE_TIMES)])
def test_times_without_a_unit_need_an_interval(tmp_path: Path, head: PerfusionSeries, lines: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.nrrd", head, *lines)
    with pytest.raises(TimingError, match="Give the interval"):
        series.read(path)
    np.testing.assert_allclose(series.read(path, interval_s=1.9).times_s, 0.95 * head.times_s, atol=1e-9)


def test_a_given_interval_that_the_file_contradicts_is_told(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write(tmp_path / "a.nrrd", head, UNITS, SEQUENCE_TIMES)
    found = series.read(path, interval_s=3.0)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert [finding.code for finding in found.source.findings] == ["interval_differs"]
    assert "the NRRD file says 2 s" in found.source.findings[0].message
    assert not series.read(path, interval_s=2.0).source.findings


def test_a_file_that_does_not_name_its_space_says_so(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write(tmp_path / "a.nrrd", head, UNITS, SEQUENCE_TIMES)
    path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior", b"space dimension: 3"))
    found = series.read(path)
    np.testing.assert_allclose(found.affine, head.affine, atol=1e-6)
    assert [finding.code for finding in found.source.findings] == ["unknown_orientation"]


BAD = {
    "wrong unit": ((UNITS.replace('"s"', '"min"'), SEQUENCE_TIMES), {}, "seems wrong"),
    "words": ((UNITS, "axis 0 index values:=" + " ".join(["a"] * 14)), {}, "no number"),
    "too few": ((UNITS, "axis 0 index values:=1 2 3"), {}, "14 frames but 3"),
    "cut off": ((UNITS, SEQUENCE_TIMES), {"encoding": "raw", "cut": 100}, "ends early"),
    "damaged": ((UNITS, SEQUENCE_TIMES), {"cut": 100}, "cannot be read"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_sequences_are_refused(tmp_path: Path, head: PerfusionSeries, what: str) -> None:
    lines, options, message = BAD[what]
    path = write(tmp_path / "a.nrrd", head, *lines, **options)
    with pytest.raises(InvalidInputError, match=message):
        series.read(path)


def test_a_detached_header_finds_its_data(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write(tmp_path / "a.nrrd", head, UNITS, SEQUENCE_TIMES, encoding="raw")
    start, _, body = path.read_bytes().partition(b"\n\n")
    path.unlink()
    (tmp_path / "a.raw").write_bytes(body)
    (tmp_path / "a.nhdr").write_bytes(start + b"\ndata file: a.raw\n\n")
    np.testing.assert_array_equal(series.read(tmp_path).data, head.data)


@pytest.mark.parametrize("line", ["byte skip: 352", "line skip: 2", "data file: LIST"])
def test_data_that_begin_elsewhere_are_refused_rather_than_misread(tmp_path: Path, head: PerfusionSeries, line: str) -> None:
    path = write(tmp_path / "a.nrrd", head, SEQUENCE_TIMES, UNITS, line, encoding="raw")
    with pytest.raises(InvalidInputError, match="Save it as one file from 3D Slicer"):
        series.read(path)


@pytest.mark.parametrize("content", [b"no header", b"NRRD0004\nsizes: 2 2\n\n"])
def test_what_is_no_nrrd_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"a\.nrrd"):
        series.read(tmp_path / "a.nrrd")


class TestOurOwnFiles:
    @pytest.mark.parametrize("form", ["sequence", "multivolume"])
    def test_what_is_written_is_read_back(self, tmp_path: Path, shuttle_head: PerfusionSeries, form: str) -> None:
        tilted = shuttle_head.affine + np.array([[0, 0, 0, 0], [0, 0, 1.6, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
        acquisition = replace(shuttle_head.acquisition, time_source="DICOM AcquisitionTime")
        scan = replace(shuttle_head, affine=tilted, acquisition=acquisition)
        found = series.read(series.write_nrrd(scan, tmp_path / "a.seq.nrrd", form=form))
        np.testing.assert_array_equal(found.data, scan.data)
        np.testing.assert_allclose(found.affine, tilted, atol=1e-6)
        np.testing.assert_allclose(found.times_s, scan.times_s - scan.times_s[0], atol=1e-6)
        np.testing.assert_allclose(found.acquisition.slice_times_s, acquisition.slice_times_s - scan.times_s[0], atol=1e-6)
        assert found.acquisition.shuttle
        assert found.modality == "ctp"
        assert found.acquisition.time_source.endswith(", from DICOM AcquisitionTime")

    def test_mr_keeps_its_sequence_and_fractions(self, tmp_path: Path, head: PerfusionSeries) -> None:
        details = {"flip_angle_deg": 75.0}
        acquisition = Acquisition(echo_times_s=(0.032,), repetition_time_s=1.7, details=details)
        scan = replace(head, data=np.abs(head.data) + np.float32(0.25), modality="dsc", acquisition=acquisition)
        found = series.read(series.write_nrrd(scan, tmp_path / "a.nrrd"))
        np.testing.assert_array_equal(found.data, scan.data)
        assert found.modality == "dsc"
        assert found.acquisition.echo_times_s == pytest.approx((0.032,))
        assert found.acquisition.repetition_time_s == pytest.approx(1.7)
        assert found.acquisition.details == details

    def test_another_reader_sees_the_same_voxels(self, tmp_path: Path, head: PerfusionSeries) -> None:
        image = sitk.ReadImage(str(series.write_nrrd(head, tmp_path / "a.nrrd", form="multivolume")))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0, 3), head.data)
        np.testing.assert_allclose(image.GetOrigin(), np.diag([-1, -1, 1]) @ head.affine[:3, 3], atol=1e-6)

    def test_equal_scans_give_equal_files(self, tmp_path: Path, head: PerfusionSeries) -> None:
        first, second = (series.write_nrrd(head, tmp_path / name) for name in ("a.nrrd", "b.nrrd"))
        assert first.read_bytes() == second.read_bytes()

    def test_other_names_and_forms_are_refused(self, tmp_path: Path, head: PerfusionSeries) -> None:
        with pytest.raises(InvalidInputError, match=r"end in \.nrrd"):
            series.write_nrrd(head, tmp_path / "a.img")
        with pytest.raises(InvalidInputError, match="'film'.*sequence, multivolume"):
            series.write_nrrd(head, tmp_path / "a.nrrd", form="film")


class TestTimesOfOtherPrograms:
    def test_slicer_puts_the_list_last_with_its_own_unit(self, tmp_path: Path, head: PerfusionSeries) -> None:
        lines = ('units: "" "" "" "s"', "axis 3 index values:=" + " ".join(str(2.0 * n) for n in range(14)))
        found = series.read(write(tmp_path / "a.seq.nrrd", head, *lines, first=False))
        np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-9)
        assert found.acquisition.time_source == "axis 3 index values of the NRRD file (unit s)"

    def test_clock_times_of_the_importer_go_on_after_midnight(self, tmp_path: Path, head: PerfusionSeries) -> None:
        labels = ",".join(str((86_390_000 + 2000 * n) % 86_400_000) for n in range(14))
        lines = (
            f"MultiVolume.FrameLabels:={labels}",
            "MultiVolume.FrameIdentifyingDICOMTagName:=AcquisitionTime",
            "MultiVolume.FrameIdentifyingDICOMTagUnits:=ms",
        )
        found = series.read(write(tmp_path / "a.nrrd", head, *lines))
        np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
        assert "AcquisitionTime" in found.acquisition.time_source

    @pytest.mark.parametrize(("tag", "unit"), [("EchoTime", "ms"), ("TemporalPositionIdentifier", "count"), ("", "")])
    def test_labels_that_are_no_times_need_an_interval(self, tmp_path: Path, head: PerfusionSeries, tag: str, unit: str) -> None:
        lines = (
            "MultiVolume.FrameLabels:=" + ",".join(str(n) for n in range(14)),
            f"MultiVolume.FrameIdentifyingDICOMTagName:={tag}",
            f"MultiVolume.FrameIdentifyingDICOMTagUnits:={unit}",
        )
        path = write(tmp_path / "a.nrrd", head, *lines)
        with pytest.raises(TimingError, match="may only count frames.*--interval"):
            series.read(path)
        np.testing.assert_allclose(series.read(path, interval_s=2.0).times_s, head.times_s)

    def test_time_stamps_per_frame_are_read(self, tmp_path: Path, head: PerfusionSeries) -> None:
        lines = [f"Seq_Frame{n:04d}_Timestamp:={100.5 + 2 * n}" for n in range(14)]
        found = series.read(write(tmp_path / "a.nrrd", head, *lines, first=False))
        np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-9)

    def test_a_plain_list_of_times_is_read_when_its_axis_has_a_unit(self, tmp_path: Path, head: PerfusionSeries) -> None:
        lines = ('units: "mm" "mm" "mm" "ms"', "axis 3 times:=" + " ".join(str(2000 * n) for n in range(14)))
        found = series.read(write(tmp_path / "a.nrrd", head, *lines, first=False))
        np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-9)

    def test_the_spacing_of_an_axis_in_seconds_is_a_regular_step(self, tmp_path: Path, head: PerfusionSeries) -> None:
        lines = ('units: "mm" "mm" "mm" "s"', "spacings: nan nan nan 2.0")
        found = series.read(write(tmp_path / "a.nrrd", head, *lines, first=False))
        np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-9)
        assert "spacing of the time axis" in found.acquisition.time_source

    @pytest.mark.parametrize("nothing", ["(0,0,0)", "(nan,nan,nan)"])
    def test_a_list_axis_with_an_empty_direction_is_understood(self, tmp_path: Path, head: PerfusionSeries, nothing: str) -> None:
        path = write(tmp_path / "a.nrrd", head, UNITS, SEQUENCE_TIMES)
        path.write_bytes(path.read_bytes().replace(b"directions: none", b"directions: " + nothing.encode()))
        found = series.read(path)
        np.testing.assert_array_equal(found.data, head.data)
        np.testing.assert_allclose(found.affine, head.affine, atol=1e-6)
