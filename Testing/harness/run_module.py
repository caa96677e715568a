# SPDX-License-Identifier: Apache-2.0
"""Load scripted modules in the harness; run the last one's own test, a driving script, and take a picture.

    python Testing/harness/run_module.py PerfusionSuite/PerfusionSuite.py --script Testing/harness/drive_suite.py

The script sees `module`, `widget` (the Python widget class), `ui`, `slicer`, `qt`, `desktop` and `pictures`. With the variable
SLICER_SOURCE (a Slicer source tree) Slicer's own Python files are used instead of the small ones in ``base_classes``.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]


def main():
    parser = argparse.ArgumentParser(description="Load scripted modules without the Slicer application.")
    parser.add_argument("module", nargs="+", type=Path, help="module files; the last one is shown")
    parser.add_argument("--version", default="5.12", help="Slicer version whose names the stand-ins have")
    parser.add_argument("--test", action="store_true", help="run the module's own test")
    parser.add_argument("--script", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"))
    given = parser.parse_args()
    from slicer_api.command import read_facts
    from slicer_harness import desktop

    source = os.environ.get("SLICER_SOURCE")
    desktop.start(read_facts(given.version), HERE / "base_classes", Path(source) if source else None)
    import slicer

    modules = [desktop.ScriptedModule(path.resolve()) for path in given.module]
    for function in desktop.whenStarted:
        function()
    module = modules[-1]
    given.pictures.mkdir(parents=True, exist_ok=True)
    widget = module.enter()
    if given.script:
        names = {"slicer": slicer, "qt": desktop.qt, "desktop": desktop, "pictures": given.pictures}
        names |= {"module": module, "widget": widget, "ui": getattr(widget, "ui", None)}
        exec(compile(given.script.read_text(encoding="utf-8"), str(given.script), "exec"), names)
    if given.test:
        module.instance.runTest(msec=0)
    print("driven")


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except BaseException:  # noqa: BLE001  # the outer boundary
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # views and widgets need no orderly end
