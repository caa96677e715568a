# SPDX-License-Identifier: Apache-2.0
"""ASL in the panels: choices of its own, the rest off with a reason, one Apply, layout and numbers."""

import numpy as np
import panel_steps as steps

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core.files import write_json
from PerfusionSuiteLib.core.nifti import write_volume
from PerfusionSuiteLib.phantom.vessels.polydata import tubes, write_vtp
from PerfusionSuiteLib.phantom.vessels.values import Forest
from PerfusionSuiteSlicer.mrml.AslSequences import aslToSequence
from PerfusionSuiteSlicer.mrml.StudyRoles import nodesOfStudy
from PerfusionSuiteSlicer.mrml.TableNodes import textToMetrics, textToReport
from PerfusionSuiteSlicer.mrml.VolumeArrays import affineOf, setVolume

panel = widget.panel.jobPanel
manager = slicer.app.layoutManager()


def items(box):
    return [box.itemText(index) for index in range(box.count)]


# A CT scan keeps its methods, and what is for ASL is off.
ct, _truth = steps.patient()
contrast = steps.addSequence(slicer, ct, "CT")
ui.inputSelector.setCurrentNode(contrast)
assert "cSVD" in items(ui.methodComboBox)
assert not ui.graySelector.enabled
assert "For ASL scans only" in ui.graySelector.toolTip
ui.methodComboBox.currentText = "cSVD"

# An ASL scan gets its own, and what is for a bolus is off with the reason.
series, truth = phantom.asl(
    seed=5, recipe="typical", site="m1", shape=(56, 56, 12), spacing_mm=(3.8, 3.8, 9.0), repetitions=2
)  # fmt: skip
scan = aslToSequence(slicer.mrmlScene, series, "ASL")[0]
ui.inputSelector.setCurrentNode(scan)
assert "Delays" in ui.timingLabel.text, ui.timingLabel.text
assert items(ui.methodComboBox)[0] == ui.methodComboBox.currentText == "Automatic"
assert "QTMnet" in items(ui.methodComboBox)
assert "cSVD" not in items(ui.methodComboBox)
for control in (ui.aifSelector, ui.arteryComboBox, ui.noiseComboBox, ui.presetComboBox, ui.leakageComboBox, ui.intervalSpinBox):
    assert not control.enabled, control.objectName
    assert "ASL" in control.toolTip or "DSC" in control.toolTip, control.toolTip
assert panel.applyButton.enabled, panel.applyButton.toolTip
assert not ui.partialVolumeCheckBox.enabled
frame = scan.GetNthDataNode(0)
for key, selector in (("gm", ui.graySelector), ("wm", ui.whiteSelector)):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", key)
    whole = np.asarray(truth.fractions[key], np.float32)
    setVolume(node, whole + (np.asarray(truth.fractions["deep"], np.float32) if key == "gm" else 0.0), affineOf(frame))
    selector.setCurrentNode(node)
    assert panel.applyButton.enabled == (key == "wm")
ui.partialVolumeCheckBox.checked = True
ui.motionCheckBox.checked = False
form = widget.choices._asl._form.widgets()
form["m0_reference"].currentText = "csf"
assert "needs a region" in panel.applyButton.toolTip
form["m0_reference"].currentText = "voxelwise"
form["t1_blood"].value = 1.6
ui.methodComboBox.currentText = "Several delays"
for section in (ui.aslCollapsibleButton, ui.arteryCollapsibleButton, ui.preparationCollapsibleButton):
    section.collapsed = False
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "asl-ready")
for section in (ui.arteryCollapsibleButton, ui.preparationCollapsibleButton):
    section.collapsed = True

