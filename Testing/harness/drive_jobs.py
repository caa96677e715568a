# SPDX-License-Identifier: Apache-2.0
"""A panel that runs jobs: hint, failure, cancel, success with findings, a killed worker, a closed scene."""

import os
import signal

import panel_steps as steps

assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.jobPanel  # given by the harness
assert panel.statusLabel.text == panel.applyButton.toolTip == "Choose a CT perfusion sequence first"
assert not panel.applyButton.enabled
steps.photograph(desktop, module, pictures, "opened")

series, _truth = steps.patient()
whole, cut, short = (
    steps.addSequence(slicer, series, name, frames) for name, frames in (("patient", None), ("cut", 14), ("short", 5))
)
before = steps.nodeIDs(slicer)

# A scan that cannot be used: one sentence, no dialog, nothing in the scene.
ui.inputSequenceSelector.setCurrentNode(short)
assert "5 frames, at least 10 are needed" in steps.apply(panel, desktop)
assert "#" in panel.statusLabel.styleSheet
assert panel.applyButton.text == "Apply"
steps.photograph(desktop, module, pictures, "failed")
assert steps.nodeIDs(slicer) == before

# Cancel: the button changes its meaning, the scene stays.
ui.inputSequenceSelector.setCurrentNode(whole)
panel.applyButton.click()
assert panel.isRunning
assert panel.applyButton.text == "Cancel"
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0), "no progress was shown"
steps.photograph(desktop, module, pictures, "running")
panel.applyButton.click()
assert not panel.applyButton.enabled
assert desktop.pump(30, lambda: not panel.isRunning), "cancelling took too long"
assert panel.statusLabel.text == "Cancelled. The scene is unchanged."
assert steps.nodeIDs(slicer) == before

# A worker that the operating system kills.
panel.applyButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0)
os.kill(int(panel.job._job._process.processId()), signal.SIGKILL)
assert desktop.pump(30, lambda: not panel.isRunning)
assert "memory ran out" in panel.statusLabel.text
assert steps.nodeIDs(slicer) == before

# Success, with something to say about the data.
ui.inputSequenceSelector.setCurrentNode(cut)
assert steps.apply(panel, desktop) == "Done. The results are in the Data module."
assert panel.findingsList.count > 0
assert panel.job.nodes.maps["tmax"].GetImageData() is not None
assert len(steps.nodeIDs(slicer)) > len(before)
assert not panel.job._job.folder.path.exists()
steps.photograph(desktop, module, pictures, "done")

# The scene is closed while a job runs.
panel.applyButton.click()
assert panel.isRunning
slicer.mrmlScene.Clear(0)
assert desktop.pump(30, lambda: not panel.isRunning)
assert not panel.applyButton.enabled
assert "torch" not in __import__("sys").modules
print("driven")
