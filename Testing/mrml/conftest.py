# SPDX-License-Identifier: Apache-2.0
"""Scenes for the tests of nodes and pictures; they are skipped where slicer-core is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

HAS_SLICER = find_spec("slicer") is not None

# Modules that import slicer cannot even be collected without it.
collect_ignore_glob = [] if HAS_SLICER else ["test_*.py"]


def pytest_report_header():
    return None if HAS_SLICER else "Testing/mrml is left out: slicer-core is not installed"


@pytest.fixture(scope="session")
def application_scene():
    from PerfusionSuiteSlicer.headless.Runtime import startRuntime

    return startRuntime()


@pytest.fixture
def runtime(application_scene):
    from PerfusionSuiteSlicer.headless.Runtime import freshScene

    with freshScene() as fresh:
        yield fresh


@pytest.fixture
def scene(runtime):
    return runtime.scene
