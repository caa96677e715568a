# SPDX-License-Identifier: Apache-2.0
"""Perfusion Suite: from a perfusion scan to maps, curves, lesions, metrics and a report in the scene."""

from pathlib import Path
from typing import Annotated

import slicer
from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode
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
        self.parent.helpText = _(
            "Computes brain perfusion maps and lesions from CT perfusion, DSC-MRI and ASL. Not for clinical use."
        )
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
    aifTable: vtkMRMLNode
    vofTable: vtkMRMLNode
    method: str = ""
    preset: str = ""
    leakageCorrection: str = ""
    adc: vtkMRMLScalarVolumeNode
    aslOptions: str = ""
    grayMatter: vtkMRMLScalarVolumeNode
    whiteMatter: vtkMRMLScalarVolumeNode
    partialVolume: bool = False
    m0Region: vtkMRMLNode
    laterScan: vtkMRMLNode


class PerfusionSuiteWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None
        self.choices = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteSlicer.ui.ScanChoices import ScanChoices
        from PerfusionSuiteSlicer.ui.StudyPanel import StudyPanel
        from PerfusionSuiteSlicer.ui.VesselPanel import VesselPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionSuite.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionSuiteLogic()
        self.choices = ScanChoices(self.ui)
        self.vessels = VesselPanel(self.ui, self.logic.showVessels)
        self.panel = StudyPanel(
            uiWidget,
            self.ui,
            self.logic.getParameterNode,
            self.startJob,
            lambda node: node.inputScan.GetName(),
            self.choices.boxes,
            self.choices.show,
            packages=self.choices.packages,
        )

    def enter(self):
        self.panel.binding.bind()

    def exit(self):
        self.panel.binding.release()

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()

    def startJob(self, node, folder, **callbacks):
        choices = self.choices.arguments(node, self.panel.scanInput.modality)
        return self.logic.analyze(node.inputScan, modality=node.modality or "auto", outputFolder=folder, **choices, **callbacks)


class PerfusionSuiteLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return PerfusionSuiteParameterNode(super().getParameterNode())

    def load(self, path, modality="auto", interval=None, waitForCompletion=False, progressCallback=None, finishedCallback=None):
        """Read a scan into the scene as a volume sequence with its frame times, in a process of its own.

        :param path: DICOM folder, BIDS folder of ASL, 4D NIfTI (which Slicer does not read itself), 4D NRRD, or folder with one
          file per frame.
        :param modality: "auto", "ctp", "dsc" or "asl".
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
        labelingEfficiency=None,
        bloodT1=None,
        grayMatter=None,
        whiteMatter=None,
        partialVolume=False,
        m0Region=None,
        m0Options=None,
        lowFlowPercent=None,
        aslOptions=None,
        laterScan=None,
        outputFolder=None,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
    ):
        """Compute maps, curves, lesions and metrics of a perfusion scan, in a process of its own.

        :param sequenceNode: vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode with frame times, an ASL scan that load() read, or the
          path of a DICOM folder, BIDS folder or 4D file.
        :param modality: "ctp", "dsc", "asl", or "auto" for what the scan says.
        :param interval: time between frames in s that replaces the stored times.
        :param method: name of the method, the recommended one by default; of ASL "asl-single", "asl-multi", "asl-multi-wd" or
          "qtmnet". An arterial curve, thresholds, noise reduction and leakage have no meaning for ASL.
        :param preset: name of the threshold preset.
        :param motionCorrection: estimate and correct head motion.
        :param noiseReduction: name of the noise reduction, such as "similarity" or "none".
        :param arteryMethod: how the artery is found, such as "score".
        :param aifTable: vtkMRMLTableNode with time and arterial curve, or vtkMRMLMarkupsFiducialNode with points on the artery
          (one grows to the best voxels near it, several are the voxels themselves), instead of the automatic choice.
        :param vofTable: the same for the vein.
        :param leakageCorrection: of DSC-MRI: "auto", "none", "bsw" or "bidirectional".
        :param adc: vtkMRMLScalarVolumeNode with diffusion, registered to the scan; makes "adc" the default preset.
        :param labelingEfficiency: of ASL: share that labeling inverts, instead of what the scan says.
        :param bloodT1: of ASL: T1 of arterial blood in s.
        :param grayMatter: of ASL: vtkMRMLScalarVolumeNode with the fraction of gray matter on the grid of the scan.
        :param whiteMatter: the same of white matter.
        :param partialVolume: of ASL: also map the flow of pure gray and of pure white matter.
        :param m0Region: of ASL: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode of pure fluid or white matter.
        :param m0Options: of ASL: how M0 is made, such as {"m0_reference": "csf"}; see core/asl_choices.py.
        :param lowFlowPercent: of ASL: flow below this part of the other side is low.
        :param aslOptions: further settings of ASL, such as {"smoothing_mm": 5.0}; see core/asl_choices.py.
        :param laterScan: of ASL: vtkMRMLSequenceNode of a later scan of the same head that load() read, for example after
          acetazolamide: its flow on the grid of the first, and the change.
        :param outputFolder: also write all results, pictures and report to this folder.
        :param waitForCompletion: return only when the results are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the analysis has ended.
        :return: StudyJob with state, cancel() and wait(), or with waitForCompletion the StudyNodes that were created or
          updated in the scene.
        """
        from PerfusionSuiteSlicer.mrml.AslInputs import aslInputs, aslSettings
        from PerfusionSuiteSlicer.mrml.SequenceNodes import scanOfProxy
        from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob, userInputs
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        sequenceNode, laterScan = scanOfProxy(sequenceNode), scanOfProxy(laterScan)
        choices = {
            "method": method,
            "preset": preset or (None if adc is None else "adc"),
            "motion_correction": motionCorrection,
            "noise_reduction": noiseReduction,
            "aif_method": arteryMethod,
            "leakage_correction": leakageCorrection,
            **aslSettings(labelingEfficiency, bloodT1, m0Options, partialVolume, lowFlowPercent, aslOptions),
        }
        inputs = aslInputs(sequenceNode, gray=grayMatter, white=whiteMatter, m0Region=m0Region, later=laterScan)
        job = startStudyJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            sequenceNode,
            {key: value for key, value in choices.items() if value is not None},
            modality=modality,
            interval_s=interval,
            inputs=userInputs(aifTable, vofTable, adc, scan=sequenceNode) | inputs,
            output=outputFolder,
            progress=progressCallback,
            finished=finishedCallback,
        )
        return job.wait() if waitForCompletion else job

    def show(self, nodes, layout="maps"):
        """Show a study in one of the layouts made for reading it; does nothing without a main window.

        :param nodes: StudyNodes, or other nodes by role, as analyze() returns them.
        :param layout: "maps" or "decision"; ASL has only maps.
        """
        from PerfusionSuiteSlicer.ui.Layouts import DECISION, MAPS, showStudy

        showStudy(nodes, {"maps": MAPS, "decision": DECISION}[layout])

    def showVessels(self, folder):
        """Show a simulated brain that ``perfusion-suite phantom asl-brain`` wrote.

        :param folder: has the folders vessels and tracer.
        :return: nodes by role: "vessels.arteries" and "vessels.veins" (models), "tracer" (sequence over time in s) and
          "tracer.browser".
        """
        from PerfusionSuiteSlicer.mrml.VesselNodes import vesselsToScene
        from PerfusionSuiteSlicer.ui.VesselPanel import showInLayout

        nodes = vesselsToScene(slicer.mrmlScene, folder)
        showInLayout(nodes)
        return nodes

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
