# SPDX-License-Identifier: Apache-2.0
"""What a user gives for an ASL scan lies on its grid, or is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.jobs import SubprocessRunner
from PerfusionSuiteSlicer.mrml.AslInputs import aslInputs, aslSettings
from PerfusionSuiteSlicer.mrml.AslSequences import aslToSequence
from PerfusionSuiteSlicer.mrml.LesionNodes import fillSegmentation
from PerfusionSuiteSlicer.mrml.SequenceNodes import seriesToSequence
from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob
from PerfusionSuiteSlicer.mrml.VolumeArrays import setVolume

pytestmark = pytest.mark.mrml

SHAPE = (40, 40, 8)


@pytest.fixture(scope="module")
def series():
    return phantom.asl(seed=5, site="m1", shape=SHAPE, spacing_mm=(5.2, 5.2, 13.0), repetitions=1)[0]


def volume(scene, values, affine):
    return setVolume(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "fraction"), values, affine)


def test_fractions_on_the_grid_of_the_scan_become_inputs_of_a_run(scene, series):
    scan, _ = aslToSequence(scene, series, "scan")
    gray = np.linspace(0.0, 1.0, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    nodes = [volume(scene, values, series.affine) for values in (gray, 1.0 - gray)]
    given = aslInputs(scan, gray=nodes[0], white=nodes[1])
    np.testing.assert_array_equal(pipeline.AslInputs(**given).gm, gray)
    assert aslInputs(scan) == {}


def test_a_fraction_on_another_grid_is_refused(scene, series):
    scan, _ = aslToSequence(scene, series, "scan")
    moved = series.affine.copy()
    moved[0, 3] += 3.0
    with pytest.raises(GridMismatchError, match="another grid than the scan"):
        aslInputs(scan, gray=volume(scene, np.zeros(SHAPE, np.float32), moved))


def test_all_segments_together_are_the_region_of_m0(scene, series):
    scan, _ = aslToSequence(scene, series, "scan")
    masks = {"CSF": np.zeros(SHAPE, bool), "Vessels": np.zeros(SHAPE, bool)}
    masks["CSF"][10:14, 12, 3] = masks["Vessels"][20, 12:15, 4] = True
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "fluid")
    fillSegmentation(node, masks, series.affine, dict.fromkeys(masks, (0.0, 0.0, 1.0)), None)
    np.testing.assert_array_equal(aslInputs(scan, m0Region=node)["m0_reference"], masks["CSF"] | masks["Vessels"])


def test_a_later_scan_comes_along_when_it_is_an_asl_scan(scene, series):
    scan, _ = aslToSequence(scene, series, "scan")
    later, _ = aslToSequence(scene, replace(series, data=0.5 * series.data), "later")
    found = aslInputs(scan, later=later)["follow_up"]
    assert found.volume_types == series.volume_types
    np.testing.assert_allclose(found.data, 0.5 * series.data)
    with pytest.raises(InvalidInputError, match="does not say which of its volumes are control and label"):
        aslInputs(scan, later=scene.AddNewNodeByClass("vtkMRMLSequenceNode", "no scan"))


def test_volumes_of_the_scene_need_a_scan_of_the_scene(scene, series):
    with pytest.raises(InvalidInputError, match="Load the scan first"):
        aslInputs("/data/sub-01", gray=volume(scene, np.zeros(SHAPE, np.float32), series.affine))


def test_settings_hold_only_what_was_given_and_fit_a_run():
    assert aslSettings() == {}
    given = aslSettings(0.9, 1.6, {"m0_reference": "csf"}, True, 50.0, {"smoothing_mm": 5.0})
    settings = pipeline.AslSettings(**given)
    assert (settings.labeling_efficiency, settings.t1_blood, settings.partial_volume) == (0.9, 1.6, True)
    assert (settings.m0_options, settings.low_flow_percent, settings.smoothing_mm) == ({"m0_reference": "csf"}, 50.0, 5.0)


@pytest.mark.parametrize(("method", "words"), [("spatial", "made for a contrast bolus"), ("qtmnet", "made for ASL")])
def test_a_method_of_another_kind_of_scan_is_refused_before_a_worker_starts(scene, series, method, words):
    if method == "spatial":
        scan, _ = aslToSequence(scene, series, "scan")
    else:
        other, _truth = phantom.dsc(seed=3, shape=(48, 48, 4), spacing_mm=(4.0, 4.0, 12.0))
        scan, _ = seriesToSequence(scene, other, "dsc")
    with pytest.raises(InvalidInputError, match=words):
        startStudyJob(scene, SubprocessRunner(), scan, {"method": method})
