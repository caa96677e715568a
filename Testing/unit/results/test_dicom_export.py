# SPDX-License-Identifier: Apache-2.0
"""Results as DICOM objects: reading back gives the same numbers at the same place of the same patient."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib import lesion, phantom, results, series
from PerfusionSuiteLib.cli.dicom_options import earlier_objects
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionMaps, PerfusionSeries
from PerfusionSuiteLib.core.nifti import read_volume, write_volume
from PerfusionSuiteLib.results.dicom_export import write_dicom
from PerfusionSuiteLib.results.dicom_seg import cielab
from PerfusionSuiteLib.series.dicom_reference import find_source

SHAPE = (30, 34, 5)
OBLIQUE = Rotation.from_euler("xyz", (14, -9, 20), degrees=True).as_matrix()
GRIDS = {
    "upright": np.diag([-1.0, -1.0, 1.0]),
    "feet first": np.diag([1.0, -1.0, -1.0]),
    "oblique": OBLIQUE @ np.diag([-1.0, -1.0, 1.0]),
    "tilted": np.array([[-1.0, 0, 0], [0, -1.0, 0.3], [0, 0, 1.0]]),
}


def affine_of(matrix: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = matrix @ np.diag([5.5, 5.0, 8.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + (4.0, -12.0, 33.0)
    return affine


def scan(matrix: np.ndarray, modality: str = "ctp") -> PerfusionSeries:
    data = np.random.default_rng(1).normal(40.0, 3.0, (*SHAPE, 12)).astype(np.float32)
    data[0] = -1000.0 if modality == "ctp" else 300.0
    acquisition = Acquisition(echo_times_s=(0.03,), repetition_time_s=2.0) if modality == "dsc" else Acquisition()
    return PerfusionSeries(
        np.abs(data) if modality == "dsc" else data, affine_of(matrix), np.arange(12) * 2.0, modality, acquisition
    )


def analyzed(affine: np.ndarray, shape=SHAPE, *, healthy: bool = False):
    """Maps with values that differ from voxel to voxel, a lesion that is symmetric in no direction, and holes."""
    i, j, k = np.indices(shape)
    # The side of the lesion follows the patient, not the array.
    right = affine[0, 0] * (i - (shape[0] - 1) / 2) + affine[0, 1] * j * 0 > 20
    late = right & (j > 6) & (k > 0) & (not healthy)
    core = late & (j > 15) & (k > 1) & (k < 4)
    noise = np.random.default_rng(7).uniform(0, 0.1, (4, *shape))
    values = {"tmax": np.where(late, 9.0, 2.0), "cbf": np.where(core, 6.0, 50.0), "cbv": np.full(shape, 3.5)}
    arrays = {key: (value + noise[n]).astype(np.float32) for n, (key, value) in enumerate(values.items())}
    arrays["tmax"][:2] = np.nan
    maps, lesions = lesion.segment(PerfusionMaps.from_arrays(arrays, affine), preset="ct-perfusion-auto", midplane=(1, 0, 0, 4.0))
    return maps, lesions, lesion.metrics(maps, lesions, case_id="case-9")


def frames_of(dataset: pydicom.Dataset):
    """Each frame with the segment it belongs to and the RAS position of its pixels, from the header alone."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    direction = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    column, row = np.meshgrid(np.arange(dataset.Columns), np.arange(dataset.Rows))
    for picture, group in zip(pixels, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        lps = first + column[..., None] * spacing[1] * direction[:3] + row[..., None] * spacing[0] * direction[3:]
        segment = (
            group.SegmentIdentificationSequence[0].ReferencedSegmentNumber if "SegmentIdentificationSequence" in group else 0
        )
        yield int(segment), picture, lps * (-1, -1, 1)


def in_patient(dataset: pydicom.Dataset, affine: np.ndarray, shape, segment: int = 0) -> np.ndarray:
    """Put the frames of an object on a grid by their positions."""
    volume = np.full(shape, np.nan)
    back = np.linalg.inv(affine)
    for number, picture, ras in frames_of(dataset):
        if number == segment:
            index = ras @ back[:3, :3].T + back[:3, 3]
            assert np.abs(index - np.rint(index)).max() < 1e-3, "pixels lie between voxels"
            volume[tuple(np.rint(index).astype(int).reshape(-1, 3).T)] = picture.ravel()
    return volume


def check_objects(folder: Path, maps, lesions, metrics) -> None:
    shape, affine = maps.shape, maps.affine
    for key in maps:
        dataset = pydicom.dcmread(folder / f"{key}.dcm")
        values = in_patient(dataset, affine, shape)
        np.testing.assert_array_equal(values.astype(np.float32), maps[key].values, err_msg=key)
        mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == maps[key].quantity.ucum
        known = maps[key].values[np.isfinite(maps[key].values)]
        assert mapping.DoubleFloatRealWorldValueFirstValueMapped == pytest.approx(known.min())
        assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(known.max())
    segments = pydicom.dcmread(folder / "segmentation.dcm")
    for number, name in enumerate(("core", "penumbra", "hypoperfusion"), 1):
        found = np.nan_to_num(in_patient(segments, affine, shape, number)).astype(bool)
        np.testing.assert_array_equal(found, getattr(lesions, name), err_msg=name)
    check_report(folder, metrics, segments)


def check_report(folder: Path, metrics, segments: pydicom.Dataset) -> None:
    content = hd.sr.srread(folder / "report.dcm").content
    groups = content.get_volumetric_roi_measurement_groups()
    volumes = [group.get_measurements()[0].value for group in groups]
    keys = ("infarct_core_volume_ml", "penumbra_volume_ml", "hypoperfusion_volume_ml")
    assert volumes == pytest.approx([metrics.values[key] for key in keys])
    assert all(group.get_measurements()[0].unit.value == "mL" for group in groups)
    (listed,) = [item for item in pydicom.dcmread(folder / "report.dcm").ContentSequence if "ContentSequence" in item]
    pointed = [e.value for e in listed.iterall() if e.keyword == "ReferencedSegmentNumber"]
    assert pointed == [1, 2, 3]
    assert {e.value for e in listed.iterall() if e.keyword == "ReferencedSOPInstanceUID"} == {segments.SOPInstanceUID}
    (whole,) = content.get_image_measurement_groups()
    told = {m.name.value: m.value for m in whole.get_measurements()}
    for key in ("mismatch_volume_ml", "mismatch_ratio", "penumbra_fraction_percent", "corrected_cbv_index", "hir"):
        if metrics.values[key] is not None:
            assert told[key] == pytest.approx(metrics.values[key], rel=1e-9), key
    for key, value in metrics.values["volumes_ml"].items():
        assert told[f"volume_{key}"] == pytest.approx(value)


@pytest.mark.parametrize("grid", GRIDS)
def test_numbers_and_places_survive_on_every_grid(grid: str, tmp_path: Path) -> None:
    phantom.write_dicom(scan(GRIDS[grid]), tmp_path / "in", vendor="siemens", seed=4)
    found = series.read(tmp_path / "in")
    maps, lesions, metrics = analyzed(found.affine)
    assert lesions.core.any()
    maps = PerfusionMaps({key: maps[key] for key in ("tmax", "rcbf")})
    write_dicom(tmp_path / "out", maps, lesions, metrics, source=found.source.dicom)
    check_objects(tmp_path / "out", maps, lesions, metrics)
    check_references(tmp_path, found)


def test_images_without_identifiers_are_not_referred_to(tmp_path: Path) -> None:
    phantom.write_dicom(scan(GRIDS["upright"]), tmp_path / "in", vendor="siemens", seed=4)
    for path in (tmp_path / "in").iterdir():
        image = pydicom.dcmread(path)
        del image.SOPInstanceUID
        image.save_as(path, enforce_file_format=False)
    found = series.read(tmp_path / "in")
    maps, lesions, metrics = analyzed(found.affine)
    maps = PerfusionMaps({"tmax": maps["tmax"]})
    write_dicom(tmp_path / "out", maps, lesions, metrics, source=found.source.dicom)
    made = pydicom.dcmread(tmp_path / "out" / "tmax.dcm")
    assert made.StudyInstanceUID == image.StudyInstanceUID
    assert "ReferencedSeriesSequence" not in made


def check_references(folder: Path, found: PerfusionSeries) -> None:
    """Each frame refers to the source image at its own place, in the same study of the same patient."""
    sources = {}
    for path in (folder / "in").iterdir():
        image = pydicom.dcmread(path, stop_before_pixels=True)
        sources[image.SOPInstanceUID] = image
    one = next(iter(sources.values()))
    for name in ("segmentation", "tmax", "report"):
        dataset = pydicom.dcmread(folder / "out" / f"{name}.dcm")
        for word in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber"):
            assert dataset[word].value == one[word].value, word
        assert dataset.SeriesInstanceUID != one.SeriesInstanceUID
        if name == "report":
            continue
        assert dataset.FrameOfReferenceUID == one.FrameOfReferenceUID
        (listed,) = dataset.ReferencedSeriesSequence
        assert listed.SeriesInstanceUID == one.SeriesInstanceUID
        assert {item.ReferencedSOPInstanceUID for item in listed.ReferencedInstanceSequence} <= set(sources)
        for group in dataset.PerFrameFunctionalGroupsSequence:
            (reference,) = group.DerivationImageSequence[0].SourceImageSequence
            source = sources[reference.ReferencedSOPInstanceUID]
            frame = int(reference.get("ReferencedFrameNumber", 0))
            place = source if not frame else source.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0]
            here = group.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(np.array(here, float), np.array(place.ImagePositionPatient, float), atol=0.01)
    assert found.source.dicom["shape"] == found.shape


