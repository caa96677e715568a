# SPDX-License-Identifier: Apache-2.0
"""Statistics of any segmentation within the volumes that are ticked, as a table."""

import qt
import slicer
from slicer.i18n import tr as _

from ..mrml.StudyRoles import QUALITY, ROLE
from .Layouts import showTable


class StatisticsPanel:
    """Lists the volumes of the scene and starts the computation.

    :param ui: the panel's widgets, named statisticsSelector, mapsList and statisticsButton.
    :param logic: CorePenumbraLogic.
    :param jobPanel: JobPanel that the computation is shown in.
    """

    def __init__(self, ui, logic, jobPanel):
        self._ui, self._logic, self._jobPanel = ui, logic, jobPanel
        self._ids, self._chosen, self._isTouched = [], set(), False
        ui.mapsList.maximumHeight = 110
        ui.statisticsSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentation)
        ui.mapsList.connect("itemChanged(QListWidgetItem*)", self._onItem)
        ui.statisticsButton.connect("clicked(bool)", self.onStatisticsButton)

    def update(self, chosen=()):
        """List the volumes, and enable what can be used now.

        :param chosen: volume nodes that are ticked until the user ticks others.
        """
        ui = self._ui
        volumes = [node for node in _volumes() if not (node.GetAttribute(ROLE) or "").startswith(QUALITY)]
        ids = [node.GetID() for node in volumes]
        wanted = {node.GetID() for node in chosen if node is not None} or self._chosen
        if ids != self._ids or (wanted != self._chosen and not self._isTouched):
            ticked = {node.GetID() for node in self.ticked()} if self._isTouched else wanted
            wasBlocked = ui.mapsList.blockSignals(True)
            ui.mapsList.clear()
            for index, node in enumerate(volumes):
                ui.mapsList.addItem(node.GetName())
                isTicked = node.GetID() in ticked
                ui.mapsList.item(index).setCheckState(qt.Qt.Checked if isTicked else qt.Qt.Unchecked)
            ui.mapsList.blockSignals(wasBlocked)
            self._ids, self._chosen = ids, wanted
        problem = "" if ui.statisticsSelector.currentNode() is not None else _("Choose a segmentation first")
        problem = problem or ("" if self.ticked() else _("Tick at least one volume"))
        problem = problem or (_("Wait until the running job has ended") if self._jobPanel.isRunning else "")
        ui.statisticsButton.enabled = not problem
        ui.statisticsButton.toolTip = problem or _("Volume, mean, SD, median and percentiles, also relative to the other side")

    def ticked(self):
        """Return the volume nodes that are ticked."""
        items = ((self._ui.mapsList.item(index), nodeID) for index, nodeID in enumerate(self._ids))
        nodes = [slicer.mrmlScene.GetNodeByID(nodeID) for item, nodeID in items if item.checkState() == qt.Qt.Checked]
        return [node for node in nodes if node is not None]

    def _onSegmentation(self, node):
        self.update()

    def _onItem(self, item):
        self._isTouched = True
        self.update()

    def onStatisticsButton(self, checked=False):
        """Compute the statistics in the background."""
        segmentation, volumes = self._ui.statisticsSelector.currentNode(), self.ticked()
        self._jobPanel.begin(
            lambda **callbacks: self._logic.statistics(segmentation, volumes, **callbacks),
            _("Computed. The table is shown, and in the Data module."),
            self._onDone,
        )

    def _onDone(self, job):
        showTable(job.nodes)
        self.update()


def _volumes():
    scene = slicer.mrmlScene
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode") for index in range(count)]
    return [node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()]
