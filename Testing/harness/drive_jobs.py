# SPDX-License-Identifier: Apache-2.0
"""A panel that runs jobs: hint, failure, cancel, success with findings, a killed worker, a closed scene."""

import os
import signal

import panel_steps as steps

assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.jobPanel  # noqa: F821  # given by the harness
assert panel.statusLabel.text == panel.applyButton.toolTip == "Choose a CT perfusion sequence first"
assert not panel.applyButton.enabled
steps.photograph(desktop, module, "opened")  # noqa: F821

series, _truth = steps.patient()
whole, cut, short = (
    steps.addSequence(slicer, series, name, frames)  # noqa: F821
    for name, frames in (("patient", None), ("cut", 14), ("short", 5))
)
before = steps.nodeIDs(slicer)  # noqa: F821

# A scan that cannot be used: one sentence, no dialog, nothing in the scene.
ui.inputSequenceSelector.setCurrentNode(short)  # noqa: F821
assert "5 frames, at least 10 are needed" in steps.apply(panel, desktop)  # noqa: F821
assert "#" in panel.statusLabel.styleSheet
assert panel.applyButton.text == "Apply"
steps.photograph(desktop, module, "failed")  # noqa: F821
assert steps.nodeIDs(slicer) == before  # noqa: F821

# Cancel: the button changes its meaning, the scene stays.
ui.inputSequenceSelector.setCurrentNode(whole)  # noqa: F821
panel.applyButton.click()
assert panel.isRunning
assert panel.applyButton.text == "Cancel"
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0), "no progress was shown"  # noqa: F821
steps.photograph(desktop, module, "running")  # noqa: F821
panel.applyButton.click()
assert not panel.applyButton.enabled
assert desktop.pump(30, lambda: not panel.isRunning), "cancelling took too long"  # noqa: F821
assert panel.statusLabel.text == "Cancelled. The scene is unchanged."
assert steps.nodeIDs(slicer) == before  # noqa: F821

# A worker that the operating system kills.
panel.applyButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: panel.progressBar.value > 0)  # noqa: F821
os.kill(int(panel.job._job._process.processId()), signal.SIGKILL)
assert desktop.pump(30, lambda: not panel.isRunning)  # noqa: F821
assert "memory ran out" in panel.statusLabel.text
assert steps.nodeIDs(slicer) == before  # noqa: F821

# Success, with something to say about the data.
ui.inputSequenceSelector.setCurrentNode(cut)  # noqa: F821
assert steps.apply(panel, desktop) == "Done. The results are in the Data module."  # noqa: F821
assert panel.findingsList.count > 0
assert panel.job.nodes.maps["tmax"].GetImageData() is not None
assert len(steps.nodeIDs(slicer)) > len(before)  # noqa: F821
assert not panel.job._job.folder.path.exists()
steps.photograph(desktop, module, "done")  # noqa: F821

# The scene is closed while a job runs.
panel.applyButton.click()
assert panel.isRunning
slicer.mrmlScene.Clear(0)  # noqa: F821
assert desktop.pump(30, lambda: not panel.isRunning)  # noqa: F821
assert not panel.applyButton.enabled
assert "torch" not in __import__("sys").modules
print("driven")
