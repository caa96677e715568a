# SPDX-License-Identifier: Apache-2.0
"""The box regression itself: how fast it ends, and that voxels do not know of each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import fftconvolve

from PerfusionSuiteLib.deconvolution.box import BoxRegression, shifted_inputs

TIMES = np.linspace(0.0, 66.0, 45)
FINE = np.arange(0.0, 70.0, 0.01)


def arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 12.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def exponential_tissue(mtt: float, noise: float, count: int = 400) -> np.ndarray:
    whole = 0.01 * 40.0 / 6000.0 * fftconvolve(arterial(FINE), np.exp(-FINE / mtt))[: FINE.size]
    noisy = np.interp(TIMES - 2.0, FINE, whole) + np.random.default_rng(3).normal(0, noise, (count, TIMES.size))
    return noisy.astype(np.float32)


class TestSteps:
    @pytest.mark.parametrize("mtt", [3.0, 6.0])
    def test_three_are_enough_where_no_box_explains_the_curve(self, mtt: float) -> None:
        box, curves = BoxRegression(TIMES, arterial(TIMES)), exponential_tissue(mtt, 0.3)
        few, many = (box.fit(curves, steps) for steps in (3, 50))
        assert np.quantile(np.abs(few.end_s - many.end_s), 0.9) < 0.05
        assert np.quantile(few.misfit / many.misfit, 0.9) < 1.0005

    def test_never_make_the_fit_worse(self) -> None:
        box, curves = BoxRegression(TIMES, arterial(TIMES)), exponential_tissue(5.0, 3.0)
        misfits = [box.fit(curves, steps).misfit for steps in range(7)]
        for before, after in pairwise(misfits):
            assert (after <= before * (1 + 1e-9)).all()


class TestBounds:
    def test_a_given_transit_time_leaves_the_best_delay(self) -> None:
        curves, delays = exponential_tissue(4.0, 0.5, 50).astype(np.float64), np.arange(-4.0, 20.0, 0.02)
        fit = BoxRegression(TIMES, arterial(TIMES), mtt_range_s=(7.0, 7.01)).fit(curves.astype(np.float32))
        integral, _ = shifted_inputs(TIMES, arterial(TIMES), np.concatenate([delays, delays + 7.0]))
        boxes = integral[:, : delays.size] - integral[:, delays.size :]
        explained = (curves @ boxes) ** 2 / np.maximum((boxes**2).sum(axis=0), 1e-6)
        np.testing.assert_allclose(fit.start_s, delays[explained.argmax(axis=1)], atol=0.05)


class TestBlock:
    def test_the_order_of_voxels_does_not_matter(self) -> None:
        box, curves = BoxRegression(TIMES, arterial(TIMES), pull=0.4), exponential_tissue(8.0, 1.0)
        order = np.random.default_rng(4).permutation(len(curves))
        for straight, mixed in zip(box.fit(curves), box.fit(curves[order]), strict=True):
            np.testing.assert_allclose(mixed, straight[order], rtol=1e-3, atol=1e-4)  # blocks of another shape round differently
