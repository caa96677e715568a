# SPDX-License-Identifier: Apache-2.0
"""The part of a panel that shows a study: volumes, layouts, report, files."""

import shutil
from pathlib import Path

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from ..mrml.RegionNodes import isRelative
from ..mrml.StudyRoles import REGIONS
from ..mrml.StudyScene import findStudy
from ..mrml.SummaryTable import summarySentence
from ..mrml.TableNodes import textToMetrics
from .Layouts import DECISION, FIT, MAPS, REGIONS_LAYOUT, showStudy, showTable
from .RegionPanel import RegionPanel
from .ResultFolders import fileOf, keepFolder, newFolder

RESEARCH = "Research use only."
RELATIVE = "Flow and volume are relative, because no artery was used; times count from early normal tissue."


class ResultsPanel:
    """Shows what was found, opens the report, and saves the files.

    :param ui: the panel's widgets, named summaryLabel, mapsLayoutButton, decisionLayoutButton, reportButton,
        resultsPathLineEdit and saveButton.
    """

    def __init__(self, ui):
        self._ui = ui
        self._study = None
        self._pending = None
        ui.resultsPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
        ui.mapsLayoutButton.connect("clicked(bool)", self.onMapsLayoutButton)
        ui.decisionLayoutButton.connect("clicked(bool)", self.onDecisionLayoutButton)
        self._fitButton = getattr(ui, "fitLayoutButton", None)  # of the panel for fits
        if self._fitButton is not None:
            self._fitButton.connect("clicked(bool)", self.onFitLayoutButton)
        self._regionsButton = getattr(ui, "regionsLayoutButton", None)
        if self._regionsButton is not None:
            self._regionsButton.connect("clicked(bool)", self.onRegionsLayoutButton)
        self._regions = None if self._regionsButton is None else RegionPanel(ui)
        ui.reportButton.connect("clicked(bool)", self.onReportButton)
        ui.saveButton.connect("clicked(bool)", self.onSaveButton)
        ui.resultsPathLineEdit.connect("currentPathChanged(QString)", self.update)
        self.update()

    def newFolder(self, study):
        """Return a folder for the files of a run; it lives as long as the scene.

        :param study: name of the study.
        """
        self._pending = (study, newFolder())
        return self._pending[1].name

    def onDone(self):
        """Show the study of the run that has ended."""
        study, folder = self._pending
        keepFolder(study, folder)
        self.show(study)
        showStudy(self._study, MAPS)

    def show(self, name):
        """Show a study of the scene.

        :param name: its name; nothing is shown when the scene has no such study.
        """
        study = findStudy(slicer.mrmlScene, name) if name else None
        self._study = study if study is not None and study.maps else None
        self.update()

    def update(self):
        """Enable what can be used now, and say why the rest cannot."""
        ui, study = self._ui, self._study
        report = self._file("report.html")
        words = _("No results yet for this scan.")
        if study is not None:
            words = summarySentence(textToMetrics(study.report)) if study.report is not None else ""
            scale = f" {_(RELATIVE)}" if isRelative(study) else ""
            words = f"{words or _('Maps without lesions.')}{scale} {_(RESEARCH)}"
        ui.summaryLabel.text = words
        needsStudy = "" if study is not None else _("Press Apply first")
        isASL = study is not None and "difference" in study
        needsTimes = needsStudy or (_("ASL tells neither core nor penumbra: the layout Maps shows low flow") if isASL else "")
        needsFiles = needsStudy or ("" if self._file(".") else _("The files of this study are gone: press Apply again"))
        needsReport = needsFiles or ("" if report else _("The report could not be made; the findings above say why"))
        needsFolder = needsFiles or ("" if ui.resultsPathLineEdit.currentPath else _("Choose a folder first"))
        needsRegions = needsStudy or ("" if REGIONS in (study or ()) else _("This model fitted no regions"))
        needsFit = needsStudy or ("" if "fit.loss" in (study or ()) else _("This model was not fitted step by step"))
        if self._regions is not None:
            self._regions.show(study)
        optional = (
            (self._fitButton, needsFit, _("Maps with their standard errors, and how the fit came there")),
            (self._regionsButton, needsRegions, _("Regions beside flow and transit time, with the curve of the chosen one")),
        )
        for button, problem, hint in (
            *(item for item in optional if item[0] is not None),
            (ui.mapsLayoutButton, needsStudy, _("All maps in linked views, without fluid, curves and numbers")),
            (ui.decisionLayoutButton, needsTimes, _("Tmax beside core and penumbra, curves and numbers")),
            (ui.reportButton, needsReport, _("Open the report in the web browser")),
            (ui.saveButton, needsFolder, _("Copy maps, masks, curves, tables, pictures and report to the folder")),
        ):
            button.enabled = not problem
            button.toolTip = problem or hint

    def _file(self, name):
        return None if self._study is None else fileOf(self._study.name, name)

    def onMapsLayoutButton(self):
        """Show the study in the layout for reading maps."""
        showStudy(self._study, MAPS)

    def onDecisionLayoutButton(self):
        """Show the study in the layout for deciding."""
        showStudy(self._study, DECISION)

    def onFitLayoutButton(self):
        """Show the study in the layout for fits."""
        showStudy(self._study, FIT)

    def onRegionsLayoutButton(self):
        """Show the study in the layout for regions, and the regions themselves."""
        showStudy(self._study, REGIONS_LAYOUT)
        showTable(self._study["table.regions"])
        self._ui.regionShowCheckBox.checked = True
        self._ui.regionsCollapsibleButton.collapsed = False

    def onReportButton(self):
        """Open the report in the web browser."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._file("report.html"))))

    def onSaveButton(self):
        """Copy the files of the study to the folder that was chosen."""
        from PerfusionSuiteLib.core.files import folder_name, staged_folder
        from PerfusionSuiteLib.results.layout import Layout

        target = Path(self._ui.resultsPathLineEdit.currentPath) / folder_name(self._study.name)
        with slicer.util.tryWithErrorDisplay(_("The results could not be saved."), waitCursor=True):
            # What was saved here before is replaced as a whole: masks of two runs must not lie side by side.
            with staged_folder(target, outdated=Layout("flat", "case").every_name()) as staging:
                shutil.copytree(self._file("."), staging, dirs_exist_ok=True)
            self._ui.summaryLabel.text = _("Saved to {folder}").format(folder=target)

    def cleanup(self):
        """Let everything go, when the module is unloaded; the files stay for the panel that comes after it."""
        if self._regions is not None:
            self._regions.cleanup()
