# SPDX-License-Identifier: Apache-2.0
"""Runs a training loop for somebody who looks on, may cancel, and may want to go on later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...core.errors import CancelledError
from ...core.progress import ProgressCallback
from ...core.watch import FitWatch, Preview
from .loop import Loop

TOLD_S = 0.25
"""Progress and previews are offered no more often than this."""

KEPT_S = 30.0
"""A checkpoint is written this often, in case that the process is ended without a word."""

WARM_STEPS = 8
"""Steps after which the time of a step is known."""


@dataclass(frozen=True, slots=True)
class Runner:
    """How a loop is run.

    Parameters
    ----------
    watch : FitWatch
        Takes losses, previews and notes.
    progress : callable
        Progress and cancelling, of all that remains.
    keep : callable
        Writes a checkpoint of the loop that runs.
    preview : callable
        Makes maps of the present state.
    time_limit_s : float, s, optional
        Time that the loop may take.
    before, after : int
        Steps of other loops of the same fit, which the watch is told as one.
    """

    watch: FitWatch
    progress: ProgressCallback
    keep: Callable[[], None]
    preview: Preview
    time_limit_s: float | None = None
    before: int = 0
    after: int = 0

    def run(self, loop: Loop, stage: str) -> None:
        """Train to the last step.

        Parameters
        ----------
        loop : Loop
            What to run.
        stage : str
            What is being done, for the progress.

        Raises
        ------
        CancelledError
            If progress says so; a checkpoint was written then.
        """
        told_at = kept_at = time.perf_counter()
        try:
            self.progress(loop.step / loop.steps, _words(stage, loop))
            while loop.step < loop.steps:
                parts = loop.advance()
                if parts is not None:
                    self.watch.loss(self.before + loop.step, self.before + loop.steps + self.after, parts)
                self._limit(loop)
                now = time.perf_counter()
                if now - kept_at > KEPT_S:
                    self.keep()
                    kept_at = now
                if now - told_at > TOLD_S:
                    told_at = now
                    self.watch.preview(self.preview)
                    self.progress(loop.step / loop.steps, _words(stage, loop))
        except (CancelledError, KeyboardInterrupt):
            self.keep()
            raise
        self.keep()  # whoever cancels while maps are made loses nothing

    def _limit(self, loop: Loop) -> None:
        """Cut steps so that the rest fits in the time, and say so the first time."""
        if self.time_limit_s is None or loop.step < WARM_STEPS or loop.step % WARM_STEPS:
            return
        before = loop.steps
        if loop.shorten(self.time_limit_s) and not loop.told_short:
            loop.told_short = True
            self.watch.note(
                "fit_shortened",
                f"In {self.time_limit_s:g} s there is time for about {loop.steps} of {before} steps; the fit was shortened.",
                "Allow more time, or use a GPU, for the full number of steps.",
                steps=loop.steps,
                wanted=before,
            )


def _words(stage: str, loop: Loop) -> str:
    return f"{stage}, step {loop.step} of {loop.steps}"
