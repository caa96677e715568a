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
