# SPDX-License-Identifier: Apache-2.0
"""ASL in a scene: the scan keeps what its volumes are, and a study shows flow, arrival, label over delay and low flow."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.core import InvalidInputError, QualityFinding
from PerfusionSuiteSlicer.headless.IOManager import readScene
from PerfusionSuiteSlicer.mrml.AslPictures import lowFlowHeading
from PerfusionSuiteSlicer.mrml.AslSequences import aslToSequence, isAsl, sequenceToAsl
from PerfusionSuiteSlicer.mrml.MapNodes import nodesToMaps
from PerfusionSuiteSlicer.mrml.ScanFacts import scanFacts
from PerfusionSuiteSlicer.mrml.SceneFiles import writeBundle
from PerfusionSuiteSlicer.mrml.SequenceNodes import seriesToSequence
from PerfusionSuiteSlicer.mrml.StudyFolder import hierarchyOf
from PerfusionSuiteSlicer.mrml.StudyScene import findStudy, studyToScene
from PerfusionSuiteSlicer.mrml.SummaryTable import summaryRows, summarySentence
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues, textToMetrics
from PerfusionSuiteSlicer.mrml.ViewLayouts import ASL_FLOW, ASL_MAPS, MAPS, mapsLayoutOf, showStudyInViews
from PerfusionSuiteSlicer.mrml.writers import writeScene

pytestmark = pytest.mark.mrml


@pytest.fixture(scope="module")
def scan():
    return phantom.asl(seed=5, recipe="typical", site="m1", shape=(48, 48, 10), spacing_mm=(4.0, 4.0, 10.0), repetitions=2)[0]


@pytest.fixture(scope="module")
def study(scan):
    return pipeline.run(scan, pipeline.AslSettings(motion_correction=False))


def assert_same_scan(found, scan):
    for item in fields(scan):
        ours, theirs = getattr(found, item.name), getattr(scan, item.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, err_msg=item.name)
        elif item.name not in ("acquisition", "source"):
            assert ours == theirs, item.name
    assert found.acquisition.manufacturer == scan.acquisition.manufacturer
    assert found.source.case_id == scan.source.case_id


def test_a_scan_comes_back_from_the_scene_with_all_that_is_known_of_its_volumes(scene, scan):
    sequence, browser = aslToSequence(scene, scan, "scan")
    assert isAsl(sequence)
    assert browser.GetMasterSequenceNode() is sequence
    assert_same_scan(sequenceToAsl(sequence), scan)


def test_what_was_noticed_while_reading_an_asl_scan_is_kept(scene, scan):
    odd = QualityFinding("m0_resampled", "info", "The M0 image was resampled.", "Look at it.")
    sequence, _ = aslToSequence(scene, replace(scan, source=replace(scan.source, findings=(odd,))), "odd")
    assert sequenceToAsl(sequence).source.findings == (odd,)


def test_what_an_asl_scan_is_stands_in_words_before_it_is_analyzed(scene, scan):
    sequence, _ = aslToSequence(scene, scan, "scan")
    facts = scanFacts(sequence)
    assert (facts.modality, facts.problem) == ("asl", "")
    for words in ("pairs", "Delays", "M0 image"):
        assert words in facts.words
    assert "ASL" in scanFacts(sequence, "dsc").problem


def test_a_sequence_of_unknown_volumes_is_not_taken_for_asl(scene, scan):
    still, _ = phantom.dsc(seed=3, shape=(48, 48, 4), spacing_mm=(4.0, 4.0, 12.0))
    sequence, _ = seriesToSequence(scene, still, "dsc")
    assert not isAsl(sequence)
    assert "control and label" in scanFacts(sequence, "asl").problem
    with pytest.raises(InvalidInputError, match="control and label"):
        sequenceToAsl(sequence)


def test_a_lost_m0_is_told(scene, scan):
    separate = scan if scan.m0 is not None else replace(scan, m0=np.ones(scan.shape, np.float32))
    sequence, _ = aslToSequence(scene, separate, "scan")
    scene.RemoveNode(findStudy(scene, "scan")["series.m0"])
    with pytest.raises(InvalidInputError, match="M0 image"):
        sequenceToAsl(sequence)


def test_a_study_shows_flow_arrival_differences_curves_and_numbers_in_one_folder(scene, study):
    nodes = studyToScene(scene, study, "patient")
    assert {"map.cbf", "map.att", "map.baseline", "difference", "lesions", "anatomy", "chart.input", "report"} <= set(nodes)
    np.testing.assert_array_equal(nodesToMaps(nodes.maps)["cbf"].values, study.maps["cbf"].values)
    np.testing.assert_array_equal(sequenceToAsl(nodes.sequence).data, study.series.data)
    assert textToMetrics(nodes.report).values["modality"] == "asl"
    assert nodes["difference"].GetNumberOfDataNodes() == study.difference.post_label_delays_s.size
    assert nodes["difference"].GetIndexUnit() == "s"
    hierarchy = hierarchyOf(scene)
    for node in nodes.values():
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
        assert hierarchy.GetItemParent(folder) == nodes.folder


def test_measured_label_stands_as_points_beside_the_model_line(scene, study):
    nodes = studyToScene(scene, study, "patient")
    points, line = nodes["plot.asl.brain"], nodes["plot.asl.brain.model"]
    assert points.GetLineStyle() == points.LineStyleNone
    assert line.GetMarkerStyle() == line.MarkerStyleNone
    columns = columnValues(nodes["curve.asl.brain"])
    np.testing.assert_allclose(columns["Brain"], study.metrics.values["curves"]["brain"]["observed"])
    assert (points.GetName(), line.GetName()) == ("Brain", "Brain, asl-multi")  # a short legend covers less
    assert "delay" in nodes["chart.input"].GetXAxisTitle()


def test_the_summary_gives_flow_with_its_unit_and_low_flow_with_its_side(study):
    rows = {words: (value, unit) for words, value, unit in summaryRows(study.metrics)}
    assert rows["CBF of the brain"][1] == "mL/100g/min"
    assert rows["Low flow against the other side"][1] == "mL"
    assert summarySentence(study.metrics).startswith("CBF of ")


def test_a_rerun_fills_the_same_nodes_and_leaves_the_scan_alone(scene, scan, study):
    sequence, _ = aslToSequence(scene, scan, "patient")
    first = studyToScene(scene, study, "patient", sequenceNode=sequence)
    second = studyToScene(scene, replace(study, lesions=None), "patient", sequenceNode=sequence)
    assert second["map.cbf"] is first["map.cbf"]
    assert_same_scan(sequenceToAsl(sequence), scan)
    assert findStudy(scene, "patient")["series.m0"] is not None


def test_lesions_of_another_study_do_not_lie_on_the_maps_of_the_one_that_is_shown(scene, study):
    first, second = studyToScene(scene, study, "first"), studyToScene(scene, study, "second")
    showStudyInViews(scene, second)
    assert not first.lesions.GetDisplayNode().GetVisibility()
    assert second.lesions.GetDisplayNode().GetVisibility()
    second.lesions.GetDisplayNode().SetVisibility(False)  # by the user
    showStudyInViews(scene, first)
    assert first.lesions.GetDisplayNode().GetVisibility()
    showStudyInViews(scene, second)
    assert not second.lesions.GetDisplayNode().GetVisibility()


def test_a_saved_scene_holds_the_same_study(runtime, study, tmp_path):
    studyToScene(runtime.scene, study, "patient")
    file = writeBundle(runtime.scene, tmp_path / "scene.mrb")
    readScene(runtime.scene, str(file), clear=True)
    nodes = findStudy(runtime.scene, "patient")
    np.testing.assert_allclose(nodesToMaps(nodes.maps)["att"].values, study.maps["att"].values)
    np.testing.assert_array_equal(sequenceToAsl(nodes.sequence).data, study.series.data)


def test_low_flow_is_one_segment_that_says_so(scene, study):
    segmentation = studyToScene(scene, study, "patient")["lesions"].GetSegmentation()
    assert [segmentation.GetSegment(key).GetName() for key in segmentation.GetSegmentIDs()] == ["Low flow against the other side"]


def test_a_layout_has_views_for_what_the_method_maps(scene, study):
    nodes = dict(studyToScene(scene, study, "patient"))
    assert mapsLayoutOf(nodes) == ASL_MAPS
    del nodes["map.att"]
    assert mapsLayoutOf(nodes) == ASL_FLOW
    assert mapsLayoutOf({"map.tmax": None}) == MAPS


def test_the_command_line_writes_scene_and_pictures(study, tmp_path):
    files = {path.name for path in writeScene(study, tmp_path / "out")}
    wanted = {"cbf", "att", "cbf_sd", "rcbf_mirror", "low_flow", "label_over_delay"}
    assert {"scene.mrb", *(f"slicer_{name}.png" for name in wanted)} <= files


def test_the_line_above_low_flow_gives_limit_side_and_volume(study):
    (words, _color), _ = lowFlowHeading(study)
    volume_ml, side = (study.metrics.values[key] for key in ("hypoperfusion_volume_ml", "affected_side"))
    assert words == f"Flow below 66 % of the other side: {volume_ml:.1f} mL on the {side}"
