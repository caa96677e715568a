# SPDX-License-Identifier: Apache-2.0
"""The part of a panel that says which model is fitted: preset, method, device, and the options that matter."""

from slicer.i18n import tr as _

from PerfusionSuiteLib.core import catalog
from PerfusionSuiteLib.core.fit_choices import (
    BOLUS,
    CUSTOM,
    DEFAULT_FIT,
    FIT_OPTIONS,
    FIT_PRESETS,
    MODALITIES,
    NEEDS_TORCH,
    SHOWN_WHILE_RUNNING,
    USES_GPU,
    preset_of,
)

from ..mrml.ScanFacts import KINDS
from .ChoiceBox import ChoiceBox
from .DeviceBox import DeviceBox
from .DisabledReasons import DisabledReasons
from .OptionForm import OptionForm, optionsOf, textOf

_ASL = tuple(choice for choice in catalog.ASL if choice.name in FIT_OPTIONS)
_METHODS = {choice.name: choice for choice in (*catalog.FITTING, *catalog.REGIONAL, *_ASL)}
TISSUE_TIP = (
    "A label volume (0 background, 1 gray matter, 2 white matter, 3 CSF, 4 brain stem, or labels of FreeSurfer or SynthSeg) or a "
    "segmentation with segments of these names, on any grid. Without one the tissue is estimated from the scan."
)
_OWN = catalog.Choice(CUSTOM, _("Own choice"), _("Method and options as chosen below."))
_PRESETS = (*(preset for preset in FIT_PRESETS if preset.method in _METHODS), _OWN)


class ModelChoice:
    """Ties presets, methods and options to a parameter node with the texts method and options.

    :param ui: the panel's widgets, named presetComboBox, methodComboBox, modelLabel, deviceComboBox, deviceLabel, torchButton,
        watchCheckBox, optionsFrame and optionsResetButton.
    :param changed: called without arguments when something was chosen that the parameter node does not tell.
    """

    def __init__(self, ui, changed):
        self._ui = ui
        self._node = None
        self._shownMethod = None
        self._reasons = DisabledReasons()
        self.methodBox = ChoiceBox(ui.methodComboBox, tuple(_METHODS.values()), DEFAULT_FIT)
        self._presetBox = ChoiceBox(ui.presetComboBox, _PRESETS, CUSTOM)
        self._presetBox.bind(self.onPreset)
        self._deviceBox = DeviceBox(ui, changed)
        self._form = OptionForm(ui.optionsFrame.layout(), self.onOptions)
        ui.optionsResetButton.connect("clicked(bool)", self.onReset)

    def ask(self):
        """Ask for the devices of this machine, in the background."""
        self._deviceBox.ask()

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self._deviceBox.cleanup()

    @property
    def device(self):
        """The device that is chosen."""
        return self._deviceBox.device

    def options(self):
        """Return the options that differ from the method's own."""
        return {} if self._node is None else optionsOf(self._node.options)

    def show(self, node, modality=None):
        """Show what a parameter node says.

        :param node: has method and options.
        :param modality: kind of the scan, None when it is not known.
        :return: why this cannot be fitted here, or an empty text.
        """
        self._node = node
        method = node.method if node.method in _METHODS else DEFAULT_FIT
        if self._shownMethod not in (None, method) and not self._fits(method, node.options):
            node.options = ""  # those of another method
        self._shownMethod = method
        ui = self._ui
        ui.modelLabel.text = _METHODS[method].description
        self._presetBox.show(preset_of(method, self.options()))
        self._form.show(method, node.options)
        ui.optionsResetButton.enabled = bool(node.options)
        ui.optionsResetButton.toolTip = _("Forget what you changed") if node.options else _("The options are the method's own")
        silent = _("Not for this model, which says nothing until it is done")
        self._reasons.set(ui.watchCheckBox, "" if method in SHOWN_WHILE_RUNNING else silent)
        self._showTissue(method in {choice.name for choice in catalog.REGIONAL})
        self._deviceBox.setNeeded(method in USES_GPU and (method in NEEDS_TORCH or not self._deviceBox.lacksTorch))
        madeFor = MODALITIES.get(method, BOLUS)
        if modality is not None and modality not in madeFor:
            kinds = _(" and ").join(KINDS[kind] for kind in madeFor)
            text = _("This model is made for {kinds}, and the scan is {kind}: choose another model")
            return text.format(kinds=kinds, kind=KINDS.get(modality, modality))
        if method in NEEDS_TORCH and self._deviceBox.lacksTorch:
            return _("This model needs PyTorch: press Install PyTorch, or choose one that looks at every voxel by itself")
        return ""

    def _showTissue(self, isUsed):
        ui = self._ui
        ui.tissueSelector.enabled = isUsed
        ui.tissueSelector.visible = ui.tissueSelectorLabel.visible = isUsed
        ui.tissueSelector.toolTip = _(TISSUE_TIP)

    def onPreset(self, name):
        """Take method and options of a preset."""
        preset = next((preset for preset in FIT_PRESETS if preset.name == name), None)
        if preset is None or self._node is None:
            return
        self._shownMethod = None
        self._node.options = textOf(dict(preset.options))
        self._node.method = preset.method

    def onOptions(self, text):
        """Take the options that were changed in the form."""
        if self._node is not None:
            self._node.options = text

    def onReset(self):
        """Go back to the method's own options."""
        self._node.options = ""

    def _fits(self, method, text):
        known = {option.name for option in FIT_OPTIONS.get(method, ())}
        return set(optionsOf(text)) <= known
