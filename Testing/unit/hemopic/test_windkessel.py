# SPDX-License-Identifier: Apache-2.0
"""The experimental Windkessel extension conserves mass and knows when it knows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from physical_scan import artery
from scipy import integrate

from PerfusionSuiteLib.hemopic.physical_families import find_residue
from PerfusionSuiteLib.hemopic.physical_response import Response, make_input
from PerfusionSuiteLib.hemopic.windkessel import arrival_s, content, fit_windkessel

TIMES = np.arange(0.0, 75.0, 1.5)
SOURCE = make_input(np.arange(0.0, 75.0, 0.5), artery(np.arange(0.0, 75.0, 0.5)), 20.0)


def test_in_steady_state_it_is_one_compartment() -> None:
    expected = Response(TIMES, SOURCE, find_residue("exponential")).curves(np.array([2.0]), 5.0)[0][0]
    assert np.abs(content(SOURCE, TIMES, 5.0, 2.0, 4.0, 1.0) - expected).max() < 2e-3 * expected.max()


def test_equals_a_numerical_solution_of_its_equations() -> None:
    mtt, tau, ratio = 5.0, 6.0, 0.5
    start = arrival_s(SOURCE)

    def slope(t: float, state: list[float]) -> list[float]:
        volume, tracer = state
        flow = 1.0 / mtt
        out = flow * (1.0 + (ratio - 1.0) * np.exp(-(t - start) / tau)) if t > start else flow
        inflow = flow * np.interp(t, SOURCE.knots_s, SOURCE.values)
        change = flow - out if t > start else 0.0
        return [change, inflow - out / volume * tracer]

    found = integrate.solve_ivp(slope, (0.0, 74.0), [1.0, 0.0], t_eval=TIMES[:-1], max_step=0.1, rtol=1e-8, atol=1e-8)
    ours = content(SOURCE, TIMES[:-1], mtt, 0.0, tau, ratio)
    assert np.abs(ours - found.y[1]).max() < 3e-3 * found.y[1].max()


def test_a_strong_transient_is_identified_and_steady_flow_is_not() -> None:
    rng = np.random.default_rng(0)
    for ratio, expected in ((0.25, True), (1.0, False)):
        clean = 0.04 * content(SOURCE, TIMES, 5.0, 1.0, 8.0, ratio)
        noise = 2e-3 * clean.max()
        curve = clean + noise * rng.normal(size=clean.size)
        found = fit_windkessel(curve, TIMES, SOURCE, (5.0, 1.0), noise**2, np.ones(TIMES.size))
        assert found.identified is expected
        if expected:
            assert found.outflow_ratio == pytest.approx(ratio, rel=0.2)
            assert found.tau_s == pytest.approx(8.0, rel=0.3)
