# SPDX-License-Identifier: Apache-2.0
"""A panel that turns a scan into a study: its parts put together, for Perfusion Suite and Perfusion Fit."""

import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core.preparation_choices import ARTERY, NOISE_REDUCTION

from ..mrml.StudyRoles import PREPARED, ROLE, STUDY, nodesOfStudy
from .ChoiceBox import ChoiceBox
from .DisabledReasons import DisabledReasons
from .JobPanel import JobPanel
from .NodeBox import NodeBox
from .ParameterBinding import ParameterBinding
from .ReportPackages import offerReportPackages
from .ResultsPanel import ResultsPanel
from .ScanInput import ScanInput


class StudyPanel:
    """Input, choices, Apply and results of a panel.

    :param uiWidget: the panel.
    :param ui: its widgets, as slicer.util.childWidgetVariables returns them.
    :param getParameterNode: returns the module's parameter node of the current scene.
    :param start: called with the parameter node, the folder for files and callbacks; returns the job.
    :param studyName: called with the parameter node; returns the name of the study that Apply makes.
    :param choiceBoxes: further ChoiceBox by the name of the text parameter that it sets.
    :param problem: called with the parameter node and the modality; returns what is missing, or an empty text.
    :param packages: called with the parameter node; returns names of Python packages, besides those of the report, that are
        offered for installation.
    :param done: called with the nodes of the study by role, when Apply has succeeded.
    """

    def __init__(self, uiWidget, ui, getParameterNode, start, studyName, choiceBoxes, problem, packages=None, done=None):
        self._start, self._studyName, self._problem = start, studyName, problem
        self._packages, self._furtherDone = packages, done
        self._isComplete = False
        self._ui, self._reasons = ui, DisabledReasons()
        self.results = ResultsPanel(ui)
        self.jobPanel = JobPanel(uiWidget.layout(), self._startJob, self._onDone, self.update, self._offerPackages)
        self.scanInput = ScanInput(ui, self.jobPanel)
        uiWidget.layout().addStretch(1)
        boxes = {
            "inputScan": NodeBox(ui.inputSelector),
            "aifTable": NodeBox(ui.aifSelector),
            "vofTable": NodeBox(ui.vofSelector),
            "modality": self.scanInput.modalityBox,
            "noiseReduction": ChoiceBox(ui.noiseComboBox, NOISE_REDUCTION, NOISE_REDUCTION[0].name),
            "arteryMethod": ChoiceBox(ui.arteryComboBox, ARTERY, ARTERY[0].name),
        }
        self.binding = ParameterBinding(ui, getParameterNode, self.update, boxes | choiceBoxes)
        self._isComplete = True
        self.binding.bind()

    def canApply(self):
        """Return (whether Apply can be pressed, what it does or why it cannot)."""
        node = self.binding.node
        modality, problem = self.scanInput.show(node)
        if node is not None:
            self._showBolusControls(modality)
            furtherProblem = self._problem(node, modality)  # it also shows what the choices mean
            problem = problem or furtherProblem
        return not problem, problem or _("Compute maps, lesions and report in the background")

    def _showBolusControls(self, modality):
        """Switch off what only a bolus has, when the scan is ASL."""
        reason = _("Not for ASL: labeled blood needs no curve of an artery, and its volumes are no frames in time")
        ui = self._ui
        for control in (ui.intervalSpinBox, ui.noiseComboBox, ui.arteryComboBox, ui.aifSelector, ui.vofSelector):
            self._reasons.set(control, reason if modality == "asl" else "")
        words = _("Arterial and venous curve")
        ui.arteryCollapsibleButton.text = words if modality != "asl" else _("{words} (not for ASL)").format(words=words)

    def update(self):
        """Show what can be done now."""
        if not self._isComplete:
            return
        self.jobPanel.setReady(*self.canApply())
        self.results.show(self._shownStudy())

    def _shownStudy(self):
        """Return the name of the scan's study; a scene that was made elsewhere has it with the prepared scan alone."""
        node = self.binding.node
        if node is None or node.inputScan is None:
            return None
        name, scan = self._studyName(node), node.inputScan
        isOfStudy = scan.GetAttribute(ROLE) == PREPARED and not nodesOfStudy(slicer.mrmlScene, name)
        return scan.GetAttribute(STUDY) if isOfStudy else name

    def _offerPackages(self):
        offerReportPackages(_("Perfusion Suite"), self._packages(self.binding.node) if self._packages is not None else ())

    def _startJob(self, **callbacks):
        node = self.binding.node
        return self._start(node, self.results.newFolder(self._studyName(node)), **callbacks)

    def _onDone(self, job):
        self.results.onDone()
        if self._furtherDone is not None:
            self._furtherDone(job.nodes)

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self.binding.cleanup()
        self.jobPanel.cleanup()
        self.results.cleanup()
