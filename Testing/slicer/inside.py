# SPDX-License-Identifier: Apache-2.0
"""What Testing/slicer/run.py lets a Slicer desktop do: self-tests, driven panels, pictures. It always ends Slicer.

The scripts that drive the panels are those of Testing/harness; here the application itself stands where the emulation stood.
"""

import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import qt
import slicer
import slicer.packaging

HARNESS = Path(__file__).resolve().parents[1] / "harness"
SCRIPTS = {"PerfusionSuite": "drive_suite", "PerfusionFit": "drive_fit", "CorePenumbra": "drive_segmentation"}


def pump(seconds=0.0, until=None):
    """Let the application work for a while, or until a condition holds; return whether it held."""
    end = time.monotonic() + seconds
    while True:
        slicer.app.processEvents()
        if until is not None and until():
            return True
        if time.monotonic() >= end:
            return until is None
        time.sleep(0.01)


def screenshot(module, path):
    """Keep a picture of the panel."""
    pump(0.2)
    module.widget.parent.grab().save(str(path))


def layoutPicture(path, width=0, height=0):
    """Keep a picture of all views."""
    slicer.util.forceRenderAllViews()
    pump(0.5)
    slicer.app.layoutManager().viewport().grab().save(str(path))


def decline(*names, **options):
    """Answer for the user whom Slicer would ask: a question would stop the test, and a test installs nothing."""
    raise RuntimeError("The test installs nothing.")


def selfTest(name):
    """Run the test that a module brings."""
    case = getattr(sys.modules[name], f"{name}Test")()
    case.setUp()
    case.runTest()
    case.tearDown()


def drive(name, pictures):
    """Drive a panel as a user would."""
    slicer.mrmlScene.Clear(0)
    slicer.util.selectModule(name)
    widget = slicer.util.getModuleWidget(name)
    desktop = SimpleNamespace(
        pump=pump, screenshot=screenshot, layoutPicture=layoutPicture, isEmulation=False,
        hasReport=find_spec("matplotlib") is not None and find_spec("jinja2") is not None,
    )  # fmt: skip
    names = {"slicer": slicer, "qt": qt, "desktop": desktop, "pictures": pictures}
    names |= {"module": SimpleNamespace(name=name, widget=widget), "widget": widget, "ui": widget.ui}
    script = HARNESS / f"{SCRIPTS[name]}.py"
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), names)


def main(pictures):
    """Run everything and return how many parts failed."""
    sys.path.insert(0, str(HARNESS))
    slicer.packaging.pip_ensure = decline
    failed = 0
    for name in SCRIPTS:
        for what, run in (("self-test", lambda name=name: selfTest(name)), ("panel", lambda name=name: drive(name, pictures))):
            try:
                run()
                print(f"passed: {name} {what}", flush=True)
            except Exception:  # noqa: BLE001  # one part that fails must not hide the others
                failed += 1
                traceback.print_exc()
                print(f"FAILED: {name} {what}", flush=True)
    return failed


if __name__ == "__main__":
    failures = 1
    try:
        failures = main(Path(sys.argv[-1]))
    finally:
        slicer.util.exit(int(failures > 0))
