# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: maps of the scene become lesions and tables; thresholds are changed, lesions edited and measured again."""

from importlib.util import find_spec

import numpy as np
import panel_steps as steps

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteSlicer.mrml.LesionInputs import keptInputs
from PerfusionSuiteSlicer.mrml.TableNodes import textToMetrics
from PerfusionSuiteSlicer.ui import NetworkPackages
from PerfusionSuiteSlicer.ui.ResultFolders import fileOf


def metrics():
    return textToMetrics(jobPanel.job.nodes["report"]).values


def core_ml():
    return metrics()["infarct_core_volume_ml"]


def preview():
    return slicer.util.getFirstNodeByClassByName("vtkMRMLLabelMapVolumeNode", "preview")


def waitForJob():
    assert desktop.pump(steps.LIMIT_S, lambda: not jobPanel.isRunning)
    return jobPanel.statusLabel.text


assert steps.heavyModules() == [], steps.heavyModules()
panel, jobPanel = widget.panel, widget.panel.jobPanel
assert jobPanel.statusLabel.text == "Choose Tmax and CBF maps first"
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "opened")
_series, truth = steps.patient()
nodes = steps.addMaps(slicer, truth, "patient")

# The other maps of a study come with its Tmax; a volume of unknown unit is asked about.
ui.tmaxSelector.setCurrentNode(nodes["tmax"])
assert ui.cbfSelector.currentNode() is nodes["cbf"]
assert ui.cbvSelector.currentNode() is nodes["cbv"]
odd = slicer.util.addVolumeFromArray(np.full((4, 64, 64), 3e5, np.float32), name="odd volume")
ui.cbfSelector.setCurrentNode(odd)
assert "Choose the unit" in jobPanel.applyButton.toolTip, jobPanel.applyButton.toolTip
assert not jobPanel.applyButton.enabled
steps.photograph(desktop, module, pictures, "unit-asked")
ui.cbfUnitComboBox.currentText = "any (relative)"
assert jobPanel.applyButton.enabled
ui.cbfUnitComboBox.currentText = "unit: auto"
ui.cbfSelector.setCurrentNode(nodes["cbf"])
assert "No lesions yet" in ui.summaryLabel.text
assert ui.previewLabel.text == ""

assert steps.apply(jobPanel, desktop) == "Done. The results are in the Data module."
segmentation = jobPanel.job.nodes["lesions"]
assert segmentation.GetSegmentation().GetNumberOfSegments() == 3
assert "Core" in ui.summaryLabel.text
assert ui.editButton.enabled == (slicer.util.mainWindow() is not None)
assert "torch" not in steps.heavyModules()
desktop.layoutPicture(pictures / f"{module.name}-decision-layout.png", 1000, 640)

# Moving a threshold shows at once what it would find; Apply makes it final; the preset is one button away.
first = core_ml()
assert ui.coreSliderLabel.text == "Core: relative CBF below:"
ui.coreSlider.value = 45.0
assert ui.resetButton.enabled
assert desktop.pump(10, lambda: "Preview: core" in ui.previewLabel.text), ui.previewLabel.text
previewed = float(ui.previewLabel.text.split()[2])
assert preview() is not None
steps.photograph(desktop, module, pictures, "changed")
desktop.layoutPicture(pictures / f"{module.name}-preview-layout.png", 1000, 640)
steps.apply(jobPanel, desktop)
assert preview() is None
assert core_ml() > first
assert abs(core_ml() - previewed) < 0.06
assert jobPanel.job.nodes["lesions"] is segmentation
ui.presetComboBox.currentText = "MIStar-like"
assert jobPanel.applyButton.toolTip == "These thresholds need a map of DELAY"
ui.presetComboBox.currentText = "ct-perfusion-auto"
assert ui.coreSlider.value == 30.0
assert not ui.resetButton.enabled
assert desktop.pump(10, lambda: "Preview: core" in ui.previewLabel.text)
ui.previewCheckBox.checked = False
assert preview() is None
ui.previewCheckBox.checked = True

