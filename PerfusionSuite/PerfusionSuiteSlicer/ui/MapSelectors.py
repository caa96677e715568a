# SPDX-License-Identifier: Apache-2.0
"""The maps that lesions are found in: taken together from a study, or any volumes whose units are checked and asked for."""

from slicer.i18n import tr as _

from PerfusionSuiteLib.core.catalog import Choice

from ..mrml.MapUnits import UNITS, guessUnit, unitProblem
from ..mrml.StudyRoles import STUDY, nodesOfStudy
from .ChoiceBox import ChoiceBox

KEYS = ("tmax", "cbf", "cbv", "delay")
AUTOMATIC = "auto"


class MapSelectors:
    """Knows which volume is which map, in which unit.

    :param ui: the panel's widgets, with a Selector and a UnitComboBox for each of tmax, cbf, cbv and delay.
    """

    def __init__(self, ui):
        self._ui = ui
        self._node = None
        self._lastTmax = None
        self._known = {}
        self.unitBoxes = {}
        for key in KEYS:
            box = getattr(ui, f"{key}UnitComboBox")
            choices = [Choice(AUTOMATIC, _("unit: auto"), _("as the volume says, or as its values say"))]
            choices += [Choice(unit, unit, "") for unit in UNITS[key]]
            self.unitBoxes[f"{key}Unit"] = ChoiceBox(box, choices, AUTOMATIC)
            box.setSizeAdjustPolicy(box.AdjustToMinimumContentsLengthWithIcon)
            box.minimumContentsLength = 8

    def show(self, node):
        """Take over the other maps of a study when its Tmax is chosen, and say in which unit maps are.

        :param node: the parameter node, or None.
        """
        self._node = node
        if node is None:
            self._lastTmax = None
            return
        if node.tmax is not self._lastTmax:
            self._lastTmax = node.tmax
            self._takeStudy(node)
        for key in KEYS:
            volume = getattr(node, key)
            box = getattr(self._ui, f"{key}UnitComboBox")
            box.enabled = volume is not None
            if volume is None:
                box.toolTip = _("Choose a volume first")
                continue
            problem, unit = self._look(volume, key)
            box.toolTip = problem or _("Unit of the values: {unit}").format(unit=unit)

    def _takeStudy(self, node):
        study = None if node.tmax is None else node.tmax.GetAttribute(STUDY)
        if not study:
            return
        found = nodesOfStudy(node.tmax.GetScene(), study)
        for key in KEYS[1:]:
            present = getattr(node, key)
            if f"map.{key}" in found and (present is None or present.GetAttribute(STUDY)):
                setattr(node, key, found[f"map.{key}"])

    def nodes(self):
        """Return the volumes by key, None where there is none."""
        return {key: getattr(self._node, key) for key in KEYS}

    def units(self):
        """Return the units that the user chose, by key."""
        units = {key: getattr(self._node, f"{key}Unit") for key in KEYS}
        return {key: unit for key, unit in units.items() if unit not in ("", AUTOMATIC)}

    def problem(self):
        """Return why the volumes cannot be used, an empty text when they can."""
        for key in KEYS:
            volume = getattr(self._node, key)
            if volume is not None:
                problem, _unit = self._look(volume, key)
                if problem:
                    return problem
        return ""

    def _look(self, volume, key):
        """Return (problem, unit); values are looked at once."""
        chosen = self.units().get(key, "")
        image = volume.GetImageData()
        look = (volume.GetID(), 0 if image is None else image.GetMTime(), volume.GetMTime(), chosen)
        if self._known.get(key, (None,))[0] != look:
            problem = unitProblem(volume, key, chosen)
            unit = chosen or ("" if problem else guessUnit(volume, key))
            self._known[key] = (look, problem, unit)
        return self._known[key][1:]
