# SPDX-License-Identifier: Apache-2.0
"""Volumes that a user gives are taken at the places where they are shown, or refused with a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteSlicer.mrml.AslInputs import aslInputs
from PerfusionSuiteSlicer.mrml.LesionNodes import fillSegmentation, segmentArray
from PerfusionSuiteSlicer.mrml.MapUnits import unitProblem
from PerfusionSuiteSlicer.mrml.RegionJobs import startStatisticsJob
from PerfusionSuiteSlicer.mrml.ScanFacts import scanFacts
from PerfusionSuiteSlicer.mrml.SequenceNodes import seriesToSequence
from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob, userInputs
from PerfusionSuiteSlicer.mrml.TissueLabels import tissueLabels
from PerfusionSuiteSlicer.mrml.VolumeArrays import setVolume

pytestmark = pytest.mark.mrml


@pytest.fixture
def scan(scene, a_ctp_series):
    return seriesToSequence(scene, a_ctp_series, "scan")[0]


def volume(scene, values, affine):
    return setVolume(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "given"), values, affine)


def test_diffusion_on_a_finer_grid_comes_to_that_of_the_scan(scene, scan, a_ctp_series):
    fine = a_ctp_series.affine.copy()
    fine[:3, 0] /= 2.0
    fine[:3, 3] -= 0.5 * fine[:3, 0]  # halves of a voxel lie on both sides of its center
    truth = 700.0 + 5.0 * np.indices(a_ctp_series.shape)[0].astype(np.float32)
    node = volume(scene, np.repeat(truth, 2, axis=0), fine)
    found = userInputs(adc=node, scan=scan)["adc"]
    assert found.shape == a_ctp_series.shape
    assert np.abs(found - truth).max() < 1e-3


def test_equal_sizes_do_not_hide_that_diffusion_lies_elsewhere(scene, scan, a_ctp_series):
    moved = a_ctp_series.affine.copy()
    moved[:3, 3] += 3.0 * moved[:3, 0]
    values = np.arange(1.0, 1.0 + np.prod(a_ctp_series.shape), dtype=np.float32).reshape(a_ctp_series.shape)
    found = userInputs(adc=volume(scene, values, moved), scan=scan)["adc"]
    assert np.allclose(found[3:], values[:-3])
    assert not found[:3].any()


def test_diffusion_for_a_scan_that_is_still_to_be_read_is_refused(scene, a_ctp_series):
    node = volume(scene, np.ones(a_ctp_series.shape, np.float32), a_ctp_series.affine)
    with pytest.raises(InvalidInputError, match="Load the scan first"):
        userInputs(adc=node, scan="/data/scan")


def test_a_volume_that_a_transform_moves_is_refused_until_it_is_hardened(scene, scan, a_ctp_series):
    node = volume(scene, np.full(a_ctp_series.shape, 800.0, np.float32), a_ctp_series.affine)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    node.SetAndObserveTransformNodeID(transform.GetID())
    for use in (
        lambda: userInputs(adc=node, scan=scan), lambda: tissueLabels(node, scan), lambda: aslInputs(scan, gray=node)
    ):  # fmt: skip
        with pytest.raises(InvalidInputError, match=r"'given' is moved by the transform 'registration'. Harden it first"):
            use()
    assert "Harden it first" in unitProblem(node, "adc", "1e-6 mm2/s")
    node.SetAndObserveTransformNodeID(None)
    assert unitProblem(node, "adc", "1e-6 mm2/s") == ""


def moved(scene, node):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


class Catcher:
    """Takes a job instead of starting it."""

    def start(self, spec, **_callbacks):
        self.spec = spec


@pytest.fixture
def region(scene, a_ctp_series):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    fillSegmentation(node, {"Normal": np.ones(a_ctp_series.shape, bool)}, a_ctp_series.affine, {"Normal": (1, 0, 0)}, None)
    return node


def test_a_region_or_map_that_a_transform_moves_is_not_measured_at_its_old_place(scene, region, a_ctp_series):
    shape, affine = a_ctp_series.shape, a_ctp_series.affine
    node = volume(scene, np.full(shape, 800.0, np.float32), affine)
    assert segmentArray(region, "Normal", shape, affine).all()
    startStatisticsJob(scene, Catcher(), region, [node])
    moved(scene, node)
    with pytest.raises(InvalidInputError, match="'given' is moved by the transform 'registration'"):
        startStatisticsJob(scene, Catcher(), region, [node])
    node.SetAndObserveTransformNodeID(None)
    moved(scene, region)
    with pytest.raises(InvalidInputError, match="'drawn' is moved by the transform 'registration'"):
        startStatisticsJob(scene, Catcher(), region, [node])


def test_volumes_of_one_name_are_both_measured(scene, region, a_ctp_series):
    nodes = [volume(scene, np.full(a_ctp_series.shape, value, np.float32), a_ctp_series.affine) for value in (1.0, 2.0)]
    for node in nodes:
        node.SetName("ADC")
    catcher = Catcher()
    startStatisticsJob(scene, catcher, region, nodes)
    assert sorted(float(image.max()) for image in catcher.spec.inputs["images"].values()) == [1.0, 2.0]


def test_a_scan_that_is_shown_moved_is_refused_since_its_results_would_lie_elsewhere(scene, a_ctp_series):
    scan, browser = seriesToSequence(scene, a_ctp_series, "scan")
    assert scanFacts(scan).problem == ""
    moved(scene, browser.GetProxyNode(scan))
    assert "'scan' is shown moved by the transform 'registration'" in scanFacts(scan).problem
    with pytest.raises(InvalidInputError, match="which results would not follow"):
        startStudyJob(scene, Catcher(), scan, {})
