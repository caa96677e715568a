# SPDX-License-Identifier: Apache-2.0
"""The comparison of fits: rows that grow, methods that fail, tables and pictures, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.cli.evaluate_neural import fill_in
from PerfusionSuiteLib.cli.main import build_parser, main
from PerfusionSuiteLib.core import CancelledError, InvalidInputError
from PerfusionSuiteLib.evaluation import neural_study
from PerfusionSuiteLib.evaluation.neural_estimate import Estimator, estimate, estimator
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition
from PerfusionSuiteLib.evaluation.neural_study import COLUMNS, FieldDesign, read_slice, run_field_study
from PerfusionSuiteLib.evaluation.report.neural_writing import write_field_study
from PerfusionSuiteLib.evaluation.row_file import FAILED, append_rows, read_rows

CONDITIONS = (FieldCondition("tiles", "box", 0.0), FieldCondition("tiles", "box", 3.0))


def make(condition: FieldCondition, seed: int, progress: Any) -> tuple[Any, Any]:
    return phantom.tiles(seed=seed, noise_hu=condition.noise_hu, residue=condition.family, tile_px=6, cbvs=(4.0,))


def design(*methods: str, seeds: tuple[int, ...] = (1,)) -> FieldDesign:
    return FieldDesign(CONDITIONS, seeds, [estimator(name) for name in methods])


def test_a_second_call_makes_only_what_is_missing(tmp_path: Path) -> None:
    asked = []

    def counted(condition: FieldCondition, seed: int, progress: Any) -> tuple[Any, Any]:
        asked.append((condition.name, seed))
        return make(condition, seed, progress)

    first = run_field_study(design("csvd"), tmp_path, make_phantom=counted)
    assert len(asked) == 2
    again = run_field_study(design("csvd"), tmp_path, make_phantom=counted)
    assert len(asked) == 2 and again == first
    more = run_field_study(design("csvd", "osvd"), tmp_path, make_phantom=counted)
    assert len(asked) == 4 and {row["method"] for row in more} == {"csvd", "osvd"}


def test_a_method_that_fails_loses_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sometimes(how: Estimator, *rest: Any, **options: Any) -> Any:
        if how.name == "nlr":
            raise RuntimeError("the graphics card is on fire")
        return estimate(how, *rest, **options)

    monkeypatch.setattr(neural_study, "estimate", sometimes)
    rows = run_field_study(design("nlr", "csvd"), tmp_path, make_phantom=make)
    failed = [row for row in rows if row["subject"] == FAILED]
    assert {(row["method"], row["measure"]) for row in failed} == {("nlr", "RuntimeError")}
    assert any(row["method"] == "csvd" and row["measure"] == "rmse" for row in rows)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write_field_study(rows, design("nlr", "csvd"), tmp_path)
    assert "the graphics card is on fire" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    monkeypatch.setattr(neural_study, "estimate", estimate)
    again = run_field_study(design("nlr", "csvd"), tmp_path, make_phantom=make)
    assert {row["method"] for row in again} == {"nlr", "csvd"} and not any(row["subject"] == FAILED for row in again)


def test_a_stop_keeps_what_is_finished(tmp_path: Path) -> None:
    def impatient(fraction: float, stage: str) -> None:
        if fraction > 0.55:
            raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        run_field_study(design("csvd"), tmp_path, make_phantom=make, progress=impatient)
    kept = read_rows(tmp_path / "rows.csv", COLUMNS)
    assert {row["condition"] for row in kept} == {CONDITIONS[0].name}


def test_rows_of_other_code_are_not_mixed_in(tmp_path: Path) -> None:
    append_rows(tmp_path / "rows.csv", [{"condition": "x", "noise_hu": 1.0, "gaussian_px": 0.0, "seed": 1, "value": 1.0, "code": "old"}], COLUMNS)  # fmt: skip  # noqa: E501
    with pytest.raises(InvalidInputError, match="another version of the code"):
        run_field_study(design("csvd"), tmp_path, make_phantom=make)


def test_a_design_needs_different_methods() -> None:
    with pytest.raises(InvalidInputError, match="contain one twice"):
        design("csvd", "csvd")
    with pytest.raises(InvalidInputError, match="at least one"):
        FieldDesign((), (1,), (estimator("csvd"),))


def test_the_command_writes_tables_pictures_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["evaluate", "neural", str(out), "--methods", "nlr", "csvd", "--phantom", "tiles", "--noise", "2", "--tile-px", "6"]
    assert main([*words, "--tile-cbv", "3", "4", "--seeds", "1", "2"]) == 0
    assert "report.html" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    pictures = {"noise-tiles-box.png", "coverage.png", "maps-tiles-box-2hu.png", "errors-tiles-box-2hu.png"}
    assert names == {"rows.csv", "summary.md", "report.html", "slices"} | pictures
    table = (out / "summary.md").read_text(encoding="utf-8")
    assert "## Errors: tiles, box, 2 HU" in table and "| CBF, nlr |" in table and "| tiles, box, 2 HU: csvd |" in table
    kept = read_slice(out, FieldCondition("tiles", "box", 2.0), "nlr")
    assert kept is not None and set(kept) == {"cbf", "cbv", "mtt", "delay", "tmax", "mask"}


def test_quick_means_small_phantoms_and_few_steps_of_the_published_methods() -> None:
    options = build_parser().parse_args(["evaluate", "neural", "out", "--quick", "--methods", "sppinn", "nlr", "--tile-px", "8"])
    fill_in(options)
    assert options.methods == ["sppinn{steps=100}", "nlr"]
    assert options.phantom == ("tiles",)
    assert (options.tile_px, options.tile_cbv, options.brain_slices) == (8, (4.0,), 4)
    whole = build_parser().parse_args(["evaluate", "neural", "out"])
    fill_in(whole)
    assert whole.phantom == ("tiles", "crop")
    assert (whole.tile_px, whole.tile_cbv, whole.brain_slices) == (32, (1.0, 2.0, 3.0, 4.0, 5.0), 32)


def test_the_command_does_not_call_it_done_when_nothing_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "neural", str(tmp_path), "--phantom", "tiles", "--noise", "4", "--tile-px", "4", "--tile-cbv", "3"]
    assert main([*words, "--methods", "resppinn{steps=a}"]) == 2
    assert "No method could be measured. The first one, resppinn{steps=a}" in capsys.readouterr().err
    assert main([*words, "--methods", "resppinn{steps=a}", "csvd"]) == 0
    assert "1 could not be measured and are named in the report" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["evaluate", "neural", out, "--methods", "magic"]) == 2
    assert "no method 'magic'" in capsys.readouterr().err
    assert main(["evaluate", "neural", out, "--methods", "csvd", "--tile-px", "2"]) == 2
    assert "at least 4 pixels" in capsys.readouterr().err
