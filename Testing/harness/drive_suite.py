# SPDX-License-Identifier: Apache-2.0
"""Perfusion Suite: hint, failure, cancel, a killed worker, success with findings, layouts, report, files, a closed scene."""

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import panel_steps as steps

from PerfusionSuiteSlicer.mrml.CurveNodes import tableToInputFunction
from PerfusionSuiteSlicer.mrml.StudyRoles import nodesOfStudy
from PerfusionSuiteSlicer.ui import NetworkPackages
from PerfusionSuiteSlicer.ui.ResultFolders import fileOf

assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.panel.jobPanel
assert panel.statusLabel.text == panel.applyButton.toolTip == "Choose a perfusion scan, or load one from files"
assert not panel.applyButton.enabled
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "opened")

assert slicer.app.layoutManager().layoutLogic().GetLayoutNode().IsLayoutDescription(5501)
series, _truth = steps.patient()
whole, cut, short = (
    steps.addSequence(slicer, series, name, frames) for name, frames in (("patient", None), ("cut", 14), ("short", 5))
)
before = steps.nodeIDs(slicer)

# A scan that cannot be used: the reason stands beside it, and Apply is off.
ui.inputSelector.setCurrentNode(short)
assert "5 frames, at least 10 are needed" in ui.timingLabel.text
assert "#" in ui.timingLabel.styleSheet
assert not panel.applyButton.enabled
assert "5 frames" in panel.applyButton.toolTip

# Times are shown with their source before Apply, and can be replaced.
ui.inputSelector.setCurrentNode(whole)
assert "25 frames of 64x64x4, 48.0 s, 2.00 s apart" in ui.timingLabel.text
assert "Times from: " in ui.timingLabel.text
ui.intervalSpinBox.value = 1.5
assert "1.50 s apart" in ui.timingLabel.text
assert "you entered" in ui.timingLabel.text
ui.intervalSpinBox.value = 0.0
assert "2.00 s apart" in ui.timingLabel.text
assert panel.applyButton.enabled

# A map of diffusion decides the core unless thresholds were chosen.
diffusion = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "diffusion")
assert ui.presetComboBox.currentText == "ct-perfusion-auto"
ui.modalityComboBox.currentText = "DSC-MRI"
ui.adcSelector.setCurrentNode(diffusion)
assert ui.presetComboBox.currentText == "ADC core"
ui.adcSelector.setCurrentNode(None)
assert ui.presetComboBox.currentText == "ct-perfusion-auto"
ui.modalityComboBox.currentText = "From the scan"
slicer.mrmlScene.RemoveNode(diffusion)

NetworkPackages.find_spec = lambda name: None
ui.presetComboBox.currentText = "Core by a network"
assert not panel.applyButton.enabled
assert "needs PyTorch" in panel.applyButton.toolTip
NetworkPackages.find_spec = find_spec
widget.panel.update()
assert panel.applyButton.enabled == (find_spec("torch") is not None)
assert widget.choices.packages(widget.panel.binding.node) == ("safetensors",)

ui.presetComboBox.currentText = "ADC core"
assert not panel.applyButton.enabled
assert "choose others for a CT scan" in panel.applyButton.toolTip
assert not ui.adcSelector.enabled
ui.modalityComboBox.currentText = "DSC-MRI"
assert "need an ADC map" in panel.applyButton.toolTip
assert ui.adcSelector.enabled
assert ui.leakageComboBox.enabled
for section in (ui.preparationCollapsibleButton, ui.arteryCollapsibleButton, ui.mrCollapsibleButton):
    section.collapsed = False
steps.photograph(desktop, module, pictures, "unfolded")
for section in (ui.preparationCollapsibleButton, ui.arteryCollapsibleButton, ui.mrCollapsibleButton):
    section.collapsed = True
ui.modalityComboBox.currentText = "From the scan"
ui.presetComboBox.currentText = "ct-perfusion-auto"
ui.methodComboBox.currentText = "cSVD"
ui.noiseComboBox.currentText = "None"
assert widget.panel.binding.node.noiseReduction == "none"

# Cancel: the button changes its meaning, the scene stays.
panel.applyButton.click()
assert panel.isRunning
assert panel.applyButton.text == "Cancel"
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0), "no progress was shown"
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "running")
panel.applyButton.click()
assert not panel.applyButton.enabled
assert desktop.pump(30, lambda: not panel.isRunning), "cancelling took too long"
assert panel.statusLabel.text == "Cancelled. The scene is unchanged."
assert steps.nodeIDs(slicer) == before

# A worker that the operating system kills (in the application it hides behind a launcher).
if desktop.isEmulation:
    panel.applyButton.click()
    assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0)
    os.kill(int(panel.job._job._process.processId()), signal.SIGKILL)
    assert desktop.pump(30, lambda: not panel.isRunning)
    assert "memory ran out" in panel.statusLabel.text
    assert "#" in panel.statusLabel.styleSheet
    assert steps.nodeIDs(slicer) == before

