# SPDX-License-Identifier: Apache-2.0
"""Volumes of any origin, the movable plane and sinus markers, regions, previews and statistics in a scene."""

import csv
import json

import numpy as np
import pytest
import slicer

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps
from PerfusionSuiteSlicer.mrml import MapNodes
from PerfusionSuiteSlicer.mrml.DrawnRegions import checkPicture, readRegion, regionToSegmentation, writePicture
from PerfusionSuiteSlicer.mrml.GrayCopy import grayCopy
from PerfusionSuiteSlicer.mrml.LesionInputs import LesionInputs, keepInputs, keptInputs
from PerfusionSuiteSlicer.mrml.LesionJob import editedThresholds, startLesionJob, startMeasuringJob
from PerfusionSuiteSlicer.mrml.LesionNodes import CORE, HYPOPERFUSION, segmentArray, setSegment
from PerfusionSuiteSlicer.mrml.LesionPreview import LesionPreview
from PerfusionSuiteSlicer.mrml.MapUnits import guessUnit, mapOf, readMaps, unitProblem
from PerfusionSuiteSlicer.mrml.MidplaneNodes import givenPlane, midplaneToNode, movedSinuses, nodeToPlane, sinusesToNode
from PerfusionSuiteSlicer.mrml.RegionJobs import startStatisticsJob, tableToCsv
from PerfusionSuiteSlicer.mrml.StudyRoles import setFacts
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues, textToMetrics
from PerfusionSuiteSlicer.mrml.VolumeArrays import setVolume, volumeArray
from PerfusionSuiteSlicer.ui.LesionCalls import addMarkers, exportTables, forgetMarkers, lesionInputs, markers
from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

pytestmark = pytest.mark.mrml


@pytest.fixture(scope="module")
def patient():
    return phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(64, 64, 4), spacing_mm=(3.2, 3.2, 14.0), interval_s=2.0, frames=25
    )


@pytest.fixture
def maps(scene, patient):
    truth = patient[1]
    arrays = {key: np.asarray(truth.maps[key], np.float32) for key in ("tmax", "cbf", "cbv")}
    return MapNodes.mapsToNodes(scene, PerfusionMaps.from_arrays(arrays, truth.affine), "patient")


def foreign(scene, values, affine, name):
    """Return a volume that nothing is known about."""
    return setVolume(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name), np.asarray(values, np.float32), affine)


class TestUnits:
    @pytest.mark.parametrize(
        ("key", "scale", "unit"),
        [
            ("tmax", 1.0, "s"),
            ("tmax", 1000.0, "ms"),
            ("cbf", 0.01, "mL/g/min"),
            ("cbf", 1.0, "mL/100g/min"),
            ("cbv", 0.01, "mL/g"),
        ],
    )
    def test_the_unit_of_a_foreign_volume_is_seen_and_its_values_come_in_ours(self, scene, patient, key, scale, unit):
        true = np.asarray(patient[1].maps[key], np.float32)
        node = foreign(scene, scale * true, patient[1].affine, "volume")
        assert guessUnit(node, key) == unit
        np.testing.assert_allclose(mapOf(node, key).values, true, rtol=1e-5, atol=1e-5)

    def test_values_that_fit_no_unit_are_asked_about(self, scene):
        node = foreign(scene, np.full((4, 4, 4), 150.0), np.eye(4), "odd")
        assert "Choose the unit" in unitProblem(node, "tmax")
        with pytest.raises(InvalidInputError, match="in which unit"):
            mapOf(node, "tmax")
        assert mapOf(node, "tmax", "1/10 s").values[0, 0, 0] == pytest.approx(15.0)

    def test_a_map_of_something_else_is_refused(self, maps):
        assert "is a map of CBF" in unitProblem(maps["cbf"], "tmax")

    def test_a_map_on_another_grid_comes_to_that_of_tmax(self, scene, patient):
        truth = patient[1]
        ramp = np.arange(64.0)[:, None, None] * np.ones((64, 64, 4)) + 10.0
        finer = truth.affine @ np.diag([0.5, 0.5, 1.0, 1.0])
        fine = 0.5 * np.arange(128.0)[:, None, None] * np.ones((128, 128, 4)) + 10.0
        nodes = {"tmax": foreign(scene, np.full(ramp.shape, 5.0), truth.affine, "t"), "cbf": foreign(scene, fine, finer, "f")}
        found = readMaps(nodes, {"cbf": "mL/100g/min"})
        np.testing.assert_allclose(found["cbf"].values[2:-2, 2:-2], ramp[2:-2, 2:-2], atol=1e-3)

    def test_maps_that_do_not_meet_are_refused(self, scene):
        away = np.eye(4)
        away[:3, 3] = 500.0
        nodes = {
            "tmax": foreign(scene, np.full((4, 4, 4), 5.0), np.eye(4), "t"),
            "cbf": foreign(scene, np.full((4, 4, 4), 40.0), away, "f"),
        }
        with pytest.raises(InvalidInputError, match="lies elsewhere"):
            readMaps(nodes)


