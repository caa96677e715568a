# SPDX-License-Identifier: Apache-2.0
"""Every manner in which scanners write a dynamic series is read back exactly: numbers, place, times, and what was decided."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionSeries
from PerfusionSuiteLib.phantom.dicom_split import phase_of_frames
from PerfusionSuiteLib.phantom.export import ENCODINGS, write_dicom

UNEVEN = np.concatenate([np.arange(7) * 1.0, 6.0 + 3.0 * np.arange(1, 6)])
"""An arterial phase of 1 s and a venous one of 3 s."""


def codes(found: PerfusionSeries) -> set[str]:
    return {finding.code for finding in found.source.findings}


def assert_same(found: PerfusionSeries, expected: PerfusionSeries) -> None:
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
    np.testing.assert_allclose(found.times_s, expected.times_s - expected.times_s[0], atol=1e-5)
    wanted = expected.acquisition.slice_times_s
    if wanted is None:
        assert found.acquisition.slice_times_s is None
    else:
        start = wanted[:, 0].mean()
        np.testing.assert_allclose(found.acquisition.slice_times_s, wanted - start, atol=1e-5)


@pytest.fixture
def head(head: PerfusionSeries) -> PerfusionSeries:
    """Three slices and twelve frames of the head, so that many manners of writing can be tried."""
    return replace(head, data=head.data[::2, ::2, :3, :12], times_s=head.times_s[:12])


@pytest.fixture
def signal(head: PerfusionSeries) -> PerfusionSeries:
    """The head as a DSC scan."""
    acquisition = Acquisition(
        echo_times_s=(0.03,), repetition_time_s=1.9, details={"flip_angle_deg": 75.0, "field_strength_t": 3.0}
    )
    return replace(head, data=np.rint(np.abs(head.data) * 3 + 50).astype(np.float32), modality="dsc", acquisition=acquisition)


@pytest.fixture
def jog_head(head: PerfusionSeries) -> PerfusionSeries:
    """Two table positions take turns, 1.5 s apart, every 3 s."""
    slice_times = 1.5 * head.times_s + np.array([0.0, 0.0, 1.5])[:, None]
    return replace(head, times_s=slice_times.mean(axis=0), acquisition=Acquisition(slice_times_s=slice_times, shuttle=True))


CT = {
    "generic": "DICOM AcquisitionTime",
    "siemens": "DICOM AcquisitionDateTime",
    "ge": "GE private mid-scan time",
    "philips": "DICOM ContentTime",
    "philips-enhanced": "DICOM TemporalPositionTimeOffset",
    "canon": "DICOM AcquisitionTime",
    "enhanced": "DICOM FrameAcquisitionDateTime",
}
MR = {
    "generic": "DICOM AcquisitionTime",
    "siemens": "DICOM AcquisitionTime",
    "siemens-mosaic": "DICOM AcquisitionTime",
    "ge": "DICOM TriggerTime",
    "philips": "Philips private dynamic scan begin time",
    "philips-enhanced": "Philips private dynamic scan begin time",
    "enhanced": "DICOM FrameAcquisitionDateTime",
}


@pytest.mark.parametrize("vendor", CT)
def test_ct_with_two_phases_is_read_back(tmp_path: Path, head: PerfusionSeries, vendor: str) -> None:
    scan = replace(head, times_s=UNEVEN)
    write_dicom(scan, tmp_path, vendor=vendor, seed=3)
    found = series.read(tmp_path)
    assert_same(found, scan)
    assert found.modality == "ctp"
    assert found.acquisition.time_source.startswith(CT[vendor])
    assert codes(found) == ({"series_joined"} if vendor == "canon" else set())


@pytest.mark.parametrize("vendor", [vendor for vendor in CT if vendor != "philips-enhanced"])
def test_a_jog_scan_keeps_the_times_of_both_table_positions(tmp_path: Path, jog_head: PerfusionSeries, vendor: str) -> None:
    write_dicom(jog_head, tmp_path, vendor=vendor, seed=4)
    found = series.read(tmp_path)
    assert_same(found, jog_head)
    assert found.acquisition.shuttle
    assert any("up to 1.50 s apart" in sentence for sentence in found.source.decisions)


@pytest.mark.parametrize("vendor", MR)
def test_mr_is_read_back_with_its_sequence(tmp_path: Path, signal: PerfusionSeries, vendor: str) -> None:
    write_dicom(signal, tmp_path, vendor=vendor, seed=5)
    found = series.read(tmp_path)
    assert_same(found, signal)
    assert found.modality == "dsc"
    assert found.acquisition.time_source.startswith(MR[vendor])
    assert found.acquisition.echo_times_s == pytest.approx((0.03,))
    assert found.acquisition.repetition_time_s == pytest.approx(1.9)
    assert found.acquisition.details["flip_angle_deg"] == pytest.approx(75.0)
    assert found.acquisition.details["field_strength_t"] == pytest.approx(3.0)
    assert not codes(found)


@pytest.mark.parametrize("vendor", MR)
def test_slices_of_an_epi_keep_their_own_times(tmp_path: Path, signal: PerfusionSeries, vendor: str) -> None:
    slice_times = signal.times_s + np.array([0.0, 0.9, 0.45])[:, None]
    scan = replace(signal, times_s=slice_times.mean(axis=0), acquisition=replace(signal.acquisition, slice_times_s=slice_times))
    write_dicom(scan, tmp_path, vendor=vendor)
    found = series.read(tmp_path)
    assert_same(found, scan)
    assert not found.acquisition.shuttle


@pytest.mark.parametrize(
    ("vendor", "encoding"),
    [
        *(("ge", encoding) for encoding in ENCODINGS),
        *(("enhanced", encoding) for encoding in ("big-endian", "deflated", "jpeg-lossless", "rle")),
        *(("siemens-mosaic", encoding) for encoding in ("implicit", "big-endian", "jpeg-lossless", "rle")),
    ],
)
def test_every_encoding_is_decoded(
    tmp_path: Path, head: PerfusionSeries, signal: PerfusionSeries, vendor: str, encoding: str
) -> None:
    scan = signal if vendor == "siemens-mosaic" else head
    written = write_dicom(scan, tmp_path, vendor=vendor, encoding=encoding)
    assert pydicom.dcmread(written[0]).file_meta.TransferSyntaxUID == ENCODINGS[encoding]
    assert_same(series.read(tmp_path), scan)


def test_a_mosaic_is_what_another_reader_takes_it_for(tmp_path: Path, signal: PerfusionSeries) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its DICOM readers experimental
        from nibabel.nicom.dicomwrappers import wrapper_from_file
    (first, *_) = write_dicom(signal, tmp_path, vendor="siemens-mosaic", shuffle=False)
    mosaic = wrapper_from_file(first)
    assert mosaic.is_mosaic
    np.testing.assert_array_equal(np.asarray(mosaic.get_data()).transpose(1, 0, 2), signal.data[..., 0])
    lps = mosaic.affine[:, [1, 0, 2, 3]]  # its first index is the row
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ lps, signal.affine, atol=1e-3)


def test_a_mosaic_runs_down_when_its_header_says_so(tmp_path: Path, signal: PerfusionSeries) -> None:
    affine = signal.affine.copy()
    affine[:3, 2] *= -1
    write_dicom(replace(signal, affine=affine), tmp_path, vendor="siemens-mosaic")
    found = series.read(tmp_path)
    np.testing.assert_array_equal(found.data[:, :, ::-1], signal.data)
    np.testing.assert_allclose(found.affine @ [3, 4, 0, 1], affine @ [3, 4, 2, 1], atol=1e-3)


def test_a_mosaic_without_private_elements_is_refused_and_with_only_one_of_them_read(
    tmp_path: Path, signal: PerfusionSeries, edit_files
) -> None:
    write_dicom(signal, tmp_path, vendor="siemens-mosaic")

    def without_csa(dataset: pydicom.Dataset) -> None:
        del dataset[0x0029, 0x1010], dataset[0x0029, 0x0010], dataset[0x0019, 0x0010]

    edit_files(tmp_path, without_csa)
    assert_same(series.read(tmp_path), signal)
    edit_files(tmp_path, lambda d: d.remove_private_tags())
    with pytest.raises(InvalidInputError, match="does not say how many slices"):
        series.read(tmp_path)


def test_csa_alone_is_enough_for_a_mosaic(tmp_path: Path, signal: PerfusionSeries, edit_files) -> None:
    slice_times = signal.times_s + np.array([0.0, 0.9, 0.45])[:, None]
    scan = replace(signal, times_s=slice_times.mean(axis=0), acquisition=replace(signal.acquisition, slice_times_s=slice_times))
    write_dicom(scan, tmp_path, vendor="siemens-mosaic")

    def without_group_19(dataset: pydicom.Dataset) -> None:
        for tag in [element.tag for element in dataset if element.tag.group == 0x0019]:
            del dataset[tag]

    edit_files(tmp_path, without_group_19)
    assert_same(series.read(tmp_path), scan)


@pytest.mark.parametrize("encoding", ["explicit", "jpeg-lossless"])
def test_a_multi_frame_file_per_time_point_is_read(tmp_path: Path, head: PerfusionSeries, encoding: str) -> None:
    """The seed sets the clock; it also makes the identifiers, which one scan shares."""
    shared: dict[str, str] = {}
    for t in range(12):
        one = replace(head, data=head.data[..., t : t + 1], times_s=np.zeros(1))
        (path,) = write_dicom(one, tmp_path / f"{t}", vendor="enhanced", encoding=encoding, seed=2 * t)
        dataset = pydicom.dcmread(path)
        for group in dataset.PerFrameFunctionalGroupsSequence:
            content = group.FrameContentSequence[0]
            del content.FrameAcquisitionDateTime, content.FrameReferenceDateTime
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, name, shared.setdefault(name, dataset.get(name)))
        dataset.InstanceNumber = t + 1
        dataset.save_as(path)
    found = series.read(tmp_path)
    assert_same(found, head)
    assert found.acquisition.time_source == "DICOM AcquisitionDateTime"


class TestSeveralSeries:
    @pytest.mark.parametrize("vendor", ["generic", "siemens", "ge", "philips", "canon"])
    def test_two_phases_in_two_series_are_joined(self, tmp_path: Path, head: PerfusionSeries, vendor: str) -> None:
        scan = replace(head, times_s=UNEVEN + np.where(np.arange(12) > 6, 4.0, 0.0))
        written = write_dicom(scan, tmp_path, vendor=vendor, split="phases")
        assert len({pydicom.dcmread(path).SeriesInstanceUID for path in written}) == 2
        found = series.read(tmp_path)
        assert_same(found, scan)
        finding = next(finding for finding in found.source.findings if finding.code == "series_joined")
        assert "2 DICOM series on the same slices follow each other" in finding.message

    def test_a_private_clock_that_restarts_with_each_series_is_added_to_the_public_one(
        self, tmp_path: Path, head: PerfusionSeries, edit_files
    ) -> None:
        scan = replace(head, times_s=np.concatenate([np.arange(7) * 1.0, 6.0 + 3.3 * np.arange(1, 6)]))
        write_dicom(scan, tmp_path, vendor="ge", split="phases")
        late = scan.times_s[7]

        def restart(dataset: pydicom.Dataset) -> None:
            if dataset.SeriesNumber == 3:
                element = dataset[0x0019, 0x1024]
                element.value = f"{float(element.value) - late:.6f}"
                dataset.AcquisitionTime = f"{float(dataset.AcquisitionTime) + late:013.6f}"

        edit_files(tmp_path, restart)
        found = series.read(tmp_path)
        assert_same(found, scan)
        assert "AcquisitionTime plus" in found.acquisition.time_source

    @pytest.mark.parametrize("vendor", ["generic", "siemens", "ge", "philips"])
    @pytest.mark.parametrize("tilt", [0.0, 1.6], ids=["straight", "tilted"])
    def test_two_slabs_in_two_series_are_joined(
        self, tmp_path: Path, jog_head: PerfusionSeries, vendor: str, tilt: float
    ) -> None:
        affine = jog_head.affine.copy()
        affine[1, 2] += tilt
        scan = replace(jog_head, affine=affine)
        written = write_dicom(scan, tmp_path, vendor=vendor, split="slabs")
        assert len({pydicom.dcmread(path).SeriesInstanceUID for path in written}) == 2
        found = series.read(tmp_path)
        assert_same(found, scan)
        assert any("take turns in time" in finding.message for finding in found.source.findings)

    def test_two_slabs_scanned_one_after_the_other_are_not_joined(self, tmp_path: Path, head: PerfusionSeries) -> None:
        """Two injections for two slabs are two scans."""
        late = np.array([0.0, 0.0, 90.0])[:, None]
        scan = replace(head, acquisition=Acquisition(slice_times_s=head.times_s + late))
        write_dicom(scan, tmp_path, split="slabs")
        assert [item.slices for item in series.scan(tmp_path)] == [2, 1]
        found = series.read(tmp_path)
        assert "several_series" in codes(found)

    def test_slabs_with_a_gap_between_them_are_not_joined(self, tmp_path: Path, jog_head: PerfusionSeries, edit_files) -> None:
        write_dicom(jog_head, tmp_path, split="slabs")

        def move(dataset: pydicom.Dataset) -> None:
            if dataset.SeriesNumber == 3:
                dataset.ImagePositionPatient[2] += 20

        edit_files(tmp_path, move)
        assert len(series.scan(tmp_path)) == 2

    def test_a_series_per_frame_is_one_scan(self, tmp_path: Path, head: PerfusionSeries) -> None:
        write_dicom(head, tmp_path, vendor="canon", split="frames")
        assert_same(series.read(tmp_path), head)

    def test_phases_are_told_by_the_interval(self) -> None:
        assert list(phase_of_frames(UNEVEN)) == [0] * 7 + [1] * 5
        assert list(phase_of_frames(np.array([0.0, 1, 2, 12, 15, 18]))) == [0, 0, 0, 1, 1, 1]
        assert list(phase_of_frames(np.arange(5) * 1.5)) == [0] * 5


class TestEchoes:
    @pytest.mark.parametrize("vendor", ["siemens", "siemens-mosaic", "philips-enhanced"])
    def test_two_echoes_of_one_series_are_read_apart(self, tmp_path: Path, signal: PerfusionSeries, vendor: str) -> None:
        early = replace(signal, acquisition=replace(signal.acquisition, echo_times_s=(0.008,)))
        late = replace(signal, data=np.rint(0.6 * signal.data).astype(np.float32))
        write_dicom(early, tmp_path, vendor=vendor, further_echoes=(late,))
        first, second = series.read_echoes(tmp_path)
        assert_same(first, early)
        assert_same(second, late)
        assert (first.acquisition.echo_times_s, second.acquisition.echo_times_s) == (
            pytest.approx((0.008,)),
            pytest.approx((0.03,)),
        )
        alone = series.read(tmp_path)
        np.testing.assert_array_equal(alone.data, late.data)
        finding = next(finding for finding in alone.source.findings if finding.code == "several_series")
        assert "closest to 30 ms" in finding.message
        assert "--series N" in finding.advice
        assert "--series 0 --second-echo 1 uses both" in finding.advice

    def test_two_nifti_files_tell_their_echoes_and_how_to_use_both(self, tmp_path: Path, signal: PerfusionSeries) -> None:
        for name, echo_s in (("a", 0.0321), ("b", 0.0135)):
            series.write_nifti(
                replace(signal, acquisition=replace(signal.acquisition, echo_times_s=(echo_s,))), tmp_path / f"{name}.nii"
            )
        finding = next(finding for finding in series.read(tmp_path).source.findings if finding.code == "several_series")
        assert "NIfTI, TE 13.5 ms" in finding.message
        assert "--series 1 --second-echo 0 uses both" in finding.advice

    def test_two_series_of_one_echo_time_are_not_taken_for_echoes(self, tmp_path: Path, signal: PerfusionSeries) -> None:
        for name in ("a", "b"):
            series.write_nifti(signal, tmp_path / f"{name}.nii")
        finding = next(finding for finding in series.read(tmp_path).source.findings if finding.code == "several_series")
        assert "echo" not in finding.advice

    def test_a_scan_with_one_echo_gives_one(self, tmp_path: Path, signal: PerfusionSeries) -> None:
        write_dicom(signal, tmp_path)
        (only,) = series.read_echoes(tmp_path)
        assert_same(only, signal)
