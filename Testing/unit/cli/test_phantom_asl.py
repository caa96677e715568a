# SPDX-License-Identifier: Apache-2.0
"""``phantom asl``: the patient that the options ask for, as BIDS or DICOM, with its truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from PerfusionSuiteLib import phantom, series
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import AslSeries


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command draw a slab of large voxels."""
    draw = phantom.asl

    def asl(**options: object) -> object:
        return draw(**{**options, "shape": (24, 24, 2), "spacing_mm": (9.0, 9.0, 8.0), "motion": "none"})

    monkeypatch.setattr(phantom, "asl", asl)


def test_bids_is_what_an_asl_patient_becomes_without_a_word(small: None, tmp_path: Path) -> None:
    words = ["phantom", "asl", str(tmp_path / "p"), "--seed", "3", "--repetitions", "1", "--delays", "1.5", "2.0"]
    assert main(words) == 0
    scan = series.read(tmp_path / "p" / "sub-0003")
    assert isinstance(scan, AslSeries)
    assert scan.delays_s.tolist() == [1.5, 2.0]
    assert (tmp_path / "p" / "truth" / "cbf.nii.gz").is_file()
    assert main([*words[:5], "--delays", "1.8", "--repetitions", "1", "--m0", "included"]) == 0
    again = series.read(tmp_path / "p", modality="asl")
    assert again.m0 is None  # the earlier M0 scan is gone
    assert again.volume_types == ("m0scan", "control", "label")


def test_ge_delivers_scaled_difference_images(small: None, tmp_path: Path) -> None:
    words = ["phantom", "asl", str(tmp_path / "p"), "--seed", "3", "--format", "dicom", "--vendor", "ge"]
    assert main(words) == 0
    scan = series.read(tmp_path / "p" / "dicom", modality="asl")
    assert set(scan.volume_types) == {"deltam"}
    assert scan.scaling == 96.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vendor", "ge"], "choose --format dicom"),
        (["--format", "dicom", "--vendor", "canon"], "not written as 'canon'"),
        (["--residue", "box"], "no option --residue"),
        (["--noise", "3"], "Give its noise as --snr"),
        (["--format", "dicom", "--trouble", "midnight"], "Leave out --encoding"),
    ],
)
def test_options_that_say_nothing_about_asl_are_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phantom", "asl", str(tmp_path / "p"), "--seed", "3", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--labeling", "pasl"], ["--format", "bids"]])
def test_other_patients_have_no_asl_options(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantom", "tiles", str(tmp_path / "p"), "--seed", "3", *words]) == 2
    said = capsys.readouterr().err
    assert words[0] in said or "Only ASL patients" in said