# Success, with something to say about the data: maps in the layout, numbers, report, files.
ui.inputSelector.setCurrentNode(cut)
assert "No results yet" in ui.summaryLabel.text
assert steps.apply(panel, desktop) == "Done. The results are in the Data module."
assert panel.findingsList.count > 0
assert panel.job.nodes.maps["tmax"].GetImageData() is not None
assert not panel.job._job.folder.path.exists()
assert "Core" in ui.summaryLabel.text
assert ui.reportButton.enabled or not desktop.hasReport, ui.reportButton.toolTip
assert not ui.saveButton.enabled
target = Path(slicer.app.temporaryPath) / "results"
ui.resultsPathLineEdit.currentPath = str(target)
(target / "cut").mkdir(parents=True)
for name in ("k2.nii.gz", "notes.txt"):
    (target / "cut" / name).write_text("of an earlier run, and the user's own")
ui.saveButton.click()
assert (target / "cut" / "notes.txt").exists()
assert not (target / "cut" / "k2.nii.gz").exists()
assert {"tmax.nii.gz", "metrics.json"} <= {path.name for path in (target / "cut").iterdir()}
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "done")
manager = slicer.app.layoutManager()
assert manager.layout == 5501
shown = {name: manager.sliceWidget(name).mrmlSliceCompositeNode().GetForegroundVolumeID() for name in manager.sliceViewNames()}
for key in ("cbf", "cbv", "mtt", "tmax"):
    tag = "PerfusionTmax" if key == "tmax" else f"Perfusion{key.upper()}"
    assert shown[tag] == panel.job.nodes.maps[key].GetID()
assert shown["PerfusionBaseline"] is None
desktop.layoutPicture(pictures / f"{module.name}-maps-layout.png")
ui.decisionLayoutButton.click()
assert manager.layout == 5502
desktop.layoutPicture(pictures / f"{module.name}-decision-layout.png", 1000, 640)

# The artery's points, which can be moved, are taken back instead of the automatic choice.
ui.aifSelector.setCurrentNode(panel.job.nodes["points.aif"])
assert widget.panel.binding.node.aifTable.GetID() == panel.job.nodes["points.aif"].GetID()
assert steps.apply(panel, desktop) == "Done. The results are in the Data module.", panel.statusLabel.text
assert tableToInputFunction(panel.job.nodes["curve.aif"]).origin == "manual"
ui.aifSelector.setCurrentNode(None)

# A developer reloads the panel: the new one finds scan, choices, results and files of the one before.
if desktop.isEmulation:
    files = fileOf("cut", ".")
    widget.cleanup()
    module.widgetRepresentation().deleteLater()
    module._widget = None
    widget = module.enter()
    ui, panel = widget.ui, widget.panel.jobPanel
    assert ui.inputSelector.currentNode().GetName() == "cut"
    assert "Core" in ui.summaryLabel.text
    assert (files / "metrics.json").exists()
    assert ui.reportButton.enabled or not desktop.hasReport, ui.reportButton.toolTip

# The scene is saved, and closed while a job runs.
saved = str(Path(slicer.app.temporaryPath) / "saved.mrb")
assert slicer.util.saveScene(saved)
panel.applyButton.click()
assert panel.isRunning
slicer.mrmlScene.Clear(0)
assert desktop.pump(30, lambda: not panel.isRunning)
assert not panel.applyButton.enabled
assert not ui.mapsLayoutButton.enabled
assert fileOf("cut", ".") is None  # a study of the next scene may have the same name

# A scene that is opened brings its scan, its choices and its results into the panel that is shown.
slicer.util.loadScene(saved)
assert ui.inputSelector.currentNode().GetName() == "cut"
assert (ui.methodComboBox.currentText, ui.noiseComboBox.currentText) == ("cSVD", "None")
assert "Core" in ui.summaryLabel.text
assert panel.applyButton.enabled
assert ui.mapsLayoutButton.enabled
assert "press Apply again" in ui.reportButton.toolTip

# A scene of the command line has no scan but the prepared one: its study can be read all the same.
slicer.mrmlScene.RemoveNode(ui.inputSelector.currentNode())
assert desktop.pump(5, lambda: not ui.mapsLayoutButton.enabled)
ui.inputSelector.setCurrentNode(nodesOfStudy(slicer.mrmlScene, "cut")["series.prepared"])
assert "Core" in ui.summaryLabel.text
ui.mapsLayoutButton.click()
assert manager.layout == 5501

# A scan that is loaded while another module is shown is chosen all the same.
ui.pathLineEdit.currentPath = str(steps.writeScan(series, Path(slicer.app.temporaryPath) / "later.nii.gz"))
ui.loadButton.click()
widget.exit()
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
widget.enter()
assert ui.inputSelector.currentNode().GetName() == "later", panel.statusLabel.text
assert "torch" not in __import__("sys").modules
