# SPDX-License-Identifier: Apache-2.0
"""Pictures show the right side on the right side, in true proportions, and say when there is nothing to show."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from PerfusionSuiteLib.core import InputFunction, LesionMasks, MotionReport, Study
from PerfusionSuiteLib.lesion.volumes import slice_statistics
from PerfusionSuiteLib.results.layout import PICTURES
from PerfusionSuiteLib.results.pictures import draw
from PerfusionSuiteLib.results.pictures.canvas import map_colors, save
from PerfusionSuiteLib.results.pictures.content import drawn_values, scene_of
from PerfusionSuiteLib.results.pictures.curves import peak_of, tail_of
from PerfusionSuiteLib.results.pictures.views import picture_mm, projected, spread_slices, view_of

WORLD = (9, 11, 7)  # voxels towards right, anterior, superior
SIZES = np.array([1.0, 2.0, 5.0])


def every_orientation() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def stored(world: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Store a volume given in right-anterior-superior order in another order; return it with its affine."""
    values = np.transpose(world, axes)
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for voxel_axis, world_axis in enumerate(axes):
        affine[world_axis, voxel_axis] = SIZES[world_axis] * signs[voxel_axis]
        if signs[voxel_axis] < 0:
            values = np.flip(values, voxel_axis)
            affine[world_axis, 3] = SIZES[world_axis] * (world.shape[world_axis] - 1)
    return values, affine


@pytest.mark.parametrize(("axes", "signs"), every_orientation())
def test_the_patients_right_anterior_and_top_are_where_radiologists_expect_them(axes: Any, signs: Any) -> None:
    world = np.zeros(WORLD)
    world[7, 9, 5] = 1.0  # right, anterior, superior
    values, affine = stored(world, axes, signs)
    view = view_of(np.ones(values.shape, bool), affine)
    turned = view.turn(values)
    where = {plane: np.argwhere(projected(turned, plane) == 1.0)[0].tolist() for plane in ("axial", "coronal", "sagittal")}
    # (row, column): right on the left (column 9 - 1 - 7), anterior at the top (row 11 - 1 - 9), superior at the top.
    assert where == {"axial": [1, 1], "coronal": [1, 1], "sagittal": [1, 1]}
    assert picture_mm(view, "axial") == (9.0, 22.0)
    assert picture_mm(view, "coronal") == (9.0, 35.0)
    assert picture_mm(view, "sagittal") == (22.0, 35.0)
    assert view.slice_mm(5) == pytest.approx(25.0)


def test_cropping_keeps_the_position_of_a_slice() -> None:
    values, affine = stored(np.pad(np.ones((3, 3, 2)), ((3, 3), (4, 4), (2, 3))), (2, 0, 1), (-1, 1, -1))
    view = view_of(values > 0, affine, margin_mm=0.0)
    assert view.turn(values).shape == (3, 3, 2)
    assert [view.slice_mm(0), view.slice_mm(1)] == pytest.approx([10.0, 15.0])


def test_a_projection_ignores_missing_values_and_shows_none_where_all_are_missing() -> None:
    turned = np.full((2, 2, 2), np.nan)
    turned[0, 0] = [1.0, 3.0]
    picture = projected(turned, "axial")
    assert picture[1, 1] == 3.0
    assert np.isnan(picture).sum() == 3


def test_the_slice_with_the_largest_lesion_is_always_shown() -> None:
    brain, lesion = np.ones((4, 4, 40), bool), np.zeros((4, 4, 40), bool)
    lesion[0, 0, 3] = True
    chosen = spread_slices(brain, lesion, 7)
    assert 3 in chosen
    assert len(chosen) == 7
    assert chosen == sorted(chosen)


def test_few_slices_are_all_shown() -> None:
    assert spread_slices(np.ones((4, 4, 3), bool), np.zeros((4, 4, 3), bool), 7) == [0, 1, 2]


def images_of(figure: Any) -> list[Any]:
    return [image for axes in figure.axes for image in axes.images]


def test_a_lesion_of_the_left_hemisphere_is_on_the_right_of_the_picture(a_study: Study) -> None:
    axial = draw(scene_of(a_study), "tmax_mip").axes[0].images[0].get_array().filled(np.nan)
    late = axial > 6.0
    middle = axial.shape[1] / 2.0
    assert late.any()
    assert np.nonzero(late)[1].mean() > middle, "the patient's left belongs on the right"


def test_every_map_is_shown_with_its_fixed_scale(a_study: Study) -> None:
    scales = {image.get_clim() for image in images_of(draw(scene_of(a_study), "maps_montage")) if image.get_array().ndim == 2}
    assert scales == {(0, 100), (0, 8), (0, 15), (0, 12), (0, 80)}


