# SPDX-License-Identifier: Apache-2.0
"""Tables hold every number under a predictable name."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from PerfusionSuiteLib.core import InputFunction
from PerfusionSuiteLib.results import flatten, write_rows
from PerfusionSuiteLib.results.tables import write_curve


def test_nested_keys_are_joined_by_dots() -> None:
    flat = flatten({"a": 1, "volumes_ml": {"tmax_gt_6": 2.5}, "slices": [{"area": 1.0}, {"area": 2.0}], "size": [4, 5]})
    assert flat == {
        "a": 1, "volumes_ml.tmax_gt_6": 2.5, "slices.0.area": 1.0, "slices.1.area": 2.0, "size.0": 4, "size.1": 5
    }  # fmt: skip


def test_texts_share_one_cell_and_empty_containers_keep_their_column() -> None:
    assert flatten({"flags": ["late", "weak"], "none": [], "empty": {}}) == {"flags": "late; weak", "none": None, "empty": None}


def test_missing_numbers_are_empty_cells_and_columns_are_united(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv", [{"a": 1.5, "b": None}, {"a": float("nan"), "c": True}])
    assert list(csv.reader(path.read_text(encoding="utf-8").splitlines())) == [["a", "b", "c"], ["1.5", "", ""], ["", "", "true"]]


def test_a_comma_in_a_text_does_not_shift_columns(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv", [{"note": 'one, "two"', "value": 3}])
    assert next(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) == {"note": 'one, "two"', "value": "3"}


def test_a_curve_has_the_columns_that_can_be_given_back(tmp_path: Path) -> None:
    times, values = np.array([0.0, 1.25, 3.0]), np.array([0.0, 12.345678, 1.0])
    rows = list(
        csv.DictReader(write_curve(tmp_path / "vof.csv", InputFunction(times, values, kind="vof")).read_text().splitlines())
    )
    assert list(rows[0]) == ["time_sec", "vof"]
    np.testing.assert_allclose([float(r["time_sec"]) for r in rows], times)
    np.testing.assert_allclose([float(r["vof"]) for r in rows], values, rtol=1e-6)
