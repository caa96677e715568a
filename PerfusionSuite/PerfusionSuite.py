# SPDX-License-Identifier: Apache-2.0
"""Perfusion Suite: from a perfusion scan to maps, curves, lesions, metrics and a report in the scene."""

from pathlib import Path
from typing import Annotated

import slicer
from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
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
        self.parent.helpText = _("Computes brain perfusion maps and lesions from CT perfusion and DSC-MRI. Not for clinical use.")
        self.parent.acknowledgementText = _("Research software, developed by the Perfusion Suite contributors.")
        slicer.app.connect("startupCompleted()", registerLayouts)


def registerLayouts():
    from PerfusionSuiteSlicer.ui.Layouts import registerWithApplication

    registerWithApplication()


@parameterNodeWrapper
class PerfusionSuiteParameterNode:
    inputScan: vtkMRMLNode
    modality: str = ""
    interval: Annotated[float, WithinRange(0.0, 60.0)] = 0.0
    motionCorrection: bool = True
    noiseReduction: str = ""
    arteryMethod: str = ""
    aifTable: vtkMRMLTableNode
    vofTable: vtkMRMLTableNode
    method: str = ""
    preset: str = ""
    leakageCorrection: str = ""
    adc: vtkMRMLScalarVolumeNode


class PerfusionSuiteWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteLib.core.preparation_choices import LEAKAGE
        from PerfusionSuiteSlicer.ui.ChoiceBox import ChoiceBox
        from PerfusionSuiteSlicer.ui.StudyPanel import StudyPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionSuite.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionSuiteLogic()
        boxes = {
            "method": ChoiceBox(self.ui.methodComboBox, catalog.METHODS, catalog.DEFAULT_METHOD),
            "preset": ChoiceBox(self.ui.presetComboBox, (*catalog.PRESETS, *catalog.MR_PRESETS), catalog.DEFAULT_PRESET),
            "leakageCorrection": ChoiceBox(self.ui.leakageComboBox, LEAKAGE, "auto"),
        }
        self.panel = StudyPanel(
            uiWidget,
            self.ui,
            self.logic.getParameterNode,
            self.startJob,
            lambda node: node.inputScan.GetName(),
            boxes,
            self.problem,
        )

    def enter(self):
        self.panel.binding.bind()

    def exit(self):
        self.panel.binding.release()

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()

    def problem(self, node, modality):
        """Return what keeps these choices from being applied to this kind of scan, or an empty text."""
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteLib.core.fit_choices import MODALITIES

        isMR = modality == "dsc"
        for choice in (self.ui.leakageComboBox, self.ui.adcSelector):
            choice.enabled = isMR
        self.ui.mrCollapsibleButton.text = _("DSC-MRI (not for CT scans)") if modality == "ctp" else _("DSC-MRI")
        if not isMR and node.preset in {choice.name for choice in catalog.MR_PRESETS}:
            return _("These thresholds are for DSC-MRI: choose others for a CT scan")
        if modality is not None and modality not in MODALITIES.get(node.method, (modality,)):
            return _("This method is made for DSC-MRI: choose another one for a CT scan")
        if node.preset == "adc" and node.adc is None:
            return _("The thresholds 'ADC core' need an ADC map: choose it under DSC-MRI")
        return ""

    def startJob(self, node, folder, **callbacks):
        isMR = self.panel.scanInput.modality == "dsc"
        return self.logic.analyze(
            node.inputScan,
            modality=node.modality or "auto",
            interval=node.interval or None,
            method=node.method or None,
            preset=node.preset or None,
            motionCorrection=node.motionCorrection,
            noiseReduction=node.noiseReduction or None,
            arteryMethod=node.arteryMethod or None,
            aifTable=node.aifTable,
            vofTable=node.vofTable,
            leakageCorrection=(node.leakageCorrection or None) if isMR else None,
            adc=node.adc if isMR else None,
            outputFolder=folder,
            **callbacks,
        )


class PerfusionSuiteLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return PerfusionSuiteParameterNode(super().getParameterNode())

    def load(self, path, modality="auto", interval=None, waitForCompletion=False, progressCallback=None, finishedCallback=None):
        """Read a scan into the scene as a volume sequence with its frame times, in a process of its own.

        :param path: DICOM folder, 4D NIfTI (which Slicer does not read itself), 4D NRRD, or folder with one file per frame.
        :param modality: "auto", "ctp" or "dsc".
        :param interval: time between frames in s, where the files hold no times.
        :param waitForCompletion: return only when the scan is in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the scan has been read.
        :return: ScanJob with state, cancel() and wait(), or with waitForCompletion (vtkMRMLSequenceNode,
          vtkMRMLSequenceBrowserNode).
        """
        from PerfusionSuiteSlicer.mrml.ScanJob import startScanJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        job = startScanJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            path,
            modality=modality,
            interval_s=interval,
            progress=progressCallback,
            finished=finishedCallback,
        )
        return job.wait() if waitForCompletion else job

    def analyze(
        self,
        sequenceNode,
        modality="auto",
        interval=None,
        method=None,
        preset=None,
        motionCorrection=True,
        noiseReduction=None,
        arteryMethod=None,
        aifTable=None,
        vofTable=None,
        leakageCorrection=None,
        adc=None,
        outputFolder=None,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
    ):
        """Compute maps, curves, lesions and metrics of a perfusion scan, in a process of its own.

        :param sequenceNode: vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode with frame times, or the path of a DICOM folder or
          4D file.
        :param modality: "ctp", "dsc", or "auto" for what the scan says.
        :param interval: time between frames in s that replaces the stored times.
        :param method: name of the method, the recommended one by default.
        :param preset: name of the threshold preset.
        :param motionCorrection: estimate and correct head motion.
        :param noiseReduction: name of the noise reduction, such as "similarity" or "none".
        :param arteryMethod: how the artery is found, such as "score".
        :param aifTable: vtkMRMLTableNode with time and arterial curve, instead of the automatic choice.
        :param vofTable: vtkMRMLTableNode with time and venous curve, instead of the automatic choice.
        :param leakageCorrection: of DSC-MRI: "auto", "none", "bsw" or "bidirectional".
        :param adc: vtkMRMLScalarVolumeNode with diffusion on the grid of the scan, for the preset "adc".
        :param outputFolder: also write all results, pictures and report to this folder.
        :param waitForCompletion: return only when the results are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the analysis has ended.
        :return: StudyJob with state, cancel() and wait(), or with waitForCompletion the StudyNodes that were created or
          updated in the scene.
        """
        from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob, userInputs
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        choices = {
            "method": method,
            "preset": preset,
            "motion_correction": motionCorrection,
            "noise_reduction": noiseReduction,
            "aif_method": arteryMethod,
            "leakage_correction": leakageCorrection,
        }
        job = startStudyJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            sequenceNode,
            {key: value for key, value in choices.items() if value is not None},
            modality=modality,
            interval_s=interval,
            inputs=userInputs(aifTable, vofTable, adc),
            output=outputFolder,
            progress=progressCallback,
            finished=finishedCallback,
        )
        return job.wait() if waitForCompletion else job

    def show(self, nodes, layout="maps"):
        """Show a study in one of the layouts made for reading it; does nothing without a main window.

        :param nodes: StudyNodes, or other nodes by role, as analyze() returns them.
        :param layout: "maps" or "decision".
        """
        from PerfusionSuiteSlicer.ui.Layouts import DECISION, MAPS, showStudy

        showStudy(nodes, {"maps": MAPS, "decision": DECISION}[layout])

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

        series, truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(96, 96, 6), spacing_mm=(2.2, 2.2, 10.0))
        sequenceNode = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "digital patient")[0]
        nodes = PerfusionSuiteLogic().analyze(sequenceNode, motionCorrection=False, waitForCompletion=True)
        self.assertIn("tmax", nodes.maps)
        side = nodes["table.summary"].GetTable().GetColumnByName("value")
        self.assertIn(truth.side, [side.GetValue(row) for row in range(side.GetNumberOfValues())])
