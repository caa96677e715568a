# SPDX-License-Identifier: Apache-2.0
"""DICOM and NIfTI that we write are valid, repeatable and free of persons."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from PerfusionSuiteLib.core import InvalidInputError, PerfusionSeries
from PerfusionSuiteLib.phantom.export import VENDORS, write_dicom, write_nifti


@pytest.fixture
def scan() -> PerfusionSeries:
    data = np.random.default_rng(1).integers(-1024, 3000, (8, 6, 3, 12)).astype(np.float32)
    affine = np.diag([-0.9, -1.1, 5.0, 1.0])
    return PerfusionSeries(data, affine, np.linspace(0.0, 22.0, 12))


def fitting(scan: PerfusionSeries, vendor: str) -> PerfusionSeries:
    """Return the scan as MR signal for makers' MR manners."""
    return replace(scan, data=np.abs(scan.data), modality="dsc") if vendor == "siemens-mosaic" else scan


@pytest.mark.parametrize("vendor", VENDORS)
def test_equal_seeds_give_equal_files_and_other_seeds_other_studies(tmp_path: Path, scan: PerfusionSeries, vendor: str) -> None:
    scan = fitting(scan, vendor)
    first = write_dicom(scan, tmp_path / "a", vendor=vendor, seed=4)
    again = write_dicom(scan, tmp_path / "b", vendor=vendor, seed=4)
    other = write_dicom(scan, tmp_path / "c", vendor=vendor, seed=5)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    studies = {pydicom.dcmread(path).StudyInstanceUID for path in (first[0], other[0])}
    assert len(studies) == 2


@pytest.mark.parametrize("vendor", VENDORS)
def test_identifiers_are_unique_and_invented(tmp_path: Path, scan: PerfusionSeries, vendor: str) -> None:
    scan = fitting(scan, vendor)
    images = [pydicom.dcmread(path) for path in write_dicom(scan, tmp_path, vendor=vendor, seed=4)]
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert len({image.SeriesInstanceUID for image in images}) == 1
    for image in images:
        assert image.PatientID == "PHANTOM-4"
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID


def test_file_order_is_shuffled_unless_asked_otherwise(tmp_path: Path, scan: PerfusionSeries) -> None:
    def numbers(paths: list[Path]) -> list[int]:
        return [int(pydicom.dcmread(path).InstanceNumber) for path in paths]

    assert numbers(write_dicom(scan, tmp_path / "a", shuffle=False)) == list(range(1, 37))
    mixed = numbers(write_dicom(scan, tmp_path / "b"))
    assert sorted(mixed) == list(range(1, 37))
    assert mixed != sorted(mixed)


def test_ge_cine_has_one_acquisition_time_and_private_times(tmp_path: Path, scan: PerfusionSeries) -> None:
    images = [pydicom.dcmread(path) for path in write_dicom(scan, tmp_path, vendor="ge")]
    assert len({image.AcquisitionTime for image in images}) == 1
    private = {float(image.private_block(0x0019, "GEMS_ACQU_01")[0x24].value) for image in images}
    assert sorted(private) == pytest.approx(list(scan.times_s))


@pytest.mark.parametrize("vendor", ["enhanced", "philips-enhanced"])
@pytest.mark.parametrize("modality", ["ctp", "dsc"])
def test_a_multi_frame_file_passes_the_checks_of_highdicom(
    tmp_path: Path, scan: PerfusionSeries, vendor: str, modality: str
) -> None:
    import highdicom

    scan = replace(scan, data=scan.data if modality == "ctp" else np.abs(scan.data), modality=modality)
    (path,) = write_dicom(scan, tmp_path, vendor=vendor, shuffle=False)
    image = highdicom.imread(path)
    assert image.Modality == ("CT" if modality == "ctp" else "MR")
    np.testing.assert_array_equal(image.get_frame(1).T, scan.data[:, :, 0, 0])
    np.testing.assert_array_equal(image.get_frame(36).T, scan.data[:, :, 2, 11])


def test_what_cannot_be_written_is_refused(tmp_path: Path, scan: PerfusionSeries) -> None:
    with pytest.raises(InvalidInputError, match="vendor 'acme' is unknown"):
        write_dicom(scan, tmp_path, vendor="acme")
    with pytest.raises(InvalidInputError, match="encoding 'zip' is unknown"):
        write_dicom(scan, tmp_path, encoding="zip")
    with pytest.raises(InvalidInputError, match="'ctp' cannot be written as 'siemens-mosaic'"):
        write_dicom(scan, tmp_path, vendor="siemens-mosaic")
    with pytest.raises(InvalidInputError, match="keeps a scan in one series"):
        write_dicom(scan, tmp_path, vendor="enhanced", split="phases")
    with pytest.raises(InvalidInputError, match="by 'halves'"):
        write_dicom(scan, tmp_path, split="halves")
    with pytest.raises(InvalidInputError, match="Echoes of one scan"):
        write_dicom(scan, tmp_path, further_echoes=[scan])
    sheared = scan.affine.copy()
    sheared[1, 2] = 2.0
    signal = replace(scan, data=np.abs(scan.data), affine=sheared, modality="dsc")
    with pytest.raises(InvalidInputError, match="stacked obliquely"):
        write_dicom(signal, tmp_path, vendor="siemens-mosaic")
    with pytest.raises(InvalidInputError, match="no name for a NIfTI file"):
        write_nifti(scan, tmp_path / "a.img")
    skewed = scan.affine.copy()
    skewed[0, 1] = 0.4
    with pytest.raises(InvalidInputError, match="perpendicular rows and columns"):
        write_dicom(PerfusionSeries(scan.data, skewed, scan.times_s), tmp_path)


def test_nifti_and_its_sidecar_are_what_others_expect(tmp_path: Path, scan: PerfusionSeries) -> None:
    path = write_nifti(scan, tmp_path / "perf.nii.gz")
    image = nib.load(path)
    np.testing.assert_array_equal(image.get_fdata(), scan.data)
    np.testing.assert_allclose(image.affine, scan.affine, atol=1e-5)
    assert image.header.get_zooms()[3] == pytest.approx(2.0)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    timing = json.loads((tmp_path / "perf.json").read_text())["VolumeTiming"]
    np.testing.assert_allclose(timing, scan.times_s)


def test_values_with_fractions_stay_exact_in_nifti_and_are_rounded_in_dicom(tmp_path: Path, scan: PerfusionSeries) -> None:
    fine = PerfusionSeries(scan.data + 0.25, scan.affine, scan.times_s)
    np.testing.assert_array_equal(nib.load(write_nifti(fine, tmp_path / "a.nii")).get_fdata(), fine.data)
    image = pydicom.dcmread(write_dicom(fine, tmp_path / "d", shuffle=False)[0])
    np.testing.assert_array_equal(image.pixel_array.T - 1024.0, scan.data[:, :, 0, 0])
