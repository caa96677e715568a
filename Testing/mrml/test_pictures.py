# SPDX-License-Identifier: Apache-2.0
"""Pictures of Slicer's views: radiological convention, true colours, legends beside the brain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from PerfusionSuiteLib.core import QUANTITIES, CancelledError, PerfusionMaps
from PerfusionSuiteLib.core.colors import LESION_COLORS, color_table
from PerfusionSuiteSlicer.headless.ContactSheet import contactSheet
from PerfusionSuiteSlicer.headless.IOManager import readScene
from PerfusionSuiteSlicer.headless.Runtime import freshScene
from PerfusionSuiteSlicer.headless.SliceImages import SliceView, letters
from PerfusionSuiteSlicer.mrml.MapNodes import mapsToNodes, renewLegend
from PerfusionSuiteSlicer.mrml.StudyPictures import asDrawn, chosenSlices, onlyVisible
from PerfusionSuiteSlicer.mrml.StudyScene import studyToScene
from PerfusionSuiteSlicer.mrml.writers import writeScene

from .scene_problems import problemsOfScene

pytestmark = pytest.mark.mrml

PICTURES = {f"slicer_{name}.png" for name in ("tmax_overlay", "cbf", "cbv", "mtt", "tmax", "lesions", "input_function", "curves")}


@pytest.fixture
def shown(runtime, a_study):
    """A square axial view of 480 pixels on 240 mm around the middle of the head: 2 pixels are 1 mm."""
    nodes = studyToScene(runtime.scene, a_study, includeSeries=False)
    view = SliceView(runtime, (480, 480))
    yield nodes, view
    view.close()


def pixel(picture, right_mm, anterior_mm):
    """The colour at a place: the patient's right is at the left of the picture, anterior on top."""
    column, row = 240 - 2 * right_mm, 240 - 2 * anterior_mm
    return picture[round(row), round(column)].astype(int)


def look(view, background, foreground=None, opacity=0.6):
    view.show(background, foreground, opacity=opacity)
    view.lookAt(np.array([0.0, 0.0, 4.0]), (240.0, 240.0))
    return view.picture()


LEFT_CORE, LEFT_PENUMBRA, RIGHT_TISSUE = (-44.0, 2.0), (-16.0, 2.0), (44.0, 2.0)


def test_a_lesion_on_the_patients_left_is_at_the_right_of_the_picture_in_the_colours_of_the_table(shown):
    nodes, view = shown
    with onlyVisible(nodes):
        picture = look(view, nodes.maps["cbf"])
    colors = 255 * color_table("perfusion")
    for place, cbf in ((LEFT_CORE, 9.0), (LEFT_PENUMBRA, 24.0), (RIGHT_TISSUE, 52.0)):
        np.testing.assert_allclose(pixel(picture, *place), colors[round(cbf / 100 * 255)], atol=8)


def test_tmax_is_blended_over_the_grey_image(shown):
    nodes, view = shown
    with onlyVisible(nodes):
        picture = look(view, nodes.maps["baseline"], nodes.maps["tmax"], opacity=0.5)
    grey = 35 / 80 * 255
    color = 255 * color_table("delay")[round(11 / 12 * 255)]
    np.testing.assert_allclose(pixel(picture, *LEFT_CORE), 0.5 * grey + 0.5 * color, atol=8)


def test_outside_the_brain_a_map_hides_nothing(shown):
    nodes, view = shown
    with onlyVisible(nodes):
        alone = look(view, nodes.maps["baseline"])
        covered = look(view, nodes.maps["baseline"], nodes.maps["tmax"], opacity=1.0)
    skull = (0.0, 98.0)
    assert pixel(alone, *skull).tolist() == [255, 255, 255]
    np.testing.assert_array_equal(pixel(covered, *skull), pixel(alone, *skull))


def test_lesions_are_tinted_in_their_fixed_colours(shown):
    nodes, view = shown
    with onlyVisible(nodes, "lesions"):
        picture = look(view, nodes.maps["baseline"])
    grey, fill = 35 / 80 * 255, 0.45
    for place, key in ((LEFT_CORE, "core"), (LEFT_PENUMBRA, "penumbra")):
        expected = fill * 255 * np.array(LESION_COLORS[key]) + (1 - fill) * grey
        np.testing.assert_allclose(pixel(picture, *place), expected, atol=8)
    np.testing.assert_allclose(pixel(picture, *RIGHT_TISSUE), grey, atol=3)


