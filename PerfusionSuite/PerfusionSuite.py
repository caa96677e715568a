# SPDX-License-Identifier: Apache-2.0
"""Perfusion Suite: from a CT perfusion sequence to maps, curves, lesions and metrics in the scene."""

from pathlib import Path

import slicer
from slicer import vtkMRMLSequenceNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class PerfusionSuite(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Perfusion Suite")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging")]
        self.parent.dependencies = []
        self.parent.contributors = ["Perfusion Suite contributors"]
        self.parent.helpText = _("Computes brain perfusion maps and lesions from a CT perfusion scan. Not for clinical use.")
        self.parent.acknowledgementText = _("Research software, developed by the Perfusion Suite contributors.")


@parameterNodeWrapper
class PerfusionSuiteParameterNode:
    inputSequence: vtkMRMLSequenceNode
    method: str = ""
    preset: str = ""
    motionCorrection: bool = True


class PerfusionSuiteWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.jobPanel = None
        self._binding = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteSlicer.ui.ChoiceBox import ChoiceBox
        from PerfusionSuiteSlicer.ui.JobPanel import JobPanel
        from PerfusionSuiteSlicer.ui.ParameterBinding import ParameterBinding

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionSuite.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionSuiteLogic()
        self.jobPanel = JobPanel(uiWidget.layout(), self.startJob)
        uiWidget.layout().addStretch(1)
        boxes = {
            "method": ChoiceBox(self.ui.methodComboBox, catalog.METHODS, catalog.DEFAULT_METHOD),
            "preset": ChoiceBox(self.ui.presetComboBox, catalog.PRESETS, catalog.DEFAULT_PRESET),
        }
        self._binding = ParameterBinding(self.ui, self.logic.getParameterNode, self.onParameterChanged, boxes)
        self._binding.bind()

    def enter(self):
        self._binding.bind()

    def exit(self):
        self._binding.release()

    def cleanup(self):
        if self._binding is not None:
            self._binding.cleanup()
            self.jobPanel.cleanup()

    def onParameterChanged(self):
        isReady = self._binding.node is not None and self._binding.node.inputSequence is not None
        self.jobPanel.setReady(isReady, _("Compute maps and lesions") if isReady else _("Choose a CT perfusion sequence first"))

    def startJob(self, **callbacks):
        node = self._binding.node
        return self.logic.analyze(
            node.inputSequence,
            method=node.method or None,
            preset=node.preset or None,
            motionCorrection=node.motionCorrection,
            **callbacks,
        )


class PerfusionSuiteLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return PerfusionSuiteParameterNode(super().getParameterNode())

    def analyze(
        self,
        sequenceNode,
        method=None,
        preset=None,
        motionCorrection=True,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
    ):
        """Compute maps, curves, lesions and metrics of a CT perfusion scan, in a process of its own.

        :param sequenceNode: vtkMRMLSequenceNode of scalar volumes with frame times, or the path of a DICOM folder or 4D file.
        :param method: name of the method, the recommended one by default.
        :param preset: name of the threshold preset.
        :param motionCorrection: estimate and correct head motion.
        :param waitForCompletion: return only when the results are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the analysis has ended.
        :return: StudyJob with state, cancel() and wait(), or with waitForCompletion the StudyNodes that were created or
          updated in the scene.
        """
        from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        choices = {"method": method, "preset": preset, "motion_correction": motionCorrection}
        job = startStudyJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            sequenceNode,
            {key: value for key, value in choices.items() if value is not None},
            progress=progressCallback,
            finished=finishedCallback,
        )
        return job.wait() if waitForCompletion else job

    def batchScriptPath(self):
        """Return the script for runs without a window.

        :return: path of the script for ``Slicer --no-splash --no-main-window --python-script <script> -- run IN OUT``.
        """
        return str(Path(__file__).resolve().parent / "Scripts" / "batch.py")


class PerfusionSuiteTest(ScriptedLoadableModuleTest):
    def runTest(self):
        """Analyze a small digital patient and find its lesion on the true side."""
        slicer.mrmlScene.Clear()
        from PerfusionSuiteLib import phantom
        from PerfusionSuiteSlicer.mrml import SequenceNodes

        series, _truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(128, 128, 8), spacing_mm=(1.8, 1.8, 8.0))
        sequenceNode = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "digital patient")[0]
        nodes = PerfusionSuiteLogic().analyze(sequenceNode, motionCorrection=False, waitForCompletion=True)
        self.assertIn("tmax", nodes.maps)
