# SPDX-License-Identifier: Apache-2.0
"""A job as its starter sees it: what it said, how it ended, and the three steps of cancelling.

How a process is started, read and killed is up to the runners; all that follows from it is here, once.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol

from .events import Event, EventReader
from .folder import JobFolder
from .outcome import JobOutcome, outcome_of
from .spec import JobSpec

ASK_S = 3.0
TERMINATE_S = 3.0
"""Time that a worker has after being asked, and after being terminated."""

PATIENT_S = 25.0
"""The latter for a fit, whose steps may be long and which writes a checkpoint after the one that it is at."""

State = Literal["running", "done", "cancelled", "failed"]
OnEvent = Callable[[Event], None]
OnFinished = Callable[[JobOutcome], None]

_KEPT_LINES = 100


class Job(ABC):
    """A job whose worker was started.

    Parameters
    ----------
    folder : JobFolder
        The job's folder.
    event : callable, optional
        Called with each `Event`.
    finished : callable, optional
        Called once with the `JobOutcome`, after the last event.
    """

    def __init__(self, folder: JobFolder, event: OnEvent | None = None, finished: OnFinished | None = None) -> None:
        self.folder = folder
        self.outcome: JobOutcome | None = None
        self._event = event
        self._finished = finished
        self._reader = EventReader()
        self._log: list[str] = []
        self._failure: Event | None = None
        self._asked_at: float | None = None
        self._steps = 0
        self._is_fit = False

    @property
    def state(self) -> State:
        """Whether the job runs, and else how it ended."""
        return "running" if self.outcome is None else self.outcome.state

    @property
    def is_cancelling(self) -> bool:
        """True from `cancel` until the worker has ended."""
        return self._asked_at is not None and self.outcome is None

    def cancel(self) -> None:
        """Ask the worker to stop; after 3 s it is terminated, after another 3 s (a fit: 25 s) killed. Returns at once."""
        if self.outcome is not None or self._asked_at is not None:
            return
        self._asked_at = time.monotonic()
        with suppress(OSError):  # on a full disk the closed input alone must do
            self.folder.cancel_file.touch()
        self._close_input()

    def ask_preview(self, quantities: Sequence[str]) -> None:
        """Say which maps the worker shall show while it computes.

        Parameters
        ----------
        quantities : sequence of str
            Such as ``tmax``; none ends the previews.
        """
        with suppress(OSError):  # the worker computes without being watched
            self.folder.preview_file.write_text(" ".join(quantities), encoding="utf-8")

    def stop(self) -> None:
        """End the worker now, for a program that is about to end itself."""
        if self.outcome is None:
            self.cancel()
            self._steps = 2
            self._kill()

    def result(self) -> Any:
        """Return what the task made.

        Returns
        -------
        object
            For example a `Study`; large arrays stay on disk until they are looked at.

        Raises
        ------
        PerfusionError
            If the job runs, failed or was cancelled.
        """
        if self.outcome is not None:
            self.outcome.check()
        return self.folder.load_result()

    @abstractmethod
    def poll(self) -> State:
        """Handle what the worker said since the last call; never waits.

        Returns
        -------
        str
            The state.
        """

    @abstractmethod
    def wait(self, timeout_s: float | None = None) -> JobOutcome | None:
        """Wait until the job has ended.

        Parameters
        ----------
        timeout_s : float, s, optional
            Wait no longer than this.

        Returns
        -------
        JobOutcome or None
            How it ended, None when it still runs.
        """

    @abstractmethod
    def _close_input(self) -> None:
        """Close the worker's standard input."""

    @abstractmethod
    def _terminate(self) -> None:
        """Ask the operating system to end the worker."""

    @abstractmethod
    def _kill(self) -> None:
        """Make the operating system end the worker and what it started."""

    def _escalate(self) -> None:
        """Take the next step of cancelling when its time has come. Runners call it regularly while `is_cancelling`."""
        if self._asked_at is None or self.outcome is not None:
            return
        waited = time.monotonic() - self._asked_at
        if self._steps == 0 and waited >= ASK_S:
            self._steps = 1
            self._terminate()
        elif self._steps == 1 and waited >= ASK_S + (PATIENT_S if self._is_fit else TERMINATE_S):
            self._steps = 2
            self._kill()

    def _feed(self, chunk: bytes | str) -> None:
        """Handle a part of what the worker wrote."""
        self._handle(self._reader.feed(chunk))

    def _ended(self, code: int | None) -> None:
        """Handle the end of the worker; `code` is None when it could not be started."""
        if self.outcome is not None:
            return
        self._handle(self._reader.close())
        said = None if self._failure is None else dict(self._failure.content)
        self.outcome = outcome_of(self.folder.read_status() or said, code, cancelled=self._asked_at is not None, log=self._log)
        if self._finished is not None:
            self._finished(self.outcome)

    def _handle(self, events: list[Event]) -> None:
        for item in events:
            if item.kind == "log":
                self._log = [*self._log, str(item.content.get("message", ""))][-_KEPT_LINES:]
            elif item.kind == "failed":
                self._failure = item
            elif item.kind == "loss":
                self._is_fit = True
            if self._event is not None:
                self._event(item)


class Runner(Protocol):
    """Starts jobs; one for plain Python, one for Qt."""

    def start(self, spec: JobSpec, *, event: OnEvent | None = None, finished: OnFinished | None = None) -> Job:
        """Start a job and return at once.

        Parameters
        ----------
        spec : JobSpec
            What to do.
        event : callable, optional
            Called with each `Event`.
        finished : callable, optional
            Called once with the `JobOutcome`.

        Returns
        -------
        Job
            The running job.
        """
        ...

    def resume(self, folder: JobFolder, *, event: OnEvent | None = None, finished: OnFinished | None = None) -> Job:
        """Go on with a job that was cancelled or whose worker died; returns at once.

        Parameters
        ----------
        folder : JobFolder
            Its folder.
        event, finished : callable, optional
            See `start`.

        Returns
        -------
        Job
            The running job.
        """
        ...
