# SPDX-License-Identifier: Apache-2.0
"""Scenes for the tests of nodes and pictures; they are skipped where slicer-core is not installed."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")

from PerfusionSuiteSlicer.headless.Runtime import freshScene, startRuntime


@pytest.fixture(scope="session")
def application_scene():
    return startRuntime()


@pytest.fixture
def runtime(application_scene):
    with freshScene() as fresh:
        yield fresh


@pytest.fixture
def scene(runtime):
    return runtime.scene
