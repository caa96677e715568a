# SPDX-License-Identifier: Apache-2.0
"""Learning rates by step: the one-cycle policy with any warm-up share, zero included, and halving at fixed times."""

from __future__ import annotations

import math
from collections.abc import Sequence

START_DIVISOR = 25.0
END_DIVISOR = 1e4


def one_cycle(share: float, rate: float, warm_up: float = 0.0) -> float:
    """Return the rate: a rise from rate/25 during the warm-up, then a cosine descent to rate/250000.

    Parameters
    ----------
    share : float
        What is done: 0 at the first step, 1 at the last.
    rate : float
        The highest rate.
    warm_up : float
        Share in which the rate rises; with 0 the first step has the highest rate.

    Returns
    -------
    float
        The rate.

    References
    ----------
    Smith and Topin, arXiv:1708.07120; with the divisors that are usual in PyTorch.
    """
    low, end = rate / START_DIVISOR, rate / START_DIVISOR / END_DIVISOR
    if share < warm_up:
        return _cosine(low, rate, share / warm_up)
    return _cosine(rate, end, (share - warm_up) / max(1.0 - warm_up, 1e-9))


def share_done(step: int, steps: int) -> float:
    """Return 0 for the first of some steps and 1 for the last."""
    return step / max(1, steps - 1)


def _cosine(start: float, end: float, share: float) -> float:
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * min(share, 1.0)))


def halved(step: int, rate: float, at: Sequence[int]) -> float:
    """Return the rate of a step when it is halved at certain steps.

    Parameters
    ----------
    step : int
        Step from 0.
    rate : float
        The rate at first.
    at : sequence of int
        Steps from which on it is halved once more.

    Returns
    -------
    float
        The rate.
    """
    return rate * 0.5 ** sum(step >= turn for turn in at)
