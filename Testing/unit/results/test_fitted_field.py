# SPDX-License-Identifier: Apache-2.0
"""What a fit has learned lies beside the maps: the field as one file, its losses as a table."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.core import FittedField
from PerfusionSuiteLib.fitting import load_field
from PerfusionSuiteLib.results.fitted_field import missing_for_field, write_field
from PerfusionSuiteLib.results.layout import Layout

pytest.importorskip("safetensors")
TIMES = np.linspace(0.0, 40.0, 21)


def field() -> FittedField:
    weights = {name: np.zeros((3, 3, 2), np.float32) for name in ("log_volume", "center_s", "log_mtt")}
    history = {"step": np.array([1.0, 2.0, 3.0]), "seconds": np.array([0.1, 0.2, 0.3]), "loss": np.array([9.0, 4.0, 3.5])}
    settings = {"factor": 4190.0, "family": "box", "dispersion": 0.0}
    return FittedField(
        "spatial", "raster", weights, (3, 3, 2), np.eye(4), np.ones((3, 3, 2), bool), TIMES, TIMES, settings, history
    )


@pytest.mark.parametrize(("layout", "files"), [
    ("flat", ("field.safetensors", "loss.csv")),
    ("bids", ("sub-01/perf/sub-01_desc-field_perf.safetensors", "sub-01/perf/sub-01_desc-loss_perf.tsv")),
])  # fmt: skip
def test_field_and_losses_are_written_in_either_layout(tmp_path: Path, layout: str, files: tuple[str, str]) -> None:
    names = Layout(layout, "01")
    write_field(field(), tmp_path, names)
    assert load_field(tmp_path / files[0]).method == "spatial"
    with (tmp_path / files[1]).open() as stream:
        rows = list(csv.DictReader(stream, delimiter=names.delimiter))
    assert [float(row["loss"]) for row in rows] == [9.0, 4.0, 3.5]
    assert list(rows[0]) == ["step", "seconds", "loss"]
    assert {Path(name) for name in files} <= names.every_name()


def test_methods_without_a_field_leave_nothing(tmp_path: Path) -> None:
    write_field(None, tmp_path, Layout("flat", "01"))
    assert not list(tmp_path.iterdir())
    assert missing_for_field(None) == ()


def test_without_safetensors_the_losses_stay_and_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "safetensors" else found(name))
    (told,) = missing_for_field(field())
    assert "'safetensors' is missing" in told.message
    write_field(field(), tmp_path, Layout("flat", "01"))
    assert [path.name for path in tmp_path.iterdir()] == ["loss.csv"]
