# SPDX-License-Identifier: Apache-2.0
"""Color bars are found, read and inverted level by level (ct-perfusion-auto 5, check 3 of its section 19)."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.phantom.color_bars import draw_bar, draw_cube, draw_text, flow_colors, palette_colors, time_colors
from PerfusionSuiteLib.series.color_bar import bar_of_colors, find_color_bar, nearest_level
from PerfusionSuiteLib.series.color_values import invert_pictures, read_table
from PerfusionSuiteLib.series.notes import Notes

BARS = {"time": time_colors(), "flow": flow_colors(), "palette": palette_colors()}


def picture_with(colors: np.ndarray, rows_per_level: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A picture with every level in a block, a bar, text and a cube; also the levels of the block."""
    picture = np.zeros((len(colors) * rows_per_level + 60, 360, 3), np.uint8)
    rng = np.random.default_rng(len(colors))
    levels = np.resize(rng.permutation(len(colors)), (150, 180))
    picture[60:210, 60:240] = colors[levels]
    draw_bar(picture, colors, 30, 320, rows_per_level=rows_per_level)
    draw_text(picture, "12 S", 28, 338)
    draw_cube(picture, 4, 4)
    return picture, levels


def test_the_time_bar_has_the_luminance_that_was_measured_on_the_vendors() -> None:
    luminance = time_colors() @ np.array([0.299, 0.587, 0.114]) / 255.0 * 12.0
    seconds = [luminance[round(s / 12 * 254) - 1] for s in (6, 10, 12)]
    assert seconds == pytest.approx([7.0, 8.3, 3.7], abs=0.06)


@pytest.mark.parametrize("rows_per_level", [1, 2])
@pytest.mark.parametrize("name", BARS)
def test_every_level_of_a_burnt_in_bar_is_exact(name: str, rows_per_level: int) -> None:
    colors = BARS[name]
    picture, levels = picture_with(colors, rows_per_level)
    bar = find_color_bar(picture)
    assert bar is not None
    assert np.array_equal(bar.colors, colors)
    np.testing.assert_allclose(bar.places, np.linspace(0, 1, len(colors)), atol=1e-12)
    assert bar.box == (30, 30 + len(colors) * rows_per_level, 320, 334)
    assert np.array_equal(nearest_level(picture[60:210, 60:240], bar, 8.0), levels)


def test_a_lying_bar_and_a_reversed_one_are_read() -> None:
    picture, _ = picture_with(time_colors())
    lying = np.transpose(picture, (1, 0, 2))[:, ::-1]  # lowest level on the left
    bar = find_color_bar(np.ascontiguousarray(lying))
    assert bar is not None
    assert np.array_equal(bar.colors, time_colors())
    upside_down = find_color_bar(np.ascontiguousarray(picture[::-1]), reverse=True)
    assert upside_down is not None
    assert np.array_equal(upside_down.colors, time_colors())


