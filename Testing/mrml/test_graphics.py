# SPDX-License-Identifier: Apache-2.0
"""On a machine that cannot draw, the scene is written and pictures are left out with a finding; nothing crashes."""

import json
import os
import subprocess
import sys

import pytest

from PerfusionSuiteLib.cli.study_writing import scene_writer, write_study

pytestmark = pytest.mark.mrml


def test_a_machine_without_opengl_is_noticed_rather_than_crashed():
    code = "from PerfusionSuiteSlicer.headless.GraphicsCheck import canDraw; print(canDraw())"
    broken = {**os.environ, "VTK_DEFAULT_OPENGL_WINDOW": "bogus"}
    done = subprocess.run([sys.executable, "-c", code], env=broken, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert done.stdout.strip() == "False"


def test_without_drawing_the_scene_is_complete_and_the_lack_is_told(a_study, tmp_path, monkeypatch):
    monkeypatch.setattr("PerfusionSuiteSlicer.mrml.writers.canDraw", lambda: False)
    files = {str(path) for path in write_study(a_study, tmp_path / "out", writer=scene_writer())}
    assert "scene.mrb" in files
    assert not any("slicer_" in name for name in files)
    assert "no_slice_pictures" in json.loads((tmp_path / "out" / "metrics.json").read_text())["quality"]["flags"]
