# SPDX-License-Identifier: Apache-2.0
"""``run`` on an ASL scan in BIDS: recognized by itself, with fractions on another grid, and wrong words told in one sentence."""

import json

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.results import read_volume, write_volume


@pytest.fixture
def a_bids_folder(an_asl_series, tmp_path):
    """The scan, a brain mask and fractions of gray and white matter at half the voxel size."""
    phantom.write_asl_bids(an_asl_series, tmp_path / "bids", subject="01")
    brain = an_asl_series.m0 > 100
    white = an_asl_series.m0 == 900
    write_volume(tmp_path / "brain.nii.gz", brain, an_asl_series.affine, dtype=np.uint8)
    finer = an_asl_series.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    finer[:3, 3] = an_asl_series.affine[:3, 3] - an_asl_series.affine[:3, :3] @ np.full(3, 0.25)
    for name, part in (("gm", brain & ~white), ("wm", white)):
        write_volume(tmp_path / f"{name}.nii.gz", np.kron(part, np.ones((2, 2, 2))), finer)
    return tmp_path


def run(folder, *words):
    return main(
        ["run", str(folder / "bids" / "sub-01"), str(folder / "out"), "--brain-mask", str(folder / "brain.nii.gz"), *words]
    )


def fractions(folder):
    return ["--gm-fraction", str(folder / "gm.nii.gz"), "--wm-fraction", str(folder / "wm.nii.gz")]


def test_asl_is_recognized_and_all_results_are_written(a_bids_folder, capsys):
    words = ["--partial-volume", "--midplane", "1", "0", "0", "2", "--low-flow", "60", "--no-motion-correction"]
    assert run(a_bids_folder, *fractions(a_bids_folder), *words) == 0
    out = capsys.readouterr().out
    assert "asl-multi: brain" in out
    assert "Flow below 60 % of the other side:" in out
    numbers = json.loads((a_bids_folder / "out" / "metrics.json").read_text())
    assert numbers["method"]["name"] == "asl-multi"
    assert numbers["curves"]["gm_right"]["cbf"] == pytest.approx(60.0, rel=0.05)
    assert numbers["affected_side"] == "left"
    gray, _ = read_volume(a_bids_folder / "out" / "gm.nii.gz")
    assert (gray.max(axis=(0, 1)) > 0.98).all()  # no slice is lost at the edge
    assert ((gray > 0.02) & (gray < 0.98)).mean() < 0.2  # averaged from the finer grid, not shifted
    assert (a_bids_folder / "out" / "cbf_wm.nii.gz").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "bayes", "--modality", "asl"], "'bayes' belongs to scans with a bolus"),
        (["--method", "asl-multi", "--modality", "dsc"], "'asl-multi' belongs to ASL, but the modality is 'dsc'"),
        (["--t1-blood", "1.6", "--modality", "ctp"], "--t1-blood belongs to ASL, but the modality is 'ctp'"),
        (["--method", "asl-single", "--option", "delay_s=1.2"], "no post-label delay of 1.2 s"),
        (["--modality", "asl", "--aif", "a.csv"], "--aif is not offered for ASL"),
        (["--modality", "asl", "--aif-method", "cluster"], "--aif-method is not offered for ASL"),
        (["--modality", "asl", "--noise-reduction", "none"], "--noise-reduction is not offered for ASL"),
        (["--modality", "asl", "--preset", "adc"], "--preset is not offered for ASL"),
        (["--partial-volume"], "needs the fractions of gray and white matter"),
        (["--low-flow", "130"], "Low flow below 130 %"),
    ],
)
def test_wrong_words_are_told_in_one_sentence(a_bids_folder, capsys, words, sentence):
    assert run(a_bids_folder, *words, "--no-motion-correction") == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("perfusion-suite: ")]
    assert len(told) == 1
    assert sentence in told[0]
    assert not (a_bids_folder / "out").exists()


@pytest.mark.parametrize("words", [("--method", "asl-multi"), ("--smooth", "5")], ids=["method", "option"])
def test_what_belongs_to_asl_is_refused_on_a_scan_with_a_bolus(words, a_ctp_series, tmp_path, capsys):
    from PerfusionSuiteLib import series

    series.write_nifti(a_ctp_series, tmp_path / "ct.nii.gz")
    assert main(["run", str(tmp_path / "ct.nii.gz"), str(tmp_path / "out"), *words]) == 2
    assert "The scan is of modality 'ctp', but the command asks for ASL" in capsys.readouterr().err
