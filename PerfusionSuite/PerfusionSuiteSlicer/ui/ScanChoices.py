# SPDX-License-Identifier: Apache-2.0
"""Method, thresholds and what belongs to one kind of scan, in the panel for the whole job."""

from slicer.i18n import tr as _

from PerfusionSuiteLib.core import asl_choices, catalog
from PerfusionSuiteLib.core.fit_choices import MODALITIES
from PerfusionSuiteLib.core.preparation_choices import LEAKAGE
from PerfusionSuiteLib.core.threshold_words import BY_NETWORK

from .AslChoices import AslChoices
from .ChoiceBox import ChoiceBox
from .DisabledReasons import DisabledReasons
from .NetworkPackages import WEIGHTS_PACKAGES, networkProblem

_PRESETS = (*catalog.PRESETS, *catalog.MR_PRESETS)
_OF_BOLUS = (catalog.AUTOMATIC, *catalog.METHODS)


class ScanChoices:
    """Shows which choices fit the scan.

    :param ui: the panel's widgets.
    """

    def __init__(self, ui):
        self._ui = ui
        self._reasons = DisabledReasons()
        self._asl = AslChoices(ui)
        self._methodBox = ChoiceBox(ui.methodComboBox, _OF_BOLUS, catalog.DEFAULT_METHOD)
        self._presetBox = ChoiceBox(ui.presetComboBox, _PRESETS, catalog.DEFAULT_PRESET)
        self.boxes = {
            "method": self._methodBox,
            "preset": self._presetBox,
            "leakageCorrection": ChoiceBox(ui.leakageComboBox, LEAKAGE, "auto"),
            **self._asl.boxes,
        }

    def show(self, node, modality):
        """Show what can be chosen for this kind of scan.

        :return: what keeps the choices from being applied, or an empty text.
        """
        isMR, isASL = modality == "dsc", modality == "asl"
        if isASL:
            self._methodBox.offer(asl_choices.METHODS, asl_choices.AUTO)
        else:
            self._methodBox.offer(_OF_BOLUS, catalog.DEFAULT_METHOD)
        self._methodBox.show(node.method)
        # As on the command line, a map of diffusion decides the core unless thresholds were chosen.
        self._presetBox.offer(_PRESETS, "adc" if isMR and node.adc is not None else catalog.DEFAULT_PRESET)
        self._presetBox.show(node.preset)
        for control in (self._ui.leakageComboBox, self._ui.adcSelector):
            self._reasons.set(control, "" if isMR else _("For DSC-MRI only"))
        reason = _("Thresholds are for contrast: ASL compares the two sides, see the section ASL") if isASL else ""
        self._reasons.set(self._ui.presetComboBox, reason)
        others = {"ctp": _("DSC-MRI (not for CT scans)"), "asl": _("DSC-MRI (not for ASL)")}
        self._ui.mrCollapsibleButton.text = others.get(modality, _("DSC-MRI"))
        return self._asl.show(node, modality) or ("" if isASL else self._problem(node, modality))

    def _problem(self, node, modality):
        isMR = modality == "dsc"
        if not isMR and node.preset in {choice.name for choice in catalog.MR_PRESETS}:
            return _("These thresholds are for DSC-MRI: choose others for a CT scan")
        if node.method in _names(catalog.METHODS) and modality not in (None, *MODALITIES.get(node.method, (modality,))):
            return _("This method is made for DSC-MRI: choose another one for a CT scan")
        if node.preset == "adc" and node.adc is None:
            return _("The thresholds 'ADC core' need an ADC map: choose it under DSC-MRI")
        return networkProblem() if node.preset in BY_NETWORK else ""

    def packages(self, node):
        """Return names of Python packages that the choices need."""
        return WEIGHTS_PACKAGES if node.preset in BY_NETWORK else ()

    def arguments(self, node, modality):
        """Return the arguments of PerfusionSuiteLogic.analyze: those that have a meaning for this kind of scan."""
        offered = asl_choices.METHODS if modality == "asl" else catalog.METHODS
        common = {
            "method": node.method if node.method in _names(offered) else None,
            "motionCorrection": node.motionCorrection,
        }
        if modality == "asl":
            return common | self._asl.arguments(node)
        isMR = modality == "dsc"
        return common | {
            "interval": node.interval or None,
            "preset": node.preset or None,
            "noiseReduction": node.noiseReduction or None,
            "arteryMethod": node.arteryMethod or None,
            "aifTable": node.aifTable,
            "vofTable": node.vofTable,
            "leakageCorrection": (node.leakageCorrection or None) if isMR else None,
            "adc": node.adc if isMR else None,
        }


def _names(choices):
    return {choice.name for choice in choices}
