# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: maps of the scene become lesions and tables."""

import panel_steps as steps

assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.jobPanel  # given by the harness
assert panel.statusLabel.text == "Choose Tmax and CBF maps first"
steps.photograph(desktop, module, pictures, "opened")
_series, truth = steps.patient()
nodes = steps.addMaps(slicer, truth, "patient")
for key in ("tmax", "cbf", "cbv"):
    getattr(ui, f"{key}Selector").setCurrentNode(nodes[key])
assert steps.apply(panel, desktop) == "Done. The results are in the Data module."
found = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
assert found[0].GetSegmentation().GetNumberOfSegments() == 3
steps.photograph(desktop, module, pictures, "done")
ui.cbfSelector.setCurrentNode(None)
assert not panel.applyButton.enabled
print("driven")
