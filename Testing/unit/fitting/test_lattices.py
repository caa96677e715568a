# SPDX-License-Identifier: Apache-2.0
"""Lattices: what lies between the nodes, and where the nodes lie."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.fitting.lattice_field import LEVELS_MM, Lattice, frame_lattices, lattices_of

LATTICE = Lattice((1.0, 2.0, 0.0), (13.0, 10.0, 5.0), (5, 3, 4))


def test_a_linear_function_is_met_everywhere_and_weights_add_up_to_one() -> None:
    points = np.random.default_rng(0).uniform(LATTICE.low, LATTICE.high, (200, 3))
    slope = np.array([0.3, -1.1, 2.0])
    weights = LATTICE.weights(points)
    np.testing.assert_allclose(weights @ (LATTICE.positions() @ slope + 4.0), points @ slope + 4.0, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)


def test_at_a_node_its_own_value_is_met_and_beyond_the_border_that_of_the_border() -> None:
    values = np.random.default_rng(1).normal(size=LATTICE.count).astype(np.float32)
    np.testing.assert_array_equal(LATTICE.weights(LATTICE.positions()) @ values, values)
    outside = LATTICE.weights(np.array([[-5.0, 50.0, 2.5]])) @ values
    border = LATTICE.weights(np.array([[1.0, 10.0, 2.5]])) @ values
    assert outside == pytest.approx(border)


def test_levels_halve_the_distance_of_their_nodes_but_no_axis_is_finer_than_its_voxels() -> None:
    mask = np.zeros((200, 220, 30), bool)
    mask[40:160, 30:200, 4:26] = True
    lattices = lattices_of(mask, np.diag([0.91, 0.91, 5.0, 1.0]))
    assert [lattice.low for lattice in lattices] == [(40.0, 30.0, 4.0)] * 4
    assert [lattice.high for lattice in lattices] == [(159.0, 199.0, 25.0)] * 4
    for lattice, distance in zip(lattices, LEVELS_MM, strict=True):
        steps = (np.array(lattice.high) - lattice.low) / (np.array(lattice.nodes) - 1) * [0.91, 0.91, 5.0]
        assert (steps <= np.maximum(distance, [0.91, 0.91, 5.0]) + 1e-9).all()
        assert (steps[:2] > 0.8 * distance).all()


def test_the_lattices_of_the_standard_frame_are_a_16th_to_a_half_of_it() -> None:
    assert [lattice.nodes[0] for lattice in frame_lattices()] == [17, 33, 65, 129]


def test_a_mask_of_one_slice_or_one_voxel_still_has_lattices() -> None:
    mask = np.zeros((5, 5, 1), bool)
    mask[2, 3, 0] = True
    for lattice in lattices_of(mask, np.eye(4)):
        assert lattice.nodes == (2, 2, 2)
        np.testing.assert_allclose(lattice.weights(np.array([[2.0, 3.0, 0.0]])).sum(), 1.0)
