# SPDX-License-Identifier: Apache-2.0
"""A map of positive numbers on another grid keeps its values up to its edge."""

import numpy as np

from PerfusionSuiteLib.core.positive_on_grid import positive_on_grid


def test_the_same_grid_changes_nothing_but_unknown_values():
    values = np.array([[[1.0, np.nan, -2.0, 3.0]]])
    assert positive_on_grid(values, np.eye(4), (1, 1, 4), np.eye(4)).tolist() == [[[1.0, 0.0, 0.0, 3.0]]]


def test_values_beside_unknown_ones_are_not_diluted():
    values = np.array([800.0, 800.0, 0.0, 0.0])[:, None, None]
    shifted = np.eye(4)
    shifted[0, 3] = 0.25
    assert positive_on_grid(values, np.eye(4), (3, 1, 1), shifted).ravel().tolist() == [800.0, 800.0, 0.0]


def test_a_straight_slope_stays_straight_on_a_turned_grid():
    values = 1.0 + np.indices((8, 9, 10)).sum(axis=0).astype(float)
    turned = np.array([[0.0, 0.0, 1.0, 0.5], [0.0, 1.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]])
    i, j, k = np.indices((9, 8, 7))
    assert np.allclose(positive_on_grid(values, np.eye(4), (9, 8, 7), turned), 1.0 + i + j + k + 1.5)
