# SPDX-License-Identifier: Apache-2.0
"""Transit times pooled over alike tissue: known tissue in noise, borders that stay, voxels of any size."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.fitting.manifold import Manifold  # noqa: E402
from PerfusionSuiteLib.fitting.pooled_transit import Curves, neighbors, pooled_transit  # noqa: E402
from PerfusionSuiteLib.fitting.response_table import ResponseTable  # noqa: E402

TIMES = np.arange(0.0, 60.1, 1.5)
SPACING_MM = np.array([1.0, 1.0, 5.0])
SHAPE = (24, 20, 3)
NOISE = 2.0


def artery() -> np.ndarray:
    x = np.maximum(TIMES - 8.0, 0.0) / 4.5
    return np.asarray(300.0 * (x * np.exp(1.0 - x)) ** 3)


SURFACE = Manifold(ResponseTable(TIMES, artery(), "box", 0.0), rank=10)


def curves_of(theta: torch.Tensor, noise: float) -> Curves:
    """Curves of known parameters with noise in every one of their numbers."""
    clean = SURFACE.look(theta[1], theta[2])[:, : SURFACE.rank] * theta[0].exp()[:, None]
    drawn = torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    variance = torch.full((theta.shape[1],), max(noise, 0.01) ** 2)
    return Curves(SURFACE, clean + noise * drawn, variance, 8.0 * variance)


def tissue(volume: np.ndarray, centre_s: np.ndarray, mtt_s: np.ndarray) -> torch.Tensor:
    """Parameters of a whole grid, from maps."""
    maps = np.broadcast_arrays(np.log(volume), centre_s, np.log(mtt_s), np.empty(SHAPE))[:3]
    return torch.tensor(np.stack([np.ravel(values) for values in maps]), dtype=torch.float32)


def blurred(theta: torch.Tensor, spread: float) -> torch.Tensor:
    """The same with transit times that were told badly."""
    wrong = theta.clone()
    wrong[2] += spread * torch.randn(theta.shape[1], generator=torch.Generator().manual_seed(8))
    return wrong


def pooled(theta: torch.Tensor, start: torch.Tensor, noise: float = NOISE) -> torch.Tensor:
    return pooled_transit(curves_of(theta, noise), np.ones(SHAPE, bool), SPACING_MM, start)


def test_one_kind_of_tissue_gets_the_transit_time_that_all_of_its_curves_tell_together() -> None:
    theta = tissue(np.array(0.04), np.array(3.0), np.array(4.5))
    found = pooled(theta, blurred(theta, 0.25), noise=0.5)
    assert float((found[2] - math.log(4.5)).abs().mean()) < 0.03
    assert torch.equal(found[:2], theta[:2])


def test_what_curves_without_noise_tell_is_not_averaged_away() -> None:
    theta = tissue(np.array(0.04), np.array(3.0), 4.5 + 0.05 * np.arange(SHAPE[1])[None, :, None])
    assert float((pooled(theta, theta, noise=0.0) - theta).abs().max()) < 2e-3


def test_a_start_that_is_wrong_everywhere_is_corrected_by_the_curves() -> None:
    theta = tissue(np.array(0.04), np.array(3.0), np.array(6.0))
    start = theta.clone()
    start[2] += 0.2
    found = pooled(theta, start)
    assert float((found[2] - math.log(6.0)).abs().mean()) < 0.03


def test_tissue_behind_a_border_keeps_its_own_transit_time() -> None:
    late = np.arange(SHAPE[0])[:, None, None] >= SHAPE[0] // 2
    theta = tissue(np.where(late, 0.02, 0.04), np.where(late, 8.0, 3.0), np.where(late, 10.0, 4.5))
    found = pooled(theta, blurred(theta, 0.1), noise=0.5)[2].reshape(SHAPE)
    assert float(found[:6].mean().exp()) == pytest.approx(4.5, rel=0.02)
    assert float(found[-6:].mean().exp()) == pytest.approx(10.0, rel=0.02)


def test_without_noise_the_truth_stays_as_it_is() -> None:
    theta = tissue(np.array(0.03), np.array(4.0), np.array(7.0))
    assert float((pooled(theta, theta, noise=0.0) - theta).abs().max()) < 1e-3


def test_a_single_voxel_follows_its_own_curve() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[5, 5, 1] = True
    theta = torch.tensor([[math.log(0.04)], [4.0], [math.log(6.0)]])
    start = theta + torch.tensor([[0.0], [0.0], [0.1]])
    curves = replace(curves_of(theta, 0.0), doubt=torch.full((1,), 1e6))
    found = pooled_transit(curves, mask, SPACING_MM, start)
    assert float(found[2]) == pytest.approx(math.log(6.0), abs=0.01)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 5.0), (0.91, 0.91, 1.0), (2.2, 2.2, 10.0), (20.0, 20.0, 20.0)])
def test_neighbors_lie_within_reach_on_any_grid_and_come_in_pairs(spacing: tuple[float, float, float]) -> None:
    found = dict(neighbors(np.array(spacing)))
    assert found[0, 0, 0] == 0.0
    assert all(found[-i, -j, -k] == weight for (i, j, k), weight in found.items())
    assert max(math.hypot(i * spacing[0], j * spacing[1]) for i, j, _ in found) <= 14.0
    assert len(found) <= 700
