# SPDX-License-Identifier: Apache-2.0
"""Test the extension in a 3D Slicer desktop (5.12 or newer), with one command and any Python:

    python Testing/slicer/run.py /path/to/Slicer [FOLDER FOR PICTURES]

Slicer opens, the self-tests of the three modules run, the panels are driven on a digital patient as a user would, pictures of
panels and layouts are kept, and Slicer closes. Takes a few minutes; the exit code is 0 when everything passed.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("PerfusionSuite", "PerfusionFit", "CorePenumbra")


def command(slicer, pictures):
    """Return the command that starts Slicer with our modules and the tests."""
    options = ["--no-splash", "--ignore-slicerrc", "--additional-module-paths", *(str(ROOT / name) for name in MODULES)]
    return [slicer, *options, "--python-script", str(ROOT / "Testing" / "slicer" / "inside.py"), "--", str(pictures)]


def main():
    """Run Slicer and return its exit code."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 2
    pictures = Path(sys.argv[2] if len(sys.argv) > 2 else "slicer-test-pictures").resolve()
    pictures.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    code = subprocess.run(command(sys.argv[1], pictures), check=False, env=environment).returncode
    print(f"Pictures are in {pictures}. " + ("All tests passed." if code == 0 else f"Something failed (exit code {code})."))
    return code


if __name__ == "__main__":
    sys.exit(main())
