# SPDX-License-Identifier: Apache-2.0
"""The part of a panel that shows a simulated brain: vessels as models, the label on its way as a sequence."""

from pathlib import Path

import ctk
import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import PerfusionError


class VesselPanel:
    """Ties the folder and its button to the logic.

    :param ui: the panel's widgets, named vesselsPathLineEdit, vesselsButton and vesselsLabel.
    :param showVessels: called with the folder; returns nodes by role.
    """

    def __init__(self, ui, showVessels):
        self._ui, self._showVessels = ui, showVessels
        ui.vesselsPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.vesselsPathLineEdit.connect("currentPathChanged(QString)", self.update)
        ui.vesselsButton.connect("clicked(bool)", self.onShow)
        self.update()

    def update(self):
        """Enable what can be used now."""
        path = self._ui.vesselsPathLineEdit.currentPath
        isThere = bool(path) and Path(path).is_dir()
        self._ui.vesselsButton.enabled = isThere
        hint = _("Vessels as models, the label on its way as a sequence")
        self._ui.vesselsButton.toolTip = hint if isThere else _("Choose the folder of a simulated brain first")

    def onShow(self):
        """Put the vessels into the scene and show them."""
        try:
            nodes = self._showVessels(self._ui.vesselsPathLineEdit.currentPath)
        except PerfusionError as error:
            self._ui.vesselsLabel.text = str(error)
            return
        count = nodes["tracer"].GetNumberOfDataNodes()
        text = _("Arteries (red), veins (blue), and {count} pictures of the label: play them with the sequence browser.")
        self._ui.vesselsLabel.text = text.format(count=count)


def showInLayout(nodes):
    """Show vessels in 3D and the label in the slice views; does nothing without a main window.

    :param nodes: nodes by role, from vesselsToScene.
    """
    from ..mrml.VesselNodes import TRACER_BROWSER, renewLabelLegend  # it loads what reads files

    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    proxy = nodes[TRACER_BROWSER].GetProxyNode(nodes["tracer"])
    slicer.util.setSliceViewerLayers(background=proxy, foreground=None, fit=True)
    layoutManager.resetThreeDViews()
    renewLabelLegend(slicer.mrmlScene, nodes)
