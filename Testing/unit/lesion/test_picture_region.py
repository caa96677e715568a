# SPDX-License-Identifier: Apache-2.0
"""A region drawn on a picture lands on the right voxels of the patient (ct-perfusion-auto 3 and check 4 of its section 19)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.lesion.picture_color import ColorRange, drawn_region, of_color
from PerfusionSuiteLib.lesion.picture_files import as_rgb, read_picture, write_mask_picture
from PerfusionSuiteLib.lesion.picture_region import PicturePlane, region_from_picture, seen_from

YELLOW = (255, 255, 0)
SIZES = np.array([2.0, 2.5, 4.0])


def rainbow(size: int = 200) -> np.ndarray:
    """A colored map: smooth bumps through blue, cyan, green, yellow and red on black."""
    y, x = np.mgrid[:size, :size] / size
    level = np.clip(0.5 + 0.35 * np.sin(9 * x) * np.cos(7 * y) + 0.15 * np.sin(31 * x * y), 0, 1)
    picture = np.stack([np.interp(level, [0, 0.25, 0.5, 0.75, 1], c) for c in
                        ([0, 0, 0, 255, 255], [0, 255, 255, 255, 4], [255, 255, 0, 0, 0])], axis=-1)  # fmt: skip
    picture[(x - 0.5) ** 2 + (y - 0.5) ** 2 > 0.2] = 0
    return picture.astype(np.uint8)


def with_ring(picture: np.ndarray, center: tuple[float, float], radius: float, color=YELLOW, width: float = 3.0) -> np.ndarray:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    ring = np.abs(np.hypot(y - center[0], x - center[1]) - radius) <= width / 2
    drawn = picture.copy()
    drawn[ring] = color
    return drawn


def disk(shape, center, radius) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - center[0], x - center[1]) <= radius


def of_few_levels(size: int = 256) -> np.ndarray:
    """A colored map of a projection: few levels, each in many patches, so that some yellow is commoner than any line."""
    level = np.random.default_rng(3).integers(0, 5, (size // 8, size // 8)).repeat(8, 0).repeat(8, 1)
    return np.array([(0, 0, 130), (30, 200, 220), (130, 240, 90), (222, 224, 54), (240, 203, 58)], np.uint8)[level]


@pytest.mark.parametrize("rings", [((100, 90, 30),), ((60, 60, 25), (180, 170, 35))])
def test_the_shade_of_strokes_is_told_from_a_commoner_yellow_of_the_map(rings) -> None:
    picture, wanted = of_few_levels(), np.zeros((256, 256), bool)
    for y, x, radius in rings:
        picture = with_ring(picture, (y, x), radius)
        wanted |= disk(wanted.shape, (y, x), radius + 1.5)
    line = (picture == YELLOW).all(axis=2).sum()
    assert (picture == (222, 224, 54)).all(axis=2).sum() > 2 * line, "the map's yellow is the commoner, which makes this a test"
    drawing = drawn_region(picture)
    assert drawing.shade == YELLOW
    assert 2 * (drawing.region & wanted).sum() / (drawing.region.sum() + wanted.sum()) > 0.9


def test_a_region_on_both_sides_is_told() -> None:
    brain = np.ones((64, 64, 3), bool)
    gray = np.full((64, 64, 3), 90, np.uint8)
    codes = [
        [found.code for found in region_from_picture(with_ring(gray, center, 12), brain, np.diag([3.0, 3.0, 5.0, 1.0])).findings]
        for center in ((32, 16), (32, 32))
    ]
    assert codes == [[], ["region_on_both_sides"]]


def test_a_yellow_outline_on_a_colored_map_selects_what_it_encloses() -> None:
    picture = with_ring(rainbow(), (120, 70), 30)
    assert of_color(rainbow(), ColorRange()).any(), "the map itself has yellow, which makes this a test"
    found = drawn_region(picture).region
    wanted = disk(picture.shape, (120, 70), 31.5)
    overlap = 2 * (found & wanted).sum() / (found.sum() + wanted.sum())
    assert overlap > 0.97


def test_pure_green_is_not_yellow() -> None:
    picture = with_ring(np.zeros((100, 100, 3), np.uint8), (50, 50), 20, (0, 255, 0))
    with pytest.raises(InvalidInputError, match="Nothing on the picture has a hue of 45 to 70"):
        drawn_region(picture)
    assert drawn_region(picture, ColorRange.around((0, 255, 0))).region[50, 50]


@pytest.mark.parametrize(
    ("color", "taken"),
    [((255, 255, 0), True), ((250, 200, 30), True), ((0, 255, 0), False), ((255, 0, 0), False), ((255, 165, 0), False),
     ((128, 255, 0), False), ((255, 255, 200), False), ((70, 70, 0), False), ((128, 128, 128), False), ((0, 0, 0), False)],
)  # fmt: skip
def test_yellow_is_neither_orange_lime_pale_dark_nor_gray(color: tuple[int, int, int], taken: bool) -> None:
    assert bool(of_color(np.array([[color]], np.uint8), ColorRange())[0, 0]) is taken


def test_a_hue_range_may_pass_through_red() -> None:
    colors = np.array([[(255, 0, 40), (255, 40, 0), (0, 255, 0)]], np.uint8)
    assert of_color(colors, ColorRange((340, 20))).tolist() == [[True, True, False]]


def test_an_outline_smoothed_by_the_drawing_program_is_closed_and_specks_do_not_count() -> None:
    big = with_ring(np.zeros((600, 600, 3), np.uint8), (300, 240), 120, width=4)
    picture = big.reshape(200, 3, 200, 3, 3).mean(axis=(1, 3)).astype(np.uint8)  # thin and soft
    picture[5:12, 150] = picture[5, 150:155] = YELLOW  # a letter
    picture[60, 78:82] = 0  # a gap
    found = drawn_region(picture).region
    assert found[100, 80]
    assert not found[:30].any()
    assert found.sum() == pytest.approx(np.pi * 40.5**2, rel=0.05)


def test_a_painted_region_needs_no_outline() -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[20:40, 30:60] = YELLOW
    found = drawn_region(picture)
    assert np.array_equal(found.region[22:38, 32:58], np.ones((16, 26), bool))
    assert found.region.sum() == pytest.approx(600, abs=8)
    assert found.shade == YELLOW
    assert found.findings == ()


def test_an_open_outline_is_told() -> None:
    picture = with_ring(np.zeros((200, 200, 3), np.uint8), (100, 100), 60, width=6)
    picture[100:] = 0
    assert [finding.code for finding in drawn_region(picture).findings] == ["outline_open"]


def test_a_thin_line_that_encloses_nothing_is_refused() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[50, 10:90] = YELLOW
    with pytest.raises(InvalidInputError, match="enclose nothing"):
        drawn_region(picture)


def test_a_background_of_that_color_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"covers 100 % of the picture"):
        drawn_region(np.full((50, 50, 3), YELLOW, np.uint8))


def affines() -> list[tuple[str, np.ndarray]]:
    """All ways to store a volume that differ by right angles, and some oblique ones."""
    found = []
    for axes in itertools.permutations(range(3)):
        for signs in ((1, 1, 1), (-1, -1, 1)):
            matrix = np.zeros((3, 3))
            matrix[list(axes), range(3)] = signs
            found.append((f"{axes}{signs}", matrix))
    obliques = ((0, 0, 20), (15, 0, 0), (-12, 10, 15))
    return found + [
        (f"oblique {a}", Rotation.from_euler("xyz", a, degrees=True).as_matrix() @ np.diag([-1, -1, 1])) for a in obliques
    ]


def a_brain(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid about the origin of the patient on a grid of 60 x 50 x 30 voxels along the given axes."""
    order = np.abs(matrix).argmax(axis=0)  # which direction of the body each voxel axis follows
    shape = tuple(np.array([60, 50, 30])[order])
    affine = np.eye(4)
    affine[:3, :3] = matrix * SIZES[order]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    place = np.tensordot(affine[:3, :3], np.indices(shape), 1) + affine[:3, 3][:, None, None, None]
    return (np.square(place / np.array([55, 58, 54])[:, None, None, None]).sum(axis=0) <= 1), affine