def test_pixels_keep_the_proportions_of_voxels(a_study: Study) -> None:
    scene = scene_of(a_study)
    for axes, plane in zip(draw(scene, "core_penumbra_mip").axes, ("axial", "coronal", "sagittal"), strict=False):
        width, height = picture_mm(scene.view, plane)
        place = axes.get_window_extent()
        assert place.width / place.height == pytest.approx(width / height, rel=0.01)


def test_missing_values_are_black() -> None:
    colors = map_colors("perfusion")
    assert tuple(colors(np.ma.masked_invalid([np.nan]))[0]) == (0.0, 0.0, 0.0, 1.0)


def test_the_skull_is_not_part_of_the_baseline_behind_lesions(a_study: Study) -> None:
    assert np.nanmax(scene_of(a_study).baseline) < 100.0


def texts_of(figure: Any) -> str:
    figure.canvas.draw()
    drawn = [*figure.texts, *(text for axes in figure.axes for text in (*axes.texts, axes.title))]
    return " | ".join(text.get_text() for text in drawn)


def test_volumes_stand_in_the_legend(a_study: Study) -> None:
    text = texts_of(draw(scene_of(a_study), "core_penumbra_mip"))
    assert f"{a_study.lesions.core.sum() * 0.128:.1f} mL" in text
    assert f"{a_study.lesions.penumbra.sum() * 0.128:.1f} mL" in text


def without_lesion(study: Study) -> Study:
    none = np.zeros_like(study.lesions.core)
    return replace(study, lesions=replace(study.lesions, hypoperfusion=none, core=none, penumbra=none))


def test_a_healthy_brain_is_called_so(a_study: Study) -> None:
    assert "No hypoperfused tissue" in texts_of(draw(scene_of(without_lesion(a_study)), "core_penumbra_mip"))
    assert "No hypoperfused tissue" in texts_of(draw(scene_of(without_lesion(a_study)), "maps_montage"))


def nothing_at_all(study: Study) -> Study:
    none = np.zeros_like(study.lesions.core)
    study = without_lesion(study)
    masks = replace(study.masks, brain=none, csf=none, vessel=none, bone=none)
    return replace(study, masks=masks, lesions=replace(study.lesions, tissue=none, reference=none), vof=None, motion=None)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("change", [without_lesion, nothing_at_all, lambda study: replace(study, vof=None, motion=None)])
def test_every_picture_can_be_drawn_of_an_odd_study(a_study: Study, name: str, change: Any) -> None:
    draw(scene_of(change(a_study)), name).canvas.draw()


def test_the_peak_of_a_sampled_parabola_is_found_between_samples() -> None:
    times = np.array([0.0, 1.0, 2.5, 4.0, 5.0])
    time, height = peak_of(InputFunction(times, 10.0 - (times - 2.8) ** 2))
    assert time == pytest.approx(2.8)
    assert height == pytest.approx(10.0)


def test_delay_scale_and_truncation_are_written_on_the_curves(a_study: Study) -> None:
    assert a_study.vof is not None
    values = a_study.vof.values.copy()
    values[-3:] = 0.5 * values.max()
    text = texts_of(draw(scene_of(replace(a_study, vof=replace(a_study.vof, values=values))), "aif_vof"))
    assert "Venous peak 6.0 s after the arterial peak." in text
    assert "AIF scaled by 2.40" in text
    assert "VOF cut off at 50 %" in text


def test_words_above_the_curves_end_before_the_slices_beside_them(a_study: Study) -> None:
    aif = replace(
        a_study.aif, scale=11.25, flags=(*a_study.aif.flags, "aif_later_part"), quality={**a_study.aif.quality, "late_share": 1.2}
    )
    figure = draw(scene_of(replace(a_study, aif=aif)), "aif_vof")
    figure.canvas.draw()
    (words,) = (text for text in figure.texts if text.get_text().startswith("Venous peak"))
    curves, *slices = figure.axes
    box = words.get_window_extent()
    assert box.x1 < min(axes.get_window_extent().x0 for axes in slices)
    assert box.y0 > curves.get_window_extent().y1


def test_a_curve_that_returned_to_baseline_is_not_called_cut_off(a_study: Study) -> None:
    assert tail_of(a_study.aif) < 0.01
    assert "cut off" not in texts_of(draw(scene_of(a_study), "aif_vof"))


