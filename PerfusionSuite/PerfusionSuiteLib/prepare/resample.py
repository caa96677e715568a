# SPDX-License-Identifier: Apache-2.0
"""Move the frames of a series back to one head position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback

FRAMES_AT_ONCE = 6


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
    *,
    overwrite: bool = False,
) -> NDArray[np.float32]:
    """Interpolate frames (trilinear) where the head was at the reference.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        The series.
    transforms : sequence of ndarray, shape (4, 4)
        Voxel of the reference to voxel of each frame.
    frames : sequence of int
        Frames to keep, increasing.
    still : sequence of bool
        Frames that are copied as they are.
    progress : callable
        Called after each frame.
    overwrite : bool
        Write the result into the memory of `data`, which is lost.

    Returns
    -------
    ndarray of float32, shape (I, J, K, len(frames))
        Moved frames; outside the measured volume the nearest measured value.
    """
    result = data if overwrite else np.empty((*data.shape[:3], len(frames)), np.float32)
    for first in range(0, len(frames), FRAMES_AT_ONCE):  # time lies innermost in memory, so some frames at once are faster
        group = frames[first : first + FRAMES_AT_ONCE]
        images = np.ascontiguousarray(np.moveaxis(data[..., list(group)], -1, 0))
        for n, frame in enumerate(group):
            if not still[frame]:
                images[n] = move_image(images[n], transforms[frame])
            progress((first + n + 1) / len(frames), "Motion correction")
        result[..., first : first + len(group)] = np.moveaxis(images, 0, -1)  # never ahead of the frames still to be read
    return _first_frames(data, len(frames)) if overwrite else result


def _first_frames(data: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Move the first frames together in the memory of the array."""
    if count == data.shape[3]:
        return data
    flat, row = data.reshape(-1), int(np.prod(data.shape[1:3])) * count
    for i in range(data.shape[0]):
        flat[i * row : (i + 1) * row] = data[i, ..., :count].ravel()
    return flat[: data.shape[0] * row].reshape(*data.shape[:3], count)


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
