# SPDX-License-Identifier: Apache-2.0
"""The standard frame: where the head comes to lie, and what is a head."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.core.geometry import axis_codes, voxel_sizes
from PerfusionSuiteLib.fitting.standard_frame import STANDARD_SHAPE, mask_into_grid, shows_head, standard_affine

SHAPE, STEP = (64, 72, 20), np.array([2.6, 2.6, 6.0])


def grid(turn_deg: float = 0.0, shift: tuple[float, float, float] = (0.0, 0.0, 0.0), flip: bool = False) -> np.ndarray:
    affine = np.eye(4)
    turn = Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()
    affine[:3, :3] = turn * STEP * ([-1.0, -1.0, 1.0] if flip else [1.0, 1.0, 1.0])
    affine[:3, 3] = np.array(shift) - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def places(affine: np.ndarray) -> np.ndarray:
    return np.indices(SHAPE).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]


def head(affine: np.ndarray, turn_deg: float, center: tuple[float, float, float]) -> np.ndarray:
    """An ellipsoid 140 mm wide and 175 mm long with a flattened back, turned about the vertical."""
    there = (places(affine) - center) @ Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()
    inside = ((there / [70.0, 87.0, 48.0]) ** 2).sum(axis=1) <= 1.0
    return (inside & (there[:, 1] > -80.0)).reshape(SHAPE)


@pytest.mark.parametrize(("turn", "flip"), [(0.0, False), (8.0, False), (-12.0, True)])
def test_the_head_lies_upright_in_the_middle_of_the_frame(turn: float, flip: bool) -> None:
    affine, center = grid(shift=(5.0, -7.0, 30.0), flip=flip), (6.0, -10.0, 28.0)
    frame = standard_affine(head(affine, turn, center), affine)
    assert axis_codes(frame) == ("R", "A", "S")
    np.testing.assert_allclose(voxel_sizes(frame), [0.91, 0.91, 5.0])
    middle = frame[:3, :3] @ ((np.array(STANDARD_SHAPE) - 1) / 2) + frame[:3, 3]
    right = Rotation.from_euler("z", turn, degrees=True).as_matrix()[:, 0]
    assert abs((middle - center) @ right) < 1.5
    assert np.degrees(np.arccos(frame[:3, 0] / 0.91 @ right)) < 2.0


def test_a_given_midplane_is_used_as_it_is() -> None:
    affine = grid()
    normal = np.array([0.96, 0.2, 0.19])
    normal /= np.linalg.norm(normal)
    frame = standard_affine(head(affine, 0.0, (0, 0, 0)), affine, midplane=[*normal, 3.0])
    np.testing.assert_allclose(frame[:3, 0] / 0.91, normal, atol=1e-9)
    middle = frame[:3, :3] @ ((np.array(STANDARD_SHAPE) - 1) / 2) + frame[:3, 3]
    assert middle @ normal == pytest.approx(3.0)


def test_a_mask_keeps_its_volume_in_the_frame() -> None:
    affine = grid(turn_deg=10.0, shift=(3.0, 4.0, 5.0))
    mask = head(affine, 0.0, (0.0, 0.0, 0.0))
    volume = mask_into_grid(mask, affine, standard_affine(mask, affine), STANDARD_SHAPE).sum() * 0.91 * 0.91 * 5.0
    assert volume == pytest.approx(mask.sum() * np.prod(STEP), rel=0.01)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="brain mask is empty"):
        standard_affine(np.zeros((3, 3, 3), bool), np.eye(4))


def test_a_brain_is_told_from_a_crop_a_slab_and_a_phantom_of_tiles() -> None:
    affine = grid(turn_deg=5.0)
    whole = head(affine, 0.0, (0.0, 0.0, 0.0))
    assert shows_head(whole, affine)
    slab = whole.copy()
    slab[:, :, :8] = slab[:, :, 12:] = False
    crop = np.zeros(SHAPE, bool)
    crop[20:42, 20:42, 3:18] = whole[20:42, 20:42, 3:18]
    assert not shows_head(slab, affine)
    assert not shows_head(crop, affine)
    assert not shows_head(np.ones((64, 64, 10), bool), np.diag([2.5, 2.5, 10.0, 1.0]))
    assert not shows_head(np.zeros((3, 3, 3), bool), np.eye(4))
