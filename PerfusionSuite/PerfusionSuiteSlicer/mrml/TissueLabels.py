# SPDX-License-Identifier: Apache-2.0
"""Tissue labels of the scene, a label volume or a segmentation on any grid, as whole numbers on the grid of a scan."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import InvalidInputError

from .LesionNodes import segmentArray
from .MapUnits import gridOfScan
from .VolumeArrays import affineOf, transformProblem, volumeArray

_NAMES = {
    1: ("gray", "grey", "gm", "cortex"),
    2: ("white", "wm"),
    3: ("csf", "fluid", "ventricle", "ventricles"),
    4: ("stem", "brainstem"),
}
"""Tissue class, and words of which the name of its segment has one."""


def tissueLabels(node: Any, scan: Any) -> np.ndarray:
    """Return the labels of a node on the grid of a scan; each voxel takes the label that lies nearest to its center.

    Parameters
    ----------
    node : vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode or vtkMRMLSegmentationNode
        A volume of whole numbers: 0 background, 1 gray matter, 2 white matter, 3 CSF, 4 brain stem, or the labels of
        FreeSurfer and SynthSeg. Of a segmentation, the names of the segments say which tissue they are.
    scan : vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode
        The scan.

    Raises
    ------
    InvalidInputError
        If the node is empty, its values are no labels, a transform moves it, or it lies elsewhere than the scan.
    """
    if moved := transformProblem(node):
        raise InvalidInputError(moved)
    shape, affine = gridOfScan(scan)
    labels = _fromSegments(node, shape, affine) if node.IsA("vtkMRMLSegmentationNode") else _fromVolume(node, shape, affine)
    if not labels.any():
        msg = f"The tissue labels '{node.GetName()}' hold nothing where the scan lies. Choose labels of this patient."
        raise InvalidInputError(msg)
    return labels


def _fromVolume(node: Any, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    from PerfusionSuiteLib.hemopic.tissue_labels import resample_nearest, whole_numbers

    return np.asarray(resample_nearest(whole_numbers(volumeArray(node)), affineOf(node), tuple(shape), affine), np.int32)


def _fromSegments(node: Any, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    segmentation = node.GetSegmentation()
    labels = np.zeros(shape, np.int32)
    for segmentID in segmentation.GetSegmentIDs():
        said = re.findall("[a-z]+", segmentation.GetSegment(segmentID).GetName().lower())
        tissue = next((number for number, words in _NAMES.items() if any(word in said for word in words)), 0)
        if tissue:
            labels[segmentArray(node, segmentID, shape, affine)] = tissue
    if not labels.any():
        names = ", ".join(segmentation.GetSegment(each).GetName() for each in segmentation.GetSegmentIDs()) or "none"
        msg = (
            f"No segment of '{node.GetName()}' ({names}) is named after a tissue. "
            "Name them gray matter, white matter, CSF and brain stem."
        )
        raise InvalidInputError(msg)
    return labels
