# SPDX-License-Identifier: Apache-2.0
"""The part of a panel that works with a stored field: maps at another resolution, and the curves that it describes."""

from functools import partial

import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core import InvalidInputError

from ..mrml.FieldJob import synchronize
from ..mrml.FieldNodes import IS_FIELD, fieldFacts, fieldSentence, spacingOf, studyOfField
from ..mrml.StudyScene import findStudy
from ..mrml.ViewerLayers import showInViewers

REFERENCE_TIP = _("A volume whose grid the new maps shall have, such as an anatomical scan")
STEP_TIP = _("0 takes the frame times of the scan, which one browser then plays together with the fitted curves")


class FieldPanel:
    """Samples a field and computes its curves, as jobs of the panel.

    :param ui: the panel's widgets, named fieldSelector, fieldLabel, spacingSpinBox, sliceSpacingSpinBox, referenceSelector,
        sampleButton, stepSpinBox and curvesButton.
    :param jobPanel: runs the jobs.
    :param logic: has resample and fittedCurves.
    :param getDevice: returns the device that is chosen.
    """

    def __init__(self, ui, jobPanel, logic, getDevice):
        self._ui, self._jobPanel, self._logic, self._getDevice = ui, jobPanel, logic, getDevice
        self._shown = None
        ui.fieldSelector.addAttribute("vtkMRMLTextNode", IS_FIELD, "1")
        ui.fieldSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        ui.sampleButton.connect("clicked(bool)", self.onSampleButton)
        ui.curvesButton.connect("clicked(bool)", self.onCurvesButton)
        self.update()

    def choose(self, nodes):
        """Choose the field of a study that was just made.

        :param nodes: nodes of the study by role.
        """
        self._ui.fieldSelector.setCurrentNode(nodes.get("fit.field"))

    def update(self, node=None):
        """Enable what can be used now, and say why the rest cannot."""
        ui, field = self._ui, self._ui.fieldSelector.currentNode()
        problem = ""
        words = _("A fit leaves its field in the scene: it can be sampled at any resolution, also after the scene was saved.")
        if field is None:
            problem = _("Choose a field first; a fit by a model with neighbors leaves one in the scene")
        else:
            try:
                words = fieldSentence(field)
                self._suggestSpacing(field)
            except InvalidInputError as error:
                words = problem = str(error)
        if self._jobPanel.isRunning:
            problem = problem or _("Wait until the running job has ended")
        ui.fieldLabel.text = words
        onReference = ui.referenceSelector.currentNode() is not None
        for box, tip in ((ui.referenceSelector, REFERENCE_TIP), (ui.stepSpinBox, STEP_TIP)):
            box.enabled = not problem
            box.toolTip = problem or tip
        for box in (ui.spacingSpinBox, ui.sliceSpacingSpinBox):
            box.enabled = not problem and not onReference
            box.toolTip = problem or (
                _("The grid of the reference volume is taken") if onReference else _("Voxel size of the new maps in mm")
            )
        for button, hint in (
            (ui.sampleButton, _("Evaluate the field on the new grid: all maps, beside those of the fit")),
            (ui.curvesButton, _("Compute the curve of every voxel that the fit describes the scan by, as a sequence")),
        ):
            button.enabled = not problem
            button.toolTip = problem or hint

    def _suggestSpacing(self, field):
        if self._shown == field.GetID():
            return
        self._shown = field.GetID()
        first, second, third = spacingOf(fieldFacts(field))
        self._ui.spacingSpinBox.value = min(first, second) / 2.0
        self._ui.sliceSpacingSpinBox.value = third / 2.0

    def onSampleButton(self):
        """Sample the field on the grid that is chosen."""
        ui = self._ui
        inPlane, between = ui.spacingSpinBox.value, ui.sliceSpacingSpinBox.value
        reference = ui.referenceSelector.currentNode()
        grid = {"referenceVolume": reference} if reference is not None else {"spacing": (inPlane, inPlane, between)}
        start = partial(self._logic.resample, ui.fieldSelector.currentNode(), device=self._getDevice(), **grid)
        self._jobPanel.begin(start, _("Sampled. The new maps lie beside those of the fit."), self._onSampled)

    def onCurvesButton(self):
        """Compute the curves of the field."""
        ui = self._ui
        step = ui.stepSpinBox.value or None
        start = partial(self._logic.fittedCurves, ui.fieldSelector.currentNode(), step=step, device=self._getDevice())
        self._jobPanel.begin(start, _("The fitted curves are a sequence of the scene."), self._onCurves)

    def _onSampled(self, job):
        nodes = findStudy(slicer.mrmlScene, studyOfField(self._ui.fieldSelector.currentNode()))
        showInViewers(slicer.mrmlScene, nodes.get("map.baseline") or job.nodes["cbf"], job.nodes.get("tmax"))

    def _onCurves(self, job):
        sequence, browser = job.nodes
        toolBar = getattr(slicer.modules.sequences, "toolBar", None) if hasattr(slicer.modules, "sequences") else None
        scans = synchronize(slicer.mrmlScene, sequence, studyOfField(self._ui.fieldSelector.currentNode()))
        if toolBar is not None and slicer.util.mainWindow() is not None:
            toolBar().setActiveBrowserNode(scans or browser)
