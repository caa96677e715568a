# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit: model fits of a perfusion sequence, today the box model in every voxel."""

import qt
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
    motionCorrection: bool = True


class PerfusionFitWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self._binding = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteSlicer.ui.ParameterBinding import ParameterBinding

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/PerfusionFit.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PerfusionFitLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self._binding = ParameterBinding(self.ui, self.logic.getParameterNode, self.onParameterChanged)
        self._binding.bind()

    def enter(self):
        self._binding.bind()

    def exit(self):
        self._binding.release()

    def cleanup(self):
        if self._binding is not None:
            self._binding.cleanup()

    def onParameterChanged(self):
        isReady = self._binding.node is not None and self._binding.node.inputSequence is not None
        self.ui.applyButton.enabled = isReady
        self.ui.applyButton.toolTip = (
            _("Fit the box model in every voxel") if isReady else _("Choose a CT perfusion sequence first")
        )

    def onApplyButton(self, checked=False):
        node = self._binding.node
        with slicer.util.tryWithErrorDisplay(_("The model could not be fitted."), waitCursor=True):
            nodes = self.logic.fit(node.inputSequence, motionCorrection=node.motionCorrection, progressCallback=self.onProgress)
            slicer.util.setSliceViewerLayers(
                background=nodes.maps["baseline"], foreground=nodes.maps["tmax"], foregroundOpacity=0.5
            )
            self.ui.statusLabel.text = _("Done. The results are in the Data module.")

    def onProgress(self, fraction, stage):
        self.ui.progressBar.value = int(100 * fraction)
        self.ui.statusLabel.text = stage
        # Only repaint: input events stay queued, so that Apply cannot be pressed again meanwhile.
        slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)


class PerfusionFitLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return PerfusionFitParameterNode(super().getParameterNode())

    def fit(self, sequenceNode, method="nlr", motionCorrection=True, progressCallback=None):
        """Fit a perfusion model in every voxel of a CT perfusion sequence.

        :param sequenceNode: vtkMRMLSequenceNode of scalar volumes with frame times.
        :param method: name of the fit; "nlr" is the box model of Bennink 2016.
        :param motionCorrection: estimate and correct head motion.
        :param progressCallback: called with the finished fraction and the stage.
        :return: StudyNodes with the nodes that were created or updated in the scene.
        """
        from PerfusionSuiteLib import pipeline
        from PerfusionSuiteSlicer.mrml import SequenceNodes, StudyScene

        settings = pipeline.Settings(method=method, motion_correction=motionCorrection)
        series = SequenceNodes.sequenceToSeries(sequenceNode, modality="ctp")
        study = pipeline.run(series, settings, progress=progressCallback)
        return StudyScene.studyToScene(
            slicer.mrmlScene, study, name=f"{sequenceNode.GetName()} {method}", sequenceNode=sequenceNode
        )


class PerfusionFitTest(ScriptedLoadableModuleTest):
    def runTest(self):
        """Fit the box model to a small digital patient."""
        slicer.mrmlScene.Clear()
        from PerfusionSuiteLib import phantom
        from PerfusionSuiteSlicer.mrml import SequenceNodes

        series, _truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(128, 128, 8), spacing_mm=(1.8, 1.8, 8.0))
        sequenceNode = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "digital patient")[0]
        nodes = PerfusionFitLogic().fit(sequenceNode, motionCorrection=False)
        self.assertIn("delay", nodes.maps)
