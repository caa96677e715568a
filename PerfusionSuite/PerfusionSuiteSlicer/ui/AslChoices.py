# SPDX-License-Identifier: Apache-2.0
"""The part of a panel for ASL: calibration, fractions of tissue, low flow."""

from slicer.i18n import tr as _

from PerfusionSuiteLib.core.asl_choices import M0_SETTINGS, SETTINGS

from ..mrml.AslSequences import isAsl
from .DisabledReasons import DisabledReasons
from .NodeBox import NodeBox
from .OptionForm import OptionForm, optionsOf

_M0_NAMES = {option.name for option in M0_SETTINGS}


class AslChoices:
    """Ties the choices of an ASL run to a parameter node with aslOptions, grayMatter, whiteMatter, m0Region, laterScan,
    partialVolume.

    :param ui: the panel's widgets, named aslCollapsibleButton, graySelector, whiteSelector, partialVolumeCheckBox,
        m0RegionSelector, laterSelector and aslFrame.
    """

    def __init__(self, ui):
        self._ui = ui
        self._node = None
        self._reasons = DisabledReasons()
        self._form = OptionForm(ui.aslFrame.layout(), self.onOptions, {"asl": (*SETTINGS, *M0_SETTINGS)})
        self.boxes = {"m0Region": NodeBox(ui.m0RegionSelector), "laterScan": NodeBox(ui.laterSelector)}

    def show(self, node, modality):
        """Show what a parameter node says.

        :param node: the parameter node.
        :param modality: kind of the scan, None when it is not known.
        :return: what keeps these choices from being applied, or an empty text.
        """
        self._node = node
        isASL = modality == "asl"
        self._form.show("asl", node.aslOptions)
        reason = "" if isASL else _("For ASL scans only: choose or load one")
        self._ui.aslCollapsibleButton.text = _("ASL") if isASL or modality is None else _("ASL (not for this scan)")
        selectors = (self._ui.graySelector, self._ui.whiteSelector, self._ui.m0RegionSelector, self._ui.laterSelector)
        for control in (*selectors, *self._form.widgets().values()):
            self._reasons.set(control, reason)
        needsFractions = _("Choose the fractions of gray and of white matter first")
        hasFractions = node.grayMatter is not None and node.whiteMatter is not None
        self._reasons.set(self._ui.partialVolumeCheckBox, reason or ("" if hasFractions else needsFractions))
        return self._problem(node) if isASL else ""

    def _problem(self, node):
        if (node.grayMatter is None) != (node.whiteMatter is None):
            return _("Choose the fractions of both gray and white matter under ASL, or neither")
        reference = optionsOf(node.aslOptions).get("m0_reference", "voxelwise")
        if reference != "voxelwise" and node.m0Region is None:
            return _("This M0 reference needs a region: choose it under ASL")
        if node.laterScan is not None and (node.laterScan is node.inputScan or not isAsl(node.laterScan)):
            return _("The later scan must be another ASL scan that was loaded here: choose it under ASL, or none")
        return ""

    def onOptions(self, text):
        """Take the options that were changed in the form."""
        if self._node is not None:
            self._node.aslOptions = text

    def arguments(self, node):
        """Return the arguments of PerfusionSuiteLogic.analyze for an ASL scan."""
        options = optionsOf(node.aslOptions)
        isPartial = node.partialVolume and node.grayMatter is not None and node.whiteMatter is not None
        return {
            "labelingEfficiency": options.pop("labeling_efficiency", None),
            "bloodT1": options.pop("t1_blood", None),
            "lowFlowPercent": options.pop("low_flow_percent", None),
            "m0Options": {key: options.pop(key) for key in list(options) if key in _M0_NAMES},
            "aslOptions": options,
            "grayMatter": node.grayMatter,
            "whiteMatter": node.whiteMatter,
            "partialVolume": isPartial,
            "m0Region": node.m0Region,
            "laterScan": node.laterScan,
        }
