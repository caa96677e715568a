# SPDX-License-Identifier: Apache-2.0
"""Move the frames of a series back to one head position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback


def voxel_transforms(matrices: Sequence[FloatArray], affine: FloatArray) -> list[FloatArray]:
    """Turn RAS transforms into voxel transforms.

    Parameters
    ----------
    matrices : sequence of ndarray, shape (4, 4), mm
        Reference position to position in the frame.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    list of ndarray, shape (4, 4)
        The same in voxels.
    """
    inverse = np.linalg.inv(affine)
    return [inverse @ matrix @ affine for matrix in matrices]


def move_frames(
    data: NDArray[np.float32],
    transforms: Sequence[FloatArray],
    frames: Sequence[int],
    still: Sequence[bool],
    progress: ProgressCallback,
) -> NDArray[np.float32]:
    """Interpolate frames (trilinear) where the head was at the reference.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        The series.
    transforms : sequence of ndarray, shape (4, 4)
        Voxel of the reference to voxel of each frame.
    frames : sequence of int
        Frames to keep.
    still : sequence of bool
        Frames that are copied as they are.
    progress : callable
        Called after each frame.

    Returns
    -------
    ndarray of float32, shape (I, J, K, len(frames))
        Moved frames; outside the measured volume the nearest measured value.
    """
    result = np.empty((*data.shape[:3], len(frames)), np.float32)
    for n, frame in enumerate(frames):
        image = np.ascontiguousarray(data[..., frame])
        result[..., n] = image if still[frame] else move_image(image, transforms[frame])
        progress((n + 1) / len(frames), "Motion correction")
    return result


def move_image(image: NDArray[np.float32], transform: FloatArray) -> NDArray[np.float32]:
    """Interpolate one image trilinearly.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        The image.
    transform : ndarray, shape (4, 4)
        Output voxel to input voxel.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        The moved image; beyond the border the nearest value.
    """
    # SimpleITK counts the fastest axis first, which is the last one of our arrays.
    mapping = sitk.AffineTransform(3)
    mapping.SetMatrix(transform[:3, :3][::-1, ::-1].ravel().tolist())
    mapping.SetTranslation(transform[:3, 3][::-1].tolist())
    moving = sitk.GetImageFromArray(image)
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(moving)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetTransform(mapping)
    resampler.SetUseNearestNeighborExtrapolator(True)
    moved: NDArray[np.float32] = sitk.GetArrayFromImage(resampler.Execute(moving))
    return moved


def outside_share(shape: tuple[int, ...], transforms: Sequence[FloatArray], frames: Sequence[int]) -> NDArray[np.float32]:
    """Share of frames in which a voxel was not measured because the head had moved.

    Parameters
    ----------
    shape : tuple of int
        Grid of the images.
    transforms : sequence of ndarray, shape (4, 4)
        Voxel of the reference to voxel of each frame.
    frames : sequence of int
        Frames that count.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        0 where every frame holds a measured value.
    """
    share = np.zeros(shape, np.float32)
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    for frame in frames:
        m = transforms[frame].astype(np.float32)
        outside: BoolArray = np.zeros(shape, bool)
        for axis in range(3):
            moved = m[axis, 0] * i[:, None, None] + m[axis, 1] * j[None, :, None] + m[axis, 2] * k[None, None, :] + m[axis, 3]
            outside |= (moved < -0.5) | (moved > shape[axis] - 0.5)
        share += outside
    return share / np.float32(max(len(frames), 1))
