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
        self.register_buffer("cells", torch.tensor(self.resolutions, dtype=torch.float32)[:, None])
        self.register_buffer("offsets", torch.tensor(offsets)[:, None])
        self.register_buffer("primes", torch.tensor(PRIMES))

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
        rows, weights : Tensor, shape (n, levels, 8)
            They add up to 1.
        """
        scaled = positions[:, None, :] * self.cells
        lower = scaled.floor()
        fraction = scaled - lower
        keys = lower.long() * self.primes
        keys = torch.stack([keys, keys + self.primes], -1)  # n, levels, axis, (lower, upper)
        code = keys[:, :, 0, :, None, None] ^ keys[:, :, 1, None, :, None] ^ keys[:, :, 2, None, None, :]
        code = code.flatten(2) & LOW_32_BITS
        rows = self._wrapped(code) + self.offsets
        share = torch.stack([1.0 - fraction, fraction], -1)
        weights = share[:, :, 0, :, None, None] * share[:, :, 1, None, :, None] * share[:, :, 2, None, None, :]
        return rows, weights.flatten(2)

    def _wrapped(self, code: Tensor) -> Tensor:
        """Bring codes into each level's table; the remainder of a power of two is a mask, which is much faster."""
        odd = [level for level, entries in enumerate(self.entries) if entries & (entries - 1)]
        kept = {level: code[:, level] % self.entries[level] for level in odd}
        code = code & torch.tensor([entries - 1 for entries in self.entries], device=code.device)[:, None]
        for level, rows in kept.items():
            code[:, level] = rows
        return code

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
        rows, weights = self.corners(positions)
        result: Tensor = _Gather.apply(self.table, rows, weights)
        return result


class _Gather(torch.autograd.Function):
    """Weighted sum of table rows; its gradient touches these rows only."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """Keep rows and weights."""
        ctx.save_for_backward(rows, weights)
        ctx.shape = table.shape
        picked = table.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
        return torch.einsum("nlcf,nlc->nlf", picked, weights).flatten(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override,unused-ignore]
        """Add each position's gradient to its rows."""
        rows, weights = ctx.saved_tensors
        spread = grad.view(*rows.shape[:2], 1, -1) * weights[..., None]
        total = torch.zeros(ctx.shape, dtype=grad.dtype, device=grad.device)
        total.index_add_(0, rows.reshape(-1), spread.reshape(-1, ctx.shape[1]))
        return total, None, None
