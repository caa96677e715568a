# SPDX-License-Identifier: Apache-2.0
"""Perfusion Fit on ASL: a BIDS folder is loaded, models of other scans are refused, QTMnet and several delays run as jobs."""

import subprocess
import sys
from importlib.util import find_spec

import panel_steps as steps

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.phantom.asl_bids import write_asl_bids
from PerfusionSuiteSlicer.mrml.AslSequences import isAsl
from PerfusionSuiteSlicer.mrml.StudyRoles import nodesOfStudy

WEIGHTS = """
import sys
from PerfusionSuiteLib.asl.qtm_network import QtmNetwork
from PerfusionSuiteLib.asl.qtm_weights import Protocol, QtmWeights, save_weights
network = QtmNetwork(4, 4, noise_channel=True, regression=True)
tensors = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
save_weights(sys.argv[1], QtmWeights(tensors, Protocol(), base=4, regression=True, noise_channel=True))
"""
panel = widget.panel.jobPanel
manager = slicer.app.layoutManager()

# A CT scan is not fitted by a model of ASL, in the panel and from the console.
ct, _truth = steps.patient()
contrast = steps.addSequence(slicer, ct, "CT")
ui.inputSelector.setCurrentNode(contrast)
ui.presetComboBox.currentText = "QTMnet (ASL)"
assert not panel.applyButton.enabled
assert "made for Arterial spin labeling, and the scan is CT perfusion" in panel.applyButton.toolTip, panel.applyButton.toolTip
try:
    widget.logic.fit(contrast, method="qtmnet", waitForCompletion=True)
except InvalidInputError as error:
    assert "'qtmnet' is made for ASL" in str(error)
else:
    raise AssertionError("a CT scan was fitted by QTMnet")

# An ASL scan is loaded from its BIDS folder.
series, _truth = phantom.asl(
    seed=5, recipe="typical", site="m1", shape=(40, 40, 8), spacing_mm=(5.2, 5.2, 13.0), repetitions=2, readout="3d"
)  # fmt: skip
write_asl_bids(series, pictures / "bids", subject="05")
ui.pathLineEdit.currentPath = str(pictures / "bids")
ui.loadButton.click()
assert desktop.pump(steps.LIMIT_S, lambda: not panel.isRunning)
scan = widget.panel.binding.node.inputScan
assert isAsl(scan), panel.statusLabel.text
assert "pairs" in ui.timingLabel.text
assert not ui.aifSelector.enabled
assert not ui.noiseComboBox.enabled
assert not ui.watchCheckBox.enabled  # QTMnet tells nothing before its end
ui.presetComboBox.currentText = "Fast (spatial)"
assert ui.watchCheckBox.enabled
assert "made for CT perfusion and DSC-MRI, and the scan is Arterial spin labeling" in panel.applyButton.toolTip

# Several delays, in the layout for ASL.
ui.presetComboBox.currentText = "Several delays (ASL)"
ui.motionCheckBox.checked = False
assert widget.model._form.widgets()["estimate"].currentText == "mean"
steps.assertDeadControlsSayWhy(ui)
assert steps.apply(panel, desktop) == "Done. The results are in the Data module.", panel.statusLabel.text
assert "map.att" in nodesOfStudy(slicer.mrmlScene, f"{scan.GetName()} asl-multi")
assert manager.layout == 5507
assert "not fitted step by step" in ui.fitLayoutButton.toolTip

# The network, here with weights that nobody trained: the way through the worker is what is tried.
if desktop.isEmulation and find_spec("torch") is not None:
    weights = pictures / "small.safetensors"
    subprocess.run([sys.executable, "-c", WEIGHTS, weights], check=True)
    ui.presetComboBox.currentText = "QTMnet (ASL)"
    form = widget.model._form.widgets()
    form["weights"].text = str(weights)
    form["weights"].editingFinished.emit()
    form["flips"].currentText = "1"
    assert widget.model.options() == {"flips": 1, "weights": str(weights)}
    steps.photograph(desktop, module, pictures, "asl-network")
    assert steps.apply(panel, desktop) == "Done. The results are in the Data module.", panel.statusLabel.text
    nodes = nodesOfStudy(slicer.mrmlScene, f"{scan.GetName()} qtmnet")
    assert {"map.cbf", "chart.input"} <= set(nodes)
    assert "map.att" not in nodes
    assert manager.layout == 5508
steps.photograph(desktop, module, pictures, "asl-done")
desktop.layoutPicture(pictures / f"{module.name}-asl-layout.png", 1280, 860)
assert "torch" not in sys.modules
