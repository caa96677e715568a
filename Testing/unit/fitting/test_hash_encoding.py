# SPDX-License-Identifier: Apache-2.0
"""The hash encoding: levels, table sizes, published hash values, weights, and which rows a gradient reaches."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.fitting.published.hash_encoding import HashGrid, level_entries, level_resolutions  # noqa: E402

pytestmark = pytest.mark.torch

LEVELS = [16, 23, 33, 48, 70, 101, 147, 212, 307, 445, 645, 933, 1351, 1955, 2830, 4096]


@pytest.fixture(scope="module")
def grid() -> HashGrid:
    return HashGrid(generator=torch.Generator().manual_seed(0))


def test_sixteen_levels_grow_from_16_to_4096_cells() -> None:
    assert level_resolutions() == LEVELS


def test_small_levels_have_a_row_per_cell_and_large_ones_32768() -> None:
    entries = level_entries(LEVELS)
    assert entries == [4096, 12167, *[32768] * 14]
    assert sum(entries) == 475015


def test_the_table_has_two_features_within_a_ten_thousandth(grid: HashGrid) -> None:
    assert grid.table.shape == (475015, 2)
    assert float(grid.table.detach().abs().max()) <= 1e-4
    assert grid.width == 32


@pytest.mark.parametrize(("corner", "row"), [((1, 2, 3), 30172), ((5, 0, 7), 25878), ((100, 200, 30), 20826)])
def test_a_corner_is_hashed_as_published(corner: tuple[int, int, int], row: int) -> None:
    single = HashGrid(levels=1, base=256, finest=256, log2_table=15)
    position = torch.tensor([corner], dtype=torch.float32) / 256
    rows, weights = single.corners(position)
    assert int(rows[0, 0, 0]) == row
    assert weights[:, 0, 0].tolist() == [1.0, *[0.0] * 7]


def test_weights_of_the_corners_sum_to_one(grid: HashGrid) -> None:
    ones = HashGrid(generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ones.table.fill_(1.0)
        code = ones(torch.rand(200, 3, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(code, torch.ones_like(code), atol=1e-5)


def test_at_a_lattice_point_the_code_is_the_stored_pair(grid: HashGrid) -> None:
    position = torch.tensor([[4.0, 8.0, 12.0]]) / 16  # a node of the levels with 16 and 48 cells
    rows, _ = grid.corners(position)
    code = grid(position).detach()[0].view(16, 2)
    for level in (0, 3):
        assert torch.equal(code[level], grid.table.detach()[rows[0, 0, level]])


def test_a_gradient_reaches_at_most_eight_rows_of_each_level(grid: HashGrid) -> None:
    position = torch.tensor([[0.31, 0.77, 0.52]])
    grid.table.grad = None
    grid(position).sum().backward()
    touched = torch.nonzero(grid.table.grad.abs().sum(1))[:, 0]
    ends = np.cumsum(grid.entries)
    counts = [int(((touched >= end - size) & (touched < end)).sum()) for end, size in zip(ends, grid.entries, strict=True)]
    assert all(1 <= count <= 8 for count in counts)
    assert counts[0] == 8


def test_gradients_are_those_of_automatic_differentiation() -> None:
    grid = HashGrid(levels=4, log2_table=9, base=4, finest=40, generator=torch.Generator().manual_seed(0)).double()
    positions = torch.rand(50, 3, generator=torch.Generator().manual_seed(1)).double()
    direction = torch.rand(50, grid.width, generator=torch.Generator().manual_seed(2)).double()
    by_hand = torch.autograd.grad((grid(positions) * direction).sum(), grid.table)[0]
    rows, weights = grid.corners(positions)
    plain = (grid.table[rows] * weights[..., None]).sum(0).flatten(1)
    assert torch.allclose(by_hand, torch.autograd.grad((plain * direction).sum(), grid.table)[0], rtol=1e-12)
