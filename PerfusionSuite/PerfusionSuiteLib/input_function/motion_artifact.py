# SPDX-License-Identifier: Apache-2.0
"""Voxels that a moving skull passes, told from vessels by their time courses.

Bone that enters a thick slice while the head moves adds tens to hundreds of HU, and may do so just when contrast arrives.
Contrast never lowers a CT number for long, but bone that leaves a voxel does: the strongly negative voxels of a scan show
the time courses of its remaining motion, as nuisance regressors do in functional MRI (Behzadi et al., NeuroImage 37:90, 2007).
Voxels far from bone show those of contrast. A curve is split into these two parts by a
Wiener filter, which knows how likely each course is; where the part of the motion is large the voxel is of no use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray

DEEPEST_OVER_NOISE = 8.0
FEWEST_NEGATIVE, MOST_NEGATIVE = 10, 300
CONTRAST_SHARE, FEWEST_CALM = 0.02, 50
MOTION_WEIGHT, MISFIT = 0.4, 3e-4
"""How likely a curve is motion compared with contrast, and what variance of a sample neither explains (of curves of norm 1)."""

ARRIVAL_GROUPS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class MotionFilter:
    """Takes the part of remaining motion out of a curve.

    Parameters
    ----------
    matrix : ndarray, shape (T, T)
        Applied to a curve it gives the part of the motion.
    """

    matrix: NDArray[np.float32]

    def motion_part(self, curves: NDArray[Any]) -> NDArray[np.float32]:
        """Return what motion adds to each curve.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.

        Returns
        -------
        ndarray, shape (n, T)
            In the unit of the curves.
        """
        result: NDArray[np.float32] = curves.astype(np.float32) @ self.matrix.T
        return result

    def motion_share(self, curves: NDArray[Any]) -> FloatArray:
        """Return how large the part of the motion is in each curve.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves smoothed in time.

        Returns
        -------
        ndarray, shape (n,)
            Ratio of norms, 0 to about 1.
        """
        part = np.linalg.norm(self.motion_part(curves), axis=1)
        result: FloatArray = part / np.maximum(np.linalg.norm(curves, axis=1), 1e-9)
        return result


def find_motion(
    smooth: NDArray[np.float32], calm: BoolArray, noise_sd: float, known: NDArray[Any] | None = None
) -> MotionFilter | None:
    """Learn from a scan what contrast and what motion looks like.

    Parameters
    ----------
    smooth : ndarray, shape (n, T)
        Curves smoothed in time: the deepest ones and the tallest calm ones suffice.
    calm : ndarray of bool, shape (n,)
        Which of them lie in the calm region.
    noise_sd : float
        Noise of a voxel and frame.
    known : ndarray, shape (m, T), optional
        Courses that contrast can have although no calm voxel shows them, as those of the sinuses, which lie beside bone.

    Returns
    -------
    MotionFilter or None
        None when no voxel is clearly negative (the head was still) or when too few are calm.
    """
    area = smooth.mean(axis=1)
    deep = np.flatnonzero((smooth.min(axis=1) < -DEEPEST_OVER_NOISE * noise_sd) & (area < 0))
    inner = np.flatnonzero(calm)
    if deep.size < FEWEST_NEGATIVE or inner.size < FEWEST_CALM:
        return None
    deep = deep[np.argsort(area[deep], kind="stable")[:MOST_NEGATIVE]]
    motion = MOTION_WEIGHT * _second_moment(smooth[deep])
    peak = smooth[inner].argmax(axis=1)
    group = np.digitize(peak, np.quantile(peak, ARRIVAL_GROUPS))  # early and late curves count alike: arteries are few
    courses = [_second_moment(smooth[inner[group == number]]) for number in np.unique(group)]
    if known is not None:
        courses.append(_second_moment(known))
    contrast = np.mean(courses, axis=0)
    total = contrast + motion + MISFIT * np.eye(motion.shape[0])
    return MotionFilter(np.linalg.solve(total, motion).T.astype(np.float32))


def _second_moment(curves: NDArray[np.float32]) -> FloatArray:
    unit = curves.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    result: FloatArray = unit.T @ unit / unit.shape[0]
    return result
