# SPDX-License-Identifier: Apache-2.0
"""The panel of Core Penumbra: its parts put together."""

import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import catalog

from ..mrml.GrayCopy import grayCopy
from ..mrml.LesionJob import lesionsOf, lesionStudyOf
from ..mrml.StudyRoles import STUDY, nodesOfStudy
from ..mrml.StudyScene import findStudy
from ..mrml.SummaryTable import summarySentence
from ..mrml.TableNodes import textToMetrics
from .ChoiceBox import ChoiceBox
from .JobPanel import JobPanel
from .Layouts import DECISION, showStudy
from .LesionExport import LesionExport
from .MapSelectors import MapSelectors
from .NetworkPackages import WEIGHTS_PACKAGES, networkProblem
from .ParameterBinding import ParameterBinding
from .PicturePanel import PicturePanel
from .PreviewSwitch import PreviewSwitch, previewWords
from .ReportPackages import offerPackages
from .SidesPanel import SidesPanel
from .StatisticsPanel import StatisticsPanel
from .ThresholdSliders import ThresholdSliders


class LesionPanel:
    """Maps, thresholds, Apply, lesions and what can be done with them.

    :param uiWidget: the panel.
    :param ui: its widgets, as slicer.util.childWidgetVariables returns them.
    :param logic: CorePenumbraLogic.
    """

    def __init__(self, uiWidget, ui, logic):
        self.ui, self.logic = ui, logic
        self._isComplete = self._isUpdating = False
        self.jobPanel = JobPanel(ui.applyFrame.layout(), self.segment, self.onSegmented, self.update, self.offerPackages)
        for frame in (ui.applyFrame, ui.thresholdsFrame):
            frame.layout().setContentsMargins(0, 0, 0, 0)
        uiWidget.layout().addStretch(1)
        self.maps = MapSelectors(ui)
        self.thresholds = ThresholdSliders(ui)
        self.preview = PreviewSwitch(ui, self.showPreview, logic.clearPreview)
        self.sides = SidesPanel(ui, logic, self.update)
        self.picture = PicturePanel(ui, logic, self.tmaxNode, self.onRegionTaken)
        self.statistics = StatisticsPanel(ui, logic, self.jobPanel)
        self.export = LesionExport(ui, logic, self.jobPanel, self.lesions, self.update)
        ui.editButton.connect("clicked(bool)", self.onEditButton)
        ui.updateButton.connect("clicked(bool)", self.onUpdateButton)
        ui.decisionLayoutButton.connect("clicked(bool)", self.showDecision)
        boxes = {"preset": ChoiceBox(ui.presetComboBox, catalog.PRESETS, catalog.DEFAULT_PRESET)}
        boxes |= self.maps.unitBoxes | self.sides.boxes
        self.binding = ParameterBinding(ui, logic.getParameterNode, self.update, boxes)
        self._isComplete = True
        self.binding.bind()

    def tmaxNode(self):
        """Return the Tmax map that is chosen, or None."""
        node = self.binding.node if self._isComplete else None
        return None if node is None else node.tmax

    def lesions(self):
        """Return (segmentation of the Tmax map that is chosen, name of its study), (None, "") for none."""
        tmax = self.tmaxNode()
        segmentation = None if tmax is None else lesionsOf(tmax)
        return (segmentation, lesionStudyOf(tmax)) if segmentation is not None else (None, "")

    def canApply(self):
        """Return (whether Apply can be pressed, what it does or why it cannot)."""
        node = self.binding.node
        if node is None or node.tmax is None or node.cbf is None:
            return False, _("Choose Tmax and CBF maps first")
        for threshold in self.thresholds.thresholds():
            if getattr(node, threshold.quantity) is None:
                return False, _("These thresholds need a map of {name}").format(name=threshold.quantity.upper())
        problem = self.maps.problem() or self.networkProblem()
        return not problem, problem or _("Find core and penumbra in the background")

    def networkProblem(self):
        """Return why the network that is chosen cannot draw the core here, an empty text where none is needed."""
        return networkProblem() if self.binding.node is not None and self.thresholds.isByNetwork() else ""

    def update(self):
        """Show what is chosen and what can be done now."""
        if not self._isComplete or self._isUpdating:
            return
        self._isUpdating = True  # parts that choose something themselves change the parameter node
        try:
            node = self.binding.node
            self.maps.show(node)
            self.thresholds.show(node)
            self.sides.show(node)
            isPossible, hint = self.canApply()
            self.jobPanel.setReady(isPossible, hint)
            if node is not None:
                isPossible = isPossible and not self.jobPanel.isRunning
                self.preview.follow(self._mapsKey(), self._choicesKey(), isPossible, node.livePreview, self.networkProblem())
            self.statistics.update(() if node is None else (node.tmax, node.cbf, node.cbv))
            self.picture.update()
            self.export.update()
            self._showLesions()
        finally:
            self._isUpdating = False

    def _mapsKey(self):
        return tuple(None if volume is None else volume.GetID() for volume in self.maps.nodes().values())

    def _choicesKey(self):
        given = self.sides.inputs()
        regions = tuple(None if r is None else (r[0].GetID(), r[1]) for r in (given["contra"], given["roi"]))
        return self.thresholds.preset(), str(self.thresholds.changed()), given["side"], regions, str(self.maps.units())

    def _showLesions(self):
        segmentation, study = self.lesions()
        report = None if segmentation is None else findStudy(slicer.mrmlScene, study).report
        words = "" if report is None else summarySentence(textToMetrics(report))
        self.ui.summaryLabel.text = f"{words} " + _("Research use only.") if words else _("No lesions yet for this map.")
        missing = "" if segmentation is not None else _("Press Apply first")
        running = missing or (_("Wait until the running job has ended") if self.jobPanel.isRunning else "")
        noWindow = missing or ("" if slicer.util.mainWindow() is not None else _("Needs Slicer's main window"))
        for button, problem, hint in (
            (self.ui.editButton, noWindow, _("Correct the lesions by hand in the Segment Editor")),
            (self.ui.updateButton, running, _("Measure the lesions as they are now, after you edited them or moved a marker")),
            (self.ui.decisionLayoutButton, missing, _("Tmax beside core and penumbra, and the numbers")),
        ):
            button.enabled = not problem
            button.toolTip = problem or hint

    def showPreview(self):
        """Show the lesions of the thresholds as they are; return what is said about them."""
        node, given = self.binding.node, self.sides.inputs()
        volumes = self.logic.preview(
            **{f"{key}Node": volume for key, volume in self.maps.nodes().items()},
            preset=node.preset or None,
            thresholds=self.thresholds.changed(),
            units=self.maps.units(),
            side=given["side"],
            contra=given["contra"],
        )
        return previewWords(volumes, self.thresholds.isByNetwork())

    def offerPackages(self):
        """Offer what the thresholds need."""
        if self.thresholds.isByNetwork():
            offerPackages(_("Core Penumbra"), WEIGHTS_PACKAGES)

    def segment(self, **callbacks):
        """Start the job of Apply."""
        return self.logic.segment(
            **{f"{key}Node": volume for key, volume in self.maps.nodes().items()},
            preset=self.binding.node.preset or None,
            thresholds=self.thresholds.changed(),
            units=self.maps.units(),
            **self.sides.inputs(),
            **callbacks,
        )

    def onSegmented(self, job):
        """Show the lesions that were found, unless the panel was left or shows another map meanwhile."""
        self.picture.clear()
        if self.ui.statisticsSelector.currentNode() is None:
            self.ui.statisticsSelector.setCurrentNode(job.nodes["lesions"])
        self.onMeasured(job)
        if self.lesions()[0] is job.nodes["lesions"]:
            self.showDecision()

    def onUpdateButton(self, checked=False):
        """Measure the lesions as they are, with what was moved and chosen meanwhile."""
        segmentation, given = self.lesions()[0], self.sides.inputs()
        self.jobPanel.begin(
            lambda **callbacks: self.logic.updateMetrics(segmentation, units=self.maps.units(), **given, **callbacks),
            _("Measured. The tables are up to date."),
            self.onMeasured,
        )

    def onMeasured(self, job):
        """Show the lesions of a job rather than a preview."""
        if self.binding.node is not None:
            self.preview.end((self._mapsKey(), self._choicesKey()))
        self.update()

    def onEditButton(self, checked=False):
        """Open the lesions in the Segment Editor."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(self.lesions()[0])
        editor.setSourceVolumeNode(self.tmaxNode())

    def onRegionTaken(self, role, segmentation, segmentID):
        """Choose a region that was drawn on a picture.

        :param role: "contralateral" or "lesion".
        :param segmentation: vtkMRMLSegmentationNode.
        :param segmentID: its segment.
        """
        name, node = {"contralateral": "contra", "lesion": "roi"}[role], self.binding.node
        setattr(node, f"{name}Node", segmentation)
        setattr(node, f"{name}Segment", segmentID)
        self.update()

    def showDecision(self, checked=False):
        """Show the lesions in the layout for deciding."""
        node, (segmentation, _study) = self.binding.node, self.lesions()
        found = nodesOfStudy(slicer.mrmlScene, segmentation.GetAttribute(STUDY))
        maps = {f"map.{key}": volume for key, volume in self.maps.nodes().items() if volume is not None}
        # Without an image of the head the lesions lie on flow in gray: colors beneath them would mix with theirs.
        beneath = {} if "map.baseline" in found else {"map.baseline": grayCopy(node.cbf)}
        showStudy(beneath | found | maps, DECISION)

    def exit(self):
        """Let the parameter node go, when another module is shown."""
        self.preview.end()
        self.picture.clear()
        self.binding.release()

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self.preview.cleanup()
        self.picture.cleanup()
        self.binding.cleanup()
        self.jobPanel.cleanup()
