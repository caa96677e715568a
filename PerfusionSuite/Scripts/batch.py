# SPDX-License-Identifier: Apache-2.0
"""The command line inside of Slicer, without a window:

Slicer --no-splash --no-main-window --python-script batch.py -- run IN OUT

takes the words of ``perfusion-suite``, for example ``run IN OUT --mrb``, and always ends the application, with the
exit code of the command line.
"""

import sys
import traceback
from pathlib import Path

UNEXPECTED = 1


def runCommandLine(words):
    """Run the library's command line and return its exit code, whatever happens.

    :param words: what stands behind ``--``.
    """
    try:
        # Slicer has put the modules' folders on the path; a script of a checkout may run without the extension.
        folder = str(Path(__file__).resolve().parents[1])
        if folder not in sys.path:
            sys.path.insert(0, folder)
        from PerfusionSuiteLib.cli import study_writing
        from PerfusionSuiteLib.cli.main import main

        study_writing.WRITERS["mrb"] = writeScene
        return main(words)
    except SystemExit as end:  # --help and --version
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (Exception, KeyboardInterrupt):  # noqa: BLE001  # outermost boundary: a windowless Slicer must not stay
        traceback.print_exc()
        return UNEXPECTED


def writeScene(*arguments, **options):
    """Write a scene, as PerfusionSuiteSlicer.mrml.writers.writeScene: Slicer's Python knows no entry points of the extension."""
    from PerfusionSuiteSlicer.mrml.writers import writeScene as write

    return write(*arguments, **options)


def main():
    """Run the words of the command line and end Slicer, or this Python, with the exit code."""
    code = UNEXPECTED
    try:
        words = sys.argv[1:]
        code = runCommandLine(words[1:] if words[:1] == ["--"] else words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        endApplication(code)


def endApplication(code):
    """End Slicer in order; without the application, end Python.

    :param code: exit code.
    """
    slicer = sys.modules.get("slicer")
    if hasattr(getattr(slicer, "app", None), "exit"):
        slicer.util.exit(code)
    else:
        sys.exit(code)


if __name__ == "__main__":
    main()
