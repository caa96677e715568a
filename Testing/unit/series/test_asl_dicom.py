# SPDX-License-Identifier: Apache-2.0
"""ASL scans in DICOM: what three makers and the standard's macro say is read, and the rest asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import AslSeries, InvalidInputError, PerfusionSeries
from PerfusionSuiteLib.phantom import write_asl_dicom, write_dicom
from PerfusionSuiteLib.series.asl_dicom_tags import siemens_protocol

from .asl_scans import asl_scan

SCANS: dict[str, tuple[str, dict[str, Any]]] = {
    "generic pcasl": ("generic", {}),
    "generic included": ("generic", {"m0": "included"}),
    "enhanced pcasl": ("enhanced", {}),
    "enhanced pasl": ("enhanced", {"labeling": "pasl", "delays": (1.0, 1.8), "duration": 0.7, "slices_s": 0.05}),
    "enhanced included": ("enhanced", {"m0": "included", "delays": (1.8,)}),
    "siemens pcasl": ("siemens", {"delays": (1.8,), "slices_s": 0.05}),
    "siemens pasl": ("siemens", {"labeling": "pasl", "delays": (1.99,), "duration": 0.7}),
    "siemens included": ("siemens", {"m0": "included", "delays": (1.8,)}),
    "siemens many delays": ("siemens", {}),
    "philips pcasl": ("philips", {}),
    "philips pasl": ("philips", {"labeling": "pasl", "delays": (0.3, 0.6, 0.9), "duration": 0.2}),
    "ge": ("ge", {"content": "deltam", "delays": (1.5, 2.0)}),
}


@pytest.mark.parametrize("kind", SCANS)
def test_scans_come_back_as_written(kind: str, tmp_path: Path) -> None:
    vendor, wishes = SCANS[kind]
    scan = asl_scan(**wishes)
    write_asl_dicom(scan, tmp_path / "dicom", vendor=vendor, seed=4)
    found = series.read(tmp_path / "dicom")
    assert isinstance(found, AslSeries)
    assert sorted(found.volume_types) == sorted(scan.volume_types)
    assert found.volume_types == scan.volume_types
    assert np.allclose(found.data, scan.data, atol=0.02)
    assert np.allclose(found.affine, scan.affine, atol=1e-4)
    assert found.labeling == scan.labeling
    for name in ("post_label_delays_s", "label_durations_s"):
        assert np.allclose(getattr(found, name), getattr(scan, name), atol=1e-3, equal_nan=True)
    assert found.m0_repetition_s == scan.m0_repetition_s
    assert (found.m0 is None) == (scan.m0 is None)
    assert found.m0 is None or np.allclose(found.m0, scan.m0, atol=0.02)
    assert found.field_strength_t == 3.0
    assert found.background_suppression_pulses == 2
    assert (found.slice_delays_s is None) == (scan.slice_delays_s is None)
    assert found.slice_delays_s is None or np.allclose(found.slice_delays_s, scan.slice_delays_s, atol=1e-3)


class TestWhatHeadersDoNotSay:
    @pytest.mark.parametrize(
        ("vendor", "wishes", "words"),
        [
            ("enhanced", {}, "PostLabelingDelay is missing"),
            ("philips", {}, "how blood was labeled"),
            ("siemens", {}, "headers do not say which volume has which"),
        ],
    )
    def test_it_is_asked_for_with_the_name_of_the_option(
        self, vendor: str, wishes: dict[str, Any], words: str, tmp_path: Path
    ) -> None:
        write_asl_dicom(asl_scan(**wishes), tmp_path / "dicom", vendor=vendor, sidecar=False)
        with pytest.raises(InvalidInputError, match=f"{words}.*--asl-options"):
            series.read(tmp_path / "dicom")

    def test_options_beside_the_folder_or_given_fill_it_in(self, tmp_path: Path) -> None:
        scan = asl_scan()
        write_asl_dicom(scan, tmp_path / "dicom", vendor="philips", sidecar=False)
        said = {"ArterialSpinLabelingType": "PCASL", "LabelingDuration": 1.5}
        found = series.read(tmp_path / "dicom", modality="asl", asl_options=said)
        assert np.allclose(found.post_label_delays_s, scan.post_label_delays_s)
        assert "delay_from_trigger" in {finding.code for finding in found.source.findings}
        (tmp_path / "dicom.json").write_text('{"ArterialSpinLabelingType": "CASL", "LabelingDuration": 1.5}')
        assert series.read(tmp_path / "dicom", modality="asl").labeling == "casl"

    def test_siemens_protocol_with_several_delays_says_that_their_order_is_unknown(self, tmp_path: Path) -> None:
        scan = asl_scan()
        write_asl_dicom(scan, tmp_path / "dicom", vendor="siemens", sidecar=False)
        delays = [float(delay) for delay in scan.post_label_delays_s]
        found = series.read(tmp_path / "dicom", modality="asl", asl_options={"PostLabelingDelay": delays})
        assert found.labeling == "pcasl"
        assert np.unique(found.label_durations_s).tolist() == [1.5]
        assert "delay_order_unknown" not in {finding.code for finding in found.source.findings}  # the user has said it

    def test_images_without_any_hint_are_read_as_asl_when_the_user_says_so(
        self, tmp_path: Path, edit_files: Callable[..., int]
    ) -> None:
        scan = asl_scan(m0="estimate", delays=(1.8,))
        write_asl_dicom(scan, tmp_path / "dicom", sidecar=False)

        def plain(dataset: pydicom.Dataset) -> None:
            dataset.ImageType, dataset.SeriesDescription = ["ORIGINAL", "PRIMARY"], ""

        edit_files(tmp_path / "dicom", plain)
        with pytest.raises(InvalidInputError, match="only 4 frames"):
            series.read(tmp_path / "dicom")
        said = {"ASLContext": "control,label", "ArterialSpinLabelingType": "PCASL", "PostLabelingDelay": 1.8}
        found = series.read(tmp_path / "dicom", modality="asl", asl_options={**said, "LabelingDuration": 1.5})
        assert np.allclose(found.data, scan.data, atol=0.02)


class TestSiemens:
    def test_the_protocol_of_newer_software_lies_in_private_items_of_the_shared_groups(self) -> None:
        text = (
            "### ASCCONV BEGIN ###\nsAsl.ulLabelingDuration = 1800000\nsAsl.sPostLabelingDelay[0] = 2000000\n### ASCCONV END ###"
        )
        private, shared, dataset = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        private.add_new((0x0021, 0x1019), "OB", text.encode())
        shared.add_new((0x0021, 0x10FE), "SQ", [private])
        dataset.SharedFunctionalGroupsSequence = [shared]
        assert siemens_protocol(dataset) == {"labeling": "pcasl", "label_s": 1.8, "delays_s": [2.0]}

    def test_comments_count_more_than_the_macro_which_these_scanners_shift(
        self, tmp_path: Path, edit_files: Callable[..., int]
    ) -> None:
        scan = asl_scan(m0="included", delays=(1.8,))
        write_asl_dicom(scan, tmp_path / "dicom", vendor="enhanced")

        def shifted(dataset: pydicom.Dataset) -> None:
            dataset.Manufacturer = "SIEMENS (phantom)"
            words = {"control": "CONTROL", "label": "LABEL", "m0scan": "M0_SCAN"}
            for group in dataset.PerFrameFunctionalGroupsSequence:
                volume = int(group.FrameContentSequence[0].FrameAcquisitionNumber) - 1
                group.FrameContentSequence[0].FrameComments = words[scan.volume_types[volume]]
                group.MRArterialSpinLabelingSequence[0].ASLContext = "LABEL" if volume == 0 else "CONTROL"

        edit_files(tmp_path / "dicom", shifted)
        assert series.read(tmp_path / "dicom", modality="asl").volume_types == scan.volume_types


class TestDamage:
    def test_a_lost_slice_is_told(self, tmp_path: Path) -> None:
        written = write_asl_dicom(asl_scan(m0="included"), tmp_path / "dicom", vendor="siemens")
        written[3].unlink()
        with pytest.raises(InvalidInputError, match="slices have 8 to 9 images"):
            series.read(tmp_path / "dicom", modality="asl")

    def test_label_types_that_differ_within_a_volume_are_told(self, tmp_path: Path) -> None:
        write_asl_dicom(asl_scan(), tmp_path / "dicom", vendor="siemens")
        path = next(p for p in sorted((tmp_path / "dicom").glob("*.dcm")) if pydicom.dcmread(p).get("ImageComments") == "LABEL")
        dataset = pydicom.dcmread(path)
        dataset.ImageComments = "CONTROL"
        dataset.save_as(path)
        with pytest.raises(InvalidInputError, match="different label types"):
            series.read(tmp_path / "dicom", modality="asl")

    @pytest.mark.parametrize(("vendor", "words"), [("toshiba", "unknown for ASL"), ("ge", "difference images")])
    def test_manners_that_do_not_exist_are_refused(self, vendor: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=words):
            write_asl_dicom(asl_scan(), tmp_path, vendor=vendor)


def test_a_bolus_series_beside_an_asl_scan_comes_first_and_the_other_is_told(head: PerfusionSeries, tmp_path: Path) -> None:
    write_dicom(head, tmp_path / "both" / "ct")
    write_asl_dicom(asl_scan(), tmp_path / "both" / "asl", vendor="siemens")
    found = series.read(tmp_path / "both")
    assert isinstance(found, PerfusionSeries)
    assert "asl_beside" in {finding.code for finding in found.source.findings}
    labels = [item for item in series.scan(tmp_path / "both") if item.asl]
    assert [item.description for item in labels] == ["ASL with M0 scan"]