@pytest.mark.parametrize("matrix", [pytest.param(m, id=name) for name, m in affines()])
@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_a_drawing_lands_on_the_correct_side_of_the_patient(orientation: str, matrix: np.ndarray) -> None:
    brain, affine = a_brain(matrix)
    # Upper left quarter of a radiological picture: right and anterior, right and superior, anterior and superior.
    wide, tall = {"axial": (120, 125), "coronal": (120, 120), "sagittal": (125, 120)}[orientation]
    picture = np.zeros((tall, wide, 3), np.uint8)
    picture[int(0.27 * tall) : int(0.4 * tall), int(0.27 * wide) : int(0.4 * wide)] = YELLOW
    region = region_from_picture(picture, brain, affine, plane=PicturePlane(orientation))
    place = (np.argwhere(region.mask) @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    wanted = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}[orientation]
    assert (place[list(wanted)] > 5).all()
    other = ({0, 1, 2} - set(wanted)).pop()
    assert abs(place[other]) < 12
    if 0 in wanted:
        assert region.right_share > 0.9
    assert not region.mask[~brain].any()


def test_flips_name_what_is_not_radiological() -> None:
    brain, affine = a_brain(np.diag([-1.0, -1.0, 1.0]))
    picture = np.zeros((500, 480, 3), np.uint8)
    picture[130:200, 130:200] = YELLOW
    sides = {flips: region_from_picture(picture, brain, affine, plane=PicturePlane("axial", flips)) for flips in
             ((), ("horizontal",), ("vertical",), ("horizontal", "vertical"))}  # fmt: skip
    assert [region.right_share > 0.5 for region in sides.values()] == [True, False, True, False]
    front = [(np.argwhere(r.mask) @ affine[1, :3] + affine[1, 3]).mean() > 0 for r in sides.values()]
    assert front == [True, True, False, False]


