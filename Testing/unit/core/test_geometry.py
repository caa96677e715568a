# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from PerfusionSuiteLib.core.errors import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.core.geometry import (
    axis_codes,
    canonical_orientation,
    check_affine,
    check_same_grid,
    voxel_sizes,
    voxel_volume_ml,
)

LPS = np.diag([-0.5, -0.5, 5.0, 1.0])


def test_axis_codes_of_a_dicom_axial_grid():
    assert axis_codes(LPS) == ("L", "P", "S")


def test_axis_codes_of_a_sagittal_grid():
    affine = np.array([[0, 0, 2.0, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])
    assert axis_codes(affine) == ("P", "I", "R")


def test_canonical_orientation_puts_a_marker_on_the_patients_right():
    affine = np.array([[0, 0, 2.0, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])
    volume = np.zeros((4, 5, 6))
    volume[:, :, -1] = 1.0  # the third axis grows to the right
    axes, flips = canonical_orientation(affine)
    turned = volume.transpose(axes)
    turned = turned[tuple(slice(None, None, -1) if f else slice(None) for f in flips)]
    assert turned.shape == (6, 4, 5)
    assert turned[-1].all()
    assert not turned[:-1].any()


def test_voxel_volume_of_a_tilted_gantry_counts_the_slice_distance_only():
    sheared = np.diag([1.0, 1.0, 5.0, 1.0])
    sheared[1, 2] = 2.0  # slices are shifted, not thicker
    assert voxel_volume_ml(sheared) == pytest.approx(0.005)
    assert voxel_sizes(sheared)[2] == pytest.approx(np.hypot(5, 2))


@pytest.mark.parametrize("bad", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_unusable_affines_are_refused(bad):
    with pytest.raises(InvalidInputError, match="4x4"):
        check_affine(bad)


def test_grids_that_differ_are_named():
    with pytest.raises(GridMismatchError, match=r"The mask has \(4, 4, 3\) voxels"):
        check_same_grid("The mask", (4, 4, 3), LPS, (4, 4, 4), LPS)
    moved = LPS.copy()
    moved[0, 3] = 3.0
    with pytest.raises(GridMismatchError, match="3.00 mm away"):
        check_same_grid("The mask", (4, 4, 4), moved, (4, 4, 4), LPS)
    check_same_grid("The mask", (4, 4, 4), LPS + 1e-4, (4, 4, 4), LPS)
