# SPDX-License-Identifier: Apache-2.0
"""What arteries of a moving head have in common."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.arterial_input import FAR_APART, FULL_INTERVAL_S
from PerfusionSuiteLib.input_function import shared_course

TIMES = np.concatenate([np.linspace(0.0, 30.0, 31), np.linspace(32.0, 50.0, 10)])  # intervals that change
NOISE = 3.0


def bolus(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 8.0, 0.0) / 5.0
    return np.asarray(300.0 * (x * np.exp(1.0 - x)) ** 3 + 40.0 / (1.0 + np.exp(-(times_s - 22.0))))


def branched(times_s: np.ndarray, variance_s2: float = 1.5) -> np.ndarray:
    """The bolus as branches see it."""
    fine = np.linspace(-10.0, 60.0, 1401)
    kernel = np.exp(-0.5 * (fine - 25.0) ** 2 / variance_s2)
    return np.interp(times_s, fine, np.convolve(bolus(fine), kernel / kernel.sum(), mode="same"))


def arteries(count: int, gain_sd: float, variance_s2: float = 1.5, times_s: np.ndarray = TIMES) -> np.ndarray:
    draw = np.random.default_rng(1)
    step = np.where((times_s > 12.0) & (times_s < 17.0), 1.0, 0.0)  # a jerk and back
    parts, lags, gains = draw.uniform(0.2, 1.0, count), draw.uniform(-0.25, 0.5, count), draw.normal(0.0, gain_sd, count)
    curves = [p * branched(times_s - lag, variance_s2) * (1.0 + g * step) for p, lag, g in zip(parts, lags, gains, strict=True)]
    return np.asarray(curves + draw.normal(0.0, NOISE, (count, times_s.size)), np.float32)


LAGS = np.linspace(-1.0, 1.0, 41)


def off(values: np.ndarray) -> tuple[float, float]:
    """How far a curve is from the truth, moved and scaled, and how much later it is."""
    moved = np.stack([bolus(TIMES - lag) for lag in LAGS])
    cosine = moved @ values / np.linalg.norm(moved, axis=1) / np.linalg.norm(values)
    return float(np.sqrt(1.0 - cosine.max() ** 2)), float(LAGS[cosine.argmax()])


@pytest.mark.parametrize("gain", [-0.2, 0.2])
def test_gains_that_differ_from_artery_to_artery_cancel(gain: float) -> None:
    jerked = bolus(TIMES) * np.where((TIMES > 12.0) & (TIMES < 17.0), 1.0 + gain, 1.0)
    found = shared_course(arteries(600, 0.12), TIMES, jerked, NOISE)
    assert found is not None
    assert found.values.max() == pytest.approx(jerked.max())
    assert off(found.values)[0] < 0.6 * off(jerked)[0]
    assert abs(off(found.values)[1]) <= 0.3
    assert found.apart > 0.4 * off(jerked)[0]


def test_a_true_artery_is_close_to_what_all_share() -> None:
    found = shared_course(arteries(600, 0.0), TIMES, bolus(TIMES), NOISE)
    assert found is not None
    assert found.apart < 0.03
    assert found.values.min() > -0.01 * found.values.max()
    assert abs(off(found.values)[1]) <= 0.15
    assert found.voxels > 100


@pytest.mark.parametrize("variance", [0.01, 0.3, 0.9, 1.5, 2.0])
@pytest.mark.parametrize("interval", [1.0, 2.0])
def test_however_much_branches_disperse_a_true_artery_is_not_called_changed(variance: float, interval: float) -> None:
    times = np.arange(0.0, 50.5, interval)
    found = shared_course(arteries(600, 0.0, variance, times), times, bolus(times), NOISE)
    assert found is not None
    assert found.apart < FAR_APART * max(1.0, interval / FULL_INTERVAL_S)


def test_the_noise_of_few_chosen_voxels_is_no_motion() -> None:
    draw, noise = np.random.default_rng(3), 8.0
    voxels = arteries(600, 0.0) + draw.normal(0.0, noise, (600, TIMES.size))
    chosen = bolus(TIMES) * 0.5 + draw.normal(0.0, noise, (4, TIMES.size)).mean(axis=0)
    unaware, aware = (shared_course(voxels, TIMES, chosen, noise, count) for count in (10**9, 4))
    assert unaware is not None
    assert aware is not None
    assert aware.apart < 0.6 * unaware.apart


def test_branches_that_come_later_are_moved_back() -> None:
    late = np.asarray(np.linspace(0.3, 1.0, 300)[:, None] * bolus(TIMES - 0.5), np.float32)
    found = shared_course(late, TIMES, bolus(TIMES), 0.1)
    assert found is not None
    assert abs(off(found.values)[1]) <= 0.1


def test_what_branches_disperse_is_undone() -> None:
    times = np.linspace(0.0, 50.0, 51)
    wide = branched(times)
    found = shared_course(np.asarray(np.linspace(0.5, 1.0, 300)[:, None] * wide, np.float32), times, bolus(times), 0.1)
    assert found is not None

    def unlike(values: np.ndarray) -> float:
        cosine = values @ bolus(times) / np.linalg.norm(values) / np.linalg.norm(bolus(times))
        return float(np.sqrt(1.0 - cosine**2))

    assert unlike(found.values) < 0.4 * unlike(wide)


def test_few_arteries_and_other_tissue_share_nothing() -> None:
    assert shared_course(arteries(30, 0.0), TIMES, bolus(TIMES), NOISE) is None
    draw = np.random.default_rng(2)
    tissue = np.outer(draw.uniform(5.0, 15.0, 500), np.interp(TIMES - 6.0, TIMES, bolus(TIMES)) / 300.0)
    assert shared_course(tissue + draw.normal(0.0, NOISE, tissue.shape), TIMES, bolus(TIMES), NOISE) is None
    assert shared_course(np.zeros((0, TIMES.size), np.float32), TIMES, bolus(TIMES), NOISE) is None
