# SPDX-License-Identifier: Apache-2.0
"""The network that draws infarct cores (neural-fields.md 6 and 9.3, check 15)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib import lesion, phantom  # noqa: E402
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps, TissueMasks  # noqa: E402
from PerfusionSuiteLib.core.geometry import voxel_volume_ml  # noqa: E402
from PerfusionSuiteLib.evaluation import dice  # noqa: E402
from PerfusionSuiteLib.lesion import core_unet  # noqa: E402
from PerfusionSuiteLib.lesion.core_image import affected_half, core_image  # noqa: E402
from PerfusionSuiteLib.lesion.core_weights import CoreWeights, load_weights, raster, save_weights  # noqa: E402

pytestmark = pytest.mark.torch

AFFINE = np.diag([4.0, 4.0, 5.0, 1.0])
AFFINE[:3, 3] = (-62.0, -62.0, 0.0)
SHAPE = (32, 32, 6)


def network(inputs: int) -> core_unet.CoreNetwork:
    torch.manual_seed(0)
    return core_unet.CoreNetwork(inputs).eval()


def weights_of(inputs: tuple[str, ...] = ("rcbf", "rcbv", "tmax"), **more: object) -> CoreWeights:
    tensors = {name: value.numpy() for name, value in network(len(inputs)).state_dict().items()}
    return replace(CoreWeights(tensors, inputs, 4.0, (32, 32, 8)), **more)


def stroke() -> tuple[PerfusionMaps, TissueMasks]:
    """A brain with a late and hardly perfused region on its right side (RAS: positive x)."""
    i, j, k = np.indices(SHAPE)
    brain = (i - 15.5) ** 2 + (j - 15.5) ** 2 < 14**2
    late = brain & (i > 20) & (j > 10) & (k > 0)
    cbf = np.where(late, 12.0, 55.0)
    maps = {"cbf": cbf, "cbv": np.where(late, 2.0, 4.0), "tmax": np.where(late, 9.0, 1.0)}
    arrays = {key: np.where(brain, value, np.nan).astype(np.float32) for key, value in maps.items()}
    nothing = np.zeros(SHAPE, bool)
    return PerfusionMaps.from_arrays(arrays, AFFINE), TissueMasks(brain, nothing, nothing, nothing)


@pytest.mark.parametrize("depth", [1, 6, 20, 21, 33, 40])
def test_the_probability_has_the_shape_of_the_image(depth: int) -> None:
    image = torch.rand(2, 37, 50, depth)
    found = core_unet.probability(network(2), image, (32, 32, 20))
    assert found.shape == image.shape[1:]
    assert bool(((found >= 0) & (found <= 1)).all())


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 40, 2), (16, 16, 4)])
def test_images_smaller_than_a_window_have_a_probability(shape: tuple[int, int, int]) -> None:
    found = core_unet.probability(network(1), torch.rand(1, *shape), (32, 32, 20))
    assert found.shape == shape
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize(("length", "side"), [(16, 16), (17, 16), (40, 16), (181, 96), (12, 20)])
def test_windows_cover_an_axis_and_share_half_of_their_side(length: int, side: int) -> None:
    begun = core_unet.starts(length, side)
    covered = np.zeros(max(length, side), bool)
    for start in begun:
        covered[start : start + side] = True
    assert covered.all()
    assert all(b - a <= side / 2 for a, b in pairwise(begun))


def test_blended_weights_never_vanish_and_are_largest_in_the_middle() -> None:
    weight = core_unet.blending((96, 96, 12))
    assert float(weight.min()) > 0
    assert float(weight[47:49, 47:49, 5:7].min()) == pytest.approx(float(weight.max()))


def test_an_image_that_fits_one_window_is_seen_once() -> None:
    image, drawn = torch.rand(1, 32, 32, 8), network(1)
    with torch.inference_mode():
        direct = drawn(image[None])[0].softmax(0)[1]
    torch.testing.assert_close(core_unet.probability(drawn, image, (64, 64, 20)), direct)


def test_thick_slices_stay_and_thin_ones_are_joined() -> None:
    assert raster((256, 256, 32), np.diag([0.9, 0.9, 5.0, 1.0]), 1.2) == (192, 192, 32)
    assert raster((256, 256, 160), np.diag([0.9, 0.9, 1.0, 1.0]), 1.2) == (192, 192, 32)


def test_inputs_are_one_in_normal_tissue_and_zero_outside() -> None:
    maps, masks = stroke()
    normal = masks.brain & (maps["tmax"].values < 2)
    rcbf, rcbv, tmax = core_image(maps, normal, ("rcbf", "rcbv", "tmax"))
    np.testing.assert_allclose(rcbf[normal], 1.0, rtol=1e-6)
    np.testing.assert_allclose(rcbv[normal], 1.0, rtol=1e-6)
    np.testing.assert_allclose(tmax[masks.brain & ~normal], 0.9, rtol=1e-6)
    assert not rcbf[~masks.brain].any()


def test_inputs_do_not_depend_on_the_scale_of_the_maps() -> None:
    maps, masks = stroke()
    normal = masks.brain & (maps["tmax"].values < 2)
    doubled = PerfusionMaps.from_arrays({key: 2 * maps[key].values for key in ("cbf", "cbv")}, AFFINE)
    names = ("rcbf", "rcbv")
    np.testing.assert_allclose(core_image(doubled, normal, names), core_image(maps, normal, names), rtol=1e-6)


def test_a_missing_map_and_an_unknown_input_are_said() -> None:
    maps, masks = stroke()
    with pytest.raises(InvalidInputError, match="sees cbv, which is missing"):
        core_image(PerfusionMaps.from_arrays({"cbf": maps["cbf"].values}, AFFINE), masks.brain, ("rcbv",))
    with pytest.raises(InvalidInputError, match="no network input 'mtt'"):
        core_image(maps, masks.brain, ("mtt",))


def test_without_a_side_it_is_the_one_of_lower_flow() -> None:
    maps, masks = stroke()
    plane = np.array([1.0, 0.0, 0.0, 0.0])
    cbf = maps["cbf"].values
    low = np.where(np.indices(SHAPE)[0] > 15, 0.5 * cbf, cbf)
    right = affected_half(masks.brain, AFFINE, plane, "right", cbf)
    np.testing.assert_array_equal(affected_half(masks.brain, AFFINE, plane, "none", low), right)
    assert affected_half(masks.brain, AFFINE, plane, "bilateral", cbf).all()


def test_a_network_draws_only_on_the_affected_side(tmp_path: Path) -> None:
    maps, masks = stroke()
    eager = weights_of()
    tensors = {**eager.tensors, "last.weight": np.zeros_like(eager.tensors["last.weight"]), "last.bias": np.array([0.0, 5.0])}
    path = save_weights(tmp_path / "eager.safetensors", replace(eager, tensors=tensors, methods=("spatial",)))
    preset = lesion.edited_preset("core-network", {"core_network": str(path), "core_region": "anywhere"})
    maps, lesions = lesion.segment(maps, masks=masks, preset=preset, midplane=(1.0, 0.0, 0.0, 0.0), method="bayes")
    assert lesions.side == "right"
    right = np.indices(SHAPE)[0] > 15
    assert lesions.core[masks.brain & right].all()
    assert not lesions.core[~right].any()
    assert not maps["core_probability"].values[masks.brain & ~right].any()
    assert {"core_by_network", "core_network_method"} <= {finding.code for finding in lesions.findings}
    assert lesions.thresholds["core_network"] == "eager.safetensors"


def test_core_lies_in_hypoperfusion_unless_asked_otherwise(tmp_path: Path) -> None:
    maps, masks = stroke()
    path = save_weights(tmp_path / "drawn.safetensors", weights_of())
    preset = lesion.edited_preset("core-network", {"core_network": str(path), "core_probability": 0.01})
    _, lesions = lesion.segment(maps, masks=masks, preset=preset, midplane=(1.0, 0.0, 0.0, 0.0))
    assert not (lesions.core & ~lesions.hypoperfusion).any()
    np.testing.assert_array_equal(lesions.penumbra, lesions.hypoperfusion & ~lesions.core)


def test_weights_return_from_a_file(tmp_path: Path) -> None:
    saved = weights_of(("rcbf",), methods=("bayes", "spatial"), modality="dsc", provenance={"learned_from": "two cases"})
    read = load_weights(save_weights(tmp_path / "own.safetensors", saved))
    plain = ("inputs", "voxel_mm", "window", "methods", "modality", "provenance")
    assert {name: getattr(read, name) for name in plain} == {name: getattr(saved, name) for name in plain}
    for name, value in saved.tensors.items():
        np.testing.assert_allclose(read.tensors[name], value, rtol=1e-3, atol=1e-6)


def test_networks_of_digital_patients_from_before_are_of_ct() -> None:
    assert load_weights().modality == "ctp"


def test_weights_that_are_missing_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no file"):
        load_weights(tmp_path / "absent.safetensors")
    with pytest.raises(InvalidInputError, match="not a network of the infarct core"):
        load_weights("qtmnet")


def test_weights_that_do_not_fit_their_inputs_are_refused() -> None:
    wrong = replace(weights_of(("rcbf",)), inputs=("rcbf", "tmax"))
    with pytest.raises(InvalidInputError, match="do not fit a network of 2 inputs"):
        wrong.network(torch.device("cpu"))


def test_a_probability_threshold_outside_of_0_to_1_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="core_probability"):
        lesion.edited_preset("core-network", {"core_probability": 1.0})


def test_the_network_that_comes_with_the_software_finds_the_core_of_a_digital_patient() -> None:
    _, truth = phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(128, 128, 8), spacing_mm=(1.7, 1.7, 10.0), interval_s=5.0, frames=10
    )
    maps = PerfusionMaps.from_arrays({key: truth.maps[key] for key in ("cbf", "cbv", "tmax")}, truth.affine)
    masks = TissueMasks(*(truth.masks[name] for name in ("brain", "csf", "vessel", "bone")))
    maps, lesions = lesion.segment(maps, masks=masks, preset="core-network", midplane=truth.midplane)
    counted = truth.masks["scored"]
    assert dice(lesions.core & counted, truth.masks["core"] & counted) > 0.6
    assert lesions.core.sum() * voxel_volume_ml(truth.affine) > 5.0
    assert "digital CT-perfusion patients" in next(f.message for f in lesions.findings if f.code == "core_by_network")
