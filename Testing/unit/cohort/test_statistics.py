# SPDX-License-Identifier: Apache-2.0
"""The analysis of a cohort: the right cases, the right numbers, and what a reader must be told."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.cohort import Question, Table, analyze, read_table, write_analysis
from PerfusionSuiteLib.cohort.discrimination import holm
from PerfusionSuiteLib.cohort.wording import alike, between, measured, number, p_value
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.evaluation.delong import delong_interval
from PerfusionSuiteLib.evaluation.logistic import fit_logistic


def write_table(path: Path, columns: dict[str, Any]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def made_up(n: int = 80, seed: int = 1) -> dict[str, Any]:
    """Columns of a cohort: an index that rises with good collaterals, HIR that falls, noise, a sex, a site."""
    generator = np.random.default_rng(seed)
    good = np.arange(n) % 2 == 0
    index = np.round(0.65 + 0.15 * generator.normal(size=n) + 0.17 * good, 3)
    hir = np.round(np.clip(0.45 + 0.15 * generator.normal(size=n) - 0.1 * good, 0, 1), 3)
    return {
        "case_id": [f"case-{at:02d}" for at in range(n)],
        "grade": np.where(good, generator.integers(3, 5, n), generator.integers(0, 3, n)),
        "corrected_cbv_index": index,
        "hir": ["" if at % 20 == 7 else value for at, value in enumerate(hir)],
        "age": np.round(generator.normal(70, 10, n)),
        "sex": generator.choice(["female", "male"], n),
        "site": generator.choice(["ICA", "M1", "M2"], n, p=[0.2, 0.5, 0.3]),
    }


@pytest.fixture
def a_table(tmp_path: Path) -> Table:
    return read_table(write_table(tmp_path / "table.csv", made_up()))


@pytest.fixture
def a_question() -> Question:
    """The collaterals by three numbers, with few resamples: shapes and sums do not depend on their count."""
    return Question(
        "grade", ("corrected_cbv_index", "hir", "age"), positive=("3", "4"), describe=("sex", "site"),
        resamples=100, bootstraps=20, repeats=1,
    )  # fmt: skip


def table_of(tmp_path: Path, **changes: Any) -> Table:
    return read_table(write_table(tmp_path / "changed.csv", made_up() | changes))


def row_of(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_numbers_are_those_of_the_single_methods_on_the_complete_cases(a_table: Table, a_question: Question) -> None:
    found = analyze(a_table, a_question)
    columns = made_up()
    good = np.asarray(columns["grade"]) >= 3
    hir = np.array([np.nan if value == "" else float(value) for value in columns["hir"]])
    known = np.isfinite(hir)
    sure = delong_interval(hir[known], good[known], higher=False)
    row = row_of(found.roc, predictor="hir")
    assert (row["n"], row["auc"], row["delong_low"], row["delong_high"]) == (76, sure.auc, sure.low, sure.high)
    assert (row["direction"], row["direction_from"]) == ("lower", "medians")
    x = np.column_stack([columns["corrected_cbv_index"], hir, columns["age"]])[known]
    fit = fit_logistic(x, good[known], ["corrected_cbv_index", "hir", "age"])
    term = row_of(found.logistic, model="multivariable", term="hir")
    assert term["coefficient"] == pytest.approx(fit.coefficients[2])
    assert (term["n"], term["missing"], term["events_per_variable"]) == (76, 4, min(good[known].sum(), (~good[known]).sum()) / 3)
    assert row_of(found.logistic, model="corrected_cbv_index", term="corrected_cbv_index")["n"] == 80
    pair = row_of(found.comparisons, first="corrected_cbv_index", second="hir")
    assert pair["n"] == 76
    missing = [finding for finding in found.findings if finding.code == "missing_values"]
    assert [finding.message for finding in missing] == ["'HIR' is missing in 4 of 80 cases with an outcome."]


def test_published_cutoffs_stand_beside_the_optimized_one(a_table: Table, a_question: Question) -> None:
    found = analyze(a_table, replace(a_question, cutoffs={"age": (65.0,)}))
    chosen = [(row["predictor"], row["kind"], row["cutoff"]) for row in found.cutoffs if row["kind"] == "fixed"]
    index, hir = "corrected_cbv_index", "hir"
    assert chosen == [
        (index, "fixed", 0.70), (index, "fixed", 0.80), (index, "fixed", 0.90), (hir, "fixed", 0.22), (hir, "fixed", 0.40),
        ("age", "fixed", 65.0),
    ]  # fmt: skip
    columns = made_up()
    good, values = np.asarray(columns["grade"]) >= 3, np.asarray(columns["corrected_cbv_index"])
    row = row_of(found.cutoffs, predictor=index, cutoff=0.80)
    assert row["sensitivity"] == pytest.approx((values[good] >= 0.8).mean())
    assert row["specificity"] == pytest.approx((values[~good] < 0.8).mean())
    youden = [each for each in found.cutoffs if each["predictor"] == index]
    assert max(youden, key=lambda each: each["youden"])["kind"] == "Youden"


def test_a_known_direction_is_kept_even_when_the_data_speak_against_it(a_table: Table, a_question: Question) -> None:
    found = analyze(a_table, replace(a_question, directions={"corrected_cbv_index": "lower"}))
    row = row_of(found.roc, predictor="corrected_cbv_index")
    assert (row["direction"], row["direction_from"]) == ("lower", "given")
    assert row["auc"] < 0.5
    assert row["cv_auc_mean"] < 0.5


def test_categories_become_columns_against_the_most_frequent(a_table: Table, a_question: Question) -> None:
    found = analyze(a_table, replace(a_question, predictors=("corrected_cbv_index", "site", "sex"), describe=()))
    terms = [row["term"] for row in found.logistic if row["model"] == "multivariable"]
    assert terms == ["(intercept)", "corrected_cbv_index", "site = M2", "site = ICA", "sex = male"]
    assert [row["predictor"] for row in found.roc] == ["corrected_cbv_index", "sex", "multivariable"]
    (finding,) = [each for each in found.findings if each.code == "no_roc"]
    assert "more than two categories" in finding.message
    site = [row for row in found.descriptive if row["variable"] == "site"]
    assert sum(row["positive_count"] for row in site) == 40
    assert [row["p"] is None for row in site] == [False, True, True]


def test_separated_groups_are_fitted_with_the_penalty_and_said(tmp_path: Path, a_question: Question) -> None:
    grade = np.asarray(made_up()["grade"])
    table = table_of(tmp_path, perfect=np.where(grade >= 3, 10.0, 0.0) + np.arange(80) * 0.01)
    found = analyze(table, replace(a_question, predictors=("perfect",), describe=()))
    row = row_of(found.logistic, term="perfect")
    assert (row["estimation"], row["separation"]) == ("Firth", "complete")
    assert np.isfinite([row["odds_ratio"], row["profile_low"], row["profile_high"]]).all()
    assert {"separated", "perfect_area"} <= {each.code for each in found.findings}


def test_entangled_and_repeated_predictors_are_said(tmp_path: Path, a_question: Question) -> None:
    columns = made_up()
    nearly = np.asarray(columns["corrected_cbv_index"]) + 0.01 * np.sin(np.arange(80))
    table = table_of(tmp_path, nearly=nearly, same=2.0 * np.asarray(columns["age"]))
    found = analyze(table, replace(a_question, predictors=("corrected_cbv_index", "nearly")))
    assert "collinear" in {each.code for each in found.findings}
    found = analyze(table, replace(a_question, predictors=("age", "same"), describe=()))
    (finding,) = [each for each in found.findings if each.code == "no_model"]
    assert "'same' follows from the predictors before it" in finding.message
    assert [row["model"] for row in found.logistic] == ["age", "age", "same", "same"]


def test_small_classes_are_warned_about_and_tiny_ones_refused(tmp_path: Path, a_question: Question) -> None:
    grade = np.where(np.arange(80) < 24, 4, 1)
    found = analyze(table_of(tmp_path, grade=grade), replace(a_question, positive=("4",)))
    assert {"small_cohort", "few_events"} <= {each.code for each in found.findings}
    tiny = table_of(tmp_path, grade=np.where(np.arange(80) < 9, 4, 1))
    with pytest.raises(InvalidInputError, match="Only 9 cases are positive in 'grade'"):
        analyze(tiny, replace(a_question, positive=("4",)))


@pytest.mark.parametrize(
    ("values", "yes"), [(["1", "0"], "1"), (["TRUE", "FALSE"], "TRUE"), (["yes", "no"], "yes"), (["1.0", "0.0"], "1")]
)
def test_obvious_outcomes_need_no_explanation(tmp_path: Path, a_question: Question, values: list[str], yes: str) -> None:
    outcome = np.where(np.arange(80) % 2 == 0, *values)
    found = analyze(table_of(tmp_path, grade=outcome), replace(a_question, predictors=("age",), positive=(), describe=()))
    assert found.outcome.positive_name == yes
    assert found.outcome.positive.sum() == 40


def test_grades_are_found_when_they_were_written_as_decimals(tmp_path: Path, a_question: Question) -> None:
    grade = [f"{value:.1f}" if at % 9 else "" for at, value in enumerate(made_up()["grade"])]
    found = analyze(table_of(tmp_path, grade=grade), replace(a_question, predictors=("age",), describe=()))
    assert (found.outcome.positive_name, found.outcome.negative_name) == ("3–4", "0–2")
    assert int((~found.outcome.known).sum()) == grade.count("")


def test_no_prolonged_venous_transit_is_a_finding_and_not_a_missing_value(tmp_path: Path, a_question: Question) -> None:
    status = np.where(np.arange(80) % 3 == 0, "none", np.where(np.arange(80) % 3 == 1, "sss", "None"))
    found = analyze(table_of(tmp_path, pvt=status), replace(a_question, predictors=("pvt",), describe=()))
    assert {row["level"]: row["everybody_count"] for row in found.descriptive} == {"none": 27, "sss": 27}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positive": ()}, "is not clear; they are 0, 1, 2, 3, 4. Name them with --positive"),
        ({"positive": ("5",)}, "never is '5'"),
        ({"predictors": ("cbv",)}, "no column 'cbv'.*for example corrected_cbv_index"),
        ({"outcome": "mrs"}, "no column 'mrs'"),
    ],
)
def test_questions_that_the_table_cannot_answer(
    a_table: Table, a_question: Question, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        analyze(a_table, replace(a_question, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictors": ()}, "No predictors"),
        ({"predictors": ("age", "age")}, "named twice"),
        ({"predictors": ("grade",)}, "is the outcome itself"),
        ({"model": ("volume",)}, "not among the predictors"),
        ({"directions": {"age": "up"}}, "'higher' or 'lower'"),
        ({"steps": {"age": 0.0}}, "above 0"),
        ({"level": 1.0}, "confidence"),
        ({"repeats": 0}, "too few"),
    ],
)
def test_impossible_choices_are_refused(a_question: Question, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        replace(a_question, **changes)


def test_standardized_odds_ratios_are_per_standard_deviation(a_table: Table, a_question: Question) -> None:
    question = replace(a_question, predictors=("corrected_cbv_index", "age"), describe=())
    plain = row_of(analyze(a_table, question).logistic, model="age", term="age")
    scaled = row_of(analyze(a_table, replace(question, standardize=True)).logistic, model="age", term="age")
    deviation = np.std(made_up()["age"], ddof=1)
    assert scaled["coefficient"] == pytest.approx(plain["coefficient"] * deviation)
    assert (scaled["per"], plain["per"]) == ("SD", "unit")


def test_equal_seeds_give_equal_files(a_table: Table, a_question: Question, tmp_path: Path) -> None:
    question = replace(a_question, predictors=("corrected_cbv_index",), describe=())
    for name in ("first", "second"):
        write_analysis(analyze(a_table, question), tmp_path / name)
    for name in ("roc.csv", "calibration.csv", "tables.md", "settings.json", "roc.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


class TestCommand:
    @pytest.fixture
    def words(self, tmp_path: Path) -> list[str]:
        table = write_table(tmp_path / "summary.csv", made_up())
        return [
            "statistics", str(table), str(tmp_path / "out"), "--outcome", "grade", "--positive", "3", "4",
            "--predictors", "corrected_cbv_index", "hir", "--describe", "sex", "--per", "hir=0.1", "--labels", "grade=ASITN/SIR",
            "--resamples", "100", "--bootstraps", "20", "--repeats", "1",
        ]  # fmt: skip

    def test_all_files_are_written_and_agree(self, words: list[str], tmp_path: Path, capsys: Any) -> None:
        assert main(words) == 0
        out = tmp_path / "out"
        assert {path.name for path in out.iterdir()} == {
            "descriptive.csv", "roc.csv", "roc_curves.csv", "comparisons.csv", "cutoffs.csv", "logistic.csv", "calibration.csv",
            "calibration_curves.csv", "roc.png", "calibration.png", "tables.md", "settings.json",
        }  # fmt: skip
        said = capsys.readouterr().out
        assert "ASITN/SIR = 3–4: 40 cases, against 0–2: 40" in said
        with (out / "roc.csv").open(encoding="utf-8") as stream:
            row = next(csv.DictReader(stream))
        text = (out / "tables.md").read_text(encoding="utf-8")
        assert f"| Corrected CBV index | higher | 80 (40/40) | {float(row['auc']):.3f} [" in text
        assert "HIR (per 0.1)" in text
        settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
        assert settings["question"]["seed"] == 1
        assert settings["cutoffs_used"] == {"corrected_cbv_index": [0.7, 0.8, 0.9], "hir": [0.22, 0.4]}
        assert str(tmp_path) not in json.dumps(settings) + text
        assert "case-0" not in json.dumps(settings) + text

    def test_every_table_of_the_supplement_has_as_many_cells_as_columns(self, words: list[str], tmp_path: Path) -> None:
        assert main([*words, "--labels", "hir=HIR | severe", "grade=ASITN/SIR"]) == 0
        text = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
        for block in text.split("\n\n"):
            if block.startswith("|"):
                counts = {line.replace("\\|", "").count("|") for line in block.splitlines()}
                assert len(counts) == 1

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--cutoffs", "hir:0.4"], "'hir:0.4' after --cutoffs is not understood"),
            (["--cutoffs", "hir=a"], "is not understood"),
            (["--positive", "9"], "never is '9'"),
            (["--penalty", "ridge"], "invalid choice"),
        ],
    )
    def test_wrong_words_end_with_one_sentence(self, words: list[str], more: list[str], message: str, capsys: Any) -> None:
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err

    def test_a_cancelled_analysis_leaves_nothing(self, a_table: Table, a_question: Question, tmp_path: Path) -> None:
        def stop(fraction: float, stage: str) -> None:
            if fraction > 0.5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            analyze(a_table, a_question, progress=stop)
        assert not (tmp_path / "out").exists()


def test_the_command_line_starts_without_statsmodels_and_matplotlib() -> None:
    code = "import sys, PerfusionSuiteLib.cli.main; print({'statsmodels', 'matplotlib', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_numbers_are_worded_as_in_a_paper() -> None:
    assert (number(-0.0312, 2), number(-0.001, 2), number(None), number(123456.0)) == ("−0.03", "−0.001", "–", "1.23e5")
    assert (between(0.75, 0.9), between(-0.1, 0.2)) == ("[0.75–0.90]", "[−0.10 to 0.20]")
    assert (p_value(0.0004), p_value(0.0123), p_value(None)) == ("< 0.001", "0.012", "–")
    assert (measured(0.7361), measured(68.5), measured(12.345), alike(13.8, 7.88, 23.6)) == (
        "0.736", "68.5", "12.3", "13.8 [7.9–23.6]",
    )  # fmt: skip