@pytest.mark.parametrize("vendor", ["enhanced", "ge"])
def test_sources_of_other_makers_are_referred_to(vendor: str, tmp_path: Path) -> None:
    phantom.write_dicom(scan(GRIDS["oblique"]), tmp_path / "in", vendor=vendor, seed=4)
    found = series.read(tmp_path / "in")
    maps, lesions, metrics = analyzed(found.affine)
    write_dicom(tmp_path / "out", PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics, source=found.source.dicom)
    check_references(tmp_path, found)


def test_a_mosaic_of_mr_is_referred_to_as_a_whole(tmp_path: Path) -> None:
    phantom.write_dicom(scan(GRIDS["upright"], "dsc"), tmp_path / "in", vendor="siemens-mosaic", seed=4)
    found = series.read(tmp_path / "in")
    maps, lesions, metrics = analyzed(found.affine)
    write_dicom(tmp_path / "out", PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics, source=found.source.dicom)
    dataset = pydicom.dcmread(tmp_path / "out" / "tmax.dcm")
    known = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (tmp_path / "in").iterdir()}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID in known
        assert "ReferencedFrameNumber" not in reference
    values = in_patient(dataset, maps.affine, maps.shape)
    inside = np.isfinite(maps["tmax"].values)
    np.testing.assert_array_equal(values[inside].astype(np.float32), maps["tmax"].values[inside])


