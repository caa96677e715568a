# SPDX-License-Identifier: Apache-2.0
"""Trees of vessels: branching points, growth by both builders, the values of a forest."""

from functools import cache

import numpy as np
import pytest
from scipy.optimize import minimize

from PerfusionSuiteLib.core import InvalidInputError, NumericalError
from PerfusionSuiteLib.phantom.vessels.branching import branching_points
from PerfusionSuiteLib.phantom.vessels.forest import grow, pruned
from PerfusionSuiteLib.phantom.vessels.values import Forest, flow_from_terminals

SHEAR = 500.0


def conservation_error(forest):
    """Largest relative difference between a segment's flow and that of the terminals behind it."""
    own = np.where(forest.terminal >= 0, forest.flow, 0.0)
    flow = flow_from_terminals(forest.parent, own, forest.depth)
    return float(np.max(np.abs(flow - forest.flow) / forest.flow))


def _need(size=32, seed=0):
    """Flow of voxels of a cube with smooth differences, mm3/s."""
    ramp = np.linspace(5.0, 80.0, size)
    return np.broadcast_to(ramp[:, None, None], (size,) * 3) * np.random.default_rng(seed).uniform(0.9, 1.1, (size,) * 3) / 6000.0


@cache
def _forest(builder, seed=1):
    if builder == "compiled":
        pytest.importorskip("numba")
    return grow(_need(), np.random.default_rng(seed), builder=builder)


def _triples():
    rng = np.random.default_rng(2)
    corners, weights = rng.uniform(0.0, 5.0, (200, 3, 3)), rng.uniform(0.05, 1.0, (200, 3))
    weights[:40, 0] = 3.0  # one corner outweighs the others
    corners[40:50, 1] = corners[40:50, 0]
    corners[50:60, 1] = 0.3 * corners[50:60, 0] + 0.7 * corners[50:60, 2]  # in one line
    return corners, weights


def _cost(point, corners, weights):
    return float((weights * np.linalg.norm(corners - point, axis=1)).sum())


def test_branching_points_are_the_cheapest_ones_corners_included():
    corners, weights = _triples()
    points, costs = branching_points(corners, weights)
    for point, cost, corner, weight in zip(points, costs, corners, weights, strict=True):
        starts = [corner[weight.argmax()], point]
        best = min(
            (
                minimize(_cost, start, (corner, weight), "Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
                for start in starts
            ),
            key=lambda found: found.fun,
        )
        assert cost == pytest.approx(best.fun, abs=1e-4)
        assert np.linalg.norm(point - best.x) < 1e-3 or abs(cost - best.fun) < 1e-8  # on a line all points may cost the same
    assert (np.linalg.norm(points[:40] - corners[:40, 0], axis=1) < 1e-12).all()


def test_compiled_branching_points_cost_hardly_more():
    pytest.importorskip("numba")
    from PerfusionSuiteLib.phantom.vessels.forest_compiled import branching_point

    corners, weights = _triples()
    _, costs = branching_points(corners, weights)
    found = np.empty(3)
    for k in range(200):
        cost = branching_point(corners[k], weights[k], found)
        assert cost == pytest.approx(_cost(found, corners[k], weights[k]), rel=1e-9)
        assert costs[k] - 1e-9 <= cost <= 1.001 * costs[k]  # forty steps end early in flat valleys


@pytest.mark.parametrize("builder", ["compiled", "rounds"])
class TestForest:
    def test_every_voxel_holds_exactly_one_terminal_that_lies_in_it_and_carries_its_flow(self, builder):
        forest = _forest(builder)
        leaves = np.flatnonzero(forest.terminal >= 0)
        np.testing.assert_array_equal(np.sort(forest.terminal[leaves]), np.arange(32**3))
        cell = np.ravel_multi_index(tuple(forest.position[leaves].astype(int).T), (32, 32, 32))
        np.testing.assert_array_equal(cell, forest.terminal[leaves])
        np.testing.assert_allclose(forest.flow[leaves], _need().ravel()[forest.terminal[leaves]])

    def test_flow_is_conserved_at_every_node(self, builder):
        assert conservation_error(_forest(builder)) < 1e-9

    def test_no_segment_is_longer_than_allowed_and_roots_are_about_a_hundredth(self, builder):
        forest = _forest(builder)
        assert forest.length.max() <= 5.0
        assert 0.007 < (forest.parent < 0).sum() / 32**3 < 0.014

    def test_the_same_seed_grows_the_same_trees(self, builder):
        if builder == "compiled":
            pytest.importorskip("numba")
        need = _need(10)
        one, same = (grow(need, np.random.default_rng(4), builder=builder) for _ in range(2))
        np.testing.assert_array_equal(one.position, same.position)
        np.testing.assert_array_equal(one.parent, same.parent)

    def test_only_voxels_that_need_blood_get_terminals(self, builder):
        if builder == "compiled":
            pytest.importorskip("numba")
        need = _need(12)
        need[:, :, 6:] = 0.0
        forest = grow(need, np.random.default_rng(5), builder=builder)
        assert set(forest.terminal[forest.terminal >= 0]) == set(np.flatnonzero(need))

    def test_growth_from_starting_segments_keeps_one_root_and_their_course(self, builder):
        if builder == "compiled":
            pytest.importorskip("numba")
        trunk = Forest(
            np.array([[0.0, 6.0, 6.0], [6.0, 6.0, 6.0], [12.0, 6.0, 6.0]]), np.array([-1, 0, 1]), np.full(3, 10.0),
            np.full(3, -1),
        )  # fmt: skip
        need = _need(12)
        forest = grow(need, np.random.default_rng(6), start=trunk, new_tree=0.0, builder=builder)
        assert (forest.parent < 0).sum() == 1
        np.testing.assert_allclose(forest.flow[forest.parent < 0], need.sum())
        np.testing.assert_allclose(forest.position[forest.parent < 0], [[0.0, 6.0, 6.0]])
        assert conservation_error(forest) < 1e-9

    def test_tissue_out_of_reach_is_reported(self, builder):
        if builder == "compiled":
            pytest.importorskip("numba")
        need = np.zeros((30, 3, 3))
        need[[0, 29]] = 0.01
        trunk = Forest(np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]), np.array([-1, 0]), np.ones(2), np.full(2, -1))
        with pytest.raises(NumericalError, match="9 voxels that need blood lie out of reach"):
            grow(need, np.random.default_rng(7), start=trunk, new_tree=0.0, builder=builder)


