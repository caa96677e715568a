# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit: a 4D NIfTI is loaded, a model fitted in the background, the fit found again beside the scan."""

import panel_steps as steps

assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.panel.jobPanel
assert panel.statusLabel.text == "Choose a perfusion scan, or load one from files"
assert ui.modelLabel.text
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "opened")

# A 4D NIfTI, which Slicer does not read itself, is read by the worker.
from PerfusionSuiteLib.series import write_nifti

series, _truth = steps.patient()
ui.pathLineEdit.currentPath = "/no/such/file.nii.gz"
assert not ui.loadButton.enabled
ui.pathLineEdit.currentPath = str(write_nifti(series, pictures / "scan.nii.gz"))
ui.loadButton.click()
assert panel.applyButton.text == "Cancel"
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
assert panel.statusLabel.text == "Loaded. Check its times below, then press Apply.", panel.statusLabel.text
scan = widget.panel.binding.node.inputScan
assert scan.GetNumberOfDataNodes() == 25
assert "25 frames of 64x64x4, 48.0 s, 2.00 s apart" in ui.timingLabel.text
assert "CT perfusion" in ui.timingLabel.text
assert "was decided" in ui.timingLabel.toolTip

ui.methodComboBox.currentText = "Box model per voxel (NLR)"
assert "box" in ui.modelLabel.text
ui.noiseComboBox.currentText = "None"
panel.applyButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0)
steps.photograph(desktop, module, pictures, "running")
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
assert panel.statusLabel.text == "Done. The results are in the Data module.", panel.statusLabel.text
assert panel.job.nodes.name == f"{scan.GetName()} nlr"
assert slicer.app.layoutManager().layout == 5501
assert "Core" in ui.summaryLabel.text
steps.photograph(desktop, module, pictures, "done")

# Another scan has no results yet; the first one's are found again.
ui.inputSelector.setCurrentNode(steps.addSequence(slicer, series, "other"))
assert "No results yet" in ui.summaryLabel.text
ui.inputSelector.setCurrentNode(scan)
assert ui.mapsLayoutButton.enabled
assert ui.reportButton.enabled or not desktop.hasReport, ui.reportButton.toolTip
assert "torch" not in __import__("sys").modules
