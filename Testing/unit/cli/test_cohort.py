# SPDX-License-Identifier: Apache-2.0
"""``cohort``: many scans, a bad one among them, nothing done twice, one row for each."""

import csv
import json

import numpy as np
import pytest

from PerfusionSuiteLib import cohort, phantom
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.cohort import batch
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.results import write_volume


@pytest.fixture
def a_data_set(an_asl_series, tmp_path):
    """Two subjects with one scan, one of them broken; one with two sessions; and a derivative that is no scan."""
    root = tmp_path / "bids"
    for subject in ("01", "02", "03"):
        phantom.write_asl_bids(an_asl_series, root, subject=subject)
    for path in list((root / "sub-03" / "perf").iterdir()):
        for session in ("1", "2"):
            place = root / "sub-03" / f"ses-{session}" / "perf"
            place.mkdir(parents=True, exist_ok=True)
            (place / path.name.replace("sub-03_", f"sub-03_ses-{session}_")).write_bytes(path.read_bytes())
        path.unlink()
    context = root / "sub-02" / "perf" / "sub-02_aslcontext.tsv"
    context.write_text("volume_type\n" + "control\n" * 3)
    (root / "derivatives" / "x" / "sub-01" / "perf").mkdir(parents=True)
    (root / "derivatives" / "x" / "sub-01" / "perf" / "sub-01_desc-a_asl.nii.gz").write_bytes(b"")
    return root


def rows_of(path):
    with path.open(newline="") as stream:
        return {row["case_id"]: row for row in csv.DictReader(stream)}


def in_this_process(monkeypatch):
    """Run cases without starting an interpreter for each; which ones ran is returned."""
    ran = []

    class Here:
        def __init__(self, case, key, out, words):
            self._case, self._key = case, key
            ran.append(case.name)
            self._code = main(["run", str(case.path), str(out / case.name), *words])

        ended = True

        def state(self):
            good = self._code == 0
            return batch.CaseState(
                self._case.name, batch.DONE if good else batch.FAILED, self._key, self._code, "" if good else "told"
            )

        def stop(self):
            return None

    monkeypatch.setattr(batch, "_Running", Here)
    monkeypatch.setattr("PerfusionSuiteLib.results.writer._lacks", lambda package: True)  # pictures are not looked at here
    return ran


def test_every_scan_is_a_case_and_derivatives_are_none(a_data_set):
    found = cohort.find_cases(a_data_set, modality="asl")
    assert [case.name for case in found] == ["sub-01", "sub-02", "sub-03_ses-1", "sub-03_ses-2"]
    assert [case.participant for case in found] == ["01", "02", "03", "03"]
    assert [case.name for case in cohort.with_labels(found, ["sub-03"])] == ["sub-03_ses-1", "sub-03_ses-2"]
    with pytest.raises(InvalidInputError, match=r"no participant '9'. Choose from 01, 02, 03"):
        cohort.with_labels(found, ["9"])


def test_a_folder_of_folders_holds_a_case_each(tmp_path, an_asl_series):
    phantom.write_asl_dicom(an_asl_series, tmp_path / "in" / "first", vendor="philips", seed=1)
    write_volume(tmp_path / "in" / "second.nii.gz", np.zeros((2, 2, 2)), np.eye(4))
    (tmp_path / "in" / "empty").mkdir()
    (tmp_path / "in" / "out").mkdir()
    found = cohort.find_cases(tmp_path / "in", leave_out=tmp_path / "in" / "out")
    assert [case.name for case in found] == ["first", "second"]
    assert cohort.folders_without_images(tmp_path / "in", leave_out=tmp_path / "in" / "out") == ["empty"]
    with pytest.raises(InvalidInputError, match="holds no scan"):
        cohort.find_cases(tmp_path / "in" / "empty")


