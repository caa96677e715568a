# SPDX-License-Identifier: Apache-2.0
"""Head motion: known poses are found again, still scans are left alone, contrast does not look like motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core import CancelledError, InvalidInputError, MotionReport
from PerfusionSuiteLib.prepare import correct_motion
from PerfusionSuiteLib.prepare.resample import move_frames, move_image, voxel_transforms

SHAPE, MM = (96, 96, 12), (2.2, 2.2, 5.0)


def rigid(rotation_deg: Any, shift_mm: Any) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(rotation_deg)).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def mean_pose_error(series: Any, report: MotionReport, poses: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    """Error in voxels (at eight points on a 60 mm sphere) and in degrees, relative to the first frame."""
    corners = np.array(np.meshgrid((-35.0, 35.0), (-35.0, 35.0), (-20.0, 50.0))).reshape(3, -1).T
    head = series.data[..., 0] > 300
    center = series.affine[:3, :3] @ np.argwhere(head).mean(0) + series.affine[:3, 3]
    voxels, degrees = [], []

    def estimated(t: int) -> np.ndarray:
        rotation = Rotation.from_rotvec(np.radians(report.rotation_deg[t])).as_matrix()
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = center + report.translation_mm[t] - rotation @ center
        return matrix

    first = np.linalg.inv(estimated(0))
    for t, pose in enumerate(poses):
        true = np.eye(4) if pose is None else pose
        difference = estimated(t) @ first @ np.linalg.inv(true)
        moved = corners @ difference[:3, :3].T + difference[:3, 3] - corners
        voxels.append(np.abs(moved / np.array(MM)).max())
        degrees.append(np.degrees(np.linalg.norm(Rotation.from_matrix(difference[:3, :3]).as_rotvec())))
    return np.array(voxels), np.array(degrees)


@pytest.fixture(scope="module")
def moving(head_maker: Callable[..., Any]) -> tuple[Any, list[np.ndarray | None]]:
    """A nod at frame 10 that stays, and a jerk in one frame."""
    poses: list[np.ndarray | None] = [None] * 20
    for t in range(10, 20):
        poses[t] = rigid([3.0, 0.5, -1.0], [0.5, -2.0, 1.0])
    poses[15] = rigid([-1.0, 2.0, 4.0], [3.0, 2.0, -2.0])
    return head_maker(SHAPE, MM, frames=20, interval_s=2.0, poses=poses), poses


def test_known_motion_is_found_within_a_third_of_a_voxel_and_of_a_degree(moving: Any) -> None:
    head, poses = moving
    corrected, report = correct_motion(head.series)
    voxels, degrees = mean_pose_error(head.series, report, poses)
    assert report.applied
    assert voxels.max() < 0.3
    assert degrees.max() < 0.3
    assert np.isfinite(corrected.data).all()
    assert "motion" in [f.code for f in report.findings]


def test_corrected_skull_stands_still(moving: Any) -> None:
    head, _ = moving
    corrected, report = correct_motion(head.series, drop_frames=False)
    middle = slice(3, 9)
    before = np.clip(head.series.data[:, :, middle], 0, 1000)
    after = np.clip(corrected.data[:, :, middle], 0, 1000)
    reference = np.median(after, axis=3, keepdims=True)
    moved = np.abs(before - np.median(before, axis=3, keepdims=True)).mean(axis=(0, 1, 2)).max()
    left = np.abs(after - reference).mean(axis=(0, 1, 2)).max()
    assert left < 0.4 * moved
    assert report.dropped == ()


def test_the_result_is_the_same_each_time(moving: Any) -> None:
    head, _ = moving
    first, second = correct_motion(head.series)[0], correct_motion(head.series)[0]
    assert np.array_equal(first.data, second.data)


def test_a_still_scan_is_returned_untouched(a_head: Any) -> None:
    series, report = correct_motion(a_head.series)
    assert series is a_head.series
    assert not report.applied
    assert report.translation_mm.shape == (30, 3)
    assert report.findings == ()


def test_a_small_move_to_both_sides_of_the_reference_is_corrected(head_maker: Callable[..., Any]) -> None:
    """Half a millimeter on at the arrival of contrast, back at its end: no frame is far from the one in the middle."""
    poses: list[np.ndarray | None] = [
        rigid([0.0] * 3, [0.0, 0.25 if t < 8 else -0.25 if t < 14 else 0.0, 0.0]) for t in range(20)
    ]
    head = head_maker(SHAPE, MM, frames=20, interval_s=2.0, poses=poses)
    _, report = correct_motion(head.series)
    assert report.applied
    assert np.ptp(report.translation_mm[:, 1]) == pytest.approx(0.5, abs=0.1)


def test_contrast_alone_is_not_taken_for_motion(head_maker: Callable[..., Any]) -> None:
    head = head_maker(noise_hu=0.5)
    data = head.series.data.copy()
    bright = (data[..., 0] > 20) & (data[..., 0] < 100)
    data[bright] += 60.0 * np.sin(np.linspace(0, 3, 30)) ** 2  # far more than any brain enhances
    _, report = correct_motion(replace(head.series, data=data))
    assert not report.applied
    assert np.abs(report.translation_mm).max() < 0.2


def test_few_slices_are_moved_only_in_plane(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 5 + [rigid([0, 0, 3.0], [3.0, -2.0, 0])] * 7
    head = head_maker((96, 96, 3), (2.2, 2.2, 10.0), frames=12, interval_s=2.0, poses=poses)
    _, report = correct_motion(head.series)
    moved = report.translation_mm[8] - report.translation_mm[0]
    turned = report.rotation_deg[8] - report.rotation_deg[0]
    assert np.abs(report.translation_mm[:, 2]).max() < 1e-6
    assert turned == pytest.approx([0, 0, 3.0], abs=0.3)
    assert np.linalg.norm(moved[:2]) > 1.0


def test_thick_slices_are_moved_across_each_other(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 5 + [rigid([2.0, 0, 0], [0, 1.0, 3.0])] * 7
    shape, mm = (96, 96, 12), (2.2, 2.2, 8.0)
    moving, still = (head_maker(shape, mm, frames=12, interval_s=2.0, noise_hu=0.5, poses=p) for p in (poses, None))
    corrected, report = correct_motion(moving.series)
    moved = report.translation_mm[8] - report.translation_mm[0]
    # The rotation is about the origin, the report's shift that of the head's center.
    center = rigid([2.0, 0, 0], [0, 1.0, 3.0]) @ np.append(report.center_mm, 1.0)
    assert moved == pytest.approx(center[:3] - report.center_mm, abs=0.3)
    inside = moving.brain & still.brain
    inside[..., [0, 1, -2, -1]] = False

    def changed(data: np.ndarray) -> float:
        return float(np.abs(data[..., 4] - data[..., 6])[inside].mean())

    assert changed(corrected.data) < 0.6 * changed(moving.series.data)


def test_thick_slices_at_the_end_that_left_the_measured_volume_are_named(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 6 + [rigid([0, 0, 0], [0, 0, 3.0])] * 6
    _, report = correct_motion(head_maker((96, 96, 12), (2.2, 2.2, 8.0), frames=12, interval_s=2.0, poses=poses).series)
    told = [finding.message for finding in report.findings if finding.code == "motion_edge_slices"]
    assert len(told) == 1
    assert told[0].startswith(("Slice(s) 1 left", "Slice(s) 12 left"))


def test_a_frame_that_jumped_far_is_left_out_with_its_time(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 16
    poses[12] = rigid([0, 0, 7.0], [6.0, 2.0, 0.0])
    head = head_maker(frames=16, interval_s=2.0, poses=poses)
    corrected, report = correct_motion(head.series)
    assert report.dropped == (12,)
    assert np.array_equal(corrected.times_s, np.delete(head.series.times_s, 12))
    assert report.translation_mm.shape[0] == 16


def test_correcting_in_the_memory_of_the_scan_gives_the_same_frames(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 5 + [rigid([0, 0, 2.0], [2.0, -1.0, 0])] * 8
    poses[3] = poses[9] = rigid([0, 0, 7.0], [6.0, 2.0, 0.0])
    head = head_maker(frames=20, interval_s=2.0, poses=[*poses, *[None] * 7])
    values = head.series.data.copy()
    copied, report = correct_motion(head.series)
    assert np.array_equal(head.series.data, values)
    in_place, again = correct_motion(head.series, overwrite=True)
    assert report.dropped == again.dropped == (3, 9)
    assert np.array_equal(in_place.data, copied.data)
    assert np.shares_memory(in_place.data, head.series.data)


def test_what_does_not_enhance_looks_the_same_in_all_frames_beside_sloping_bone(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 8 + [rigid([1.5, 0, 0], [0, 0.5, 2.0])] * 12
    head = head_maker((72, 72, 12), (3.0, 3.0, 5.0), frames=20, interval_s=2.0, noise_hu=0.0, bolus_s=1e6, poses=poses)
    transforms = voxel_transforms([np.eye(4) if p is None else p for p in poses], head.series.affine)
    kept, still = list(range(20)), [p is None for p in poses]
    moved = move_frames(head.series.data, transforms, kept, still, lambda *_: None)
    plain = np.stack([move_image(np.ascontiguousarray(head.series.data[..., t]), transforms[t]) for t in kept], axis=3)
    inner = ndimage.binary_erosion(head.brain[:, :, 2:10], np.ones((3, 3, 1)))
    beside = inner & ~ndimage.binary_erosion(inner, np.ones((3, 3, 1)), iterations=3)

    def change(frames: np.ndarray) -> float:
        return float(np.sqrt(np.mean((frames[:, :, 2:10, 12] - frames[:, :, 2:10, 3])[beside] ** 2)))

    assert change(moved) < 0.5 * change(plain)
    bone = head.series.data[..., 0] > 700
    assert moved[..., 3][bone].mean() == pytest.approx(head.series.data[..., 3][bone].mean(), rel=0.15)


def test_an_artery_beside_bone_keeps_its_contrast(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 6 + [rigid([0, 0, 1.0], [1.0, 0, 0])] * 14
    head = head_maker((72, 72, 12), (3.0, 3.0, 5.0), frames=20, interval_s=2.0, noise_hu=0.0, poses=poses)
    transforms = voxel_transforms([np.eye(4) if p is None else p for p in poses], head.series.affine)
    moved = move_frames(head.series.data, transforms, list(range(20)), [p is None for p in poses], lambda *_: None)
    still = head_maker((72, 72, 12), (3.0, 3.0, 5.0), frames=20, interval_s=2.0, noise_hu=0.0)
    core = ndimage.binary_erosion(head.sinus)
    assert moved[core].mean(axis=0) == pytest.approx(still.series.data[core].mean(axis=0), abs=0.1 * 220)


def test_missing_values_do_not_spoil_the_estimate(moving: Any) -> None:
    head, poses = moving
    data = head.series.data.copy()
    data[::7, ::5, 3] = np.nan
    _, report = correct_motion(replace(head.series, data=data))
    voxels, degrees = mean_pose_error(head.series, report, poses)
    assert voxels.max() < 0.4
    assert degrees.max() < 0.4


def test_too_many_bad_frames_are_reported_as_severe(head_maker: Callable[..., Any]) -> None:
    poses: list[np.ndarray | None] = [None] * 16
    for t in range(9, 16):
        poses[t] = rigid([0, 0, 8.0], [(-1) ** t * 6.0, 0.0, 0.0])
    head = head_maker(frames=16, interval_s=2.0, poses=poses)
    corrected, report = correct_motion(head.series)
    assert "motion_severe" in [f.code for f in report.findings]
    assert corrected.times_s.size >= 14


def test_images_without_bone_say_that_motion_was_not_estimated(a_head: Any) -> None:
    inner = ndimage.binary_erosion(a_head.brain, iterations=2)
    series = replace(a_head.series, data=np.where(inner[..., None], a_head.series.data, 0.0))
    result, report = correct_motion(series)
    assert result is series
    assert [f.code for f in report.findings] == ["motion_not_estimated"]


def test_another_modality_is_refused(a_head: Any) -> None:
    with pytest.raises(InvalidInputError, match="modality 'dsc'"):
        correct_motion(replace(a_head.series, modality="dsc"))


def test_a_cancel_reaches_the_loop(a_head: Any) -> None:
    def cancel(fraction: float, stage: str) -> None:
        if fraction > 0.2:
            raise CancelledError

    with pytest.raises(CancelledError):
        correct_motion(a_head.series, progress=cancel)


def test_moving_by_whole_voxels_copies_values() -> None:
    image = np.random.default_rng(0).normal(size=(7, 8, 5)).astype(np.float32)
    shift = np.eye(4)
    shift[:3, 3] = [2, -1, 1]
    moved = move_image(image, shift)
    assert moved[:5, 1:, :4] == pytest.approx(image[2:, :-1, 1:], abs=1e-5)
    assert moved[6, 4, 2] == pytest.approx(image[6, 3, 3], abs=1e-5)  # beyond the border: nearest value
