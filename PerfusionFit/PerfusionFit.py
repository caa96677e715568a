# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit: model fits of a perfusion sequence, as background jobs."""

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


class PerfusionFit(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Perfusion Fit")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging")]
        self.parent.dependencies = ["PerfusionSuite"]
        self.parent.contributors = ["Perfusion Suite contributors"]
        self.parent.helpText = _("Fits perfusion models to a CT perfusion scan. Not for clinical use.")
        self.parent.acknowledgementText = _("Research software, developed by the Perfusion Suite contributors.")


@parameterNodeWrapper
class PerfusionFitParameterNode:
    inputSequence: vtkMRMLSequenceNode
    method: str = ""
    motionCorrection: bool = True


class PerfusionFitWidget(ScriptedLoadableModuleWidget):
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

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionFit.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionFitLogic()
        self.jobPanel = JobPanel(uiWidget.layout(), self.startJob)
        uiWidget.layout().addStretch(1)
        boxes = {"method": ChoiceBox(self.ui.methodComboBox, catalog.FITTING, catalog.FITTING[0].name)}
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
        self.jobPanel.setReady(isReady, _("Fit the model") if isReady else _("Choose a CT perfusion sequence first"))

    def startJob(self, **callbacks):
        node = self._binding.node
        return self.logic.fit(node.inputSequence, method=node.method or None, motionCorrection=node.motionCorrection, **callbacks)


class PerfusionFitLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return PerfusionFitParameterNode(super().getParameterNode())

    def fit(
        self,
        sequenceNode,
        method=None,
        motionCorrection=True,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
    ):
        """Fit a perfusion model to a CT perfusion sequence, in a process of its own.

        :param sequenceNode: vtkMRMLSequenceNode of scalar volumes with frame times.
        :param method: name of the fit; "nlr" is the box model of Bennink 2016.
        :param motionCorrection: estimate and correct head motion.
        :param waitForCompletion: return only when the results are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the fit has ended.
        :return: StudyJob with state, cancel() and wait(), or with waitForCompletion the StudyNodes that were created or
          updated in the scene.
        """
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        method = method or catalog.FITTING[0].name
        job = startStudyJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            sequenceNode,
            {"method": method, "motion_correction": motionCorrection},
            name=f"{sequenceNode.GetName()} {method}",
            progress=progressCallback,
            finished=finishedCallback,
        )
        return job.wait() if waitForCompletion else job


class PerfusionFitTest(ScriptedLoadableModuleTest):
    def runTest(self):
        """Fit the box model to a small digital patient."""
        slicer.mrmlScene.Clear()
        from PerfusionSuiteLib import phantom
        from PerfusionSuiteSlicer.mrml import SequenceNodes

        series, _truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(128, 128, 8), spacing_mm=(1.8, 1.8, 8.0))
        sequenceNode = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "digital patient")[0]
        nodes = PerfusionFitLogic().fit(sequenceNode, motionCorrection=False, waitForCompletion=True)
        self.assertIn("delay", nodes.maps)
