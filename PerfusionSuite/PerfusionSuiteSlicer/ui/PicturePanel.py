# SPDX-License-Identifier: Apache-2.0
"""A region that somebody drew on a picture: checked live beside the map and over the slices, then used."""

import tempfile
from pathlib import Path

import qt
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import PerfusionError
from PerfusionSuiteLib.core.catalog import Choice

from .RunnerChoice import temporaryFolder

ORIENTATIONS = (
    Choice("axial", "axial", "anterior at the top"),
    Choice("coronal", "coronal", "superior at the top"),
    Choice("sagittal", "sagittal", "superior at the top, anterior on the left"),
)
ROLES = (
    Choice("contralateral", "normal region (other side)", "replaces the automatic reference"),
    Choice("lesion", "cortex of the lesion", "for the conventional CBV index"),
)
WIDTH = 300
ERROR_STYLE = "color: #c62828;"


class PicturePanel:
    """Shows what is found on a picture whenever one of its settings changes.

    :param ui: the panel's widgets, named picturePathLineEdit, orientationComboBox, horizontalCheckBox, verticalCheckBox,
        yellowCheckBox, colorButton, cropLineEdit, pictureRoleComboBox, checkLabel, pictureLabel and takeRegionButton.
    :param logic: CorePenumbraLogic.
    :param getMap: called without arguments; returns the map that pictures are of, or None.
    :param taken: called with role, segmentation node and segment ID when the user takes a region.
    """

    def __init__(self, ui, logic, getMap, taken):
        self._ui, self._logic, self._getMap, self._taken = ui, logic, getMap, taken
        self._folder = None
        ui.orientationComboBox.addItems([_(choice.label) for choice in ORIENTATIONS])
        ui.orientationComboBox.toolTip = "\n".join(f"{choice.label}: {choice.description}" for choice in ORIENTATIONS)
        ui.pictureRoleComboBox.addItems([_(choice.label) for choice in ROLES])
        ui.pictureRoleComboBox.toolTip = "\n".join(f"{choice.label}: {choice.description}" for choice in ROLES)
        ui.colorButton.color = qt.QColor(255, 255, 0)
        ui.colorButton.displayColorName = False
        ui.cropLineEdit.placeholderText = _("the whole picture")
        ui.checkLabel.visible = False
        ui.picturePathLineEdit.connect("currentPathChanged(QString)", self.check)
        ui.orientationComboBox.connect("currentIndexChanged(int)", self.check)
        for checkBox in (ui.horizontalCheckBox, ui.verticalCheckBox, ui.yellowCheckBox):
            checkBox.connect("toggled(bool)", self.check)
        ui.colorButton.connect("colorChanged(QColor)", self.check)
        ui.cropLineEdit.connect("editingFinished()", self.check)
        ui.takeRegionButton.connect("clicked(bool)", self.onTakeRegion)
        self.update()

    def settings(self):
        """Return the settings as keyword arguments of the logic's regionFromPicture()."""
        ui = self._ui
        flips = (("horizontal", ui.horizontalCheckBox), ("vertical", ui.verticalCheckBox))
        color = ui.colorButton.color
        return {
            "orientation": ORIENTATIONS[ui.orientationComboBox.currentIndex].name,
            "flips": tuple(name for name, checkBox in flips if checkBox.checked),
            "crop": _edgesOf(ui.cropLineEdit.text),
            "color": None if ui.yellowCheckBox.checked else (color.red(), color.green(), color.blue()),
        }

    def update(self):
        """Enable what can be used now, and say why the rest cannot."""
        ui = self._ui
        ui.colorButton.enabled = not ui.yellowCheckBox.checked
        ui.colorButton.toolTip = _("Untick 'any yellow' first") if ui.yellowCheckBox.checked else _("Color of the line")
        problem = "" if self._getMap() is not None else _("Choose a Tmax map first")
        problem = problem or ("" if ui.picturePathLineEdit.currentPath else _("Choose a picture first"))
        problem = problem or ("" if ui.checkLabel.visible else _("No region was found on the picture"))
        ui.takeRegionButton.enabled = not problem
        ui.takeRegionButton.toolTip = problem or _("Keep the region as a segment and use it when Apply is pressed")

    def check(self, *_ignored):
        """Show what is found with the settings as they are."""
        ui, mapNode, path = self._ui, self._getMap(), self._ui.picturePathLineEdit.currentPath
        self.clear()
        if path and mapNode is not None:
            try:
                facts = self._logic.checkRegionFromPicture(path, mapNode, self._picturePath(), **self.settings())
            except PerfusionError as error:
                self._say(str(error), isError=True)
            else:
                pixmap = qt.QPixmap(self._picturePath())
                ui.checkLabel.setPixmap(pixmap.scaledToWidth(WIDTH, qt.Qt.SmoothTransformation))
                ui.checkLabel.visible = True
                self._say(facts)
        self.update()

    def clear(self):
        """Take the check away."""
        if self._ui.checkLabel.visible:
            self._logic.clearPreview()
        self._ui.checkLabel.visible = False
        self._say("")

    def onTakeRegion(self, checked=False):
        """Keep the region as a segment."""
        role = ROLES[self._ui.pictureRoleComboBox.currentIndex].name
        path = self._ui.picturePathLineEdit.currentPath
        node, segmentID = self._logic.regionFromPicture(path, self._getMap(), role, **self.settings())
        self._logic.clearPreview()
        self._taken(role, node, segmentID)
        self._say(_("Kept as '{name}' and chosen above.").format(name=node.GetSegmentation().GetSegment(segmentID).GetName()))

    def _picturePath(self):
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="perfusion-picture-", dir=temporaryFolder())
        return str(Path(self._folder.name) / "check.png")

    def _say(self, text, isError=False):
        self._ui.pictureLabel.text = text
        self._ui.pictureLabel.visible = bool(text)
        self._ui.pictureLabel.styleSheet = ERROR_STYLE if isError else ""

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        if self._folder is not None:
            self._folder.cleanup()


def _edgesOf(text):
    """Return the four numbers that were typed, None when there are none; other texts go on, so that the library says why."""
    parts = [part for part in text.replace(",", " ").split() if part]
    try:
        edges = tuple(float(part) for part in parts)
    except ValueError:
        edges = (0.0, 0.0, 0.0, 0.0)
    return None if not parts else edges if len(edges) == 4 else (0.0, 0.0, 0.0, 0.0)
