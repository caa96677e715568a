# SPDX-License-Identifier: Apache-2.0
"""Brain, fluid, vessels and bone of a head whose anatomy is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.prepare import tissue_masks
from PerfusionSuiteLib.prepare.slices import without_unenhanced_slices


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_brain_is_found(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    assert dice(masks.brain, a_head.brain) > 0.95
    assert masks.findings == ()


def test_ventricles_are_fluid_and_tissue_is_not(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    assert dice(masks.csf, a_head.ventricles) > 0.75
    assert (masks.csf & ~a_head.ventricles).sum() < 0.01 * a_head.brain.sum()


def test_the_sinus_at_the_edge_is_a_vessel(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    assert (masks.vessel & a_head.sinus).sum() > 0.6 * a_head.sinus.sum()
    assert masks.vessel.sum() < 0.06 * masks.brain.sum()


def test_bone_is_dense_and_outside_of_tissue(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    assert a_head.series.data[..., 0][masks.bone].mean() > 300
    assert not (masks.bone & masks.tissue).any()


def test_a_head_holder_is_not_brain(a_head: Any) -> None:
    data = a_head.series.data.copy()
    data[10:62, 70:72] = 40.0  # a thin shell behind the head with the density of brain
    masks = tissue_masks(replace(a_head.series, data=data))
    assert dice(masks.brain, a_head.brain) > 0.95
    assert not masks.brain[:, 69:].any()


def test_an_open_skull_does_not_let_the_mask_leak(head_maker: Callable[..., Any]) -> None:
    head = head_maker(skull_gap=True)
    masks = tissue_masks(head.series)
    assert dice(masks.brain, head.brain) > 0.93


def test_a_skull_stripped_scan_with_zero_background_works(a_head: Any) -> None:
    series = replace(a_head.series, data=np.where(a_head.brain[..., None], a_head.series.data, 0.0))
    assert dice(tissue_masks(series).brain, a_head.brain) > 0.95


def test_a_mirrored_scan_gives_the_mirrored_mask(a_head: Any) -> None:
    affine = a_head.series.affine @ np.diag([-1.0, 1, 1, 1])
    affine[:3, 3] = (a_head.series.affine @ [71, 0, 0, 1])[:3]
    mirrored = tissue_masks(replace(a_head.series, data=a_head.series.data[::-1], affine=affine))
    assert dice(mirrored.brain[::-1], tissue_masks(a_head.series).brain) > 0.995


def test_a_users_mask_wins(a_head: Any) -> None:
    mine = np.zeros(a_head.series.shape, bool)
    mine[20:50, 20:50, 1:5] = True
    masks = tissue_masks(a_head.series, brain=mine)
    assert np.array_equal(masks.brain, mine)
    assert not masks.csf[~mine].any()


def test_a_users_mask_of_another_grid_is_refused(a_head: Any) -> None:
    with pytest.raises(GridMismatchError, match="brain mask has"):
        tissue_masks(a_head.series, brain=np.ones((5, 5, 5), bool))


def test_a_tiny_brain_is_implausible(a_head: Any) -> None:
    small = np.diag([-1.0, -1.0, 6.0, 1.0])
    masks = tissue_masks(replace(a_head.series, affine=small))
    assert "mask_implausible" in [f.code for f in masks.findings]


def test_unscaled_numbers_are_refused(a_head: Any) -> None:
    raw = replace(a_head.series, data=np.maximum(a_head.series.data, -1024) + 1024)
    with pytest.raises(InvalidInputError, match="rescale slope and intercept"):
        tissue_masks(raw)


def test_a_scan_of_air_is_refused(a_head: Any) -> None:
    with pytest.raises(InvalidInputError, match="no brain in this series"):
        tissue_masks(replace(a_head.series, data=np.full_like(a_head.series.data, -1000.0)))


def test_a_head_cut_off_at_the_edge_of_the_image_keeps_its_front(a_head: Any) -> None:
    series = replace(a_head.series, data=np.ascontiguousarray(a_head.series.data[:, :58]))  # 12 mm of the occiput are missing
    masks = tissue_masks(series)
    assert dice(masks.brain, a_head.brain[:, :58]) > 0.95
    assert "brain_cut_off" in [finding.code for finding in masks.findings]


def test_a_head_cut_off_by_a_round_field_of_view_is_found(a_head: Any) -> None:
    i, j = np.ogrid[:72, :72]
    outside = np.hypot(i - 35.5, j - 29.5) > 31.0
    data = a_head.series.data.copy()
    data[outside] = -2048.0
    masks = tissue_masks(replace(a_head.series, data=data))
    assert dice(masks.brain, a_head.brain & ~outside[:, :, None]) > 0.95


def test_parts_of_the_brain_that_bone_divides_at_the_skull_base_are_all_found(a_head: Any) -> None:
    data = a_head.series.data.copy()
    data[:, 34:37, 0] = np.where(
        a_head.brain[:, 34:37, 0, None], 900.0, data[:, 34:37, 0]
    )  # a wall of bone across the lowest slice
    data[34:38, :14, 0] = np.minimum(data[34:38, :14, 0], 40.0)  # and an opening of the skull before the front part
    brain = a_head.brain.copy()
    brain[:, 34:37, 0] = False
    found = tissue_masks(replace(a_head.series, data=data)).brain
    assert dice(found[:, :34, 0], brain[:, :34, 0]) > 0.9
    assert dice(found[:, 37:, 0], brain[:, 37:, 0]) > 0.9


def test_nearly_all_brain_beside_bone_stays(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    soft = a_head.brain & (a_head.series.data[..., :5].mean(axis=-1) < 80.0) & ~a_head.sinus
    assert (soft & ~masks.brain).sum() < 0.01 * soft.sum()


def test_tissue_that_hardly_enhances_is_no_fluid_but_an_old_infarct_is(a_head: Any) -> None:
    data = a_head.series.data.copy()
    before = data[..., :5].mean(axis=-1, keepdims=True)
    core, old = (slice(48, 54), slice(30, 40), slice(1, 5)), (slice(18, 24), slice(30, 40), slice(1, 5))
    data[core] -= 0.9 * (data - before)[core] + 5.0  # a tenth of the contrast, 5 HU darker
    data[old] = 9.0 + 0.5 * (data - before)[old]
    masks = tissue_masks(replace(a_head.series, data=data))
    assert not masks.csf[core].any()
    assert masks.csf[old].mean() > 0.9


def test_a_voxel_with_a_small_part_of_a_vessel_is_tissue(a_head: Any) -> None:
    data = a_head.series.data.copy()
    sinus = np.mean(data[a_head.sinus], axis=0)
    small, large = (slice(48, 51), slice(44, 47), slice(2, 4)), (slice(20, 23), slice(44, 47), slice(2, 4))
    for where, part in ((small, 0.02), (large, 0.5)):
        data[where] += part * (sinus - sinus[:3].mean())
    masks = tissue_masks(replace(a_head.series, data=data))
    assert not masks.vessel[small].any()
    assert masks.vessel[large].all()


def test_noise_makes_neither_vessels_nor_fluid(head_maker: Callable[..., Any]) -> None:
    head = head_maker(noise_hu=9.0)
    masks = tissue_masks(head.series)
    x, y = np.indices(head.brain.shape)[:2]
    away = head.brain & ~head.ventricles & (y > 45) & (y < 55) & (np.abs(x - 35.5) > 8)  # no vessels there
    assert masks.vessel[away].mean() < 0.005
    assert masks.csf[away].mean() < 0.005


def test_slices_beside_a_moving_skull_are_not_taken_for_silent(a_head: Any) -> None:
    data = (a_head.series.data - a_head.series.data[..., :4].mean(axis=-1, keepdims=True)).astype(np.float32)
    rim = a_head.brain & (np.arange(72) < 14)[None, :, None]
    data[rim] -= np.linspace(0.0, 200.0, data.shape[-1], dtype=np.float32)
    silent = data.copy()
    silent[:, :, 2] *= 0.02
    assert without_unenhanced_slices(data, a_head.brain.copy(), a_head.brain)[1] == ()
    kept, findings = without_unenhanced_slices(silent, a_head.brain.copy(), a_head.brain)
    assert [finding.code for finding in findings] == ["slices_without_contrast"]
    assert not kept[:, :, 2].any()
