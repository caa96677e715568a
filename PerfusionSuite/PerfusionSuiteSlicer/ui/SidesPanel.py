# SPDX-License-Identifier: Apache-2.0
"""Midline, affected side, regions, sinuses and a later scan: what decides besides maps and thresholds."""

from slicer.i18n import tr as _

from PerfusionSuiteLib.core.catalog import Choice

from ..mrml.LesionJob import lesionsOf
from .ChoiceBox import ChoiceBox
from .RegionBox import RegionBox

SIDES = (
    Choice("auto", "automatic", "the side with more hypoperfusion"),
    Choice("left", "left", "the patient's left"),
    Choice("right", "right", "the patient's right"),
    Choice("bilateral", "both", "normal tissue of the whole brain is the reference"),
)


class SidesPanel:
    """Shows and changes what the user knows about the patient's head.

    :param ui: the panel's widgets, named sideComboBox, midlineCheckBox, midlineButton, sinusesCheckBox, sinusesButton,
        contraSelector, contraSegmentComboBox, roiSelector, roiSegmentComboBox.
    :param logic: CorePenumbraLogic.
    :param changed: called without arguments when the plane or the markers were removed.
    """

    def __init__(self, ui, logic, changed):
        self._ui, self._logic, self._changed = ui, logic, changed
        self._node = None
        self._contra = RegionBox(ui.contraSegmentComboBox, _("The segment that is normal"))
        self._roi = RegionBox(ui.roiSegmentComboBox, _("The segment on the side of the lesion"))
        self.boxes = {
            "side": ChoiceBox(ui.sideComboBox, SIDES, "auto"),
            "contraSegment": self._contra,
            "roiSegment": self._roi,
        }
        ui.midlineCheckBox.connect("toggled(bool)", self.onMidlineShown)
        ui.sinusesCheckBox.connect("toggled(bool)", self.onSinusesShown)
        ui.midlineButton.connect("clicked(bool)", self.onMidlineReset)
        ui.sinusesButton.connect("clicked(bool)", self.onSinusesReset)

    def show(self, node):
        """Show the choices of a parameter node, and what can be moved.

        :param node: the parameter node, or None.
        """
        self._node = node
        if node is None:
            return
        for box, name in ((self._contra, "contra"), (self._roi, "roi")):
            shown = box.fill(getattr(node, f"{name}Node"), getattr(node, f"{name}Segment"))
            if shown != getattr(node, f"{name}Segment"):
                setattr(node, f"{name}Segment", shown)
        self._showMarkers()

    def _showMarkers(self):
        ui, tmax = self._ui, self._node.tmax
        plane, sinuses = self._markers()
        needsMap = "" if tmax is not None else _("Choose a Tmax map first")
        hasLesions = tmax is not None and lesionsOf(tmax) is not None
        needsLesions = needsMap or ("" if hasLesions else _("Press Apply first"))
        needsPlane = needsMap or ("" if plane is not None else _("The plane is found when Apply is pressed"))
        needsMarkers = "" if sinuses is not None else _("The sinuses are found when Apply is pressed")
        moved = _("What you move counts when you press Apply or Update numbers")
        for widget, problem, hint in (
            (ui.midlineCheckBox, needsMap, moved),
            (ui.sinusesCheckBox, needsLesions, moved),
            (ui.midlineButton, needsPlane, _("Forget the plane, so that it is found anew")),
            (ui.sinusesButton, needsLesions or needsMarkers, _("Forget the markers, so that the sinuses are found anew")),
        ):
            widget.enabled = not problem
            widget.toolTip = problem or hint
        for checkBox, marker in ((ui.midlineCheckBox, plane), (ui.sinusesCheckBox, sinuses)):
            wasBlocked = checkBox.blockSignals(True)
            checkBox.checked = marker is not None and bool(marker.GetDisplayNode().GetVisibility())
            checkBox.blockSignals(wasBlocked)

    def _markers(self):
        return self._logic.markers(self._node.tmax) if self._node.tmax is not None else (None, None)

    def inputs(self):
        """Return what was chosen, as keyword arguments of the logic's segment()."""
        node = self._node
        given = {"side": "" if node.side == "auto" else node.side}
        for name in ("contra", "roi"):
            segmentation, segmentID = getattr(node, f"{name}Node"), getattr(node, f"{name}Segment")
            given[name] = (segmentation, segmentID) if segmentation is not None and segmentID else None
        given |= {"followUpTmaxNode": node.followUpTmax, "followUpCbfNode": node.followUpCbf}
        given |= {"ageYears": node.age or None, "nihss": None if node.nihss < 0 else node.nihss}
        return given

    def onMidlineShown(self, isShown):
        """Show the plane with handles to move it; a first one is put through the middle when none was found yet."""
        plane = self._logic.addMarkers(self._node.tmax)[0] if isShown else self._markers()[0]
        if plane is not None:
            plane.GetDisplayNode().SetVisibility(isShown)
            plane.GetDisplayNode().SetHandlesInteractive(isShown)
        self._showMarkers()

    def onSinusesShown(self, isShown):
        """Show the markers of the sinuses."""
        sinuses = self._logic.addMarkers(self._node.tmax)[1] if isShown else self._markers()[1]
        if sinuses is not None:
            sinuses.GetDisplayNode().SetVisibility(isShown)
        self._showMarkers()

    def onMidlineReset(self, checked=False):
        """Forget the plane."""
        self._logic.forgetMarkers(self._node.tmax, midplane=True)
        self._changed()

    def onSinusesReset(self, checked=False):
        """Forget the markers."""
        self._logic.forgetMarkers(self._node.tmax, sinuses=True)
        self._changed()
