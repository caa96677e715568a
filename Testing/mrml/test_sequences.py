# SPDX-License-Identifier: Apache-2.0
"""A series goes into a sequence and comes back with the same voxels, place and times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from PerfusionSuiteLib.core import Acquisition, GridMismatchError, InvalidInputError, QualityFinding, TimingError
from PerfusionSuiteSlicer.mrml.ScanFacts import scanFacts
from PerfusionSuiteSlicer.mrml.SequenceNodes import frameTimes, sequenceToSeries, seriesToSequence
from PerfusionSuiteSlicer.mrml.VolumeArrays import affineOf, setVolume, volumeArray

pytestmark = pytest.mark.mrml


def test_voxels_affine_times_and_header_survive(scene, a_ctp_series):
    times = a_ctp_series.times_s + np.random.default_rng(5).uniform(0, 0.4, a_ctp_series.times_s.size)
    slices = times[None, :] + np.linspace(0, 0.5, 6)[:, None]
    acquisition = Acquisition("DICOM AcquisitionTime", slices, True, "ACME", (0.03,), 1.5, {"kvp": 80})
    series = replace(a_ctp_series, times_s=times, acquisition=acquisition)
    sequence, browser = seriesToSequence(scene, series, "head")
    back = sequenceToSeries(sequence)
    np.testing.assert_array_equal(back.data, series.data)
    np.testing.assert_array_equal(back.times_s, times)
    np.testing.assert_allclose(back.affine, series.affine, atol=1e-9)
    np.testing.assert_array_equal(back.acquisition.slice_times_s, slices)
    assert replace(back.acquisition, slice_times_s=None) == replace(acquisition, slice_times_s=None)
    assert (back.modality, back.source.case_id) == ("ctp", "case-01")
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("time", "s")
    assert browser.GetMasterSequenceNode() is sequence


def test_what_was_noticed_while_reading_is_still_known_when_the_scan_is_analyzed(scene, a_ctp_series):
    odd = QualityFinding("uneven_slices", "error", "Slices are 5.00 to 10.00 mm apart.", "Export the series again.")
    read = replace(a_ctp_series, source=replace(a_ctp_series.source, findings=(odd,)))
    sequence, _ = seriesToSequence(scene, read, "odd")
    assert sequenceToSeries(sequence).source.findings == (odd,)


def test_a_tilted_gantry_survives(scene, a_ctp_series):
    sheared = a_ctp_series.affine.copy()
    sheared[1, 2] = 2.1
    sequence, _ = seriesToSequence(scene, replace(a_ctp_series, affine=sheared), "tilted")
    np.testing.assert_allclose(sequenceToSeries(sequence).affine, sheared, atol=1e-9)


def test_whole_numbers_are_kept_in_16_bits_and_others_are_not_rounded(scene, a_ctp_series):
    whole, _ = seriesToSequence(scene, replace(a_ctp_series, data=np.rint(a_ctp_series.data)), "whole")
    noisy, _ = seriesToSequence(scene, a_ctp_series, "noisy")
    assert whole.GetNthDataNode(0).GetImageData().GetScalarTypeAsString() == "short"
    assert noisy.GetNthDataNode(0).GetImageData().GetScalarTypeAsString() == "float"
    np.testing.assert_array_equal(sequenceToSeries(whole).data, np.rint(a_ctp_series.data))


def test_a_voxel_lies_where_slicer_says_it_does(scene, a_ctp_series):
    data = np.zeros_like(a_ctp_series.data)
    data[5, 40, 3, :] = 70.0
    sequence, browser = seriesToSequence(scene, replace(a_ctp_series, data=data), "one voxel")
    proxy = browser.GetProxyNode(sequence)
    assert slicer.util.arrayFromVolume(proxy)[3, 40, 5] == 70.0  # Slicer shows arrays as k, j, i
    ras = affineOf(proxy) @ [5, 40, 3, 1]
    np.testing.assert_allclose(ras[:3], [96 - 20, 110 - 160, -20 + 24])


def sequence_with(scene, series, labels, unit):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "foreign")
    sequence.SetIndexUnit(unit)
    volume = slicer.vtkMRMLScalarVolumeNode()
    for index, label in enumerate(labels):
        setVolume(volume, series.data[..., index].astype(np.int16), series.affine)
        sequence.SetDataNodeAtValue(volume, label)
    return sequence


def test_milliseconds_become_seconds(scene, a_ctp_series):
    sequence = sequence_with(scene, a_ctp_series, [f"{1000 * t:g}" for t in a_ctp_series.times_s], "ms")
    np.testing.assert_allclose(sequenceToSeries(sequence, modality="ctp").times_s, a_ctp_series.times_s)


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "s"), (1000.0, "ms")])
def test_a_missing_unit_is_inferred_and_reported(factor, unit):
    times = np.linspace(0, 43.5, 30)
    seconds, findings = frameTimes("x", [repr(float(factor * t)) for t in times], "")
    np.testing.assert_allclose(seconds, times)
    assert [finding.code for finding in findings] == ["time_unit_inferred"]
    assert unit in findings[0].message


def test_seconds_labelled_milliseconds_are_refused():
    with pytest.raises(TimingError, match=r"0\.0015 s apart.*index unit"):
        frameTimes("x", [repr(1.5 * i) for i in range(30)], "ms")


def test_milliseconds_labelled_seconds_are_refused():
    with pytest.raises(TimingError, match="1500 s apart"):
        frameTimes("x", [repr(1500.0 * i) for i in range(30)], "s")


@pytest.mark.parametrize("unit", ["", "count"])
def test_mere_counts_are_not_taken_for_times(unit):
    with pytest.raises(TimingError, match="Enter the time between frames"):
        frameTimes("x", [str(i) for i in range(30)], unit)


def test_counts_are_accepted_with_an_interval():
    seconds, _ = frameTimes("x", [str(i) for i in range(30)], "count", interval_s=2.0)
    np.testing.assert_allclose(np.diff(seconds), 2.0)


def test_a_sequence_with_air_near_minus_1000_is_ct(scene, a_ctp_series):
    sequence = sequence_with(scene, a_ctp_series, [repr(float(t)) for t in a_ctp_series.times_s], "s")
    assert sequenceToSeries(sequence).modality == scanFacts(sequence).modality == "ctp"


def test_a_sequence_of_unknown_kind_needs_a_modality(scene, a_ctp_series):
    signal = replace(a_ctp_series, data=a_ctp_series.data + 1200.0)
    sequence = sequence_with(scene, signal, [repr(float(t)) for t in a_ctp_series.times_s], "s")
    assert "Choose CT perfusion or DSC-MRI" in scanFacts(sequence).problem
    with pytest.raises(InvalidInputError, match="Choose ctp or dsc"):
        sequenceToSeries(sequence)
    assert sequenceToSeries(sequence, modality="dsc").modality == "dsc"


def test_frames_on_different_grids_are_refused(scene, a_ctp_series):
    sequence, _ = seriesToSequence(scene, a_ctp_series, "moved")
    moved = a_ctp_series.affine.copy()
    moved[0, 3] += 3
    frame = sequence.GetNthDataNode(4)
    setVolume(frame, volumeArray(frame), moved)
    with pytest.raises(GridMismatchError, match="Frame 5"):
        sequenceToSeries(sequence)


def test_an_empty_sequence_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "nothing")
    with pytest.raises(InvalidInputError, match="'nothing' is empty"):
        sequenceToSeries(node, modality="ctp")
    with pytest.raises(InvalidInputError, match="No sequence"):
        sequenceToSeries(None)


def test_the_older_multi_volume_of_slicer_is_read(scene, a_ctp_series):
    import vtk
    from vtk.util import numpy_support

    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "multi volume")
    image = vtk.vtkImageData()
    image.SetDimensions(*a_ctp_series.shape)
    values = a_ctp_series.data.transpose(2, 1, 0, 3).reshape(-1, a_ctp_series.times_s.size)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ascontiguousarray(values), deep=True))
    node.SetAndObserveImageData(image)
    node.SetAttribute("MultiVolume.FrameLabels", ",".join(f"{1000 * t:.0f}" for t in a_ctp_series.times_s))
    node.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits", "ms")
    series = sequenceToSeries(node, modality="ctp")
    assert scanFacts(node).words.startswith("30 frames of 48x56x6, 43.5 s")
    np.testing.assert_array_equal(series.data, a_ctp_series.data)
    np.testing.assert_allclose(series.times_s, a_ctp_series.times_s)
    node.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagName", "InversionTime")
    with pytest.raises(TimingError, match="'InversionTime', which is not a time. Enter the time between frames"):
        sequenceToSeries(node, modality="ctp")
    assert sequenceToSeries(node, modality="ctp", interval_s=2.0).interval_s == 2.0


def test_a_panel_can_describe_a_sequence(scene, a_ctp_series):
    sequence, _ = seriesToSequence(scene, a_ctp_series, "head")
    assert scanFacts(sequence).words.splitlines() == [
        "30 frames of 48x56x6, 43.5 s, 1.50 s apart", "Times from: made up", "CT perfusion",
    ]  # fmt: skip
    sequence.SetIndexUnit("count")
    assert "not a time" in scanFacts(sequence).problem
    entered = scanFacts(sequence, interval_s=2.0)
    assert not entered.problem
    assert "58.0 s, 2.00 s apart" in entered.words
    assert "you entered" in entered.words


def test_filling_a_sequence_again_keeps_the_nodes_and_the_selected_frame(scene, a_ctp_series):
    sequence, browser = seriesToSequence(scene, a_ctp_series, "head")
    browser.SetSelectedItemNumber(7)
    nodes = scene.GetNumberOfNodes()
    again = seriesToSequence(scene, replace(a_ctp_series, data=a_ctp_series.data + 1), "head")
    assert again == (sequence, browser)
    assert scene.GetNumberOfNodes() == nodes
    assert browser.GetSelectedItemNumber() == 7
    np.testing.assert_array_equal(sequenceToSeries(sequence).data, a_ctp_series.data + 1)
