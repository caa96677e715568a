# SPDX-License-Identifier: Apache-2.0
"""The thresholds of a preset: two as sliders, whose words, unit and range follow the preset, all others as a form."""

import json
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.catalog import DEFAULT_PRESET
from PerfusionSuiteLib.core.threshold_choices import LISTS, THRESHOLD_OPTIONS
from PerfusionSuiteLib.core.threshold_words import MIN_CLUSTER_ML, THRESHOLDS

from .OptionForm import OptionForm, optionsOf, textOf

REACH = 3.0
"""Sliders go up to this multiple of the preset's value."""


class ThresholdSliders:
    """Shows and changes the thresholds of a parameter node with the fields preset, hypoperfusionThreshold, coreThreshold,
    minCluster and furtherThresholds (JSON); a threshold of 0 stands for that of the preset.

    :param ui: the panel's widgets, named hypoperfusionSlider, coreSlider (with labels), thresholdsFrame, resetButton,
        loadThresholdsButton and saveThresholdsButton.
    """

    def __init__(self, ui):
        self._ui = ui
        self._node = None
        self._isShowing = False
        self._shownPreset = None
        ui.hypoperfusionSlider.connect("valueChanged(double)", self.onHypoperfusionMoved)
        ui.coreSlider.connect("valueChanged(double)", self.onCoreMoved)
        ui.resetButton.connect("clicked(bool)", self.reset)
        ui.loadThresholdsButton.connect("clicked(bool)", self.onLoadButton)
        ui.saveThresholdsButton.connect("clicked(bool)", self.onSaveButton)
        self.form = OptionForm(ui.thresholdsFrame.layout(), self.onForm, THRESHOLD_OPTIONS)

    def preset(self):
        """Return the name of the preset that is chosen."""
        name = self._node.preset if self._node is not None else ""
        return name if name in THRESHOLDS else DEFAULT_PRESET

    def thresholds(self):
        """Return the two thresholds of the preset that is chosen."""
        return THRESHOLDS[self.preset()]

    def isByNetwork(self):
        """Return whether a network draws the core: the preset's rule, or the one that is chosen in the form."""
        own = next(option.default for option in THRESHOLD_OPTIONS[self.preset()] if option.name == "core_rule")
        return optionsOf(self._node.furtherThresholds).get("core_rule", own) == "network"

    def changed(self):
        """Return what differs from the preset, by field."""
        node, found = self._node, {}
        for threshold, value in zip(self.thresholds(), (node.hypoperfusionThreshold, node.coreThreshold), strict=True):
            if value > 0:
                found[threshold.field] = value
        if node.minCluster != MIN_CLUSTER_ML:
            found["min_cluster_ml"] = node.minCluster
        for name, value in optionsOf(node.furtherThresholds).items():
            found[name] = _numbersOf(value) if name in LISTS else value
        return found

    def take(self, preset, thresholds):
        """Show thresholds that come from elsewhere.

        :param preset: name of the preset.
        :param thresholds: what differs from it, by field.
        """
        self._shownPreset = self._node.preset = preset
        sliders = dict(zip((t.field for t in THRESHOLDS[preset]), ("hypoperfusionThreshold", "coreThreshold"), strict=True))
        own = {option.name: option.default for option in THRESHOLD_OPTIONS[preset]}
        own |= {t.field: t.value for t in THRESHOLDS[preset]}
        self.reset()
        further = {}
        for name, value in thresholds.items():
            value = ", ".join(f"{number:g}" for number in value) if name in LISTS else value
            if name == "min_cluster_ml":
                self._node.minCluster = value
            elif name in sliders:
                setattr(self._node, sliders[name], 0.0 if value == own[name] else value)
            elif name in own and value != own[name]:
                further[name] = value
        self._node.furtherThresholds = textOf(further)

    def reset(self):
        """Go back to the thresholds of the preset."""
        self._node.hypoperfusionThreshold = self._node.coreThreshold = 0.0
        self._node.minCluster = MIN_CLUSTER_ML
        self._node.furtherThresholds = ""

    def show(self, node):
        """Show the thresholds of a parameter node; those of another preset are forgotten."""
        self._node = node
        if node is None:
            return
        preset = self.preset()
        if self._shownPreset not in (None, preset):
            self._shownPreset = preset
            self.reset()
        self._shownPreset = preset
        ui, self._isShowing = self._ui, True
        values = (node.hypoperfusionThreshold, node.coreThreshold)
        sliders = ((ui.hypoperfusionSlider, ui.hypoperfusionSliderLabel), (ui.coreSlider, ui.coreSliderLabel))
        for (slider, label), threshold, value in zip(sliders, self.thresholds(), values, strict=True):
            label.text = f"{threshold.label}:"
            slider.suffix = f" {threshold.unit}" if threshold.unit else ""
            slider.decimals, slider.singleStep = (2 if threshold.step < 0.1 else 1), threshold.step
            slider.maximum = max(min(REACH * threshold.value, threshold.high), value)
            slider.value = value or threshold.value
        self.form.show(preset, node.furtherThresholds)
        self._isShowing = False
        isChanged = bool(self.changed())
        ui.resetButton.enabled = isChanged
        ui.resetButton.toolTip = _("Forget what you changed") if isChanged else _("The thresholds are those of the preset")

    def onHypoperfusionMoved(self, value):
        """Take the threshold of hypoperfusion from its slider."""
        self._onMoved("hypoperfusionThreshold", 0, value)

    def onCoreMoved(self, value):
        """Take the threshold of core from its slider."""
        self._onMoved("coreThreshold", 1, value)

    def onForm(self, text):
        """Take the thresholds of the form.

        :param text: what differs from the preset, as JSON.
        """
        if not self._isShowing and self._node is not None:
            self._node.furtherThresholds = text

    def onLoadButton(self, checked=False):
        """Take thresholds from a file that the user chooses."""
        path = qt.QFileDialog.getOpenFileName(None, _("Load thresholds"), "", "JSON (*.json)")
        if path:
            with slicer.util.tryWithErrorDisplay(_("The thresholds could not be loaded.")):
                self.load(path)

    def onSaveButton(self, checked=False):
        """Keep thresholds in a file that the user chooses."""
        path = qt.QFileDialog.getSaveFileName(None, _("Save thresholds"), "thresholds.json", "JSON (*.json)")
        if path:
            with slicer.util.tryWithErrorDisplay(_("The thresholds could not be saved.")):
                self.save(path)

    def load(self, path):
        """Take thresholds from a file.

        :param path: JSON with fields of lesion.Preset; also the metrics.json of a case.
        """
        from PerfusionSuiteLib.lesion import edited_preset, thresholds_from_json

        document = json.loads(Path(path).read_text(encoding="utf-8"))
        found = document.get("thresholds", document) if "schema" in document else document
        preset = found.pop("preset", self.preset()) if isinstance(found, dict) else self.preset()
        thresholds = thresholds_from_json(path) if "schema" in document else found
        if preset not in THRESHOLDS:
            msg = f"The thresholds are of the preset '{preset}', which is not offered here. Choose a file of another preset."
            raise InvalidInputError(msg)
        edited_preset(preset, thresholds)  # says what is wrong
        self.take(preset, thresholds)

    def save(self, path):
        """Keep the preset's name and what differs from it in a file.

        :param path: JSON, which load() reads again.
        """
        from PerfusionSuiteLib.core.files import write_json

        thresholds = {"preset": self.preset(), **self.changed()}
        write_json(Path(path), {"schema": "perfusion-suite/thresholds/1", "thresholds": thresholds})

    def _onMoved(self, field, index, value):
        if self._isShowing or self._node is None:
            return
        isPreset = abs(value - self.thresholds()[index].value) < 1e-6
        setattr(self._node, field, 0.0 if isPreset else value)


def _numbersOf(text):
    """Return the numbers that were typed with commas; other texts as they are, so that the worker says what is wrong."""
    try:
        return [float(part) for part in str(text).split(",") if part.strip()]
    except ValueError:
        return text
