# SPDX-License-Identifier: Apache-2.0
"""Learning rates by step: the one-cycle policy with any warm-up share, zero included, and halving at fixed times."""

from __future__ import annotations

import math
from collections.abc import Sequence

START_DIVISOR = 25.0
END_DIVISOR = 1e4


def one_cycle(step: int, steps: int, rate: float, warm_up: float = 0.0) -> float:
    """Return the rate of a step: a rise from rate/25 during the warm-up, then a cosine descent to rate/250000.

    Parameters
    ----------
    step, steps : int
        Step from 0, and their number.
    rate : float
        The highest rate.
    warm_up : float
        Share of the steps in which the rate rises; with 0 the first step has the highest rate.

    Returns
    -------
    float
        The rate.

    References
    ----------
    Smith and Topin, arXiv:1708.07120; with the divisors that are usual in PyTorch.
    """
    low, end = rate / START_DIVISOR, rate / START_DIVISOR / END_DIVISOR
    peak = round(warm_up * steps)
    if step < peak:
        return _cosine(low, rate, step / peak)
    return _cosine(rate, end, (step - peak) / max(1, steps - 1 - peak))


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
