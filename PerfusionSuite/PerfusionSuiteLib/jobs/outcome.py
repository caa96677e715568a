# SPDX-License-Identifier: Apache-2.0
"""How a job ended, also when the worker could not say so itself."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core import CancelledError, InvalidInputError, NumericalError, OutOfMemoryError, PerfusionError
from ..core.failures import CANCELLED, OUT_OF_MEMORY, UNEXPECTED
from ..core.stop import SENTENCE

_KILLED = (-9, 128 + 9)
_ERRORS: Mapping[int, type[PerfusionError]] = {
    error.exit_code: error for error in (InvalidInputError, CancelledError, OutOfMemoryError, NumericalError)
}


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended.

    Parameters
    ----------
    state : {"done", "cancelled", "failed"}
        In one word. Cancelling is an outcome, no error.
    code : int
        Exit code, as of the command line.
    message : str
        What is wrong and what to do; empty when all is well.
    error : str
        Class of the error, empty without one.
    """

    state: Literal["done", "cancelled", "failed"]
    code: int = 0
    message: str = ""
    error: str = ""

    def check(self) -> None:
        """Raise what the job failed with.

        Raises
        ------
        PerfusionError
            An error whose class fits the exit code, with the worker's sentence; `CancelledError` after a cancel.
        """
        if self.state != "done":
            raise _ERRORS.get(self.code, PerfusionError)(self.message)


def outcome_of(said: Mapping[str, Any] | None, code: int | None, *, cancelled: bool, log: Sequence[str]) -> JobOutcome:
    """Judge how a job ended.

    Parameters
    ----------
    said : mapping or None
        What the worker said about its end: ``state``, ``code``, ``message``, ``error``.
    code : int or None
        Exit code of its process, negative for a signal; None when it could not be started.
    cancelled : bool
        Whether the user asked to stop; then that is the outcome, whatever came in between.
    log : sequence of str
        Other lines that it printed.

    Returns
    -------
    JobOutcome
        The outcome.
    """
    if cancelled:
        return JobOutcome("cancelled", CANCELLED, SENTENCE, "CancelledError")
    if said is not None:
        number = int(said.get("code", UNEXPECTED))
        if number == 0 and code == 0:
            return JobOutcome("done")
        if number != 0:
            state: Literal["cancelled", "failed"] = "cancelled" if number == CANCELLED else "failed"
            return JobOutcome(state, number, str(said.get("message", "")), str(said.get("error", "")))
    if code in _KILLED:
        sentence = (
            "The computation was stopped by the operating system, most likely because memory ran out. "
            "Close other programs or crop the scan, then run again."
        )
        return JobOutcome("failed", OUT_OF_MEMORY, sentence, "OutOfMemoryError")
    return JobOutcome("failed", UNEXPECTED, _unexplained(code, log), "")


def _unexplained(code: int | None, log: Sequence[str]) -> str:
    last = next((line for line in reversed(log) if line.strip()), "")
    hint = f" (its last words: {last[:200]})" if last else ""
    if code is None:
        return f"The worker process could not be started{hint}. Check that Python runs on this machine, then run again."
    name = ""
    if code < 0 and sys.platform != "win32":
        try:
            name = f", {signal.Signals(-code).name}"
        except ValueError:
            name = ""
    return f"The computation ended unexpectedly (exit code {code}{name}){hint}. Run it again and report it if it happens again."
