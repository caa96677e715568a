# SPDX-License-Identifier: Apache-2.0
"""The published model against hand-checked numbers, and what it can and cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib.hemopic.compat_fit import BROKEN, FALLBACK_MESSAGE, fall_back, fit_region, search_box
from PerfusionSuiteLib.hemopic.compat_maps import regional_flow
from PerfusionSuiteLib.hemopic.compat_model import (
    RegionParameters,
    RegionPriors,
    data_term,
    outflow,
    penalty,
    time_weights,
    tracer_curve,
    valid_prior,
)

SHAPE = np.array([0.0, 0.0, 1.0, 0.5, 0.25, 0.0])
OBSERVED = np.array([0.0, 0.1, 0.2, 1.0, 0.9, 0.5])
FIRST = RegionParameters(resistance=2.0, tau_s=4.0, volume=6.0, flow=3.0, inlet=1.5)
SECOND = RegionParameters(resistance=0.5, tau_s=4.0, volume=3.0, flow=2.0, inlet=1.5)

# Published fits of patient 22: rounded table, region 1 with all its digits where they are known.
REGION_1 = RegionParameters(1.071628178087362, 13.153032650549855, 5.991 * 0.997, 67.42690599659153, 18.05 * 0.704)
REGION_3 = RegionParameters(5.14e-4, 4.31, 1.999 * 0.999, 13.00 * 0.685, 9.20 * 3.193)
REGION_11 = RegionParameters(2.30e-3, 4.94, 2.000 * 1.001, 16.00 * 0.736, 6.92 * 1.704)


def flows(parameters: RegionParameters, times: np.ndarray) -> np.ndarray:
    return outflow(times, flow=parameters.flow, resistance=parameters.resistance, tau_s=parameters.tau_s)


def curve(parameters: RegionParameters, reference: np.ndarray) -> np.ndarray:
    return tracer_curve(reference, 1.0, flows(parameters, np.arange(reference.size)), parameters)


def a_reference(frames: int = 40) -> np.ndarray:
    """A gamma variate that arrives after 10 s."""
    times = np.maximum(np.arange(frames) - 10.0, 0.0)
    shape = times**3 * np.exp(-times / 2.0)
    return shape / shape.max()


class TestKnownAnswers:
    def test_outflow_is_the_step_response_of_a_windkessel(self) -> None:
        expected = [0.5, 1.05299804, 1.48367335, 1.81908362, 2.0803014, 2.28373801]
        np.testing.assert_allclose(flows(FIRST, np.arange(6.0)), expected, atol=5e-9)

    def test_recursion_gives_the_checked_curves(self) -> None:
        np.testing.assert_allclose(curve(FIRST, SHAPE), [0, 0, 0, 0.6644637, 0.81417189, 0.73407162], atol=5e-9)
        np.testing.assert_allclose(curve(SECOND, SHAPE), [0, 0, 0, 0.72987432, 0.73966713, 0.56222635], atol=5e-9)

    def test_weights_loss_and_penalty(self) -> None:
        weights = time_weights(SHAPE)
        np.testing.assert_allclose(weights, [0.2, 0.2, 1.0, 0.6, 0.4, 0.2])
        misfit = data_term(curve(FIRST, SHAPE), OBSERVED, weights)
        assert misfit == pytest.approx(0.12151108, abs=5e-9)
        assert misfit + penalty(FIRST, RegionPriors(2.5, 5.0, 1.0)) == pytest.approx(0.13499539, abs=5e-9)

    def test_the_level_of_a_map_is_the_late_outflow(self) -> None:
        late = flows(REGION_1, np.arange(40.0))
        fit = replace(fall_back(RegionPriors(1.0, 1.0, 1.0), 40), outflow=late, parameters=REGION_1)
        assert regional_flow(fit) == pytest.approx(62.885500, abs=5e-7)
        assert REGION_1.tau_s / REGION_1.resistance == pytest.approx(12.273877, abs=5e-7)


# Patient 22: F0, R, tau, F / F0 and the level of the map, as published with three or four digits.
PUBLISHED_LEVELS = [
    (66.99, 1.0716, 13.15, 1.006, 62.89), (35.01, 1.1228, 13.33, 1.006, 32.79), (13.00, 5.14e-4, 4.31, 0.685, 9.49),
    (44.01, 0.01433, 38.22, 1.205, 59.66), (152.94, 0.9999, 2.30, 1.000, 152.91), (105.16, 1.0216, 11.22, 1.005, 101.12),
    (24.99, 2.32e-3, 5.53, 0.749, 19.44), (1.000, 646.4, 3.10, 0.949, 0.95), (2.006, 1058.7, 1.00, 0.993, 1.99),
    (23.01, 1.1444, 12.62, 1.008, 21.84), (16.00, 2.30e-3, 4.94, 0.736, 12.13), (101.00, 1.0140, 9.83, 1.002, 98.44),
    (50.07, 1.0606, 12.02, 1.004, 47.64), (11.00, 2.50e-4, 3.69, 0.661, 7.58), (47.02, 1.0166, 8.73, 1.001, 46.26),
    (33.99, 1.0911, 12.32, 1.004, 32.24),
]  # fmt: skip


@pytest.mark.parametrize(("prior", "resistance", "tau_s", "ratio", "level"), PUBLISHED_LEVELS)
def test_all_sixteen_published_levels_follow_from_their_parameters(
    prior: float, resistance: float, tau_s: float, ratio: float, level: float
) -> None:
    parameters = RegionParameters(resistance, tau_s, 1.0, prior * ratio, 1.0)
    fit = replace(fall_back(RegionPriors(1.0, 1.0, 1.0), 40), outflow=flows(parameters, np.arange(40.0)))
    assert regional_flow(fit) == pytest.approx(level, rel=2e-3)


class TestWhatTheDataCannotTell:
    """Checks 9 and 10: with flow per minute and steps in seconds the compartment has almost no memory."""

    @pytest.mark.parametrize(("parameters", "share"), [(REGION_1, 0.05), (REGION_11, 0.02)])
    def test_flow_against_resistance_and_volume_hardly_change_the_curve(self, parameters: RegionParameters, share: float) -> None:
        reference = a_reference()
        usual = curve(parameters, reference)
        traded = replace(parameters, resistance=3 * parameters.resistance, flow=parameters.flow / 3)
        tripled = replace(parameters, volume=3 * parameters.volume)
        for other in (traded, tripled):
            assert np.abs(curve(other, reference) - usual).max() < share * usual.max()

    @pytest.mark.parametrize(("parameters", "share"), [(REGION_1, 0.06), (REGION_3, 0.001), (REGION_11, 0.001)])
    def test_the_curve_is_the_reference_one_frame_late_times_a_gain(self, parameters: RegionParameters, share: float) -> None:
        reference, times = a_reference(), np.arange(40.0)
        slack = 1.0 - 1.0 / (parameters.resistance * parameters.flow)
        gain = np.minimum(1.0 / (1.0 - slack * np.exp(-times / parameters.tau_s)), 50.0)
        shifted = np.concatenate([[0.0], (parameters.inlet * gain * reference)[:-1]])
        found = curve(parameters, reference)
        assert np.abs(found - shifted).max() < share * found.max()

    def test_a_late_region_gets_less_flow_although_its_prior_is_right(self) -> None:
        """F / F0 = R ** 0.05: the penalties alone decide, in place of a delay that the model does not have."""
        reference = a_reference(60)
        late = np.interp(np.arange(60.0) - 3.0, np.arange(60.0), reference)
        fit = fit_region(8.0 * late, reference, 1.0, RegionPriors(flow=20.0, volume=2.0, inlet=8.0))
        assert fit.success
        assert fit.parameters.flow < 0.8 * 20.0
        ratio = np.log(fit.parameters.resistance) / np.log(fit.parameters.flow / 20.0)
        assert ratio == pytest.approx(20.0, rel=0.02)
        assert fit.parameters.volume == pytest.approx(2.0, rel=0.005)

    def test_a_region_one_frame_late_is_the_reference_itself(self) -> None:
        """The recursion delays by a frame, so this is the one curve that the start of the search explains exactly."""
        reference = a_reference(60)
        late = np.interp(np.arange(60.0) - 1.0, np.arange(60.0), reference)
        fit = fit_region(8.0 * late, reference, 1.0, RegionPriors(flow=20.0, volume=2.0, inlet=8.0))
        assert fit.loss < 1e-4
        assert fit.parameters.resistance * fit.parameters.flow == pytest.approx(20.0, rel=1e-3)


class TestEdges:
    def test_negative_and_missing_outflow_counts_as_the_floor(self) -> None:
        floor = np.full(6, 0.02 * FIRST.flow)
        broken = np.array([-1.0, np.nan, 0.0, np.inf, -np.inf, 0.01])
        usual = tracer_curve(SHAPE, 1.0, floor, FIRST)
        np.testing.assert_allclose(tracer_curve(SHAPE, 1.0, broken, FIRST), usual)

    def test_a_full_exchange_within_a_frame_forgets_everything(self) -> None:
        hasty = replace(FIRST, volume=1e-3)
        expected = np.concatenate([[0.0], (FIRST.flow / flows(FIRST, np.arange(6.0)) * 1.5 * SHAPE)[:-1]])
        np.testing.assert_allclose(curve(hasty, SHAPE), expected)

    def test_a_constant_reference_weighs_all_samples_alike(self) -> None:
        np.testing.assert_allclose(time_weights(np.ones(5)), 0.2)

    @pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf])
    def test_an_impossible_prior_counts_as_almost_nothing(self, value: float) -> None:
        assert valid_prior(value) == 1e-6

    def test_the_box_is_the_published_one(self) -> None:
        lower, upper = search_box(RegionPriors(50.0, 4.0, 10.0), 1.0, 39.0)
        np.testing.assert_allclose(lower, [1e-10, 1.0, 0.8, 10.0, 1.0])
        np.testing.assert_allclose(upper, [5000.0, 38.22, 20.0, 250.0, 100.0])

    def test_a_scan_shorter_than_the_smallest_time_constant_widens_the_box(self) -> None:
        lower, upper = search_box(RegionPriors(50.0, 4.0, 10.0), 2.0, 2.0)
        assert (lower[1], upper[1]) == (2.0, 42.0)

    def test_a_region_without_tracer_ends_with_a_poor_fit_and_not_with_an_error(self) -> None:
        fit = fit_region(np.zeros(40), a_reference(), 1.0, RegionPriors(1e-6, 1e-6, 1e-6))
        assert np.isfinite(fit.loss)
        assert fit.success

    def test_the_fallback_shows_the_priors(self) -> None:
        fit = fall_back(RegionPriors(30.0, 2.0, 5.0), 40)
        assert (fit.message, fit.success, fit.loss) == (FALLBACK_MESSAGE, False, BROKEN)
        assert regional_flow(fit) == 30.0
        assert (fit.parameters.volume, fit.parameters.resistance, fit.parameters.tau_s) == (2.0, 1.0, 1.0)
        assert np.isnan(fit.curve).all()
