# SPDX-License-Identifier: Apache-2.0
"""Series read frame by frame, and volumes behind the header of another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.nifti_like import read_curves, source_header, write_like

SHAPE = (5, 4, 3)
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2.1, 0.2, -30], [0, -0.1, 5.5, 7], [0, 0, 0, 1]])


@pytest.fixture
def a_series() -> np.ndarray:
    return np.random.default_rng(0).integers(-500, 500, (*SHAPE, 6)).astype(np.int16)


@pytest.fixture
def a_mask() -> np.ndarray:
    return np.random.default_rng(1).random(SHAPE) < 0.4


def saved(path: Path, data: np.ndarray, kind: Any = nibabel.Nifti1Image, **fields: Any) -> Path:
    image = kind(data, AFFINE)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


class TestCurves:
    @pytest.mark.parametrize("end", [".nii", ".nii.gz"])
    def test_they_are_those_of_the_whole_array(self, tmp_path: Path, a_series: np.ndarray, a_mask: np.ndarray, end: str) -> None:
        path = saved(tmp_path / f"series{end}", a_series)
        np.testing.assert_array_equal(read_curves(path, a_mask), a_series[a_mask].astype(np.float32))

    def test_a_fourth_axis_of_length_one_is_passed_over(self, tmp_path: Path, a_series: np.ndarray, a_mask: np.ndarray) -> None:
        path = saved(tmp_path / "series.nii", a_series[:, :, :, None])
        np.testing.assert_array_equal(read_curves(path, a_mask), a_series[a_mask])

    def test_stored_numbers_are_scaled(self, tmp_path: Path, a_series: np.ndarray, a_mask: np.ndarray) -> None:
        image = nibabel.Nifti1Image(a_series, AFFINE)
        image.header.set_slope_inter(0.5, 3.0)
        nibabel.save(image, tmp_path / "series.nii.gz")
        stored = nibabel.load(tmp_path / "series.nii.gz").get_fdata()
        np.testing.assert_allclose(read_curves(tmp_path / "series.nii.gz", a_mask), stored[a_mask], rtol=1e-6)

    def test_a_file_that_ends_early_is_named(self, tmp_path: Path, a_series: np.ndarray, a_mask: np.ndarray) -> None:
        path = saved(tmp_path / "series.nii", a_series)
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(InvalidInputError, match="'series.nii' ends after 4 of 6 frames"):
            read_curves(path, a_mask)

    def test_a_damaged_packed_file_is_named(self, tmp_path: Path, a_series: np.ndarray, a_mask: np.ndarray) -> None:
        path = saved(tmp_path / "series.nii.gz", np.random.default_rng(0).integers(0, 9999, (*SHAPE, 90)).astype(np.int16))
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(InvalidInputError, match=r"series.nii.gz"):
            read_curves(path, a_mask)

    def test_another_grid_and_other_axes_are_refused(self, tmp_path: Path, a_series: np.ndarray, a_mask: np.ndarray) -> None:
        with pytest.raises(InvalidInputError, match="Resample"):
            read_curves(saved(tmp_path / "series.nii", a_series), a_mask[:-1])
        with pytest.raises(InvalidInputError, match="axes"):
            read_curves(saved(tmp_path / "map.nii", a_series[..., 0]), a_mask)


class TestHeaders:
    @pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
    def test_place_codes_and_spacings_are_taken_over(self, tmp_path: Path, a_series: np.ndarray, kind: Any) -> None:
        source = saved(tmp_path / "series.nii", a_series, kind, qform_code=0, sform_code=3)
        path = write_like(tmp_path / "map.nii.gz", np.ones(SHAPE), source_header(source), dtype=np.float32)
        image = nibabel.load(path)
        assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 3)
        np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-6)
        assert image.shape == SHAPE
        assert image.header["sizeof_hdr"] == 348

    def test_texts_and_display_range_are_not(self, tmp_path: Path, a_series: np.ndarray) -> None:
        source = saved(tmp_path / "series.nii", a_series, descrip=b"Jane Doe", db_name=b"Jane", cal_max=900.0)
        header = nibabel.load(write_like(tmp_path / "map.nii", np.ones(SHAPE), source_header(source), dtype=np.uint8)).header
        assert bytes(header["descrip"]).strip(b"\0") == b""
        assert bytes(header["db_name"]).strip(b"\0") == b""
        assert float(header["cal_max"]) == 0.0

    def test_scaling_of_the_source_does_not_reach_the_new_numbers(self, tmp_path: Path, a_series: np.ndarray) -> None:
        source = saved(tmp_path / "series.nii", a_series)
        content = bytearray(source.read_bytes())
        content[112:120] = np.array([0.01, 5.0], "<f4").tobytes()  # scl_slope and scl_inter
        source.write_bytes(bytes(content))
        path = write_like(tmp_path / "map.nii", np.full(SHAPE, 7.0), source_header(source), dtype=np.float32)
        assert (nibabel.load(path).get_fdata() == 7.0).all()

    def test_the_fourth_spacing_can_be_set_in_seconds(self, tmp_path: Path, a_series: np.ndarray) -> None:
        source = source_header(saved(tmp_path / "series.nii", a_series))
        image = nibabel.load(write_like(tmp_path / "new.nii", a_series, source, dtype=np.float32, step_s=1.5))
        assert image.header.get_zooms()[3] == 1.5
        assert image.header.get_xyzt_units()[1] == "sec"

    def test_a_type_that_the_format_lacks_is_refused(self, tmp_path: Path, a_series: np.ndarray) -> None:
        source = source_header(saved(tmp_path / "series.nii", a_series))
        with pytest.raises(InvalidInputError, match="complex64"):
            write_like(tmp_path / "new.nii", a_series, source, dtype=np.complex64)
