# SPDX-License-Identifier: Apache-2.0
"""The four ways in which a worker is asked to stop: signals, a cancel file, and the end of its standard input.

The last one is how a worker notices that the program that started it is gone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType

from ..core import CancelledError
from ..core.failures import CANCELLED
from ..core.stop import SENTENCE, StopSignals

GRACE_S = 10.0
"""A worker whose starter is gone and that does not come to its next step within this time ends at once."""

PATIENT_GRACE_S = 30.0
"""The same for a fit, whose steps may be long and which writes a checkpoint after the one that it is at."""

_LOOK_S = 0.2


class StopRequests(StopSignals):
    """Turns every kind of request into `CancelledError` at the next step.

    Parameters
    ----------
    cancel_file : Path or None
        The job shall stop when it appears; without one nobody asks in this way.
    stdin : int, optional
        File descriptor whose end means that nobody waits for the job any more.
    abandon : callable, optional
        Called before a worker that nobody waits for is ended by force.
    """

    def __init__(self, cancel_file: Path | None, stdin: int | None = 0, abandon: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._file = cancel_file
        self._stdin = stdin
        self._abandon = abandon
        self._orphaned = threading.Event()
        self._over = threading.Event()
        self._next_look = 0.0
        self._is_patient = False

    def be_patient(self) -> None:
        """Let a fit come to the end of its step, where it keeps what it has reached, instead of interrupting it there."""
        self._is_patient = True

    def __enter__(self) -> StopRequests:
        """Begin to watch."""
        super().__enter__()
        if self._stdin is not None:
            threading.Thread(target=self._watch, args=(self._stdin,), daemon=True, name="standard input").start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop to watch."""
        self._over.set()
        super().__exit__(kind, error, trace)

    def check(self) -> None:
        """Raise an error when a stop was requested.

        Raises
        ------
        CancelledError
            If somebody asked.
        """
        super().check()
        if self._orphaned.is_set() or self._file_appeared():
            raise CancelledError(SENTENCE)

    @property
    def is_orphaned(self) -> bool:
        """True when the starter went away without having asked to stop."""
        return self._orphaned.is_set() and not self._is_asked()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._is_patient and (self._orphaned.is_set() or self._is_asked()):
            self._requested = True  # it was asked before, and will stop at its next step
            return
        super()._stop(number, frame)

    def _file_appeared(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_S
        return self._is_asked()

    def _is_asked(self) -> bool:
        return self._file is not None and self._file.exists()

    def _watch(self, descriptor: int) -> None:
        try:
            while os.read(descriptor, 4096):  # not sys.stdin, whose lock would be held when Python ends
                pass
        except OSError:
            return  # there is no standard input: nobody promised to keep one open
        self._orphaned.set()
        if not self._over.wait(GRACE_S) and not (self._is_patient and self._over.wait(PATIENT_GRACE_S - GRACE_S)):
            if self._abandon is not None and self.is_orphaned:
                self._abandon()
            os._exit(CANCELLED)
