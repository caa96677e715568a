# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit: model fits of a perfusion scan, as background jobs."""

from typing import Annotated

import slicer
from slicer import vtkMRMLNode
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
        self.parent.helpText = _("Fits perfusion models to CT perfusion, DSC-MRI and ASL. Not for clinical use.")
        self.parent.acknowledgementText = _("Research software, developed by the Perfusion Suite contributors.")


@parameterNodeWrapper
class PerfusionFitParameterNode:
    inputScan: vtkMRMLNode
    modality: str = ""
    interval: Annotated[float, WithinRange(0.0, 60.0)] = 0.0
    motionCorrection: bool = True
    noiseReduction: str = ""
    arteryMethod: str = ""
    aifTable: vtkMRMLNode
    vofTable: vtkMRMLNode
    tissueLabels: vtkMRMLNode
    method: str = "spatial"
    options: str = ""
    watch: bool = True


class PerfusionFitWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None
        self.model = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteSlicer.ui.FieldPanel import FieldPanel
        from PerfusionSuiteSlicer.ui.FitView import FitView
        from PerfusionSuiteSlicer.ui.ModelChoice import ModelChoice
        from PerfusionSuiteSlicer.ui.NodeBox import NodeBox
        from PerfusionSuiteSlicer.ui.StudyPanel import StudyPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionFit.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionFitLogic()
        self.view = FitView()
        self.model = ModelChoice(self.ui, self.update)
        boxes = {"method": self.model.methodBox, "tissueLabels": NodeBox(self.ui.tissueSelector)}
        self.panel = StudyPanel(
            uiWidget, self.ui, self.logic.getParameterNode, self.startJob, self.studyName, boxes,
            self.describeModel, packages=lambda node: ("safetensors",), done=self.onDone,
        )  # fmt: skip
        self.field = FieldPanel(self.ui, self.panel.jobPanel, self.logic, lambda: self.model.device)
        self.model.ask()

    def enter(self):
        self.panel.binding.bind()

    def exit(self):
        self.panel.binding.release()

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()
            self.model.cleanup()

    def update(self):
        if self.panel is not None:
            self.panel.update()

    def studyName(self, node):
        return self.logic.studyName(node.inputScan, node.method)

    def describeModel(self, node, modality):
        """Show what the model is and its options; return why it cannot be fitted here."""
        if hasattr(self, "field"):
            self.field.update()
        return self.model.show(node, modality)

    def onDone(self, nodes):
        self.field.choose(nodes)

    def startJob(self, node, folder, **callbacks):
        ofBolus = {
            "interval": node.interval or None,
            "noiseReduction": node.noiseReduction or None,
            "arteryMethod": node.arteryMethod or None,
            "aifTable": node.aifTable,
            "vofTable": node.vofTable,
            "tissueLabels": node.tissueLabels if self.ui.tissueSelector.enabled else None,
            "watcher": self.view.watch(node.inputScan, self.studyName(node)) if node.watch else None,
        }
        return self.logic.fit(
            node.inputScan,
            method=node.method or None,
            options=self.model.options(),
            device=self.model.device,
            modality=node.modality or "auto",
            motionCorrection=node.motionCorrection,
            outputFolder=folder,
            **({} if self.panel.scanInput.modality == "asl" else ofBolus),
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
        from PerfusionSuiteLib.core.fit_choices import DEFAULT_FIT

        return f"{sequenceNode.GetName()} {method or DEFAULT_FIT}"

    def fit(
        self,
        sequenceNode,
        method=None,
        options=None,
        device="auto",
        modality="auto",
        interval=None,
        motionCorrection=True,
        noiseReduction=None,
        arteryMethod=None,
        aifTable=None,
        vofTable=None,
        tissueLabels=None,
        outputFolder=None,
        jobFolder=None,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
        watcher=None,
    ):
        """Fit a perfusion model to a perfusion scan, in a process of its own.

        :param sequenceNode: vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode with frame times, or an ASL scan that Perfusion Suite
          loaded.
        :param method: "spatial", "neural", "resppinn", "sppinn", "nlr" or "bayes"; of DSC-MRI also "hemopic", which needs no
          artery, and "hemopic-compat"; of ASL "qtmnet" and "asl-multi".
        :param options: options of the method by name, such as {"family": "box"}; ``perfusion-suite methods --options`` lists all.
        :param device: "auto", "cpu" or "cuda" ("cuda:1" for the second GPU).
        :param modality: "ctp", "dsc", or "auto" for what the scan says.
        :param interval: time between frames in s that replaces the stored times.
        :param motionCorrection: estimate and correct head motion.
        :param noiseReduction: name of the noise reduction, such as "similarity" or "none".
        :param arteryMethod: how the artery is found, such as "score".
        :param aifTable: vtkMRMLTableNode with time and arterial curve, or vtkMRMLMarkupsFiducialNode with points on the artery
          (one grows to the best voxels near it, several are the voxels themselves), instead of the automatic choice.
        :param vofTable: the same for the vein.
        :param tissueLabels: vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode or vtkMRMLSegmentationNode with gray matter, white
          matter, CSF and brain stem, for the methods that fit regions; by default they are estimated from the scan.
        :param outputFolder: also write all results, pictures and report to this folder.
        :param jobFolder: empty folder that the job leaves behind when it is interrupted, for resume() in another session.
        :param waitForCompletion: return only when the results are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the fit has ended.
        :param watcher: has onLoss(step, steps, parts), onPreview(maps) and a list ``previews`` of maps such as ["tmax"].
        :return: StudyJob with state, cancel(), canResume and wait(), or with waitForCompletion the StudyNodes that were
          created or updated in the scene.
        """
        from PerfusionSuiteLib.core.fit_choices import DEFAULT_FIT, USES_GPU
        from PerfusionSuiteSlicer.mrml.SequenceNodes import scanOfProxy
        from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob, userInputs
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        method, sequenceNode = method or DEFAULT_FIT, scanOfProxy(sequenceNode)
        choices = {
            "method": method,
            "method_options": options or None,
            "device": device if method in USES_GPU else None,
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
            inputs=userInputs(aifTable, vofTable, tissue=tissueLabels, scan=sequenceNode),
            output=outputFolder,
            progress=progressCallback,
            finished=finishedCallback,
            watcher=watcher,
            jobFolder=jobFolder,
        )
        return job.wait() if waitForCompletion else job

    def resume(self, job, sequenceNode=None, waitForCompletion=False, progressCallback=None, finishedCallback=None, watcher=None):
        """Go on with a fit that was cancelled or whose worker died.

        :param job: what fit() returned, or the jobFolder that it was given, also in another session.
        :param sequenceNode: the scan, when a folder is given and the scan is in the scene.
        :param waitForCompletion: see fit(), as for the further ones.
        :return: see fit().
        """
        from PerfusionSuiteSlicer.mrml.StudyJob import resumeJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        job = resumeJob(
            slicer.mrmlScene, chooseRunner(waitForCompletion), job, sequenceNode=sequenceNode,
            progress=progressCallback, finished=finishedCallback, watcher=watcher,
        )  # fmt: skip
        return job.wait() if waitForCompletion else job

    def resample(
        self, fieldNode, spacing=None, referenceVolume=None, device="auto", waitForCompletion=False, progressCallback=None,
        finishedCallback=None,
    ):  # fmt: skip
        """Sample the field of a fit at another resolution, also long after the fit, in a process of its own.

        :param fieldNode: vtkMRMLTextNode "<study> field", also in a scene that was saved and opened again.
        :param spacing: voxel size of the new maps in mm, a number or three.
        :param referenceVolume: vtkMRMLVolumeNode whose grid is taken instead.
        :param device: see fit().
        :param waitForCompletion: return only when the maps are in the scene.
        :return: handle, or with waitForCompletion the volume nodes by quantity.
        """
        from PerfusionSuiteSlicer.mrml.FieldJob import startSampleJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        job = startSampleJob(
            slicer.mrmlScene, chooseRunner(waitForCompletion), fieldNode, spacing=spacing, referenceVolume=referenceVolume,
            device=device, progress=progressCallback, finished=finishedCallback,
        )  # fmt: skip
        return job.wait() if waitForCompletion else job

    def fittedCurves(
        self, fieldNode, step=None, device="auto", waitForCompletion=False, progressCallback=None, finishedCallback=None
    ):
        """Compute the curves that a fit describes the scan by, as a sequence.

        :param fieldNode: vtkMRMLTextNode "<study> field".
        :param step: time between frames in s; None for the times of the scan, which one browser then plays along.
        :param device: see fit().
        :param waitForCompletion: return only when the sequence is in the scene.
        :return: handle, or with waitForCompletion (sequence node, browser node).
        """
        from PerfusionSuiteSlicer.mrml.FieldJob import startCurvesJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        job = startCurvesJob(
            slicer.mrmlScene, chooseRunner(waitForCompletion), fieldNode, step=step, device=device,
            progress=progressCallback, finished=finishedCallback,
        )  # fmt: skip
        return job.wait() if waitForCompletion else job


class PerfusionFitTest(ScriptedLoadableModuleTest):
    def runTest(self):
        """Fit a small digital patient; sample what was learned on a finer grid where PyTorch is there to learn it."""
        slicer.mrmlScene.Clear()
        from importlib.util import find_spec

        from PerfusionSuiteLib import phantom
        from PerfusionSuiteSlicer.mrml import SequenceNodes

        method = "spatial" if find_spec("torch") and find_spec("safetensors") else "nlr"
        series, _truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(96, 96, 6), spacing_mm=(2.2, 2.2, 10.0))
        sequenceNode = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "digital patient")[0]
        logic = PerfusionFitLogic()
        nodes = logic.fit(sequenceNode, method=method, motionCorrection=False, waitForCompletion=True)
        self.assertIn("delay", nodes.maps)
        if method == "spatial":
            maps = logic.resample(nodes["fit.field"], spacing=(1.1, 1.1, 5.0), waitForCompletion=True)
            self.assertEqual(maps["tmax"].GetImageData().GetDimensions(), (192, 192, 12))