def test_a_picture_without_a_bar_has_none_however_smooth_it_is() -> None:
    picture, _ = picture_with(time_colors())
    assert find_color_bar(np.ascontiguousarray(picture[:, :310])) is None
    y, x = np.mgrid[:300, :300] / 300.0
    smooth = time_colors()[(126 + 126 * np.sin(5 * x) * np.cos(4 * y)).astype(int)]
    assert find_color_bar(smooth) is None
    gradient = time_colors()[np.clip(np.add.outer(np.arange(254), np.arange(200) // 2), 0, 253)]
    assert find_color_bar(gradient) is None, "colors that change across it, too, are no bar"
    assert find_color_bar(np.zeros((300, 300, 3), np.uint8)) is None


def test_colors_that_are_not_on_the_bar_are_no_map() -> None:
    bar = bar_of_colors(time_colors())
    others = np.array([(255, 255, 255), (128, 128, 128), (0, 0, 0), (230, 200, 170), (255, 0, 255)], np.uint8)
    assert (nearest_level(others, bar, 8.0) == -1).all()


def head(colors: np.ndarray, levels: np.ndarray, text: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Slices with an ellipse of given levels, a bar, text and a cube."""
    pictures = np.zeros((len(levels), 320, 330, 3), np.uint8)
    y, x = np.mgrid[:320, :330]
    inside = ((x - 140) / 95) ** 2 + ((y - 160) / 120) ** 2 <= 1
    for picture, level in zip(pictures, levels, strict=True):
        picture[inside] = colors[level]
        draw_bar(picture, colors, 30, 290)
        draw_text(picture, "PHANTOM", 6, 4, text)
        draw_text(picture, "12", 28, 308, text)
        draw_cube(picture, 280, 4)
    return pictures


@pytest.mark.parametrize("text", [(255, 255, 255), (0, 255, 0), (255, 255, 0)])
def test_a_slice_is_never_stretched_and_marks_are_no_brain(text: tuple[int, int, int]) -> None:
    pictures = head(time_colors(), np.array([42, 42, 126]), text)
    made = invert_pictures(pictures, "tmax", (0.0, 12.0), Notes())
    inside = np.isfinite(made.values)
    y, x = np.mgrid[:320, :330]
    wanted = (((x - 140) / 95) ** 2 + ((y - 160) / 120) ** 2 <= 1).T
    assert all(np.array_equal(inside[..., k], wanted) for k in range(3)), "bar, text and cube are not map"
    for k, level in enumerate((42, 42, 126)):
        np.testing.assert_allclose(made.values[..., k][wanted], 12.0 * level / 253.0, rtol=1e-6)


def test_black_within_a_map_is_its_lowest_level_only_when_the_bar_begins_black() -> None:
    for name, known in (("flow", True), ("time", False)):
        pictures = head(BARS[name], np.array([100, 100]))
        pictures[:, 150:170, 130:150] = 0
        made = invert_pictures(pictures, "cbf", (0.0, 100.0), Notes())
        hole = made.values[130:150, 150:170]
        assert (hole == 0.0).all() if known else np.isnan(hole).all()
        assert np.isnan(made.values[0, 0]).all()


def test_an_image_without_a_bar_takes_that_of_its_series_and_says_so() -> None:
    pictures, notes = head(time_colors(), np.array([60, 60, 60])), Notes()
    pictures[1, :, 280:] = 0
    made = invert_pictures(pictures, "tmax", (0.0, 12.0), notes)
    assert made.images_without_bar == 1
    assert [finding.code for finding in notes.findings] == ["color_bar_missing"]
    assert np.nanmax(made.values) == pytest.approx(12 * 60 / 253)


def test_a_scale_that_is_exceeded_is_told() -> None:
    notes = Notes()
    made = invert_pictures(head(time_colors(), np.array([253])), "tmax", (0.0, 12.0), notes)
    assert made.at_top == 1.0
    assert [finding.code for finding in notes.findings] == ["color_scale_exceeded"]


def test_a_palette_of_401_levels_gives_back_paired_scalar_images() -> None:
    rng = np.random.default_rng(5)
    for quantity, high in (("cbf", 2.0), ("cbv", 2.0), ("mtt", 15.0)):
        scalar = rng.integers(1, 401, (512, 512))
        made = invert_pictures(
            palette_colors()[scalar][None], quantity, (0.0, high), Notes(), table=bar_of_colors(palette_colors())
        )
        np.testing.assert_allclose(made.values[..., 0].T, scalar * high / 400.0, rtol=1e-6)


def test_pictures_without_bar_and_table_are_refused() -> None:
    pictures = head(time_colors(), np.array([60]))[:, :, :280]
    with pytest.raises(InvalidInputError, match=r"have no color bar.*--lut tmax=FILE"):
        invert_pictures(pictures, "tmax", (0.0, 12.0), Notes())
    with pytest.raises(InvalidInputError, match="No part of the tmax pictures has the colors"):
        invert_pictures(np.full((1, 90, 90, 3), 200, np.uint8), "tmax", (0.0, 12.0), Notes(), table=bar_of_colors(time_colors()))


def test_a_look_up_table_is_read_from_text_and_from_a_picture(tmp_path) -> None:
    import SimpleITK as sitk  # noqa: N813

    lines = "\n".join(",".join(map(str, color)) for color in flow_colors())
    (tmp_path / "flow.csv").write_text(f"red,green,blue\n{lines}\n")
    assert np.array_equal(read_table(tmp_path / "flow.csv").colors, flow_colors())
    assert np.array_equal(read_table(tmp_path / "flow.csv", reverse=True).colors, flow_colors()[::-1])
    picture, _ = picture_with(flow_colors())
    sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(tmp_path / "bar.png"))
    assert np.array_equal(read_table(tmp_path / "bar.png").colors, flow_colors())
    (tmp_path / "bad.csv").write_text("1,2,999\n")
    with pytest.raises(InvalidInputError, match="no table of red, green and blue"):
        read_table(tmp_path / "bad.csv")
    (tmp_path / "twice.csv").write_text("1,2,3\n1,2,3\n")
    with pytest.raises(InvalidInputError, match="each must be there once"):
        read_table(tmp_path / "twice.csv")
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_table(tmp_path / "none.csv")
