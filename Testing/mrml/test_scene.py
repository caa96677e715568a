# SPDX-License-Identifier: Apache-2.0
"""A whole study in a scene: complete, filed, updated in place, undone on failure, and the same after a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vtk

from PerfusionSuiteLib.core import CancelledError, InvalidInputError, PerfusionMaps
from PerfusionSuiteSlicer.headless.IOManager import readScene
from PerfusionSuiteSlicer.mrml import StudyScene
from PerfusionSuiteSlicer.mrml.CurveNodes import tableToInputFunction
from PerfusionSuiteSlicer.mrml.LesionNodes import segmentationToLesions, segmentationToMasks
from PerfusionSuiteSlicer.mrml.MapNodes import nodesToMaps
from PerfusionSuiteSlicer.mrml.MarkupNodes import pointPositions
from PerfusionSuiteSlicer.mrml.SceneFiles import writeBundle
from PerfusionSuiteSlicer.mrml.SequenceNodes import sequenceToSeries, seriesToSequence
from PerfusionSuiteSlicer.mrml.StudyFolder import hierarchyOf
from PerfusionSuiteSlicer.mrml.StudyRoles import studiesInScene
from PerfusionSuiteSlicer.mrml.StudyScene import findStudy, studyToScene
from PerfusionSuiteSlicer.mrml.TableNodes import textToMetrics, textToReport

from .scene_problems import problemsOfScene

pytestmark = pytest.mark.mrml

EXPECTED = {
    "series.prepared", "series.prepared.browser", "map.baseline", "map.cbf", "map.cbv", "map.mtt", "map.tmax",
    "map.delay", "map.ttp", "map.rcbf",
    "map.mip", "curve.aif", "curve.vof", "curve.tissue", "plot.aif", "plot.vof", "plot.tissue.1", "plot.tissue.2",
    "chart.input", "chart.tissue", "points.aif", "points.vof", "lesions", "anatomy", "table.metrics", "table.summary",
    "table.volumes", "table.motion", "table.findings", "report",
}  # fmt: skip


def folders(scene, nodes):
    hierarchy = hierarchyOf(scene)
    placed = {}
    for role, node in nodes.items():
        item = hierarchy.GetItemByDataNode(node)
        parent = hierarchy.GetItemParent(item)
        assert hierarchy.GetItemParent(parent) == nodes.folder
        placed[role] = hierarchy.GetItemName(parent)
    return placed


def children(scene, item):
    items = vtk.vtkIdList()
    hierarchyOf(scene).GetItemChildren(item, items, False)
    return [hierarchyOf(scene).GetItemName(items.GetId(index)) for index in range(items.GetNumberOfIds())]


def assert_same_study(nodes, study):
    maps = nodesToMaps(nodes.maps)
    for key, item in study.maps.items():
        np.testing.assert_array_equal(maps[key].values, item.values)
        np.testing.assert_allclose(maps[key].affine, item.affine, atol=1e-6)
        assert (maps[key].unit, maps[key].provenance) == (item.unit, item.provenance)
    for kind, curve in (("aif", study.aif), ("vof", study.vof)):
        back = tableToInputFunction(nodes[f"curve.{kind}"])
        np.testing.assert_allclose(back.values, curve.values, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(back.times_s, curve.times_s, rtol=1e-5)
        place = curve.voxels @ maps.affine[:3, :3].T + maps.affine[:3, 3]
        np.testing.assert_allclose(pointPositions(nodes[f"points.{kind}"]), place, atol=1e-6)
    lesions = segmentationToLesions(nodes.lesions, nodes.anatomy)
    masks = segmentationToMasks(nodes.anatomy)
    for name in ("hypoperfusion", "core", "penumbra", "tissue", "reference"):
        np.testing.assert_array_equal(getattr(lesions, name), getattr(study.lesions, name), err_msg=name)
    for name in ("brain", "csf", "vessel", "bone"):
        np.testing.assert_array_equal(getattr(masks, name), getattr(study.masks, name), err_msg=name)
    series = sequenceToSeries(nodes.sequence)
    np.testing.assert_array_equal(series.data, study.series.data)
    np.testing.assert_array_equal(series.times_s, study.series.times_s)
    assert textToMetrics(nodes.report).values == study.metrics.values
    assert textToReport(nodes.report)["findings"][0]["code"] == "aif_scaled"


def test_a_study_becomes_all_its_nodes_in_their_folders(scene, a_study):
    nodes = studyToScene(scene, a_study)
    assert set(nodes) == EXPECTED
    assert problemsOfScene(scene, "case-01", EXPECTED) == []
    assert_same_study(nodes, a_study)
    placed = folders(scene, nodes)
    assert placed["series.prepared"] == placed["map.baseline"] == "Input"
    assert placed["curve.aif"] == placed["points.vof"] == placed["chart.input"] == "Input function"
    assert placed["map.tmax"] == "Maps"
    assert placed["lesions"] == placed["anatomy"] == "Lesions"
    assert placed["report"] == placed["table.metrics"] == "Report"
    assert nodes.maps["cbf"].GetName() == "case-01 CBF"
    assert children(scene, nodes.folder) == ["Input", "Input function", "Maps", "Lesions", "Report"]


def test_a_second_run_fills_the_same_nodes(scene, a_study):
    nodes = studyToScene(scene, a_study)
    ids = {role: node.GetID() for role, node in nodes.items()}
    count, items = scene.GetNumberOfNodes(), hierarchyOf(scene).GetNumberOfItems()
    display = nodes.maps["cbf"].GetDisplayNode().GetID()
    nodes.maps["cbf"].SetName("renamed by the user")
    faster = PerfusionMaps([replace(item, values=item.values * 2) for item in a_study.maps.values()])
    again = studyToScene(scene, replace(a_study, maps=faster))
    assert {role: node.GetID() for role, node in again.items()} == ids
    assert scene.GetNumberOfNodes() == count
    assert hierarchyOf(scene).GetNumberOfItems() == items
    assert again.folder == nodes.folder
    assert again.maps["cbf"].GetDisplayNode().GetID() == display
    np.testing.assert_array_equal(nodesToMaps(again.maps)["cbf"].values, faster["cbf"].values)


def test_nodes_that_a_second_run_has_no_value_for_are_removed(scene, a_study):
    nodes = studyToScene(scene, a_study)
    items = hierarchyOf(scene).GetNumberOfItems()
    fewer = PerfusionMaps([item for key, item in a_study.maps.items() if key != "ttp"])
    again = studyToScene(scene, replace(a_study, vof=None, motion=None, maps=fewer))
    gone = {"map.ttp", "curve.vof", "plot.vof", "points.vof", "table.motion"}
    assert set(nodes) - set(again) == gone
    assert hierarchyOf(scene).GetNumberOfItems() == items - len(gone)
    assert scene.GetFirstNodeByName("case-01 TTP") is None


def test_two_studies_share_colours_and_nothing_else(scene, a_study):
    first, second = studyToScene(scene, a_study, "one"), studyToScene(scene, a_study, "two")
    assert first.folder != second.folder
    assert not {node.GetID() for node in first.values()} & {node.GetID() for node in second.values()}
    colors = {nodes.maps[key].GetDisplayNode().GetColorNodeID() for nodes in (first, second) for key in ("cbf", "cbv")}
    assert len(colors) == 1
    assert studiesInScene(scene) == ["one", "two"]


def test_a_sequence_of_the_user_is_filed_and_never_overwritten(scene, a_study):
    original = replace(a_study.series, data=a_study.series.data + 5)
    users, _ = seriesToSequence(scene, original, "from the scanner")
    for _run in range(2):
        nodes = studyToScene(scene, a_study, users.GetName(), sequenceNode=users)
        np.testing.assert_array_equal(sequenceToSeries(users).data, original.data)
        np.testing.assert_array_equal(sequenceToSeries(nodes.sequence).data, a_study.series.data)
    studyToScene(scene, a_study, users.GetName(), includeSeries=False)
    assert scene.IsNodePresent(users)
    assert not scene.IsNodePresent(nodes.sequence)
    hierarchy = hierarchyOf(scene)
    assert hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(users))) == "Input"


def test_a_failure_leaves_the_scene_as_it_was(scene, a_study, monkeypatch):
    before = scene.GetNumberOfNodes()
    items = hierarchyOf(scene).GetNumberOfItems()

    def fails(*arguments, **options):
        raise InvalidInputError("no lesions today")

    monkeypatch.setattr(StudyScene, "anatomyToSegmentation", fails)
    with pytest.raises(InvalidInputError, match="no lesions today"):
        studyToScene(scene, a_study)
    assert scene.GetNumberOfNodes() == before
    assert hierarchyOf(scene).GetNumberOfItems() == items


def test_cancelling_leaves_the_scene_as_it_was(scene, a_study):
    before = scene.GetNumberOfNodes()

    def cancel(fraction, stage):
        if fraction > 0.5:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        studyToScene(scene, a_study, progress=cancel)
    assert scene.GetNumberOfNodes() == before


def test_a_bundle_that_was_cleared_and_loaded_holds_the_same_study(scene, a_study, tmp_path):
    written = studyToScene(scene, a_study)
    path = writeBundle(scene, tmp_path / "scene.mrb")
    scene.Clear(0)
    assert findStudy(scene, "case-01").nodes == {}
    assert readScene(scene, str(path), clear=True)
    nodes = findStudy(scene, "case-01")
    assert problemsOfScene(scene, "case-01", EXPECTED) == []
    assert set(nodes) == set(written)
    assert_same_study(nodes, a_study)
    assert folders(scene, nodes)["map.tmax"] == "Maps"
    assert nodes.browser.GetMasterSequenceNode() is nodes.sequence
    assert nodes["plot.aif"].GetTableNode() is nodes["curve.aif"]
    assert nodes["chart.input"].GetNthPlotSeriesNode(0) is nodes["plot.aif"]
    assert nodes.maps["tmax"].GetDisplayNode().GetColorNode().GetName() == "Perfusion delay"
    assert nodes.maps["tmax"].GetVoxelValueUnits().GetCodeValue() == "s"
    legend = nodes.maps["tmax"].GetNthDisplayNode(1)
    assert legend.GetTitleText().split() == ["Tmax", "[s]"]
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert composite.GetForegroundVolumeID() == nodes.maps["tmax"].GetID()
    assert [p.name for p in tmp_path.iterdir()] == ["scene.mrb"]


def test_a_study_that_was_loaded_is_updated_in_place(scene, a_study, tmp_path):
    studyToScene(scene, a_study)
    path = writeBundle(scene, tmp_path / "scene.mrb")
    scene.Clear(0)
    readScene(scene, str(path), clear=True)
    count = scene.GetNumberOfNodes()
    studyToScene(scene, a_study)
    assert scene.GetNumberOfNodes() == count


def test_what_is_missing_or_broken_in_a_scene_is_named(scene, a_study):
    nodes = studyToScene(scene, a_study)
    scene.RemoveNode(nodes["report"])
    scene.RemoveNode(nodes["curve.aif"])
    problems = problemsOfScene(scene, "case-01", EXPECTED)
    assert "report is missing" in problems
    assert "plot.aif: has no table" in problems


def test_a_bundle_that_cannot_be_written_says_so(scene, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InvalidInputError, match="could not be written"):
        writeBundle(scene, Path(blocked) / "scene.mrb")


def test_the_report_is_strict_json(scene, a_study):
    nodes = studyToScene(scene, replace(a_study, settings={"infinite": float("inf")}))
    assert json.loads(nodes.report.GetText())["settings"]["infinite"] is None


def test_an_mr_study_has_its_own_units_and_window(scene, a_study):
    signal = np.where(a_study.masks.brain, 700.0, 20.0).astype(np.float32)
    maps = PerfusionMaps([item for key, item in a_study.maps.items() if key not in ("baseline", "mip")])
    study = replace(
        a_study,
        series=replace(a_study.series, modality="dsc"),
        concentration=replace(a_study.concentration, unit="1/s", baseline=signal),
        maps=maps,
    )
    nodes = studyToScene(scene, study)
    assert nodes.maps["baseline"].GetVoxelValueUnits().GetCodeMeaning() == "signal"
    display = nodes.maps["baseline"].GetDisplayNode()
    assert display.GetWindowLevelMin() < 50
    assert display.GetWindowLevelMax() == pytest.approx(700, rel=0.01)
    assert nodes["curve.aif"].GetColumnUnitLabel("AIF") == "1/s"
    assert "1/s" in nodes["chart.input"].GetYAxisTitle()
    assert sequenceToSeries(nodes.sequence).modality == "dsc"


def test_a_study_without_any_lesion_is_complete(scene, a_study):
    nothing = np.zeros(a_study.maps.shape, bool)
    lesions = replace(a_study.lesions, core=nothing, penumbra=nothing, hypoperfusion=nothing, reference=nothing, side="none")
    nodes = studyToScene(scene, replace(a_study, lesions=lesions))
    assert problemsOfScene(scene, "case-01", EXPECTED - {"plot.tissue.1", "plot.tissue.2"}) == []
    assert nodes["plot.tissue"].GetYColumnName() == "Normal tissue"
