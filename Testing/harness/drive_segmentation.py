# SPDX-License-Identifier: Apache-2.0
"""Core Penumbra: maps of the scene become lesions and tables."""

import panel_steps as steps

assert steps.heavyModules() == [], steps.heavyModules()
panel = widget.jobPanel  # noqa: F821  # given by the harness
assert panel.statusLabel.text == "Choose Tmax and CBF maps first"
steps.photograph(desktop, module, "opened")  # noqa: F821
_series, truth = steps.patient()
nodes = steps.addMaps(slicer, truth, "patient")  # noqa: F821
for key in ("tmax", "cbf", "cbv"):
    getattr(ui, f"{key}Selector").setCurrentNode(nodes[key])  # noqa: F821
assert steps.apply(panel, desktop) == "Done. The results are in the Data module."  # noqa: F821
found = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")  # noqa: F821
assert found[0].GetSegmentation().GetNumberOfSegments() == 3
steps.photograph(desktop, module, "done")  # noqa: F821
ui.cbfSelector.setCurrentNode(None)  # noqa: F821
assert not panel.applyButton.enabled
print("driven")
