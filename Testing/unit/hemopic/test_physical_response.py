# SPDX-License-Identifier: Apache-2.0
"""Residues, exact responses and the table of HemoPIC's physical mode."""

from __future__ import annotations

import numpy as np
import physical_scan
import pytest
from scipy import integrate

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.hemopic.physical_arrays import NumpyArrays
from PerfusionSuiteLib.hemopic.physical_families import find_residue
from PerfusionSuiteLib.hemopic.physical_response import Response, make_input
from PerfusionSuiteLib.hemopic.physical_surface import Frames, Surface, tabulate

FAMILIES = ("box", "exponential", "gamma:2", "gamma:3.5", "fermi")
TIMES = np.arange(0.0, 80.0, 1.5)


class TestResidues:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_have_area_one_and_the_second_integral_is_that_of_the_first(self, name: str) -> None:
        residue = find_residue(name)
        x = np.linspace(0.0, 59.0, 200_001)
        assert residue.once(x)[-1] == pytest.approx(1.0, abs=1e-6)
        by_sum = integrate.cumulative_trapezoid(residue.once(x), x, initial=0.0)
        assert np.abs(by_sum - residue.twice(x)).max() < 1e-6

    @pytest.mark.parametrize(("name", "share"), [("box", 0.5), ("exponential", 1.0), ("gamma:2", 0.75)])
    def test_know_their_first_moment(self, name: str, share: float) -> None:
        assert find_residue(name).centre == pytest.approx(share, abs=1e-9)

    @pytest.mark.parametrize("name", ["gamma:0.5", "gamma:x", "triangle"])
    def test_of_unknown_families_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidInputError, match="residue family"):
            find_residue(name)


class TestResponse:
    @pytest.mark.parametrize("box", [True, False])
    def test_equals_a_direct_convolution_on_uneven_frames(self, box: bool) -> None:
        times = np.sort(np.random.default_rng(1).uniform(0.0, 80.0, 120))
        times[0] = 0.0
        fine = np.arange(0.0, 81.0, 0.25)
        source = make_input(fine, physical_scan.artery(fine), 20.0)
        response = Response(times, source, find_residue("box" if box else "exponential"))
        found = response.curves(np.array([2.3]), 6.0)[0][0]
        expected = physical_scan.tissue(times, 1.0, 6.0, 2.3, box=box)
        scale = expected.max() / found.max()
        assert np.abs(found * scale - expected).max() < 2e-3 * expected.max()

    @pytest.mark.parametrize("dispersion", [0.0, 0.4])
    @pytest.mark.parametrize("name", FAMILIES)
    def test_has_the_derivatives_it_says(self, name: str, dispersion: float) -> None:
        response = Response(TIMES, make_input(TIMES, physical_scan.artery(TIMES), 20.0), find_residue(name), dispersion)
        delays, step = np.array([-1.0, 2.3, 6.0]), 1e-4
        curve, by_delay, by_log_mtt = response.curves(delays, 5.0)
        moved = (response.curves(delays + step, 5.0)[0] - curve) / step
        longer = (response.curves(delays, 5.0 * np.exp(step))[0] - curve) / step
        scale = np.abs(by_delay).max()
        assert np.abs(moved - by_delay).max() < 2e-3 * scale
        assert np.abs(longer - by_log_mtt).max() < 2e-3 * scale

    def test_conserves_the_area_of_the_input_whatever_the_transit(self) -> None:
        times = np.arange(0.0, 300.0, 1.0)
        source = make_input(times, physical_scan.artery(times), 20.0)
        for name in FAMILIES:
            curve = Response(times, source, find_residue(name)).curves(np.array([3.0]), 8.0)[0][0]
            assert np.trapezoid(curve, times) == pytest.approx(source.area, rel=2e-3)

    def test_changes_by_more_than_a_tenth_when_the_transit_time_is_tripled(self) -> None:
        response = Response(TIMES, make_input(TIMES, physical_scan.artery(TIMES), 20.0), find_residue("exponential"))
        short, long = (response.curves(np.array([1.0]), mtt)[0][0] for mtt in (4.0, 12.0))
        assert np.abs(short - long).max() > 0.1 * short.max()  # hemopic.md section 11, check 9


class TestSurface:
    def test_interpolates_curves_to_a_thousandth_in_all_directions(self) -> None:
        response = Response(TIMES, make_input(TIMES, physical_scan.artery(TIMES), 20.0), find_residue("gamma:2"))
        surface = Surface(tabulate(response), Frames(np.ones(TIMES.size)), NumpyArrays(), None)
        delay, mtt = 2.37, 6.61
        found = surface.look(np.array([delay + 0.75 * mtt]), np.log(np.array([mtt])))[0, : surface.rank]
        curve = response.curves(np.array([delay]), mtt)[0]
        few, rest = surface.compress(curve.astype(np.float32))
        assert np.linalg.norm(found - few[0]) < 2e-3 * np.linalg.norm(few)
        assert rest[0] < 1e-4 * (few**2).sum()
