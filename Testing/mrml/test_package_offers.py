# SPDX-License-Identifier: Apache-2.0
"""Packages that Slicer does not bring are offered, not forced: a run goes on when they cannot be had."""

import sys
from subprocess import CalledProcessError
from types import ModuleType, SimpleNamespace

import pytest
import slicer

from PerfusionSuiteSlicer.ui import ReportPackages

pytestmark = pytest.mark.mrml


@pytest.fixture
def offers(monkeypatch):
    """What Slicer is asked to install, and what comes of it: slicer.packaging is a module that Slicer loads for nobody."""
    seen = SimpleNamespace(asked=[], error=None)

    def pip_ensure(names, requester):
        seen.asked.append((tuple(names), requester))
        if seen.error is not None:
            raise seen.error

    packaging = ModuleType("slicer.packaging")
    packaging.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "app", SimpleNamespace(testingEnabled=lambda: False), raising=False)
    monkeypatch.setattr(slicer.util, "mainWindow", object)
    monkeypatch.setattr(ReportPackages, "_asked", set())
    return seen


def test_what_is_missing_is_offered_once(offers):
    for _ in range(2):
        ReportPackages.offerPackages("Perfusion Suite", ("numpy", "no_such_package"))
    assert offers.asked == [(("no_such_package",), "Perfusion Suite")]


@pytest.mark.parametrize("error", [RuntimeError("User declined package installation"), CalledProcessError(1, "pip")])
def test_a_run_goes_on_without_what_was_declined_or_could_not_be_installed(offers, error):
    offers.error = error
    ReportPackages.offerPackages("Perfusion Suite", ("no_such_package",))
    assert len(offers.asked) == 1


def test_nothing_is_asked_without_a_main_window(offers, monkeypatch):
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    ReportPackages.offerPackages("Perfusion Suite", ("no_such_package",))
    assert offers.asked == []
