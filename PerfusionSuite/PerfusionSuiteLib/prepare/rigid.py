# SPDX-License-Identifier: Apache-2.0
"""Rigid registration of one frame to a target by Gauss-Newton on points with strong edges.

Written for the skull on CT: the points are few (some ten thousand), the image is nearly free of noise and of contrast there, and
the normal equations are prepared once for all frames, so that a frame takes hundredths of a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..core.geometry import BoolArray, FloatArray

FEW_SLICES = 4
"""So many cannot tell how the head moved across them, nor hold what came in: only motion within their plane is corrected."""

MAX_POINTS = 24_000
MAX_STEPS = 30
CONVERGED_MM = 0.004


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head is relative to the reference: ``x -> R (x - center) + center + shift``.

    Parameters
    ----------
    rotation : ndarray, shape (3, 3)
        Rotation matrix in RAS.
    shift : ndarray, shape (3,), mm
        Shift of the head's center in RAS.
    """

    rotation: FloatArray
    shift: FloatArray

    @property
    def rotation_deg(self) -> FloatArray:
        """Rotation vector: degrees about the R, A and S axes."""
        vector: FloatArray = np.degrees(Rotation.from_matrix(self.rotation).as_rotvec())
        return vector

    def relative_to(self, other: Pose) -> Pose:
        """Return the pose that follows `other` to give this one.

        Parameters
        ----------
        other : Pose
            The new reference position.

        Returns
        -------
        Pose
            ``self`` after the inverse of ``other``.
        """
        rotation = self.rotation @ other.rotation.T
        return Pose(rotation, self.shift - rotation @ other.shift)

    def matrix(self, center: FloatArray) -> FloatArray:
        """Return the 4x4 matrix in RAS mm.

        Parameters
        ----------
        center : ndarray, shape (3,), mm
            Center of rotation.

        Returns
        -------
        ndarray, shape (4, 4)
            Homogeneous matrix.
        """
        result = np.eye(4)
        result[:3, :3] = self.rotation
        result[:3, 3] = center + self.shift - self.rotation @ center
        return result


STILL = Pose(np.eye(3), np.zeros(3))


@dataclass(frozen=True, slots=True)
class Target:
    """Points of the target image with everything that does not depend on the frame.

    Parameters
    ----------
    points : ndarray, shape (N, 3), mm
        Positions relative to the center.
    values : ndarray, shape (N,)
        Target intensities.
    jacobian : ndarray, shape (N, P)
        Change of the target with each free parameter.
    free : ndarray, shape (6, P)
        Free parameters as (rotation vector in rad, shift in mm).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS of the images.
    center : ndarray, shape (3,), mm
        Center of rotation.
    """

    points: FloatArray
    values: FloatArray
    jacobian: FloatArray
    free: FloatArray
    affine: FloatArray
    center: FloatArray


def prepare_target(image: NDArray[np.float32], affine: FloatArray, center: FloatArray, *, in_plane: bool) -> Target | None:
    """Choose the points of a target that tell its position.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Smoothed target.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    center : ndarray, shape (3,), mm
        Center of rotation.
    in_plane : bool
        Allow only shifts within the slice plane and the rotation about its normal.

    Returns
    -------
    Target or None
        None when the image has too few edges.
    """
    slopes = np.stack(
        [np.gradient(image, axis=axis) if image.shape[axis] > 1 else np.zeros_like(image) for axis in range(3)], axis=-1
    )
    slopes = slopes @ np.linalg.inv(affine[:3, :3]).astype(np.float32)  # per voxel to per mm in RAS
    strength = np.linalg.norm(slopes, axis=-1)
    strong = np.flatnonzero(strength > 0.1 * max(float(strength.max()), 1e-6))
    if strong.size < 200:
        return None
    chosen = strong[:: max(1, int(np.ceil(strong.size / MAX_POINTS)))]
    voxels = np.stack(np.unravel_index(chosen, image.shape), axis=1).astype(np.float64)
    points = voxels @ affine[:3, :3].T + affine[:3, 3] - center
    slope = slopes.reshape(-1, 3)[chosen].astype(np.float64)
    full = np.concatenate([np.cross(points, slope), slope], axis=1)
    free = _in_plane_parameters(affine) if in_plane else np.eye(6)
    return Target(points, image.ravel()[chosen].astype(np.float64), full @ free, free, affine, center)


