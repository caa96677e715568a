# SPDX-License-Identifier: Apache-2.0
"""Head motion on DSC-MRI, estimated on the outline of the head, which the bolus leaves alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress, part_of
from ..core.series import MIN_FRAMES, PerfusionSeries
from ..core.values import MotionReport
from .arrival import arrival_time
from .dsc_frames import bright_head, quick_change
from .dsc_signal import echo_time
from .resample import outside_share, voxel_transforms
from .rigid import FEW_SLICES, STILL, Pose, prepare_target, register

OUTLINE_SHARE = 0.2
"""Signal is cut off at this share of that of the brain: below what the bolus leaves of it."""

SIGMA_MM = 2.0
STILL_MM, STILL_DEG = 0.3, 0.3
NOTED_MM, NOTED_DEG = 2.0, 2.0
SEVERE_MM, SEVERE_DEG = 5.0, 5.0
MAX_DROPPED_SHARE, MAX_DROPPED_UPSLOPE = 0.15, 2
POOR_LIKENESS_DROP = 0.05
MIN_OUTLINE_VOXELS = 500


def correct_dsc_motion(
    series: PerfusionSeries,
    *,
    second_echo: PerfusionSeries | None = None,
    progress: ProgressCallback | None = None,
    skip_if_still: bool = True,
    drop_frames: bool = True,
) -> tuple[PerfusionSeries, PerfusionSeries | None, MotionReport]:
    """Estimate head motion and move all frames to one position.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.
    second_echo : PerfusionSeries, optional
        Moved in the same way: both echoes are recorded at once.
    progress : callable, optional
        Called after each frame; may raise `CancelledError`.
    skip_if_still : bool
        Return the given series untouched when every frame lies within 0.3 mm and 0.3 degrees of the reference.
    drop_frames : bool
        Leave out frames that moved by more than 5 mm or 5 degrees or that do not fit after correction.

    Returns
    -------
    series, second_echo : PerfusionSeries
        The same objects when the head was still. Otherwise frames interpolated by cubic splines, never below zero; beyond the
        measured volume the nearest measured value is kept.
    report : MotionReport
        Pose of the head in each frame of the input, relative to the frame nearest to the median position.

    Raises
    ------
    InvalidInputError
        If the series is not DSC.

    Notes
    -----
    Rigid, with only in-plane motion for four slices or fewer or slices of 8 mm or more. Two passes: the target of the second is
    the mean of the frames corrected in the first.
    """
    echo_time(series)
    report = progress or no_progress
    head = bright_head(series)
    if int(head.sum()) < MIN_OUTLINE_VOXELS:
        return series, second_echo, _not_estimated(series)
    frames, center = _outlines(series, head), _center(series, head)
    in_plane = series.shape[2] <= FEW_SLICES or voxel_sizes(series.affine)[2] >= 8.0
    found = estimate_poses(frames, series.affine, center, in_plane, part_of(report, 0.05, 0.7))
    if found is None:
        return series, second_echo, _not_estimated(series)
    poses, likeness = found
    shifts, angles = np.array([p.shift for p in poses]), np.array([p.rotation_deg for p in poses])
    if skip_if_still and (np.linalg.norm(shifts, axis=1) < STILL_MM).all() and (np.linalg.norm(angles, axis=1) < STILL_DEG).all():
        report(1.0, "Motion correction")
        return series, second_echo, MotionReport(shifts, angles, applied=False, center_mm=center)
    dropped, severe = _frames_to_drop(series, shifts, angles, likeness, head) if drop_frames else ((), ())
    kept = [t for t in range(len(poses)) if t not in dropped]
    transforms = voxel_transforms([p.matrix(center) for p in poses], series.affine)
    moved = _moved_series(series, transforms, kept, part_of(report, 0.7, 0.85))
    second = None if second_echo is None else _moved_series(second_echo, transforms, kept, part_of(report, 0.85, 1.0))
    findings = (
        *_motion_finding(shifts, angles, dropped),
        *severe,
        *_edge_finding(head, transforms, kept, voxel_sizes(series.affine)),
    )
    report(1.0, "Motion correction")
    return moved, second, MotionReport(shifts, angles, applied=True, dropped=dropped, findings=findings, center_mm=center)


def _outlines(series: PerfusionSeries, head: BoolArray) -> list[NDArray[np.float32]]:
    """Smoothed frames without what is brighter than a part of the brain, relative to each frame's own level."""
    level = float(np.median(series.data[..., :5].mean(axis=-1)[head]))
    top = np.float32(OUTLINE_SHARE * level)
    spacing = voxel_sizes(series.affine)
    sigma = np.where(spacing <= 3.0, SIGMA_MM / spacing, (0.6, 0.6, 0.0))
    data = np.nan_to_num(series.data)
    return [
        ndimage.gaussian_filter(np.minimum(data[..., t], top) / top, sigma, mode="nearest", truncate=3.0)
        for t in range(series.times_s.size)
    ]


