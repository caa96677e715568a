# SPDX-License-Identifier: Apache-2.0
"""Check 10 of ct-perfusion-auto section 19: change of hypoperfusion between two scans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import GridMismatchError, LesionMasks, PerfusionMaps
from PerfusionSuiteLib.lesion import follow_up_change

AFFINE = np.array([[-3.0, 0, 0, 105.0], [0, -3.0, 0, 120.0], [0, 0, 6.0, -45.0], [0, 0, 0, 1]])
SHAPE = (71, 81, 16)


def scan(length_mm: float, motion: np.ndarray | None = None) -> tuple[np.ndarray, PerfusionMaps, LesionMasks]:
    """A head whose lesion is a box of a given length, moved rigidly."""
    where = np.linalg.inv(np.eye(4) if motion is None else motion) @ AFFINE
    voxels = np.indices(SHAPE).reshape(3, -1).T
    x, y, z = (voxels @ where[:3, :3].T + where[:3, 3]).T
    r = np.sqrt((x / 70) ** 2 + ((y - 5) / 88) ** 2 + (z / 100) ** 2)
    image = np.select([r < 0.98, r < 1.06, r < 1.12], [34.0, 900.0, 40.0], -1000.0)
    image[(np.abs(np.abs(x) - 12) < 7) & (np.abs(y) < 25) & (np.abs(z) < 12)] = 6.0
    image[(np.abs(x) - 32) ** 2 + (y - 70) ** 2 + (z + 30) ** 2 < 20**2] = -60.0  # orbits
    image[(np.abs(x) < 50) & (np.abs(y - 20) < 15) & (z < -36)] = 800.0  # base of the skull
    brain = (r < 0.95) & (image > 0) & (image < 100)
    late = brain & (x > 25) & (x < 49) & (y > -31.5) & (y < -31.5 + length_mm) & (np.abs(z) < 18)
    arrays = {"tmax": np.where(late, 9.0, 2.0), "cbf": np.where(late, 25.0, 50.0), "cbv": np.full(x.shape, 3.5)}
    stored = {key: np.where(brain, value, np.nan).reshape(SHAPE) for key, value in arrays.items()}
    return image.reshape(SHAPE), *lesion.segment(PerfusionMaps.from_arrays(stored, AFFINE), midplane=(1, 0, 0, 0))


@pytest.mark.parametrize(("later_mm", "percent"), [(36.0, 0.0), (18.0, 50.0), (72.0, -100.0)])
def test_the_change_of_an_unmoved_head(later_mm: float, percent: float) -> None:
    (image, maps, first), (later_image, _, later) = scan(36.0), scan(later_mm)
    change = follow_up_change(first, later, image=image, later_image=later_image)
    assert change.numbers["prr_percent"] == pytest.approx(percent, abs=1e-6)
    assert change.numbers["persistent_ml"] + change.numbers["resolved_ml"] == pytest.approx(change.numbers["first_ml"])
    assert change.numbers["persistent_ml"] + change.numbers["new_ml"] == pytest.approx(change.numbers["later_ml"])
    assert lesion.metrics(maps, first, follow_up=change.numbers).values["prr_percent"] == change.numbers["prr_percent"]


def test_the_same_lesion_in_a_moved_head_has_not_changed() -> None:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("zx", [9, 5], degrees=True).as_matrix()
    motion[:3, 3] = [8.0, -6.0, 4.0]
    (image, _, first), (later_image, _, later) = scan(36.0), scan(36.0, motion)
    change = follow_up_change(first, later, image=image, later_image=later_image)
    assert abs(change.numbers["prr_percent"]) < 5.0
    assert change.numbers["moved_deg"] == pytest.approx(np.degrees(Rotation.from_matrix(motion[:3, :3]).magnitude()), abs=1.0)
    assert change.numbers["persistent_ml"] > 0.9 * change.numbers["first_ml"]


def test_a_first_scan_without_hypoperfusion_has_no_percentage() -> None:
    (image, maps, first), (later_image, _, later) = scan(0.0), scan(36.0)
    change = follow_up_change(first, later, image=image, later_image=later_image)
    assert change.numbers["prr_percent"] is None
    assert change.numbers["new_ml"] > 0
    assert "no hypoperfusion" in lesion.metrics(maps, first, follow_up=change.numbers).notes["prr_percent"]


def test_the_regions_of_the_follow_up_make_up_both_lesions() -> None:
    (image, _, first), (later_image, _, later) = scan(36.0), scan(18.0)
    change = follow_up_change(first, later, image=image, later_image=later_image)
    assert (change.masks["resolved"] | change.masks["persistent"] == first.hypoperfusion).all()
    assert (change.masks["new"] | change.masks["persistent"] == later.hypoperfusion).all()
    assert not change.findings


def test_scans_of_one_grid_need_no_image_and_say_so() -> None:
    (_, _, first), (_, _, later) = scan(36.0), scan(18.0)
    change = follow_up_change(first, later, image=None, later_image=None)
    assert change.numbers["prr_percent"] == pytest.approx(50.0)
    assert [f.code for f in change.findings] == ["follow_up_not_registered"]


def test_another_grid_without_an_image_is_refused() -> None:
    (_, _, first), (_, _, later) = scan(36.0), scan(18.0)
    moved = later.affine.copy()
    moved[2, 3] += 6.0
    with pytest.raises(GridMismatchError, match="baseline image"):
        follow_up_change(first, replace(later, affine=moved), image=None, later_image=None)


def test_a_head_that_is_not_the_same_is_told() -> None:
    (image, _, first), (later_image, _, later) = scan(36.0), scan(36.0)
    noise = np.random.default_rng(1).uniform(0.0, 90.0, later_image.shape)
    found = {f.code for f in follow_up_change(first, later, image=image, later_image=noise).findings}
    assert "follow_up_misaligned" in found