class TestMarkers:
    PLANE = np.array([0.995, 0.0998, 0.0, 3.0]) / np.hypot(0.995, 0.0998)

    def test_a_plane_comes_back_and_counts_only_once_it_was_moved(self, scene):
        node = midplaneToNode(scene, self.PLANE, "p", shape=(64, 64, 4), affine=np.diag([3.0, 3.0, 14.0, 1.0]))
        np.testing.assert_allclose(nodeToPlane(node), self.PLANE, atol=1e-9)
        assert givenPlane(node) is None
        origin = np.array(node.GetOriginWorld()) + 4.0 * self.PLANE[:3]
        node.SetOriginWorld(tuple(origin))
        assert givenPlane(node)[3] == pytest.approx(self.PLANE[3] + 4.0)

    def test_a_plane_that_was_turned_counts(self, scene):
        node = midplaneToNode(scene, (1.0, 0.0, 0.0, 0.0), "p", shape=(8, 8, 8), affine=np.eye(4))
        node.SetNormalWorld(-np.cos(0.1), np.sin(0.1), 0.0)
        np.testing.assert_allclose(givenPlane(node)[:3], (np.cos(0.1), -np.sin(0.1), 0.0), atol=1e-6)

    def test_a_plane_of_the_user_is_used_again(self, scene):
        node = midplaneToNode(scene, self.PLANE, "p", shape=(8, 8, 8), affine=np.eye(4), manual=True)
        np.testing.assert_allclose(givenPlane(node), self.PLANE, atol=1e-9)

    def test_only_a_marker_that_was_moved_becomes_a_region_around_it(self, scene):
        region = np.zeros((20, 20, 10), bool)
        region[9:11, 1:3, 7:9] = True
        fallback = {"sss": (0, 0, 0), "torcula": (20.0, 4.0, 4.0)}
        node = sinusesToNode(scene, {"sss": region}, "p", np.diag([2.0, 2.0, 2.0, 1.0]), fallback=fallback)
        labels = [node.GetNthControlPointLabel(index) for index in range(2)]
        assert labels == ["SSS", "Torcula (not found)"]
        assert movedSinuses(node, region.shape, np.diag([2.0, 2.0, 2.0, 1.0])) == {}
        node.SetNthControlPointPositionWorld(1, 20.0, 10.0, 4.0)
        moved = movedSinuses(node, region.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
        assert list(moved) == ["torcula"]
        places = 2.0 * np.argwhere(moved["torcula"])
        assert np.linalg.norm(places - (20.0, 10.0, 4.0), axis=1).max() <= 6.0
        assert len(places) > 50

    def test_a_marker_outside_of_the_maps_is_refused(self, scene):
        node = sinusesToNode(scene, {}, "p", np.eye(4), fallback={"sss": (0, 0, 0), "torcula": (1, 1, 1)})
        node.SetNthControlPointPositionWorld(0, 500.0, 0.0, 0.0)
        with pytest.raises(InvalidInputError, match="outside of the maps"):
            movedSinuses(node, (8, 8, 8), np.eye(4))


class TestPreview:
    def test_it_shows_what_apply_finds_and_leaves_no_trace(self, scene, maps, patient):
        before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
        preview = LesionPreview(scene)
        volumes = preview.update(maps, "ct-perfusion-auto", {"tmax_s": 5.0})
        assert 0 < volumes["core"] < volumes["hypoperfusion"]
        label = slicer.util.getFirstNodeByClassByName("vtkMRMLLabelMapVolumeNode", "preview", scene)
        shown = volumeArray(label)
        voxel_ml = abs(np.linalg.det(patient[1].affine[:3, :3])) / 1000.0
        assert (shown == 2).sum() * voxel_ml == pytest.approx(volumes["core"])
        assert preview.update(maps, "ct-perfusion-auto", {"tmax_s": 9.0})["hypoperfusion"] < volumes["hypoperfusion"]
        preview.clear()
        left = {scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()) if scene.GetNthNode(i).GetID() not in before}
        assert {node.GetClassName() for node in left} <= {"vtkMRMLColorTableNode"}
        assert all(not node.GetSaveWithScene() for node in left)

    def test_it_follows_a_map_that_changes(self, scene, maps):
        preview = LesionPreview(scene)
        first = preview.update(maps, "ct-perfusion-auto")["hypoperfusion"]
        maps["tmax"].GetImageData().GetPointData().GetScalars().Fill(0.5)
        slicer.util.arrayFromVolumeModified(maps["tmax"])
        assert preview.update(maps, "ct-perfusion-auto")["hypoperfusion"] == 0.0 < first
        preview.clear()


