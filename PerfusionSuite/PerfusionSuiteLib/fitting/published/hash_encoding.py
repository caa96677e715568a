# SPDX-License-Identifier: Apache-2.0
"""Multi-resolution hash encoding of positions (Müller et al., ACM Trans Graph 41:102, 2022), trilinear, every level hashed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

PRIMES = (1, 2654435761, 805459861)
INITIAL_BOUND = 1e-4
LOW_32_BITS = 0xFFFFFFFF

CPU_CHUNK = 1024
"""Positions at once on a CPU: their corners then stay in its cache."""


def level_resolutions(levels: int = 16, base: int = 16, finest: int = 4096) -> list[int]:
    """Return the cells per axis of each level, growing geometrically.

    Parameters
    ----------
    levels : int
        Number of levels.
    base, finest : int
        Cells of the first and of the last level.

    Returns
    -------
    list of int
        ``floor(base * b**level)`` with ``b = (finest / base)**(1 / (levels - 1))``.
    """
    growth = (finest / base) ** (1.0 / (levels - 1)) if levels > 1 else 1.0
    # In double precision the last level may fall a hair below its integer.
    return [math.floor(base * growth**level + 1e-6) for level in range(levels)]


def level_entries(resolutions: list[int], log2_table: int = 15) -> list[int]:
    """Return the table entries of each level: as many as cells, at most ``2**log2_table``.

    Parameters
    ----------
    resolutions : list of int
        Cells per axis of each level.
    log2_table : int
        Logarithm of the largest table.

    Returns
    -------
    list of int
        Entries.
    """
    return [min(cells**3, 2**log2_table) for cells in resolutions]


class HashGrid(nn.Module):
    """Learned features on hashed lattices.

    Parameters
    ----------
    levels, features, log2_table, base, finest : int
        Number of levels, features of each, logarithm of the largest table, cells per axis of the first and last level.
    generator : torch.Generator, optional
        Source of the initial features, uniform within 1e-4.
    """

    def __init__(
        self,
        levels: int = 16,
        features: int = 2,
        log2_table: int = 15,
        base: int = 16,
        finest: int = 4096,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.resolutions = level_resolutions(levels, base, finest)
        self.entries = level_entries(self.resolutions, log2_table)
        total = sum(self.entries)
        self.features = features
        self.table = nn.Parameter(torch.empty(total, features).uniform_(-INITIAL_BOUND, INITIAL_BOUND, generator=generator))
        offsets = [sum(self.entries[:level]) for level in range(levels)]
        self.register_buffer("cells", torch.tensor(self.resolutions, dtype=torch.float32))
        self.register_buffer("offsets", torch.tensor(offsets))
        self.register_buffer("primes", torch.tensor(PRIMES)[:, None, None])
        self.odd_levels = [level for level, entries in enumerate(self.entries) if entries & (entries - 1)]
        masks = [LOW_32_BITS if level in self.odd_levels else entries - 1 for level, entries in enumerate(self.entries)]
        self.register_buffer("masks", torch.tensor(masks))

    @property
    def width(self) -> int:
        """Numbers per position."""
        return len(self.entries) * self.features

    def corners(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of the table and weights of the eight corners around each position.

        Parameters
        ----------
        positions : Tensor, shape (n, 3)
            In [0, 1].

        Returns
        -------
        rows, weights : Tensor, shape (8, n, levels)
            The weights add up to 1 over the corners.
        """
        scaled = positions.T[..., None] * self.cells  # axis, n, levels
        lower = scaled.floor()
        above = scaled - lower
        below = 1.0 - above
        keys = lower.long() * self.primes
        upper = keys + self.primes
        # The remainder of a power of two is a mask, and may be taken before the keys are combined.
        sides = (keys.bitwise_and_(self.masks), upper.bitwise_and_(self.masks))
        shares = (below, above)
        rows = torch.empty((8, *keys.shape[1:]), dtype=torch.long, device=keys.device)
        weights = torch.empty(rows.shape, dtype=positions.dtype, device=keys.device)
        for corner in range(8):  # long contiguous operations: the last axes are never as short as two
            x, y, z = corner & 1, corner >> 1 & 1, corner >> 2
            torch.bitwise_xor(sides[x][0], sides[y][1], out=rows[corner])
            rows[corner] ^= sides[z][2]
            torch.mul(shares[x][0], shares[y][1], out=weights[corner])
            weights[corner] *= shares[z][2]
        for level in self.odd_levels:
            rows[..., level] %= self.entries[level]
        return rows.add_(self.offsets), weights

    def forward(self, positions: Tensor) -> Tensor:
        """Return the code of each position.

        Parameters
        ----------
        positions : Tensor, shape (n, 3)
            In [0, 1].

        Returns
        -------
        Tensor, shape (n, levels * features)
            The levels' features one after the other.
        """
        chunk = CPU_CHUNK if positions.device.type == "cpu" else max(1, positions.shape[0])
        corners = [part for piece in positions.split(chunk) for part in self.corners(piece)]
        result: Tensor = _Gather.apply(self.table, *corners)
        return result


class _Gather(torch.autograd.Function):
    """Weighted sum of table rows, shape (n, levels * features); its gradient touches these rows only.

    Adam still sees a gradient for the whole table, zero elsewhere, so that its moments decay there as they should.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, *corners: Tensor) -> Tensor:
        """Take rows and weights of each chunk of positions in turn; keep them."""
        ctx.save_for_backward(*corners)
        ctx.shape = table.shape
        columns = [table[:, at].contiguous() for at in range(table.shape[1])]  # rows of two numbers are slow to pick
        codes = []
        for rows, weights in zip(corners[::2], corners[1::2], strict=True):
            picked = [column.index_select(0, rows.reshape(-1)).view(rows.shape) for column in columns]
            codes.append(torch.stack([values.mul_(weights).sum(0) for values in picked], -1).flatten(1))
        return torch.cat(codes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override,unused-ignore]
        """Add each position's gradient to its rows."""
        corners, (entries, features) = ctx.saved_tensors, ctx.shape
        columns = [torch.zeros(entries, dtype=grad.dtype, device=grad.device) for _ in range(features)]
        start = 0
        for rows, weights in zip(corners[::2], corners[1::2], strict=True):
            here = grad[start : start + rows.shape[1]].view(*rows.shape[1:], features)
            start += rows.shape[1]
            for at, column in enumerate(columns):
                column.scatter_add_(0, rows.reshape(-1), (here[..., at] * weights).reshape(-1))
        return torch.stack(columns, 1), *[None] * len(corners)
