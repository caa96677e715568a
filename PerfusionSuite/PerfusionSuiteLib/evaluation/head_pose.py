# SPDX-License-Identifier: Apache-2.0
"""The truth where a study sees it: motion correction brings all frames to one of them, in which the head may lie elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray

LEAST_MM = 0.05
"""A smaller displacement is not worth resampling the truth."""

_HEAD_MM = 70.0
_KEPT = (
    "affine", "times_s", "aif", "vof", "fine_times_s", "fine_aif", "fine_vof", "frame_transforms", "side", "midplane",
    "volumes_ml", "parameters",
)  # fmt: skip


def reference_pose(motion: Any, transforms: FloatArray) -> FloatArray:
    """Return where the head lies in the frame that motion correction brought the others to.

    Parameters
    ----------
    motion : MotionReport or None
        What was estimated.
    transforms : ndarray, shape (T, 4, 4), mm
        The true motion: takes a point of the still head to where it is in a frame.

    Returns
    -------
    ndarray, shape (4, 4), mm
        The true transform of the frame with the smallest estimated motion; the identity when nothing was corrected.
    """
    if motion is None or not motion.applied or len(transforms) != len(motion.translation_mm):
        return np.eye(4)
    sizes = np.linalg.norm(motion.translation_mm, axis=1) + np.linalg.norm(motion.rotation_deg, axis=1)
    sizes[list(motion.dropped)] = np.inf
    pose: FloatArray = np.asarray(transforms, float)[int(sizes.argmin())]
    return pose


def seen_truth(study: Any, truth: Any) -> Any:
    """Return the truth of a digital patient at the place where the study sees the head.

    Parameters
    ----------
    study : Study or object
        Its ``motion`` is used when there is one.
    truth : object
        With ``maps``, ``masks``, ``fractions`` and ``affine``; ``frame_transforms`` when the head may have moved.

    Returns
    -------
    object
        The same truth when the head lies where it was in the first frame (within `LEAST_MM`), else one with resampled
        maps (linear, weighted by where there are values), fractions (linear) and masks (of unchanged volume).
    """
    transforms = getattr(truth, "frame_transforms", None)
    if transforms is None:
        return truth
    pose = reference_pose(getattr(study, "motion", None), np.asarray(transforms, float))
    corners = np.array([[s * _HEAD_MM * (axis == at) for axis in range(3)] for at in range(3) for s in (-1, 1)])
    if np.linalg.norm(corners @ pose[:3, :3].T + pose[:3, 3] - corners, axis=1).max() < LEAST_MM:
        return truth
    index = np.linalg.inv(truth.affine) @ np.linalg.inv(pose) @ truth.affine  # voxel of the moved head to voxel of the still one
    kept = {name: getattr(truth, name) for name in _KEPT if hasattr(truth, name)}
    if "midplane" in kept:
        kept["midplane"] = _moved_plane(np.asarray(kept["midplane"], float), pose)
    return SimpleNamespace(
        maps={key: _moved_map(np.asarray(values), index) for key, values in truth.maps.items()},
        masks=_moved_masks(truth.masks, index),
        fractions={name: _moved(np.asarray(values, np.float32), index) for name, values in truth.fractions.items()},
        **kept,
    )


def _moved(values: NDArray[np.float32], index: FloatArray) -> NDArray[np.float32]:
    moved: NDArray[np.float32] = ndimage.affine_transform(values, index[:3, :3], index[:3, 3], order=1, mode="nearest")
    return moved


def _moved_masks(masks: Mapping[str, Any], index: FloatArray) -> dict[str, BoolArray]:
    moved = {name: _moved_mask(np.asarray(mask, bool), index) for name, mask in masks.items()}
    if {"hypoperfusion", "core", "penumbra"} <= set(moved):  # they stay parts of each other
        moved["core"] &= moved["hypoperfusion"]
        moved["penumbra"] = moved["hypoperfusion"] & ~moved["core"]
    return moved


def _moved_mask(mask: BoolArray, index: FloatArray) -> BoolArray:
    """Keep as many voxels as the moved mask fills: half of a voxel as the limit would eat thin parts and fill holes."""
    share = _moved(mask.astype(np.float32), index)
    count = round(float(share.sum()))
    if not 0 < count < share.size:
        return share > 0.5
    limit = float(np.partition(share.ravel(), share.size - count)[share.size - count])
    kept: BoolArray = share >= max(limit, 1e-3)
    return kept


def _moved_map(values: NDArray[Any], index: FloatArray) -> NDArray[np.float32]:
    """Resample a map that has no value outside of tissue without letting the outside in."""
    known = np.isfinite(values)
    weight = _moved(known.astype(np.float32), index)
    total = _moved(np.where(known, values, 0.0).astype(np.float32), index)
    result: NDArray[np.float32] = np.where(weight > 0.5, total / np.maximum(weight, 0.5), np.nan).astype(np.float32)
    return result


def _moved_plane(plane: FloatArray, pose: FloatArray) -> FloatArray:
    """Move the plane ``n . x = d`` with the head."""
    normal = pose[:3, :3] @ plane[:3]
    return np.append(normal, plane[3] + normal @ pose[:3, 3])
