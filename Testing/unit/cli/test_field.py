# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite field``: maps of another resolution and fitted curves from a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import FittedField
from PerfusionSuiteLib.core.nifti import read_header, read_volume, write_volume
from PerfusionSuiteLib.fitting import sample, save_field

pytest.importorskip("safetensors")
SHAPE = (6, 5, 4)
TIMES = np.linspace(0.0, 40.0, 21)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    weights = {
        "log_volume": rng.normal(-3.3, 0.2, SHAPE).astype(np.float32),
        "center_s": rng.normal(6.0, 0.5, SHAPE).astype(np.float32),
        "log_mtt": rng.normal(1.6, 0.1, SHAPE).astype(np.float32),
    }
    x = np.maximum(TIMES - 6.0, 0.0) / 4.0
    aif = 300.0 * (x * np.exp(1.0 - x)) ** 3
    settings = {"factor": 4190.0, "family": "box", "dispersion": 0.0}
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    field = FittedField("spatial", "raster", weights, SHAPE, affine, np.ones(SHAPE, bool), TIMES, aif, settings)
    return save_field(field, tmp_path / "field.safetensors")


def test_maps_of_a_file_are_those_of_the_field(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PerfusionSuiteLib.fitting import load_field

    out = tmp_path / "maps"
    assert main(["field", "sample", str(file), str(out)]) == 0
    assert "6 x 5 x 4 voxels" in capsys.readouterr().out
    maps = sample(load_field(file))
    assert {path.name for path in out.iterdir()} == {"field.json", *(f"{key}.nii.gz" for key in maps)}
    values, affine = read_volume(out / "cbf.nii.gz")
    np.testing.assert_array_equal(values, maps["cbf"])
    np.testing.assert_allclose(affine, np.diag([2.0, 2.0, 5.0, 1.0]))
    assert json.loads((out / "field.json").read_text())["method"] == "spatial"


def test_a_finer_grid_and_that_of_another_volume(file: Path, tmp_path: Path) -> None:
    assert main(["field", "sample", str(file), str(tmp_path / "fine"), "--spacing", "1", "1", "2.5"]) == 0
    assert read_header(tmp_path / "fine" / "tmax.nii.gz").shape == (12, 10, 8)
    other = write_volume(tmp_path / "other.nii.gz", np.zeros((3, 3, 3)), np.diag([4.0, 3.0, 6.0, 1.0]))
    assert main(["field", "sample", str(file), str(tmp_path / "like"), "--like", str(other)]) == 0
    header = read_header(tmp_path / "like" / "tmax.nii.gz")
    assert header.shape == (3, 3, 3)
    np.testing.assert_allclose(header.affine, np.diag([4.0, 3.0, 6.0, 1.0]))


def test_curves_on_a_finer_time_grid(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "curves"
    assert main(["field", "curves", str(file), str(out), "--step", "0.5"]) == 0
    header = read_header(out / "fitted_curves.nii.gz")
    assert header.shape == (*SHAPE, 81)
    assert header.interval_s == pytest.approx(0.5)
    with (out / "fitted_aif.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["time_sec"]) for row in rows] == pytest.approx(np.linspace(0, 40, 81))
    assert max(float(row["aif"]) for row in rows) == pytest.approx(300.0, rel=0.05)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--spacing", "1", "2"], "one number or three"),
        (["--spacing", "-1"], "positive"),
    ],
)
def test_a_wrong_grid_is_told_in_one_sentence(
    file: Path, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["field", "sample", str(file), str(tmp_path / "out"), *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_wrong_step_or_file_is_told(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["field", "curves", str(file), str(tmp_path / "out"), "--step", "0"]) == 2
    assert "--step must lie between" in capsys.readouterr().err
    assert main(["field", "sample", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "There is no file" in capsys.readouterr().err