def test_a_bad_scan_does_not_stop_the_rest_and_nothing_is_done_twice(a_data_set, tmp_path, monkeypatch, capsys):
    ran = in_this_process(monkeypatch)
    out = tmp_path / "out"
    words = ["cohort", str(a_data_set), str(out), "participant", "--modality", "asl"]
    each = ["--run", "--no-motion-correction", "--midplane", "1", "0", "0", "2"]
    assert main([*words, "--participant-label", "01", "02", *each]) == 2
    assert ran == ["sub-01", "sub-02"]
    told = capsys.readouterr()
    assert "sub-02 (0 s): failed" in told.out
    assert "1 of 2 scans have results" in told.out
    assert "1 of 2 scans have no results: sub-02. 'cases.csv' says why" in told.err
    table = rows_of(out / "asl_cohort.csv")
    assert set(table) == {"sub-01", "sub-02"}
    numbers = json.loads((out / "sub-01" / "metrics.json").read_text())
    assert float(table["sub-01"]["brain_cbf"]) == pytest.approx(numbers["by_region"]["brain"]["cbf"])
    assert float(table["sub-01"]["low_flow_ml"]) == pytest.approx(numbers["hypoperfusion_volume_ml"])
    assert table["sub-01"]["cbf_unit"] == "mL/100g/min"
    assert (table["sub-02"]["state"], table["sub-02"]["brain_cbf"]) == ("failed", "")

    assert main([*words, "--participant-label", "01", *each]) == 0  # sub-02, still without results, was not asked for
    assert main(["cohort", str(a_data_set), str(out), "group"]) == 2
    assert ran == ["sub-01", "sub-02"]
    context = a_data_set / "sub-02" / "perf" / "sub-02_aslcontext.tsv"
    context.write_text((a_data_set / "sub-01" / "perf" / "sub-01_aslcontext.tsv").read_text())
    assert main([*words, "--participant-label", "01", "02", *each]) == 0
    assert ran == ["sub-01", "sub-02", "sub-02"]
    assert rows_of(out / "asl_cohort.csv")["sub-02"]["state"] == "done"
    assert main(["cohort", str(a_data_set), str(out), "group"]) == 0
    assert set(rows_of(out / "cohort.csv")) == {"sub-01", "sub-02"}
    assert main([*words, "--participant-label", "01", *each, "--smooth", "4"]) == 0  # another command: other results
    assert ran[-1] == "sub-01"


def test_a_run_in_a_process_of_its_own_leaves_its_sentence(a_data_set, tmp_path, capsys):
    words = [str(a_data_set), str(tmp_path / "out"), "participant", "--modality", "asl", "--participant-label", "02"]
    assert main(["cohort", *words]) == 2
    assert "The scan has 16 volumes but aslcontext.tsv names 3" in capsys.readouterr().out
    assert "names 3" in rows_of(tmp_path / "out" / "cases.csv")["sub-02"]["why_failed"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", "0"], "0 scans at a time"),
        (["--run", "--modality", "asl"], "belongs before '--run'"),
        (["--run", "--method", "nonsense"], "invalid choice: 'nonsense'"),
        (["--run", "--config", "nowhere.json"], "no file 'nowhere.json'"),
    ],
)
def test_wrong_words_are_told_before_the_first_scan(a_data_set, tmp_path, capsys, words, sentence):
    assert main(["cohort", str(a_data_set), str(tmp_path / "out"), "participant", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_scan_of_another_kind_that_failed_is_no_asl_row(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / batch.STATES).mkdir()
    failed = {"case": "bad", "state": batch.FAILED, "key": "k", "code": 2, "sentence": "The series has 1 frames."}
    (tmp_path / batch.STATES / "bad.json").write_text(json.dumps(failed))
    (tmp_path / "good" / "metrics.json").write_text('{"modality": "ctp"}')
    assert cohort.asl_rows(tmp_path) == []
    (tmp_path / "good" / "metrics.json").write_text('{"modality": "asl"}')
    assert [row["case_id"] for row in cohort.asl_rows(tmp_path)] == ["bad", "good"]


def test_a_new_file_in_a_folder_of_files_leaves_the_other_cases_done(tmp_path):
    for name in ("a.nrrd", "a.json", "b.nrrd"):
        (tmp_path / name).write_bytes(b"x")
    first = batch.key_of(cohort.Case("a", tmp_path / "a.nrrd", "a"), [])
    (tmp_path / "c.nrrd").write_bytes(b"x")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "metrics.json").write_bytes(b"{}")
    assert batch.key_of(cohort.Case("a", tmp_path / "a.nrrd", "a"), []) == first
    (tmp_path / "a.json").write_bytes(b"xy")
    assert batch.key_of(cohort.Case("a", tmp_path / "a.nrrd", "a"), []) != first


def test_who_stops_a_cohort_is_told_what_is_there(a_data_set, tmp_path, monkeypatch, capsys):
    in_this_process(monkeypatch)
    words = ["cohort", str(a_data_set), str(tmp_path / "out"), "participant", "--modality", "asl", "--participant-label", "01"]

    def stopped(*given, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cohort, "run_cases", stopped)
        assert main(words) == 3
    assert "nothing is kept" in capsys.readouterr().err
    monkeypatch.setattr("PerfusionSuiteLib.cli.cohort._group", stopped)
    assert main(words) == 3
    assert "what is finished is kept" in capsys.readouterr().err
    assert (tmp_path / "out" / "sub-01" / "metrics.json").is_file()
