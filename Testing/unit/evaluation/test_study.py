# SPDX-License-Identifier: Apache-2.0
"""The systematic study: its design, its growing table, and what it says about figures to reach."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import CancelledError, InvalidInputError, NumericalError, Study
from PerfusionSuiteLib.evaluation import Condition, Design, judge, one_at_a_time, run_study, write_study
from PerfusionSuiteLib.evaluation.row_file import append_rows, code_fingerprint, read_rows
from PerfusionSuiteLib.evaluation.summary import judged_rows, summarized

BASE = Condition(grid="small")


class Laboratory:
    """Hands out the same patient and study and remembers what was asked for."""

    def __init__(self, study: Study, truth: Any) -> None:
        self.study, self.truth = study, truth
        self.patients: list[tuple[str, int]] = []
        self.analyses: list[tuple[str, str, bool]] = []
        self.fails_at: Callable[[str], Exception | None] = lambda method: None

    def make(self, condition: Condition, seed: int, progress: Any) -> tuple[Any, Any]:
        progress(0.5, "made")
        self.patients.append((condition.name, seed))
        return self.study.series, self.truth

    def analyze(self, series: Any, noise_reduction: str, method: str, earlier: Any, progress: Any) -> Study:
        progress(0.5, "analyzed")
        if error := self.fails_at(method):
            raise error
        self.analyses.append((noise_reduction, method, earlier is not None))
        return self.study

    def run(self, design: Design, out: Path, **options: Any) -> list[dict[str, Any]]:
        return run_study(design, out, make_patient=self.make, analyze=self.analyze, **options)


@pytest.fixture
def laboratory(a_study: Study, a_truth: Any) -> Laboratory:
    return Laboratory(a_study, a_truth)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long and is not looked at."""
    monkeypatch.setattr("PerfusionSuiteLib.evaluation.report.writing._write_pictures", lambda *_: {})


def design_of(seeds: tuple[int, ...] = (3, 4), methods: tuple[str, ...] = ("csvd", "osvd"), **levels: Any) -> Design:
    return Design(one_at_a_time(BASE, levels), seeds, methods)


def test_one_factor_varies_at_a_time_and_the_reference_comes_first() -> None:
    conditions = one_at_a_time(BASE, {"noise_hu": [2.0, 4.0, 8.0], "residue": ["box"], "noise_reduction": ["none", ""]})
    assert conditions[0] == BASE
    assert len(conditions) == len(set(conditions)) == 5
    for condition in conditions[1:]:
        changed = [name for name in BASE.as_columns() if getattr(condition, name) != getattr(BASE, name)]
        assert len(changed) == 1
    assert conditions[1].noise_reduction == "none"  # of the same scan, so made together


def test_conditions_are_named_by_what_differs() -> None:
    assert Condition().name == "reference"
    assert replace(BASE, noise_hu=8.0).name == "grid small, noise 8 HU"
    assert Condition(frames=30, interval_s=2.0).name == "frames every 2 s, 30 frames"


def test_an_unknown_factor_or_grid_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no factor age"):
        one_at_a_time(BASE, {"age": [3]})
    with pytest.raises(InvalidInputError, match="no grid 'huge'"):
        Condition(grid="huge")
    with pytest.raises(InvalidInputError, match="at least one"):
        Design([BASE], [], ["csvd"])


def test_a_scan_is_made_once_for_all_methods_and_filters(laboratory: Laboratory, tmp_path: Path) -> None:
    laboratory.run(design_of(noise_reduction=["none"]), tmp_path)
    assert laboratory.patients == [("grid small", 3), ("grid small", 4)]
    assert laboratory.analyses[:4] == [("", "csvd", False), ("", "osvd", True), ("none", "csvd", True), ("none", "osvd", True)]


def test_a_second_call_makes_only_what_is_missing(laboratory: Laboratory, tmp_path: Path) -> None:
    first = laboratory.run(design_of(seeds=(3,), methods=("csvd",)), tmp_path)
    laboratory.patients.clear()
    assert laboratory.run(design_of(seeds=(3,), methods=("csvd",)), tmp_path) == first
    assert laboratory.patients == []
    rows = laboratory.run(design_of(seeds=(3, 5)), tmp_path)
    assert [entry[1] for entry in laboratory.patients] == [3, 5]
    assert rows[: len(first)] == first
    assert {(row["seed"], row["method"]) for row in rows} == {(3, "csvd"), (3, "osvd"), (5, "csvd"), (5, "osvd")}


