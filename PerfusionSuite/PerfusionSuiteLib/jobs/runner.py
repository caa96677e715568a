# SPDX-License-Identifier: Apache-2.0
"""Runs jobs from plain Python: console, scripts, Slicer without a main window."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

from ..core import MissingPackageError
from .folder import JobFolder
from .job import Job, OnEvent, OnFinished, State
from .launch import worker_command, worker_python_path
from .outcome import JobOutcome
from .spec import JobSpec

_TICK_S = 0.1
_SILENT_S = 1.0
"""A worker that has ended may leave its output open in a process that it started: the rest is awaited this long."""

_POSIX = os.name == "posix"


class SubprocessRunner:
    """Starts each job in a process of its own and reads it from a thread.

    Callbacks are called by the thread that calls `Job.poll` or `Job.wait`.

    Parameters
    ----------
    python : str, optional
        The interpreter: PythonSlicer inside of Slicer, by default the one that runs this.
    temporary_folder : Path, optional
        Where job folders are made that nobody named.
    """

    def __init__(self, python: str | None = None, *, temporary_folder: Path | None = None) -> None:
        self._python = python
        self._temporary_folder = temporary_folder

    def start(
        self,
        spec: JobSpec,
        *,
        folder: Path | None = None,
        event: OnEvent | None = None,
        finished: OnFinished | None = None,
    ) -> Job:
        """Start a job and return at once.

        Parameters
        ----------
        spec : JobSpec
            What to do.
        folder : Path, optional
            The job's folder, which is kept. By default a temporary one, gone with the job.
        event : callable, optional
            Called with each `Event`.
        finished : callable, optional
            Called once with the `JobOutcome`.

        Returns
        -------
        Job
            The running job.

        Raises
        ------
        InvalidInputError
            If the folder cannot be written to.
        MissingPackageError
            If the interpreter cannot be started.
        """
        return _PopenJob(JobFolder.create(spec, path=folder, parent=self._temporary_folder), self._python, event, finished)

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

        Raises
        ------
        InvalidInputError
            If there is nothing to go on with.
        MissingPackageError
            If the interpreter cannot be started.
        """
        folder.reopen()
        return _PopenJob(folder, self._python, event, finished)


class _PopenJob(Job):
    """A job in a `subprocess.Popen`."""

    def __init__(
        self, folder: JobFolder, python: str | None, event: OnEvent | None = None, finished: OnFinished | None = None
    ) -> None:
        super().__init__(folder, event, finished)
        command = worker_command(folder, python)
        environment = {**os.environ, "PYTHONPATH": worker_python_path(os.environ.get("PYTHONPATH"))}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder.path,
                env=environment,
                start_new_session=_POSIX,  # Ctrl-C reaches this process, which then cancels in order
                creationflags=0 if _POSIX else getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            folder.remove()
            msg = f"The Python interpreter '{command[0]}' cannot be started ({error.strerror}). Check the installation."
            raise MissingPackageError(msg) from error
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closed = False
        self._gone_at: float | None = None
        assert self._process.stdout is not None  # a pipe was asked for
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True, name="worker output").start()

    def poll(self) -> State:
        """Handle what the worker said since the last call; never waits."""
        self._take(0.0)
        return self.state

    def wait(self, timeout_s: float | None = None) -> JobOutcome | None:
        """Wait until the job has ended; an interruption (Ctrl-C, an error of a callback) ends it."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while self.outcome is None and (end is None or time.monotonic() < end):
                self._take(_TICK_S)
        except BaseException:
            self._event = self._finished = None
            self.cancel()
            while self.outcome is None:
                self._take(_TICK_S)
            raise
        return self.outcome

    def _take(self, wait_s: float) -> None:
        """Handle everything that is there, after waiting for the first."""
        try:
            while True:
                chunk = self._chunks.get(block=wait_s > 0, timeout=wait_s or None)
                wait_s = 0.0
                if chunk is None:
                    self._closed = True
                else:
                    self._feed(chunk)
        except queue.Empty:
            pass
        self._escalate()
        code = self._process.poll()
        if code is None or self.outcome is not None:
            return
        self._gone_at = self._gone_at or time.monotonic()
        if self._closed or time.monotonic() - self._gone_at > _SILENT_S:
            self._close_input()
            self._ended(code)

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe is a BufferedReader
                self._chunks.put(chunk)
        self._chunks.put(None)

    def _close_input(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _terminate(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def _kill(self) -> None:
        if self._process.poll() is not None:
            return
        if _POSIX:
            os.killpg(self._process.pid, signal.SIGKILL)  # a launcher such as PythonSlicer and what it started
        else:
            self._process.kill()
