# SPDX-License-Identifier: Apache-2.0
"""Shows a study in one of our layouts."""

import slicer

from ..mrml.ViewLayouts import (
    ASL_FLOW,
    ASL_MAPS,
    DECISION,
    DECISION_WITHOUT_CURVES,
    FIT,
    MAPS,
    REGIONS_LAYOUT,
    RUNNING,
    centerOnLesions,
    mapsLayoutOf,
    registerLayouts,
    showStudyInViews,
    showTableInView,
)

__all__ = ["DECISION", "FIT", "MAPS", "REGIONS_LAYOUT", "RUNNING", "showStudy", "showTable"]


def registerWithApplication():
    """Make our layouts known, so that a scene that was saved in one of them opens in it; needs a main window."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is not None:
        registerLayouts(layoutManager.layoutLogic().GetLayoutNode())


def showStudy(nodes, number):
    """Switch to a layout and put a study into its views; does nothing without a main window.

    :param nodes: nodes of the study by role, such as StudyNodes.
    :param number: MAPS, which means the maps that the study has, or another layout.
    """
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return
    registerWithApplication()
    if number == DECISION and "chart.input" not in nodes:
        number = DECISION_WITHOUT_CURVES
    isForMaps = number == MAPS or "difference" in nodes  # ASL has no other maps to decide by
    layoutManager.setLayout(mapsLayoutOf(nodes) if isForMaps else number)
    showStudyInViews(slicer.mrmlScene, nodes)
    layoutManager.resetSliceViews()
    centerOnLesions(slicer.mrmlScene, nodes)


def showTable(table):
    """Show a table in a layout that has a place for one; does nothing without a main window.

    :param table: vtkMRMLTableNode.
    """
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return
    registerWithApplication()
    if layoutManager.layout not in (MAPS, ASL_MAPS, ASL_FLOW, DECISION, DECISION_WITHOUT_CURVES, REGIONS_LAYOUT):
        layoutManager.setLayout(DECISION_WITHOUT_CURVES)
    showTableInView(slicer.mrmlScene, table)
