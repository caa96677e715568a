# SPDX-License-Identifier: Apache-2.0
"""Panels opened, driven and photographed in an emulation of the application.

PANEL_PICTURES names a folder to keep the pictures in; SLICER_SOURCE a Slicer source tree whose own Python files are then used.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULES = ("PerfusionSuite", "PerfusionFit", "CorePenumbra")
ENVIRONMENT = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}


@cache
def missing():
    """Return why panels cannot be opened here, or nothing."""
    code = "import slicer; from PySide6 import QtUiTools, QtWidgets"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


@pytest.fixture(autouse=True)
def needs_qt_and_slicer_core():
    if missing():
        pytest.skip(missing())


@pytest.mark.timeout(600)  # workers that load PyTorch take their time on a machine that does other things
@pytest.mark.parametrize(
    ("module", "script"),
    [
        ("PerfusionSuite", "drive_suite"),
        ("PerfusionSuite", "drive_asl"),
        ("PerfusionFit", "drive_fit"),
        ("PerfusionFit", "drive_regions"),
        ("PerfusionFit", "drive_asl_fit"),
        ("CorePenumbra", "drive_segmentation"),
    ],
)
def test_a_panel_can_be_driven(module, script, tmp_path):
    pictures = Path(os.environ.get("PANEL_PICTURES", tmp_path))
    files = [ROOT / name / f"{name}.py" for name in dict.fromkeys(("PerfusionSuite", module))]
    done = subprocess.run(
        [sys.executable, HERE / "run_module.py", *files, "--script", HERE / f"{script}.py", "--pictures", pictures],
        capture_output=True, text=True, check=False, timeout=560, env=ENVIRONMENT,
    )  # fmt: skip
    assert "driven" in done.stdout.splitlines(), done.stdout + done.stderr
    assert "Traceback" not in done.stderr  # an error in a slot ends nothing by itself
    assert len(list(pictures.glob(f"{module}-*.png"))) >= 2


@pytest.mark.parametrize("version", ["5.12", "main"])
def test_every_name_of_slicer_ctk_and_qt_exists(version):
    check = ROOT / "Testing" / "tools" / "slicer_api_check.py"
    done = subprocess.run(
        [sys.executable, check, "--facts", version, *(ROOT / name for name in (*MODULES, "Testing/slicer"))],
        capture_output=True, text=True, check=False, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("slicer.packaging.pip_ensure('numpy')", "the application does not load this module"),
        ("from slicer.packaging import pip_ensure; pip_ensure('numpy')", ""),
        ("slicer.util.noSuchFunction()", "no such name"),
    ],
)
def test_the_check_finds_what_slicer_has_not(line, complaint, tmp_path):
    (tmp_path / "Example.py").write_text(f"import slicer\n\n\ndef work():\n    {line}\n", encoding="utf-8")
    check = ROOT / "Testing" / "tools" / "slicer_api_check.py"
    done = subprocess.run([sys.executable, check, tmp_path], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert (done.returncode, complaint in done.stdout) == (1 if complaint else 0, True), done.stdout + done.stderr
