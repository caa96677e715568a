# SPDX-License-Identifier: Apache-2.0
"""A fit of regions in a scene: segmentation, table, one chart that shows the chosen region; the same after a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteSlicer.headless.IOManager import readScene
from PerfusionSuiteSlicer.headless.Runtime import freshScene
from PerfusionSuiteSlicer.mrml.CurveNodes import tableToInputFunction
from PerfusionSuiteSlicer.mrml.LesionNodes import segmentArray
from PerfusionSuiteSlicer.mrml.RegionNodes import (
    isRelative,
    regionAt,
    regionFacts,
    regionNames,
    regionSentence,
    shownRegion,
    showRegion,
)
from PerfusionSuiteSlicer.mrml.SceneFiles import writeBundle
from PerfusionSuiteSlicer.mrml.StudyFolder import hierarchyOf
from PerfusionSuiteSlicer.mrml.StudyScene import findStudy, studyToScene
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues

from .scene_problems import problemsOfScene

pytestmark = pytest.mark.mrml
NAMES = ["GM 1", "GM 2", "WM 3", "CSF 4"]


def nodes_of(scene):
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def curves_in(chart):
    return [chart.GetNthPlotSeriesNode(i).GetYColumnName() for i in range(chart.GetNumberOfPlotSeriesNodes())]


@pytest.fixture
def nodes(scene, a_regional_study):
    return studyToScene(scene, a_regional_study, "case", includeSeries=False)


def test_regions_come_as_segments_with_names_colors_and_a_table_with_units(nodes, a_regional_study):
    assert regionNames(nodes) == NAMES
    fit = a_regional_study.regions
    for region, row in zip(NAMES, fit.rows, strict=True):
        found = segmentArray(nodes["regions"], region, fit.labels.shape, fit.affine)
        assert np.array_equal(found, fit.labels == row["roi_id"])
    colors = {nodes["regions"].GetSegmentation().GetSegment(region).GetColor() for region in NAMES}
    assert len(colors) == 4
    assert not nodes["regions"].GetDisplayNode().GetVisibility()  # regions cover the brain and would hide the maps
    table = nodes["table.regions"]
    columns = columnValues(table)
    assert list(columns["region"]) == NAMES
    assert columns["mtt"][:3].tolist() == [4.0, 5.0, 6.0]
    assert np.isnan(columns["mtt"][3])
    assert list(columns["status"]) == ["ok", "ok", "ok", "no tracer"]
    assert (table.GetColumnUnitLabel("mtt"), table.GetColumnUnitLabel("cbf")) == ("s", "relative")


def test_choosing_a_region_shows_its_two_curves_and_its_segment(scene, nodes):
    chart, display = nodes["chart.regions"], nodes["regions"].GetDisplayNode()
    assert curves_in(chart) == ["GM 1 observed", "GM 1 fitted"]
    showRegion(scene, "case", "WM 3")
    assert curves_in(chart) == ["WM 3 observed", "WM 3 fitted"]
    assert "WM 3" in chart.GetTitle()
    assert [display.GetSegmentVisibility(region) for region in NAMES] == [False, False, True, False]
    assert shownRegion(nodes) == "WM 3"
    showRegion(scene, "case")
    assert len(curves_in(chart)) == 8
    assert all(display.GetSegmentVisibility(region) for region in NAMES)


def test_a_position_tells_its_region(nodes, a_regional_study):
    fit = a_regional_study.regions
    for voxel in ((23, 46, 3), (23, 27, 2), (12, 27, 1)):
        position = fit.affine @ [*voxel, 1.0]
        number = fit.labels[voxel]
        assert regionAt(nodes, position[:3]) == NAMES[number - 1]
    assert regionAt(nodes, (500.0, 0.0, 0.0)) == ""


def test_a_region_is_told_in_words_and_says_when_its_fit_failed(nodes):
    assert "CBF 50.0 relative, MTT 4.0 s, misfit 0.030" in regionSentence(nodes, "GM 1")
    assert "no fit. Status: no tracer." in regionSentence(nodes, "CSF 4")
    assert regionFacts(nodes, "GM 2")["roi_id"] == 2.0
    assert isRelative(nodes)


def test_a_reference_curve_is_called_one_and_has_no_points(scene, nodes):
    assert "curve.aif" not in nodes
    assert "points.reference" not in nodes
    assert nodes["curve.reference"].GetName() == "case reference curve"
    assert "not an artery" in nodes["chart.input"].GetTitle()
    with pytest.raises(InvalidInputError, match="mean curve of tissue, not an artery"):
        tableToInputFunction(nodes["curve.reference"], "aif")


def test_all_nodes_of_regions_lie_in_the_folder_of_the_fit(scene, nodes):
    hierarchy = hierarchyOf(scene)
    for role in ("regions", "table.regions", "curve.regions", "chart.regions", "plot.regions.1"):
        parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes[role]))
        assert hierarchy.GetItemName(parent) == "Fit"
        assert hierarchy.GetItemParent(parent) == nodes.folder


def test_a_second_run_updates_in_place_and_one_without_regions_removes_them(scene, nodes, a_regional_study):
    showRegion(scene, "case", "GM 2")
    before = nodes_of(scene)
    again = studyToScene(scene, a_regional_study, "case", includeSeries=False)
    assert nodes_of(scene) == before
    assert again["regions"] is nodes["regions"]
    assert curves_in(again["chart.regions"]) == ["GM 2 observed", "GM 2 fitted"]  # the choice stays
    studyToScene(scene, replace(a_regional_study, regions=None), "case", includeSeries=False)
    assert not [role for role in findStudy(scene, "case") if "regions" in role]


def test_fewer_regions_leave_no_curves_of_the_former_ones(scene, nodes, a_regional_study):
    showRegion(scene, "case", "CSF 4")
    fit = a_regional_study.regions
    fewer = replace(fit, rows=fit.rows[:2], observed=fit.observed[:2], fitted=fit.fitted[:2])
    again = studyToScene(scene, replace(a_regional_study, regions=fewer), "case", includeSeries=False)
    assert [role for role in findStudy(scene, "case") if role.startswith("plot.regions")] == [
        f"plot.regions.{n}" for n in range(1, 5)
    ]
    assert curves_in(again["chart.regions"]) == ["GM 1 observed", "GM 1 fitted"]


def test_regions_survive_a_scene_file(scene, nodes, a_regional_study, tmp_path):
    showRegion(scene, "case", "WM 3")
    path = writeBundle(scene, tmp_path / "scene.mrb")
    with freshScene() as other:
        readScene(other.scene, str(path), clear=True)
        assert problemsOfScene(other.scene, "case", nodes) == []
        again = findStudy(other.scene, "case")
        assert regionNames(again) == NAMES
        fit = a_regional_study.regions
        for region, row in zip(NAMES, fit.rows, strict=True):
            assert np.array_equal(
                segmentArray(again["regions"], region, fit.labels.shape, fit.affine), fit.labels == row["roi_id"]
            )
        assert curves_in(again["chart.regions"]) == ["WM 3 observed", "WM 3 fitted"]
        assert regionAt(again, (fit.affine @ [23, 46, 3, 1.0])[:3]) == "GM 1"
        showRegion(other.scene, "case", "GM 1")
        assert curves_in(again["chart.regions"]) == ["GM 1 observed", "GM 1 fitted"]
