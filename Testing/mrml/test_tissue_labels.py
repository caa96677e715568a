# SPDX-License-Identifier: Apache-2.0
"""Tissue labels of the scene on the grid of a scan: from a label volume on any grid, and from a segmentation by names."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteSlicer.mrml.SequenceNodes import seriesToSequence
from PerfusionSuiteSlicer.mrml.StudyJob import userInputs
from PerfusionSuiteSlicer.mrml.TissueLabels import tissueLabels
from PerfusionSuiteSlicer.mrml.VolumeArrays import maskImage, setVolume

pytestmark = pytest.mark.mrml


@pytest.fixture
def scan(scene, a_ctp_series):
    return seriesToSequence(scene, a_ctp_series, "scan")[0]


@pytest.fixture
def labels(a_ctp_series):
    i, j, _ = np.indices(a_ctp_series.shape)
    return np.where(np.hypot(i - 23.5, j - 27.5) < 15, 1 + (i > 23) + (j > 40), 0).astype(np.int16)


def segmentation_of(scene, masks, affine):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "tissue")
    for name, mask in masks.items():
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation("Binary labelmap", maskImage(mask, affine))
        node.GetSegmentation().AddSegment(segment)
    return node


@pytest.mark.parametrize("kind", ["vtkMRMLLabelMapVolumeNode", "vtkMRMLScalarVolumeNode"])
def test_a_label_volume_on_another_grid_comes_to_that_of_the_scan(scene, scan, labels, a_ctp_series, kind):
    node = scene.AddNewNodeByClass(kind, "labels")
    affine = a_ctp_series.affine.copy()
    affine[:3, 1] /= 3.0
    affine[:3, 3] -= affine[:3, 1]
    setVolume(node, np.repeat(labels, 3, axis=1), affine)
    assert np.array_equal(tissueLabels(node, scan), labels)


def test_labels_of_structures_keep_their_numbers(scene, scan, labels, a_ctp_series):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    setVolume(node, np.where(labels > 0, 5002, 0).astype(np.int32), a_ctp_series.affine)
    assert set(np.unique(tissueLabels(node, scan))) == {0, 5002}


def test_segments_are_understood_by_their_names_and_others_are_left_out(scene, scan, labels, a_ctp_series):
    masks = {"Left grey matter": labels == 1, "White-Matter": labels == 2, "Segment_4": labels == 0, "CSF": labels == 3}
    node = segmentation_of(scene, masks, a_ctp_series.affine)
    given = userInputs(tissue=node, scan=scan)
    assert np.array_equal(given["tissue_labels"], labels)


def test_what_cannot_be_understood_is_told(scene, scan, labels, a_ctp_series):
    unnamed = segmentation_of(scene, {"Segment_1": labels == 1}, a_ctp_series.affine)
    with pytest.raises(InvalidInputError, match=r"\(Segment_1\) is named after a tissue"):
        tissueLabels(unnamed, scan)
    elsewhere = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "far")
    affine = a_ctp_series.affine.copy()
    affine[:3, 3] += 5000.0
    setVolume(elsewhere, labels, affine)
    with pytest.raises(InvalidInputError, match="hold nothing where the scan lies"):
        tissueLabels(elsewhere, scan)
    fractions = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "fractions")
    setVolume(fractions, np.where(labels > 0, 0.4, 0.0).astype(np.float32), a_ctp_series.affine)
    with pytest.raises(InvalidInputError, match="holds fractions"):
        tissueLabels(fractions, scan)