class TestInputs:
    def test_what_was_given_is_kept_with_the_lesions(self, scene, maps):
        segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "s")
        regions = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "r")
        given = LesionInputs(
            midplane=(1.0, 0.0, 0.0, 2.0), side="left", contra=(regions, "a"), followUp={"tmax": maps["tmax"]}, nihss=12
        )
        keepInputs(segmentation, given)
        kept = keptInputs(segmentation)
        assert (kept.side, kept.contra, kept.nihss, kept.roi) == ("left", (regions, "a"), 12, None)
        assert kept.followUp == {"tmax": maps["tmax"]}
        assert list(kept.midplane) == [1.0, 0.0, 0.0, 2.0]


class TestConsole:
    def test_a_first_plane_lies_in_the_middle_of_the_brain_and_does_not_count(self, maps):
        plane, sinuses = addMarkers(maps["tmax"])
        assert abs(nodeToPlane(plane)[3]) < 5.0
        assert (sinuses, givenPlane(plane)) == (None, None)
        assert not plane.GetDisplayNode().GetVisibility()
        assert addMarkers(maps["tmax"])[0] is plane
        forgetMarkers(maps["tmax"], midplane=True)
        assert markers(maps["tmax"]) == (None, None)

    def test_only_inputs_that_are_named_replace_those_of_the_lesions(self, scene):
        segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "s")
        keepInputs(segmentation, LesionInputs(side="left", nihss=9))
        given = lesionInputs(segmentation, nihss=None)
        assert (given.side, given.nihss) == ("left", None)
        with pytest.raises(InvalidInputError, match="no input 'sides'"):
            lesionInputs(sides="left")

    def test_a_gray_copy_shares_the_voxels_and_is_not_saved(self, maps):
        copy = grayCopy(maps["cbf"])
        assert copy.GetImageData() is maps["cbf"].GetImageData()
        assert not copy.GetSaveWithScene()
        assert grayCopy(maps["cbf"]) is copy


class TestPictures:
    @pytest.fixture
    def picture(self, patient, tmp_path):
        """Return a radiological picture with a yellow circle on the left of it: the patient's right."""
        image = np.full((192, 192, 3), 40, np.uint8)
        rows, columns = np.mgrid[:192, :192]
        image[np.abs(np.hypot(rows - 96, columns - 65) - 18) < 1.5] = (255, 255, 0)
        return writePicture(tmp_path / "drawn.png", image)

    def test_a_drawing_becomes_a_segment_on_the_correct_side(self, maps, patient, picture):
        region, image = readRegion(picture, maps["tmax"])
        assert region.right_share == 1.0
        node = regionToSegmentation(maps["tmax"], region.mask, "contralateral", "patient")
        found = segmentArray(node, "contralateral", region.mask.shape, patient[1].affine)
        np.testing.assert_array_equal(found, region.mask)
        place = np.argwhere(found) @ patient[1].affine[0, :3] + patient[1].affine[0, 3]
        assert place.min() > 0
        assert checkPicture(region, image, maps["tmax"], "axial").shape[0] == 360
        again = regionToSegmentation(maps["tmax"], ~region.mask, "lesion", "patient")
        assert again is node
        assert list(node.GetSegmentation().GetSegmentIDs()) == ["contralateral", "lesion"]

    def test_a_flipped_picture_lies_on_the_other_side(self, maps, picture):
        region, _ = readRegion(picture, maps["tmax"], flips=("horizontal",))
        assert region.right_share == 0.0

    def test_another_color_finds_nothing(self, maps, picture):
        with pytest.raises(InvalidInputError, match="[Nn]o"):
            readRegion(picture, maps["tmax"], color=(255, 0, 255))

    def test_a_drawing_cannot_stand_for_anything(self, maps):
        with pytest.raises(InvalidInputError, match="cannot stand for 'x'"):
            regionToSegmentation(maps["tmax"], np.zeros((64, 64, 4), bool), "x", "patient")