def test_maps_without_a_dicom_source_become_a_study_of_their_own(tmp_path: Path) -> None:
    affine = affine_of(np.diag([1.0, 1.0, 1.0]))  # left-handed in DICOM's eyes: slices run against their normal
    maps, lesions, metrics = analyzed(affine)
    maps = PerfusionMaps({key: maps[key] for key in ("tmax", "cbf")})
    files = write_dicom(tmp_path, maps, lesions, metrics, case_id="sub-07")
    check_objects(tmp_path, maps, lesions, metrics)
    objects = {path.stem: pydicom.dcmread(path) for path in files}
    assert len({d.StudyInstanceUID for d in objects.values()}) == 1
    assert len({d.SeriesInstanceUID for d in objects.values()}) == len(objects)
    assert len({d.FrameOfReferenceUID for name, d in objects.items() if name != "report"}) == 1
    assert {str(d.PatientID) for d in objects.values()} == {"sub-07"}
    known = {d.SOPInstanceUID for d in objects.values()}
    for dataset in objects.values():
        told = [e.value for e in dataset.iterall() if e.keyword == "ReferencedSOPInstanceUID"]
        assert set(told) <= known, "nothing refers to what does not exist"
    tmax = objects["tmax"]
    for group in objects["segmentation"].PerFrameFunctionalGroupsSequence:
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == tmax.SOPInstanceUID
        shown = tmax.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        assert shown.ImagePositionPatient == group.PlanePositionSequence[0].ImagePositionPatient


