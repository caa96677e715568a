# SPDX-License-Identifier: Apache-2.0
"""What panels do with nodes: scans are loaded, lesions found, edited and measured, layouts filled."""

import numpy as np
import pytest
import slicer

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps
from PerfusionSuiteLib.phantom.export import write_nifti
from PerfusionSuiteSlicer.mrml import MapNodes, SequenceNodes, ViewLayouts
from PerfusionSuiteSlicer.mrml.LesionJob import lesionsOf, startLesionJob, startMeasuringJob
from PerfusionSuiteSlicer.mrml.LesionNodes import CORE, PENUMBRA, segmentArray, setSegment
from PerfusionSuiteSlicer.mrml.ScanFacts import scanFacts
from PerfusionSuiteSlicer.mrml.ScanJob import startScanJob
from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob
from PerfusionSuiteSlicer.mrml.StudyScene import studyToScene
from PerfusionSuiteSlicer.mrml.SummaryTable import summaryRows, summarySentence
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues, textToMetrics
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


def nodes_of(scene):
    return [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())]


def core_ml(nodes):
    return textToMetrics(nodes["report"]).values["infarct_core_volume_ml"]


def test_a_4d_nifti_becomes_a_sequence_and_a_second_one_does_not_replace_it(scene, patient, tmp_path):
    path = write_nifti(patient[0], tmp_path / "case-7.nii.gz")
    first, browser = startScanJob(scene, chooseRunner(), path).wait()
    assert first.GetName() == "case-7"
    assert first.GetNumberOfDataNodes() == 25
    assert browser.GetMasterSequenceNode() is first
    assert scanFacts(first).modality == "ctp"
    second, _ = startScanJob(scene, chooseRunner(), path).wait()
    assert (second.GetName(), second is first) == ("case-7 2", False)


def test_a_dsc_scan_in_the_scene_is_analyzed_as_such(scene):
    series, _truth = phantom.dsc(seed=8, recipe="clean", shape=(64, 64, 4), spacing_mm=(3.4, 3.4, 24.0))
    node = SequenceNodes.seriesToSequence(scene, series, "mr")[0]
    assert scanFacts(node).words.endswith("DSC-MRI")
    choices = {"motion_correction": False, "noise_reduction": "none", "method": "csvd"}
    nodes = startStudyJob(scene, chooseRunner(), node, choices).wait()
    assert MapNodes.factsOf(nodes["map.mip"])["unit"] == "1/s"
    assert nodes["chart.input"].GetYAxisTitle() == "ΔR2* [1/s]"


def test_files_that_hold_no_scan_leave_the_scene_as_it_was(scene, tmp_path):
    (tmp_path / "notes.txt").write_text("no images", encoding="utf-8")
    before = nodes_of(scene)
    with pytest.raises(InvalidInputError, match="no image series"):
        startScanJob(scene, chooseRunner(), tmp_path).wait()
    assert nodes_of(scene) == before


def test_lesions_of_true_maps_lie_on_the_true_side_and_stricter_thresholds_find_less(scene, maps, patient):
    nodes = startLesionJob(scene, chooseRunner(), maps).wait()
    assert lesionsOf(maps["tmax"]) is nodes["lesions"]
    assert textToMetrics(nodes["report"]).values["affected_side"] == patient[1].side
    first = core_ml(nodes)
    assert first > 0
    again = startLesionJob(scene, chooseRunner(), maps, thresholds={"rcbf_percent": 15.0}).wait()
    assert again["lesions"] is nodes["lesions"]
    assert core_ml(again) < first


def test_the_maps_of_a_study_give_the_lesions_of_the_study_again(scene, patient):
    node = SequenceNodes.seriesToSequence(scene, patient[0], "patient")[0]
    choices = {"motion_correction": False, "noise_reduction": "none", "method": "csvd"}
    nodes = startStudyJob(scene, chooseRunner(), node, choices).wait()
    first = columnValues(nodes["table.volumes"])["volume"]
    keys = {key: nodes.maps[key] for key in ("tmax", "cbf", "cbv", "delay")}
    again = startLesionJob(scene, chooseRunner(), keys).wait()
    assert again["lesions"] is nodes["lesions"]
    np.testing.assert_allclose(columnValues(again["table.volumes"])["volume"], first)


def test_edited_lesions_are_measured_as_they_are(scene, maps):
    nodes = startLesionJob(scene, chooseRunner(), maps).wait()
    segmentation, tmax = nodes["lesions"], maps["tmax"]
    shape, affine = tmax.GetImageData().GetDimensions(), MapNodes.affineOf(tmax)
    core = segmentArray(segmentation, CORE, shape, affine)
    penumbra = segmentArray(segmentation, PENUMBRA, shape, affine)
    setSegment(segmentation, CORE, np.zeros(shape, bool), affine)
    measured = startMeasuringJob(scene, chooseRunner(), segmentation).wait()
    assert core_ml(measured) == 0.0
    np.testing.assert_array_equal(segmentArray(segmentation, PENUMBRA, shape, affine), core | penumbra)
    volumes = columnValues(measured["table.volumes"])
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000.0
    shown = dict(zip(volumes["region"], volumes["volume"], strict=True))
    assert shown["Penumbra"] == pytest.approx((core | penumbra).sum() * voxel_ml, rel=1e-3)


