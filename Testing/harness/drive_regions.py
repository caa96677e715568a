# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit on DSC-MRI: HemoPIC without an artery as a job, cancelled and run, then its regions one by one."""

import numpy as np
import panel_steps as steps

from PerfusionSuiteLib import phantom
from PerfusionSuiteSlicer.mrml import SequenceNodes
from PerfusionSuiteSlicer.mrml.StudyRoles import nodesOfStudy
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues
from PerfusionSuiteSlicer.mrml.VolumeArrays import affineOf, setVolume

panel = widget.panel.jobPanel
parameters = widget.panel.binding.node
manager = slicer.app.layoutManager()

# A CT scan cannot be fitted by it, and the panel says why.
ct, _truth = steps.patient()
ui.inputSelector.setCurrentNode(steps.addSequence(slicer, ct, "CT"))
ui.presetComboBox.currentText = "HemoPIC, no artery (DSC-MRI)"
assert (parameters.method, parameters.options) == ("hemopic", "")
assert not panel.applyButton.enabled
assert "made for DSC-MRI" in panel.applyButton.toolTip, panel.applyButton.toolTip
steps.photograph(desktop, module, pictures, "regions-ct")
assert ui.tissueSelector.visible

# A DSC scan can.
series, truth = phantom.dsc(
    seed=8, site="m1", recipe="typical", field_t=3.0, shape=(96, 96, 10), spacing_mm=(2.3, 2.3, 7.0), frames=42,
    interval_s=1.9, motion="none",
)  # fmt: skip
scan = SequenceNodes.seriesToSequence(slicer.mrmlScene, series, "DSC")[0]
ui.inputSelector.setCurrentNode(scan)
assert panel.applyButton.enabled, panel.applyButton.toolTip
assert not ui.regionComboBox.enabled
assert "HemoPIC" in ui.regionComboBox.toolTip
assert "fitted no regions" in ui.regionsLayoutButton.toolTip or "Press Apply" in ui.regionsLayoutButton.toolTip
form = widget.model._form.widgets()
form["input"].currentText = "aif"
assert ui.presetComboBox.currentText == "HemoPIC, with artery (DSC-MRI)"
form["input"].currentText = "reference"
form["windkessel"].currentText = "yes"
assert widget.model.options() == {"windkessel": True}
assert ui.presetComboBox.currentText == "Own choice"
ui.optionsResetButton.click()
ui.presetComboBox.currentText = "HemoPIC, no artery (DSC-MRI)"
steps.assertDeadControlsSayWhy(ui)

# Cancelled, it leaves the scene as it was.
ui.motionCheckBox.checked = False
before = steps.nodeIDs(slicer)
panel.applyButton.click()
assert panel.isRunning
panel.applyButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
assert panel.statusLabel.text.startswith("Cancelled"), panel.statusLabel.text
assert steps.nodeIDs(slicer) == before

# Tissue labels on a finer grid than the scan's.
whole = np.stack([np.asarray(truth.fractions[key], np.float32) for key in ("gm", "wm", "csf")])
whole[0] += np.asarray(truth.fractions["deep"], np.float32)
labels = np.where(np.asarray(truth.masks["brain"], bool), 1 + whole.argmax(axis=0), 0).astype(np.int16)
labelNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "tissue")
affine = series.affine.copy()
affine[:3, 0] /= 2.0
affine[:3, 3] -= 0.5 * affine[:3, 0]
setVolume(labelNode, np.repeat(labels, 2, axis=0), affine)
ui.tissueSelector.setCurrentNode(labelNode)
assert parameters.tissueLabels is labelNode

assert steps.apply(panel, desktop) == "Done. The results are in the Data module.", panel.statusLabel.text
assert panel.job.nodes.name == "DSC hemopic"
nodes = nodesOfStudy(slicer.mrmlScene, "DSC hemopic")
assert "curve.aif" not in nodes
assert "tissue_estimated" not in {finding.code for finding in panel.job.findings}
assert "relative" in ui.summaryLabel.text
steps.photograph(desktop, module, pictures, "regions-done")

# Regions: a layout of their own, one chosen by its name, one by pointing at it.
assert ui.regionsLayoutButton.enabled
ui.regionsLayoutButton.click()
assert manager.layout == 5506
names = [ui.regionComboBox.itemText(index) for index in range(ui.regionComboBox.count)]
assert names[0] == "All regions"
tissues = {name.split(" ")[0] for name in names[1:]}
assert {"GM", "WM"} <= tissues <= {"GM", "WM", "CSF"}, tissues
chart = nodes["chart.regions"]
ui.regionComboBox.currentText = names[3]
assert chart.GetNthPlotSeriesNode(0).GetYColumnName() == f"{names[3]} observed"
assert chart.GetNumberOfPlotSeriesNodes() == 2
assert names[3] in ui.regionLabel.text
assert "no artery was used" in ui.regionLabel.text
desktop.layoutPicture(pictures / f"{module.name}-regions-one.png", 1280, 760)
ui.regionComboBox.currentText = "All regions"
assert chart.GetNumberOfPlotSeriesNodes() == 2 * (len(names) - 1)
assert nodes["regions"].GetDisplayNode().GetVisibility()
desktop.layoutPicture(pictures / f"{module.name}-regions-all.png", 1280, 760)
ui.regionFollowCheckBox.checked = True
crosshair = slicer.mrmlScene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
if crosshair is None:
    crosshair = slicer.mrmlScene.AddNode(slicer.vtkMRMLCrosshairNode())
    ui.regionFollowCheckBox.checked = False
    ui.regionFollowCheckBox.checked = True
fluid = np.argwhere(labels == 2)[1000]
position = affineOf(nodes["map.cbf"]) @ [*fluid, 1.0]
crosshair.SetCrosshairRAS(*position[:3])
assert ui.regionComboBox.currentText.startswith("WM"), ui.regionComboBox.currentText
steps.photograph(desktop, module, pictures, "regions-followed")

# The table of the scene holds what the curves were fitted with; a second run keeps the nodes and the choice.
chosen = ui.regionComboBox.currentText
assert list(columnValues(nodes["table.regions"])["region"]) == names[1:]
before = {role: node.GetID() for role, node in nodesOfStudy(slicer.mrmlScene, "DSC hemopic").items()}
assert steps.apply(panel, desktop).startswith("Done")
assert {role: node.GetID() for role, node in nodesOfStudy(slicer.mrmlScene, "DSC hemopic").items()} == before
assert ui.regionComboBox.currentText == chosen

# Another model of the same scan has no regions.
ui.presetComboBox.currentText = "Every voxel: posterior means"
assert not ui.tissueSelector.visible
assert not ui.regionComboBox.enabled
assert "torch" not in __import__("sys").modules
