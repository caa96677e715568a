# SPDX-License-Identifier: Apache-2.0
"""Head motion on CT perfusion: estimated on the skull, corrected only when there is any."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress, part_of
from ..core.series import MIN_FRAMES, PerfusionSeries
from ..core.values import MotionReport
from .arrival import arrival_time, quick_arterial_curve
from .neighbors import threads
from .resample import move_frames, move_image, outside_share, voxel_transforms
from .rigid import FEW_SLICES, STILL, Pose, prepare_target, register

SKULL_HU = (150.0, 1000.0)
"""Brain, scalp and all but the tallest arteries become constant between these, so enhancement cannot drive the estimate."""

BONE_HU, MIN_BONE_VOXELS = 350.0, 100

STILL_MM, STILL_DEG = 0.3, 0.3
NOTED_MM, NOTED_DEG = 2.0, 2.0
SEVERE_MM, SEVERE_DEG = 5.0, 5.0
MAX_DROPPED_SHARE = 0.15
MAX_DROPPED_UPSLOPE = 2
POOR_LIKENESS_DROP = 0.05

LEVELS = ((4.0, 4.0), (1.8, 1.5))
"""Voxel size aimed at and Gaussian SD in mm, coarse to fine."""


@dataclass(frozen=True, slots=True)
class _Level:
    """All frames on a shrunken grid, (T, I, J, K)."""

    frames: NDArray[np.float32]
    affine: FloatArray


def correct_motion(
    series: PerfusionSeries,
    *,
    progress: ProgressCallback | None = None,
    skip_if_still: bool = True,
    drop_frames: bool = True,
    overwrite: bool = False,
) -> tuple[PerfusionSeries, MotionReport]:
    """Estimate head motion and move all frames to one position.

    Parameters
    ----------
    series : PerfusionSeries
        CT perfusion in HU.
    progress : callable, optional
        Called after each frame; may raise `CancelledError`.
    skip_if_still : bool
        Return the given series untouched when every frame lies within 0.3 mm and 0.3 degrees of the reference.
    drop_frames : bool
        Leave out frames that moved by more than 5 mm or 5 degrees or that do not fit after correction.
    overwrite : bool
        Write the moved frames into the memory of the given series, whose values are lost.

    Returns
    -------
    series : PerfusionSeries
        The same object when the head was still. Otherwise frames interpolated trilinearly; where the head moved out of the
        measured volume the nearest measured value is kept, so that all values stay finite.
    report : MotionReport
        Pose of the head in each frame of the input, relative to the frame nearest to the median position.

    Raises
    ------
    InvalidInputError
        If the series is not CT perfusion.

    Notes
    -----
    Rigid, with only in-plane motion for four slices or fewer. Two levels, two passes: the second target is the mean of the frames
    corrected in the first.
    """
    if series.modality != "ctp":
        msg = f"Motion correction by the skull needs CT, but the series is of modality '{series.modality}'. Choose a CT series."
        raise InvalidInputError(msg)
    report = progress or no_progress
    in_plane = series.shape[2] <= FEW_SLICES
    levels = [_shrunken(series, size, sigma) for size, sigma in LEVELS]
    report(0.15, "Motion estimation")
    center = _head_center(levels[0])
    found = _first_pass(levels, center, in_plane, part_of(report, 0.15, 0.45))
    if found is None:
        return series, _not_estimated(series)
    poses, likeness = found
    if not (skip_if_still and _is_still(poses, 0.8)):
        poses, likeness = _second_pass(levels[-1], poses, center, in_plane, part_of(report, 0.45, 0.6))
    shifts, angles = np.array([p.shift for p in poses]), np.array([p.rotation_deg for p in poses])
    if skip_if_still and _is_still(poses, 1.0):
        report(1.0, "Motion correction")
        return series, MotionReport(shifts, angles, applied=False, center_mm=center)
    dropped, severe = _frames_to_drop(series, poses, likeness) if drop_frames else ((), ())
    kept = [t for t in range(len(poses)) if t not in dropped]
    transforms = voxel_transforms([p.matrix(center) for p in poses], series.affine)
    unmoved = [float(np.linalg.norm(p.shift)) < 0.02 and float(np.linalg.norm(p.rotation_deg)) < 0.02 for p in poses]
    data = move_frames(series.data, transforms, kept, unmoved, part_of(report, 0.6, 1.0), overwrite=overwrite)
    findings = (
        *_motion_findings(shifts, angles, dropped),
        *severe,
        *_outside_findings(data, transforms, kept, voxel_sizes(series.affine)),
    )
    slice_times = series.acquisition.slice_times_s
    acquisition = series.acquisition if slice_times is None else replace(series.acquisition, slice_times_s=slice_times[:, kept])
    moved = replace(series, data=data, times_s=series.times_s[kept], acquisition=acquisition)
    return moved, MotionReport(shifts, angles, applied=True, dropped=dropped, findings=findings, center_mm=center)


def _shrunken(series: PerfusionSeries, size_mm: float, sigma_mm: float) -> _Level:
    """Clip to the skull, average blocks in plane and smooth."""
    spacing = voxel_sizes(series.affine)
    factors = [max(1, min(round(size_mm / spacing[a]), series.shape[a] // 16 or 1)) for a in (0, 1)]
    counts = [series.shape[a] // factors[a] for a in (0, 1)]
    affine = series.affine.copy()
    for axis in (0, 1):
        affine[:3, 3] += series.affine[:3, axis] * (factors[axis] - 1) / 2.0
        affine[:3, axis] *= factors[axis]
    frames = np.empty((series.times_s.size, *counts, series.shape[2]), np.float32)
    share = np.float32(1.0 / (factors[0] * factors[1]))
    for i in range(counts[0]):  # row by row: no second copy of the scan, and memory is read in its own order
        rows = np.clip(series.data[i * factors[0] : (i + 1) * factors[0], : counts[1] * factors[1]], *SKULL_HU).sum(axis=0)
        np.nan_to_num(rows, copy=False, nan=SKULL_HU[0] * factors[0])
        rows = rows.reshape(counts[1], factors[1], *rows.shape[1:]).sum(axis=1)
        frames[:, i] = np.moveaxis(rows * share, -1, 0)
    sigma = [float(np.sqrt(max(sigma_mm**2 - (0.29 * s) ** 2, 0.0)) / s) for s in voxel_sizes(affine)]
    sigma[2] = sigma[2] if spacing[2] <= 3.0 else 0.0
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(lambda f: ndimage.gaussian_filter(f, sigma, output=f, mode="nearest", truncate=3.0), frames))
    return _Level(frames, affine)


def _head_center(level: _Level) -> FloatArray:
    """Centroid of the bone in the first frame, in RAS mm."""
    weight = level.frames[0].astype(np.float64) - SKULL_HU[0]
    total = float(weight.sum())
    shape = weight.shape
    if total <= 0:
        middle = (np.array(shape) - 1) / 2.0
    else:
        middle = np.array(
            [(weight.sum(axis=tuple(b for b in range(3) if b != a)) * np.arange(shape[a])).sum() / total for a in range(3)]
        )
    center: FloatArray = level.affine[:3, :3] @ middle + level.affine[:3, 3]
    return center


def _first_pass(
    levels: list[_Level], center: FloatArray, in_plane: bool, progress: ProgressCallback
) -> tuple[list[Pose], FloatArray] | None:
    """Register all frames to the first, then refer them to the frame nearest to the median position."""
    if (levels[-1].frames[0] > BONE_HU).sum() < MIN_BONE_VOXELS:
        return None
    targets = [prepare_target(level.frames[0], level.affine, center, in_plane=in_plane) for level in levels]
    if any(target is None for target in targets):
        return None
    poses, likeness = [STILL], [1.0]
    for t in range(1, len(levels[0].frames)):
        best: tuple[Pose, float] = (STILL, -1.0)
        for start in (poses[-1], STILL):
            pose = start
            for target, level in zip(targets, levels, strict=True):
                if target is not None:
                    pose, value = register(target, level.frames[t], pose)
            best = max(best, (pose, value), key=lambda found: found[1])
            if best[1] > 0.9:  # a warm start that fits needs no second opinion
                break
        poses.append(best[0])
        likeness.append(best[1])
        progress(t / len(levels[0].frames), "Motion estimation")
    shifts, angles = np.array([p.shift for p in poses]), np.array([p.rotation_deg for p in poses])
    apart = np.linalg.norm(shifts - np.median(shifts, axis=0), axis=1)
    apart += np.radians(np.linalg.norm(angles - np.median(angles, axis=0), axis=1)) * 80.0
    reference = poses[int(np.argmin(apart))]
    return [pose.relative_to(reference) for pose in poses], np.array(likeness)


def _second_pass(
    level: _Level, poses: list[Pose], center: FloatArray, in_plane: bool, progress: ProgressCallback
) -> tuple[list[Pose], FloatArray]:
    """Register all frames to the mean of the corrected ones."""
    transforms = voxel_transforms([p.matrix(center) for p in poses], level.affine)
    mean = np.zeros_like(level.frames[0])
    for frame, transform in zip(level.frames, transforms, strict=True):
        mean += move_image(frame, transform)
    mean /= np.float32(len(poses))
    target = prepare_target(mean, level.affine, center, in_plane=in_plane)
    if target is None:
        return poses, np.ones(len(poses))
    refined = []
    with ThreadPoolExecutor(threads()) as pool:
        for found in pool.map(lambda t: register(target, level.frames[t], poses[t], cubic=True), range(len(poses))):
            refined.append(found)
            progress(len(refined) / len(poses), "Motion estimation")
    reference = int(np.argmin([np.linalg.norm(p.shift) + np.linalg.norm(p.rotation_deg) for p in poses]))
    origin = refined[reference][0]
    return [pose.relative_to(origin) for pose, _ in refined], np.array([value for _, value in refined])


def _is_still(poses: list[Pose], margin: float) -> bool:
    """Tell whether no frame moved by more than the limits, neither from the reference nor from where others are."""
    shifts, angles = np.array([p.shift for p in poses]), np.array([p.rotation_deg for p in poses])
    return all(
        float(np.linalg.norm(np.ptp(moved, axis=0))) < limit * margin
        for moved, limit in ((shifts, STILL_MM), (angles, STILL_DEG))
    )


def _frames_to_drop(
    series: PerfusionSeries, poses: list[Pose], likeness: FloatArray
) -> tuple[tuple[int, ...], tuple[QualityFinding, ...]]:
    """Choose frames to leave out, the worst first, within what a bolus can spare."""
    shift = np.array([np.linalg.norm(p.shift) for p in poses])
    angle = np.array([np.linalg.norm(p.rotation_deg) for p in poses])
    middle = float(np.median(likeness))
    spread = 1.4826 * float(np.median(np.abs(likeness - middle)))
    poor = likeness < middle - max(4.0 * spread, POOR_LIKENESS_DROP)
    bad = np.flatnonzero((shift > SEVERE_MM) | (angle > SEVERE_DEG) | poor)
    if not bad.size:
        return (), ()
    badness = shift / SEVERE_MM + angle / SEVERE_DEG + 10.0 * (middle - likeness)
    allowed = min(int(MAX_DROPPED_SHARE * len(poses)), len(poses) - MIN_FRAMES)
    rising = _upslope(series)
    dropped: list[int] = []
    for frame in bad[np.argsort(-badness[bad])]:
        crowded = rising[frame] and sum(bool(rising[d]) for d in dropped) >= MAX_DROPPED_UPSLOPE
        if len(dropped) < allowed and not crowded:
            dropped.append(int(frame))
    if len(dropped) == bad.size:
        return tuple(sorted(dropped)), ()
    text = (
        f"{bad.size} of {len(poses)} frames moved by more than 5 mm or 5° or do not fit; only {len(dropped)} could be left out."
    )
    severe = QualityFinding("motion_severe", "warning", text, "Read the maps with caution; compare them with the motion curves.")
    return tuple(sorted(dropped)), (severe,)


def _upslope(series: PerfusionSeries) -> NDArray[np.bool_]:
    """Frames between arterial arrival and peak, from which hardly any can be spared."""
    curve = quick_arterial_curve(series.data, series.times_s)
    arrival = float(arrival_time(curve, series.times_s))
    peak = series.times_s[int(np.argmax(curve))]
    rising: NDArray[np.bool_] = (series.times_s >= arrival) & (series.times_s <= peak)
    return rising


def _motion_findings(shifts: FloatArray, angles: FloatArray, dropped: tuple[int, ...]) -> tuple[QualityFinding, ...]:
    """Say how far the head moved and what was done."""
    far, turned = float(np.linalg.norm(shifts, axis=1).max()), float(np.linalg.norm(angles, axis=1).max())
    left_out = f"; frame(s) {', '.join(str(t + 1) for t in dropped)} left out" if dropped else ""
    text = f"The head moved by up to {far:.1f} mm and {turned:.1f}° and was corrected{left_out}."
    noted = far > NOTED_MM or turned > NOTED_DEG
    advice = "Look at the motion curves and at the edges of the maps." if noted else ""
    return (QualityFinding("motion", "warning" if noted else "info", text, advice),)


def _outside_findings(
    data: NDArray[np.float32], transforms: list[FloatArray], kept: list[int], spacing_mm: FloatArray
) -> tuple[QualityFinding, ...]:
    """Say which slices were partly outside the measured volume."""
    share = outside_share(data.shape[:3], transforms, kept, spacing_mm)
    head = data[..., 0] > -300.0
    inside = head.sum(axis=(0, 1))
    lost = np.where(head, share, 0.0).sum(axis=(0, 1)) / np.maximum(inside, 1)
    slices = np.flatnonzero(lost > 0.1)
    if not slices.size:
        return ()
    listed = ", ".join(str(int(k) + 1) for k in slices)
    most = 100 * float(lost.max())
    text = f"Slice(s) {listed} left the measured volume in up to {most:.0f} % of the frames; border values fill in."
    return (QualityFinding("motion_edge_slices", "info", text, "Do not rely on these slices."),)


def _not_estimated(series: PerfusionSeries) -> MotionReport:
    """Report for an image without a skull."""
    zeros = np.zeros((series.times_s.size, 3))
    text = "Head motion was not estimated because the images show too little bone."
    finding = QualityFinding("motion_not_estimated", "warning", text, "Use images that contain the skull.")
    return MotionReport(zeros, zeros.copy(), applied=False, findings=(finding,))
