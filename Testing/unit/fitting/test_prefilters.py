# SPDX-License-Identifier: Apache-2.0
"""The filters ahead of the original SPPINN."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.fitting.published.prefilters import filtered, smoothed_in_time  # noqa: E402

pytestmark = pytest.mark.torch
MASK = np.ones((14, 12, 2), bool)
MASK[:3] = False
AFFINE = np.diag([1.0, 1.5, 5.0, 1.0])


def run(volume: np.ndarray, kind: str, sd_px: float = 2.0) -> np.ndarray:
    result = np.full(volume.shape, np.nan, np.float32)
    result[MASK] = filtered(volume[MASK].astype(np.float32), MASK, AFFINE, kind, sd_px, lambda fraction, stage: None)
    return result


def test_in_time_a_peak_is_spread_and_ends_are_repeated() -> None:
    assert smoothed_in_time(np.array([0.0, 0, 4, 0, 0])).tolist() == [0, 1, 2, 1, 0]
    assert smoothed_in_time(np.array([4.0, 0, 0])).tolist() == [3, 1, 0]


@pytest.mark.parametrize("kind", ["none", "phantom", "patients"])
def test_what_is_the_same_everywhere_stays(kind: str) -> None:
    assert run(np.full((14, 12, 2, 5), 7.0), kind)[MASK] == pytest.approx(7.0, rel=1e-5)


@pytest.mark.parametrize("kind", ["phantom", "patients"])
def test_nothing_comes_from_outside_the_mask_or_from_another_slice(kind: str) -> None:
    volume = np.full((14, 12, 2, 5), 7.0)
    volume[~MASK], volume[:, :, 1] = 1e6, 3.0
    found = run(volume, kind)
    assert found[3:, :, 0] == pytest.approx(7.0, rel=1e-5)
    assert found[3:, :, 1] == pytest.approx(3.0, rel=1e-5)


def test_the_gaussian_ends_at_two_standard_deviations() -> None:
    volume = np.zeros((14, 12, 2, 5))
    volume[8, 6, 0] = 1.0
    found = run(volume, "phantom", 1.0)[:, :, 0, 2]
    assert (found[8, 4:9] > 0).all()
    assert found[8, 3] == found[8, 9] == 0.0


def test_the_bilateral_filter_averages_noise_and_keeps_edges() -> None:
    volume = np.random.default_rng(0).normal(0.0, 3.0, (14, 12, 2, 5))
    volume[:, 6:] += 200.0
    found = run(volume, "patients")[3:]
    assert found[:, :6].std() < 1.0
    assert found[:, :6].mean() == pytest.approx(0.0, abs=1.0)
    assert found[:, 6:].mean() == pytest.approx(200.0, abs=1.0)


def test_a_strength_of_zero_leaves_only_time() -> None:
    volume = np.random.default_rng(0).normal(0.0, 3.0, (14, 12, 2, 5)).astype(np.float32)
    assert run(volume, "phantom", 0.0)[MASK] == pytest.approx(smoothed_in_time(volume)[MASK], rel=1e-5)
