# SPDX-License-Identifier: Apache-2.0
"""How a task tells the outside what it does."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TextIO

from ..core import CancelledError, QualityFinding
from ..core.stop import SENTENCE
from .events import line_of
from .folder import JobFolder

_QUIET_S = 0.1

_WINDOW_S, _LEAST_S = 20.0, 2.0
"""The remaining time is guessed from the speed of the last while, once that was long enough: stages differ in speed."""


def stage_without_counts(stage: str) -> str:
    """Return the name of a stage without what counts in it: "step 3 of 500" is the same stage as "step 4 of 500".

    Parameters
    ----------
    stage : str
        What is being done.

    Returns
    -------
    str
        Equal for all steps of a stage.
    """
    return re.sub(r"\d+(\.\d+)?", "#", stage)


class Report:
    """Says events on a stream and keeps them in the job's folder.

    Parameters
    ----------
    folder : JobFolder
        Where to keep them.
    stream : text stream
        Where to say them.
    check_stop : callable
        Raises `CancelledError` when the job shall stop; called with every progress.
    be_patient : callable, optional
        Called when a fit has begun, which must not be interrupted within a step.
    """

    def __init__(
        self,
        folder: JobFolder,
        stream: TextIO,
        check_stop: Callable[[], None],
        be_patient: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self._stream = stream
        self._check_stop = check_stop
        self.be_patient = be_patient or _nothing
        self._start = time.perf_counter()
        self._last_time = -_QUIET_S
        self._last_stage = ""
        self._speed: deque[tuple[float, float]] = deque()
        self._said: set[QualityFinding] = set()

    def emit(self, kind: str, **content: object) -> None:
        """Say anything.

        Parameters
        ----------
        kind : str
            Kind of the event, see `events`.
        **content : object
            What it says.
        """
        line = line_of(kind, seconds=round(self.seconds, 3), **content)
        with suppress(OSError), self.folder.events_file.open("a", encoding="utf-8") as file:  # a full disk silences nobody
            file.write(line)
        try:
            self._stream.write(line)
            self._stream.flush()
        except BrokenPipeError as error:
            # The reader is gone: nobody waits for the job. Python would complain once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise CancelledError(SENTENCE) from error

    def progress(self, fraction: float, stage: str) -> None:
        """Say how far the work is; raises when the job shall stop.

        Parameters
        ----------
        fraction : float
            Finished part, 0 to 1.
        stage : str
            What is being done.
        """
        self._check_stop()
        now = time.perf_counter()
        kind = stage_without_counts(stage)
        if kind != self._last_stage:
            self._speed.clear()
        elif now - self._last_time < _QUIET_S:
            return
        self._last_time, self._last_stage = now, kind
        done = min(max(fraction, 0.0), 1.0)
        self.emit("progress", fraction=round(done, 4), stage=stage, left_s=self._left_s(now, done))

    def _left_s(self, now: float, done: float) -> float | None:
        """Guess the remaining time from the speed of this stage; None while it is not known."""
        self._speed.append((now, done))
        while now - self._speed[0][0] > _WINDOW_S:
            self._speed.popleft()
        then, before = self._speed[0]
        if now - then < _LEAST_S or done <= before:
            return None
        return round((now - then) * (1.0 - done) / (done - before), 1)

    def finding(self, finding: QualityFinding) -> None:
        """Say something that the user should know about the data; once, also when it is found again at the end.

        Parameters
        ----------
        finding : QualityFinding
            The finding.
        """
        if finding in self._said:
            return
        self._said.add(finding)
        self.emit("finding", **asdict(finding))

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._start


def _nothing() -> None:
    """Do nothing."""
