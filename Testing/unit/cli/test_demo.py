# SPDX-License-Identifier: Apache-2.0
"""The demo on a small patient: whenever it is stopped, what it says about the folder is true."""

import os
import signal

import pytest

from PerfusionSuiteLib.cli import demo
from PerfusionSuiteLib.cli.main import main


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(demo, "_SHAPE", (64, 64, 5))
    monkeypatch.setattr(demo, "_SPACING_MM", (3.6, 3.6, 10.0))
    monkeypatch.setattr("PerfusionSuiteLib.results.writer.write_pictures", lambda *given: {})


def demo_in(folder):
    return main(["demo", str(folder), "--method", "csvd", "--no-scene"])


def stopping(original):
    def stopped(*given, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*given, **options)

    return stopped


def test_a_demo_stopped_before_its_end_leaves_the_earlier_one_whole(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    (out / "dicom").mkdir(parents=True)
    earlier = [out / "dicom" / "0001.dcm", out / "cbf.nii.gz", out / "notes.txt"]
    for path in earlier:
        path.write_text("earlier")
    monkeypatch.setattr(demo.evaluation, "score_study", stopping(demo.evaluation.score_study))
    assert demo_in(out) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "perfusion-suite: Cancelled; no results were written."
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(earlier)


def test_a_stop_after_everything_was_written_changes_nothing(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    (out / "dicom").mkdir(parents=True)
    (out / "dicom" / "0001.dcm").write_text("of an earlier patient")
    (out / "notes.txt").write_text("mine")
    monkeypatch.setattr(demo, "summary", stopping(demo.summary))
    assert demo_in(out) == 0
    said = capsys.readouterr()
    assert "Everything is in" in said.out
    assert "Cancelled" not in said.err
    assert not (out / "dicom" / "0001.dcm").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert {"metrics.json", "cbf.nii.gz", "truth", "dicom", "truth.csv"} <= {path.name for path in out.iterdir()}
