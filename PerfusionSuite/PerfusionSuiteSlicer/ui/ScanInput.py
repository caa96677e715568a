# SPDX-License-Identifier: Apache-2.0
"""The part of a panel that says which scan is analyzed: a node of the scene, or files that are loaded into it."""

from functools import partial
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core.preparation_choices import MODALITIES

from ..mrml.ScanFacts import scanFacts
from .ChoiceBox import ChoiceBox

PROBLEM_STYLE = "color: #c62828;"


class ScanInput:
    """Shows what a scan says about itself, and loads scans from files.

    :param ui: the panel's widgets, named inputSelector, pathLineEdit, folderButton, fileButton, loadButton, modalityComboBox
        and timingLabel.
    :param jobPanel: runs the loading.
    """

    def __init__(self, ui, jobPanel):
        self._ui = ui
        self._jobPanel = jobPanel
        self.parameterNode = None
        self.modality = None
        self.modalityBox = ChoiceBox(ui.modalityComboBox, MODALITIES, "auto")
        ui.folderButton.connect("clicked(bool)", self.onFolderButton)
        ui.fileButton.connect("clicked(bool)", self.onFileButton)
        ui.loadButton.connect("clicked(bool)", self.load)
        ui.pathLineEdit.connect("currentPathChanged(QString)", self.update)
        self.update()

    def onFolderButton(self):
        """Let the user choose a folder, and load it."""
        self._loadChosen(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of the scan")))

    def onFileButton(self):
        """Let the user choose a file, and load it."""
        kinds = _("4D images (*.nii *.nii.gz *.nrrd *.nhdr);;All files (*)")
        self._loadChosen(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("File of the scan"), "", kinds))

    def _loadChosen(self, path):
        if path:
            self._ui.pathLineEdit.currentPath = path
            self.load()

    def load(self):
        """Read the scan at the path into the scene, in a process of its own, and choose it."""
        done = partial(self._onLoaded, self.parameterNode)
        self._jobPanel.begin(self._startLoading, _("Loaded. Check its times below, then press Apply."), done)

    def _startLoading(self, **callbacks):
        from ..mrml.ScanJob import startScanJob
        from .RunnerChoice import chooseRunner

        node = self.parameterNode
        return startScanJob(
            slicer.mrmlScene,
            chooseRunner(),
            self._ui.pathLineEdit.currentPath,
            modality=node.modality or "auto",
            interval_s=node.interval or None,
            progress=callbacks["progressCallback"],
            finished=callbacks["finishedCallback"],
        )

    def _onLoaded(self, node, job):
        node.inputScan, _browser = job.nodes  # the panel may have been left meanwhile

    def show(self, parameterNode):
        """Say what the scan of a parameter node is.

        :param parameterNode: has inputScan, modality and interval; None while the scene closes.
        :return: (modality or None, why it cannot be analyzed or an empty text).
        """
        self.parameterNode = parameterNode
        self.update()
        node = None if parameterNode is None else parameterNode.inputScan
        if node is None:
            self._say("")
            return None, _("Choose a perfusion scan, or load one from files")
        modality = parameterNode.modality if parameterNode.modality not in ("", "auto") else None
        facts = scanFacts(node, modality, parameterNode.interval or None)
        self.modality = facts.modality
        self._say(facts.problem or facts.words, isProblem=bool(facts.problem))
        decisions = "\n".join(facts.decisions) or _("nothing")
        self._ui.timingLabel.toolTip = _("What was decided while the scan was read:\n{decisions}").format(decisions=decisions)
        return facts.modality, facts.problem

    def update(self):
        """Enable what can be used now."""
        path = self._ui.pathLineEdit.currentPath
        isThere = bool(path) and Path(path).exists()
        running = self._jobPanel.isRunning
        self._ui.loadButton.enabled = isThere and not running
        self._ui.folderButton.enabled = self._ui.fileButton.enabled = not running
        if running:
            hint = _("Wait until the running job has ended")
        else:
            hint = _("Read this scan into the scene") if isThere else _("Enter the path of a scan that exists")
        self._ui.loadButton.toolTip = hint

    def _say(self, words, isProblem=False):
        self._ui.timingLabel.text = words
        self._ui.timingLabel.visible = bool(words)
        self._ui.timingLabel.styleSheet = PROBLEM_STYLE if isProblem else ""
