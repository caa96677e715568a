# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate maps``: the study's arguments, and finished maps beside a truth or other maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import pipeline, results
from PerfusionSuiteLib.cli import evaluate
from PerfusionSuiteLib.cli.main import build_parser, main
from PerfusionSuiteLib.evaluation import Condition

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])
SHAPE = (40, 40, 6)


def write_maps(folder: Path, scale: float = 1.0) -> None:
    """A lesion on one side with a core; `scale` multiplies CBF."""
    x = np.indices(SHAPE)[0]
    lesion, core = x < 12, x < 4
    values = {
        "tmax": np.where(core, 11.0, np.where(lesion, 7.0, 2.0)),
        "cbf": scale * np.where(core, 10.0, np.where(lesion, 30.0, 50.0)),
        "cbv": np.where(core, 1.5, np.where(lesion, 5.0, 4.0)),
        "mtt": np.where(lesion, 9.0, 4.8),
    }
    for key, value in values.items():
        results.write_volume(folder / f"{key}.nii.gz", value.astype(np.float32), AFFINE)
    for name, mask in {"hypoperfusion_mask": lesion, "core_mask": core, "penumbra_mask": lesion & ~core}.items():
        results.write_volume(folder / "masks" / f"{name}.nii.gz", mask.astype(np.uint8), AFFINE)
    everything = np.ones(SHAPE, np.uint8)
    for name in ("brain", "tissue"):
        results.write_volume(folder / "masks" / f"{name}.nii.gz", everything, AFFINE)


def write_truth(folder: Path) -> None:
    """The truth of the maps above as a digital patient's folder."""
    write_maps(folder)
    for path in sorted((folder / "masks").iterdir()):
        path.rename(folder / f"mask_{path.name.replace('_mask', '')}")
    (folder / "masks").rmdir()
    (folder / "mask_tissue.nii.gz").rename(folder / "mask_scored.nii.gz")
    results.write_volume(folder / "fraction_gm.nii.gz", np.ones(SHAPE, np.float32), AFFINE)
    facts = {"affine": AFFINE.tolist(), "side": "left", "midplane": [1, 0, 0, 0]}
    (folder / "truth.json").write_text(json.dumps(facts))
    rows = "\n".join(f"{t},{np.exp(-((t - 12) ** 2) / 8):.6f},{np.exp(-((t - 18) ** 2) / 12):.6f}" for t in range(40))
    (folder / "curves.csv").write_text(f"time_s,aif,vof\n{rows}\n")


