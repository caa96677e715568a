# SPDX-License-Identifier: Apache-2.0
"""A network draws the core of maps in the scene: its probability is a volume, previews use it, measuring leaves it as it is."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import PerfusionMaps
from PerfusionSuiteSlicer.headless.SliceImages import SliceView
from PerfusionSuiteSlicer.mrml import MapNodes
from PerfusionSuiteSlicer.mrml.LesionJob import startLesionJob, startMeasuringJob
from PerfusionSuiteSlicer.mrml.LesionNodes import CORE, HYPOPERFUSION, segmentArray
from PerfusionSuiteSlicer.mrml.LesionPreview import CORE_LABEL, LATE_LABEL, PREVIEW, LesionPreview
from PerfusionSuiteSlicer.mrml.StudyRoles import ROLE, factsOf, findNode
from PerfusionSuiteSlicer.mrml.TableNodes import textToMetrics
from PerfusionSuiteSlicer.mrml.VolumeArrays import affineOf, volumeArray
from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.lesion.core_unet import CoreNetwork  # noqa: E402
from PerfusionSuiteLib.lesion.core_weights import CoreWeights, save_weights  # noqa: E402

pytestmark = [pytest.mark.mrml, pytest.mark.torch]


@pytest.fixture
def maps(scene):
    _series, truth = phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(64, 64, 4), spacing_mm=(3.2, 3.2, 14.0), interval_s=2.0, frames=12
    )
    arrays = {key: np.asarray(truth.maps[key], np.float32) for key in ("tmax", "cbf", "cbv")}
    return MapNodes.mapsToNodes(scene, PerfusionMaps.from_arrays(arrays, truth.affine), "patient")


@pytest.fixture
def network(tmp_path):
    """A network that gives 0.6 everywhere."""
    state = {name: np.zeros_like(value.numpy()) for name, value in CoreNetwork(1).state_dict().items()}
    state["last.bias"] = np.log(np.array([0.4, 0.6], np.float32))
    weights = CoreWeights(state, ("rcbf",), 3.2, (64, 64, 4), provenance={"learned_from": "nothing"})
    return str(save_weights(tmp_path / "mine.safetensors", weights))


class Catcher:
    """Takes a job instead of starting it."""

    def start(self, spec, **_callbacks):
        self.spec = spec


def shown(scene):
    count = scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode")
    nodes = [scene.GetNthNodeByClass(number, "vtkMRMLLabelMapVolumeNode") for number in range(count)]
    return set(np.unique(volumeArray(next(node for node in nodes if node.GetAttribute(ROLE) == PREVIEW)))) - {0}


def test_a_network_draws_the_core_and_what_it_has_drawn_is_previewed_and_found_again(scene, maps, network):
    preview, given = LesionPreview(scene), {"core_network": network}
    before = preview.update(maps, "core-network", given)
    assert set(before) == {"hypoperfusion"}
    assert shown(scene) == {LATE_LABEL}

    nodes = startLesionJob(scene, chooseRunner(), maps, preset="core-network", thresholds=given).wait()
    segmentation, tmax = nodes["lesions"], maps["tmax"]
    shape, affine = tmax.GetImageData().GetDimensions(), affineOf(tmax)
    core, late = (segmentArray(segmentation, key, shape, affine) for key in (CORE, HYPOPERFUSION))
    assert late.any()
    np.testing.assert_array_equal(core, late)  # 0.6 everywhere, and core lies within hypoperfusion
    values = textToMetrics(nodes["report"]).values
    assert values["thresholds"]["core_network"] == "mine.safetensors"

    probable = nodes["map.core_probability"]
    assert probable.GetName() == "patient P(core)"
    display = probable.GetScalarVolumeDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert probable.GetVoxelValueUnits().GetCodeValue() == "1"
    assert np.nanmax(volumeArray(probable)) == pytest.approx(0.6, abs=1e-3)

    again = preview.update(maps, "core-network", given)
    assert again["core"] == pytest.approx(values["infarct_core_volume_ml"], abs=0.01)
    assert shown(scene) == {CORE_LABEL}
    assert preview.update(maps, "core-network", given | {"core_probability": 0.7})["core"] == 0.0
    assert set(preview.update(maps, "core-network")) == {"hypoperfusion"}  # another network has drawn nothing yet
    assert preview.update(maps, "ct-perfusion-auto")["core"] > 0
    preview.clear()

    # Facts name the file without its folder; what is started again needs the file itself.
    assert factsOf(segmentation)["thresholds"]["core_network"] == "mine.safetensors"
    catcher = Catcher()
    startMeasuringJob(scene, catcher, segmentation)
    assert catcher.spec.settings["preset"] == "core-network"
    assert catcher.spec.settings["thresholds"] == given
    assert "core_probability" not in catcher.spec.inputs["maps"]

    # What is measured is the core as the user left it: the network does not run again, and what it drew before stays.
    measured = startMeasuringJob(scene, chooseRunner(), segmentation).wait()
    assert "map.core_probability" not in measured
    assert findNode(scene, "patient", "map.core_probability") is probable

    # Lesions that no network drew have no probability.
    result = startLesionJob(scene, chooseRunner(), maps).wait()
    assert "map.core_probability" not in result
    assert findNode(scene, "patient", "map.core_probability") is None


def test_what_a_network_calls_healthy_leaves_the_picture_as_it_is_and_a_probable_core_is_drawn(runtime):
    shape, affine = (60, 60, 3), np.diag([4.0, 4.0, 8.0, 1.0])
    affine[:3, 3] = -118.0, -118.0, -8.0
    probable = np.full(shape, np.nan, np.float32)
    probable[10:50, 10:50] = 0.02  # a network gives no exact zero
    probable[14:20, 24:36] = 0.9
    arrays = {"baseline": np.full(shape, 35.0, np.float32), "core_probability": probable}
    nodes = MapNodes.mapsToNodes(runtime.scene, PerfusionMaps.from_arrays(arrays, affine), "patient")
    view = SliceView(runtime, (240, 240))
    view.show(nodes["baseline"])
    alone = view.picture()
    view.show(nodes["baseline"], nodes["core_probability"], opacity=1.0)
    covered = view.picture()
    view.close()
    changed = (alone != covered).any(axis=2)
    assert 0.8 * (24 * 48) < changed.sum() < 1.2 * (24 * 48)  # 6 x 12 voxels of 4 mm, a pixel each mm
    red, green, _blue = covered[changed].mean(axis=0)
    assert red > 2 * green