def _in_plane_parameters(affine: FloatArray) -> FloatArray:
    """Rotation about the slice normal and two shifts in the slice plane."""
    first = affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    normal = np.cross(first, affine[:3, 1])
    normal /= np.linalg.norm(normal)
    free = np.zeros((6, 3))
    free[:3, 0], free[3:, 1], free[3:, 2] = normal, first, np.cross(normal, first)
    return free


def register(target: Target, image: NDArray[np.float32], start: Pose, *, cubic: bool = False) -> tuple[Pose, float]:
    """Find where the head of a frame lies.

    Parameters
    ----------
    target : Target
        From `prepare_target`.
    image : ndarray, shape (I, J, K)
        The frame, smoothed like the target.
    start : Pose
        First guess.
    cubic : bool
        Interpolate by cubic splines instead of linearly: slower, but half the error between thick slices.

    Returns
    -------
    pose : Pose
        The head's pose in the frame.
    likeness : float
        Correlation of target and frame on the points, 1 for the same image.

    Notes
    -----
    Inverse-compositional Gauss-Newton with Huber weights: gradients are those of the target, so only the frame is interpolated.
    """
    order = 3 if cubic else 1
    if cubic:
        image = ndimage.spline_filter(image, order, output=np.float32, mode="nearest")
    to_voxel = np.linalg.inv(target.affine)
    pose, previous = start, np.inf
    for _ in range(MAX_STEPS):
        sampled, inside = _sample(target, image, pose, to_voxel, order)
        residual = np.where(inside, sampled - target.values, 0.0)
        spread = 1.4826 * float(np.median(np.abs(residual[inside]))) if inside.any() else 0.0
        limit = max(2.0 * spread, 1e-3)
        weight = np.where(inside, np.minimum(1.0, limit / np.maximum(np.abs(residual), 1e-12)), 0.0)
        weighted = target.jacobian * weight[:, None]
        normal = weighted.T @ target.jacobian
        normal[np.diag_indices_from(normal)] *= 1.0 + 1e-6
        step = target.free @ np.linalg.lstsq(normal, weighted.T @ residual, rcond=None)[0]
        size = float(np.linalg.norm(step[3:]) + 80.0 * np.linalg.norm(step[:3]))
        step *= min(1.0, 6.0 / max(size, 1e-9))
        if size > 2.0 * previous and size > 6.0:
            break
        previous = size
        inverse = Rotation.from_rotvec(-step[:3]).as_matrix()
        pose = Pose(pose.rotation @ inverse, pose.shift - pose.rotation @ inverse @ step[3:])
        if size < CONVERGED_MM:
            break
    sampled, inside = _sample(target, image, pose, to_voxel, order)
    return pose, _correlation(sampled[inside], target.values[inside])


def _sample(
    target: Target, image: NDArray[np.float32], pose: Pose, to_voxel: FloatArray, order: int
) -> tuple[FloatArray, BoolArray]:
    """Values of the frame at the moved points, and which of them lie inside its grid."""
    world = target.points @ pose.rotation.T + (target.center + pose.shift)
    voxels = (world @ to_voxel[:3, :3].T + to_voxel[:3, 3]).T
    last = np.array(image.shape, float)[:, None] - 1.0
    inside: BoolArray = np.asarray(((voxels >= -0.25) & (voxels <= last + 0.25)).all(axis=0))
    sampled = ndimage.map_coordinates(image, voxels, order=order, mode="nearest", prefilter=False, output=np.float64)
    return sampled, inside


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson correlation; 0 when there is nothing to compare."""
    if a.size < 10:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))  # sums, since threads of a BLAS would fight with ours
    return float((a * b).sum()) / norm if norm > 0 else 0.0