def test_finished_maps_are_set_beside_their_truth(tmp_path, capsys):
    write_maps(tmp_path / "result", scale=1.1)
    write_truth(tmp_path / "truth")
    assert main(["evaluate", "maps", str(tmp_path / "result"), str(tmp_path / "truth"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "hypoperfusion: dice 1" in printed
    assert "limits of agreement" in printed
    with (tmp_path / "out" / "errors.csv").open(newline="") as stream:
        found = {(row["subject"], row["part"], row["measure"]): row["value"] for row in csv.DictReader(stream)}
    truth = np.array([10.0] * 4 + [30.0] * 8 + [50.0] * 28)
    assert float(found["CBF", "tissue", "bias"]) == pytest.approx(0.1 * truth.mean(), rel=1e-5)
    assert float(found["CBF", "core", "bias"]) == pytest.approx(1.0, rel=1e-5)
    spread = 0.1 * np.repeat(truth, 240).std(ddof=1)
    assert float(found["CBF", "tissue", "limits_high"]) == pytest.approx(0.1 * truth.mean() + 1.96 * spread, rel=1e-4)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"errors.csv", "truth.csv", "truth.html", "agreement.png"}


def test_maps_of_other_software_serve_as_a_reference(tmp_path, capsys):
    write_maps(tmp_path / "result")
    write_maps(tmp_path / "other", scale=2.0)
    assert main(["evaluate", "maps", str(tmp_path / "result"), str(tmp_path / "other"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "CBF: bias -42" in printed  # half of the reference's mean of 84
    assert "core: dice 1" in printed
    assert not (tmp_path / "out" / "truth.html").exists()  # a reference is not the truth


def test_without_out_nothing_is_written(tmp_path):
    write_maps(tmp_path / "result")
    write_truth(tmp_path / "truth")
    before = sorted(tmp_path.rglob("*"))
    assert main(["evaluate", "maps", str(tmp_path / "result"), str(tmp_path / "truth")]) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_maps_without_masks_are_segmented_first(tmp_path, capsys):
    write_maps(tmp_path / "result")
    for path in (tmp_path / "result" / "masks").iterdir():
        path.unlink()
    write_truth(tmp_path / "truth")
    assert main(["evaluate", "maps", str(tmp_path / "result"), str(tmp_path / "truth")]) == 0
    assert "hypoperfusion: dice" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["a"], ["a", "b", "--study", "c"]])
def test_either_a_study_or_two_folders(words, capsys):
    assert main(["evaluate", "maps", *words]) == 2
    assert "either --study OUT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--patients", "0"], "0 patients cannot be studied"),
        (["--motion", "drift:far"], "no size that can be read"),
        (["--residues", "triangle"], "no residue family 'triangle'"),
        (["--sites", "toe"], "no lesion site 'toe'"),
    ],
)
def test_a_mistake_is_told_before_any_work(words, sentence, tmp_path, capsys):
    assert main(["evaluate", "maps", "--study", str(tmp_path / "out"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_truth_is_told(tmp_path, capsys):
    write_maps(tmp_path / "result")
    write_truth(tmp_path / "truth")
    (tmp_path / "truth" / "curves.csv").unlink()
    assert main(["evaluate", "maps", str(tmp_path / "result"), str(tmp_path / "truth")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_design_follows_the_arguments():
    words = ["evaluate", "maps", "--study", "x", "--patients", "3", "--noise", "8", "--residues", "--intervals", "--frames"]
    words += ["--motion", "drift:4", "--sites", "--noise-reduction", "similarity", "none", "--methods", "osvd", "csvd"]
    design = evaluate.study_design(build_parser().parse_args(words))
    assert design.seeds == [1, 2, 3]
    assert design.methods[0] == pipeline.DEFAULT_METHOD if pipeline.DEFAULT_METHOD in ("csvd", "osvd") else True
    assert {condition.name for condition in design.conditions} == {
        "reference", "noise 8 HU", "head motion drift:4", "noise reduction none",
    }  # fmt: skip
    assert evaluate.moved("drift:4") == ("drift", 4.0)
    assert evaluate.moved("") == (None, None)


@pytest.mark.parametrize("motion", ["drift:3", "none"])
def test_taking_preparation_over_from_another_method_changes_no_map(monkeypatch, motion):
    monkeypatch.setitem(evaluate.evaluation.GRIDS, "small", ((64, 64, 4), (3.3, 3.3, 12.0)))
    condition = Condition(grid="small", residue="box", interval_s=2.0, frames=22, motion=motion, noise_hu=1.0)
    series, _ = evaluate.make_patient(condition, 8, lambda fraction, stage: None)
    quiet = lambda fraction, stage: None  # noqa: E731
    first = evaluate.analyze(series, "", "csvd", None, quiet)
    second = evaluate.analyze(series, "gaussian", "osvd", first, quiet)
    alone = pipeline.run(series, pipeline.Settings(method="osvd", noise_reduction="gaussian"))
    for key in ("cbf", "cbv", "tmax"):
        np.testing.assert_array_equal(second.maps[key].values, alone.maps[key].values)
    np.testing.assert_array_equal(second.lesions.hypoperfusion, alone.lesions.hypoperfusion)
    assert (second.motion is first.motion) == (motion == "none")