def _center(series: PerfusionSeries, head: BoolArray) -> FloatArray:
    """Centroid of the head in RAS mm."""
    middle = np.argwhere(head).mean(axis=0)
    center: FloatArray = series.affine[:3, :3] @ middle + series.affine[:3, 3]
    return center


def estimate_poses(
    frames: list[NDArray[np.float32]], affine: FloatArray, center: FloatArray, in_plane: bool, progress: ProgressCallback
) -> tuple[list[Pose], FloatArray] | None:
    """Register all frames to the first, refer them to the median position, and once more to their mean.

    Parameters
    ----------
    frames : list of ndarray, shape (I, J, K)
        Smoothed images of one head.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    center : ndarray, shape (3,), mm
        Center of the rotations.
    in_plane : bool
        Allow only shifts within the slice plane and the rotation about its normal.
    progress : callable
        Called after each frame.

    Returns
    -------
    poses : list of Pose
        Of the head in each frame, relative to the frame nearest to the median position.
    likeness : ndarray, shape (T,)
        Correlation of each frame with the mean of all; the whole result is None when the images show no edges.
    """
    target = prepare_target(frames[0], affine, center, in_plane=in_plane)
    if target is None:
        return None
    poses = [STILL]
    for t in range(1, len(frames)):
        found = [register(target, frames[t], start) for start in ({id(p): p for p in (poses[-1], STILL)}).values()]
        poses.append(max(found, key=lambda f: f[1])[0])
        progress(0.5 * t / len(frames), "Motion estimation")
    poses = [pose.relative_to(poses[_median(poses)]) for pose in poses]
    transforms = voxel_transforms([p.matrix(center) for p in poses], affine)
    mean = np.zeros_like(frames[0])
    for frame, transform in zip(frames, transforms, strict=True):
        mean += move_cubic(frame, transform) / np.float32(len(frames))
    target = prepare_target(mean, affine, center, in_plane=in_plane)
    if target is None:
        return poses, np.ones(len(poses))
    refined = []
    for t, frame in enumerate(frames):
        refined.append(register(target, frame, poses[t], cubic=True))
        progress(0.5 + 0.5 * (t + 1) / len(frames), "Motion estimation")
    origin = refined[_median([pose for pose, _ in refined])][0]
    return [pose.relative_to(origin) for pose, _ in refined], np.array([value for _, value in refined])


def _median(poses: Sequence[Pose]) -> int:
    """Number of the frame nearest to the median position."""
    shifts, angles = np.array([p.shift for p in poses]), np.array([p.rotation_deg for p in poses])
    apart = np.linalg.norm(shifts - np.median(shifts, axis=0), axis=1)
    apart += np.radians(np.linalg.norm(angles - np.median(angles, axis=0), axis=1)) * 80.0
    return int(np.argmin(apart))


