# SPDX-License-Identifier: Apache-2.0
"""What ``make benchmark`` writes down can be shown to anybody."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def run_all(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("run_all", FOLDER / "run_all.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_all", module)  # its dataclass looks itself up
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "commit_id", lambda: "0123abcd")
    return module


def test_the_heading_names_commit_seeds_and_machine_but_no_host_and_no_path(run_all: Any) -> None:
    text = run_all.heading([2000, 3000])
    assert "0123abcd" in text
    assert "2000 3000" in text
    assert "cores" in text
    assert platform.node() not in text
    assert str(Path.home()) not in text


def test_places_of_files_are_left_out_and_units_are_not(run_all: Any) -> None:
    text = run_all.without_paths(f"{FOLDER}/x.py wrote /scratch/a.b-c/d/e.png: 3 mL/100g/min, 4/5 and build/x.png")
    assert text == "Testing/benchmarks/x.py wrote e.png: 3 mL/100g/min, 4/5 and build/x.png"


def test_every_script_that_is_there_is_run_and_the_study_is_last(run_all: Any, tmp_path: Path) -> None:
    names = [name for name, _ in run_all.commands(False, [2000], tmp_path)]
    assert {"phantom_checks", "deconvolution_speed", "chain_accuracy", "full_run"} <= set(names)
    assert names[-1] == "study"


def test_goals_are_gathered_with_the_script_they_come_from(run_all: Any) -> None:
    parts = ["## speed\n\ncsvd 1.2 goal 4: reached\nosvd 70 goal 60: MISSED\nnothing here", "## study\n\n| a | b | missed |"]
    assert run_all.verdicts(parts, ["motion"]).splitlines() == [
        "## Goals", "", "* speed: csvd 1.2 goal 4: reached", "* speed: osvd 70 goal 60: MISSED", "* motion: did not finish",
    ]  # fmt: skip
