# SPDX-License-Identifier: Apache-2.0
"""Runs jobs under Qt's event loop: nothing blocks, callbacks come on the main thread, workers end with the application."""

from functools import cache

import qt
import slicer

from PerfusionSuiteLib.jobs import Job, JobFolder
from PerfusionSuiteLib.jobs.launch import worker_command, worker_python_path

TICK_MS = 200
"""How often the next step of cancelling is considered."""

_running = set()


class JobRunner:
    """Starts each job in a QProcess; the counterpart of PerfusionSuiteLib.jobs.SubprocessRunner.

    :param python: the worker's interpreter, None for the one that runs this.
    :param temporaryFolder: where job folders are made.
    """

    def __init__(self, python=None, temporaryFolder=None):
        self._python = python
        self._temporaryFolder = temporaryFolder

    def start(self, spec, *, folder=None, event=None, finished=None):
        """Start a job and return its handle at once.

        :param spec: JobSpec with what to do.
        :param folder: the job's folder, which is kept; a temporary one by default.
        :param event: called with each Event.
        :param finished: called once with the JobOutcome.
        """
        return self._begin(JobFolder.create(spec, path=folder, parent=self._temporaryFolder), event, finished)

    def resume(self, folder, *, event=None, finished=None):
        """Go on with a job that was interrupted, and return its handle at once.

        :param folder: its JobFolder.
        :param event: called with each Event.
        :param finished: called once with the JobOutcome.
        """
        folder.reopen()
        return self._begin(folder, event, finished)

    def _begin(self, folder, event, finished):
        job = QtJob(folder, event, finished)
        job.start(worker_command(folder, self._python))
        return job


class QtJob(Job):
    """A job in a QProcess."""

    def __init__(self, folder, event=None, finished=None):
        super().__init__(folder, event, finished)
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._escalate)
        self._process = qt.QProcess()
        self._process.setProcessChannelMode(qt.QProcess.MergedChannels)
        self._process.connect("readyReadStandardOutput()", self._onReadyRead)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onError)

    def start(self, command):
        """Start the worker.

        :param command: program and arguments.
        """
        environment = qt.QProcessEnvironment.systemEnvironment()
        before = environment.value("PYTHONPATH") if environment.contains("PYTHONPATH") else None
        environment.insert("PYTHONPATH", worker_python_path(before))
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(str(self.folder.path))
        _keepUntilItEnds(self)
        self._process.start(command[0], command[1:])

    def poll(self):
        """Return the state; the event loop brings everything else."""
        return self.state

    def wait(self, timeout_s=None):
        """Wait without an event loop, for scripts; callbacks are called meanwhile. Returns the outcome or None."""
        timer = qt.QElapsedTimer()
        timer.start()
        while self.outcome is None and (timeout_s is None or timer.elapsed() < 1000 * timeout_s):
            self._process.waitForFinished(TICK_MS)
            self._escalate()
        return self.outcome

    def cancel(self):
        """Ask the worker to stop; the timer takes the further steps."""
        super().cancel()
        if self.is_cancelling:
            self._timer.start()

    def _onReadyRead(self):
        self._feed(self._process.readAllStandardOutput().data())

    def _onFinished(self, code, status):
        self._onReadyRead()
        # After a crash Qt gives the number of the signal, where there are signals.
        crashed = status == qt.QProcess.CrashExit and 0 < code < 128
        self._onEnd(-code if crashed else code)

    def _onError(self, error):
        if error == qt.QProcess.FailedToStart:
            self._onEnd(None)

    def _onEnd(self, code):
        self._timer.stop()
        _running.discard(self)
        self._ended(code)

    def _close_input(self):
        self._process.closeWriteChannel()

    def _terminate(self):
        self._process.terminate()

    def _kill(self):
        # PythonSlicer is a launcher: the Python that it started ends because its standard input is closed.
        self._process.kill()


def _keepUntilItEnds(job):
    """A process that nobody holds would be killed, and one that runs on would outlive the application."""
    _connectOnce()
    _running.add(job)


@cache
def _connectOnce():
    slicer.app.connect("aboutToQuit()", _stopAll)


def _stopAll():
    for job in tuple(_running):
        job.stop()
