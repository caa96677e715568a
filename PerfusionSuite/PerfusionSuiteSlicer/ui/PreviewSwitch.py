# SPDX-License-Identifier: Apache-2.0
"""The live preview: lesions of thresholds that are being moved, over the slice views, until Apply makes them final."""

import qt
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import PerfusionError

DELAY_MS = 60
"""Changes that follow each other faster are shown together."""

ERROR_STYLE = "color: #c62828;"


def previewWords(volumes, isByNetwork):
    """Say what a preview shows.

    :param volumes: in mL by name; without a core where a network has not drawn it yet.
    :param isByNetwork: whether a network draws the core.
    """
    if "core" not in volumes:
        words = _("Preview: hypoperfusion {hypoperfusion:.1f} mL. The network draws the core after Apply.")
    elif isByNetwork:
        words = _("Preview: core {core:.1f} mL (network's last run), penumbra {penumbra:.1f} mL. Apply runs the network again.")
    else:
        words = _("Preview: core {core:.1f} mL, penumbra {penumbra:.1f} mL. Apply makes it final.")
    return words.format(**volumes)


class PreviewSwitch:
    """Starts when a threshold is changed, and ends with Apply, with other maps, or when it is switched off.

    :param ui: the panel's widgets, named previewCheckBox and previewLabel.
    :param compute: called without arguments; shows the preview and returns what is said about it.
    :param clear: called without arguments; takes the preview away.
    """

    def __init__(self, ui, compute, clear):
        self._ui, self._compute, self._clear = ui, compute, clear
        self._final = None
        self._shown = None
        self._wanted = None
        self._problem = ""
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.connect("timeout()", self._update)
        self._say("")

    @property
    def isShown(self):
        """Whether a preview is over the slice views."""
        return self._shown is not None

    def follow(self, maps, choices, isPossible, isOn, problem=""):
        """Show a preview when choices differ from those that are final.

        :param maps: what identifies the maps; other maps begin anew.
        :param choices: what identifies thresholds, side and regions.
        :param isPossible: whether Apply could be pressed.
        :param isOn: whether the user wants previews.
        :param problem: what keeps these choices from being applied and is said here, an empty text for nothing.
        """
        key = (maps, choices)
        if self._final is None or self._final[0] != maps:
            self.end(key)
        if not isPossible or not isOn or key == self._final:
            if self.isShown or self._timer.isActive():
                self._stop()
        elif key != self._shown:
            self._wanted = key
            self._timer.start()
        if problem or self._problem:
            self._say(problem, isError=True)
        self._problem = problem

    def end(self, key=None):
        """Take the preview away; the choices as they are now are final.

        :param key: (maps, choices) that are final; by default those that were shown last.
        """
        self._final = key or self._wanted or self._final
        self._stop()

    def _stop(self):
        self._timer.stop()
        if self.isShown:
            self._clear()
        self._shown = None
        self._say("")

    def _update(self):
        self._shown = self._wanted
        try:
            words = self._compute()
        except PerfusionError as error:
            self._clear()
            self._say(str(error), isError=True)
            return
        self._say(words)

    def _say(self, text, isError=False):
        self._ui.previewLabel.text = text
        self._ui.previewLabel.visible = bool(text)
        self._ui.previewLabel.styleSheet = ERROR_STYLE if isError else ""

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self._stop()
