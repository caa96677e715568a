# SPDX-License-Identifier: Apache-2.0
"""The part of a panel that shows the regions of a fit: choose one, or point at it, and see its curve."""

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..mrml.RegionNodes import isRelative, regionAt, regionNames, regionSentence, shownRegion, showRegion
from ..mrml.StudyRoles import REGIONS

_ALL = _("All regions")
_NONE = _("Fit a DSC-MRI scan by a model with regions, such as HemoPIC, to see regions and their curves here.")
_RELATIVE = _("Flow and volume are relative: no artery was used.")


class RegionPanel(VTKObservationMixin):
    """Shows the regions of the study that a panel shows.

    :param ui: the panel's widgets, named regionComboBox, regionLabel, regionShowCheckBox and regionFollowCheckBox.
    """

    def __init__(self, ui):
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._study = None
        self._names = []
        self._isFilling = False
        self._crosshair = None
        ui.regionComboBox.connect("currentIndexChanged(int)", self._onChosen)
        ui.regionShowCheckBox.connect("toggled(bool)", self._onShown)
        ui.regionFollowCheckBox.connect("toggled(bool)", self._onFollow)
        self.show(None)

    def show(self, study):
        """Show the regions of a study.

        :param study: StudyNodes, or None.
        """
        self._study = study if study is not None and regionNames(study) else None
        names = [] if self._study is None else ["", *regionNames(self._study)]
        ui = self._ui
        self._isFilling = True
        if names != self._names:
            self._names = names
            ui.regionComboBox.clear()
            ui.regionComboBox.addItems([name or _ALL for name in names])
        if self._study is not None:
            shown = shownRegion(self._study)
            ui.regionComboBox.currentIndex = names.index(shown) if shown in names else 0
            ui.regionShowCheckBox.checked = bool(self._study[REGIONS].GetDisplayNode().GetVisibility())
        self._isFilling = False
        for widget, hint in (
            (ui.regionComboBox, _("Its observed and its fitted curve are shown in the chart of regions")),
            (ui.regionShowCheckBox, _("Draw the region over the slices; it would hide the maps otherwise")),
            (ui.regionFollowCheckBox, _("Hold Shift and move the mouse over a slice: the region beneath it is chosen")),
        ):
            widget.enabled = self._study is not None
            widget.toolTip = hint if self._study is not None else _NONE
        self._say()

    def choose(self, region):
        """Choose a region.

        :param region: its name; an empty text for all of them.
        """
        if region in self._names:
            self._ui.regionComboBox.currentIndex = self._names.index(region)

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self.removeObservers()

    def _say(self):
        ui, study = self._ui, self._study
        if study is None:
            ui.regionLabel.text = _NONE
            return
        region = shownRegion(study)
        count = len(self._names) - 1
        words = regionSentence(study, region) if region else _("{count} regions.").format(count=count)
        ui.regionLabel.text = f"{words} {_RELATIVE}" if isRelative(study) else words

    def _onChosen(self, index):
        if self._isFilling or self._study is None or not 0 <= index < len(self._names):
            return
        showRegion(slicer.mrmlScene, self._study.name, self._names[index])
        self._say()

    def _onShown(self, isShown):
        if self._study is not None and not self._isFilling:
            self._study[REGIONS].GetDisplayNode().SetVisibility(isShown)

    def _onFollow(self, isFollowing):
        self.removeObservers(self._onCrosshair)
        crosshair = slicer.mrmlScene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
        if isFollowing and crosshair is not None:
            self.addObserver(crosshair, vtk.vtkCommand.ModifiedEvent, self._onCrosshair)

    def _onCrosshair(self, crosshair, event):
        if self._study is None or not slicer.mrmlScene.IsNodePresent(self._study[REGIONS]):
            return
        region = regionAt(self._study, crosshair.GetCrosshairRAS())
        if region and region != shownRegion(self._study):
            self.choose(region)
