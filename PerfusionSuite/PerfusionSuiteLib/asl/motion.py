# SPDX-License-Identifier: Apache-2.0
"""Head motion between the volumes of an ASL scan, estimated on the outline of the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..core.asl import AslSeries
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress, part_of
from ..core.values import MotionReport
from ..prepare.dsc_frames import otsu
from ..prepare.dsc_motion import estimate_poses, move_cubic
from ..prepare.resample import voxel_transforms
from ..prepare.rigid import FEW_SLICES, STILL, Pose, prepare_target, register
from .pairs import pairs_of

OUTLINE_SHARE = 0.5
"""Signal is cut off at this share of the head's own level, so that contrast within the brain does not count."""

SIGMA_MM = 2.0
STILL_MM, STILL_DEG = 0.3, 0.3
NOTED_MM, NOTED_DEG = 2.0, 2.0
LEAST_HEAD_VOXELS = 300
PAIRS_FOR_ZIGZAG = 4
M0_FAR_MM, M0_FAR_DEG, M0_COMPARED = 4.0, 4.0, 8


def correct_asl_motion(
    series: AslSeries, *, progress: ProgressCallback | None = None, skip_if_still: bool = True
) -> tuple[AslSeries, MotionReport | None]:
    """Estimate head motion and move all volumes and the M0 image to one position.

    Parameters
    ----------
    series : AslSeries
        The scan.
    progress : callable, optional
        Called after each volume; may raise `CancelledError`.
    skip_if_still : bool
        Return the given series untouched when every volume lies within 0.3 mm and 0.3 degrees of the reference.

    Returns
    -------
    AslSeries
        The same object when the head was still or nothing can be estimated. Otherwise volumes interpolated by cubic splines.
    MotionReport or None
        Pose of the head in each volume, relative to the one nearest to the median position; None when the scan has too few
        volumes that show the head (images that the scanner subtracted do not).

    Notes
    -----
    Every volume is divided by its own level and cut off at half of it, since labels are darker than controls and background
    suppression leaves another contrast at each delay. What remains of the difference between controls and labels looks like a
    motion to and fro in the rhythm of the pairs; its median over all pairs is taken out (Wang 2012).

    M0 has another contrast, by which its estimated place is up to 2 mm wrong: M0 volumes of the series move like the labeled
    volume next to them in time, and a separate M0 scan is moved only when it seems to lie more than 4 mm or 4 degrees away.
    """
    report = progress or no_progress
    shown = np.flatnonzero(series.of_type("control", "label"))
    if shown.size < 2:
        return series, None
    head = _head(series, shown)
    if int(head.sum()) < LEAST_HEAD_VOXELS:
        return series, _not_estimated(series)
    frames = [_outline(series.data[..., n], head, series.affine) for n in shown]
    center = series.affine[:3, :3] @ np.argwhere(head).mean(axis=0) + series.affine[:3, 3]
    in_plane = series.shape[2] <= FEW_SLICES or voxel_sizes(series.affine)[2] >= 8.0
    found = estimate_poses(frames, series.affine, center, in_plane, part_of(report, 0.0, 0.7))
    if found is None:
        return series, _not_estimated(series)
    six = np.array([np.concatenate([pose.shift, pose.rotation_deg]) for pose in found[0]])
    six = _without_zigzag(series, shown, six)
    nearest = np.array([int(np.abs(shown - n).argmin()) for n in range(series.data.shape[3])])
    poses = np.where(series.of_type("control", "label", "m0scan")[:, None], six[nearest], 0.0)
    moved, motion = _applied(series, poses, center, skip_if_still, part_of(report, 0.7, 1.0))
    return _with_m0_in_place(moved, motion, head, in_plane)


def _head(series: AslSeries, shown: NDArray[np.int64]) -> BoolArray:
    """Where the mean of the volumes is bright."""
    mean = np.nan_to_num(series.data[..., shown].mean(axis=-1))
    head: BoolArray = mean > 0.6 * otsu(mean)
    return head


