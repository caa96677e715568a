# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: infarct core, penumbra and their metrics from perfusion maps in the scene."""

from typing import Annotated

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class CorePenumbra(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Core Penumbra")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging")]
        self.parent.dependencies = ["PerfusionSuite"]
        self.parent.contributors = ["Perfusion Suite contributors"]
        self.parent.helpText = _("Finds infarct core and penumbra in perfusion maps. Not for clinical use.")
        self.parent.acknowledgementText = _("Research software, developed by the Perfusion Suite contributors.")


@parameterNodeWrapper
class CorePenumbraParameterNode:
    tmax: vtkMRMLScalarVolumeNode
    cbf: vtkMRMLScalarVolumeNode
    cbv: vtkMRMLScalarVolumeNode
    delay: vtkMRMLScalarVolumeNode
    preset: str = ""
    hypoperfusionThreshold: float = 0.0
    coreThreshold: float = 0.0
    minCluster: Annotated[float, WithinRange(0.0, 10.0)] = 1.0


class CorePenumbraWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.jobPanel = None
        self.thresholds = None
        self._binding = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteLib.core import catalog
        from PerfusionSuiteSlicer.ui.ChoiceBox import ChoiceBox
        from PerfusionSuiteSlicer.ui.JobPanel import JobPanel
        from PerfusionSuiteSlicer.ui.ParameterBinding import ParameterBinding
        from PerfusionSuiteSlicer.ui.ThresholdSliders import ThresholdSliders

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CorePenumbra.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CorePenumbraLogic()
        self.jobPanel = JobPanel(uiWidget.layout(), self.segment, self.onSegmented, self.onParameterChanged)
        uiWidget.layout().addStretch(1)
        self.thresholds = ThresholdSliders(self.ui)
        self.ui.editButton.connect("clicked(bool)", self.onEditButton)
        self.ui.updateButton.connect("clicked(bool)", self.onUpdateButton)
        self.ui.decisionLayoutButton.connect("clicked(bool)", self.showDecision)
        boxes = {"preset": ChoiceBox(self.ui.presetComboBox, catalog.PRESETS, catalog.DEFAULT_PRESET)}
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

    def canApply(self):
        """Return (whether Apply can be pressed, what it does or why it cannot)."""
        node = self._binding.node
        if node is None or node.tmax is None or node.cbf is None:
            return False, _("Choose Tmax and CBF maps first")
        for threshold in self.thresholds.thresholds():
            if getattr(node, threshold.quantity) is None:
                return False, _("These thresholds need a map of {name}").format(name=threshold.quantity.upper())
        return True, _("Find core and penumbra in the background")

    def onParameterChanged(self):
        if self._binding is None:
            return
        self.thresholds.show(self._binding.node)
        self.jobPanel.setReady(*self.canApply())
        self.showLesions()

    def segmentation(self):
        """Return the lesions of the Tmax map that is chosen, or None."""
        from PerfusionSuiteSlicer.mrml.LesionJob import lesionsOf

        node = self._binding.node
        return None if node is None or node.tmax is None else lesionsOf(node.tmax)

    def showLesions(self):
        """Say what there is, and enable what can be done with it."""
        from PerfusionSuiteSlicer.mrml.StudyRoles import STUDY
        from PerfusionSuiteSlicer.mrml.StudyScene import findStudy
        from PerfusionSuiteSlicer.mrml.SummaryTable import summarySentence
        from PerfusionSuiteSlicer.mrml.TableNodes import textToMetrics

        segmentation = self.segmentation()
        report = None if segmentation is None else findStudy(slicer.mrmlScene, segmentation.GetAttribute(STUDY)).report
        words = "" if report is None else summarySentence(textToMetrics(report))
        self.ui.summaryLabel.text = f"{words} " + _("Research use only.") if words else _("No lesions yet for this map.")
        missing = "" if segmentation is not None else _("Press Apply first")
        running = missing or (_("Wait until the running job has ended") if self.jobPanel.isRunning else "")
        noWindow = missing or ("" if slicer.util.mainWindow() is not None else _("Needs Slicer's main window"))
        for button, problem, hint in (
            (self.ui.editButton, noWindow, _("Correct the lesions by hand in the Segment Editor")),
            (self.ui.updateButton, running, _("Measure the lesions as they are now, after you edited them")),
            (self.ui.decisionLayoutButton, missing, _("Tmax beside core and penumbra, and the numbers")),
        ):
            button.enabled = not problem
            button.toolTip = problem or hint

    def segment(self, **callbacks):
        node = self._binding.node
        return self.logic.segment(
            node.tmax,
            node.cbf,
            node.cbv,
            node.delay,
            preset=node.preset or None,
            thresholds=self.thresholds.changed(),
            **callbacks,
        )

    def onSegmented(self, job):
        self.showLesions()
        self.showDecision()

    def onUpdateButton(self):
        self.jobPanel.begin(
            lambda **callbacks: self.logic.updateMetrics(self.segmentation(), **callbacks),
            _("Measured. The tables are up to date."),
            lambda job: self.showLesions(),
        )

    def onEditButton(self):
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(self.segmentation())
        editor.setSourceVolumeNode(self._binding.node.tmax)

    def showDecision(self):
        from PerfusionSuiteSlicer.mrml.StudyRoles import STUDY, nodesOfStudy
        from PerfusionSuiteSlicer.ui.Layouts import DECISION, showStudy

        node, segmentation = self._binding.node, self.segmentation()
        maps = {f"map.{key}": getattr(node, key) for key in ("tmax", "cbf", "cbv") if getattr(node, key) is not None}
        maps["map.baseline"] = node.cbf
        showStudy(maps | nodesOfStudy(slicer.mrmlScene, segmentation.GetAttribute(STUDY)), DECISION)


class CorePenumbraLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return CorePenumbraParameterNode(super().getParameterNode())

    def segment(
        self,
        tmaxNode,
        cbfNode,
        cbvNode=None,
        delayNode=None,
        preset=None,
        thresholds=None,
        waitForCompletion=False,
        progressCallback=None,
        finishedCallback=None,
    ):
        """Find hypoperfusion, core and penumbra in maps and compute their metrics, in a process of its own.

        :param tmaxNode: vtkMRMLScalarVolumeNode with Tmax in s.
        :param cbfNode: vtkMRMLScalarVolumeNode with CBF on the same grid.
        :param cbvNode: vtkMRMLScalarVolumeNode with CBV; needed for CBV indices and to leave out vessels.
        :param delayNode: vtkMRMLScalarVolumeNode with the arterial delay in s; needed by the preset "mistar-like".
        :param preset: name of the threshold preset.
        :param thresholds: what differs from the preset, such as {"tmax_s": 8.0}.
        :param waitForCompletion: return only when the lesions are in the scene.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle when the lesions are in the scene.
        :return: LesionJob with state, cancel() and wait(), or with waitForCompletion the nodes by role: "lesions"
          (vtkMRMLSegmentationNode), "table.summary", "table.volumes", "table.metrics" (vtkMRMLTableNode).
        """
        from PerfusionSuiteSlicer.mrml.LesionJob import startLesionJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        job = startLesionJob(
            slicer.mrmlScene,
            chooseRunner(waitForCompletion),
            {"tmax": tmaxNode, "cbf": cbfNode, "cbv": cbvNode, "delay": delayNode},
            preset=preset or "ct-perfusion-auto",
            thresholds=thresholds,
            progress=progressCallback,
            finished=finishedCallback,
        )
        return job.wait() if waitForCompletion else job

    def updateMetrics(self, segmentationNode, waitForCompletion=False, progressCallback=None, finishedCallback=None):
        """Measure lesions as they are now, after they were edited; the penumbra becomes what is hypoperfused and no core.

        :param segmentationNode: vtkMRMLSegmentationNode made by this module or by Perfusion Suite; its tables are updated.
        :param waitForCompletion: return only when the tables are up to date.
        :param progressCallback: called with the finished fraction and the stage.
        :param finishedCallback: called with the handle at the end.
        :return: LesionJob, or with waitForCompletion the nodes by role, as segment() returns them.
        """
        from PerfusionSuiteSlicer.mrml.LesionJob import startMeasuringJob
        from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

        runner = chooseRunner(waitForCompletion)
        job = startMeasuringJob(slicer.mrmlScene, runner, segmentationNode, progress=progressCallback, finished=finishedCallback)
        return job.wait() if waitForCompletion else job


class CorePenumbraTest(ScriptedLoadableModuleTest):
    def runTest(self):
        """Find the lesion of a digital patient in its true maps, edit it, and measure it again."""
        slicer.mrmlScene.Clear()
        import numpy as np

        from PerfusionSuiteLib import phantom
        from PerfusionSuiteLib.core import PerfusionMaps
        from PerfusionSuiteSlicer.mrml import MapNodes

        _series, truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(96, 96, 6), spacing_mm=(2.2, 2.2, 10.0))
        arrays = {key: np.asarray(truth.maps[key], np.float32) for key in ("tmax", "cbf", "cbv")}
        maps = MapNodes.mapsToNodes(slicer.mrmlScene, PerfusionMaps.from_arrays(arrays, truth.affine), "digital patient")
        nodes = CorePenumbraLogic().segment(maps["tmax"], maps["cbf"], maps["cbv"], waitForCompletion=True)
        self.assertEqual(nodes["lesions"].GetSegmentation().GetNumberOfSegments(), 3)
        again = CorePenumbraLogic().updateMetrics(nodes["lesions"], waitForCompletion=True)
        self.assertGreater(again["table.volumes"].GetNumberOfRows(), 0)
