# SPDX-License-Identifier: Apache-2.0
"""The mid-sagittal plane is found wherever the head lies and however the voxels are stored."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.lesion.midline import check_midplane, estimate_midplane, mirror, side_distance

FINE = np.array([[-3.0, 0, 0, 120.0], [0, -3.0, 0, 130.0], [0, 0, 6.0, -40.0], [0, 0, 0, 1]])
FINE_SHAPE = (80, 88, 14)


def head(
    turn_deg: float = 0.0,
    tilt_deg: float = 0.0,
    shift_mm: float = 0.0,
    *,
    affine: NDArray[np.float64] = FINE,
    shape: tuple[int, int, int] = FINE_SHAPE,
    noise: float = 3.0,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A head that is not quite symmetric (one larger ventricle, a calcification), and its true plane."""
    rotation = Rotation.from_euler("ZY", [turn_deg, -tilt_deg], degrees=True).as_matrix()
    center = np.array([shift_mm, 4.0, 6.0])
    voxels = np.indices(shape).reshape(3, -1).T
    x, y, z = ((voxels @ affine[:3, :3].T + affine[:3, 3] - center) @ rotation).T
    width = 70.0 - 0.08 * (y - 10.0)  # broader at the back, like a head
    r = np.sqrt((x / width) ** 2 + (y / 88.0) ** 2 + (z / 95.0) ** 2)
    volume = np.where(r < 1.12, 40.0, -1000.0)
    volume[(r > 0.98) & (r < 1.07)] = 1000.0
    volume[r < 0.98] = 34.0
    volume[(r < 0.98) & (np.abs(x) < 2.0) & (np.abs(y) > 40)] = 8.0  # fissure
    for side, size in ((-1, 1.0), (1, 1.3)):
        volume[((x - 12 * side) / (7 * size)) ** 2 + (y / 26) ** 2 + (z / 14) ** 2 < 1] = 6.0
    volume[(x - 30) ** 2 + (y + 20) ** 2 + (z - 5) ** 2 < 36] = 120.0
    volume += np.random.default_rng(5).normal(0, noise, volume.shape)
    normal = rotation[:, 0]
    return volume.reshape(shape).astype(np.float32), np.array([*normal, normal @ center])