# A network can draw the core: in a worker, so the preview shows hypoperfusion until it has done so. Without PyTorch it cannot.
NetworkPackages.find_spec = lambda name: None
ui.presetComboBox.currentText = "Core by a network"
assert "needs PyTorch" in jobPanel.applyButton.toolTip, jobPanel.applyButton.toolTip
assert not jobPanel.applyButton.enabled
assert ui.previewLabel.text == jobPanel.applyButton.toolTip
steps.photograph(desktop, module, pictures, "network-without-torch")
NetworkPackages.find_spec = find_spec
panel.update()
assert "needs PyTorch" not in ui.previewLabel.text
if find_spec("torch") is not None and find_spec("safetensors") is not None and hasattr(desktop, "isEmulation"):
    assert ui.coreSliderLabel.text == "Core: probability above:"
    assert (ui.coreSlider.value, ui.coreSlider.maximum, ui.coreSlider.decimals) == (0.5, 0.99, 2)
    ui.furtherCollapsibleButton.collapsed = False
    network = steps.writeNetwork(pictures / "mine.safetensors")
    editor = panel.thresholds.form.widgets()["core_network"]
    editor.text = str(pictures / "nothing.safetensors")
    editor.editingFinished.emit()
    assert desktop.pump(10, lambda: "hypoperfusion" in ui.previewLabel.text), ui.previewLabel.text
    assert ui.previewLabel.text.endswith("The network draws the core after Apply.")
    assert "There is no file" in steps.apply(jobPanel, desktop)
    editor.text = str(network)
    editor.editingFinished.emit()
    steps.apply(jobPanel, desktop)
    assert metrics()["thresholds"]["core_network"] == "mine.safetensors"
    assert core_ml() == metrics()["hypoperfusion_volume_ml"]  # 0.6 everywhere
    assert slicer.util.getNode("patient P(core)") is jobPanel.job.nodes["map.core_probability"]
    ui.coreSlider.value = 0.7
    assert desktop.pump(10, lambda: "network's last run" in ui.previewLabel.text), ui.previewLabel.text
    assert ui.previewLabel.text.startswith("Preview: core 0.0 mL")
    steps.photograph(desktop, module, pictures, "network")
    ui.furtherCollapsibleButton.collapsed = True
assert "torch" not in steps.heavyModules()
ui.presetComboBox.currentText = "ct-perfusion-auto"
assert ui.coreSlider.value == 30.0
assert panel.thresholds.changed() == {}

# Every other threshold is in the form, is stored in the scene, and comes back from a file.
ui.furtherCollapsibleButton.collapsed = False
editors = panel.thresholds.form.widgets()
editors["severe_tmax_s"].value = 8.0
editors["core_region"].currentText = "anywhere"
assert panel.thresholds.changed() == {"severe_tmax_s": 8.0, "core_region": "anywhere"}
steps.photograph(desktop, module, pictures, "all-thresholds")
panel.thresholds.save(pictures / "thresholds.json")
ui.resetButton.click()
assert panel.thresholds.changed() == {}
panel.thresholds.load(pictures / "thresholds.json")
assert panel.thresholds.changed() == {"severe_tmax_s": 8.0, "core_region": "anywhere"}
foreign = pictures / "foreign.json"
foreign.write_text('{"schema": "perfusion-suite/thresholds/1", "thresholds": {"preset": "adc", "tmax_s": 4.0}}')
try:
    panel.thresholds.load(foreign)
except InvalidInputError as error:
    assert "preset 'adc', which is not offered here" in str(error)
else:
    raise AssertionError("thresholds of another preset were mixed with those that are shown")
steps.apply(jobPanel, desktop)
assert metrics()["thresholds"]["severe_tmax_s"] == 8.0
assert slicer.mrmlScene.GetFirstNodeByName("patient P(core)") is None  # no network drew these lesions
ui.resetButton.click()
ui.furtherCollapsibleButton.collapsed = True
steps.apply(jobPanel, desktop)
assert core_ml() == first

# Plane, side and sinuses can be moved; the numbers are renewed with them.
ui.sidesCollapsibleButton.collapsed = False
ui.midlineCheckBox.checked = True
plane, sinuses = widget.logic.markers(nodes["tmax"])
assert plane.GetDisplayNode().GetVisibility()
origin = plane.GetOriginWorld()
plane.SetOriginWorld(origin[0] + 5.0, origin[1], origin[2])
sinuses.SetNthControlPointPositionWorld(0, 0.0, -70.0, 20.0)
ui.sideComboBox.currentText = {"left": "right", "right": "left"}[truth.side]
desktop.layoutPicture(pictures / f"{module.name}-midline-layout.png", 1000, 640)
ui.updateButton.click()
assert waitForJob() == "Measured. The tables are up to date."
assert metrics()["reference"]["midplane_from"] == "manual"
assert metrics()["affected_side_from"] == "manual"
assert metrics()["pvt"]["regions_from"]["sss"] == "mask"
assert keptInputs(segmentation).side == {"left": "right", "right": "left"}[truth.side]
steps.photograph(desktop, module, pictures, "sides")
ui.midlineButton.click()
ui.sinusesButton.click()
ui.sideComboBox.currentText = "automatic"
assert widget.logic.markers(nodes["tmax"]) == (None, None)
steps.apply(jobPanel, desktop)
assert metrics()["affected_side"] == truth.side
ui.sidesCollapsibleButton.collapsed = True

