# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: maps of the scene become lesions and tables; thresholds are changed, lesions edited and measured again."""

import numpy as np
import panel_steps as steps

from PerfusionSuiteSlicer.mrml.TableNodes import textToMetrics


def core_ml():
    return textToMetrics(panel.job.nodes["report"]).values["infarct_core_volume_ml"]


assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.jobPanel
assert panel.statusLabel.text == "Choose Tmax and CBF maps first"
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "opened")
_series, truth = steps.patient()
nodes = steps.addMaps(slicer, truth, "patient")
for key in ("tmax", "cbf", "cbv"):
    getattr(ui, f"{key}Selector").setCurrentNode(nodes[key])
assert "No lesions yet" in ui.summaryLabel.text
assert steps.apply(panel, desktop) == "Done. The results are in the Data module."
segmentation = panel.job.nodes["lesions"]
assert segmentation.GetSegmentation().GetNumberOfSegments() == 3
assert "Core" in ui.summaryLabel.text
assert ui.editButton.enabled == (slicer.util.mainWindow() is not None)
desktop.layoutPicture(pictures / f"{module.name}-decision-layout.png", 1000, 640)

# Another threshold finds more; the preset is one button away.
first = core_ml()
before = steps.nodeIDs(slicer)
assert ui.coreSliderLabel.text == "Core: relative CBF below:"
ui.coreSlider.value = 45.0
assert ui.resetButton.enabled
steps.photograph(desktop, module, pictures, "changed")
steps.apply(panel, desktop)
assert core_ml() > first
assert panel.job.nodes["lesions"] is segmentation
ui.presetComboBox.currentText = "MIStar-like"
assert panel.applyButton.toolTip == "These thresholds need a map of DELAY"
ui.presetComboBox.currentText = "ct-perfusion-auto"
assert ui.coreSlider.value == 30.0
assert not ui.resetButton.enabled

# The user erases the core by hand: the numbers follow.
empty = np.zeros(slicer.util.arrayFromVolume(nodes["tmax"]).shape, np.uint8)
slicer.util.updateSegmentBinaryLabelmapFromArray(empty, segmentation, "Core", nodes["tmax"])
ui.updateButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
assert panel.statusLabel.text == "Measured. The tables are up to date."
assert core_ml() == 0.0
assert "Core 0.0 mL" in ui.summaryLabel.text
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "done")
ui.cbfSelector.setCurrentNode(None)
assert not panel.applyButton.enabled
slicer.mrmlScene.Clear(0)
assert not ui.updateButton.enabled