def test_cancelling_keeps_what_is_finished(laboratory: Laboratory, tmp_path: Path) -> None:
    stop = CancelledError("stopped")
    laboratory.fails_at = lambda method: stop if method == "osvd" else None
    with pytest.raises(CancelledError):
        laboratory.run(design_of(), tmp_path)
    assert {(row["seed"], row["method"]) for row in read_rows(tmp_path / "rows.csv")} == {(3, "csvd")}
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.usefixtures("no_pictures")
def test_an_analysis_that_fails_is_a_result_and_the_others_go_on(laboratory: Laboratory, tmp_path: Path) -> None:
    laboratory.fails_at = lambda method: NumericalError("no") if method == "csvd" else None
    rows = laboratory.run(design_of(seeds=(3,)), tmp_path)
    assert [(row["method"], row["subject"], row["measure"]) for row in rows[:1]] == [("csvd", "failed", "NumericalError")]
    assert {row["method"] for row in rows[1:]} == {"osvd"}
    report = write_study(rows, design_of(seeds=(3,)), tmp_path, default_method="csvd")
    assert "NumericalError" in (tmp_path / "summary.md").read_text()
    assert "not measured" in report.text


def test_rows_of_other_code_are_not_mixed_in_unseen(laboratory: Laboratory, tmp_path: Path) -> None:
    rows = laboratory.run(design_of(seeds=(3,), methods=("csvd",)), tmp_path)
    (tmp_path / "rows.csv").unlink()
    append_rows(tmp_path / "rows.csv", [{**row, "code": "0123456789"} for row in rows])
    with pytest.raises(InvalidInputError, match=r"another version of the code \(0123456789; this one is " + code_fingerprint()):
        laboratory.run(design_of(), tmp_path)
    assert len(laboratory.run(design_of(), tmp_path, any_code=True)) > len(rows)


def test_a_foreign_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInputError, match="not a table of this study"):
        read_rows(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match=r"cannot be read|not a table"):
        read_rows(tmp_path / "rows.csv")


def row_of(seed: int, value: float, **others: Any) -> dict[str, Any]:
    facts = {"condition": BASE.name, **BASE.as_columns(), "seed": seed, "drawn_residue": "box", "method": "csvd"}
    return {**facts, "subject": "core", "region": "scored voxels", "measure": "dice", "value": value, "unit": "1", **others}


def truth_row(seed: int, value: float) -> dict[str, Any]:
    return row_of(seed, value, region="all voxels", measure="truth", unit="mL")


def test_dice_of_tiny_lesions_is_left_out_and_false_core_is_counted() -> None:
    rows = [
        row_of(1, 0.9), truth_row(1, 20.0), row_of(2, 0.1), truth_row(2, 4.9), row_of(3, 0.0), truth_row(3, 0.0),
        row_of(3, 2.5, region="all voxels", measure="volume", unit="mL"),
    ]  # fmt: skip
    judged = judged_rows(rows)
    assert [row["value"] for row in judged if row["measure"] == "dice"] == [0.9]
    assert [(row["seed"], row["value"]) for row in judged if row["measure"] == "false_volume"] == [(3, 2.5)]


def test_the_summary_holds_median_quartiles_and_extremes() -> None:
    rows = [row_of(seed, float(seed), measure="error") for seed in (1, 2, 3, 4, 9)]
    (entry,) = summarized(rows)
    assert (entry["patients"], entry["median"], entry["low"], entry["high"]) == (5, 3.0, 1.0, 9.0)
    assert (entry["quartile_low"], entry["quartile_high"]) == (2.0, 4.0)


