# SPDX-License-Identifier: Apache-2.0
"""The three panels beside their layouts, on digital patients, for README and documentation (see make_screenshots.py)."""

import panel_steps as steps

from PerfusionSuiteLib import phantom
from PerfusionSuiteSlicer.mrml.AslSequences import aslToSequence

series, _truth = phantom.ctp(seed=8, recipe="typical", site="m1", shape=(192, 192, 12), spacing_mm=(1.1, 1.1, 6.0))
scan = steps.addSequence(slicer, series, "digital patient")


def photograph(name, height, picture=None):
    """Save a panel and its layout; the picture is called after the module unless it has another name."""
    desktop.screenshot(slicer.modules.__dict__[name.lower()], pictures / f"{picture or name}-panel.png")
    desktop.layoutPicture(pictures / f"{picture or name}-layout.png", 1180, height)


ui.inputSelector.setCurrentNode(scan)
assert steps.apply(widget.panel.jobPanel, desktop).startswith("Done")
photograph("PerfusionSuite", 860)

lesions = slicer.modules.corepenumbra.enter()
maps = widget.panel.jobPanel.job.nodes.maps
for key in ("tmax", "cbf", "cbv", "delay"):
    getattr(lesions.ui, f"{key}Selector").setCurrentNode(maps[key])
assert steps.apply(lesions.panel.jobPanel, desktop).startswith("Done")
photograph("CorePenumbra", 640)

fit = slicer.modules.perfusionfit.enter()
fit.ui.inputSelector.setCurrentNode(scan)
assert steps.apply(fit.panel.jobPanel, desktop).startswith("Done")
fit.ui.fitLayoutButton.click()
photograph("PerfusionFit", 760)

dsc, _truth = phantom.dsc(seed=8, recipe="typical", site="m1", shape=(96, 96, 12), spacing_mm=(2.2, 2.2, 8.0), motion="none")
fit.ui.inputSelector.setCurrentNode(steps.addSequence(slicer, dsc, "DSC-MRI"))
fit.ui.presetComboBox.currentText = "HemoPIC, no artery (DSC-MRI)"
assert steps.apply(fit.panel.jobPanel, desktop).startswith("Done")
fit.ui.regionsLayoutButton.click()
photograph("PerfusionFit", 760, "HemoPIC")

asl, _truth = phantom.asl(seed=12, recipe="clean", site="m1", readout="3d", motion="none")
suite = slicer.modules.perfusionsuite.enter()
suite.ui.inputSelector.setCurrentNode(aslToSequence(slicer.mrmlScene, asl, "ASL")[0])
assert steps.apply(suite.panel.jobPanel, desktop).startswith("Done")
photograph("PerfusionSuite", 860, "ASL")
