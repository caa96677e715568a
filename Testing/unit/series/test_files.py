# SPDX-License-Identifier: Apache-2.0
"""NIfTI and NRRD: the same scan, whatever program wrote it, and clear words when something is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionSeries, TimingError
from PerfusionSuiteLib.core.nifti import write_volume
from PerfusionSuiteLib.phantom.export import write_nifti


def sidecar(path: Path, **fields: object) -> None:
    path.with_name(path.name.split(".")[0] + ".json").write_text(json.dumps(fields))


def codes(found: PerfusionSeries) -> set[str]:
    return {finding.code for finding in found.source.findings}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("tilt", [0.0, 1.6], ids=["straight", "tilted"])
def test_nifti_gives_back_the_scan(tmp_path: Path, head: PerfusionSeries, suffix: str, tilt: float) -> None:
    affine = head.affine.copy()
    affine[1, 2] += tilt
    head = replace(head, affine=affine, times_s=head.times_s**1.1 + 3.0)
    found = series.read(write_nifti(head, tmp_path / f"case-7{suffix}"))
    np.testing.assert_array_equal(found.data, head.data)
    np.testing.assert_allclose(found.affine, affine, atol=1e-4)
    np.testing.assert_allclose(found.times_s, head.times_s - head.times_s[0], atol=1e-5)
    assert found.modality == "ctp"
    assert found.source.case_id == "case-7"
    assert "VolumeTiming" in found.acquisition.time_source


def test_a_shuttle_keeps_its_slice_times_in_nifti(tmp_path: Path, shuttle_head: PerfusionSeries) -> None:
    found = series.read(write_nifti(shuttle_head, tmp_path / "a.nii"))
    assert found.acquisition.shuttle
    expected = shuttle_head.acquisition.slice_times_s - shuttle_head.times_s[0]
    np.testing.assert_allclose(found.acquisition.slice_times_s, expected, atol=1e-5)


@pytest.mark.parametrize("form", ["sform", "qform", "nifti2", "big endian"])
def test_files_of_nibabel_keep_their_place(tmp_path: Path, head: PerfusionSeries, form: str) -> None:
    c, s = np.cos(0.4), np.sin(0.4)
    affine = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ head.affine
    image = (nib.Nifti2Image if form == "nifti2" else nib.Nifti1Image)(head.data.astype(np.int16), None)
    if form == "big endian":
        image = nib.Nifti1Image(head.data.astype(">i2"), None, nib.Nifti1Header(endianness=">"))
    image.set_qform(affine, 1 if form == "qform" else 0)
    image.set_sform(affine, 0 if form == "qform" else 1)
    image.to_filename(tmp_path / "a.nii.gz")
    found = series.read(tmp_path / "a.nii.gz", interval_s=2.0)
    np.testing.assert_array_equal(found.data, head.data)
    np.testing.assert_allclose(found.affine, affine, atol=1e-4)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-9)


def test_files_of_itk_keep_their_place(tmp_path: Path, head: PerfusionSeries) -> None:
    image = sitk.JoinSeries([sitk.GetImageFromArray(head.data[..., t].T) for t in range(14)])
    direction = np.eye(4)
    image.SetSpacing([0.9, 1.1, 5.0, 2.0])
    image.SetOrigin([-10.8, -11.25, -31.5, 0.0])
    image.SetDirection(direction.ravel())
    for name in ("a.nii.gz", "a.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
        found = series.read(tmp_path / name, interval_s=2.0)
        np.testing.assert_array_equal(found.data, head.data)
        np.testing.assert_allclose(found.affine, head.affine, atol=1e-4)


TIMES: dict[str, tuple[dict[str, object], str]] = {
    "volume timing": ({"VolumeTiming": [2.0 * n + 5 for n in range(14)]}, "VolumeTiming"),
    "frame times": ({"FrameTimesStart": [2 * n for n in range(14)]}, "FrameTimesStart"),
    "clock times": (
        {"AcquisitionTime": [f"23:59:{50 + 2 * n}" if n < 5 else f"00:00:{2 * n - 10:02d}" for n in range(14)]},
        "Acq",
    ),
    "repetition time": ({"RepetitionTime": 2.0, "AcquisitionTime": "10:00:00"}, "RepetitionTime"),
}


@pytest.mark.parametrize("what", TIMES)
def test_times_of_the_sidecar(tmp_path: Path, head: PerfusionSeries, what: str) -> None:
    path = write_volume(tmp_path / "a.nii", head.data, head.affine)
    sidecar(path, **TIMES[what][0])
    found = series.read(path)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert TIMES[what][1] in found.acquisition.time_source


def test_the_step_of_the_header_is_used_with_a_warning(tmp_path: Path, head: PerfusionSeries) -> None:
    found = series.read(write_volume(tmp_path / "a.nii", head.data, head.affine, interval_s=2.0))
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-5)
    assert "times_from_header_step" in codes(found)


BAD_TIMES: dict[str, tuple[dict[str, object], str]] = {
    "none": ({}, "without frame times"),
    "milliseconds": ({"VolumeTiming": [2000.0 * n for n in range(14)]}, "milliseconds"),
    "milliseconds between frames": ({"RepetitionTime": 2000}, "milliseconds"),
    "too few": ({"VolumeTiming": [0, 2, 4]}, "14 frames but 3 frame times"),
    "equal": ({"VolumeTiming": [0.0] * 14}, "must increase"),
    "words": ({"VolumeTiming": ["soon"] * 14}, "missing"),
    "no list": ({"VolumeTiming": "2.0 s"}, "is no list"),
    "nested": ({"VolumeTiming": [[1]] * 14}, "no time"),
    "too short": ({"RepetitionTime": 0.002}, "in seconds"),
}


@pytest.mark.parametrize("what", BAD_TIMES)
def test_bad_times_are_refused(tmp_path: Path, head: PerfusionSeries, what: str) -> None:
    path = write_volume(tmp_path / "a.nii", head.data, head.affine)
    sidecar(path, **BAD_TIMES[what][0])
    with pytest.raises(TimingError, match=BAD_TIMES[what][1]):
        series.read(path)


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), 1500.0])
def test_an_impossible_interval_is_refused(tmp_path: Path, head: PerfusionSeries, interval: float) -> None:
    path = write_volume(tmp_path / "a.nii", head.data, head.affine)
    with pytest.raises(TimingError, match="not possible"):
        series.read(path, interval_s=interval)


def test_modality_comes_from_the_values_or_must_be_given(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write_volume(tmp_path / "ct.nii", head.data, head.affine)
    assert series.read(path, interval_s=2.0).modality == "ctp"
    path = write_volume(tmp_path / "mr.nii", np.abs(head.data), head.affine)
    with pytest.raises(InvalidInputError, match="Give the modality"):
        series.read(path, interval_s=2.0)
    assert series.read(path, interval_s=2.0, modality="dsc").modality == "dsc"
    sidecar(path, Modality="MR", EchoTime=0.03)
    assert series.read(path, interval_s=2.0).acquisition.echo_times_s == (0.03,)
    with pytest.raises(InvalidInputError, match="'ctp' was asked for, but the series is MR"):
        series.read(path, interval_s=2.0, modality="ctp")
    with pytest.raises(InvalidInputError, match="'pet' cannot be read"):
        series.read(path, interval_s=2.0, modality="pet")
    with pytest.raises(InvalidInputError, match="which of its 14 volumes are controls and labels"):
        series.read(path, interval_s=2.0, modality="asl")


Change = Callable[[np.ndarray], np.ndarray]
BAD_VALUES: dict[str, tuple[Change, str]] = {
    "scaled to one": (lambda d: d / 4000.0, "cannot be Hounsfield units"),
    "constant": (lambda d: np.zeros_like(d), "cannot be Hounsfield units"),
    "all missing": (lambda d: np.full_like(d, np.nan), "no finite numbers"),
    "holes": (lambda d: np.where(np.random.default_rng(1).random(d.shape) < 0.1, np.nan, d), "no finite value"),
    "three dimensions": (lambda d: d[..., 0], "3D and has no time axis"),
    "nine frames": (lambda d: d[..., :9], "only 9 frames"),
}


@pytest.mark.parametrize("what", BAD_VALUES)
def test_bad_values_are_refused(tmp_path: Path, head: PerfusionSeries, what: str) -> None:
    change, message = BAD_VALUES[what]
    path = write_volume(tmp_path / "a.nii", change(head.data).astype(np.float32), head.affine)
    with pytest.raises(InvalidInputError, match=message):
        series.read(path, interval_s=2.0, modality="ctp")


def test_missing_background_becomes_air_and_an_empty_frame_is_left_out(tmp_path: Path, head: PerfusionSeries) -> None:
    data = head.data.copy()
    background = data[..., :1].mean(axis=3, keepdims=True) < -900
    data[np.broadcast_to(background, data.shape)] = np.nan
    data[..., 8] = np.nan
    path = write_volume(tmp_path / "a.nii", data, head.affine)
    found = series.read(path, interval_s=2.0, modality="ctp")
    kept = [n for n in range(14) if n != 8]
    expected = np.where(background, -1024.0, head.data)[..., kept]
    np.testing.assert_array_equal(found.data, expected)
    np.testing.assert_allclose(found.times_s, head.times_s[kept], atol=1e-9)
    assert "empty_frames" in codes(found)


def test_values_1024_too_high_are_corrected(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write_volume(tmp_path / "a.nii", np.maximum(head.data + 1024, 0), head.affine)
    found = series.read(path, interval_s=2.0, modality="ctp")
    np.testing.assert_array_equal(found.data, np.maximum(head.data, -1024))
    assert "rescale_not_applied" in codes(found)


def test_a_skull_stripped_scan_is_not_taken_for_unscaled_values(tmp_path: Path, head: PerfusionSeries) -> None:
    stripped = np.where(np.abs(head.data) < 200, head.data, 0)
    path = write_volume(tmp_path / "a.nii", stripped, head.affine)
    found = series.read(path, interval_s=2.0, modality="ctp")
    np.testing.assert_array_equal(found.data, stripped)
    assert not codes(found)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b damaged", b"short"])
def test_a_damaged_nifti_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"^'a\.nii\.gz'"):
        series.read(tmp_path / "a.nii.gz", interval_s=2.0)


def test_a_cut_off_nifti_file_is_refused(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write_volume(tmp_path / "a.nii", head.data, head.affine)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InvalidInputError, match="ends early"):
        series.read(path, interval_s=2.0)


@pytest.mark.parametrize(("place", "value"), [(108, 0.0), (46, -20)], ids=["numbers within the header", "negative size"])
def test_a_nifti_header_that_contradicts_itself_is_refused(
    tmp_path: Path, head: PerfusionSeries, place: int, value: float
) -> None:
    path = write_nifti(head, tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    kind = np.float32 if isinstance(value, float) else np.int16
    content[place : place + np.dtype(kind).itemsize] = np.array(value, kind).tobytes()
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"header of 'a\.nii' contradicts itself"):
        series.read(path, modality="ctp")


def test_a_bids_folder_with_one_file_is_enough(tmp_path: Path, head: PerfusionSeries) -> None:
    folder = tmp_path / "sub-01" / "perf"
    folder.mkdir(parents=True)
    write_nifti(head, folder / "sub-01_perf.nii.gz")
    write_volume(folder / "sub-01_mask.nii", head.data[..., 0], head.affine)
    found = series.read(tmp_path / "sub-01")
    np.testing.assert_array_equal(found.data, head.data)
    assert found.source.case_id == "sub-01"
    assert [item.usable for item in series.scan(tmp_path)] == [False, True]


def test_paths_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        series.read(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="is empty"):
        series.read(tmp_path)
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(InvalidInputError, match="holds no image series"):
        series.read(tmp_path)
    with pytest.raises(InvalidInputError, match="The file 'readme.txt' holds no image series"):
        series.scan(tmp_path / "readme.txt")


def test_a_broken_sidecar_is_refused(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write_volume(tmp_path / "a.nii", head.data, head.affine)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InvalidInputError, match=r"'a\.json' is no valid JSON"):
        series.read(path)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InvalidInputError, match="one JSON object"):
        series.read(path)


class TestTimesOfSlices:
    def signal(self, head: PerfusionSeries) -> PerfusionSeries:
        slice_times = head.times_s + np.array([0.0, 0.9, 0.45, 1.35])[:, None]
        details = {"flip_angle_deg": 75.0, "field_strength_t": 3.0}
        acquisition = Acquisition("DICOM TriggerTime", slice_times, False, "ACME", (0.03,), 1.9, details)
        return replace(head, data=np.abs(head.data), times_s=slice_times.mean(axis=0), modality="dsc", acquisition=acquisition)

    def test_slices_that_are_always_late_by_the_same_go_through_bids_slice_timing(
        self, tmp_path: Path, head: PerfusionSeries
    ) -> None:
        scan = self.signal(head)
        path = write_nifti(scan, tmp_path / "a.nii")
        fields = json.loads((tmp_path / "a.json").read_text())
        assert fields["SliceTiming"] == [0.0, 0.9, 0.45, 1.35]
        np.testing.assert_allclose(fields["VolumeTiming"], head.times_s)
        found = series.read(path)
        np.testing.assert_allclose(found.times_s, scan.times_s - scan.times_s[0], atol=1e-6)
        np.testing.assert_allclose(found.acquisition.slice_times_s, scan.acquisition.slice_times_s - scan.times_s[0], atol=1e-6)
        assert found.acquisition.time_source == "VolumeTiming of the JSON sidecar, from DICOM TriggerTime"
        assert (found.acquisition.echo_times_s, found.acquisition.repetition_time_s) == ((0.03,), 1.9)
        assert found.acquisition.details == scan.acquisition.details
        assert found.modality == "dsc"

    def test_slice_timing_with_a_repetition_time_runs_down_when_it_says_so(self, tmp_path: Path, head: PerfusionSeries) -> None:
        path = write_volume(tmp_path / "a.nii", np.abs(head.data), head.affine)
        timing = [0.0, 0.4, 0.8, 1.2]
        sidecar(path, Modality="MR", RepetitionTime=2.0, SliceTiming=timing, SliceEncodingDirection="k-")
        found = series.read(path)
        late = found.acquisition.slice_times_s - found.acquisition.slice_times_s.min(axis=0)
        np.testing.assert_allclose(late, np.tile(np.array(timing[::-1])[:, None], 14), atol=1e-9)
        np.testing.assert_allclose(np.diff(found.times_s), 2.0)
        assert any("1.20 s apart" in sentence for sentence in found.source.decisions)

    @pytest.mark.parametrize("timing", [[0.0, 1.0], [0.0, 400.0, 800.0, 1200.0], [-0.5, 0.0, 0.5, 1.0]])
    def test_slice_timing_that_cannot_be_right_is_left_out_with_a_warning(
        self, tmp_path: Path, head: PerfusionSeries, timing: list[float]
    ) -> None:
        path = write_volume(tmp_path / "a.nii", head.data, head.affine)
        sidecar(path, RepetitionTime=2.0, SliceTiming=timing)
        found = series.read(path)
        assert found.acquisition.slice_times_s is None
        assert "slice_timing_ignored" in codes(found)


@pytest.mark.parametrize(("unit", "factor"), [("sec", 1.0), ("msec", 1e3), ("usec", 1e6)])
def test_the_unit_of_the_time_step_in_the_header_counts(tmp_path: Path, head: PerfusionSeries, unit: str, factor: float) -> None:
    image = nib.Nifti1Image(head.data.astype(np.int16), head.affine)
    image.header.set_xyzt_units("mm", unit)
    image.header.set_zooms((0.9, 1.1, 5.0, 2.0 * factor))
    image.to_filename(tmp_path / "a.nii.gz")
    found = series.read(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-5)
    assert "2 s in the NIfTI header" in found.acquisition.time_source


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_a_time_step_that_means_nothing_needs_an_interval(tmp_path: Path, head: PerfusionSeries, step: float) -> None:
    image = nib.Nifti1Image(head.data.astype(np.int16), head.affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = step
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(TimingError, match="without frame times.*interval_s=1.5 in Python, --interval 1.5"):
        series.read(tmp_path / "a.nii")
    np.testing.assert_allclose(series.read(tmp_path / "a.nii", interval_s=2.0).times_s, head.times_s)


def test_frames_of_different_length_count_from_their_middle(tmp_path: Path, head: PerfusionSeries) -> None:
    path = write_volume(tmp_path / "a.nii", head.data, head.affine)
    lengths = [2.0] * 7 + [4.0] * 7
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    sidecar(path, FrameTimesStart=[float(start) for start in starts], FrameDuration=lengths)
    np.testing.assert_allclose(series.read(path).times_s, starts + np.array(lengths) / 2 - 1.0)


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -1024.0), (2.0, 3.0)])
def test_stored_numbers_are_rescaled_exactly(tmp_path: Path, head: PerfusionSeries, slope: float, intercept: float) -> None:
    wanted = np.rint(head.data / slope) * slope + intercept
    image = nib.Nifti1Image(np.rint(head.data / slope).astype(np.int16), head.affine)
    image.header.set_slope_inter(slope, intercept)
    for name in ("a.nii", "a.nii.gz"):
        image.to_filename(tmp_path / name)
        found = series.read(tmp_path / name, interval_s=2.0, modality="dsc")
        np.testing.assert_array_equal(found.data, wanted.astype(np.float32))
