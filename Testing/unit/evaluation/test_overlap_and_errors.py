# SPDX-License-Identifier: Apache-2.0
"""Scores have the values that their definitions give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PerfusionSuiteLib.core import GridMismatchError
from PerfusionSuiteLib.evaluation import bland_altman, dice, map_errors, overlap, surface_distances

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])


def boxes() -> tuple[np.ndarray, np.ndarray]:
    found, truth = np.zeros((12, 12, 6), bool), np.zeros((12, 12, 6), bool)
    found[2:6, 2:6, 1:3] = True  # 32 voxels
    truth[3:8, 2:6, 1:3] = True  # 40 voxels, 24 in common
    return found, truth


def test_overlap_of_two_boxes() -> None:
    numbers = overlap(*boxes(), AFFINE)
    assert numbers["dice"] == pytest.approx(48 / 72)
    assert numbers["jaccard"] == pytest.approx(24 / 48)
    assert numbers["sensitivity"] == pytest.approx(24 / 40)
    assert numbers["precision"] == pytest.approx(24 / 32)
    assert (numbers["volume_ml"], numbers["truth_ml"]) == (pytest.approx(0.64), pytest.approx(0.80))
    assert numbers["error_ml"] == pytest.approx(-0.16)


def test_nothing_found_where_nothing_is_counts_as_right() -> None:
    empty = np.zeros((3, 3, 3), bool)
    numbers = overlap(empty, empty, AFFINE)
    assert (numbers["dice"], numbers["sensitivity"], numbers["precision"]) == (1.0, None, None)
    assert dice(empty, ~empty) == 0.0


@given(st.integers(0, 1000))
def test_dice_is_symmetric_and_between_0_and_1(seed: int) -> None:
    a, b = np.random.default_rng(seed).random((2, 5, 5, 3)) > 0.5
    assert dice(a, b) == dice(b, a)
    assert 0.0 <= dice(a, b) <= 1.0
    assert dice(a, a) == 1.0


def test_surfaces_of_parallel_plates_are_as_far_apart_as_the_plates() -> None:
    a, b = np.zeros((20, 6, 6), bool), np.zeros((20, 6, 6), bool)
    a[4], b[9] = True, True
    np.testing.assert_allclose(surface_distances(a, b, AFFINE), 10.0)
    assert overlap(a, b, AFFINE, surfaces=True)["surface_p95_mm"] == pytest.approx(10.0)
    assert overlap(a, a & False, AFFINE, surfaces=True)["surface_mean_mm"] is None


def test_errors_of_a_shifted_and_scaled_map() -> None:
    truth = np.linspace(0, 100, 201)
    shifted = map_errors(truth + 3.0, truth)
    assert (shifted["bias"], shifted["mae"], shifted["rmse"]) == (pytest.approx(3), pytest.approx(3), pytest.approx(3))
    assert (shifted["correlation"], shifted["slope"]) == (pytest.approx(1), pytest.approx(1))
    assert shifted["sd"] == pytest.approx(0, abs=1e-9)
    assert map_errors(0.5 * truth, truth)["slope"] == pytest.approx(0.5)
    assert map_errors(-truth, truth)["correlation"] == pytest.approx(-1)


def test_concordance_punishes_what_correlation_does_not_see() -> None:
    truth = np.array([1.0, 2.0, 3.0])
    assert map_errors(truth, truth)["concordance"] == pytest.approx(1)
    assert map_errors(truth + 1, truth)["concordance"] == pytest.approx(2 * (2 / 3) / (4 / 3 + 1))


def test_missing_values_are_counted_and_left_out() -> None:
    truth = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    numbers = map_errors(np.array([1.0, np.nan, 4.0, 4.0, 9.0]), truth, np.array([1, 1, 1, 1, 1], bool))
    assert (numbers["n"], numbers["missing_percent"]) == (3, pytest.approx(25.0))
    assert numbers["bias"] == pytest.approx(1 / 3)


def test_limits_of_agreement_hold_95_percent_of_normal_differences() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(50, 10, 20_000)
    estimate = truth + rng.normal(2, 3, truth.size)
    numbers = bland_altman(estimate, truth)
    assert numbers["bias"] == pytest.approx(2, abs=0.1)
    inside = (estimate - truth > numbers["limits_low"]) & (estimate - truth < numbers["limits_high"])
    assert inside.mean() == pytest.approx(0.95, abs=0.01)


def test_an_empty_comparison_has_no_numbers() -> None:
    numbers = map_errors(np.ones(4), np.ones(4), np.zeros(4, bool))
    assert (numbers["n"], numbers["bias"], numbers["missing_percent"]) == (0, None, None)


def test_different_grids_are_refused() -> None:
    with pytest.raises(GridMismatchError, match="cannot be compared"):
        dice(np.ones((2, 2, 2)), np.ones((3, 2, 2)))
    with pytest.raises(GridMismatchError, match="cannot be compared"):
        map_errors(np.ones(3), np.ones(4))
