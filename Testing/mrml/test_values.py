# SPDX-License-Identifier: Apache-2.0
"""Maps, curves, points, lesions and tables: what they look like as nodes, and that they come back unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from PerfusionSuiteLib.core import QUANTITIES, InputFunction, InvalidInputError, PerfusionMaps, Provenance, QualityFinding
from PerfusionSuiteLib.core.colors import LESION_COLORS, color_table
from PerfusionSuiteSlicer.mrml.CurveNodes import inputFunctionToNodes, plotsToChart, tableToCurves, tableToInputFunction
from PerfusionSuiteSlicer.mrml.LesionNodes import (
    anatomyToSegmentation,
    lesionsToSegmentation,
    segmentArray,
    segmentationToLesions,
    segmentationToMasks,
    segmentCenter,
    setSegment,
)
from PerfusionSuiteSlicer.mrml.MapNodes import mapsToNodes, nodesToMaps, nodeToMap
from PerfusionSuiteSlicer.mrml.MarkupNodes import pointPositions, voxelsToPoints
from PerfusionSuiteSlicer.mrml.StudyJob import userInputs
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues, metricsToTable, setTable, volumesToTable
from PerfusionSuiteSlicer.mrml.VolumeArrays import setVolume

pytestmark = pytest.mark.mrml


def test_maps_come_back_with_values_units_quality_and_provenance(scene, a_study):
    quality = np.zeros(a_study.maps.shape, np.uint8)
    quality[3, 4, 5] = 7
    arrays = {"cbf": a_study.maps["cbf"].values, "delay": a_study.maps["delay"].values}
    provenance = Provenance("osvd", {"oi_max": 0.1, "note": 'a "quoted"; one: <&>'}, "Perfusion Suite 1")
    maps = PerfusionMaps.from_arrays(
        arrays, a_study.maps.affine, provenance=provenance, units={"cbf": "mL/100mL/min"}, quality=quality
    )
    back = nodesToMaps(mapsToNodes(scene, maps, "x"))
    assert set(back) == set(maps)
    for key, item in maps.items():
        np.testing.assert_array_equal(back[key].values, item.values)
        np.testing.assert_array_equal(back[key].quality, quality)
        assert (back[key].unit, back[key].provenance) == (item.unit, item.provenance)


@pytest.mark.parametrize("key", ["cbf", "cbv", "mtt", "tmax", "delay", "rcbf"])
def test_a_map_node_knows_quantity_unit_colours_and_window(scene, a_study, key):
    quantity = QUANTITIES[key]
    node = mapsToNodes(scene, a_study.maps, "x")[key]
    assert node.GetVoxelValueUnits().GetCodeValue() == quantity.ucum
    assert node.GetVoxelValueUnits().GetCodingSchemeDesignator() == "UCUM"
    assert node.GetVoxelValueQuantity().GetCodeMeaning() == quantity.name
    display = node.GetScalarVolumeDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == quantity.display_range
    colors = display.GetColorNode()
    assert colors.GetName() == f"Perfusion {quantity.colormap}"
    color = [0.0] * 4
    for index in (0, 100, 255):
        colors.GetColor(index, color)
        np.testing.assert_allclose(color[:3], color_table(quantity.colormap)[index], atol=0.6 / 255)  # Slicer keeps bytes
    legend = node.GetNthDisplayNode(1)
    assert legend.IsA("vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText().split("\n") == [quantity.symbol, f"[{quantity.unit}]"]
    high = quantity.display_range[1]
    assert (legend.GetLabelFormat() % high).strip() == quantity.label_format % high


def test_background_is_transparent_but_negative_delays_are_not(scene, a_study):
    nodes = mapsToNodes(scene, a_study.maps, "x")
    cbf, delay = (nodes[key].GetScalarVolumeDisplayNode() for key in ("cbf", "delay"))
    assert cbf.GetApplyThreshold()
    assert 0 < cbf.GetLowerThreshold() < 0.01
    assert delay.GetLowerThreshold() < -100
    assert not nodes["baseline"].GetScalarVolumeDisplayNode().GetApplyThreshold()


def test_values_per_volume_get_the_unit_per_volume(scene, a_study):
    arrays = {"cbf": a_study.maps["cbf"].values}
    maps = PerfusionMaps.from_arrays(arrays, a_study.maps.affine, units={"cbf": "mL/100mL/min"})
    assert mapsToNodes(scene, maps, "x")["cbf"].GetVoxelValueUnits().GetCodeValue() == "mL/(100.mL.min)"


def test_a_volume_of_other_origin_needs_a_quantity(scene, a_study):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "from elsewhere")
    with pytest.raises(InvalidInputError, match="'from elsewhere' cannot be used.*no voxels"):
        nodeToMap(node)
    setVolume(node, a_study.maps["mtt"].values, a_study.maps.affine)
    with pytest.raises(InvalidInputError, match="not known what 'from elsewhere' shows"):
        nodeToMap(node)
    assert nodeToMap(node, "mtt").quantity is QUANTITIES["mtt"]


def test_an_input_function_comes_back_whole(scene, a_study):
    finding = QualityFinding("late_peak", "warning", "The peak is late; check: it.", "Look.")
    curve = replace(a_study.aif, findings=(finding,), times_s=a_study.aif.times_s + 0.12)
    table, plot = inputFunctionToNodes(scene, curve, "x")
    back = tableToInputFunction(table)
    np.testing.assert_array_equal(back.times_s, curve.times_s)
    np.testing.assert_array_equal(back.values, curve.values)
    np.testing.assert_array_equal(back.voxels, curve.voxels)
    for name in ("kind", "score", "flags", "scale", "origin", "quality", "findings"):
        assert getattr(back, name) == getattr(curve, name)
    assert table.GetColumnUnitLabel("time") == "s"
    assert table.GetColumnUnitLabel("AIF") == "HU"
    assert plot.GetTableNode() is table
    assert (plot.GetXColumnName(), plot.GetYColumnName()) == ("time", "AIF")


@pytest.mark.parametrize(
    ("name", "label", "seconds"), [("time", "", 1.0), ("time_ms", "", 1e-3), ("Time [s]", "", 1.0), ("time", "ms", 1e-3)]
)
def test_times_of_a_curve_are_in_the_unit_that_the_table_says(scene, name, label, seconds):
    times = np.linspace(0.0, 40.0, 21) / seconds
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "curve")
    setTable(table, {name: times, "HU": np.exp(-((times * seconds - 12.0) ** 2) / 30.0)})
    table.SetColumnUnitLabel(name, label)
    np.testing.assert_allclose(tableToInputFunction(table, "aif").times_s, np.linspace(0.0, 40.0, 21))


def test_times_in_no_unit_of_time_are_refused(scene):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "curve")
    setTable(table, {"time": np.linspace(0.0, 40.0, 21), "HU": np.ones(21)})
    table.SetColumnUnitLabel("time", "frames")
    with pytest.raises(InvalidInputError, match="'frames', which is no unit of time"):
        tableToInputFunction(table, "aif")


def test_a_curve_without_a_score_comes_back_without(scene, a_study):
    manual = InputFunction(a_study.aif.times_s, a_study.aif.values, kind="aif", origin="manual")
    back = tableToInputFunction(inputFunctionToNodes(scene, manual, "x")[0])
    assert np.isnan(back.score)
    assert back.voxels.shape == (0, 3)


def test_a_table_in_milliseconds_of_other_origin_is_read(scene):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "curve file")
    setTable(table, {"time_ms": np.linspace(0, 40000, 21), "artery": np.linspace(0, 1, 21)})
    table.SetColumnUnitLabel("time_ms", "ms")
    curve = tableToInputFunction(table, "aif")
    assert curve.times_s[-1] == pytest.approx(40.0)
    with pytest.raises(InvalidInputError, match="AIF or a VOF"):
        tableToInputFunction(table)
    with pytest.raises(InvalidInputError, match="no column 'vein'"):
        tableToInputFunction(table, "vof", column="vein")


def test_a_table_without_times_is_refused(scene):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "no times")
    setTable(table, {"label": ["a", "b"], "artery": np.array([1.0, 2.0])})
    with pytest.raises(InvalidInputError, match="needs a column 'time'.*label, artery"):
        tableToCurves(table)


def test_a_chart_names_its_axes_and_follows_its_series(scene, a_study):
    plots = [inputFunctionToNodes(scene, curve, "x")[1] for curve in (a_study.aif, a_study.vof)]
    chart = plotsToChart(scene, plots, "x", role="input", title="input functions", yTitle="enhancement [HU]")
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("time [s]", "enhancement [HU]")
    assert [chart.GetNthPlotSeriesNode(i).GetName() for i in range(2)] == ["x AIF", "x VOF"]
    plotsToChart(scene, plots[:1], "x", role="input", title="input functions", yTitle="enhancement [HU]")
    assert chart.GetNumberOfPlotSeriesNodes() == 1


def test_points_lie_at_the_centres_of_their_voxels_in_ras(scene, a_study):
    node = voxelsToPoints(scene, a_study.aif.voxels, a_study.series.affine, "aif", "x")
    np.testing.assert_allclose(node.GetNthControlPointPositionWorld(0), [96 - 92, 110 - 48, -20 + 16])
    there = np.linalg.inv(a_study.series.affine)
    np.testing.assert_allclose(pointPositions(node) @ there[:3, :3].T + there[:3, 3], a_study.aif.voxels, atol=1e-6)
    node.RemoveAllControlPoints()
    with pytest.raises(InvalidInputError, match="has no points"):
        pointPositions(node)


def test_a_vessel_is_given_by_a_table_or_by_points(scene, a_study):
    points = voxelsToPoints(scene, a_study.aif.voxels, a_study.series.affine, "aif", "x")
    table, _ = inputFunctionToNodes(scene, a_study.vof, "x")
    given = userInputs(points, table)
    np.testing.assert_allclose(given["aif_points"], pointPositions(points))
    np.testing.assert_allclose(given["vof"].values, a_study.vof.values, rtol=1e-5, atol=1e-4)
    assert set(given) == {"aif_points", "vof"}


def segmentations(scene, a_study):
    reference = mapsToNodes(scene, a_study.maps, "x")["baseline"]
    lesions = replace(a_study.lesions, extra={"sss": np.roll(a_study.lesions.core, 3, axis=1)}, midplane=np.array([1, 0, 0, 2.5]))
    nodes = (
        lesionsToSegmentation(scene, lesions, "x", reference=reference),
        anatomyToSegmentation(scene, a_study.masks, lesions, "x", reference=reference),
    )
    return lesions, nodes, reference


def test_lesions_and_masks_come_back_although_they_overlap(scene, a_study):
    lesions, nodes, _ = segmentations(scene, a_study)
    back = segmentationToLesions(*nodes)
    for name in ("hypoperfusion", "core", "penumbra", "tissue", "reference"):
        np.testing.assert_array_equal(getattr(back, name), getattr(lesions, name), err_msg=name)
    np.testing.assert_array_equal(back.extra["sss"], lesions.extra["sss"])
    np.testing.assert_allclose(back.midplane, lesions.midplane)
    assert (back.side, back.thresholds) == ("left", lesions.thresholds)
    masks = segmentationToMasks(nodes[1])
    for name in ("brain", "csf", "vessel", "bone"):
        np.testing.assert_array_equal(getattr(masks, name), getattr(a_study.masks, name), err_msg=name)


def terminology_of(segment):
    import vtk

    text = vtk.reference("")
    assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    return str(text)


def test_segments_have_fixed_colours_codes_and_the_geometry_of_the_maps(scene, a_study):
    _, (node, _), reference = segmentations(scene, a_study)
    segmentation = node.GetSegmentation()
    for segment, key in (("Core", "core"), ("Penumbra", "penumbra"), ("Hypoperfusion", "hypoperfusion")):
        np.testing.assert_allclose(segmentation.GetSegment(segment).GetColor(), LESION_COLORS[key], atol=1e-6)
    assert "55641003^Infarct" in terminology_of(segmentation.GetSegment("Core"))
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is reference


def test_an_edited_segment_is_read_as_edited(scene, a_study):
    lesions, nodes, reference = segmentations(scene, a_study)
    voxels = segmentArray(nodes[0], "Core", a_study.maps.shape, a_study.maps.affine)
    assert voxels.sum() == lesions.core.sum()
    nodes[0].GetSegmentation().RemoveSegment("Core")
    with pytest.raises(InvalidInputError, match="no segment 'Core'"):
        segmentationToLesions(*nodes, reference=reference)


def test_an_empty_lesion_is_an_empty_segment(scene, a_study):
    nothing = np.zeros(a_study.maps.shape, bool)
    lesions = replace(a_study.lesions, core=nothing)
    node = lesionsToSegmentation(scene, lesions, "x")
    anatomy = anatomyToSegmentation(scene, a_study.masks, lesions, "x")
    assert not segmentationToLesions(node, anatomy).core.any()


def test_tables_hold_every_number_with_its_unit(scene, a_study):
    columns = columnValues(metricsToTable(scene, a_study.metrics, "x"))
    rows = {q: (v, u) for q, v, u in zip(columns["quantity"], columns["value"], columns["unit"], strict=True)}
    values = a_study.metrics.values
    assert float(rows["infarct_core_volume_ml"][0]) == pytest.approx(values["infarct_core_volume_ml"], rel=1e-5)
    assert rows["infarct_core_volume_ml"][1] == rows["volumes_ml.tmax_gt_6"][1] == "mL"
    assert rows["prr_percent"] == ("", "")
    volumes = columnValues(volumesToTable(scene, a_study.metrics, "x"))
    assert dict(zip(volumes["region"], volumes["volume"], strict=True))["tmax > 6"] == 50.0


def test_the_middle_of_a_lesion_is_known_and_none_is_told_quietly_when_there_is_none(scene, a_study, capfd):
    node = lesionsToSegmentation(scene, a_study.lesions, "x")
    right, anterior, superior = segmentCenter(node, "Hypoperfusion")
    assert right < -20  # the patient's left
    assert abs(anterior) < 10
    assert abs(superior) < 20
    setSegment(node, "Hypoperfusion", np.zeros_like(a_study.lesions.core), a_study.lesions.affine)
    assert segmentCenter(node, "Hypoperfusion") is None
    assert segmentCenter(node, "no such segment") is None
    assert "Segment" not in "".join(capfd.readouterr())
