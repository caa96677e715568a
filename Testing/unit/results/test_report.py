# SPDX-License-Identifier: Apache-2.0
"""The report stands alone, says what is missing, and cannot be broken by what it shows."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import evaluation, results
from PerfusionSuiteLib.core import Metrics, PerfusionMaps, QualityFinding, Source, Study
from PerfusionSuiteLib.results.template import shown
from PerfusionSuiteLib.results.truth import comparison_rows


class Page(HTMLParser):
    """Collects tags, visible text and what a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.hidden = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def report_of(study: Study, folder: Path, *, pictures: bool = False, findings: tuple[QualityFinding, ...] = ()) -> Page:
    results.write(study, folder, pictures=pictures, extra_findings=findings)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def with_numbers(study: Study, notes: dict[str, str] | None = None, **values: Any) -> Study:
    return replace(study, metrics=Metrics({**study.metrics.values, **values}, notes or {}))


def test_headline_numbers_are_those_of_the_metrics(a_study: Study, tmp_path: Path) -> None:
    text = report_of(a_study, tmp_path).text
    values = a_study.metrics.values
    assert f"Core {values['infarct_core_volume_ml']:.1f} mL" in text
    assert f"Hypoperfusion {values['hypoperfusion_volume_ml']:.1f} mL" in text
    assert f"Mismatch ratio {values['mismatch_ratio']:.2f}" in text
    assert "lesion in the left hemisphere" in text


def test_the_page_refers_to_nothing_outside(a_study: Study, tmp_path: Path) -> None:
    page = report_of(a_study, tmp_path, pictures=True)
    sources = [value for _, attributes in page.tags for key, value in attributes.items() if key in {"src", "href"}]
    assert len(sources) == 5
    assert all(value and value.startswith("data:image/png;base64,") for value in sources)
    assert not [tag for tag, _ in page.tags if tag in {"script", "link", "iframe"}]
    assert "url(" not in (tmp_path / "report.html").read_text()


def test_every_picture_has_an_alternative_text(a_study: Study, tmp_path: Path) -> None:
    page = report_of(a_study, tmp_path, pictures=True)
    assert all(len(attributes["alt"] or "") > 20 for tag, attributes in page.tags if tag == "img")
    assert page.tags[0] == ("html", {"lang": "en"})


def test_research_use_is_said_at_both_ends(a_study: Study, tmp_path: Path) -> None:
    assert report_of(a_study, tmp_path).text.count("Research software, not for clinical use") == 2


def test_markup_in_a_text_is_shown_not_run(a_study: Study, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    study = replace(a_study, series=replace(a_study.series, source=Source("array", evil)))
    page = report_of(study, tmp_path, findings=(QualityFinding("x", "warning", evil, evil),))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert "alert(1)" in page.text


def test_a_missing_number_says_why(a_study: Study, tmp_path: Path) -> None:
    text = report_of(with_numbers(a_study, {"mismatch_ratio": "There is no core."}, mismatch_ratio=None), tmp_path).text
    assert "Mismatch ratio not available There is no core." in text


def test_findings_come_with_severity_and_advice_and_the_worst_first(a_study: Study, tmp_path: Path) -> None:
    findings = (
        QualityFinding("a", "warning", "Late bolus.", "Scan longer."),
        QualityFinding("b", "error", "No artery.", "Draw one."),
    )
    text = report_of(a_study, tmp_path, findings=findings).text
    assert text.index("Error No artery. Draw one.") < text.index("Warning Late bolus. Scan longer.") < text.index("Note The AIF")


def test_a_scan_without_findings_and_lesion_says_so(a_study: Study, tmp_path: Path) -> None:
    none = a_study.lesions.core & False
    study = replace(a_study, findings=(), lesions=replace(a_study.lesions, hypoperfusion=none, core=none, penumbra=none))
    text = report_of(study, tmp_path).text
    assert "Nothing odd was found" in text
    assert "No hypoperfused tissue was found" in text
    assert "Pictures were not made." in text


def test_a_scan_without_vein_says_so(a_study: Study, tmp_path: Path) -> None:
    assert "not found" in report_of(replace(a_study, vof=None), tmp_path).text


def test_volumes_stand_beside_what_they_depend_on(a_study: Study, tmp_path: Path) -> None:
    volumes = {"tmax_gt_4": 60.0, "tmax_gt_6": 50.0, "tmax_gt_8": 20.0, "tmax_gt_10": 15.0, "cbf_lt_20": 5.0, "cbf_lt_30": 9.0}
    text = report_of(with_numbers(a_study, volumes_ml=volumes), tmp_path).text
    assert "Tmax above mL 4 s 60.0 6 s 50.0 8 s 20.0 10 s 15.0" in text
    assert "Relative CBF below mL 20 % 5.0 30 % 9.0" in text
    assert "These volumes rest on: method osvd; interval 1.5 s" in text
    assert "after scaling by 2.40" in text


def test_trial_criteria_are_named_with_their_numbers(a_study: Study, tmp_path: Path) -> None:
    limits = {"core_ml_below": 70, "ratio_at_least": 1.8}
    trials = {
        "DEFUSE 3": {"met": True, "limits": limits, "core_ml": 12.0, "ratio": None},
        "DAWN": {"met": None, "limits": None, "reason": "Age and NIHSS are needed."},
    }
    text = report_of(with_numbers(a_study, trials=trials), tmp_path).text
    assert "DEFUSE 3 met core 12.0 mL (< 70); ratio without limit (no core) (≥ 1.8)" in text
    assert "DAWN not assessable Age and NIHSS are needed." in text


def test_the_method_is_cited(a_study: Study, tmp_path: Path) -> None:
    assert "Wu O et al. Magn Reson Med 50:164 (2003)" in report_of(a_study, tmp_path).text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not available"), (float("nan"), "not available"), (0.0, "0"), (True, "yes"), (12.345, "12.3"), (1234.6, "1235"),
     (0.01234, "0.012"), ([1.0, 2.0], "1.00, 2.00"), ("osvd", "osvd"), (-3.21, "-3.21")],
)  # fmt: skip
def test_numbers_are_written_for_readers(value: Any, text: str) -> None:
    assert shown(value) == text


