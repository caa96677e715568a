# SPDX-License-Identifier: Apache-2.0
"""Generators of chance with a seed."""

from __future__ import annotations

import torch


def seeded(seed: int, device: torch.device | None = None) -> torch.Generator:
    """Return a generator.

    Parameters
    ----------
    seed : int
        Its seed.
    device : torch.device, optional
        Where it draws; the CPU by default.

    Returns
    -------
    torch.Generator
        Same seed, same device: same numbers.
    """
    return torch.Generator(device or torch.device("cpu")).manual_seed(seed)
