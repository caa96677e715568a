# SPDX-License-Identifier: Apache-2.0
"""What a command that goes on where it was stopped says to whoever stops it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core import CancelledError


@contextmanager
def kept_when_stopped(folder: Path, *patterns: str) -> Iterator[None]:
    """Say what somebody who stops hours of work wants to know: whether the same command goes on with what was done.

    Parameters
    ----------
    folder : Path
        Of the results.
    *patterns : str
        Files in it that the command goes on with.

    Raises
    ------
    CancelledError
        If the user asked to stop.
    """
    try:
        yield
    except (CancelledError, KeyboardInterrupt) as error:
        msg = "Cancelled before anything was finished, so nothing is kept."
        if any(next(folder.glob(pattern), None) for pattern in patterns):
            msg = f"Cancelled; what is finished is kept in '{folder}', and the same command goes on with the rest."
        raise CancelledError(msg) from error
