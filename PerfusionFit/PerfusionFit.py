# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit: model fits of a perfusion scan, as background jobs."""

from typing import Annotated

import slicer
from slicer import vtkMRMLNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
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
        self.parent.helpText = _("Fits perfusion models to CT perfusion and DSC-MRI. Not for clinical use.")
        self.parent.acknowledgementText = _("Research software, developed by the Perfusion Suite contributors.")


@parameterNodeWrapper
class PerfusionFitParameterNode:
    inputScan: vtkMRMLNode
    modality: str = ""
    interval: Annotated[float, WithinRange(0.0, 60.0)] = 0.0
    motionCorrection: bool = True
    noiseReduction: str = ""
    arteryMethod: str = ""
    aifTable: vtkMRMLTableNode
    vofTable: vtkMRMLTableNode
    method: str = ""


class PerfusionFitWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteSlicer.ui.ChoiceBox import ChoiceBox
        from PerfusionSuiteSlicer.ui.StudyPanel import StudyPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionFit.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionFitLogic()
        boxes = {"method": ChoiceBox(self.ui.methodComboBox, catalog.FITTING, catalog.FITTING[0].name)}
        self.panel = StudyPanel(
            uiWidget, self.ui, self.logic.getParameterNode, self.startJob, self.studyName, boxes, self.describeModel
        )

    def enter(self):
        self.panel.binding.bind()

    def exit(self):
        self.panel.binding.release()

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()

    def studyName(self, node):
        return self.logic.studyName(node.inputScan, node.method)

    def describeModel(self, node, modality):
        """Say what the model is; any model can be applied to any scan."""
        from PerfusionSuiteLib.core import catalog

        chosen = node.method or catalog.FITTING[0].name
        self.ui.modelLabel.text = next((choice.description for choice in catalog.FITTING if choice.name == chosen), "")
        return ""

    def startJob(self, node, folder, **callbacks):
        return self.logic.fit(
            node.inputScan,
            method=node.method or None,
            modality=node.modality or "auto",
            interval=node.interval or None,
            motionCorrection=node.motionCorrection,
            noiseReduction=node.noiseReduction or None,
            arteryMethod=node.arteryMethod or None,
            aifTable=node.aifTable,
            vofTable=node.vofTable,
            outputFolder=folder,
            **callbacks,
        )


class PerfusionFitLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return PerfusionFitParameterNode(super().getParameterNode())

    def studyName(self, sequenceNode, method=None):
        """Return the name of the study that a fit makes; fits of one scan lie beside each other.

        :param sequenceNode: the scan.
        :param method: name of the fit.
        """
        from PerfusionSuiteLib.core import catalog

        return f"{sequenceNode.GetName()} {method or catalog.FITTING[0].name}"

    def fit(
        self,
        sequenceNode,
        method=None,
        modality="auto",
        interval=None,
        motionCorrection=True,
        noiseReduction=None,
        arteryMethod=None,
        aifTable=None,
        vofTable=None,
        outputFolder=None,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
    ):
        """Fit a perfusion model to a perfusion scan, in a process of its own.

        :param sequenceNode: vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode with frame times.
        :param method: name of the fit; "nlr" is the box model of Bennink 2016.
        :param modality: "ctp", "dsc", or "auto" for what the scan says.
        :param interval: time between frames in s that replaces the stored times.
        :param motionCorrection: estimate and correct head motion.
        :param noiseReduction: name of the noise reduction, such as "similarity" or "none".
        :param arteryMethod: how the artery is found, such as "score".
        :param aifTable: vtkMRMLTableNode with time and arterial curve, instead of the automatic choice.
        :param vofTable: vtkMRMLTableNode with time and venous curve, instead of the automatic choice.
        :param outputFolder: also write all results, pictures and report to this folder.
        :param waitForCompletion: return only when the results are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the fit has ended.
        :return: StudyJob with state, cancel() and wait(), or with waitForCompletion the StudyNodes that were created or
          updated in the scene.
        """
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob, userInputs
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        choices = {
            "method": method or catalog.FITTING[0].name,
            "motion_correction": motionCorrection,
            "noise_reduction": noiseReduction,
            "aif_method": arteryMethod,
        }
        job = startStudyJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            sequenceNode,
            {key: value for key, value in choices.items() if value is not None},
            name=self.studyName(sequenceNode, method),
            modality=modality,
            interval_s=interval,
            inputs=userInputs(aifTable, vofTable),
            output=outputFolder,
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

        series, _truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(96, 96, 6), spacing_mm=(2.2, 2.2, 10.0))
        sequenceNode = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "digital patient")[0]
        nodes = PerfusionFitLogic().fit(sequenceNode, method="nlr", motionCorrection=False, waitForCompletion=True)
        self.assertIn("delay", nodes.maps)
