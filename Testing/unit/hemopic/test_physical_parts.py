# SPDX-License-Identifier: Apache-2.0
"""Parts of the physical mode by themselves: spread of regions, weights of frames, reference and blind artery."""

from __future__ import annotations

import numpy as np
import physical_scan
import pytest

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.hemopic.physical_arrays import NumpyArrays
from PerfusionSuiteLib.hemopic.physical_families import find_residue
from PerfusionSuiteLib.hemopic.physical_reference import blind_artery, find_reference
from PerfusionSuiteLib.hemopic.physical_response import Response, make_input
from PerfusionSuiteLib.hemopic.physical_shrinkage import random_effects, without_prior
from PerfusionSuiteLib.hemopic.physical_surface import Frames, Surface, tabulate
from PerfusionSuiteLib.hemopic.physical_weights import frame_weights

TIMES = np.arange(0.0, 75.0, 1.5)


class TestRandomEffects:
    @pytest.mark.parametrize("spread", [0.1, 0.5])
    def test_finds_mean_and_spread_behind_noise_of_different_size(self, spread: float) -> None:
        rng = np.random.default_rng(0)
        own = rng.uniform(0.01, 0.3, 4000)
        values = 1.6 + spread * rng.normal(size=own.size) + np.sqrt(own) * rng.normal(size=own.size)
        mean, found = random_effects(values, own, 0.02, 2.0)
        assert mean == pytest.approx(1.6, abs=0.03)
        assert found == pytest.approx(spread, abs=0.06)

    def test_a_few_wild_values_do_not_set_the_spread(self) -> None:
        rng = np.random.default_rng(1)
        values = 0.2 * rng.normal(size=2000)
        values[:20] = 50.0
        mean, found = random_effects(values, np.full(2000, 0.01), 0.02, 5.0)
        assert abs(mean) < 0.05
        assert found < 0.3

    def test_a_prior_can_be_taken_out_again(self) -> None:
        measured, noise, mean, sd = np.array([2.0, -1.0]), np.array([0.2, 0.5]), 1.0, 0.7
        posterior = 1.0 / (1.0 / noise + 1.0 / sd**2)
        values = posterior * (measured / noise + mean / sd**2)
        alone, variance = without_prior(values, posterior, mean, sd)
        assert np.allclose(alone, measured)
        assert np.allclose(variance, noise)


def test_frames_with_more_noise_weigh_less() -> None:
    source = make_input(TIMES, physical_scan.artery(TIMES), 20.0)
    surface = Surface(tabulate(Response(TIMES, source, find_residue("exponential"))), Frames(np.ones(TIMES.size)), NumpyArrays())
    rng = np.random.default_rng(0)
    noise = np.where(np.arange(TIMES.size) == 30, 3.0, 1.0)
    curves = np.repeat(physical_scan.tissue(TIMES, 4.0, 5.0, 1.0)[None], 3000, axis=0)
    weights = frame_weights((curves + noise * rng.normal(size=curves.shape)).astype(np.float32), surface)
    others = np.delete(weights, 30)
    assert weights[30] < 0.25 * np.median(others)
    assert weights[30] < 0.5 * others.min()


class TestReference:
    def test_leaves_out_vessels_fluid_and_late_tissue(self) -> None:
        rng = np.random.default_rng(0)
        kinds = [(40.0, 3.0, 0.0)] * 30 + [(0.1, 4.0, 1.0)] * 60 + [(3.0, 12.0, 6.0)] * 60 + [(4.0, 4.5, 1.0)] * 250
        curves = np.array([physical_scan.tissue(TIMES, *kind) for kind in kinds]) + 0.1 * rng.normal(size=(400, TIMES.size))
        found = find_reference(curves, TIMES, 0.1)
        assert found.chosen[150:].any()
        assert not found.chosen[:150].any()

    def test_of_a_scan_without_enhancement_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="No voxel of the mask enhances"):
            find_reference(np.full((100, TIMES.size), -1.0), TIMES, 1.0)

    def test_the_blind_artery_makes_the_reference_tissue_what_it_was_assumed_to_be(self) -> None:
        curve = physical_scan.tissue(TIMES, 4.0, 4.5, 0.0)
        residue = find_residue("exponential")
        source = blind_artery(TIMES, curve, residue, 4.5, 20.0)
        again = Response(TIMES, source, residue).curves(np.array([0.0]), 4.5)[0][0]
        assert np.sqrt(np.mean((again - curve) ** 2)) < 0.015 * curve.max()
        assert source.values.min() >= 0.0
        true = physical_scan.artery(source.knots_s)
        assert np.corrcoef(source.values, true)[0, 1] > 0.97