@pytest.mark.parametrize(("values", "verdict"), [((0.86, 0.9, 0.2), "reached"), ((0.84, 0.9, 0.2), "missed")])
def test_a_figure_is_reached_or_missed_by_its_median(values: tuple[float, ...], verdict: str) -> None:
    rows = [row for seed, value in enumerate(values) for row in (row_of(seed, value), truth_row(seed, 20.0))]
    found = {row["what"]: row for row in judge(rows, BASE, default_method="csvd")}
    assert found["core Dice, cores of at least 5 mL, box"]["verdict"] == verdict
    assert found["core Dice, cores of at least 5 mL, exponential"]["verdict"] == "not measured"


def test_patients_made_with_a_family_go_before_those_that_drew_it() -> None:
    box = replace(BASE, residue="box")
    forced = {"condition": box.name, **box.as_columns()}
    rows = [row_of(1, 0.2), truth_row(1, 20.0), {**row_of(1, 0.95), **forced}, {**truth_row(1, 20.0), **forced}]
    found = {row["what"]: row for row in judge(rows, BASE, default_method="csvd")}
    assert found["core Dice, cores of at least 5 mL, box"]["value"] == 0.95


def test_false_core_is_judged_by_the_worst_patient_also_of_other_sites() -> None:
    none = replace(BASE, site="none")
    forced = {"condition": none.name, **none.as_columns()}
    rows = [truth_row(1, 0.0), row_of(1, 0.0, region="all voxels", measure="volume")]
    rows += [{**truth_row(2, 0.0), **forced}, {**row_of(2, 1.5, region="all voxels", measure="volume"), **forced}]
    found = {row["what"]: row for row in judge(rows, BASE, default_method="csvd")}
    entry = found["false core in patients without core"]
    assert (entry["value"], entry["patients"], entry["verdict"]) == (1.5, 2, "missed")


def test_everything_is_written_and_the_page_needs_no_other_file(laboratory: Laboratory, tmp_path: Path) -> None:
    design = design_of(noise_hu=[8.0], noise_reduction=["none"])
    rows = laboratory.run(design, tmp_path)
    found = write_study(rows, design, tmp_path, default_method="csvd")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "src=" not in page.replace('src="data:', "")
    assert "http" not in page
    assert "| csvd | " in (tmp_path / "summary.md").read_text()
    with (tmp_path / "summary.csv").open(newline="") as stream:
        assert {row["method"] for row in csv.DictReader(stream)} == {"csvd", "osvd"}
    assert all(path.is_file() for path in found.files)
    assert "false core" in found.text


@pytest.mark.usefixtures("no_pictures")
def test_figures_of_methods_that_nobody_asked_for_are_left_out(laboratory: Laboratory, tmp_path: Path) -> None:
    design = design_of(seeds=(3,))
    rows = laboratory.run(design, tmp_path)
    one = write_study(rows, design, tmp_path, default_method="spatial", numbers_method="csvd")
    told = [line for line in one.text.splitlines() if "to reach" in line]
    assert len(told) == 1
    assert told[0].startswith("CBF bias in normal tissue")
    none = write_study(rows, design, tmp_path, default_method="spatial", numbers_method="bayes")
    assert none.text == "The figures to reach are those of spatial and bayes, which --methods left out."
    assert "Figures to reach" not in (tmp_path / "summary.md").read_text()


@pytest.mark.usefixtures("no_pictures")
def test_rows_of_other_designs_stay_out_of_the_summary(laboratory: Laboratory, tmp_path: Path) -> None:
    laboratory.run(design_of(seeds=(3,), noise_hu=[8.0]), tmp_path)
    small = design_of(seeds=(3,), methods=("csvd",))
    write_study(laboratory.run(small, tmp_path), small, tmp_path, default_method="csvd")
    text = (tmp_path / "summary.md").read_text()
    assert "8 HU" not in text
    assert "osvd, " not in text.replace("method: csvd", "")


def test_histograms_count_every_scored_voxel(laboratory: Laboratory, tmp_path: Path, a_study: Study) -> None:
    laboratory.run(design_of(seeds=(3,), methods=("csvd",)), tmp_path)
    with np.load(tmp_path / "cases" / "histogram-3-csvd.npz") as stored:
        counts = stored["cbf"]
    assert counts.sum() == a_study.lesions.tissue.sum()
    assert counts.sum() == np.trace(counts)  # estimate and truth are equal here
