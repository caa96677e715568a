# SPDX-License-Identifier: Apache-2.0
"""A field as a file: what comes back, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from field_examples import raster

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.fitting import load_field, sample, save_field
from PerfusionSuiteLib.fitting.tensor_file import read_tensors, write_tensors

pytest.importorskip("safetensors")


def test_a_field_comes_back_as_it_was(tmp_path: Path) -> None:
    field = replace(raster("gamma:2", 0.3), fitted_aif=raster().aif * 1.1)
    again = load_field(save_field(field, tmp_path / "field.safetensors"))
    assert (again.method, again.kind, again.shape, dict(again.settings)) == ("spatial", "raster", field.shape, field.settings)
    assert again.fitted_aif is not None
    for one, other in (
        (field.affine, again.affine),
        (field.mask, again.mask),
        (field.times_s, again.times_s),
        (field.aif, again.aif),
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(field.fitted_aif, again.fitted_aif)
    for one, other in ((field.weights, again.weights), (field.history, again.history)):
        assert set(one) == set(other)
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])
            assert other[name].dtype == values.dtype


def test_half_precision_makes_the_file_smaller_and_the_maps_hardly_different(tmp_path: Path) -> None:
    field = raster()
    whole, half = save_field(field, tmp_path / "whole"), save_field(field, tmp_path / "half", half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    exact, rough = sample(load_field(whole)), sample(load_field(half))
    for name in ("cbf", "cbv", "mtt"):
        np.testing.assert_allclose(rough[name], exact[name], rtol=5e-3)


def test_weights_beyond_the_range_of_half_precision_stay_as_they_are(tmp_path: Path) -> None:
    field = raster()
    field = replace(field, weights={**field.weights, "large": np.array([1e6], np.float32), "none": np.zeros(3, np.float32)})
    again = load_field(save_field(field, tmp_path / "field", half=True))
    assert again.weights["large"][0] == np.float32(1e6)
    np.testing.assert_array_equal(again.weights["none"], np.zeros(3))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="There is no file .*nothing"):
        load_field(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 200, -20])
def test_a_damaged_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = save_field(raster(), tmp_path / "field.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidInputError, match=r"'field.safetensors' is damaged or no safetensors file"):
        load_field(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    path.write_bytes(b"PK\x03\x04 not a tensor in sight, but long enough to hold a header")
    with pytest.raises(InvalidInputError, match="damaged or no safetensors file"):
        load_field(path)
    save_file({"x": np.ones(3)}, str(path))
    with pytest.raises(InvalidInputError, match="'other.safetensors' is not a fitted field of Perfusion Suite"):
        load_field(path)
    write_tensors(path, {"x": np.ones(3)}, {}, kind="checkpoint", version=1)
    with pytest.raises(InvalidInputError, match="is not a fitted field of Perfusion Suite"):
        load_field(path)
    write_tensors(path, {"x": np.ones(3)}, {}, kind="field", version=7)
    with pytest.raises(InvalidInputError, match=r"newer Perfusion Suite \(fitted field version 7, known is 1\)"):
        load_field(path)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"mask": np.zeros(3, np.uint8)}, {}),
        ({"aif": np.zeros(7)}, {}),
        ({"times_s": np.zeros(121)}, {}),
        ({"mask": None}, {}),
        ({}, {"shape": [0, 3, 3]}),
        ({}, {"shape": "large"}),
        ({}, {"kind": "pickle"}),
        ({}, {"affine": [[1.0]]}),
        ({}, {"settings": 3}),
    ],
)
def test_a_file_whose_parts_do_not_fit_together_is_refused(tmp_path: Path, change: dict, facts: dict) -> None:
    path = save_field(raster(), tmp_path / "field.safetensors")
    tensors, known = read_tensors(path, kind="field", version=1, what="field")
    kept = {name: values for name, values in {**tensors, **change}.items() if values is not None}
    write_tensors(path, kept, {**known, **facts}, kind="field", version=1)
    with pytest.raises(InvalidInputError):
        load_field(path)
