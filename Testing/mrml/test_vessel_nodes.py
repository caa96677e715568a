# SPDX-License-Identifier: Apache-2.0
"""A simulated brain in the scene: vessels where they grew, the label over the seconds."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.files import write_json
from PerfusionSuiteLib.core.nifti import write_volume
from PerfusionSuiteLib.phantom.vessels.polydata import tubes, write_vtp
from PerfusionSuiteLib.phantom.vessels.values import Forest
from PerfusionSuiteSlicer.mrml.SequenceNodes import sequenceFrames
from PerfusionSuiteSlicer.mrml.StudyFolder import hierarchyOf
from PerfusionSuiteSlicer.mrml.VesselNodes import vesselsToScene

pytestmark = pytest.mark.mrml

AFFINE = np.array([[2.0, 0, 0, 10.0], [0, 2.0, 0, 20.0], [0, 0, 4.0, 30.0], [0, 0, 0, 1.0]])
TIMES = (0.25, 0.5, 1.0)


@pytest.fixture
def folder(tmp_path):
    """Two vessels of one segment, 10 mm to the right and 10 mm forward of (40, 50, 60) mm, and a label that grows."""
    ends = {"arteries": (10.0, 0.0, 0.0), "veins": (0.0, 10.0, 0.0)}
    for kind, end in ends.items():
        start = np.array([40.0, 50.0, 60.0])
        forest = Forest(np.array([start, start + end]), np.array([-1, 0]), np.array([100.0, 100.0]), np.array([-1, 0]))
        write_vtp(tmp_path / "head" / "vessels" / f"{kind}.vtp", tubes(forest, np.eye(4), 500.0, {}))
    label = np.ones((4, 5, 3, 1), np.float32) * np.array(TIMES, np.float32)
    write_volume(tmp_path / "head" / "tracer" / "propagation.nii.gz", label, AFFINE, unit="uL/g", interval_s=0.25)
    write_json(tmp_path / "head" / "tracer" / "propagation.json", {"FrameTimesStart": TIMES, "Units": "uL/g"})
    return tmp_path / "head"


def test_vessels_lie_where_they_grew_arteries_red_and_veins_blue(scene, folder):
    nodes = vesselsToScene(scene, folder)
    for kind, along in (("arteries", 0), ("veins", 1)):
        bounds = np.array(nodes[f"vessels.{kind}"].GetPolyData().GetBounds()).reshape(3, 2)
        assert np.ptp(bounds, axis=1).argmax() == along
        assert bounds[along] == pytest.approx((40.0 + 10.0 * along, 50.0 + 10.0 * along), abs=1e-3)
    red, blue = (nodes[f"vessels.{kind}"].GetDisplayNode().GetColor() for kind in ("arteries", "veins"))
    assert np.argmax(red) == 0
    assert np.argmax(blue) == 2


def test_the_label_is_a_sequence_over_seconds_with_a_browser(scene, folder):
    nodes = vesselsToScene(scene, folder)
    data, affine, labels, unit = sequenceFrames(nodes["tracer"])
    assert ([float(label) for label in labels], unit) == (list(TIMES), "s")
    np.testing.assert_allclose(affine, AFFINE)
    np.testing.assert_allclose(data[0, 0, 0], TIMES)
    assert nodes["tracer.browser"].GetMasterSequenceNode() is nodes["tracer"]
    assert "uL/g" in nodes["tracer"].GetName()
    shown = nodes["tracer.browser"]
    assert shown.GetSelectedItemNumber() == 2  # most label; the first picture of a real one is nearly black
    shown.SetSelectedItemNumber(1)
    vesselsToScene(scene, folder)
    assert shown.GetSelectedItemNumber() == 1


def test_all_of_it_lies_in_one_folder_and_a_second_call_fills_the_same_nodes(scene, folder):
    first = vesselsToScene(scene, folder)
    assert vesselsToScene(scene, folder) == first
    hierarchy = hierarchyOf(scene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in first.values()}
    assert [hierarchy.GetItemName(parent) for parent in parents] == ["Simulated vessels"]


@pytest.mark.parametrize("lost", ["vessels/veins.vtp", "tracer/propagation.json"])
def test_a_folder_without_vessels_is_refused_and_the_scene_stays(scene, folder, lost):
    (folder / lost).unlink()
    count = scene.GetNumberOfNodes()
    with pytest.raises(InvalidInputError, match=lost):
        vesselsToScene(scene, folder)
    assert scene.GetNumberOfNodes() == count


def test_times_that_do_not_fit_are_told(scene, folder):
    write_json(folder / "tracer" / "propagation.json", {"FrameTimesStart": TIMES[:2]})
    with pytest.raises(InvalidInputError, match="same number of pictures"):
        vesselsToScene(scene, folder)
