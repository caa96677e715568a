# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows: a progress bar for people, JSON lines for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ..jobs.events import line_of
from ..jobs.report import stage_without_counts

_WIDTH = 28
_QUIET_S = 0.2


def print_event(event: str, **content: object) -> None:
    """Print one event as a line of JSON, as a job's worker does (`jobs.events`).

    Parameters
    ----------
    event : str
        Its kind.
    **content : object
        What it says.
    """
    print(line_of(event, **content), end="", flush=True)


class ConsoleProgress:
    """A progress bar on standard error, or JSON lines on standard output.

    Parameters
    ----------
    json_events : bool
        Print one JSON object per event instead of a bar.
    check_stop : callable, optional
        Called with every step; raises an error when the user asked to stop.
    """

    def __init__(self, *, json_events: bool = False, check_stop: Callable[[], None] | None = None) -> None:
        self._json = json_events
        self._check_stop = check_stop or _never
        self._live = sys.stderr.isatty()
        self._start = time.perf_counter()
        self._last_time = 0.0
        self._last_loss = 0.0
        self._last_stage = ""
        self._open = False

    def __call__(self, fraction: float, stage: str) -> None:
        """Show progress.

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
        new_stage = kind != self._last_stage
        if not new_stage and (now - self._last_time < _QUIET_S or not (self._live or self._json)):
            return
        self._last_time, self._last_stage = now, kind
        if self._json:
            self._event("progress", fraction=round(fraction, 4), stage=stage)
            return
        done = round(_WIDTH * min(max(fraction, 0.0), 1.0))
        bar = f"[{'#' * done}{'.' * (_WIDTH - done)}] {100 * fraction:3.0f} %  {now - self._start:5.1f} s  {stage}"
        print(f"\r\033[K{bar}" if self._live else bar, end="" if self._live else "\n", file=sys.stderr, flush=True)
        self._open = self._live

    def message(self, text: str) -> None:
        """Print a line for the reader (nothing with JSON events, where it becomes a ``log`` event).

        Parameters
        ----------
        text : str
            The line.
        """
        if self._json:
            self._event("log", message=text)
            return
        self.close()
        print(text, flush=True)

    def loss(self, step: int, steps: int, parts: dict[str, float]) -> None:
        """Print the losses of a step of a fit, with JSON events alone, and not more often than progress.

        Parameters
        ----------
        step, steps : int
            Step that is done, and how many there are.
        parts : dict of str to float
            The total as ``loss``, and its parts.
        """
        now = time.perf_counter()
        if self._json and (step >= steps or now - self._last_loss >= _QUIET_S):
            self._last_loss = now
            self._event("loss", step=step, steps=steps, parts=parts)

    def finished(self, outputs: dict[str, object]) -> None:
        """Announce the results.

        Parameters
        ----------
        outputs : dict
            What was made.
        """
        if self._json:
            self._event("finished", outputs=outputs)
        self.close()

    def close(self) -> None:
        """End the line of an open bar."""
        if self._open:
            print(file=sys.stderr, flush=True)
            self._open = False

    def _event(self, event: str, **content: object) -> None:
        print_event(event, seconds=round(time.perf_counter() - self._start, 3), **content)


def _never() -> None:
    """Nobody asks to stop."""