def _outline(image: NDArray[np.float32], head: BoolArray, affine: FloatArray) -> NDArray[np.float32]:
    """The smoothed image without what is brighter than a part of the head, relative to its own level."""
    clean = np.nan_to_num(image)
    top = np.float32(max(OUTLINE_SHARE * float(np.median(clean[head])), 1e-6))
    spacing = voxel_sizes(affine)
    sigma = np.where(spacing <= 4.5, SIGMA_MM / spacing, (0.6, 0.6, 0.0))
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(np.minimum(clean, top) / top, sigma, mode="nearest", truncate=3.0)
    return smooth


def _without_zigzag(series: AslSeries, shown: NDArray[np.int64], six: FloatArray) -> FloatArray:
    """Take out a shift or turn that all labels have against their controls."""
    place = {int(n): row for row, n in enumerate(shown)}
    pairs, _ = pairs_of(series)
    rows = [(place[p.control], place[p.label]) for p in pairs if p.control in place and p.label in place]
    if len(rows) < PAIRS_FOR_ZIGZAG:
        return six
    apart = np.median([six[label] - six[control] for control, label in rows], axis=0)
    result = six.copy()
    for control, label in rows:
        result[control] += 0.5 * apart
        result[label] -= 0.5 * apart
    return result


def _applied(
    series: AslSeries, six: FloatArray, center: FloatArray, skip: bool, progress: ProgressCallback
) -> tuple[AslSeries, MotionReport]:
    """Move what is not in place."""
    shifts, turns = six[:, :3], six[:, 3:]
    far, turned = (float(np.linalg.norm(values, axis=1).max()) for values in (shifts, turns))
    if skip and far < STILL_MM and turned < STILL_DEG:
        progress(1.0, "Motion correction")
        return series, MotionReport(shifts, turns, applied=False, center_mm=center)
    transforms = voxel_transforms([_pose(row).matrix(center) for row in six], series.affine)
    data = series.data.copy()
    for n in np.flatnonzero(series.of_type("control", "label", "m0scan")):
        data[..., n] = move_cubic(np.nan_to_num(series.data[..., n]), transforms[n])
        progress((n + 1) / len(six), "Motion correction")
    noted = far > NOTED_MM or turned > NOTED_DEG
    text = f"The head moved by up to {far:.1f} mm and {turned:.1f}° and was corrected."
    advice = "Look at the motion curves and at the edges of the maps." if noted else ""
    finding = QualityFinding("motion", "warning" if noted else "info", text, advice)
    return replace(series, data=data), MotionReport(shifts, turns, True, (), (finding,), center)


def _pose(six: FloatArray) -> Pose:
    return Pose(Rotation.from_rotvec(np.radians(six[3:])).as_matrix(), six[:3])


def _with_m0_in_place(series: AslSeries, motion: MotionReport, head: BoolArray, in_plane: bool) -> tuple[AslSeries, MotionReport]:
    """Move a separate M0 scan that lies far from the ASL volumes."""
    if series.m0 is None:
        return series, motion
    some = np.flatnonzero(series.of_type("control"))[:M0_COMPARED]
    outlines = np.stack([_outline(series.data[..., n], head, series.affine) for n in some])
    mean: NDArray[np.float32] = np.asarray(outlines.mean(axis=0), np.float32)
    target = prepare_target(mean, series.affine, motion.center_mm, in_plane=in_plane)
    if target is None:
        return series, motion
    pose, _ = register(target, _outline(series.m0, head, series.affine), STILL)
    shift, turn = float(np.linalg.norm(pose.shift)), float(np.linalg.norm(pose.rotation_deg))
    if shift < M0_FAR_MM and turn < M0_FAR_DEG:
        return series, motion
    transform = voxel_transforms([pose.matrix(motion.center_mm)], series.affine)[0]
    text = f"The M0 image lay about {shift:.0f} mm and {turn:.0f}° away from the ASL volumes and was moved onto them."
    finding = QualityFinding("m0_moved", "warning", text, "Check that M0 and the perfusion map lie on each other.")
    m0 = move_cubic(np.nan_to_num(series.m0), transform)
    return replace(series, m0=m0), replace(motion, findings=(*motion.findings, finding))


def _not_estimated(series: AslSeries) -> MotionReport:
    zeros = np.zeros((series.data.shape[3], 3))
    text = "Head motion was not estimated because the images show no outline of a head."
    finding = QualityFinding("motion_not_estimated", "warning", text, "Use images that are not stripped to the brain.")
    return MotionReport(zeros, zeros.copy(), applied=False, findings=(finding,))
