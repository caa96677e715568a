# SPDX-License-Identifier: Apache-2.0
"""The choice of what to compute on: a worker is asked once, in the background; the application never imports PyTorch."""

import logging
from types import SimpleNamespace

import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import PerfusionError
from PerfusionSuiteLib.jobs import Devices, JobSpec

from .RunnerChoice import chooseRunner

SETTING = "PerfusionSuite/Device"
AUTO = "auto"
_ASKING = _("Looking for GPUs...")

_known = SimpleNamespace(devices=None, waiting=[], job=None)
"""What this session knows, shared by all panels."""


class DeviceBox:
    """Fills a combo box with devices, and offers PyTorch where it is missing.

    The choice is the user's, not the study's: it is kept in the application's settings.

    :param ui: the panel's widgets, named deviceComboBox, deviceLabel and torchButton.
    :param changed: called without arguments when the devices are known or another one was chosen.
    """

    def __init__(self, ui, changed):
        self._ui = ui
        self._changed = changed
        self._isGone = False
        self._needsTorch = True
        self._names = [AUTO]
        ui.deviceComboBox.addItem(_("Automatic"))
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._onChosen)
        ui.torchButton.connect("clicked(bool)", self.onTorchButton)
        ui.torchButton.visible = False

    def ask(self):
        """Ask a worker what there is; does nothing when it is known, or asked already."""
        if _known.devices is not None:
            self._show()
            return
        self._ui.deviceLabel.text = _ASKING
        _known.waiting.append(self)
        if len(_known.waiting) > 1:
            return
        try:
            _known.job = chooseRunner().start(JobSpec("devices"), finished=_onAnswer)
        except PerfusionError as error:
            _answered(Devices((), str(error), False))

    @property
    def device(self):
        """The device that is chosen, as settings call it."""
        return self._names[max(self._ui.deviceComboBox.currentIndex, 0)]

    @property
    def lacksTorch(self):
        """Whether it is known that the workers have no PyTorch."""
        return _known.devices is not None and not _known.devices.has_torch

    def setNeeded(self, needsTorch):
        """Say whether the method that is chosen can use a device.

        :param needsTorch: whether it can.
        """
        self._needsTorch = needsTorch
        self._update()

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self._isGone = True

    def onTorchButton(self):
        """Install PyTorch by Slicer's extension for it, after the user has agreed."""
        try:
            import PyTorchUtils  # of the extension PyTorch
        except ImportError:
            self._ui.deviceLabel.text = _(
                "Install the extension 'PyTorch' in the Extensions Manager, restart Slicer, and press this button again."
            )
            return
        with slicer.util.tryWithErrorDisplay(_("PyTorch could not be installed."), waitCursor=True):
            PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=">=2.0")
        _known.devices = None
        self.ask()

    def _show(self):
        if self._isGone:
            return
        known, box = _known.devices, self._ui.deviceComboBox
        wanted = slicer.app.settings().value(SETTING) or AUTO
        box.blockSignals(True)
        box.clear()
        best = known.devices[-1].label if len(known.devices) > 1 else _("CPU")
        box.addItems([_("Automatic: {device}").format(device=best), *(item.label for item in known.devices)])
        self._names = [AUTO, *(item.name for item in known.devices)]
        box.currentIndex = self._names.index(wanted) if wanted in self._names else 0
        box.blockSignals(False)
        self._update()
        self._changed()

    def _update(self):
        ui, known = self._ui, _known.devices
        ui.deviceComboBox.enabled = self._needsTorch and len(self._names) > 2
        if not self._needsTorch:
            hint = words = _("This model computes on the CPU.")
        elif known is None:
            hint = words = _ASKING
        else:
            words, hint = known.note, known.note or _("What the fit computes on; a GPU is far faster")
        ui.deviceLabel.text = words
        ui.deviceLabel.visible = bool(words)
        ui.deviceComboBox.toolTip = hint
        ui.torchButton.visible = self._needsTorch and self.lacksTorch and slicer.app.layoutManager() is not None
        ui.torchButton.toolTip = _("Downloads PyTorch (a few hundred MB, with a GPU a few GB) after asking")

    def _onChosen(self, index):
        slicer.app.settings().setValue(SETTING, self.device)
        self._changed()


def _onAnswer(outcome):
    job = _known.job
    try:
        found = Devices.from_result(job.result())
    except PerfusionError as error:
        logging.getLogger(__name__).info("The devices could not be asked: %s", error)
        found = Devices((), str(error), False)
    job.folder.remove()
    _answered(found)


def _answered(found):
    _known.devices = found
    boxes, _known.waiting = _known.waiting, []
    for box in boxes:
        box._show()
