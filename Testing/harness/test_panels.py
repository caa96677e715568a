# SPDX-License-Identifier: Apache-2.0
"""Each panel is opened, driven as a user would, and photographed, in an emulation of the desktop.

Needs PySide6 and three things that are not part of this repository, named by environment variables:
PANEL_HARNESS (folder of the emulation, with run_module.py), PANEL_FACTS (API facts of a Slicer version) and
SLICER_SOURCE (a Slicer source tree, for its own Python files).
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NEEDED = ("PANEL_HARNESS", "PANEL_FACTS", "SLICER_SOURCE")

pytestmark = pytest.mark.skipif(
    find_spec("PySide6") is None or any(name not in os.environ for name in NEEDED),
    reason=f"needs PySide6 and the variables {', '.join(NEEDED)}",
)


@pytest.mark.parametrize(
    ("module", "script"),
    [("PerfusionSuite", "drive_jobs"), ("PerfusionFit", "drive_jobs"), ("CorePenumbra", "drive_segmentation")],
)
def test_a_panel_can_be_driven(module, script, tmp_path):
    pictures = Path(os.environ.get("PANEL_PICTURES", tmp_path))
    modules = [ROOT / name / f"{name}.py" for name in dict.fromkeys(("PerfusionSuite", module))]
    harness = Path(os.environ["PANEL_HARNESS"])
    done = subprocess.run(
        [
            sys.executable, harness / "run_module.py", *modules,
            "--facts", os.environ["PANEL_FACTS"],
            "--slicer-python", Path(os.environ["SLICER_SOURCE"], "Base", "Python"),
            "--script", HERE / f"{script}.py",
            "--screenshot", pictures / "last",
        ],
        capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert "driven" in done.stdout.splitlines(), done.stdout + done.stderr
    assert len(list(pictures.glob(f"{module}-*.png"))) >= 2
