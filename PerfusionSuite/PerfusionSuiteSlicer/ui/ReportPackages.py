# SPDX-License-Identifier: Apache-2.0
"""Offers the packages that report and pictures need, which Slicer does not bring; without them maps and lesions still come."""

import logging
from importlib.util import find_spec

import slicer

PACKAGES = ("matplotlib", "jinja2")


def offerReportPackages(requester, further=()):
    """Ask once per session whether to install what is missing; does nothing without a main window or in test mode.

    :param requester: title of the module, shown in the question.
    :param further: names of further packages that the module can use.
    """
    missing = [name for name in (*PACKAGES, *further) if find_spec(name) is None]
    if not missing or offerReportPackages.wasAsked or slicer.util.mainWindow() is None or slicer.app.testingEnabled():
        return
    offerReportPackages.wasAsked = True
    try:
        slicer.packaging.pip_ensure(missing, requester=requester)
    except (RuntimeError, AttributeError) as error:  # declined, or a Slicer without slicer.packaging
        logging.getLogger(__name__).info("The report will be left out: %s", error)


offerReportPackages.wasAsked = False
