# SPDX-License-Identifier: Apache-2.0
"""A phantom written by the command reads back as the same scan, also over an earlier one."""

import json

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, series
from PerfusionSuiteLib.cli.main import main


@pytest.fixture
def small_patient(monkeypatch):
    """Let the command draw a small patient, whose number of frames can be chosen."""
    draw = phantom.ctp
    choice = {"frames": 24}

    def ctp(**options):
        return draw(**{**options, "shape": (64, 64, 4), "spacing_mm": (3.6, 3.6, 12.0), "interval_s": 2.0, **choice})

    monkeypatch.setattr(phantom, "ctp", ctp)
    return choice


def test_a_new_patient_replaces_an_earlier_one_in_the_same_folder(small_patient, tmp_path):
    out = tmp_path / "patient"
    assert main(["phantom", "ctp", str(out), "--seed", "3", "--recipe", "clean"]) == 0
    assert series.read(out / "dicom").times_s.size == 24
    small_patient["frames"] = 20
    assert main(["phantom", "ctp", str(out), "--seed", "3", "--recipe", "clean"]) == 0
    scan = series.read(out / "dicom")
    assert scan.times_s.size == 20
    assert (out / "truth" / "truth.json").is_file()


def test_dicom_and_nifti_of_one_patient_are_the_same_scan(small_patient, tmp_path):
    for form in ("dicom", "nifti"):
        assert main(["phantom", "ctp", str(tmp_path / form), "--seed", "3", "--recipe", "clean", "--format", form]) == 0
    first = series.read(tmp_path / "dicom" / "dicom")
    second = series.read(tmp_path / "nifti" / "scan.nii.gz")
    assert np.array_equal(first.data, second.data)
    assert np.allclose(first.times_s, second.times_s, atol=1e-3)
    assert np.allclose(first.affine, second.affine, atol=1e-3)


def test_an_unknown_residue_is_named(tmp_path, capsys):
    assert main(["phantom", "ctp", str(tmp_path / "x"), "--seed", "3", "--residue", "triangle"]) == 2
    assert "triangle" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_dsc_patient_is_written_with_its_echoes_and_diffusion(tmp_path, monkeypatch):
    made = phantom.dsc_echoes(
        seed=2,
        recipe="clean",
        site="m1",
        motion="none",
        shape=(24, 24, 2),
        spacing_mm=(9.0, 9.0, 12.0),
        frames=14,
        interval_s=2.0,
    )
    monkeypatch.setattr(phantom, "dsc_echoes", lambda **_: made)
    assert main(["phantom", "dsc", str(tmp_path), "--seed", "2", "--dual-echo", "--format", "nifti"]) == 0
    for name, echo in (("scan", 0), ("scan_echo2", 1)):
        facts = json.loads((tmp_path / f"{name}.json").read_text())
        assert facts["EchoTime"] == made[0][echo].acquisition.echo_times_s[0]
    assert (tmp_path / "adc.nii.gz").is_file()


def test_options_of_another_kind_of_patient_are_refused(tmp_path, capsys):
    assert main(["phantom", "ctp", str(tmp_path), "--seed", "2", "--snr", "40"]) == 2
    assert "no option --snr" in capsys.readouterr().err
    assert main(["phantom", "dsc", str(tmp_path), "--seed", "2", "--noise", "4"]) == 2
    assert "--snr" in capsys.readouterr().err


def test_the_manner_of_dicom_can_be_chosen_and_what_befalls_it(small_patient, tmp_path):
    plain, hard = tmp_path / "plain", tmp_path / "hard"
    options = ["--seed", "3", "--recipe", "clean"]
    assert main(["phantom", "ctp", str(plain), *options]) == 0
    manner = ["--vendor", "ge", "--encoding", "rle", "--trouble", "missing-slice", "--trouble", "clutter"]
    assert main(["phantom", "ctp", str(hard), *options, *manner]) == 0
    first, second = series.read(plain / "dicom"), series.read(hard / "dicom")
    rest = [n for n in range(24) if n != 8]
    assert np.array_equal(second.data, first.data[..., rest])
    assert {"incomplete_frames", "ignored_images"} <= {finding.code for finding in second.source.findings}


def test_options_of_dicom_do_not_go_with_nifti(small_patient, tmp_path, capsys):
    command = ["phantom", "ctp", str(tmp_path / "x"), "--seed", "3", "--recipe", "clean", "--format", "nifti", "--vendor", "ge"]
    assert main(command) == 2
    assert "--vendor says how DICOM is written" in capsys.readouterr().err


def test_the_motion_of_the_head_can_be_chosen(small_patient, tmp_path):
    motion = ["--motion", "nod", "--motion-mm", "4"]
    assert main(["phantom", "ctp", str(tmp_path / "x"), "--seed", "3", "--recipe", "clean", "--format", "nifti", *motion]) == 0
    truth = json.loads((tmp_path / "x" / "truth" / "truth.json").read_text())
    drawn = truth["parameters"]["motion"]
    assert drawn["kind"] == "nod"
    assert drawn["farthest_mm"] == pytest.approx(4.0, rel=1e-3)