def test_a_millimetre_is_as_long_across_as_up_although_voxels_are_not(runtime, a_study):
    affine = np.diag([-2.0, -4.0, 8.0, 1.0])
    affine[:3, 3] = 47.0, 110.0, -20.0
    lesions = replace(a_study.lesions, affine=affine)
    maps = type(a_study.maps)([replace(item, affine=affine) for item in a_study.maps.values()])
    study = replace(a_study, maps=maps, lesions=lesions)
    nodes = studyToScene(runtime.scene, study, includeSeries=False)
    view = SliceView(runtime, (480, 480))
    with onlyVisible(nodes):
        inside = look(view, nodes.maps["cbf"]).max(axis=2) > 0
    view.close()
    width, height = inside.any(axis=0).sum(), inside.any(axis=1).sum()
    brain = a_study.masks.brain[:, :, 3]
    assert width == pytest.approx(2 * 2 * brain.any(axis=1).sum(), abs=3)
    assert height == pytest.approx(2 * 4 * brain.any(axis=0).sum(), abs=3)


@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)])
def test_the_picture_is_the_same_however_the_scanner_stored_the_voxels(runtime, a_study, flips):
    axes = [axis for axis in range(3) if flips[axis]]
    flip = np.eye(4)
    for axis in axes:
        flip[axis, axis], flip[axis, 3] = -1, a_study.maps.shape[axis] - 1
    item = a_study.maps["cbf"]
    flipped = replace(item, values=np.flip(item.values, axes).copy(), affine=item.affine @ flip)
    node = mapsToNodes(runtime.scene, type(a_study.maps)([flipped]), "flipped")["cbf"]
    view = SliceView(runtime, (480, 480))
    picture = look(view, node)
    view.close()
    colors = 255 * color_table("perfusion")
    for place, cbf in ((LEFT_CORE, 9.0), (RIGHT_TISSUE, 52.0)):
        np.testing.assert_allclose(pixel(picture, *place), colors[round(cbf / 100 * 255)], atol=8)


def test_letters_say_where_the_patient_is(shown):
    nodes, view = shown
    look(view, nodes.maps["cbf"])
    right, up, _ = view.directions()
    assert [letters(d) for d in (right, -right, up, -up)] == ["L", "R", "A", "P"]
    assert view.positionText() == "S 4.0 mm"
    assert letters(np.array([-0.7, 0.714, 0.0])) == "AL"


@pytest.mark.parametrize("key", ["tmax", "cbf"])
def test_fluid_is_not_drawn_in_pictures_of_maps_and_keeps_its_numbers_in_the_scene(shown, a_study, key):
    nodes, view = shown
    assert a_study.masks.csf[23, 27, 4]  # the middle of the picture
    with onlyVisible(nodes), asDrawn(a_study, nodes.maps[key], key):
        picture = look(view, nodes.maps[key])
    assert not pixel(picture, 0.0, 0.0).any()
    assert pixel(picture, *RIGHT_TISSUE).any()
    assert pixel(look(view, nodes.maps[key]), 0.0, 0.0).any()


def test_pictures_leave_the_scene_as_it_was(runtime, a_study, tmp_path):
    from PerfusionSuiteSlicer.mrml.StudyPictures import writePictures

    nodes = studyToScene(runtime.scene, a_study, includeSeries=False)
    before = runtime.scene.GetNumberOfNodes()
    writePictures(runtime, a_study, nodes, tmp_path)
    assert runtime.scene.GetNumberOfNodes() == before
    assert nodes.lesions.GetDisplayNode().GetVisibility()
    legend = nodes.maps["cbf"].GetNthDisplayNode(1)
    assert legend.GetVisibility()
    assert nodes.maps["cbf"].GetNumberOfDisplayNodes() == 2


def read_png(path):
    import matplotlib.image

    return (255 * matplotlib.image.imread(path)[..., :3]).round().astype(int)


