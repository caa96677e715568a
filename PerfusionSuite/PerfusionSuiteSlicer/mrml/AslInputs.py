# SPDX-License-Identifier: Apache-2.0
"""What a user gives for an ASL scan: fractions of tissue and regions of the scene, settings by their own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError

from .AslSequences import sequenceToAsl
from .LesionNodes import segmentArray
from .MapUnits import gridOf, gridOfScan
from .VolumeArrays import transformProblem, volumeArray


def aslInputs(scan: Any, *, gray: Any = None, white: Any = None, m0Region: Any = None, later: Any = None) -> dict[str, Any]:
    """Return fractions of tissue, the region that M0 is taken from and a later scan, as inputs of a job.

    Parameters
    ----------
    scan : vtkMRMLSequenceNode
        The ASL scan on whose grid they lie.
    gray, white : vtkMRMLScalarVolumeNode, optional
        Fractions, 0 to 1.
    m0Region : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode, optional
        Region of pure fluid or of white matter; of a segmentation all segments together, on any grid.
    later : vtkMRMLSequenceNode, optional
        A later ASL scan of the same head, on any grid.

    Raises
    ------
    GridMismatchError
        If a volume lies on another grid than the scan.
    InvalidInputError
        If a scan that is read from files shall take volumes of the scene, a transform moves one, or the later scan is no ASL.
    """
    followUp = {} if later is None else {"follow_up": sequenceToAsl(later)}
    nodes = {"gm": gray, "wm": white, "m0_reference": m0Region}
    nodes = {key: node for key, node in nodes.items() if node is not None}
    if not nodes:
        return followUp
    shape, affine = gridOfScan(scan)
    return followUp | {key: _arrayOf(node, key, shape, affine) for key, node in nodes.items()}


def _arrayOf(node: Any, key: str, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    if moved := transformProblem(node):
        raise InvalidInputError(moved)
    if node.IsA("vtkMRMLSegmentationNode"):
        masks = [segmentArray(node, segmentID, shape, affine) for segmentID in node.GetSegmentation().GetSegmentIDs()]
        return np.any([np.zeros(shape, bool), *masks], axis=0)
    ownShape, ownAffine = gridOf(node)
    if tuple(ownShape) != tuple(shape) or not np.allclose(ownAffine, affine, atol=1e-2):
        msg = f"'{node.GetName()}' lies on another grid than the scan. Resample it to the scan (module Resample Scalar Volume)."
        raise GridMismatchError(msg)
    values = volumeArray(node)
    return values != 0 if key == "m0_reference" else values.astype(np.float32)


def aslSettings(
    labelingEfficiency: float | None = None,
    bloodT1: float | None = None,
    m0Options: Mapping[str, Any] | None = None,
    partialVolume: bool = False,
    lowFlowPercent: float | None = None,
    further: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return settings of an ASL run that differ from the defaults.

    Parameters
    ----------
    labelingEfficiency : float, optional
        Share that labeling inverts, without the loss by background suppression.
    bloodT1 : float, s, optional
        T1 of arterial blood.
    m0Options : mapping, optional
        How M0 is made, by the names of ``asl_choices.M0_SETTINGS``.
    partialVolume : bool
        Also map the flow of pure gray and of pure white matter.
    lowFlowPercent : float, %, optional
        Flow below this part of the other side is low.
    further : mapping, optional
        Further settings by the names of ``asl_choices.SETTINGS``.
    """
    given = {
        **(further or {}),
        "labeling_efficiency": labelingEfficiency,
        "t1_blood": bloodT1,
        "m0_options": dict(m0Options or {}) or None,
        "partial_volume": partialVolume or None,
        "low_flow_percent": lowFlowPercent,
    }
    return {key: value for key, value in given.items() if value is not None}
