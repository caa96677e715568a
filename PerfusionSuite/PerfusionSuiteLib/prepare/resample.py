# SPDX-License-Identifier: Apache-2.0
"""Move the frames of a series back to one head position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback

STAGE = "Motion correction"
FRAMES_AT_ONCE = 6

MEASURED_BEYOND_MM = 1.5
"""What lies farther beyond the center of the last voxel was not measured: a thick slice reaches farther, but holds one mean."""

BONE_FROM_HU, BONE_SHARE, FRAMES_FOR_BONE = 150.0, 0.25, 8
"""Above this in all of some frames a voxel holds bone; voxels with so much of that, once moved, are cut off."""


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
    """Interpolate frames where the head was at the reference, so that what does not enhance looks the same in all of them.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T), HU
        The series.
    transforms : sequence of ndarray, shape (4, 4)
        Voxel of the reference to voxel of each frame.
    frames : sequence of int
        Frames to keep, increasing.
    still : sequence of bool
        Frames that need no interpolation.
    progress : callable
        Called after each frame.
    overwrite : bool
        Write the result into the memory of `data`, which is lost.

    Returns
    -------
    ndarray of float32, shape (I, J, K, len(frames))
        Moved frames; outside the measured volume the nearest measured value.

    Notes
    -----
    Trilinear interpolation alone makes false enhancement, as every frame is blurred by another amount. Two things prevent it:

    * Bone is cut off at `BONE_FROM_HU` before frames are interpolated and put back as one image for all: sloping skull between
      thick slices would leak hundreds of HU into the brain beside it.
    * Each frame gets back what interpolation takes from the mean image. Moving there and back multiplies a spatial frequency by
      ``G = |H|^2`` of one interpolation H, so that ``1 - |H|``, about ``(1 - G) / 2``, is what one interpolation took.
    """
    bone, whole, looked_at = _bone(data, transforms, frames, still)
    result = data if overwrite else np.empty((*data.shape[:3], len(frames)), np.float32)
    total, cut = np.zeros(data.shape[:3], np.float32), np.zeros(data.shape[:3], np.float32)
    for here, group, images in _groups(data, frames):
        for n, frame in enumerate(group):
            at = None if still[frame] else transforms[frame]
            images[n] = _moved(_cut_bone(images[n], bone, at), at)
            total += images[n]
            if frame in looked_at:
                cut += images[n]
            progress(0.6 * (here.start + n + 1) / len(frames), STAGE)
        result[..., here] = np.moveaxis(images, 0, -1)  # never ahead of the frames still to be read
    mean, excess = total / np.float32(len(frames)), whole - cut / np.float32(len(looked_at))
    for here, places, images in _groups(result, range(len(frames))):
        for n, place in enumerate(places):
            images[n] += excess
            if not still[frames[place]]:
                images[n] += np.float32(0.5) * lost_by_moving(mean, transforms[frames[place]])
            progress(0.6 + 0.4 * (place + 1) / len(frames), STAGE)
        result[..., here] = np.moveaxis(images, 0, -1)
    return _first_frames(data, len(frames)) if overwrite else result


def _groups(data: NDArray[np.float32], frames: Sequence[int]) -> Iterator[tuple[slice, Sequence[int], NDArray[np.float32]]]:
    """Copies of some frames at once, (n, I, J, K): time lies innermost in memory, so that single ones would be slow."""
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        group = frames[first : first + FRAMES_AT_ONCE]
        yield slice(first, first + len(group)), group, np.ascontiguousarray(np.moveaxis(data[..., list(group)], -1, 0))


def _bone(
    data: NDArray[np.float32], transforms: Sequence[FloatArray], frames: Sequence[int], still: Sequence[bool]
) -> tuple[NDArray[np.float32], NDArray[np.float32], Sequence[int]]:
    """Where bone is at the reference (1 or 0) and the mean image with it, from some frames over the whole scan."""
    chosen = [frames[n] for n in np.unique(np.linspace(0, len(frames) - 1, FRAMES_FOR_BONE).round().astype(int))]
    lowest, total = np.full(data.shape[:3], np.inf, np.float32), np.zeros(data.shape[:3], np.float32)
    for _, group, images in _groups(data, chosen):
        for image, frame in zip(images, group, strict=True):
            moved = _moved(image, None if still[frame] else transforms[frame])
            np.minimum(lowest, moved, out=lowest)  # contrast passes, bone stays
            total += moved
    return (lowest > BONE_FROM_HU).astype(np.float32), total / np.float32(len(chosen)), chosen


def _cut_bone(image: NDArray[np.float32], bone: NDArray[np.float32], transform: FloatArray | None) -> NDArray[np.float32]:
    """A frame whose bone has no more than the limit; arteries keep their values."""
    here = bone if transform is None else move_image(bone, np.linalg.inv(transform))
    return np.where(here > BONE_SHARE, np.minimum(image, np.float32(BONE_FROM_HU)), image)


def _moved(image: NDArray[np.float32], transform: FloatArray | None) -> NDArray[np.float32]:
    """The image at the reference; None means that it is there."""
    return image if transform is None else move_image(image, transform)


def lost_by_moving(image: NDArray[np.float32], transform: FloatArray) -> NDArray[np.float32]:
    """Return what an image loses when it is moved away and back.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        The image.
    transform : ndarray, shape (4, 4)
        Voxel here to voxel there.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        The image less its copy.
    """
    lost: NDArray[np.float32] = image - move_image(move_image(image, np.linalg.inv(transform)), transform)
    return np.nan_to_num(lost, copy=False)


def _first_frames(data: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Move the first frames together in the memory of the array."""
    if count == data.shape[3]:
        return data
    flat, row = data.reshape(-1), int(np.prod(data.shape[1:3])) * count
    for i in range(data.shape[0]):
        flat[i * row : (i + 1) * row] = data[i, ..., :count].ravel()
    flat[data.shape[0] * row :] = 0.0
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


def outside_share(
    shape: tuple[int, ...], transforms: Sequence[FloatArray], frames: Sequence[int], spacing_mm: FloatArray
) -> NDArray[np.float32]:
    """Share of frames in which a voxel was not measured because the head had moved.

    Parameters
    ----------
    shape : tuple of int
        Grid of the images.
    transforms : sequence of ndarray, shape (4, 4)
        Voxel of the reference to voxel of each frame.
    frames : sequence of int
        Frames that count.
    spacing_mm : ndarray, shape (3,), mm
        Voxel size. Half a voxel beyond the center of the last one counts as measured, but at most `MEASURED_BEYOND_MM`.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        0 where every frame holds a measured value.
    """
    beyond = np.minimum(0.5, MEASURED_BEYOND_MM / np.asarray(spacing_mm, float))
    share = np.zeros(shape, np.float32)
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    for frame in frames:
        m = transforms[frame].astype(np.float32)
        outside: BoolArray = np.zeros(shape, bool)
        for axis in range(3):
            moved = m[axis, 0] * i[:, None, None] + m[axis, 1] * j[None, :, None] + m[axis, 2] * k[None, None, :] + m[axis, 3]
            outside |= (moved < -beyond[axis]) | (moved > shape[axis] - 1 + beyond[axis])
        share += outside
    return share / np.float32(max(len(frames), 1))