ROWS = [
    {"group": "Lesions", "quantity": "Core", "result": 21.25, "truth": 20.0, "error": 1.25, "unit": "mL", "note": "Dice 0.9"},
    {"group": "Maps", "quantity": "CBF <gray>", "result": None, "truth": 50.0, "error": None, "unit": "mL/100g/min"},
]


def test_a_comparison_with_the_truth_is_a_table_and_a_page(tmp_path: Path) -> None:
    table, page = results.write_truth_comparison(ROWS, tmp_path)
    assert table.read_text().splitlines() == [
        "group,quantity,result,truth,error,unit,note",
        "Lesions,Core,21.25,20.0,1.25,mL,Dice 0.9",
        "Maps,CBF <gray>,,50.0,,mL/100g/min,",
    ]
    text = Page(page.read_text()).text
    assert "Core 21.2 20.0 1.25 mL Dice 0.9" in text
    assert "CBF <gray> not available 50.0 not available" in text


def test_an_empty_comparison_says_so(tmp_path: Path) -> None:
    _, page = results.write_truth_comparison([], tmp_path)
    assert "nothing to compare" in page.read_text()


def test_scores_of_a_digital_patient_become_rows_of_result_and_truth(a_study: Study) -> None:
    maps = {key: item.values * 1.1 for key, item in a_study.maps.items() if key in {"cbf", "tmax"}}
    lesions = a_study.lesions
    truth = SimpleNamespace(
        maps={key: values / 1.1 for key, values in maps.items()},
        masks={"core": lesions.core, "hypoperfusion": lesions.hypoperfusion},
        fractions={}, aif=a_study.aif.values, times_s=a_study.aif.times_s, side="left", midplane=lesions.midplane,
    )  # fmt: skip
    study = replace(a_study, maps=PerfusionMaps.from_arrays(maps, a_study.maps.affine))
    rows = {row["quantity"]: row for row in comparison_rows(evaluation.score_study(study, truth))}
    core_ml = float(lesions.core.sum()) * 0.128
    assert rows["Core, volume"]["result"] == pytest.approx(core_ml)
    assert rows["Core, Dice overlap"]["result"] == 1.0
    cbf = rows["CBF, tissue"]
    expected = float(np.nanmean(truth.maps["cbf"][lesions.tissue]))
    assert (cbf["truth"], cbf["result"]) == (pytest.approx(expected, rel=1e-4), pytest.approx(1.1 * expected, rel=1e-4))
    assert rows["AIF, shift of the peak"]["result"] == 0.0
    assert rows["Affected side"]["result"] == "left"


def test_scores_can_be_written_as_they_come(a_study: Study, tmp_path: Path) -> None:
    scores = {"lesions": {"core": {"volume_ml": 2.0, "truth_ml": 3.0, "error_ml": -1.0, "dice": 0.8}}}
    _, page = results.write_truth_comparison(scores, tmp_path)
    assert "Core, volume 2.00 3.00 -1.00 mL" in Page(page.read_text()).text
