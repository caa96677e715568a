# SPDX-License-Identifier: Apache-2.0
"""The lower part of a panel: Apply that becomes Cancel, progress, one sentence on how it went, and findings."""

import logging
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from PerfusionSuiteLib.core import PerfusionError
from PerfusionSuiteLib.core.failures import failure_of

ERROR_STYLE = "color: #c62828;"
MARKS = {"error": "✖", "warning": "⚠", "info": "ℹ"}


class JobPanel(VTKObservationMixin):
    """Starts a job, follows it, and tells the user about it.

    :param layout: the panel's layout; the widgets are added at its end.
    :param start: called with the keyword arguments progressCallback and finishedCallback; returns a handle such as
        StudyJob, or None when the work is done already.
    :param done: called with the handle when the work has succeeded.
    :param stateChanged: called without arguments when a job has started or ended.
    :param prepare: called without arguments when Apply was pressed, before the work is started; may ask the user.
    """

    def __init__(self, layout, start, done=None, stateChanged=None, prepare=None):
        VTKObservationMixin.__init__(self)
        self.job = None
        self._start = start
        self._done = self._currentDone = done
        self._stateChanged, self._prepare = stateChanged, prepare
        self._doneSentence = ""
        self._isGone = self._isClosed = False
        self._isReady = False
        self._numberOfFindings = 0
        self._hint = self._toolTip = ""
        self._makeWidgets(layout)
        self.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.resumeButton.connect("clicked(bool)", self.onResumeButton)
        self.discardButton.connect("clicked(bool)", self.onDiscardButton)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneClose)
        self._update()

    def _makeWidgets(self, layout):
        self.applyButton = qt.QPushButton()
        self.applyButton.objectName = "applyButton"
        self.resumeButton = qt.QPushButton(_("Resume"))
        self.resumeButton.objectName = "resumeButton"
        self.resumeButton.toolTip = _("Go on where the interrupted fit was; Apply starts it anew and forgets that")
        self.discardButton = qt.QPushButton(_("Discard"))
        self.discardButton.objectName = "discardButton"
        self.discardButton.toolTip = _("Remove what the interrupted fit has kept on the disk")
        row = qt.QHBoxLayout()
        for button in (self.resumeButton, self.discardButton):
            button.visible = False
            row.addWidget(button)
        self.progressBar = qt.QProgressBar()
        self.progressBar.objectName = "progressBar"
        self.progressBar.visible = False
        self.statusLabel = qt.QLabel()
        self.statusLabel.objectName = "statusLabel"
        self.statusLabel.wordWrap = True
        self.findingsList = qt.QListWidget()
        self.findingsList.objectName = "findingsList"
        self.findingsList.wordWrap = True
        self.findingsList.alternatingRowColors = True
        self.findingsList.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        self.findingsList.maximumHeight = 160
        self.findingsList.toolTip = _("What the analysis noticed about the data, and what can be done about it")
        self.findingsList.visible = False
        layout.addWidget(self.applyButton)
        layout.addLayout(row)
        for widget in (self.progressBar, self.statusLabel, self.findingsList):
            layout.addWidget(widget)

    def setReady(self, isReady, hint):
        """Say whether Apply can be pressed.

        :param isReady: whether all inputs are there.
        :param hint: what Apply does, or what is missing; shown as its tool tip.
        """
        if self.statusLabel.text == self._hint:  # nothing else was said
            self._say("" if isReady else hint)
        self._isReady, self._hint = isReady, "" if isReady else hint
        self._toolTip = hint
        self._update()

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self.removeObservers()
        self._isGone = True  # the widgets will not outlive this call, the worker may
        if self.isRunning:
            self.job.stop()
        self._discard()

    @property
    def isRunning(self):
        """Whether a job runs."""
        return self.job is not None and self.job.state == "running"

    def onApplyButton(self, checked=False):
        """Start a job, or cancel the one that runs."""
        if self.isRunning:
            self._say(_("Cancelling..."))
            self.applyButton.enabled = False
            self.job.cancel()
            return
        if self._prepare is not None:
            self._prepare()
        self.begin(self._start, _("Done. The results are in the Data module."), self._done)

    def onResumeButton(self, checked=False):
        """Go on with the fit that was interrupted."""
        job, self.job = self.job, None
        self.begin(partial(_resume, job), self._doneSentence, self._currentDone)
        if self.job is None:  # it could not be started
            self.job = job
            self._update()

    def onDiscardButton(self, checked=False):
        """Forget the fit that was interrupted."""
        self._discard()
        self._say(_("Discarded."))
        self._update()

    @property
    def canResume(self):
        """Whether the last job was interrupted and left something to go on from."""
        return getattr(self.job, "canResume", False)

    def _discard(self):
        """Remove what an interrupted fit left on the disk."""
        if self.canResume:
            self.job.discard()

    def begin(self, start, doneSentence, done=None):
        """Start a job and follow it.

        :param start: see the class.
        :param doneSentence: what to say when it has succeeded.
        :param done: called with the handle when it has succeeded.
        """
        self._discard()
        self._doneSentence, self._currentDone = doneSentence, done
        self._numberOfFindings = 0
        self.findingsList.clear()
        self.findingsList.visible = False
        self.progressBar.value = 0
        self._say(_("Starting..."))
        try:
            with slicer.util.WaitCursor():
                self.job = start(progressCallback=self.onProgress, finishedCallback=self.onFinished)
        except Exception as error:
            if not isinstance(error, PerfusionError):
                logging.getLogger(__name__).exception("The job could not be started")
            self._say(failure_of(error, advice=_("See the log for details.")).sentence, isError=True)
            self.job = None
        if self.job is None and not self.statusLabel.styleSheet:
            self._succeed(None)
        self._notify()

    def onProgress(self, fraction, stage):
        """Show how far a job is.

        :param fraction: finished part, 0 to 1.
        :param stage: what is being done.
        """
        if not self._isGone and self.applyButton.enabled:  # else it is being cancelled
            self.progressBar.value = int(100 * fraction)
            left = timeLeft(getattr(self.job, "secondsLeft", None))
            self._say(_("{stage} ({left} left)").format(stage=stage, left=left) if left else stage)
            self._showNews()

    def onFinished(self, job):
        """Show how a job ended.

        :param job: its handle.
        """
        if self._isGone:
            return
        self.job = job
        if self._isClosed:  # nothing of a closed scene can be gone on with
            self._isClosed = False
            self._discard()
        self._notify()
        state = job.outcome.state
        if state == "done":
            self._showFindings(job.findings)
            self._succeed(job)
        elif state == "cancelled":
            words = _("Cancelled. The scene is unchanged.")
            self._say(f"{words} {_('Resume goes on where the fit was.')}" if self.canResume else words)
        else:
            words = job.outcome.message
            self._say(f"{words} {_('Resume goes on where the fit was.')}" if self.canResume else words, isError=True)

    def _succeed(self, job):
        self._say(self._doneSentence)
        if self._currentDone is not None:
            self._currentDone(job)

    def _showNews(self):
        """Show what the job has noticed since the last time, such as that it went on with less memory."""
        findings = getattr(self.job, "findings", ())
        if len(findings) > self._numberOfFindings:
            self._numberOfFindings = len(findings)
            self._showFindings(findings)

    def _showFindings(self, findings):
        self.findingsList.clear()
        for finding in findings:
            self.findingsList.addItem(f"{MARKS[finding.severity]} {finding.message}\n{finding.advice}".strip())
        self.findingsList.visible = bool(findings)

    def _say(self, sentence, isError=False):
        self.statusLabel.text = sentence
        self.statusLabel.styleSheet = ERROR_STYLE if isError else ""

    def _update(self):
        running = self.isRunning
        self.applyButton.text = _("Cancel") if running else _("Apply")
        self.applyButton.enabled = running or self._isReady
        self.applyButton.toolTip = _("Stop; the scene stays as it is") if running else self._toolTip
        self.progressBar.visible = running
        self.resumeButton.visible = self.discardButton.visible = not running and self.canResume

    def _notify(self):
        self._update()
        if self._stateChanged is not None:
            self._stateChanged()

    def _onSceneClose(self, caller, event):
        self._discard()
        if self.isRunning:
            self._isClosed = True
            self.job.cancel()


def timeLeft(seconds):
    """Return a remaining time in words, an empty text when it is not known or hardly any."""
    if seconds is None or seconds < 3.0:
        return ""
    if seconds < 90.0:
        return _("about {seconds} s").format(seconds=int(round(seconds, -1) or 5))
    return _("about {minutes} min").format(minutes=round(seconds / 60.0))


def _resume(job, progressCallback, finishedCallback):
    from .RunnerChoice import chooseRunner

    job.resume(chooseRunner(), progress=progressCallback, finished=finishedCallback)
    return job