assert steps.apply(panel, desktop) == "Done. The results are in the Data module.", panel.statusLabel.text
nodes = nodesOfStudy(slicer.mrmlScene, "ASL")
assert {"map.cbf", "map.att", "map.cbf_gm", "map.cbf_wm", "lesions"} <= set(nodes)
assert "CBF of gray matter" in ui.summaryLabel.text, ui.summaryLabel.text
assert "Core" not in ui.summaryLabel.text
assert manager.layout == 5507
assert not ui.decisionLayoutButton.enabled
assert "low flow" in ui.decisionLayoutButton.toolTip
shown = {name: manager.sliceWidget(name).mrmlSliceCompositeNode().GetForegroundVolumeID() for name in manager.sliceViewNames()}
assert shown["PerfusionATT"] == nodes["map.att"].GetID()
assert shown["PerfusionSides"] == nodes["map.rcbf_mirror"].GetID()
segments = nodes["lesions"].GetSegmentation()
assert [segments.GetSegment(key).GetName() for key in segments.GetSegmentIDs()] == ["Low flow against the other side"]
steps.assertDeadControlsSayWhy(ui)
steps.photograph(desktop, module, pictures, "asl-done")
desktop.layoutPicture(pictures / f"{module.name}-asl-layout.png", 1280, 860)

# The same from the console, by another method: one delay tells no arrival time.
told = {"labelingEfficiency": 0.9, "bloodT1": 1.65, "lowFlowPercent": 50.0, "aslOptions": {"smoothing_mm": 6.0}}
study = widget.logic.analyze(scan, method="asl-single", motionCorrection=False, waitForCompletion=True, **told)
settings = textToReport(study.report)["settings"]
assert (settings["labeling_efficiency"], settings["t1_blood"], settings["smoothing_mm"]) == (0.9, 1.65, 6.0)
assert "map.att" not in study
widget.logic.show(study, "decision")
assert manager.layout == 5508

# A later scan of the same head: its flow on the grid of the first, and the change.
ui.laterSelector.setCurrentNode(scan)
assert "must be another ASL scan" in panel.applyButton.toolTip, panel.applyButton.toolTip
later = aslToSequence(slicer.mrmlScene, series, "ASL later")[0]
ui.laterSelector.setCurrentNode(later)
ui.partialVolumeCheckBox.checked = False
assert steps.apply(panel, desktop) == "Done. The results are in the Data module.", panel.statusLabel.text
assert "map.cbf_later" in nodesOfStudy(slicer.mrmlScene, "ASL")
change = textToMetrics(nodesOfStudy(slicer.mrmlScene, "ASL")["report"]).values["follow_up"]["regions"]["brain"]["change_percent"]
assert abs(change) < 5.0, change  # the same scan
ui.laterSelector.setCurrentNode(None)

# A simulated brain: vessels in 3D, the label as a sequence.
assert not ui.vesselsButton.enabled
head = pictures / "head"
for kind in ("arteries", "veins"):
    ends = np.array([[0.0, 0.0, 0.0], [10.0 if kind == "veins" else -10.0, 5.0, 20.0]])
    forest = Forest(ends, np.array([-1, 0]), np.array([100.0, 100.0]), np.array([-1, 0]))
    write_vtp(head / "vessels" / f"{kind}.vtp", tubes(forest, np.eye(4), 500.0, {}))
label = np.ones((6, 6, 6, 1), np.float32) * np.array([1.0, 2.0], np.float32)
write_volume(head / "tracer" / "propagation.nii.gz", label, np.diag([4.0, 4.0, 4.0, 1.0]), unit="uL/g", interval_s=0.25)
ui.vesselsPathLineEdit.currentPath = str(head)
ui.vesselsButton.click()
assert "'tracer/propagation.json'" in ui.vesselsLabel.text, ui.vesselsLabel.text
write_json(head / "tracer" / "propagation.json", {"FrameTimesStart": [0.25, 0.5], "Units": "uL/g"})
ui.vesselsButton.click()
assert "2 pictures of the label" in ui.vesselsLabel.text
assert {"vessels.arteries", "vessels.veins", "tracer"} <= set(nodesOfStudy(slicer.mrmlScene, "head"))
desktop.layoutPicture(pictures / f"{module.name}-vessels.png", 1000, 700)

# Back at the CT scan its choices are there again.
ui.inputSelector.setCurrentNode(contrast)
assert "cSVD" in items(ui.methodComboBox)
assert ui.aifSelector.enabled
assert "time column" in ui.aifSelector.toolTip
assert "torch" not in __import__("sys").modules
