# SPDX-License-Identifier: Apache-2.0
"""Shows a fit in a layout of its own while it runs, and then the layout that was there before."""

import slicer

from ..mrml.LiveFit import LiveFit
from .Layouts import RUNNING, registerWithApplication


class FitView:
    """Remembers which layout the user had."""

    def __init__(self):
        self._before = None

    def watch(self, scan, name):
        """Return what a job tells about a fit, to be shown from its first word on.

        :param scan: the scan that is fitted.
        :param name: name of the study that will come.
        """
        return LiveFit(slicer.mrmlScene, scan, name, self._showLayout, self._showBefore)

    def _showLayout(self):
        layoutManager = slicer.app.layoutManager()
        if layoutManager is not None and layoutManager.layout != RUNNING:
            registerWithApplication()
            self._before = layoutManager.layout
            layoutManager.setLayout(RUNNING)

    def _showBefore(self):
        layoutManager = slicer.app.layoutManager()
        if self._before is not None and layoutManager is not None and layoutManager.layout == RUNNING:
            layoutManager.setLayout(self._before)
        self._before = None
