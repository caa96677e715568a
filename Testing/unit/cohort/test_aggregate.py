# SPDX-License-Identifier: Apache-2.0
"""Metrics of many cases in one table, whoever wrote them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.cohort import aggregate, merge_outcomes, read_table
from PerfusionSuiteLib.core import InvalidInputError

OURS: dict[str, Any] = {
    "schema": "perfusion-suite/metrics/1",
    "case_id": "inside the file",
    "input": {"voxel_mm": [0.9, 0.9, 6.0]},
    "hir": 0.31,
    "corrected_cbv_index": 0.84,
    "prr_percent": None,
    "pvt": {"status": "both", "assessable": True},
    "slice_statistics": [{"slice": 0, "core_cm2": 1.5}, {"slice": 1, "core_cm2": 0.5}],
    "warnings": [],
}
METRICS_PROGRAM = {
    "hypoperfusion_volume_voxels": 200, "infarct_core_volume_voxels": 80, "mismatch_ratio": 2.5, "prr_percent": 60.0,
    "hir": 0.4, "pvt": {"vof_ttp": 18.0, "aif_ttp": 12.0, "transit_time": 6.0, "is_prolonged": True},
}  # fmt: skip
COLOR_MAPS = {
    "patient_info": {"dicom_dir": "/archive/Doe^Jane", "patient_name": "Doe^Jane"},
    "tmax_metadata": {"series_description": "Doe TMAXD", "slices": 33},
    "metrics": {"hypoperfusion_volume_ml": 63.4, "hir": 0.2, "thresholds": {"tmax_hypoperfusion_sec": 6.0}},
}
README = {"Corrected_CBV_Index": 0.72, "HIR": 0.21, "hypoperfusion_vox": 87412, "core_vox": 46213, "penumbra_vox": 41199}


def put(folder: Path, content: Any, name: str = "metrics.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    put(root / "a", OURS)
    put(root / "b", OURS | {"schema": "perfusion-suite/metrics/0", "mtt_core_s": 9.5, "hir": None})
    put(root / "c", METRICS_PROGRAM)
    put(root / "d", COLOR_MAPS, "perfusion_metrics.json")
    put(root / "e", README)
    put(root / "f", '{"hir": ')
    put(root / "g", "[1, 2]")
    put(root / ".hidden", OURS)
    return root


def test_every_layout_becomes_a_row_and_unreadable_files_are_told(cases: Path) -> None:
    found = aggregate(cases)
    rows = {row["case_id"]: row for row in found.rows}
    assert list(rows) == ["a", "b", "c", "d", "e"]
    assert rows["a"]["pvt.status"] == "both"
    assert rows["a"]["input.voxel_mm.2"] == 6.0
    assert rows["c"]["pvt.transit_time"] == 6.0
    assert rows["d"]["metrics.thresholds.tmax_hypoperfusion_sec"] == 6.0
    assert rows["e"]["Corrected_CBV_Index"] == 0.72
    assert [row["layout"].split()[-1] for row in found.rows[2:]] == ["metrics", "maps", "README"]
    assert dict(found.skipped) == {"f/metrics.json": "not JSON (line 1)", "g/metrics.json": "holds no metrics"}


def test_columns_are_united_in_a_stable_order(cases: Path) -> None:
    columns = aggregate(cases).columns
    assert columns[:2] == ("case_id", "layout")
    assert len(set(columns)) == len(columns)
    own = [name for name in columns if name in {"schema", "hir", "corrected_cbv_index", "prr_percent", "pvt.status", "warnings"}]
    assert own == ["schema", "hir", "corrected_cbv_index", "prr_percent", "pvt.status", "warnings"]
    assert aggregate(cases).columns == columns
    assert set().union(*(row.keys() for row in aggregate(cases).rows)) == set(columns)


def test_nothing_that_names_a_patient_is_copied(cases: Path) -> None:
    put(cases / "h", OURS | {"note": "kept as /data/Doe_Jane/series.dcm", "uid": "1.2.840.113619.2.55.3"})
    found = aggregate(cases)
    assert set(found.withheld) == {
        "patient_info.dicom_dir", "patient_info.patient_name", "tmax_metadata.series_description",
    }  # fmt: skip
    assert "Doe" not in json.dumps(found.rows)
    assert "1.2.840" not in json.dumps(found.rows)
    assert "inside the file" not in json.dumps(found.rows)


def test_programs_with_other_definitions_in_one_column_are_warned_about(cases: Path) -> None:
    (finding,) = aggregate(cases).findings
    assert (finding.code, finding.severity) == ("mixed_definitions", "warning")
    assert "hir" in finding.message
    for name in "cde":
        for path in (cases / name).iterdir():
            path.unlink()
    assert aggregate(cases).findings == ()  # two versions of one schema agree


def test_values_of_slices_come_on_request(cases: Path) -> None:
    assert not any("slice_statistics" in name for name in aggregate(cases).columns)
    assert aggregate(cases, lists=True).rows[0]["slice_statistics.1.core_cm2"] == 0.5


@pytest.mark.parametrize(
    ("places", "ids"),
    [
        (["one", "two"], ["one", "two"]),
        (["one/results", "two/results"], ["one", "two"]),
        (["north/case-1", "south/case-1", "south/case-2"], ["case-2", "north/case-1", "south/case-1"]),
        (["case/first", "case/second"], ["first", "second"]),
        (["."], ["cohort"]),
    ],
)
def test_a_case_is_named_by_as_much_of_its_path_as_tells_it_apart(tmp_path: Path, places: list[str], ids: list[str]) -> None:
    for place in places:
        put(tmp_path / "cohort" / place, OURS)
    assert [row["case_id"] for row in aggregate(tmp_path / "cohort").rows] == ids


def test_bids_derivatives_are_named_by_subject(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02"):
        put(tmp_path / subject / "perf", OURS, f"{subject}_desc-metrics_perf.json")
    assert [row["case_id"] for row in aggregate(tmp_path).rows] == ["sub-01", "sub-02"]


def test_a_folder_counts_once_and_a_loop_of_links_ends(tmp_path: Path) -> None:
    put(tmp_path / "a", OURS)
    put(tmp_path / "a", COLOR_MAPS, "perfusion_metrics.json")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = aggregate(tmp_path)
    assert (len(found.rows), found.rows[0]["hir"]) == (1, 0.31)
    assert [name for name, _ in found.skipped] == ["a/perfusion_metrics.json"]


def test_a_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no readable metrics.json"):
        aggregate(tmp_path)
    with pytest.raises(InvalidInputError, match="is not a folder"):
        aggregate(tmp_path / "nowhere")


def outcomes(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "outcomes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_outcomes_join_by_case_and_both_sides_tell_what_is_left_over(cases: Path, tmp_path: Path) -> None:
    table = read_table(outcomes(tmp_path, "id,grade,Patient Name,hir\na,3,Jane,0.5\nb,,John,0.6\nz,1,Jim,0.7\n"))
    found = merge_outcomes(aggregate(cases), table, id_column="id")
    rows = {row["case_id"]: row for row in found.rows}
    assert (rows["a"]["grade"], rows["b"]["grade"], rows["c"]["grade"]) == ("3", None, None)
    assert (rows["a"]["hir"], rows["a"]["hir_outcome"]) == (0.31, "0.5")
    assert found.without_outcome == ("c", "d", "e")
    assert found.without_metrics == ("z",)
    assert (found.withheld, found.renamed) == (("Patient Name",), ("hir",))
    assert "Jane" not in json.dumps(found.rows)


def test_semicolons_and_decimal_commas_are_read(cases: Path, tmp_path: Path) -> None:
    table = read_table(outcomes(tmp_path, "case_id;score\na;0,75\nb;1\n"))
    assert table.numbers("score") == pytest.approx([0.75, 1.0])
    assert merge_outcomes(aggregate(cases), table).rows[0]["score"] == 0.75


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,grade\na,3\na,2\n", "more than once, such as 'a'"),
        ("id,grade\n,3\n", "Row 2 of the outcome table has no 'id'"),
        ("id,grade\nx,3\n", "No case of the outcome table is among the results: 'x' there, 'a' here"),
        ("name,grade\na,3\n", "no column 'id'"),
        ("id,grade\na\n", "Row 2 of 'outcomes.csv' has 1 cells"),
        ("id,id\na,b\n", "names the column 'id' twice"),
        ("id,grade\n", "has no rows"),
    ],
)
def test_outcome_tables_that_cannot_be_joined_are_refused(cases: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        merge_outcomes(aggregate(cases), read_table(outcomes(tmp_path, text)), id_column="id")


def test_command_writes_the_table_and_says_what_was_left_out(cases: Path, tmp_path: Path, capsys: Any) -> None:
    output = tmp_path / "summary.csv"
    given = outcomes(tmp_path, "id,grade\na,3\nz,1\n")
    words = ["aggregate", str(cases), "--output", str(output), "--outcomes", str(given), "--id-column", "id"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "5 cases" in said
    assert "f/metrics.json" in said
    assert "in the outcome table only: 1 (z)" in said
    assert "without outcome: 4 (b, c, d, e)" in said
    assert "patient_info.patient_name" in said
    with output.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case_id"] for row in rows] == list("abcde")
    assert (rows[0]["grade"], rows[1]["grade"], rows[1]["hir"]) == ("3", "", "")
    assert list(output.parent.glob(".writing-*")) == []


def test_command_refuses_a_folder_as_output(cases: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["aggregate", str(cases), "--output", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
