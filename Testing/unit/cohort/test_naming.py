# SPDX-License-Identifier: Apache-2.0
"""Cases are called after their folders unless these name patients; numbers stay, and only the key knows whose they are."""

import csv
import json
import subprocess
import sys

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from PerfusionSuiteLib import cohort
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.cohort import batch
from PerfusionSuiteLib.core import InvalidInputError


def write_image(folder, patient):
    """A DICOM file that says whose it is, and is no perfusion scan."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PatientName, dataset.PatientID = patient, "0012345"
    folder.mkdir(parents=True)
    pydicom.dcmwrite(folder / "IM0001.dcm", dataset, enforce_file_format=False)


@pytest.fixture
def archive(tmp_path):
    root = tmp_path / "archive"
    write_image(root / "Mustermann_Erika", "MUSTERMANN^ERIKA")
    write_image(root / "Xaver_Huber", "HUBER^XAVER")
    write_image(root / "site2-07", "OTHER^NAME")
    (root / "converted").mkdir()
    (root / "converted" / "scan.nii.gz").write_bytes(b"")
    (root / "converted" / "scan.json").write_text('{"PatientID": "converted"}')
    return root


def named(root, key=None, how="auto"):
    return {case.scan or case.name: case.name for case in cohort.name_cases(cohort.find_cases(root), key or {}, how=how)}


def all_text(folder):
    return "\n".join(f"{path} {path.read_text(errors='replace')}" for path in sorted(folder.rglob("*")) if path.is_file())


def test_only_folders_that_are_called_after_patients_are_numbered(archive):
    assert named(archive) == {
        "Mustermann_Erika": "case-001", "Xaver_Huber": "case-002", "converted": "case-003", "site2-07": "site2-07",
    }  # fmt: skip
    assert named(archive, how="folder")["Xaver_Huber"] == "Xaver_Huber"
    assert sorted(named(archive, how="numbered").values()) == ["case-001", "case-002", "case-003", "case-004"]


def test_numbers_stay_when_scans_come_and_go(archive, tmp_path):
    key = tmp_path / "key.csv"
    cohort.write_key(key, cohort.name_cases(cohort.find_cases(archive), {}), {})
    write_image(archive / "Aaron_A", "AARON^A")
    (archive / "Mustermann_Erika" / "IM0001.dcm").unlink()
    (archive / "Mustermann_Erika").rmdir()
    again = named(archive, cohort.read_key(key))
    assert (again["Xaver_Huber"], again["Aaron_A"]) == ("case-002", "case-004")
    cohort.write_key(key, cohort.name_cases(cohort.find_cases(archive), cohort.read_key(key)), cohort.read_key(key))
    assert cohort.read_key(key)["Mustermann_Erika"] == "case-001"  # the number of a scan that is gone is not given away


def test_a_folder_that_is_called_like_a_number_keeps_it(archive):
    write_image(archive / "case-001", "OTHER^NAME")
    assert named(archive)["Mustermann_Erika"] == "case-002"


def test_a_numbered_case_is_chosen_by_either_name_and_a_wrong_label_lists_no_patient(archive):
    cases = cohort.name_cases(cohort.find_cases(archive), {})
    assert cohort.with_labels(cases, ["Xaver_Huber"]) == cohort.with_labels(cases, ["case-002"])
    with pytest.raises(InvalidInputError, match="Choose from case-001, case-002, case-003, site2-07"):
        cohort.with_labels(cases, ["9"])


def test_no_result_of_a_cohort_names_a_patient_and_the_key_lies_beside(archive, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # sentences with relative paths would pass for plain words
    out = tmp_path / "out"
    assert main(["cohort", "archive", "out", "participant", "--participant-label", "Mustermann_Erika"]) == 2
    told = capsys.readouterr()
    written = all_text(out)
    assert "case-001" in written
    for text in (written, told.out, told.err):
        assert "ustermann" not in text
    with (tmp_path / "out-key.csv").open(newline="") as stream:
        assert {row["case_id"]: row["scan"] for row in csv.DictReader(stream)}["case-001"] == "Mustermann_Erika"
    assert "'" + str(tmp_path / "out-key.csv") + "' says which is which" in told.out


def test_outcomes_by_names_of_scans_find_their_numbers(tmp_path):
    place = tmp_path / "out" / "case-001"
    place.mkdir(parents=True)
    (place / "metrics.json").write_text('{"schema": "perfusion-suite/metrics/1", "hir": 0.4}')
    (tmp_path / "outcomes.csv").write_text("mrn,mrs\nMustermann_Erika,3\n")
    (tmp_path / "key.csv").write_text("case_id,scan\ncase-001,Mustermann_Erika\n")
    words = ["aggregate", str(tmp_path / "out"), "--output", str(tmp_path / "all.csv"), "--id-column", "mrn"]
    words += ["--outcomes", str(tmp_path / "outcomes.csv")]
    assert main([*words, "--key", str(tmp_path / "key.csv")]) == 0
    text = (tmp_path / "all.csv").read_text()
    assert "ustermann" not in text
    assert next(csv.DictReader(text.splitlines()))["mrs"] == "3"


@pytest.mark.parametrize(
    "text", ["", "scan,number\na,1\n", "case_id,scan\n1,a\n1,b\n", "case_id,scan\n1,a\n2,a\n", "case_id,scan\n,a\n"]
)
def test_a_key_that_does_not_tell_scans_apart_is_refused(tmp_path, text):
    (tmp_path / "key.csv").write_text(text)
    if text:
        with pytest.raises(InvalidInputError, match=r"'key.csv' must name every scan and every case once"):
            cohort.read_key(tmp_path / "key.csv")
    else:
        assert cohort.read_key(tmp_path / "key.csv") == {}
    with pytest.raises(InvalidInputError, match=r"'none.csv' cannot be read"):
        cohort.read_key(tmp_path / "none.csv")


def test_the_log_of_a_numbered_case_names_neither_its_folder_nor_its_files(tmp_path, monkeypatch):
    words = f"perfusion-suite: 'Huber.nii.gz' lies in '{tmp_path}/Huber', that is Huber, and CT is CT; Hubertus stays."
    monkeypatch.setattr(batch.subprocess, "Popen", saying(batch.subprocess.Popen, words))
    cases = [cohort.Case("case-001", tmp_path / "Huber", "Huber", scan="Huber"), cohort.Case("b", tmp_path / "CT", "CT")]
    found = cohort.run_cases(cases, tmp_path / "out", [], told=lambda _: None, progress=lambda *_: None)
    assert found[0].sentence == "(file .nii.gz) lies in (path), that is case-001, and CT is CT; Hubertus stays."
    assert "Huber," not in (tmp_path / "out" / batch.STATES / "case-001.log").read_text()
    assert "that is Huber," in found[1].sentence  # a case that keeps its name hides no word


def saying(start, words):
    """A process that says one sentence and fails."""
    return lambda command, **more: start([sys.executable, "-c", f"print({words!r}); raise SystemExit(2)"], **more)


def test_another_settings_file_under_the_same_name_makes_results_anew(tmp_path):
    scan, settings = tmp_path / "a.nrrd", tmp_path / "settings.json"
    scan.write_bytes(b"x")
    settings.write_text(json.dumps({"method": "csvd"}))
    case = cohort.Case("a", scan, "a")
    for words in (["--config", str(settings)], [f"--config={settings}"]):
        first = batch.key_of(case, words)
        settings.write_text(settings.read_text() + " ")
        assert batch.key_of(case, words) != first


def test_a_run_that_the_system_kills_says_what_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(batch.subprocess, "Popen", killed(batch.subprocess.Popen))
    found = cohort.run_cases(
        [cohort.Case("a", tmp_path / "a.nrrd", "a")], tmp_path / "out", [], told=lambda _: None, progress=lambda *_: None
    )
    assert "want of memory" in found[0].sentence


def killed(start):
    """A process that ends as one does that the system kills for its memory."""

    def begin(command, **words):
        return start([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **words)

    return begin


def test_a_run_of_a_cohort_that_is_killed_does_not_go_on_for_nobody(tmp_path):
    words = [sys.executable, "-m", "PerfusionSuiteLib.cli.tied", "phantom", "ctp", str(tmp_path / "out"), "--seed", "1"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
        assert run.stderr.readline()  # it has begun
        run.stdin.close()  # as the system does with what a killed program held
        assert run.wait(30) == 3
    assert not (tmp_path / "out").exists()


def test_the_runs_of_a_cohort_know_when_it_is_gone(tmp_path, monkeypatch):
    started = []

    def begin(command, **words):
        started.append((command, words["stdin"]))
        return start([sys.executable, "-c", ""], **words)

    start = batch.subprocess.Popen
    monkeypatch.setattr(batch.subprocess, "Popen", begin)
    case = cohort.Case("a", tmp_path / "a.nrrd", "a")
    cohort.run_cases([case], tmp_path / "out", [], told=lambda _: None, progress=lambda *_: None)
    assert started[0][0][2:5] == ["-m", "PerfusionSuiteLib.cli.tied", "run"]
    assert started[0][1] == subprocess.PIPE