def test_deidentified_objects_hold_no_word_of_the_source(tmp_path: Path) -> None:
    files = phantom.write_dicom(scan(GRIDS["upright"]), tmp_path / "in", vendor="siemens", seed=4)
    private = {"PatientName": "Doe^Jane", "PatientID": "X-4711", "PatientBirthDate": "19400229", "AccessionNumber": "ACC8899",
               "StudyDate": "20190704", "ReferringPhysicianName": "Roe^Richard", "StudyDescription": "Code stroke"}  # fmt: skip
    for path in files:
        image = pydicom.dcmread(path)
        for name, value in private.items():
            setattr(image, name, value)
        image.save_as(path)
    found = series.read(tmp_path / "in", case_id="case-3")
    maps, lesions, metrics = analyzed(found.affine)
    common = {"source": found.source.dicom, "case_id": "case-3"}
    named = write_dicom(tmp_path / "named", PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics, **common)
    hidden = write_dicom(tmp_path / "hidden", PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics, deidentify=True, **common)
    source = pydicom.dcmread(files[0])
    uids = [source.StudyInstanceUID, source.SeriesInstanceUID, source.FrameOfReferenceUID, source.SOPInstanceUID]
    for path in named:
        assert b"Doe^Jane" in path.read_bytes()
    for path in hidden:
        content = path.read_bytes()
        assert not [word for word in (*private.values(), *uids) if word.encode() in content]
        assert pydicom.dcmread(path).PatientIdentityRemoved == "YES"
        assert str(pydicom.dcmread(path).PatientID) == "case-3"


def test_a_healthy_brain_gives_empty_segments_and_zero_volumes(tmp_path: Path) -> None:
    maps, lesions, metrics = analyzed(affine_of(GRIDS["upright"]), healthy=True)
    write_dicom(tmp_path, PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics)
    segments = pydicom.dcmread(tmp_path / "segmentation.dcm")
    assert not segments.pixel_array.any()
    assert [item.SegmentLabel for item in segments.SegmentSequence] == ["Infarct core", "Penumbra", "Hypoperfusion"]
    check_report(tmp_path, metrics, segments)


def test_a_core_that_is_missing_leaves_its_segment_empty(tmp_path: Path) -> None:
    maps, lesions, metrics = analyzed(affine_of(GRIDS["upright"]))
    lesions = replace(lesions, core=np.zeros_like(lesions.core), penumbra=lesions.hypoperfusion)
    metrics = lesion.metrics(maps, lesions)
    write_dicom(tmp_path, PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics)
    segments = pydicom.dcmread(tmp_path / "segmentation.dcm")
    assert len(segments.SegmentSequence) == 3
    assert not np.nan_to_num(in_patient(segments, maps.affine, maps.shape, 1)).any()
    np.testing.assert_array_equal(np.nan_to_num(in_patient(segments, maps.affine, maps.shape, 2)), lesions.penumbra)


