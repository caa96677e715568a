# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and a polite kill (SIGTERM) end a run in the same way: nothing half-written is left."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from .errors import CancelledError

SENTENCE = "Cancelled; no results were written."


class StopSignals:
    """Turns the first signal into KeyboardInterrupt while the block runs; further ones must not disturb the tidying up.

    The request is kept as well, because an interruption that falls into a callback of a compiled library is
    lost there: `check` raises it again at the next step.
    """

    def __init__(self) -> None:
        self._requested = False
        self._is_finished = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        """Install the handlers; threads other than the main one cannot, and go without."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def check(self) -> None:
        """Raise an error when a stop was requested.

        Raises
        ------
        CancelledError
            If a signal arrived since the block began.
        """
        if self._requested and not self._is_finished:
            raise CancelledError(SENTENCE)

    def finish(self) -> None:
        """Ignore requests from now on: all results are written, and what is left takes no time."""
        self._is_finished = True

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._requested and not self._is_finished:
            self._requested = True
            raise KeyboardInterrupt
