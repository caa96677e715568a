# SPDX-License-Identifier: Apache-2.0
"""Results of an ASL scan as DICOM objects: same numbers, same place, same patient, and nothing said of infarcts."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest

from PerfusionSuiteLib import phantom, pipeline, series
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import QUANTITIES, PerfusionMap
from PerfusionSuiteLib.results.dicom_export import write_dicom


@pytest.fixture
def a_scan(an_asl_series, tmp_path):
    phantom.write_asl_dicom(an_asl_series, tmp_path / "in", vendor="philips", seed=3)
    return tmp_path / "in"


def analyzed(scan, **settings):
    brain = scan.m0 > 100
    settings = pipeline.AslSettings(motion_correction=False, **settings)
    return pipeline.run(scan, settings, inputs=pipeline.AslInputs(brain_mask=brain, midplane=(1, 0, 0, 2.0)))


def content_of(report: pydicom.Dataset) -> dict[str, float]:
    """All measurements of a report by the meaning of their names."""
    found = {}

    def walk(items):
        for item in items:
            if item.ValueType == "NUM":
                value = item.MeasuredValueSequence[0]
                name = item.ConceptNameCodeSequence[0].CodeMeaning
                found[name] = (float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue)
            walk(item.get("ContentSequence", ()))

    walk(report.ContentSequence)
    return found


def test_maps_low_flow_and_numbers_are_filed_with_the_scan(a_scan, tmp_path):
    scan = series.read(a_scan, modality="asl")
    study = analyzed(scan)
    files = write_dicom(tmp_path / "out", study.maps, study.lesions, study.metrics, source=scan.source.dicom, modality="asl")
    made = {path.stem: pydicom.dcmread(path) for path in files}
    assert set(made) == {"cbf", "att", "rcbf_mirror", "segmentation", "report"}
    first = pydicom.dcmread(next(a_scan.glob("*.dcm")))
    assert {item.StudyInstanceUID for item in made.values()} == {first.StudyInstanceUID}
    assert made["cbf"].FrameOfReferenceUID == first.FrameOfReferenceUID

    flow = study.maps["cbf"]
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ flow.affine
    for picture, group in zip(made["cbf"].pixel_array, made["cbf"].PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        at = np.linalg.inv(lps) @ np.append(corner, 1.0)
        assert np.allclose(at[:2], 0.0, atol=1e-3)
        assert np.allclose(picture.T, flow.values[..., round(at[2])], equal_nan=True)
    unit = made["att"].SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
    assert unit.CodeValue == "s"

    segments = hd.seg.Segmentation.from_dataset(made["segmentation"])
    assert [segments.get_segment_description(n).segment_label for n in segments.segment_numbers] == ["Low flow"]
    assert int(made["segmentation"].pixel_array.sum()) == int(study.lesions.hypoperfusion.sum())

    numbers = content_of(made["report"])
    brain = study.metrics.values["by_region"]["brain"]
    assert numbers["CBF, brain"] == (pytest.approx(brain["cbf"], rel=1e-4), "mL/(100.g.min)")
    assert numbers["Arterial transit time, brain"] == (pytest.approx(brain["att"], rel=1e-4), "s")
    assert not any("core" in name.lower() or "cbv" in name.lower() for name in numbers)
    words = str(made["report"])
    assert "Perfusion analysis by Arterial Spin Labeling MR technique" in words
    assert "Susceptibility" not in words


def test_the_flow_of_a_later_scan_is_a_map_of_its_own(a_scan, tmp_path):
    scan = series.read(a_scan, modality="asl")
    study = analyzed(scan)
    flow = study.maps["cbf"]
    maps = study.maps.added(PerfusionMap(0.5 * flow.values, flow.affine, QUANTITIES["cbf_later"]))
    files = write_dicom(tmp_path, maps, study.lesions, study.metrics, source=scan.source.dicom, modality="asl")
    made = {path.stem: pydicom.dcmread(path) for path in files}
    quantity = made["cbf_later"].SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].QuantityDefinitionSequence[0]
    assert quantity.ConceptCodeSequence[0].CodeMeaning == "Cerebral blood flow of the follow-up"
    np.testing.assert_allclose(made["cbf_later"].pixel_array, 0.5 * made["cbf"].pixel_array)


def test_without_a_comparison_of_sides_there_are_maps_and_numbers_but_no_segmentation(an_asl_series, tmp_path):
    study = analyzed(an_asl_series, compare_sides=False)
    files = write_dicom(tmp_path, study.maps, study.lesions, study.metrics, case_id="case-01", modality="asl")
    made = {path.stem: pydicom.dcmread(path) for path in files}
    assert set(made) == {"cbf", "att", "report"}
    assert {str(item.PatientID) for item in made.values()} == {"case-01"}
    assert "CBF, brain" in content_of(made["report"])


def test_run_writes_dicom_of_a_bids_scan_as_a_study_of_its_own(an_asl_series, tmp_path):
    phantom.write_asl_bids(an_asl_series, tmp_path / "bids", subject="01")
    place = [str(tmp_path / "bids" / "sub-01"), str(tmp_path / "out")]
    assert main(["run", *place, "--dicom", "--no-motion-correction", "--midplane", "1", "0", "0", "2"]) == 0
    flow = pydicom.dcmread(tmp_path / "out" / "dicom" / "cbf.dcm")
    assert str(flow.PatientID) == "sub-01"
    assert "ReferencedSeriesSequence" not in flow