def test_other_readers_see_the_same(tmp_path: Path) -> None:
    maps, lesions, metrics = analyzed(affine_of(GRIDS["oblique"]))
    write_dicom(tmp_path, PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics)
    volume = hd.imread(tmp_path / "tmax.dcm").get_volume()
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    corner = (np.linalg.inv(maps.affine) @ ras)[:3]
    index = np.rint(corner[:, :3] @ np.indices(volume.spatial_shape).reshape(3, -1) + corner[:, 3:]).astype(int)
    values = maps["tmax"].values[tuple(index)].reshape(volume.spatial_shape)
    known = np.isfinite(values)
    np.testing.assert_array_equal(volume.array[known].astype(np.float32), values[known])
    segments = hd.seg.segread(tmp_path / "segmentation.dcm").get_volume(combine_segments=False)
    assert segments.array.sum(axis=(0, 1, 2)).tolist() == [
        m.sum() for m in (lesions.core, lesions.penumbra, lesions.hypoperfusion)
    ]
    pictures = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "segmentation.dcm"))) > 0
    assert np.array_equal(pictures, pydicom.dcmread(tmp_path / "segmentation.dcm").pixel_array > 0)


def test_maps_that_were_written_are_imported_again(tmp_path: Path) -> None:
    maps, lesions, metrics = analyzed(affine_of(GRIDS["tilted"]))
    write_dicom(tmp_path / "dicom", maps, lesions, metrics)
    assert main(["colormap-import", str(tmp_path / "dicom"), str(tmp_path / "back")]) == 0
    for key in ("tmax", "cbf", "cbv"):
        values, affine = read_volume(tmp_path / "back" / f"{key}.nii.gz")
        place = np.linalg.inv(maps.affine) @ affine
        index = np.rint(place[:3, :3] @ np.indices(values.shape).reshape(3, -1) + place[:3, 3:]).astype(int)
        np.testing.assert_array_equal(values, maps[key].values[tuple(index)].reshape(values.shape), err_msg=key)


def test_segments_are_coded_and_say_which_thresholds_made_them(tmp_path: Path) -> None:
    maps, lesions, metrics = analyzed(affine_of(GRIDS["upright"]))
    write_dicom(tmp_path, PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics)
    core, penumbra, _ = pydicom.dcmread(tmp_path / "segmentation.dcm").SegmentSequence
    kind = core.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("55641003", "SCT")
    modifier = penumbra.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert modifier.CodeMeaning == "Ischemic penumbra"
    words = core.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert "tmax_s=6.0" in words
    assert "rcbf_percent=30.0" in words
    quantity = pydicom.dcmread(tmp_path / "tmax.dcm").SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert quantity.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning == "Tmax"


