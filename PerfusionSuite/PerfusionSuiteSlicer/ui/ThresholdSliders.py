# SPDX-License-Identifier: Apache-2.0
"""The two thresholds of a preset as sliders, whose words, unit and range follow the preset."""

from PerfusionSuiteLib.core.catalog import DEFAULT_PRESET
from PerfusionSuiteLib.core.threshold_words import MIN_CLUSTER_ML, THRESHOLDS

REACH = 3.0
"""Sliders go up to this multiple of the preset's value."""


class ThresholdSliders:
    """Shows and changes the thresholds of a parameter node with the fields preset, hypoperfusionThreshold, coreThreshold and
    minCluster; a threshold of 0 stands for that of the preset.

    :param ui: the panel's widgets, named hypoperfusionSlider, coreSlider (with labels) and resetButton.
    """

    def __init__(self, ui):
        self._ui = ui
        self._node = None
        self._isShowing = False
        self._shownPreset = None
        ui.hypoperfusionSlider.connect("valueChanged(double)", self.onHypoperfusionMoved)
        ui.coreSlider.connect("valueChanged(double)", self.onCoreMoved)
        ui.resetButton.connect("clicked(bool)", self.reset)

    def thresholds(self):
        """Return the two thresholds of the preset that is chosen."""
        preset = self._node.preset if self._node is not None else ""
        return THRESHOLDS.get(preset or DEFAULT_PRESET, THRESHOLDS[DEFAULT_PRESET])

    def changed(self):
        """Return what differs from the preset, by field."""
        node, found = self._node, {}
        for threshold, value in zip(self.thresholds(), (node.hypoperfusionThreshold, node.coreThreshold), strict=True):
            if value > 0:
                found[threshold.field] = value
        if node.minCluster != MIN_CLUSTER_ML:
            found["min_cluster_ml"] = node.minCluster
        return found

    def reset(self):
        """Go back to the thresholds of the preset."""
        self._node.hypoperfusionThreshold = self._node.coreThreshold = 0.0
        self._node.minCluster = MIN_CLUSTER_ML

    def show(self, node):
        """Show the thresholds of a parameter node; those of another preset are forgotten."""
        self._node = node
        if node is None:
            return
        preset = node.preset or DEFAULT_PRESET
        if self._shownPreset not in (None, preset):
            self._shownPreset = preset
            self.reset()
        self._shownPreset = preset
        ui, self._isShowing = self._ui, True
        values = (node.hypoperfusionThreshold, node.coreThreshold)
        sliders = ((ui.hypoperfusionSlider, ui.hypoperfusionSliderLabel), (ui.coreSlider, ui.coreSliderLabel))
        for (slider, label), threshold, value in zip(sliders, self.thresholds(), values, strict=True):
            label.text = f"{threshold.label}:"
            slider.suffix = f" {threshold.unit}"
            slider.maximum = REACH * threshold.value
            slider.value = value or threshold.value
        self._isShowing = False
        isChanged = bool(self.changed())
        ui.resetButton.enabled = isChanged
        ui.resetButton.toolTip = "Forget what you changed" if isChanged else "The thresholds are those of the preset"

    def onHypoperfusionMoved(self, value):
        """Take the threshold of hypoperfusion from its slider."""
        self._onMoved("hypoperfusionThreshold", 0, value)

    def onCoreMoved(self, value):
        """Take the threshold of core from its slider."""
        self._onMoved("coreThreshold", 1, value)

    def _onMoved(self, field, index, value):
        if self._isShowing or self._node is None:
            return
        isPreset = abs(value - self.thresholds()[index].value) < 1e-6
        setattr(self._node, field, 0.0 if isPreset else value)
