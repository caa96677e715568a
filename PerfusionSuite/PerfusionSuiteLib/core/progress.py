# SPDX-License-Identifier: Apache-2.0
"""Progress and cancelling: long functions call ``progress(fraction, stage)`` between chunks of work.

The callable may raise `CancelledError`; that is how a user's Cancel reaches the innermost loop.
"""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[float, str], None]
"""Takes the finished fraction (0 to 1) and the name of the stage."""


def no_progress(fraction: float, stage: str) -> None:
    """Accept progress and do nothing with it.

    Parameters
    ----------
    fraction : float
        Finished part, 0 to 1.
    stage : str
        What is being done.
    """


def part_of(progress: ProgressCallback | None, start: float, end: float) -> ProgressCallback:
    """Map the progress of an inner function onto a part of the outer one.

    Parameters
    ----------
    progress : callable or None
        The outer callback; None is accepted and ignored.
    start, end : float
        The part of the outer bar that the inner function fills.

    Returns
    -------
    callable
        A callback for the inner function.
    """
    if progress is None:
        return no_progress
    outer = progress

    def inner(fraction: float, stage: str) -> None:
        outer(start + (end - start) * min(max(fraction, 0.0), 1.0), stage)

    return inner
