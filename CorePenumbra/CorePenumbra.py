# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: infarct core, penumbra and their metrics from perfusion maps in the scene."""

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
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


class CorePenumbraWidget(ScriptedLoadableModuleWidget):
    """The panel: it reads the parameter node, calls the logic and shows what happens."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.jobPanel = None
        self._binding = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteSlicer.ui.JobPanel import JobPanel
        from PerfusionSuiteSlicer.ui.ParameterBinding import ParameterBinding

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CorePenumbra.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CorePenumbraLogic()
        self.jobPanel = JobPanel(uiWidget.layout(), self.segment)
        uiWidget.layout().addStretch(1)
        self._binding = ParameterBinding(self.ui, self.logic.getParameterNode, self.onParameterChanged)
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
        node = self._binding.node
        isReady = node is not None and node.tmax is not None and node.cbf is not None
        self.jobPanel.setReady(isReady, _("Find core and penumbra") if isReady else _("Choose Tmax and CBF maps first"))

    def segment(self, **callbacks):
        node = self._binding.node
        self.logic.segment(node.tmax, node.cbf, node.cbv)


class CorePenumbraLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out."""

    def getParameterNode(self):
        return CorePenumbraParameterNode(super().getParameterNode())

    def segment(self, tmaxNode, cbfNode, cbvNode=None, preset="ct-perfusion-auto"):
        """Find hypoperfusion, core and penumbra in maps and compute their metrics.

        :param tmaxNode: vtkMRMLScalarVolumeNode with Tmax in s.
        :param cbfNode: vtkMRMLScalarVolumeNode with CBF on the same grid.
        :param cbvNode: vtkMRMLScalarVolumeNode with CBV; needed for CBV indices and to leave out vessels.
        :param preset: name of the threshold preset.
        :return: (vtkMRMLSegmentationNode, vtkMRMLTableNode of metrics, vtkMRMLTableNode of volumes).
        """
        from PerfusionSuiteLib import lesion
        from PerfusionSuiteLib.pipeline import SOFTWARE
        from PerfusionSuiteSlicer.mrml import LesionNodes, MapNodes, StudyFolder, TableNodes

        maps = MapNodes.nodesToMaps({"tmax": tmaxNode, "cbf": cbfNode, "cbv": cbvNode})
        maps, lesions = lesion.segment(maps, preset=preset, method=maps["tmax"].provenance.method or None)
        name = tmaxNode.GetName()
        metrics = lesion.metrics(maps, lesions, case_id=name, software=SOFTWARE, findings=lesions.findings)
        scene = slicer.mrmlScene
        nodes = {
            "lesions": LesionNodes.lesionsToSegmentation(scene, lesions, name, reference=tmaxNode),
            "table.metrics": TableNodes.metricsToTable(scene, metrics, name),
            "table.volumes": TableNodes.volumesToTable(scene, metrics, name),
        }
        StudyFolder.fileNodes(scene, name, nodes)
        return tuple(nodes.values())


class CorePenumbraTest(ScriptedLoadableModuleTest):
    def runTest(self):
        """Find the lesion of a digital patient in its true maps."""
        slicer.mrmlScene.Clear()
        import numpy as np

        from PerfusionSuiteLib import phantom
        from PerfusionSuiteLib.core import PerfusionMaps
        from PerfusionSuiteSlicer.mrml import MapNodes

        _series, truth = phantom.ctp(seed=8, recipe="clean", site="m1", shape=(128, 128, 8), spacing_mm=(1.8, 1.8, 8.0))
        arrays = {key: np.asarray(truth.maps[key], np.float32) for key in ("tmax", "cbf", "cbv")}
        nodes = MapNodes.mapsToNodes(slicer.mrmlScene, PerfusionMaps.from_arrays(arrays, truth.affine), "digital patient")
        segmentation, _metrics, volumes = CorePenumbraLogic().segment(nodes["tmax"], nodes["cbf"], nodes["cbv"])
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), 3)
        self.assertGreater(volumes.GetNumberOfRows(), 0)
