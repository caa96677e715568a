# SPDX-License-Identifier: Apache-2.0
"""Voxels that a moving skull passes, told from vessels by their time courses.

Bone that enters a thick slice while the head moves adds tens to hundreds of HU, and may do so just when contrast arrives.
Contrast never lowers a CT number for long, but bone that leaves a voxel does: the strongly negative voxels of a scan show
the time courses of its remaining motion. Voxels far from bone show those of contrast. A curve is split into these two parts
by least squares (as nuisance regression does in functional MRI: Behzadi et al., NeuroImage 37:90, 2007); where
the part of the motion is large the voxel is of no use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, voxel_sizes

BONE_NEAR_HU = 120.0
CALM_MM = 6.0
"""How far from bone in the plane; in the neighboring slices there must be none either, since motion mixes slices."""

DEEPEST_OVER_NOISE = 8.0
FEWEST_NEGATIVE, MOST_NEGATIVE = 10, 300
ONE_COURSE_ENERGY = 0.93
CONTRAST_COURSES, CONTRAST_SHARE, FEWEST_CALM = 4, 0.02, 50
ARRIVAL_GROUPS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Courses:
    """Time courses of contrast and of remaining motion.

    Parameters
    ----------
    contrast : ndarray, shape (T, p)
        Orthonormal.
    motion : ndarray, shape (T, q)
        Orthonormal.
    """

    contrast: FloatArray
    motion: FloatArray

    def motion_part(self, curves: NDArray[Any]) -> NDArray[np.float32]:
        """Return what motion adds to each curve.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.

        Returns
        -------
        ndarray, shape (n, T)
            The part of the motion in a least-squares split.
        """
        both = np.hstack([self.contrast, self.motion])
        weights = np.linalg.pinv(both)[self.contrast.shape[1] :]
        result: NDArray[np.float32] = (curves @ weights.T.astype(np.float32)) @ self.motion.T.astype(np.float32)
        return result


def calm_region(baseline: NDArray[Any], mask: BoolArray, affine: FloatArray) -> BoolArray:
    """Return where no bone can be moved in: far from it in the slice, none in the slices above and below, no end slice.

    Parameters
    ----------
    baseline : ndarray, shape (I, J, K), HU
        Unenhanced CT.
    mask : ndarray of bool, shape (I, J, K)
        Where curves exist.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The calm part of the mask.
    """
    sizes = voxel_sizes(affine)
    reach = [int(np.ceil(CALM_MM / size)) for size in sizes]
    bone = np.asarray(baseline) > BONE_NEAR_HU
    near = ndimage.maximum_filter(bone, size=tuple(2 * r + 1 for r in reach), mode="nearest")
    calm: BoolArray = mask & ~near
    if calm.shape[2] > 2:
        calm[:, :, [0, -1]] = False
    return calm


def find_courses(
    smooth: NDArray[np.float32], calm: BoolArray, noise_sd: float
) -> Courses | None:
    """Learn the time courses of contrast and of motion from a scan.

    Parameters
    ----------
    smooth : ndarray, shape (n, T)
        Curves smoothed in time: the deepest ones and the tallest calm ones suffice.
    calm : ndarray of bool, shape (n,)
        Which of them lie in the calm region.
    noise_sd : float
        Noise of a voxel and frame.

    Returns
    -------
    Courses or None
        None when no voxel is clearly negative (the head was still) or when too few are calm.
    """
    area = smooth.mean(axis=1)
    deep = np.flatnonzero((smooth.min(axis=1) < -DEEPEST_OVER_NOISE * noise_sd) & (area < 0))
    inner = np.flatnonzero(calm)
    if deep.size < FEWEST_NEGATIVE or inner.size < FEWEST_CALM:
        return None
    deep = deep[np.argsort(area[deep], kind="stable")[:MOST_NEGATIVE]]
    motion, energy = _leading(_gram(smooth[deep]))
    count = 1 if energy[0] > ONE_COURSE_ENERGY else 2
    peak = smooth[inner].argmax(axis=1)
    group = np.digitize(peak, np.quantile(peak, ARRIVAL_GROUPS))
    gram = sum(_gram(smooth[inner[group == number]]) for number in np.unique(group))
    contrast, _ = _leading(np.asarray(gram))
    return Courses(contrast[:, :CONTRAST_COURSES], motion[:, :count])


def _gram(curves: NDArray[np.float32]) -> FloatArray:
    unit = curves.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    result: FloatArray = unit.T @ unit / unit.shape[0]
    return result


def _leading(gram: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, vectors = np.linalg.eigh(gram)
    return vectors[:, ::-1], values[::-1] / values.sum()
