# SPDX-License-Identifier: Apache-2.0
"""What trainings do alike: go on until they are done, keep what was reached, undo a broken epoch, take a step or leave it out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..core.errors import CancelledError, NumericalError

KEPT_S, MOST_LOST = 60.0, 20


def go_on(is_done: Callable[[], bool], work: Callable[[], str], keep: Callable[[], None], say: Callable[[str], None]) -> None:
    """Work until it is done; keep what was reached each minute, at the end, and when somebody stops it.

    Parameters
    ----------
    is_done : callable
        Asked before each piece of work.
    work : callable
        Does a piece and returns a line about it.
    keep : callable
        Writes a checkpoint.
    say : callable
        Takes the lines.

    Raises
    ------
    CancelledError
        If the work says so.
    """
    kept_at, is_new = time.perf_counter(), False
    try:
        while not is_done():
            line = work()
            is_new = True
            say(line)
            if time.perf_counter() - kept_at > KEPT_S:
                keep()
                kept_at, is_new = time.perf_counter(), False
    except (CancelledError, KeyboardInterrupt):
        if is_new:
            keep()
        raise
    if is_new:
        keep()


def time_words(seconds: float) -> str:
    """Return a time for readers: seconds below two minutes, minutes above.

    Parameters
    ----------
    seconds : float, s
        The time.

    Returns
    -------
    str
        Such as ``43 min``.
    """
    return f"{seconds:.0f} s" if seconds < 120.0 else f"{seconds / 60:.0f} min"


@contextmanager
def whole_or_undone(network: Any, optimizer: Any) -> Iterator[None]:
    """Put network and optimizer back to what they were before an epoch that is stopped within: it is done again later."""
    from .training_state import copied

    weights, moments = copied(network, optimizer)
    try:
        yield
    except (CancelledError, KeyboardInterrupt):
        network.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        raise


@dataclass(slots=True)
class Steps:
    """Takes steps, and counts how many in a row had to be left out.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained.
    optimizer : torch.optim.Optimizer
        Of its parameters.
    """

    network: Any
    optimizer: Any
    lost: int = 0

    def take(self, loss: Any, rate: float, clip: float, epoch: int) -> float:
        """Take a step, unless its gradient is no number.

        Parameters
        ----------
        loss : tensor
            Of the step.
        rate : float
            Learning rate.
        clip : float
            Largest length of the gradient.
        epoch : int
            Number of the epoch, for the message.

        Returns
        -------
        float
            The loss; NaN when the step was left out.

        Raises
        ------
        NumericalError
            If that happens too often in a row.
        """
        import torch

        value = float(loss.detach())
        self.optimizer.zero_grad()
        loss.backward()
        length = torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        if not (math.isfinite(value) and bool(torch.isfinite(length))):
            self.lost += 1
            self.optimizer.zero_grad()
            if self.lost > MOST_LOST:
                msg = f"The loss ran away in epoch {epoch}. Lower the learning rate."
                raise NumericalError(msg)
            return float("nan")
        self.lost = 0
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return value