def test_lesions_of_maps_that_are_gone_cannot_be_measured(scene, maps):
    segmentation = startLesionJob(scene, chooseRunner(), maps).wait()["lesions"]
    scene.RemoveNode(maps["cbf"])
    with pytest.raises(InvalidInputError, match="not in the scene"):
        startMeasuringJob(scene, chooseRunner(), segmentation)


def test_an_unknown_threshold_is_refused(scene, maps):
    with pytest.raises(InvalidInputError, match="no threshold 'tmax'"):
        startLesionJob(scene, chooseRunner(), maps, thresholds={"tmax": 3.0}).wait()


def test_the_summary_says_the_numbers_of_the_study_in_words(a_study):
    rows = {words: (value, unit) for words, value, unit in summaryRows(a_study.metrics)}
    volume = a_study.metrics.values["infarct_core_volume_ml"]
    assert rows["Infarct core"] == (f"{volume:.1f}", "mL")
    assert f"Core {volume:.1f} mL" in summarySentence(a_study.metrics)


def test_layouts_are_registered_once_and_show_the_study(runtime, scene, a_study):
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    layout = logic.GetLayoutNode()
    ViewLayouts.registerLayouts(layout)
    ViewLayouts.registerLayouts(layout)
    nodes = studyToScene(scene, a_study, "case", includeSeries=False)
    for number in ViewLayouts.LAYOUTS:
        layout.SetViewArrangement(number)
    made = ViewLayouts.viewsOf(scene, "vtkMRMLSliceNode")
    assert set(ViewLayouts.VIEWS) <= set(made)
    for tag in ViewLayouts.VIEWS:
        composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        composite.SetLayoutName(tag)
    ViewLayouts.showStudyInViews(scene, nodes)
    composites = ViewLayouts.viewsOf(scene, "vtkMRMLSliceCompositeNode")
    for tag, (_label, _color, role) in ViewLayouts.VIEWS.items():
        assert composites[tag].GetBackgroundVolumeID() == nodes["map.baseline"].GetID()
        isMap = role.startswith("map.") and role != "map.baseline" and role in nodes
        assert composites[tag].GetForegroundVolumeID() == (nodes[role].GetID() if isMap else None)
        assert composites[tag].GetLinkedControl()
        assert made[tag].GetOrientationMarkerType() == made[tag].OrientationMarkerTypeAxes  # R, A and S are written
    assert scene.GetSingletonNode(ViewLayouts.PLOT, "vtkMRMLPlotViewNode").GetPlotChartNode() is nodes["chart.input"]
    assert scene.GetSingletonNode(ViewLayouts.TABLE, "vtkMRMLTableViewNode").GetTableNode() is nodes["table.summary"]
    display = nodes.lesions.GetDisplayNode()
    assert display.IsDisplayableInView(made["PerfusionLesions"].GetID())
    assert not display.IsDisplayableInView(made["PerfusionCBF"].GetID())

    # Fluid is covered where maps are, and nowhere else; the maps keep their numbers.
    fluid = nodes.anatomy.GetNthDisplayNode(1)
    shownSegments = [each for each in nodes.anatomy.GetSegmentation().GetSegmentIDs() if fluid.GetSegmentVisibility(each)]
    assert (shownSegments, bool(fluid.GetVisibility2DFill())) == (["CSF"], True)
    covered = {tag for tag in ViewLayouts.VIEWS if fluid.IsDisplayableInView(made[tag].GetID())}
    assert {"PerfusionTmax", "PerfusionCBF"} <= covered
    assert not covered & {"PerfusionBaseline", "PerfusionLesions", "PerfusionRegions", "Red"}
    inFluid = a_study.masks.csf
    np.testing.assert_array_equal(MapNodes.nodeToMap(nodes.maps["tmax"]).values[inFluid], a_study.maps["tmax"].values[inFluid])
    ViewLayouts.showStudyInViews(scene, nodes)
    assert nodes.anatomy.GetNumberOfDisplayNodes() == 2
    ViewLayouts.showStudyInViews(scene, studyToScene(scene, a_study, "other", includeSeries=False))
    assert not fluid.GetVisibility()
    ViewLayouts.showStudyInViews(scene, nodes)
    assert fluid.GetVisibility()
    assert not nodes.anatomy.GetDisplayNode().GetVisibility()
