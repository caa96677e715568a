# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: infarct core, penumbra and their metrics from perfusion maps in the scene."""

from typing import Annotated

import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
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
    tmaxUnit: str = ""
    cbfUnit: str = ""
    cbvUnit: str = ""
    delayUnit: str = ""
    preset: str = ""
    hypoperfusionThreshold: float = 0.0
    coreThreshold: float = 0.0
    minCluster: Annotated[float, WithinRange(0.0, 10.0)] = 1.0
    furtherThresholds: str = ""
    livePreview: bool = True
    side: str = ""
    contraNode: vtkMRMLSegmentationNode
    contraSegment: str = ""
    roiNode: vtkMRMLSegmentationNode
    roiSegment: str = ""
    followUpTmax: vtkMRMLScalarVolumeNode
    followUpCbf: vtkMRMLScalarVolumeNode
    age: Annotated[int, WithinRange(0, 130)] = 0
    nihss: Annotated[int, WithinRange(-1, 42)] = -1


class CorePenumbraWidget(ScriptedLoadableModuleWidget):
    """The panel: its parts are in PerfusionSuiteSlicer.ui.LesionPanel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from PerfusionSuiteSlicer.ui.LesionPanel import LesionPanel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/CorePenumbra.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = CorePenumbraLogic()
        self.panel = LesionPanel(uiWidget, self.ui, self.logic)

    def enter(self):
        self.panel.binding.bind()
        self.panel.update()

    def exit(self):
        self.panel.exit()

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()


class CorePenumbraLogic(ScriptedLoadableModuleLogic):
    """What the panel does, as calls for the console: nodes and plain values in, nodes out.

    Regions are pairs of a vtkMRMLSegmentationNode and a segment ID. Calls that start a job return its handle (state, cancel(),
    wait()), or with waitForCompletion its nodes; progressCallback gets the finished fraction and the stage, finishedCallback the
    handle.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._preview = None

    def getParameterNode(self):
        return CorePenumbraParameterNode(super().getParameterNode())

    def segment(self, tmaxNode, cbfNode, cbvNode=None, delayNode=None, preset=None, thresholds=None, waitForCompletion=False,
                progressCallback=None, finishedCallback=None, **given):  # fmt: skip
        """Find hypoperfusion, core and penumbra in maps and compute their metrics, in a process of its own.

        :param tmaxNode: vtkMRMLScalarVolumeNode with Tmax; its grid is that of the lesions.
        :param cbfNode: vtkMRMLScalarVolumeNode with CBF.
        :param cbvNode: vtkMRMLScalarVolumeNode with CBV; needed for CBV indices and to leave out vessels.
        :param delayNode: vtkMRMLScalarVolumeNode with the arterial delay; needed by the preset "mistar-like".
        :param preset: name of the threshold preset.
        :param thresholds: what differs from the preset, such as {"tmax_s": 8.0}; see thresholdsFromFile().
        :param given: midplane (vtkMRMLMarkupsPlaneNode or (nR, nA, nS, d)), side ("left", "right", "bilateral"), contra and roi
          (regions), sinuses (vtkMRMLMarkupsFiducialNode, see markers()), aif and vof (vtkMRMLTableNode), followUpTmaxNode and
          followUpCbfNode (vtkMRMLScalarVolumeNode of a later scan), ageYears, nihss, units ({"tmax": "ms"}).
        :return: LesionJob, or with waitForCompletion the nodes by role: "lesions", "anatomy" (vtkMRMLSegmentationNode),
          "midplane", "sinuses" (markups), "map.rcbf", "table.summary", "table.volumes", "table.metrics" (vtkMRMLTableNode).
        """
        from PerfusionSuiteSlicer.mrml.LesionJob import startLesionJob
        from PerfusionSuiteSlicer.ui.LesionCalls import lesionInputs, started

        maps = {"tmax": tmaxNode, "cbf": cbfNode, "cbv": cbvNode, "delay": delayNode}
        choices = {"preset": preset or "ct-perfusion-auto", "thresholds": thresholds, "inputs": lesionInputs(**given)}
        return started(startLesionJob, maps, waitForCompletion, progressCallback, finishedCallback, **choices)

    def updateMetrics(self, segmentationNode, waitForCompletion=False, progressCallback=None, finishedCallback=None, **given):
        """Measure lesions as they are now, after they were edited; the penumbra becomes what is hypoperfused and no core.

        :param segmentationNode: vtkMRMLSegmentationNode made by this module or by Perfusion Suite; its tables are updated.
        :param given: what replaces what the lesions were found with, see segment(); a plane or a marker that was moved counts.
        :return: LesionJob, or with waitForCompletion the nodes by role, as segment() returns them.
        """
        from PerfusionSuiteSlicer.mrml.LesionJob import startMeasuringJob
        from PerfusionSuiteSlicer.ui.LesionCalls import lesionInputs, started

        inputs = lesionInputs(segmentationNode, **given)
        return started(startMeasuringJob, segmentationNode, waitForCompletion, progressCallback, finishedCallback, inputs=inputs)

    def exportFiles(self, segmentationNode, folder, layout="flat", files=True, dicom=False, dicomSource=None,
                    includeIdentity=False, waitForCompletion=False, progressCallback=None, finishedCallback=None):  # fmt: skip
        """Write lesions as they are now: maps and masks (NIfTI), metrics (JSON, CSV), pictures and report, or DICOM objects.

        :param segmentationNode: see updateMetrics(); its numbers are renewed on the way.
        :param folder: where to; files of an earlier export are replaced.
        :param layout: "flat" or "bids".
        :param files: False writes DICOM objects alone.
        :param dicom: also write Parametric Maps, a Segmentation and a structured report into the folder "dicom".
        :param dicomSource: DICOM folder of the scan, whose identity and references are taken over with includeIdentity.
        :param includeIdentity: keep the patient's identity; False makes a study of its own without it.
        :return: LesionJob, or with waitForCompletion the nodes by role.
        """
        from PerfusionSuiteSlicer.mrml.LesionJob import startMeasuringJob
        from PerfusionSuiteSlicer.ui.LesionCalls import started

        objects = {"source": None if dicomSource is None else str(dicomSource), "deidentify": not includeIdentity}
        choices = {"layout": layout, "files": files, "all_maps": True, "dicom": objects if dicom else None}
        return started(startMeasuringJob, segmentationNode, waitForCompletion, progressCallback, finishedCallback,
                       output=folder, files=choices)  # fmt: skip

    def exportTables(self, segmentationNode, folder):
        """Write every table of the lesions' study as CSV; return the paths.

        :param segmentationNode: vtkMRMLSegmentationNode of the lesions.
        :param folder: where to; a folder "tables" is made in it.
        """
        from PerfusionSuiteSlicer.ui.LesionCalls import exportTables

        return exportTables(segmentationNode, folder)

    def statistics(self, segmentationNode, mapNodes, midplane=None, segmentIDs=None, waitForCompletion=False,
                   progressCallback=None, finishedCallback=None):  # fmt: skip
        """Compute volume, mean, SD, median and percentiles of any volumes within the segments of any segmentation.

        :param segmentationNode: vtkMRMLSegmentationNode.
        :param mapNodes: list of vtkMRMLScalarVolumeNode; the grid of the first counts.
        :param midplane: vtkMRMLMarkupsPlaneNode or (nR, nA, nS, d), by default that of the study: values relative to the mirror.
        :param segmentIDs: which segments, by default all.
        :return: StatisticsJob, or with waitForCompletion the vtkMRMLTableNode.
        """
        from PerfusionSuiteSlicer.mrml.RegionJobs import startStatisticsJob
        from PerfusionSuiteSlicer.ui.LesionCalls import started

        choices = {"mapNodes": list(mapNodes), "midplane": midplane, "segmentIDs": segmentIDs}
        return started(startStatisticsJob, segmentationNode, waitForCompletion, progressCallback, finishedCallback, **choices)

    def preview(self, tmaxNode, cbfNode, cbvNode=None, delayNode=None, preset=None, thresholds=None, **given):
        """Show what thresholds would find as a label volume over the slice views; it is gone with clearPreview().

        :param given: see segment().
        :return: volumes in mL: "hypoperfusion", "core", "penumbra".
        """
        from PerfusionSuiteSlicer.mrml.LesionPreview import LesionPreview
        from PerfusionSuiteSlicer.ui.LesionCalls import lesionInputs

        if self._preview is None:
            self._preview = LesionPreview(slicer.mrmlScene)
        maps = {"tmax": tmaxNode, "cbf": cbfNode, "cbv": cbvNode, "delay": delayNode}
        return self._preview.update(maps, preset or "ct-perfusion-auto", thresholds, lesionInputs(**given))

    def clearPreview(self):
        """Take the preview, also that of a picture, away."""
        from PerfusionSuiteSlicer.mrml.LesionPreview import clearLabels

        self._preview = None
        clearLabels(slicer.mrmlScene)

    def markers(self, tmaxNode):
        """Return midline (vtkMRMLMarkupsPlaneNode) and sinus markers (vtkMRMLMarkupsFiducialNode), None where there is none."""
        from PerfusionSuiteSlicer.ui.LesionCalls import markers

        return markers(tmaxNode)

    def addMarkers(self, tmaxNode):
        """Return midline and sinus markers, which are made where they are missing; they are hidden, and count once moved."""
        from PerfusionSuiteSlicer.ui.LesionCalls import addMarkers

        return addMarkers(tmaxNode)

    def forgetMarkers(self, tmaxNode, midplane=False, sinuses=False):
        """Remove the plane or the markers of a Tmax map's study, so that they are found anew."""
        from PerfusionSuiteSlicer.ui.LesionCalls import forgetMarkers

        forgetMarkers(tmaxNode, midplane, sinuses)

    def regionFromPicture(self, picturePath, mapNode, role, **settings):
        """Turn a region drawn on a picture of a map (PNG, JPEG) into a segment.

        :param picturePath: the picture.
        :param mapNode: vtkMRMLScalarVolumeNode whose field of view it shows.
        :param role: "contralateral" (normal region) or "lesion" (cortex on the side of the lesion).
        :param settings: orientation ("axial", "coronal", "sagittal"), flips ("horizontal", "vertical"), crop (left, top, right,
          bottom in pixels), color (red, green, blue; by default any yellow), slab (two coordinates in mm).
        :return: (vtkMRMLSegmentationNode, segment ID), a region for segment().
        """
        from PerfusionSuiteSlicer.mrml.DrawnRegions import readRegion, regionToSegmentation
        from PerfusionSuiteSlicer.mrml.LesionJob import lesionStudyOf

        region, _picture = readRegion(picturePath, mapNode, **settings)
        return regionToSegmentation(mapNode, region.mask, role, lesionStudyOf(mapNode)), role

    def checkRegionFromPicture(self, picturePath, mapNode, checkPath=None, **settings):
        """Show the region over the slice views without keeping it; return volume, side and what was odd, in words.

        :param checkPath: PNG to write: the picture with what was found, beside the map with the region.
        :param settings: see regionFromPicture().
        """
        from PerfusionSuiteSlicer.ui.LesionCalls import checkRegion

        return checkRegion(picturePath, mapNode, checkPath, **settings)

    def thresholdsFromFile(self, path):
        """Return the thresholds of a JSON file or of the metrics.json of a case, for segment()."""
        from PerfusionSuiteLib.lesion import thresholds_from_json

        return thresholds_from_json(path)


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
        logic = CorePenumbraLogic()
        nodes = logic.segment(maps["tmax"], maps["cbf"], maps["cbv"], waitForCompletion=True)
        self.assertEqual(nodes["lesions"].GetSegmentation().GetNumberOfSegments(), 3)
        again = logic.updateMetrics(nodes["lesions"], waitForCompletion=True)
        self.assertGreater(again["table.volumes"].GetNumberOfRows(), 0)
        table = logic.statistics(nodes["lesions"], [maps["cbf"], maps["tmax"]], waitForCompletion=True)
        self.assertEqual(table.GetNumberOfRows(), 6)