@pytest.mark.parametrize("delay_s", [-3.0, 0.0, 1.5, 3.0, 8.0])
def test_labels_of_two_peaks_do_not_overlap(a_study: Study, delay_s: float) -> None:
    assert a_study.aif is not None
    times = a_study.aif.times_s
    values = np.exp(-0.5 * ((times - peak_of(a_study.aif)[0] - delay_s) / 4.0) ** 2)
    vof = replace(a_study.vof, values=float(a_study.aif.values.max()) * values)
    figure = draw(scene_of(replace(a_study, vof=vof)), "aif_vof")
    figure.canvas.draw()
    peaks = [f"{peak_of(curve)[0]:.1f} s" for curve in (a_study.aif, vof)]
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in peaks][:2]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_the_measured_curve_is_the_scaled_one_divided_by_the_scale(a_study: Study) -> None:
    lines = {line.get_label(): line for line in draw(scene_of(a_study), "aif_vof").axes[0].lines}
    np.testing.assert_allclose(lines["AIF, measured"].get_ydata() * 2.4, lines["AIF, scaled × 2.40"].get_ydata())


def test_a_curve_from_a_file_has_no_location(a_study: Study) -> None:
    aif = replace(a_study.aif, voxels=np.zeros((0, 3), np.int64), origin="file")
    assert "AIF from a file" in texts_of(draw(scene_of(replace(a_study, aif=aif)), "aif_vof"))


def test_a_still_head_and_frames_left_out_are_named(a_study: Study) -> None:
    motion = MotionReport(np.zeros((30, 3)), np.zeros((30, 3)), applied=False, dropped=(4, 5))
    text = texts_of(draw(scene_of(replace(a_study, motion=motion)), "motion"))
    assert "Still: data unchanged." in text
    assert "Left out (gray): 2 of 30 frames." in text


def test_equal_studies_give_equal_pictures(a_study: Study, tmp_path: Path) -> None:
    first, second = (save(draw(scene_of(a_study), "tmax_mip"), tmp_path / name).read_bytes() for name in "ab")
    assert first == second


def test_matplotlibs_global_state_is_not_touched(a_study: Study) -> None:
    import sys

    before = "matplotlib.pyplot" in sys.modules
    draw(scene_of(a_study), "motion")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_bright_rim_of_the_brain_does_not_cover_the_projection(a_study: Study) -> None:
    brain = a_study.masks.brain
    rim = brain & ~ndimage.binary_erosion(brain, ndimage.generate_binary_structure(2, 1)[:, :, None])  # 4 mm wide
    baseline = np.where(rim, 79.0, a_study.concentration.baseline).astype(np.float32)
    study = replace(a_study, concentration=replace(a_study.concentration, baseline=baseline))
    inner = projected(scene_of(study).inner_baseline(), "coronal")
    assert np.nanmax(inner) == 35.0


def test_single_late_voxels_do_not_fill_the_projection_of_tmax(a_study: Study) -> None:
    values = a_study.maps["tmax"].values.copy()
    values[12:20:4, 20:30:4, :] = 12.0  # specks in the right hemisphere
    maps = a_study.maps.added(replace(a_study.maps["tmax"], values=values))
    axial = draw(scene_of(replace(a_study, maps=maps)), "tmax_mip").axes[0].images[0].get_array().filled(0.0)
    right_hemisphere = axial[:, : axial.shape[1] // 3]
    assert right_hemisphere.max() < 6.0
    assert axial.max() > 10.0


def test_a_scan_without_baseline_frames_has_no_shaded_baseline(a_study: Study) -> None:
    study = replace(a_study, concentration=replace(a_study.concentration, baseline_frames=0))
    assert len(draw(scene_of(a_study), "aif_vof").axes[0].patches) == 1
    assert len(draw(scene_of(study), "aif_vof").axes[0].patches) == 0


def test_slices_of_an_oblique_scan_stand_at_the_same_height_in_pictures_and_tables() -> None:
    tilt = np.radians(20.0)
    affine = np.diag([2.0, 2.0, 8.0, 1.0])
    affine[:3, 1] = 2.0 * np.array([0.0, np.cos(tilt), np.sin(tilt)])
    affine[:3, 2] = 8.0 * np.array([0.0, -np.sin(tilt), np.cos(tilt)])
    brain = np.zeros((20, 40, 3), bool)
    brain[5:15, 3:20] = True  # not in the middle of the image, so that its own middle lies lower
    nothing = np.zeros_like(brain)
    rows = slice_statistics(LesionMasks(nothing, nothing, nothing, brain, brain, affine, "none", np.array([1.0, 0, 0, 0])))
    view = view_of(brain, affine)
    assert [view.slice_mm(k) for k in range(3)] == pytest.approx([row["position_mm"] for row in rows], abs=1e-3)


def test_maps_are_drawn_without_fluid_and_images_of_the_head_with_it(a_study: Study) -> None:
    fluid = a_study.masks.csf
    drawn = drawn_values(a_study, "tmax")
    assert np.isnan(drawn[fluid]).all()
    np.testing.assert_array_equal(drawn[~fluid], a_study.maps["tmax"].values[~fluid])
    np.testing.assert_array_equal(drawn_values(a_study, "baseline"), a_study.maps["baseline"].values)
