# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit: a 4D NIfTI is loaded, a model fitted in the background and looked at meanwhile, its field sampled later."""

from importlib.util import find_spec

import panel_steps as steps

hasTorch = find_spec("torch") is not None and find_spec("safetensors") is not None
assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.panel.jobPanel
parameters = widget.panel.binding.node
assert panel.statusLabel.text == "Choose a perfusion scan, or load one from files"
assert ui.modelLabel.text
steps.photograph(desktop, module, pictures, "opened")
assert desktop.pump(steps.LIMIT_S, lambda: not ui.deviceLabel.text.startswith("Looking"))
assert "torch" not in __import__("sys").modules  # a worker was asked
assert ui.deviceComboBox.toolTip
assert ui.torchButton.visible == (find_spec("torch") is None)
steps.assertDeadControlsSayWhy(ui)

# A preset is a method with options; what was changed by hand is an own choice.
ui.presetComboBox.currentText = "Published (ReSPPINN)"
assert (parameters.method, parameters.options) == ("resppinn", '{"preset": "published"}')
form = widget.model._form.widgets()
form["steps"].value = 700
assert ui.presetComboBox.currentText == "Own choice"
assert widget.model.options() == {"preset": "published", "steps": 700}
assert ui.methodComboBox.currentText == "ReSPPINN"
steps.photograph(desktop, module, pictures, "options")
ui.presetComboBox.currentText = "Fast (spatial)"
assert (parameters.method, parameters.options) == ("spatial", "")
widget.model._form.widgets()["family"].currentText = "box"
assert widget.model.options() == {"family": "box"}
ui.optionsResetButton.click()
assert widget.model.options() == {}
assert not ui.optionsResetButton.enabled

# Where the workers have no PyTorch, the models that need it cannot be applied, and the panel says what to do.
from PerfusionSuiteLib.jobs import Device, Devices
from PerfusionSuiteSlicer.ui import DeviceBox

found = DeviceBox._known.devices
DeviceBox._known.devices = Devices((Device("cpu", "CPU (2 cores)"),), "Only the CPU can be used: no PyTorch.", False)
widget.update()
assert ui.torchButton.visible
isPossible, reason = widget.panel.canApply()
assert not isPossible
if desktop.isEmulation:
    ui.torchButton.click()
    assert "Install the extension 'PyTorch'" in ui.deviceLabel.text
    steps.photograph(desktop, module, pictures, "without-torch")
ui.presetComboBox.currentText = "Every voxel: box (NLR)"
assert not ui.torchButton.visible
assert "computes on the CPU" in ui.deviceLabel.text
ui.presetComboBox.currentText = "Fast (spatial)"
DeviceBox._known.devices = found
widget.update()

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
scan = parameters.inputScan
assert scan.GetNumberOfDataNodes() == 25
assert "25 frames of 64x64x4, 48.0 s, 2.00 s apart" in ui.timingLabel.text
assert "CT perfusion" in ui.timingLabel.text
assert "was decided" in ui.timingLabel.toolTip

if not hasTorch:
    assert not panel.applyButton.enabled or find_spec("torch") is not None, panel.applyButton.toolTip
    ui.presetComboBox.currentText = "Every voxel: box (NLR)"
assert panel.applyButton.enabled, panel.applyButton.toolTip

