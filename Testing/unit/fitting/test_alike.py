# SPDX-License-Identifier: Apache-2.0
"""Averages of alike voxels: what they gain in noise, and what they leave to the voxel itself."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from PerfusionSuiteLib.fitting.alike import Averaging  # noqa: E402

SHAPE, RANK, CHANNELS = (24, 24, 3), 8, 12
SPACING = np.array([1.5, 1.5, 5.0])
FORM = np.array([5.0, 4.0, 3.0, 2.0, 2.0, 1.0, 1.0, 0.5])
FORM /= np.linalg.norm(FORM)


def errors(scatter: float, noise: float) -> tuple[float, float]:
    """Share of the amount of blood by which averages are off, and own responses, in tissue whose amounts scatter."""
    draw = np.random.default_rng(3)
    amount = 1.0 + scatter * draw.standard_normal(SHAPE).ravel()
    few = amount[:, None] * FORM + noise * draw.standard_normal((amount.size, RANK))
    nothing = noise * draw.standard_normal((amount.size, CHANNELS))
    averaging = Averaging(np.ones(SHAPE, bool), SPACING, torch.device("cpu"))
    few, nothing = (torch.tensor(values, dtype=torch.float32) for values in (few, nothing))
    found = averaging.run(few, nothing, noise**2, lambda _: None).few.numpy()
    return tuple(float(np.sqrt(np.mean((values @ FORM - amount) ** 2))) for values in (found, few.numpy()))  # type: ignore[return-value]


def test_amounts_that_scatter_are_known_better_than_by_the_voxel_or_by_its_neighbors_alone() -> None:
    averaged, own = errors(scatter=0.08, noise=0.1)
    best = 0.08 * 0.1 / np.hypot(0.08, 0.1)  # of any estimator of normal amounts in normal noise
    assert own == pytest.approx(0.1, rel=0.05)
    assert averaged < 1.1 * best


def test_in_noise_averages_of_even_tissue_are_far_better_than_the_voxel_itself() -> None:
    averaged, own = errors(scatter=0.0, noise=0.4)
    assert averaged < 0.2 * own


def test_without_noise_a_voxel_keeps_its_amount() -> None:
    averaged, _ = errors(scatter=0.08, noise=0.002)
    assert averaged < 0.003
