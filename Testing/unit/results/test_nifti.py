# SPDX-License-Identifier: Apache-2.0
"""Volumes keep their numbers and their place, as other software reads them."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.geometry import LPS_TO_RAS
from PerfusionSuiteLib.results import read_volume, write_volume

SHAPE = (5, 7, 3)


def grid(kind: str) -> np.ndarray:
    """Return an affine of 0.9 x 1.1 x 5 mm voxels, turned, mirrored or sheared."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [12, -25, 40], degrees=True).as_matrix() @ np.diag([0.9, 1.1, 5.0])
    affine[:3, 3] = [-31.5, 17.25, 80.0]
    if kind == "left-handed":
        affine[:, 0] *= -1
    if kind == "axis-aligned":
        affine[:3, :3] = np.diag([-0.9, -1.1, 5.0])
    if kind == "sheared":
        affine[:3, 2] += [0.0, 1.7, 0.0]
    return affine


@pytest.fixture
def numbers() -> np.ndarray:
    values = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    values[0, 1, 2] = np.nan
    return values


ORTHOGONAL = ["turned", "left-handed", "axis-aligned"]


@pytest.mark.parametrize("kind", [*ORTHOGONAL, "sheared"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_finds_the_same_numbers_at_the_same_place(tmp_path: Path, numbers: np.ndarray, kind: str, suffix: str) -> None:
    path = write_volume(tmp_path / f"a{suffix}", numbers, grid(kind), unit="s", description="Tmax (s)")
    image = nib.load(path)
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), numbers)
    np.testing.assert_allclose(image.affine, grid(kind), atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.get_data_dtype() == np.float32
    assert image.header["descrip"].item() == b"Tmax (s)"
    assert image.header["intent_name"].item() == b"s"


@pytest.mark.parametrize("kind", ORTHOGONAL)
def test_sform_and_qform_agree(tmp_path: Path, numbers: np.ndarray, kind: str) -> None:
    image = nib.load(write_volume(tmp_path / "a.nii.gz", numbers, grid(kind)))
    sform, sform_code = image.get_sform(coded=True)
    qform, qform_code = image.get_qform(coded=True)
    np.testing.assert_allclose(qform, sform, atol=1e-4)
    assert (int(sform_code), int(qform_code)) == (1, 1)


def test_a_sheared_grid_has_no_qform_that_would_misplace_it(tmp_path: Path, numbers: np.ndarray) -> None:
    image = nib.load(write_volume(tmp_path / "a.nii.gz", numbers, grid("sheared")))
    assert int(image.header["qform_code"]) == 0
    assert int(image.header["sform_code"]) == 1


@pytest.mark.parametrize("kind", ORTHOGONAL)
def test_itk_puts_each_voxel_at_the_same_millimeter(tmp_path: Path, numbers: np.ndarray, kind: str) -> None:
    image = SimpleITK.ReadImage(str(write_volume(tmp_path / "a.nii.gz", numbers, grid(kind))))
    point = LPS_TO_RAS @ [*image.TransformIndexToPhysicalPoint((4, 2, 1)), 1.0]
    np.testing.assert_allclose(point, grid(kind) @ [4, 2, 1, 1], atol=1e-3)
    assert image.GetPixel(4, 2, 1) == numbers[4, 2, 1]


@pytest.mark.parametrize("kind", [*ORTHOGONAL, "sheared"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_reading_back_gives_what_was_written(tmp_path: Path, kind: str, dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)
    back, affine = read_volume(write_volume(tmp_path / "a.nii.gz", values, grid(kind), dtype=dtype))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, values)
    np.testing.assert_allclose(affine, grid(kind), atol=1e-5)


def test_a_mask_is_stored_as_bytes(tmp_path: Path) -> None:
    mask = np.arange(105).reshape(SHAPE) % 3 == 0
    image = nib.load(write_volume(tmp_path / "a.nii.gz", mask, np.eye(4), dtype=np.uint8))
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj) == 1, mask)


def test_equal_volumes_give_equal_files(tmp_path: Path, numbers: np.ndarray) -> None:
    first, second = (write_volume(tmp_path / name, numbers, np.eye(4)).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert first == second


def test_a_four_dimensional_volume_keeps_its_time_axis(tmp_path: Path) -> None:
    values = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    back, _ = read_volume(write_volume(tmp_path / "a.nii", values, np.eye(4)))
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("kind", ORTHOGONAL)
def test_a_file_with_a_qform_alone_is_placed_like_nibabel_places_it(tmp_path: Path, kind: str) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), None)
    image.set_qform(grid(kind), 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "q.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "q.nii.gz")[1], grid(kind), atol=1e-4)


def test_scaled_numbers_of_a_big_endian_file_are_read(tmp_path: Path) -> None:
    raw = np.arange(105, dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(raw, grid("turned"), nib.Nifti1Header(endianness=">"))
    image.header.set_data_dtype(np.int16)
    image.header.set_slope_inter(0.5, -3.0)
    path = tmp_path / "big.nii"
    header = image.header.copy()
    header["vox_offset"] = 352
    path.write_bytes(header.binaryblock + b"\0" * 4 + raw.astype(">i2").tobytes(order="F"))
    values, affine = read_volume(path)
    np.testing.assert_allclose(values, raw * 0.5 - 3.0)
    np.testing.assert_allclose(affine, grid("turned"), atol=1e-5)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, numbers: np.ndarray) -> None:
    path = write_volume(tmp_path / "a.nii", numbers, np.eye(4))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InvalidInputError, match="ends early"):
        read_volume(path)


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path, numbers: np.ndarray) -> None:
    path = write_volume(tmp_path / "a.nii.gz", numbers, np.eye(4))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_volume(path)


@pytest.mark.parametrize(
    "content", [b"", b"not an image" * 100, gzip.compress(b"text", mtime=0)], ids=["empty", "text", "compressed text"]
)
def test_a_file_that_is_no_volume_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(InvalidInputError, match="not a NIfTI volume"):
        read_volume(tmp_path / "a.nii")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'nowhere\.nii' cannot be read"):
        read_volume(tmp_path / "nowhere.nii")


def test_complex_numbers_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="type complex64"):
        write_volume(tmp_path / "a.nii", np.zeros(SHAPE), np.eye(4), dtype=np.complex64)