def test_what_was_edited_by_hand_is_not_called_automatic(tmp_path: Path) -> None:
    maps, lesions, metrics = analyzed(affine_of(GRIDS["upright"]))
    lesions = replace(lesions, thresholds={**lesions.thresholds, "edited_by_hand": ["core"]})
    write_dicom(tmp_path, PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics)
    segments = pydicom.dcmread(tmp_path / "segmentation.dcm").SegmentSequence
    assert [item.SegmentAlgorithmType for item in segments] == ["SEMIAUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]


def test_colors_are_given_in_the_space_of_dicom() -> None:
    assert cielab((1.0, 1.0, 1.0)) == [65535, round(128 * 65535 / 255), round(128 * 65535 / 255)]
    assert cielab((0.0, 0.0, 0.0))[0] == 0
    lightness, a, b = cielab((1.0, 0.0, 0.0))  # pure red under D50: L* 54.3, a* 80.8, b* 69.9
    assert (lightness * 100 / 65535, a * 255 / 65535 - 128, b * 255 / 65535 - 128) == pytest.approx((54.3, 80.8, 69.9), abs=0.15)


def test_rows_that_are_not_perpendicular_to_columns_are_refused(tmp_path: Path) -> None:
    affine = affine_of(np.array([[-1.0, 0.2, 0], [0, -1.0, 0], [0, 0, 1.0]]))
    maps, lesions, metrics = analyzed(affine)
    with pytest.raises(InvalidInputError, match="perpendicular rows and columns"):
        write_dicom(tmp_path, maps, lesions, metrics)
    assert not list(tmp_path.iterdir())


def test_the_scan_of_finished_maps_is_found_by_its_grid(tmp_path: Path) -> None:
    phantom.write_dicom(scan(GRIDS["oblique"]), tmp_path / "in", vendor="siemens", seed=4, troubles=["clutter"])
    read = series.read(tmp_path / "in")
    found = find_source(tmp_path / "in", read.shape, read.affine)
    assert found["series_uid"] == read.source.dicom["series_uid"]
    assert found["files"] == read.source.dicom["files"]
    far = read.affine.copy()
    far[:3, 3] += 900.0
    with pytest.raises(InvalidInputError, match="lie outside of all"):
        find_source(tmp_path / "in", read.shape, far)


def test_segment_writes_objects_that_are_filed_with_the_scan(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(results, "write", partial(results.write, pictures=False))
    phantom.write_dicom(scan(GRIDS["upright"]), tmp_path / "in", vendor="siemens", seed=4)
    read = series.read(tmp_path / "in")
    maps, _, _ = analyzed(read.affine)
    for key in ("tmax", "cbf", "cbv"):
        write_volume(tmp_path / "maps" / f"{key}.nii.gz", maps[key].values, read.affine)
    words = ["segment", str(tmp_path / "maps"), str(tmp_path / "out")]
    assert main([*words, "--dicom", "--source", str(tmp_path / "in")]) == 0
    segments = pydicom.dcmread(tmp_path / "out" / "dicom" / "segmentation.dcm")
    assert segments.StudyInstanceUID == read.source.dicom["study_uid"]
    assert str(segments.PatientID) == "PHANTOM-4"
    text = [path for path in (tmp_path / "out").rglob("*") if path.suffix in {".json", ".csv", ".txt", ".html"}]
    assert text
    assert not [path for path in text if b"PHANTOM-4" in path.read_bytes()], "identity goes into DICOM objects only"
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out" / "dicom").iterdir()} <= earlier_objects(
        tmp_path / "out"
    )
    assert main([*words, "--deidentify"]) == 2
    assert "Add --dicom" in capsys.readouterr().err


FORBIDDEN = {"PatientSex": "U", "StudyDate": "20000230", "StudyTime": "99", "PatientBirthDate": "0000"}
JAPANESE = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"}
NOTHING = {"PatientName": None, "PatientID": None, "StudyDate": None, "AccessionNumber": None}


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        pytest.param(FORBIDDEN, dict.fromkeys(FORBIDDEN, ""), id="values that DICOM forbids"),
        pytest.param(JAPANESE, {"PatientName": "Yamada^Tarou=山田^太郎"}, id="Japanese"),
        pytest.param({"PatientName": "Müller^Jörg"}, {"PatientName": "Müller^Jörg"}, id="German"),
        pytest.param(NOTHING, dict.fromkeys(NOTHING, ""), id="nothing"),
    ],
)
def test_odd_headers_of_the_source_are_no_obstacle(tmp_path: Path, caplog, odd: dict, told: dict) -> None:
    files = phantom.write_dicom(scan(GRIDS["upright"]), tmp_path / "in", vendor="siemens", seed=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            image = pydicom.dcmread(path)
            for name, value in odd.items():
                setattr(image, name, value) if value is not None else delattr(image, name)
            image.save_as(path)
    found = series.read(tmp_path / "in")
    maps, lesions, metrics = analyzed(found.affine)
    caplog.clear()
    write_dicom(tmp_path / "out", PerfusionMaps({"tmax": maps["tmax"]}), lesions, metrics, source=found.source.dicom)
    assert not caplog.text, "complaints would quote the patient"
    for name in ("tmax", "segmentation", "report"):
        dataset = pydicom.dcmread(tmp_path / "out" / f"{name}.dcm")
        assert {key: str(dataset[key].value or "") for key in told} == told