# A fit is looked at while it runs; a cancelled one leaves the scene as it was and can be resumed.
manager = slicer.app.layoutManager()
if hasTorch:
    items = [ui.methodComboBox.itemText(index) for index in range(ui.methodComboBox.count)]
    slowest = "ReSPPINN" if "Neural field" not in items else "Neural field"
    before, layout = steps.nodeIDs(slicer), manager.layout
    ui.methodComboBox.currentText = slowest
    widget.model._form.widgets()["steps"].value = 50000 if slowest == "Neural field" else 100000
    panel.applyButton.click()
    assert desktop.pump(steps.LIMIT_S, lambda: manager.layout == 5504 or not panel.isRunning)
    assert panel.isRunning, panel.statusLabel.text
    shown = slicer.mrmlScene.GetSingletonNode("PerfusionTmax", "vtkMRMLSliceCompositeNode")
    assert desktop.pump(60, lambda: shown is not None and shown.GetForegroundVolumeID()), "no preview came"
    assert desktop.pump(60, lambda: "left" in panel.statusLabel.text), panel.statusLabel.text
    plot = slicer.mrmlScene.GetSingletonNode("PerfusionLoss", "vtkMRMLPlotViewNode")
    assert desktop.pump(60, lambda: plot.GetPlotChartNode() is not None), "no losses came"
    table = plot.GetPlotChartNode().GetNthPlotSeriesNode(0).GetTableNode()
    assert desktop.pump(60, lambda: table.GetNumberOfRows() >= 6), "few losses came"
    desktop.pump(2)
    steps.photograph(desktop, module, pictures, "running")
    desktop.layoutPicture(pictures / f"{module.name}-live.png", 1280, 760)
    panel.applyButton.click()
    assert panel.statusLabel.text == "Cancelling..."
    assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
    assert panel.statusLabel.text == "Cancelled. The scene is unchanged. Resume goes on where the fit was.", (
        panel.statusLabel.text
    )
    assert panel.resumeButton.visible
    assert manager.layout == layout
    left = [slicer.mrmlScene.GetNodeByID(node) for node in steps.nodeIDs(slicer) - before]
    assert not any(node.GetAttribute("PerfusionSuite.study") for node in left), left
    steps.photograph(desktop, module, pictures, "cancelled")
    kept = panel.job._job.folder.path
    panel.resumeButton.click()
    assert desktop.pump(steps.LIMIT_S, lambda: manager.layout == 5504 or not panel.isRunning)
    assert panel.isRunning, panel.statusLabel.text
    panel.applyButton.click()
    assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
    assert panel.resumeButton.visible
    panel.discardButton.click()
    assert not kept.exists()
    assert not panel.resumeButton.visible
    ui.presetComboBox.currentText = "Fast (spatial)"

# A whole fit ends with maps.
panel.applyButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0)
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
assert panel.statusLabel.text == "Done. The results are in the Data module.", panel.statusLabel.text
assert panel.job.nodes.name == f"{scan.GetName()} {'spatial' if hasTorch else 'nlr'}"
assert manager.layout == 5501
assert "Core" in ui.summaryLabel.text
steps.photograph(desktop, module, pictures, "done")
if hasTorch:
    ui.fitLayoutButton.click()
    assert manager.layout == 5503
    desktop.layoutPicture(pictures / f"{module.name}-fit.png", 1280, 760)
else:
    assert "step by step" in ui.fitLayoutButton.toolTip

# What the fit learned lies in the scene, and is sampled on a finer grid.
if hasTorch:
    field = ui.fieldSelector.currentNode()
    assert field is panel.job.nodes["fit.field"]
    assert "spatial, fitted on 64 x 64 x 4 voxels of 3.2 x 3.2 x 14 mm" in ui.fieldLabel.text
    assert (ui.spacingSpinBox.value, ui.sliceSpacingSpinBox.value) == (1.6, 7.0)
    ui.sampleButton.click()
    assert not ui.sampleButton.enabled
    assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
    assert panel.statusLabel.text == "Sampled. The new maps lie beside those of the fit.", panel.statusLabel.text
    assert panel.job.nodes["tmax"].GetImageData().GetDimensions() == (128, 128, 8)
    ui.curvesButton.click()
    assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
    assert panel.job.nodes[0].GetNumberOfDataNodes() == 25, panel.statusLabel.text
    ui.fieldCollapsibleButton.collapsed = False
    steps.photograph(desktop, module, pictures, "sampled")
else:
    assert not ui.sampleButton.enabled
    assert ui.sampleButton.toolTip.startswith("Fit a scan")

# Another scan has no results yet; the first one's are found again.
ui.inputSelector.setCurrentNode(steps.addSequence(slicer, series, "other"))
assert "No results yet" in ui.summaryLabel.text
ui.inputSelector.setCurrentNode(scan)
assert ui.mapsLayoutButton.enabled
assert ui.reportButton.enabled or not desktop.hasReport, ui.reportButton.toolTip
assert "torch" not in __import__("sys").modules
