# SPDX-License-Identifier: Apache-2.0
"""The worker process: ``python -P -m PerfusionSuiteLib.jobs.worker job.json``.

It does one job, says events on standard output, and ends with the exit codes of the command line: 0 done, 2 invalid
input, 3 cancelled, 4 out of memory, 5 numerical failure, 1 unexpected. It stops when its standard input ends.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..core import CancelledError, InvalidInputError, PerfusionError
from ..core.failures import CANCELLED, INVALID_INPUT, Failure, failure_of
from ..core.memory import share_one_heap
from .folder import JobFolder
from .report import Report
from .stop import StopRequests

_ADVICE = "Run the same scan with 'perfusion-suite --verbose run' and report what it prints."


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the job.

    Parameters
    ----------
    arguments : sequence of str, optional
        Path of the job file; ``sys.argv`` by default.

    Returns
    -------
    int
        Exit code.
    """
    share_one_heap()
    words = list(sys.argv[1:] if arguments is None else arguments)
    path = Path(words[0]) if len(words) == 1 else Path()
    if path.name != "job.json" or not path.is_file():
        sys.stderr.write("Give the path of a job file, job.json.\n")
        return INVALID_INPUT
    folder = JobFolder(path.parent)
    with StopRequests(folder.cancel_file, abandon=folder.abandon) as stop:
        report = Report(folder, sys.stdout, stop.check, stop.be_patient)
        failure = _work(folder, report)
        with suppress(CancelledError):  # nobody listens any more
            _say_the_end(folder, report, failure)
        if stop.is_orphaned:
            folder.abandon()
    return 0 if failure is None else failure.code


def _work(folder: JobFolder, report: Report) -> Failure | None:
    """Do the job; return what went wrong, if anything."""
    from .tasks import find_task

    try:
        spec = folder.read_spec()
        report.emit("started", task=spec.task)
        folder.save_result(find_task(spec.task)(spec, report))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # outermost boundary of the process
        if not isinstance(error, PerfusionError | KeyboardInterrupt):
            with suppress(OSError):
                folder.log_file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        return failure_of(error, advice=_ADVICE)
    return None


def _say_the_end(folder: JobFolder, report: Report, failure: Failure | None) -> None:
    state = "done" if failure is None else "cancelled" if failure.code == CANCELLED else "failed"
    code, kind, sentence = (0, "", "") if failure is None else (failure.code, failure.kind, failure.sentence)
    with suppress(InvalidInputError):  # on a full disk the stream alone tells
        folder.write_status({"state": state, "code": code, "error": kind, "message": sentence})
    if failure is None:
        report.emit("finished")
    else:
        report.emit("failed", code=code, error=kind, message=sentence)


if __name__ == "__main__":
    sys.exit(main())
