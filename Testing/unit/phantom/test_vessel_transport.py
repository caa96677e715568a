# SPDX-License-Identifier: Apache-2.0
"""Labeled blood in vessels, capillaries and tissue against known answers and random particles."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from PerfusionSuiteLib.phantom.vessels import PRESETS, PUBLISHED_DELAYS_S, laminar, make_cube, signal, transport
from PerfusionSuiteLib.phantom.vessels.cube import simulate
from PerfusionSuiteLib.phantom.vessels.deposit import Grid
from PerfusionSuiteLib.phantom.vessels.laminar import (
    amount_integral,
    capillary_outflow,
    capillary_residue,
    flux_concentration,
)
from PerfusionSuiteLib.phantom.vessels.regions import Scene
from PerfusionSuiteLib.phantom.vessels.transport import (
    arterial_label,
    capillary_label,
    capillary_volume,
    extraction,
    transit_histogram,
)
from PerfusionSuiteLib.phantom.vessels.values import T1_BLOOD_S, Forest, Preset
from PerfusionSuiteLib.phantom.vessels.veins import venous_label

LABELING_S = 1.45
_FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "vessel_particles.py"
_SPEC = importlib.util.spec_from_file_location("vessel_particles", _FILE)
_PARTICLES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PARTICLES)
SMALL = Preset("small", "one-way", 0.0, 0.0, size_mm=16)


@pytest.mark.parametrize(("tau", "t"), [(0.2, 0.3), (0.8, 1.0), (1.5, 2.5), (0.05, 3.0)])
def test_laminar_means_agree_with_a_million_random_streamlines(tau, t):
    # Stratified draws: one in each millionth, so that the comparison is not limited by chance.
    s = (np.arange(1_000_000) + np.random.default_rng(1).random(1_000_000)) / 1_000_000
    late = tau / (2.0 * s)
    arrived = np.where(late < t, np.exp(-late / T1_BLOOD_S), 0.0)
    low, high = amount_integral(np.array([tau - 0.01, tau + 0.01]), np.array([t]))[:, 0]
    assert (high - low) / 0.02 == pytest.approx(arrived.mean(), rel=2e-3)
    assert flux_concentration(np.array(tau), np.array(t)) == pytest.approx((2.0 * s * arrived).mean(), rel=1e-4)


def test_nothing_arrives_before_half_the_plug_time():
    assert flux_concentration(np.array(1.0), np.array(0.499)) == 0.0
    assert flux_concentration(np.array(1.0), np.array(0.51)) > 0.0


def test_what_a_pipe_holds_is_inflow_minus_outflow_minus_decay():
    tau, times = 1.2, np.linspace(1e-4, 4.0, 4001)
    held = np.diff(amount_integral(np.array([0.0, tau]), times), axis=0)[0]
    inflow, outflow = np.ones_like(times), flux_concentration(np.full(times.size, tau), times)
    rate = np.gradient(held, times)
    balance = inflow - outflow - held / T1_BLOOD_S
    smooth = np.abs(times - 0.6) > 0.02  # the front leaves at half the plug time
    np.testing.assert_allclose(rate[smooth][5:-5], balance[smooth][5:-5], atol=2e-3)


@pytest.mark.parametrize("transit", [0.15, 1.0, 4.0])
def test_a_capillary_is_ten_mixed_elements_with_decay(transit):
    def change(_, c):
        return 10.0 / transit * (np.concatenate([[0.0], c[:-1]]) - c) - c / T1_BLOOD_S

    times = np.linspace(0.0, 3.0 * transit, 61)
    start = np.zeros(10)
    start[0] = 1.0
    exact = solve_ivp(change, (0.0, times[-1]), start, "Radau", times, rtol=1e-8, atol=1e-10).y
    np.testing.assert_allclose(capillary_residue(times, transit), exact.sum(axis=0), atol=1e-4)
    edges = np.linspace(0.0, 3.0 * transit, 3001)
    left = np.cumsum(capillary_outflow(edges, transit))[49::50]
    gone = np.concatenate([[0.0], np.cumsum(10.0 / transit * 0.5 * (exact[9][1:] + exact[9][:-1]) * np.diff(times))])[1:]
    np.testing.assert_allclose(left, gone, atol=2e-3)


def test_capillaries_of_a_voxel_hold_its_blood_volume_and_carry_its_flow():
    flow = np.full(2000, 0.01)
    share = transit_histogram(flow, np.random.default_rng(3))
    np.testing.assert_allclose(share.sum(axis=1), 1.0, atol=1e-5)
    from PerfusionSuiteLib.phantom.vessels.capillary_table import TRANSITS_S

    # Linear splitting in the logarithm lengthens a mean by less than (step / 2)^2 / 2.
    mean = (share * TRANSITS_S).sum(axis=1).mean()
    assert mean == pytest.approx(capillary_volume(flow)[0] / 0.01, rel=0.01)


def test_extraction_is_nine_tenths_at_sixty_and_nothing_without_exchange():
    assert extraction(np.array([0.01]), "one-way")[0] == pytest.approx(0.9, abs=0.002)
    assert extraction(np.array([0.01]), "none")[0] == 0.0


def _single_voxel(exchange, t1_tissue, arrival=0.0, entry=0.0, flow=0.01):
    times = np.concatenate([PUBLISHED_DELAYS_S, np.array(PUBLISHED_DELAYS_S) + LABELING_S])
    one = [np.array([value]) for value in (flow, arrival, entry, t1_tissue)]
    held, _ = capillary_label(*one, exchange, np.sort(times), np.random.default_rng(0))
    return signal(held, np.sort(times), LABELING_S, PUBLISHED_DELAYS_S)[0]


def test_plug_flow_without_delay_that_relaxes_like_blood_is_the_consensus_equation():
    flow = 1e-4  # extraction is complete when flow is low
    held = _single_voxel("one-way", T1_BLOOD_S, flow=flow)
    delays = np.array(PUBLISHED_DELAYS_S)
    expected = flow * T1_BLOOD_S * (1.0 - np.exp(-LABELING_S / T1_BLOOD_S)) * np.exp(-delays / T1_BLOOD_S)
    np.testing.assert_allclose(held, expected, rtol=0.01)


def test_tissue_that_relaxes_faster_holds_less_by_the_general_kinetic_model():
    flow, t1, entry = 1e-4, 1.2, 0.5
    held = _single_voxel("one-way", t1, entry=entry, flow=flow)
    t = np.array(PUBLISHED_DELAYS_S) + LABELING_S
    late = np.exp(-(t - entry - LABELING_S) / t1)
    expected = flow * t1 * np.exp(-entry / T1_BLOOD_S) * (1.0 - np.exp(-LABELING_S / t1)) * late
    np.testing.assert_allclose(held, expected, rtol=0.01)


@cache
def _simulated(builder="auto", seed=3):
    rng = np.random.default_rng(seed)
    flow = np.where(np.arange(16)[:, None, None] < 8, 60.0, 25.0) * rng.uniform(0.9, 1.1, (16, 16, 16))
    scene = Scene(flow, np.full(flow.shape, 1.2), "two halves")
    delays = np.array(PUBLISHED_DELAYS_S)
    times = np.sort(np.concatenate([delays, delays + LABELING_S]))
    return (scene, *simulate(scene, SMALL, seed, times, builder), times)


def test_the_whole_cube_agrees_with_random_particles_in_every_compartment():
    scene, cube, made, times = _simulated()
    delays = np.array(PUBLISHED_DELAYS_S)
    found = {name: signal(label.sum(axis=0), times, LABELING_S, delays) for name, label in made.labels.items()}
    expected = _PARTICLES.label_of_particles(scene, made, SMALL, LABELING_S, delays + LABELING_S, 1_500_000)
    for name, limit in (("arteries", 0.015), ("tissue", 0.015), ("veins", 0.03)):
        np.testing.assert_allclose(found[name], expected[name], rtol=limit)
    assert cube.perfusion.mean() == pytest.approx(scene.perfusion.mean())


def test_before_anything_leaves_and_without_decay_a_vessel_holds_its_inflow(monkeypatch):
    for module in (laminar, transport):
        monkeypatch.setattr(module, "T1_BLOOD_S", 200.0)  # single precision cancels beyond
    forest = Forest(np.array([[0.0, 1, 1], [4.0, 1, 1]]), np.array([-1, 0]), np.full(2, 0.5), np.array([-1, 3]))
    plug = forest.arrival(300.0)[1]
    times = np.array([0.1, 0.3, 0.45]) * plug
    held = arterial_label(forest, 300.0, np.zeros(2), times, Grid((4, 2, 2), (2, 2, 2)))
    np.testing.assert_allclose(held.sum(axis=0), 0.5 * times, rtol=1e-3)


def test_veins_with_numba_and_with_numpy_hold_the_same():
    pytest.importorskip("numba")
    _, _, made, times = _simulated()
    rng = np.random.default_rng(2)
    outflow = np.cumsum(rng.random((4096, 82)), axis=1).astype(np.float32)
    outflow[:, 0] = 0.0  # nothing has left when labeling starts
    grid = Grid((16, 16, 16), (2, 2, 4))
    row = np.arange(4096)
    one, other = (venous_label(made.veins, 250.0, outflow, row, times, grid, builder=name) for name in ("compiled", "rounds"))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * one.max())


def test_a_cube_is_a_pure_function_of_its_seed_and_numpy_makes_one_of_its_kind():
    _, one, _, times = _simulated()
    _, other, _, _ = _simulated("rounds")
    first, second = (signal(cube.response, times, LABELING_S, PUBLISHED_DELAYS_S) for cube in (one, other))
    np.testing.assert_allclose(second.mean(axis=(0, 1, 2)), first.mean(axis=(0, 1, 2)), rtol=0.1)
    small = Preset("tiny", "none", 0.0, 0.0, size_mm=8)
    again = [make_cube(7, small, times_s=times).response for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert (make_cube(8, small, times_s=times).response != again[0]).any()


def test_flow_decides_the_label_of_a_cube():
    assert PRESETS["published"].exchange == "none"
    _, cube, _, times = _simulated()
    late = signal(cube.response, times, LABELING_S, PUBLISHED_DELAYS_S)[..., 2]
    assert late[:4].mean() > 1.5 * late[4:].mean()
