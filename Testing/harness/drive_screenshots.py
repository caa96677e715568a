# SPDX-License-Identifier: Apache-2.0
"""The three panels beside their layouts, on one digital patient, for README and documentation (see make_screenshots.py)."""

import panel_steps as steps

from PerfusionSuiteLib import phantom

series, _truth = phantom.ctp(seed=8, recipe="typical", site="m1", shape=(192, 192, 12), spacing_mm=(1.1, 1.1, 6.0))
scan = steps.addSequence(slicer, series, "digital patient")


def photograph(name, layout):
    steps.photograph(desktop, slicer.modules.__dict__[name.lower()], pictures, "panel")
    desktop.layoutPicture(pictures / f"{name}-layout.png", 1180, layout)


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