def test_every_voxel_follows_the_majority_of_its_area() -> None:
    brain = np.ones((8, 6, 2), bool)
    affine = np.diag([-3.0, -3.0, 5.0, 1.0])
    picture = np.zeros((60, 80, 3), np.uint8)  # 10 pixels per voxel
    picture[16:44, 24:56] = YELLOW  # 40 % of row 1, all of 2 and 3, 40 % of 4; 60 % of columns 2 and 5
    region = region_from_picture(picture, brain, affine)
    assert np.argwhere(region.mask[:, :, 0]).tolist() == [[i, j] for i in range(2, 6) for j in range(2, 4)]
    assert np.array_equal(region.mask[..., 0], region.mask[..., 1])


def test_a_crop_box_says_where_the_field_of_view_lies_on_the_picture() -> None:
    brain, affine = np.ones((10, 10, 2), bool), np.diag([-2.0, -2.0, 5.0, 1.0])
    picture = np.zeros((150, 260, 3), np.uint8)
    picture[50:70, 120:140] = YELLOW
    region = region_from_picture(picture, brain, affine, plane=PicturePlane(crop=(100, 20, 200, 120)))
    assert np.argwhere(region.mask[:, :, 0]).tolist() == [[i, j] for i in (2, 3) for j in (3, 4)]
    part = region_from_picture(picture[:, 100:], brain, affine, plane=PicturePlane(crop=(0, 20, 100, 120)))
    assert np.array_equal(part.mask, region.mask)


def test_a_picture_of_another_shape_needs_a_crop_box() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[40:60, 40:60] = YELLOW
    with pytest.raises(InvalidInputError, match=r"200 x 100 pixels, but the axial field of view measures 20 x 20 mm"):
        region_from_picture(picture, np.ones((10, 10, 2), bool), np.diag([-2.0, -2.0, 5.0, 1.0]))


def test_a_slab_limits_the_region_in_patient_space() -> None:
    brain, affine = a_brain(np.diag([-1.0, -1.0, 1.0]))
    picture = np.zeros((500, 480, 3), np.uint8)
    picture[200:300, 200:280] = YELLOW
    region = region_from_picture(picture, brain, affine, slab_mm=(10.0, -10.0))
    heights = np.argwhere(region.mask)[:, 2] * 4.0 + affine[2, 3]
    assert (heights.min(), heights.max()) == (-10.0, 10.0)
    with pytest.raises(InvalidInputError, match="No slice lies between 200 and 300 mm"):
        region_from_picture(picture, brain, affine, slab_mm=(200.0, 300.0))