def errors(found: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    angle = np.degrees(np.arccos(np.clip(found[:3] @ truth[:3], -1, 1)))
    center = np.array([truth[3] / truth[0], 4.0, 6.0]) * [1, 0, 0] + [0, 4.0, 6.0]
    return float(angle), float(abs(found[:3] @ center - found[3] - (truth[:3] @ center - truth[3])))


@pytest.mark.parametrize(
    ("turn", "tilt", "shift"), [(0, 0, 0), (12, 0, 9), (-20, 8, -15), (5, -18, 4), (-15, -15, 20), (22, 5, 0)]
)
def test_the_plane_of_a_turned_and_tilted_head_is_found(turn: float, tilt: float, shift: float) -> None:
    volume, truth = head(turn, tilt, shift)
    found = estimate_midplane(volume, FINE)
    angle, offset = errors(found.plane, truth)
    assert angle < 1.0
    assert offset < 1.0
    assert not found.findings


def test_flipping_and_permuting_the_voxels_does_not_change_the_plane() -> None:
    volume, _ = head(10, 6, 5)
    permutation = np.array([[0, 0, 1, 0], [0, -1, 0, FINE_SHAPE[1] - 1], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    stored = volume.transpose(2, 1, 0)[:, ::-1, :]
    first, second = estimate_midplane(volume, FINE), estimate_midplane(stored, FINE @ permutation)
    np.testing.assert_allclose(first.plane[:3], second.plane[:3], atol=0.01)
    assert first.plane[3] == pytest.approx(second.plane[3], abs=0.3)


def test_oblique_slices_give_the_plane_in_patient_space() -> None:
    oblique = FINE.copy()
    oblique[:3, :3] = Rotation.from_euler("xyz", [18, -7, 5], degrees=True).as_matrix() @ FINE[:3, :3]
    oblique[:3, 3] = -oblique[:3, :3] @ ((np.array(FINE_SHAPE) - 1) / 2) + [0, 0, 5]
    volume, truth = head(6, -5, 3, affine=oblique)
    angle, offset = errors(estimate_midplane(volume, oblique).plane, truth)
    assert angle < 1.0
    assert offset < 1.0


def test_the_plane_is_found_in_a_thin_slab_and_in_strong_noise() -> None:
    affine = FINE.copy()
    affine[2] = [0, 0, 10.0, 0.0]
    volume, truth = head(9, 4, -6, affine=affine, shape=(80, 88, 4), noise=12.0)
    angle, offset = errors(estimate_midplane(volume, affine).plane, truth)
    assert angle < 2.0
    assert offset < 2.0


def test_the_same_head_gives_the_same_plane_twice_and_within_three_seconds() -> None:
    affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    affine[:3, 3] = [120, 130, -45]
    volume, _ = head(7, 3, 4, affine=affine, shape=(240, 264, 18))
    start = time.process_time()
    first = estimate_midplane(volume, affine)
    assert time.process_time() - start < 3.0
    np.testing.assert_array_equal(first.plane, estimate_midplane(volume, affine).plane)


def test_half_a_head_falls_back_to_its_center_and_says_so() -> None:
    volume, _ = head()
    volume[side_distance(FINE_SHAPE, FINE, np.array([1.0, 0.6, 0, 10.0])) > 0] = -1000.0
    found = estimate_midplane(volume, FINE)
    assert [f.code for f in found.findings] == ["midline_uncertain"]
    np.testing.assert_array_equal(found.plane[:3], [1, 0, 0])


def test_mirroring_twice_gives_back_the_mask() -> None:
    mask = np.zeros((20, 20, 4), bool)
    mask[2:5, 3:9, 1] = True
    affine, plane = np.diag([2.0, 2.0, 5.0, 1.0]), np.array([1.0, 0, 0, 19.0])
    there = mirror(mask, affine, plane)
    np.testing.assert_array_equal(np.unique(np.nonzero(there)[0]), [15, 16, 17])
    np.testing.assert_array_equal(mirror(there, affine, plane), mask)


def test_a_mirrored_map_has_no_numbers_outside_of_the_image() -> None:
    values = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 3, 3), np.float32)
    flipped = mirror(values, np.eye(4), np.array([1.0, 0, 0, 3.0]))
    np.testing.assert_allclose(flipped[:7, 1, 1], [6, 5, 4, 3, 2, 1, 0])
    assert np.isnan(flipped[8:]).all()


def test_distances_are_positive_on_the_patients_right() -> None:
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])  # i grows to the left
    distance = side_distance((4, 3, 2), affine, np.array([1.0, 0, 0, -3.0]))
    np.testing.assert_allclose(distance[:, 0, 0], [3, 1, -1, -3])


def test_a_plane_is_normalized_whatever_its_sign_and_length() -> None:
    np.testing.assert_allclose(check_midplane([-2.0, 0, 0, 6.0]), [1, 0, 0, -3])


@pytest.mark.parametrize("plane", [[0, 1, 0, 3], [0, 0, 0, 1], [1, 0, 0], [np.nan, 0, 0, 0]])
def test_a_plane_that_does_not_divide_left_from_right_is_refused(plane: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="separate left from right"):
        check_midplane(plane)


def test_air_has_no_midline() -> None:
    with pytest.raises(InvalidInputError, match="No head"):
        estimate_midplane(np.full((10, 10, 4), -1000.0), np.eye(4))


def test_a_mask_of_another_grid_is_refused() -> None:
    from PerfusionSuiteLib.lesion.midline import check_mask

    with pytest.raises(GridMismatchError, match="contra mask has"):
        check_mask("contra mask", np.ones((2, 2, 2)), (3, 3, 3))


def test_a_head_that_is_turned_far_is_followed_and_told() -> None:
    image, truth = head(30.0)
    found = estimate_midplane(image, FINE)
    angle, _ = errors(found.plane, truth)
    assert angle < 3.0
    assert [finding.code for finding in found.findings] == ["head_tilted"]
