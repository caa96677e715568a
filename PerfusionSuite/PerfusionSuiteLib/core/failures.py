# SPDX-License-Identifier: Apache-2.0
"""Every error as one sentence and the exit code that a program ends with."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from .errors import CancelledError, NumericalError, OutOfMemoryError, PerfusionError
from .stop import SENTENCE

UNEXPECTED = 1
INVALID_INPUT = 2
CANCELLED = CancelledError.exit_code
OUT_OF_MEMORY = OutOfMemoryError.exit_code
NUMERICAL = NumericalError.exit_code

MEMORY_SENTENCE = "The scan does not fit in this machine's memory. Close other programs or crop the scan, then run again."
GPU_SENTENCE = "The computation does not fit in the memory of the GPU. Choose a smaller batch or the device cpu."
DISK_SENTENCE = "The disk is full. Free space or choose a folder on another disk, then run again."
NUMERICAL_SENTENCE = "The computation broke down on these data ({error}). Try another method or a stronger noise reduction."

_DISK = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows knows no quota


@dataclass(frozen=True, slots=True)
class Failure:
    """What a user is told about an error.

    Parameters
    ----------
    code : int
        Exit code: 2 invalid input, 3 cancelled, 4 out of memory, 5 numerical failure, 1 unexpected.
    kind : str
        Name of the error's class.
    sentence : str
        What is wrong and what to do.
    """

    code: int
    kind: str
    sentence: str


def failure_of(error: BaseException, *, advice: str) -> Failure:
    """Describe an error.

    Parameters
    ----------
    error : BaseException
        What was caught at an outer boundary.
    advice : str
        What to do about an error that nobody foresaw.

    Returns
    -------
    Failure
        Sentence and exit code.
    """
    kind = type(error).__name__
    if isinstance(error, PerfusionError):
        return Failure(error.exit_code, kind, str(error))
    if isinstance(error, KeyboardInterrupt):
        return Failure(CANCELLED, kind, SENTENCE)
    if isinstance(error, MemoryError):  # numpy's own error is a kind of it
        return Failure(OUT_OF_MEMORY, kind, MEMORY_SENTENCE)
    if kind == "OutOfMemoryError":  # torch's, known by its name so that torch need not be imported
        return Failure(OUT_OF_MEMORY, kind, GPU_SENTENCE)
    if isinstance(error, OSError) and error.errno in _DISK:
        return Failure(INVALID_INPUT, kind, DISK_SENTENCE)
    if isinstance(error, FloatingPointError) or kind == "LinAlgError":
        return Failure(NUMERICAL, kind, NUMERICAL_SENTENCE.format(error=error))
    return Failure(UNEXPECTED, kind, f"Unexpected {kind}: {error}. {advice}")
