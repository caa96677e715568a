# SPDX-License-Identifier: Apache-2.0
"""``region-from-picture``: what it writes, and that ``segment`` takes it as the normal region."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from PerfusionSuiteLib import results
from PerfusionSuiteLib.cli.main import main

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])
AFFINE[:3, 3] = (39.0, 39.0, -12.5)


@pytest.fixture
def maps(tmp_path):
    """A brain of 80 mm: late on the patient's right, normal flow of 50 in front and of 40 behind on the left."""
    folder = tmp_path / "maps"
    i, j, _ = np.indices((40, 40, 6))
    inside = np.hypot(i - 19.5, j - 19.5) < 18
    right, front = i < 14, j < 20
    values = {
        "tmax": np.where(right, 8.0, 2.0),
        "cbf": np.where(right, 12.0, np.where(front, 50.0, 40.0)),
        "cbv": np.full(i.shape, 3.0),
    }
    for key, value in values.items():
        results.write_volume(folder / f"{key}.nii.gz", np.where(inside, value, np.nan), AFFINE)
    return folder


@pytest.fixture
def picture(tmp_path):
    """A gray screenshot of the whole field of view with a yellow ring at the upper right: patient's left, in front."""
    y, x = np.mgrid[:400, :400]
    pixels = np.where(np.hypot(x - 200, y - 200) < 180, 90, 0).astype(np.uint8)[..., None].repeat(3, 2)
    pixels[np.abs(np.hypot(x - 280, y - 130) - 50) < 2] = (255, 230, 0)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(tmp_path / "mip.png"))
    return tmp_path / "mip.png"


def test_a_drawn_region_becomes_the_reference_of_a_segmentation(maps, picture, tmp_path, capsys) -> None:
    out = tmp_path / "region"
    assert main(["region-from-picture", str(picture), str(maps / "tmax.nii.gz"), str(out), "--role", "contralateral"]) == 0
    assert "on the patient's left" in capsys.readouterr().out
    mask, affine = results.read_volume(out / "contra_mask.nii.gz")
    assert np.allclose(affine, AFFINE)
    place = np.argwhere(mask) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    assert np.allclose(place.mean(axis=0), (-16.0, 14.0, 0.0), atol=1.0)
    facts = json.loads((out / "contra_mask.json").read_text())
    assert facts["role"] == "contralateral"
    assert facts["voxels"] == mask.sum()
    assert facts["volume_ml"] == pytest.approx(mask.sum() * 0.02)
    names = {"contra_mask.nii.gz", "contra_mask.json", "contra_mask_picture.png", "contra_mask_proof.png"}
    assert {path.name for path in out.iterdir()} == names

    contra = str(out / "contra_mask.nii.gz")
    assert main(["segment", str(maps), str(tmp_path / "seg"), "--contra-mask", contra]) == 0
    metrics = json.loads((tmp_path / "seg" / "metrics.json").read_text())
    assert metrics["reference"]["cbf"] == pytest.approx(50.0), "the normal flow is that of the drawn region"
    assert metrics["reference"]["side"] == "mask"


def test_both_roles_lie_side_by_side(maps, picture, tmp_path) -> None:
    for role in ("contralateral", "lesion"):
        common = ["region-from-picture", str(picture), str(maps / "tmax.nii.gz"), str(tmp_path / "out"), "--role", role]
        assert main([*common, "--slab", "-3", "3"]) == 0
    assert {"contra_mask.nii.gz", "roi_mask.nii.gz"} <= {path.name for path in (tmp_path / "out").iterdir()}
    mask, _ = results.read_volume(tmp_path / "out" / "roi_mask.nii.gz")
    assert set(np.argwhere(mask)[:, 2]) == {2, 3}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--color", "00ff00"], "Nothing on the picture has a hue"),
        (["--color", "green"], "is not a color"),
        (["--pick", "500", "10"], "outside of the picture"),
        (["--pick", "0", "0"], "gray or dark"),
        (["--crop", "0", "0", "400", "200", "--slab", "900", "950"], "No slice lies between 900 and 950 mm"),
        (["--orientation", "coronal"], "Give the crop box"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(maps, picture, tmp_path, capsys, options, sentence) -> None:
    words = ["region-from-picture", str(picture), str(maps / "tmax.nii.gz"), str(tmp_path / "out"), "--role", "lesion"]
    assert main([*words, *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_color_of_the_line_can_be_picked(maps, picture, tmp_path) -> None:
    words = ["region-from-picture", str(picture), str(maps / "tmax.nii.gz"), str(tmp_path / "out"), "--role", "lesion"]
    assert main([*words, "--pick", "330", "130"]) == 0
    assert json.loads((tmp_path / "out" / "roi_mask.json").read_text())["line_color"] == "#ffe600"