def test_the_writer_gives_scene_and_pictures_with_legends_beside_the_slices(application_scene, a_study, tmp_path):
    users_nodes = application_scene.GetNumberOfNodes()
    seen = []
    files = writeScene(a_study, tmp_path, lambda fraction, stage: seen.append(fraction))
    assert files[0] == tmp_path / "scene.mrb"
    assert {file.name for file in files[1:]} == PICTURES
    assert all(file.exists() for file in files)
    assert seen == sorted(seen)
    assert application_scene.GetNumberOfNodes() == users_nodes
    cbf = read_png(tmp_path / "qa" / "slicer_cbf.png")
    legend = cbf[44:, -170:]
    for color in 255 * color_table("perfusion")[[64, 128, 192]]:
        assert (np.abs(legend - color).max(axis=-1) < 12).any()
    lesions = read_png(tmp_path / "qa" / "slicer_lesions.png")
    red = (lesions[..., 0] > 130) & (lesions[..., 1] < 90) & (lesions[..., 2] < 90)
    first = red[44 : 44 + 320, : lesions.shape[1] // 4]
    assert first.any()
    assert np.flatnonzero(first.any(axis=0)).min() > first.shape[1] / 2
    curves = read_png(tmp_path / "qa" / "slicer_curves.png")
    for color in ((0.86, 0.15, 0.15), (0.16, 0.42, 0.86)):
        assert (np.abs(curves - 255 * np.array(color)).max(axis=-1) < 25).sum() > 200
    with freshScene() as runtime:
        assert readScene(runtime.scene, str(tmp_path / "scene.mrb"), clear=True)
        assert problemsOfScene(runtime.scene, "case-01", ("series.prepared", "map.cbf", "lesions", "report")) == []


def test_a_long_title_gets_a_wider_legend_instead_of_being_cut_off(runtime, a_study):
    flow = a_study.maps["cbf"]
    share = replace(flow, quantity=QUANTITIES["prior_delay"], unit="1", values=flow.values / 100.0)
    short = mapsToNodes(runtime.scene, a_study.maps, "short")["tmax"]
    (long,) = mapsToNodes(runtime.scene, PerfusionMaps([share]), "long").values()
    sheets = [
        contactSheet(runtime, node, [np.array([0.0, 0.0, 4.0])] * 4, (200.0, 200.0), heading=[("x", (1, 1, 1))], legendOf=node)
        for node in (short, long)
    ]
    widths = [sheet.shape[1] for sheet in sheets]
    assert widths[1] > widths[0]
    for sheet in sheets:
        assert not sheet[44:, -6:].any()


@pytest.mark.parametrize("size", [(307, 207), (225, 273), (600, 400)])
def test_legends_of_one_layout_have_letters_of_one_size(runtime, a_study, size):
    nodes = mapsToNodes(runtime.scene, a_study.maps, "x")
    fonts = {}
    for key in ("cbf", "cbv", "mtt", "tmax", "ttp", "rcbf"):  # "100" or "8", five or six numbers, short or long units
        view = SliceView(runtime, size)
        try:
            view.show(nodes["baseline"], nodes[key])
            renewLegend(runtime.scene, nodes[key])
            view.picture()
            manager = view.group.GetDisplayableManagerByClassName("vtkMRMLColorLegendDisplayableManager")
            legend = manager.GetColorLegendActor(slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(nodes[key]))
            fonts[key] = legend.GetTitleTextProperty().GetFontSize()  # VTK gives titles the letters that fit the labels
        finally:
            view.close()
    assert max(fonts.values()) - min(fonts.values()) <= 1, fonts


def test_a_writer_that_is_cancelled_leaves_the_old_files(a_study, tmp_path):
    (tmp_path / "scene.mrb").write_text("earlier")

    def cancel(fraction, stage):
        if fraction > 0.7:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        writeScene(a_study, tmp_path, cancel, includeSeries=False)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("scene.mrb", "earlier")]


def test_the_slice_with_the_largest_lesion_is_always_shown():
    brain = np.zeros((8, 8, 40), bool)
    brain[2:6, 2:6, 4:36] = True
    lesion = np.zeros_like(brain)
    lesion[3:5, 3:5, 17] = True
    chosen = chosenSlices(brain, lesion, 8)
    assert 17 in chosen
    assert len(chosen) == 8
    assert min(chosen) == 4
    assert max(chosen) == 35