def test_a_plane_side_regions_and_a_later_scan_decide_and_are_used_again_after_edits(scene, maps, patient, tmp_path):
    affine, shape = patient[1].affine, maps["tmax"].GetImageData().GetDimensions()
    other = {"left": "right", "right": "left"}[patient[1].side]
    later = np.where(volumeArray(maps["tmax"]) > 8.0, 2.0, volumeArray(maps["tmax"]))
    followUp = {"tmax": foreign(scene, later, affine, "later Tmax"), "cbf": maps["cbf"], "cbv": maps["cbv"]}
    setFacts(followUp["tmax"], {"quantity": "tmax", "unit": "s"})
    given = LesionInputs(midplane=(1.0, 0.0, 0.0, 1.5), side=other, followUp=followUp)
    nodes = startLesionJob(scene, chooseRunner(), maps, inputs=given).wait()
    values = textToMetrics(nodes["report"]).values
    assert (values["affected_side"], values["affected_side_from"]) == (other, "manual")
    assert values["reference"]["midplane"] == pytest.approx([1.0, 0.0, 0.0, 1.5])
    assert 0 < values["prr_percent"] < 100
    np.testing.assert_allclose(nodeToPlane(nodes["midplane"]), (1.0, 0.0, 0.0, 1.5), atol=1e-6)

    # Lesions are edited, measured with the same plane and side, and all files are made from what is there now.
    segmentation = nodes["lesions"]
    core = segmentArray(segmentation, CORE, shape, affine)
    bigger = segmentArray(segmentation, HYPOPERFUSION, shape, affine)
    setSegment(segmentation, CORE, bigger, affine)
    files = {"all_maps": True, "dicom": {"deidentify": True}}
    again = startMeasuringJob(scene, chooseRunner(), segmentation, output=tmp_path, files=files).wait()
    measured = textToMetrics(again["report"]).values
    assert measured["infarct_core_volume_ml"] > values["infarct_core_volume_ml"] or core.sum() == bigger.sum()
    assert measured["affected_side"] == other
    assert measured["thresholds"]["edited_by_hand"] == ["core", "hypoperfusion"]
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert written["infarct_core_volume_ml"] == measured["infarct_core_volume_ml"]
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"tmax.nii.gz", "cbf.nii.gz", "report.html", "metrics.csv", "masks/core_mask.nii.gz"} <= names
    tables = {path.name for path in exportTables(segmentation, tmp_path)}
    assert {"summary.csv", "volumes.csv", "metrics.csv"} <= tables
    assert {"dicom/segmentation.dcm", "dicom/tmax.dcm", "dicom/report.dcm"} <= names


def test_statistics_of_a_segmentation_fill_one_table(scene, maps, patient, tmp_path):
    affine, shape = patient[1].affine, maps["tmax"].GetImageData().GetDimensions()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "regions")
    segmentation.GetSegmentation().AddEmptySegment("a", "Left block", [1, 0, 0])
    block = np.zeros(shape, bool)
    block[20:26, 30:36, 1:3] = True
    setSegment(segmentation, "a", block, affine)
    nodes = [maps["cbf"], maps["tmax"], foreign(scene, np.ones(shape), affine, "other")]
    table = startStatisticsJob(scene, chooseRunner(), segmentation, nodes, midplane=(1.0, 0.0, 0.0, 0.0)).wait()
    columns = columnValues(table)
    assert list(columns["map"]) == ["CBF", "Tmax", "other"]
    inside = volumeArray(maps["cbf"])[block]
    assert columns["mean"][0] == pytest.approx(np.nanmean(inside), rel=1e-5)
    assert columns["median"][0] == pytest.approx(np.nanmedian(inside), rel=1e-5)
    assert columns["volume_ml"][0] == pytest.approx(block.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000.0, rel=1e-3)
    assert np.isfinite(columns["percent_of_mirror"]).all()
    rows = list(csv.reader(tableToCsv(table, tmp_path / "statistics.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0][:5] == ["region", "map", "unit", "volume_ml", "voxels"]
    assert float(rows[1][rows[0].index("mean")]) == pytest.approx(columns["mean"][0], rel=1e-6)
    assert len(rows) == 4
    again = startStatisticsJob(scene, chooseRunner(), segmentation, nodes[:1]).wait()
    assert again is table
    assert table.GetNumberOfRows() == 1


@pytest.mark.parametrize(
    ("known", "edited"),
    [
        ({"tmax_s": 6.0, "late_by_s": 1.75, "smooth_mm": 0.8, "edited": []}, {}),
        ({"tmax_s": 5.0, "late_by_s": 1.75, "smooth_mm": 0.8, "edited": ["tmax_s"]}, {"tmax_s": 5.0}),
        ({"tmax_s": 5.0, "late_by_s": 1.75, "edited": ["tmax_s"]}, {"tmax_s": 5.0, "smooth_mm": 0.0}),
        ({"tmax_s": 5.0, "edited": ["tmax_s"]}, {"tmax_s": 5.0, "late_by_s": 0.0, "smooth_mm": 0.0}),
    ],
)
def test_lesions_of_earlier_scenes_are_measured_by_the_rule_they_were_made_with(known, edited):
    assert editedThresholds(known) == edited