# A region drawn on a picture is checked live, and used.
ui.pictureCollapsibleButton.collapsed = False
ui.picturePathLineEdit.currentPath = str(pictures / "nothing.png")
assert "does not exist" in ui.pictureLabel.text
steps.drawOnPicture(pictures / "drawn.png", truth, truth.side)
ui.picturePathLineEdit.currentPath = str(pictures / "drawn.png")
other = {"left": "right", "right": "left"}
assert f"patient's {other[truth.side]}" in ui.pictureLabel.text, ui.pictureLabel.text
assert preview() is not None
steps.photograph(desktop, module, pictures, "picture")
desktop.layoutPicture(pictures / f"{module.name}-picture-layout.png", 1000, 640)
ui.horizontalCheckBox.checked = True
assert f"patient's {truth.side}" in ui.pictureLabel.text, ui.pictureLabel.text
ui.horizontalCheckBox.checked = False
ui.takeRegionButton.click()
assert preview() is None
assert ui.contraSelector.currentNode().GetName() == "patient drawn regions"
assert ui.contraSegmentComboBox.currentText == "Contralateral reference"
steps.apply(jobPanel, desktop)
assert metrics()["reference"]["side"] == "mask"
ui.contraSelector.setCurrentNode(None)
ui.pictureCollapsibleButton.collapsed = True

# Statistics of any segmentation.
ui.statisticsCollapsibleButton.collapsed = False
assert ui.statisticsSelector.currentNode() is not None
ui.statisticsSelector.setCurrentNode(segmentation)
assert len(panel.statistics.ticked()) == 3
ui.statisticsButton.click()
assert waitForJob().startswith("Computed."), jobPanel.statusLabel.text
assert jobPanel.job.nodes.GetNumberOfRows() == 9
steps.photograph(desktop, module, pictures, "statistics")
desktop.layoutPicture(pictures / f"{module.name}-statistics-layout.png", 1000, 640)
ui.statisticsCollapsibleButton.collapsed = True

# The user erases the core by hand: numbers and report follow.
ui.reportButton.click()
waitForJob()
before = fileOf("patient", "metrics.json").read_text(encoding="utf-8")
empty = np.zeros(slicer.util.arrayFromVolume(nodes["tmax"]).shape, np.uint8)
slicer.util.updateSegmentBinaryLabelmapFromArray(empty, segmentation, "Core", nodes["tmax"])
ui.updateButton.click()
assert waitForJob() == "Measured. The tables are up to date."
assert core_ml() == 0.0
assert "Core 0.0 mL" in ui.summaryLabel.text
ui.reportButton.click()
assert waitForJob() == "The report is made from the lesions as they are now."
assert fileOf("patient", "metrics.json").read_text(encoding="utf-8") != before
assert '"infarct_core_volume_ml": 0.0' in fileOf("patient", "metrics.json").read_text(encoding="utf-8")

# Everything can be exported; the identity of the scan only when it is asked for.
ui.exportCollapsibleButton.collapsed = False
assert ui.exportFilesButton.toolTip == "Choose a folder first"
folder = pictures / "exported"
folder.mkdir(exist_ok=True)
ui.exportPathLineEdit.currentPath = str(folder)
ui.identityCheckBox.checked = True
assert not ui.exportDicomButton.enabled
steps.photograph(desktop, module, pictures, "export")
ui.identityCheckBox.checked = False
ui.exportDicomButton.click()
assert waitForJob().startswith("Saved to"), jobPanel.statusLabel.text
assert (folder / "patient" / "dicom" / "segmentation.dcm").is_file()
ui.exportTablesButton.click()
assert (folder / "patient" / "tables" / "statistics.csv").is_file()
ui.exportFilesButton.click()
assert waitForJob().startswith("Saved to"), jobPanel.statusLabel.text
assert (folder / "patient" / "tmax.nii.gz").is_file()
assert (folder / "patient" / "report.html").is_file()
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "done")
if getattr(desktop, "isEmulation", False):
    desktop.screenshot(module, pictures / f"{module.name}-narrow.png", 330)

# While a job runs the panel is left for another module, or another map is chosen.
others = steps.addMaps(slicer, truth, "second")
jobPanel.applyButton.click()
widget.exit()
assert waitForJob() == "Done. The results are in the Data module."
widget.enter()
assert "Core" in ui.summaryLabel.text
jobPanel.applyButton.click()
ui.tmaxSelector.setCurrentNode(others["tmax"])
assert waitForJob() == "Done. The results are in the Data module."
assert "No lesions yet" in ui.summaryLabel.text

# Lesions that the user removes cannot be measured any more.
ui.tmaxSelector.setCurrentNode(nodes["tmax"])
assert ui.updateButton.enabled
slicer.mrmlScene.RemoveNode(segmentation)
assert desktop.pump(5, lambda: not ui.updateButton.enabled)
assert ui.updateButton.toolTip == "Press Apply first"
ui.cbfSelector.setCurrentNode(None)
assert not jobPanel.applyButton.enabled
slicer.mrmlScene.Clear(0)
assert not ui.updateButton.enabled
assert not ui.exportFilesButton.enabled
