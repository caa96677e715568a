# SPDX-License-Identifier: Apache-2.0
"""Everything that was found, as files: report, NIfTI and tables, DICOM objects, and the tables of the scene as CSV."""

from pathlib import Path

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from PerfusionSuiteLib.core.catalog import Choice
from PerfusionSuiteLib.core.files import folder_name

from .ReportPackages import offerReportPackages
from .ResultFolders import fileOf, keepFolder, newFolder

LAYOUTS = (
    Choice("flat", "one folder", "tmax.nii.gz, masks/core_mask.nii.gz, metrics.json, report.html"),
    Choice("bids", "BIDS derivatives", "names of BIDS with a JSON file beside each volume"),
)


class LesionExport:
    """Writes files of the lesions that are shown, as they are now.

    :param ui: the panel's widgets, named exportPathLineEdit, layoutComboBox, exportFilesButton, sourcePathLineEdit,
        identityCheckBox, exportDicomButton, exportTablesButton and reportButton.
    :param logic: CorePenumbraLogic.
    :param jobPanel: JobPanel that the work is shown in.
    :param getLesions: called without arguments; returns (segmentation node, name of its study), (None, "") for none.
    :param measured: called without arguments when the numbers were renewed on the way.
    """

    def __init__(self, ui, logic, jobPanel, getLesions, measured):
        self._ui, self._logic, self._jobPanel = ui, logic, jobPanel
        self._getLesions, self._measured = getLesions, measured
        self._stamps = {}
        folders = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Readable
        ui.exportPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
        ui.sourcePathLineEdit.filters = folders
        ui.layoutComboBox.addItems([_(choice.label) for choice in LAYOUTS])
        ui.layoutComboBox.toolTip = "\n".join(f"{choice.label}: {choice.description}" for choice in LAYOUTS)
        ui.exportFilesButton.connect("clicked(bool)", self.onExportFiles)
        ui.exportDicomButton.connect("clicked(bool)", self.onExportDicom)
        ui.exportTablesButton.connect("clicked(bool)", self.onExportTables)
        ui.reportButton.connect("clicked(bool)", self.onReportButton)
        ui.exportPathLineEdit.connect("currentPathChanged(QString)", self.update)
        ui.sourcePathLineEdit.connect("currentPathChanged(QString)", self.update)
        ui.identityCheckBox.connect("toggled(bool)", self.update)

    def update(self, *_ignored):
        """Enable what can be used now, and say why the rest cannot."""
        ui = self._ui
        needsLesions = "" if self._getLesions()[0] is not None else _("Press Apply first")
        running = needsLesions or (_("Wait until the running job has ended") if self._jobPanel.isRunning else "")
        needsFolder = running or ("" if ui.exportPathLineEdit.currentPath else _("Choose a folder first"))
        needsSource = needsFolder
        if ui.identityCheckBox.checked and not ui.sourcePathLineEdit.currentPath:
            needsSource = needsFolder or _("Choose the DICOM folder of the scan, whose identity is kept")
        for button, problem, hint in (
            (ui.exportFilesButton, needsFolder, _("NIfTI maps and masks, metrics as JSON and CSV, pictures and report")),
            (ui.exportDicomButton, needsSource, _("Parametric Maps, a Segmentation and a structured report")),
            (ui.exportTablesButton, needsFolder, _("Every table of the study, statistics included, as CSV")),
            (ui.reportButton, running, _("Open the report of the lesions as they are now in the web browser")),
        ):
            button.enabled = not problem
            button.toolTip = problem or hint

    def folder(self):
        """Return the folder that files of the study that is shown are written to."""
        return str(Path(self._ui.exportPathLineEdit.currentPath) / folder_name(self._getLesions()[1]))

    def onExportFiles(self, checked=False):
        """Write maps, masks, tables and report."""
        offerReportPackages(_("Core Penumbra"))
        layout = LAYOUTS[self._ui.layoutComboBox.currentIndex].name
        self._begin(self.folder(), layout=layout)

    def onExportDicom(self, checked=False):
        """Write DICOM objects."""
        keepsIdentity = self._ui.identityCheckBox.checked
        source = self._ui.sourcePathLineEdit.currentPath if keepsIdentity else None
        self._begin(self.folder(), files=False, dicom=True, dicomSource=source, includeIdentity=keepsIdentity)

    def onExportTables(self, checked=False):
        """Write the tables of the study."""
        with slicer.util.tryWithErrorDisplay(_("The tables could not be saved."), waitCursor=True):
            files = self._logic.exportTables(self._getLesions()[0], self.folder())
            self._ui.summaryLabel.text = _("{count} tables saved to {folder}").format(count=len(files), folder=self.folder())

    def onReportButton(self, checked=False):
        """Open the report; when the lesions were changed since it was made, it is made anew."""
        segmentation, study = self._getLesions()
        if fileOf(study, "report.html") and self._stamps.get(study) == stampOf(segmentation):
            self.openReport(study)
            return
        offerReportPackages(_("Core Penumbra"))
        folder = newFolder()

        def done(job):
            keepFolder(study, folder)
            self._stamps[study] = stampOf(segmentation)
            self._measured()
            self.openReport(study)

        self._jobPanel.begin(
            lambda **callbacks: self._logic.exportFiles(segmentation, folder.name, **callbacks),
            _("The report is made from the lesions as they are now."),
            done,
        )

    def openReport(self, study):
        """Open a report in the web browser.

        :param study: name of the study.
        """
        report = fileOf(study, "report.html")
        if report is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(report)))

    def _begin(self, folder, **choices):
        segmentation = self._getLesions()[0]
        self._jobPanel.begin(
            lambda **callbacks: self._logic.exportFiles(segmentation, folder, **choices, **callbacks),
            _("Saved to {folder}").format(folder=folder),
            lambda job: self._measured(),
        )


def stampOf(segmentation):
    """Return what changes whenever a segment does."""
    known = segmentation.GetSegmentation()
    return max([known.GetMTime(), *(known.GetSegment(each).GetMTime() for each in known.GetSegmentIDs())])