@pytest.mark.parametrize("builder", ["compiled", "rounds"])
def test_a_crumb_of_tissue_in_fluid_is_served_by_a_longer_vessel(builder):
    if builder == "compiled":
        pytest.importorskip("numba")
    need = np.zeros((32, 32, 32))
    need[:8, :8, :8], need[12, 12, 12], need[31, 31, 31] = 0.01, 0.004, 0.002
    forest = grow(need, np.random.default_rng(3), builder=builder)
    served = forest.terminal[forest.terminal >= 0]
    assert np.array_equal(np.sort(served), np.flatnonzero(need))
    assert np.allclose(forest.flow[forest.terminal >= 0], need.ravel()[served])
    assert conservation_error(forest) < 1e-9


def test_both_builders_grow_the_same_kind_of_forest():
    compiled, rounds = ([_forest(builder, seed) for seed in (1, 2, 3)] for builder in ("compiled", "rounds"))
    for measure in (
        Forest.cost,
        lambda forest: (forest.parent < 0).sum(),
        lambda forest: forest.depth[forest.terminal >= 0].mean(),
        lambda forest: np.median(forest.arrival(SHEAR)[forest.terminal >= 0]),
        lambda forest: np.percentile(forest.arrival(SHEAR)[forest.terminal >= 0], 95),
    ):
        one, other = (np.mean([measure(forest) for forest in forests]) for forests in (compiled, rounds))
        assert other == pytest.approx(one, rel=0.10)


def test_wall_shear_rate_and_transit_follow_from_murrays_law():
    forest = Forest(np.array([[0.0, 0, 0], [3.0, 4.0, 0.0]]), np.array([-1, 0]), np.full(2, 0.01), np.array([-1, 0]))
    radius = forest.radius(SHEAR)[1]
    assert 4.0 * 0.01 / (np.pi * radius**3) == pytest.approx(SHEAR)
    assert forest.arrival(SHEAR)[1] == pytest.approx(5.0 * np.pi * radius**2 / 0.01)


def test_vessels_that_serve_nothing_are_pruned():
    parent = np.array([-1, 0, 1, 1])
    forest = Forest(np.zeros((4, 3)), parent, np.full(4, 5.0), np.array([-1, -1, 7, -1]))
    kept = pruned(forest)
    np.testing.assert_array_equal(kept.parent, [-1, 0, 1])
    np.testing.assert_array_equal(kept.flow, [5.0, 5.0, 5.0])


def test_an_unknown_builder_is_refused():
    with pytest.raises(InvalidInputError, match="no vessel builder 'fast'"):
        grow(_need(4), np.random.default_rng(0), builder="fast")