def test_a_drawing_beside_the_brain_is_refused() -> None:
    brain, affine = a_brain(np.diag([-1.0, -1.0, 1.0]))
    picture = np.zeros((500, 480, 3), np.uint8)
    picture[2:20, 2:40] = YELLOW
    with pytest.raises(InvalidInputError, match="does not meet the brain"):
        region_from_picture(picture, brain, affine)


def test_unknown_orientations_and_empty_boxes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="'oblique'"):
        PicturePlane("oblique")
    with pytest.raises(InvalidInputError, match="crop box"):
        PicturePlane(crop=(10, 10, 5, 50))
    with pytest.raises(InvalidInputError, match="gray or dark"):
        ColorRange.around((120, 125, 120))
    with pytest.raises(InvalidInputError, match="0 to 360"):
        ColorRange((10, 400))
    with pytest.raises((GridMismatchError, InvalidInputError)):
        region_from_picture(np.zeros((5, 5, 3), np.uint8), np.ones((5, 5), bool), np.eye(4))


def test_a_map_is_seen_radiologically() -> None:
    values = np.zeros((6, 5, 4), np.float32)
    affine = np.diag([-2.0, -2.0, 4.0, 1.0])  # i to the left, j to posterior, k upwards
    values[0, 1, 2] = 7.0
    assert np.argwhere(seen_from(values, affine, "axial")).tolist() == [[1, 0]]
    assert np.argwhere(seen_from(values, affine, "coronal")).tolist() == [[1, 0]]
    assert np.argwhere(seen_from(values, affine, "sagittal")).tolist() == [[1, 1]]


def test_pictures_of_all_kinds_are_read_as_rgb(tmp_path) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    color = np.zeros((3, 4, 3), np.uint8)
    color[0, 1] = (10, 200, 30)
    clear = np.dstack([color, np.full((3, 4), 128, np.uint8)])
    for name, values, wanted in (("gray", gray, np.repeat(gray[..., None], 3, 2)), ("rgb", color, color),
                                 ("rgba", clear, np.rint(color * (128 / 255)).astype(np.uint8))):  # fmt: skip
        sitk.WriteImage(sitk.GetImageFromArray(values, isVector=values.ndim == 3), str(tmp_path / f"{name}.png"))
        assert np.array_equal(read_picture(tmp_path / f"{name}.png"), wanted), name
    assert as_rgb(np.full((2, 2), 65535, np.uint16))[0, 0].tolist() == [255, 255, 255]
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InvalidInputError, match="cannot be read as a picture"):
        read_picture(tmp_path / "text.png")
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_picture(tmp_path / "missing.png")
    write_mask_picture(tmp_path / "mask.png", np.eye(4, dtype=bool))
    assert np.array_equal(read_picture(tmp_path / "mask.png")[..., 0] > 0, np.eye(4, dtype=bool))


def test_a_drawing_survives_jpeg_and_a_map_of_its_colors_is_told(tmp_path) -> None:
    y, x = np.mgrid[:400, :400]
    gray = (np.where(np.hypot(y - 200, x - 200) < 180, 90 + 60 * np.sin(x / 9) * np.cos(y / 7), 0)).astype(np.uint8)
    wanted = disk(gray.shape, (240, 140), 62)
    for name, base in (("gray", gray[..., None].repeat(3, 2)), ("rainbow", rainbow(400))):
        path = tmp_path / f"{name}.jpg"
        drawn = with_ring(base, (240, 140), 60, width=4)
        sitk.WriteImage(sitk.GetImageFromArray(drawn, isVector=True), str(path), useCompression=True, compressionLevel=80)
        found = drawn_region(read_picture(path))
        overlap = 2 * (found.region & wanted).sum() / (found.region.sum() + wanted.sum())
        told = [finding.code for finding in found.findings]
        assert (overlap > 0.97 and not told) if name == "gray" else told == ["drawn_color_mixed"]
