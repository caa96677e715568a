# SPDX-License-Identifier: Apache-2.0
"""What a preview shows is what Apply finds."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps
from PerfusionSuiteLib.lesion import PRESETS, segment
from PerfusionSuiteLib.lesion.preview import preview, preview_basis


@pytest.fixture(scope="module")
def maps():
    _series, truth = phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(64, 64, 4), spacing_mm=(3.2, 3.2, 14.0), interval_s=2.0, frames=25
    )
    return PerfusionMaps.from_arrays(
        {key: np.asarray(truth.maps[key], np.float32) for key in ("tmax", "cbf", "cbv", "delay")}, truth.affine
    )


@pytest.mark.parametrize("name", ["ct-perfusion-auto", "neuroflow", "rapid-like", "syngo-like", "mistar-like"])
@pytest.mark.parametrize("changes", [{}, {"tmax_s": 4.0, "rcbf_percent": 45.0, "min_cluster_ml": 0.0}])
def test_a_preview_equals_the_lesions_of_the_same_thresholds_and_plane(maps, name, changes):
    preset, plane = replace(PRESETS[name], **changes), (1.0, 0.0, 0.0, 0.0)
    _, lesions = segment(maps, preset=preset, midplane=plane)
    hypoperfusion, core = preview(preview_basis(maps, preset=preset, midplane=plane), preset)
    np.testing.assert_array_equal(hypoperfusion, lesions.hypoperfusion)
    np.testing.assert_array_equal(core, lesions.core)


def test_without_a_plane_the_middle_of_the_tissue_parts_the_sides(maps):
    basis = preview_basis(maps)
    assert abs(basis.midplane[3]) < 5.0
    hypoperfusion, _core = preview(basis, PRESETS["ct-perfusion-auto"])
    assert hypoperfusion.any()


def test_the_side_of_the_user_moves_the_reference(maps):
    strict = replace(PRESETS["ct-perfusion-auto"], rcbf_percent=60.0, min_cluster_ml=0.0)
    cores = [preview(preview_basis(maps, midplane=(1, 0, 0, 0.0), side=side), strict)[1].sum() for side in ("left", "right")]
    assert cores[0] != cores[1]


def test_a_plane_that_does_not_part_left_from_right_is_refused(maps):
    with pytest.raises(InvalidInputError, match="does not separate"):
        preview_basis(maps, midplane=(0.0, 1.0, 0.0, 0.0))


def test_where_a_network_draws_the_core_hypoperfusion_is_shown_until_it_has_drawn_one(maps):
    preset, plane = PRESETS["core-network"], (1.0, 0.0, 0.0, 0.0)
    _, lesions = segment(maps, preset="ct-perfusion-auto", midplane=plane)
    hypoperfusion, core = preview(preview_basis(maps, preset=preset, midplane=plane), preset)
    np.testing.assert_array_equal(hypoperfusion, lesions.hypoperfusion)
    assert core is None


def test_what_the_network_has_drawn_follows_the_threshold_of_its_probability(maps):
    preset = replace(PRESETS["core-network"], min_cluster_ml=0.0)
    probable = np.linspace(0.0, 1.0, 64, dtype=np.float32)[:, None, None] + np.zeros(maps.shape, np.float32)
    affine = maps.affine
    drawn = maps.added(*PerfusionMaps.from_arrays({"core_probability": probable}, affine).values())
    basis = preview_basis(drawn, preset=preset, midplane=(1, 0, 0, 0.0))
    for level in (0.2, 0.5, 0.8):
        hypoperfusion, core = preview(basis, replace(preset, core_probability=level))
        np.testing.assert_array_equal(core, hypoperfusion & basis.tissue & (probable > level))


def test_a_rule_whose_map_is_missing_is_refused_in_words(maps):
    by_diffusion = replace(PRESETS["ct-perfusion-auto"], core_rule="adc")
    with pytest.raises(InvalidInputError, match="need the map adc"):
        preview(preview_basis(maps), by_diffusion)


def test_previews_open_without_pytorch():
    code = "import sys, PerfusionSuiteLib.lesion.preview; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