def move_cubic(image: NDArray[np.float32], transform: FloatArray) -> NDArray[np.float32]:
    """Interpolate one image by cubic B-splines.

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
    mapping = sitk.AffineTransform(3)  # SimpleITK counts the fastest axis first, which is the last one of our arrays
    mapping.SetMatrix(transform[:3, :3][::-1, ::-1].ravel().tolist())
    mapping.SetTranslation(transform[:3, 3][::-1].tolist())
    moving = sitk.GetImageFromArray(np.ascontiguousarray(image))
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(moving)
    resampler.SetInterpolator(sitk.sitkBSpline if min(image.shape) >= 4 else sitk.sitkLinear)
    resampler.SetTransform(mapping)
    resampler.SetUseNearestNeighborExtrapolator(True)
    moved: NDArray[np.float32] = sitk.GetArrayFromImage(resampler.Execute(moving))
    return moved


def _moved_series(
    series: PerfusionSeries, transforms: list[FloatArray], kept: list[int], progress: ProgressCallback
) -> PerfusionSeries:
    """Move the frames that are kept; those that are in place stay as they are."""
    data = np.empty((*series.shape, len(kept)), np.float32)
    for n, t in enumerate(kept):
        still = np.abs(transforms[t] - np.eye(4)).max() < 1e-3
        data[..., n] = series.data[..., t] if still else np.maximum(move_cubic(series.data[..., t], transforms[t]), 0.0)
        progress((n + 1) / len(kept), "Motion correction")
    slice_times = series.acquisition.slice_times_s
    acquisition = series.acquisition if slice_times is None else replace(series.acquisition, slice_times_s=slice_times[:, kept])
    return replace(series, data=data, times_s=series.times_s[kept], acquisition=acquisition)


def _frames_to_drop(
    series: PerfusionSeries, shifts: FloatArray, angles: FloatArray, likeness: FloatArray, head: BoolArray
) -> tuple[tuple[int, ...], tuple[QualityFinding, ...]]:
    """Choose frames to leave out, the worst first, within what a bolus can spare."""
    shift, angle = np.linalg.norm(shifts, axis=1), np.linalg.norm(angles, axis=1)
    middle = float(np.median(likeness))
    spread = 1.4826 * float(np.median(np.abs(likeness - middle)))
    poor = likeness < middle - max(4.0 * spread, POOR_LIKENESS_DROP)
    bad = np.flatnonzero((shift > SEVERE_MM) | (angle > SEVERE_DEG) | poor)
    if not bad.size:
        return (), ()
    curve = quick_change(series, head)
    arrival, peak = float(arrival_time(curve, series.times_s)), series.times_s[int(np.argmax(curve))]
    rising = (series.times_s >= arrival) & (series.times_s <= peak)
    badness = shift / SEVERE_MM + angle / SEVERE_DEG + 10.0 * (middle - likeness)
    allowed = min(int(MAX_DROPPED_SHARE * shift.size), shift.size - MIN_FRAMES)
    dropped: list[int] = []
    for frame in bad[np.argsort(-badness[bad], kind="stable")]:
        crowded = rising[frame] and sum(bool(rising[d]) for d in dropped) >= MAX_DROPPED_UPSLOPE
        if len(dropped) < allowed and not crowded:
            dropped.append(int(frame))
    if len(dropped) == bad.size:
        return tuple(sorted(dropped)), ()
    text = (
        f"{bad.size} of {shift.size} frames moved by more than 5 mm or 5° or do not fit; only {len(dropped)} could be left out."
    )
    severe = QualityFinding("motion_severe", "warning", text, "Read the maps with caution; compare them with the motion curves.")
    return tuple(sorted(dropped)), (severe,)


def _motion_finding(shifts: FloatArray, angles: FloatArray, dropped: tuple[int, ...]) -> tuple[QualityFinding, ...]:
    far, turned = float(np.linalg.norm(shifts, axis=1).max()), float(np.linalg.norm(angles, axis=1).max())
    left_out = f"; frame(s) {', '.join(str(t + 1) for t in dropped)} left out" if dropped else ""
    text = f"The head moved by up to {far:.1f} mm and {turned:.1f}° and was corrected{left_out}."
    noted = far > NOTED_MM or turned > NOTED_DEG
    advice = "Look at the motion curves and at the edges of the maps." if noted else ""
    return (QualityFinding("motion", "warning" if noted else "info", text, advice),)


def _edge_finding(
    head: BoolArray, transforms: list[FloatArray], kept: list[int], spacing_mm: FloatArray
) -> tuple[QualityFinding, ...]:
    """Say which slices were partly outside of the measured volume."""
    share = outside_share(head.shape, transforms, kept, spacing_mm)
    lost = np.where(head, share, 0.0).sum(axis=(0, 1)) / np.maximum(head.sum(axis=(0, 1)), 1)
    slices = np.flatnonzero(lost > 0.1)
    if not slices.size:
        return ()
    listed = ", ".join(str(int(k) + 1) for k in slices)
    text = f"Slice(s) {listed} left the measured volume in up to {100 * float(lost.max()):.0f} % of the frames."
    return (QualityFinding("motion_edge_slices", "info", text, "Border values fill in; do not rely on these slices."),)


def _not_estimated(series: PerfusionSeries) -> MotionReport:
    zeros = np.zeros((series.times_s.size, 3))
    text = "Head motion was not estimated because the images show no outline of a head."
    finding = QualityFinding("motion_not_estimated", "warning", text, "Use images that are not stripped to the brain.")
    return MotionReport(zeros, zeros.copy(), applied=False, findings=(finding,))
