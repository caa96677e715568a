# SPDX-License-Identifier: Apache-2.0
"""The script for Slicer without a window: it always ends the application, with the right code."""

import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "PerfusionSuite" / "Scripts" / "batch.py"


class Application(types.ModuleType):
    """Stands in for the module `slicer` inside of the application."""

    def __init__(self):
        super().__init__("slicer")
        self.codes = []
        self.app = types.SimpleNamespace(exit=self.codes.append)
        self.util = types.SimpleNamespace(exit=self.codes.append)


def in_slicer(monkeypatch, *words):
    """Run the script as Slicer does and return the codes that the application was ended with."""
    slicer = Application()
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return slicer.codes


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("methods",), 0),
        (("--", "methods"), 0),
        (("run", "/nowhere/at/all", "out"), 2),
        (("dance",), 2),
        ((), 2),
        (("--version",), 0),
    ],
)
def test_slicer_is_ended_once_with_the_code_of_the_command_line(words, code, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert in_slicer(monkeypatch, *words) == [code]
    assert capsys.readouterr()


def test_slicer_is_ended_when_the_library_is_broken(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "PerfusionSuiteLib.cli.main", None)  # an import of it fails
    assert in_slicer(monkeypatch, "methods") == [1]
    assert "ModuleNotFoundError" in capsys.readouterr().err


def test_an_interruption_ends_slicer_too(monkeypatch, capsys):
    broken = types.ModuleType("PerfusionSuiteLib.cli.main")

    def main(words):
        raise KeyboardInterrupt

    broken.main = main
    monkeypatch.setitem(sys.modules, "PerfusionSuiteLib.cli.main", broken)
    assert in_slicer(monkeypatch, "methods") == [1]


def test_without_slicer_the_script_is_the_command_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), "run", str(tmp_path / "none"), str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("perfusion-suite: ")
