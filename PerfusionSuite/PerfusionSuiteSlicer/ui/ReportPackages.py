# SPDX-License-Identifier: Apache-2.0
"""Offers packages that Slicer does not bring: for report and pictures, without which maps and lesions still come, and others."""

import logging
from importlib.util import find_spec
from subprocess import CalledProcessError

import slicer

PACKAGES = ("matplotlib", "jinja2")


def offerReportPackages(requester, further=()):
    """Ask once per session whether to install what is missing; does nothing without a main window or in test mode.

    :param requester: title of the module, shown in the question.
    :param further: names of further packages that the module can use.
    """
    offerPackages(requester, (*PACKAGES, *further))


def offerPackages(requester, names):
    """Ask, for each package once per session, whether to install what is missing; see offerReportPackages().

    :param requester: title of the module, shown in the question.
    :param names: names of the packages.
    """
    missing = [name for name in names if find_spec(name) is None and name not in _asked]
    if not missing or slicer.util.mainWindow() is None or slicer.app.testingEnabled():
        return
    _asked.update(missing)
    try:
        from slicer.packaging import pip_ensure  # Slicer does not load it by itself

        pip_ensure(missing, requester=requester)
    except (RuntimeError, CalledProcessError, ImportError) as error:  # declined, no network, a Slicer without slicer.packaging
        logging.getLogger(__name__).info("Packages are missing (%s): %s", ", ".join(missing), error)


_asked = set()
"""Packages that the user was asked about."""
