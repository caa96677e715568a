# SPDX-License-Identifier: Apache-2.0
"""The kinetic model against sums over all blood that arrived, and against itself under changes that must not matter."""

import numpy as np
import pytest

from PerfusionSuiteLib.asl import label_density, unit_response
from PerfusionSuiteLib.asl.kinetic import arterial_response, scaled_density
from PerfusionSuiteLib.asl.relaxation import relaxation_at, tissue_relaxation
from PerfusionSuiteLib.core import InvalidInputError


def summed(arrival, time, bolus, rate, blood=1.65, *, pulsed=False):
    """Label by a sum over small parts of the bolus."""
    steps = 20000
    width = min(max(time - arrival, 0.0), bolus) / steps
    arrived = arrival + (np.arange(steps) + 0.5) * width
    decayed = np.exp(-arrived / blood) if pulsed else np.exp(-arrival / blood)
    return float((decayed * np.exp(-(time - arrived) * rate)).sum() * width)


@pytest.mark.parametrize("arrival", [0.3, 0.9, 1.4, 2.2, 3.5])
@pytest.mark.parametrize("delay", [0.5, 1.8, 2.5])
def test_continuous_labeling_equals_the_sum_over_its_parts(arrival, delay):
    found = unit_response(arrival, delay, 1.45, rate_per_s=0.77)
    assert found == pytest.approx(summed(arrival, delay + 1.45, 1.45, 0.77), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("arrival", [0.3, 0.9, 1.9])
@pytest.mark.parametrize("rate", [0.77, 1.2, 1 / 1.65])  # the last: tissue decays like blood, where the formula is 0/0
def test_pulsed_labeling_equals_the_sum_over_its_parts(arrival, rate):
    found = unit_response(arrival, 1.8, 0.7, labeling="pasl", rate_per_s=rate)
    assert found == pytest.approx(summed(arrival, 1.8, 0.7, rate, pulsed=True), rel=1e-6, abs=1e-12)


def test_nothing_is_seen_before_label_arrives():
    assert unit_response(2.0, 0.4, 1.5) == 0.0
    assert unit_response(2.0, 1.9, 0.7, labeling="pasl") == 0.0


def test_slow_decay_keeps_all_label_that_arrived():
    found = unit_response(0.5, 2.0, 1.5, t1_blood_s=1e9, rate_per_s=1e-9)
    assert found == pytest.approx(1.5)


def test_density_grows_less_than_flow_because_outflow_carries_label_away():
    one, two = label_density([40.0, 80.0], 0.8, 1.8, 1.5)
    assert 1.9 * one < two < 2.0 * one


def test_an_artery_holds_label_only_while_the_bolus_passes():
    times = arterial_response(0.6, [0.1, 0.5, 0.7, 1.5], 0.8)
    assert (times[:2] > 0).all()
    assert (times[2:] == 0).all()


def test_density_is_what_the_scanner_measures_by_m0_and_efficiency():
    assert scaled_density(np.array([8.5]), 1000.0, 0.85) == pytest.approx(0.9 * 8.5 / (2 * 0.85 * 1000.0))


def test_tissue_relaxation_mixes_by_the_label_that_each_tissue_holds():
    times = relaxation_at(3.0)
    t1 = tissue_relaxation(np.array([1.0, 0.0, 0.5, 0.0]), np.array([0.0, 1.0, 0.5, 0.0]), times, (4,))
    half = (1.33 + 0.35 * 0.83) / 1.35  # white matter has about a third of the flow
    assert t1 == pytest.approx([1.33, 0.83, half, 1.33])


def test_relaxation_of_blood_follows_the_magnet():
    assert relaxation_at(1.5).blood == 1.35
    assert relaxation_at(3.0).blood == 1.65
    assert 1.65 < relaxation_at(4.7).blood < 2.09
    with pytest.raises(InvalidInputError, match="30 T cannot be right"):
        relaxation_at(30.0)
