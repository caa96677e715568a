# SPDX-License-Identifier: Apache-2.0
"""The simulated brain: trunk, pictures, scan and files; vessels are grown in a small part of the head only."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest

from PerfusionSuiteLib import series
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.nifti import read_volume
from PerfusionSuiteLib.phantom import vessels
from PerfusionSuiteLib.phantom.asl_bids import bids_fields
from PerfusionSuiteLib.phantom.vessels import whole_brain
from PerfusionSuiteLib.phantom.vessels.head_tissue import make_head_tissue
from PerfusionSuiteLib.phantom.vessels.polydata import tubes, write_vtp
from PerfusionSuiteLib.phantom.vessels.trunk import make_trunk
from PerfusionSuiteLib.phantom.vessels.values import flow_from_terminals

SEED = 3


@pytest.fixture(scope="module")
def head():
    return make_head_tissue(SEED, whole_brain.BLOCK, "m2-superior")


def _part(head, size=26):
    """Keep the tissue of a box around the lesion's middle."""
    middle = np.argwhere(head.lesion).mean(axis=0).astype(int)
    box = tuple(slice(m - size // 2, m + size // 2) for m in middle)
    flow = np.zeros_like(head.perfusion)
    flow[box] = head.perfusion[box]
    return dataclasses.replace(head, perfusion=flow)


def _made(head, **wishes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_brain, "make_head_tissue", lambda *_: _part(head))
        patch.setattr(whole_brain, "grow", partial(whole_brain.grow, longest_mm=40.0))  # the way to it has no tissue to grow in
        return vessels.brain(seed=SEED, territory="m2-superior", **wishes)


@pytest.fixture(scope="module")
def brain(head):
    return _made(head)


@pytest.fixture(scope="module")
def folder(brain, tmp_path_factory):
    target = tmp_path_factory.mktemp("brain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vessels, "brain", lambda **_: brain)
        words = ["phantom", "asl-brain", str(target), "--seed", str(SEED), "--snr", "inf", "--repetitions", "1"]
        assert main(words) == 0
    return target


def test_tissue_has_the_flow_of_gray_and_white_matter(head):
    whole = head.lesion
    gray, white = (head.gray > 0.99) & ~whole, (head.white > 0.99) & ~whole
    assert head.perfusion[gray].mean() == pytest.approx(60.0, rel=0.13)
    assert head.perfusion[white].mean() == pytest.approx(20.0, rel=0.13)
    assert (head.perfusion[head.gray + head.white <= 0.5] == 0).all()
    assert 500.0 < head.perfusion.sum() / 1e5 < 1000.0  # mL/min of a whole brain


def test_the_lesion_lies_on_one_side_and_has_a_fraction_of_the_flow(head):
    place = np.argwhere(head.lesion) @ head.affine[:3, :3].T + head.affine[:3, 3]
    atlas = head.pose.to_atlas(place.T.copy())
    assert (np.sign(atlas[0]) == np.sign(atlas[0, 0])).all()
    assert head.perfusion[head.lesion & (head.gray > 0.9)].mean() < 0.5 * 60.0
    assert 10.0 < head.lesion.sum() / 1000.0 <= 120.0


def test_an_unknown_territory_is_refused():
    with pytest.raises(InvalidInputError, match="no territory 'moon'"):
        make_head_tissue(SEED, whole_brain.BLOCK, "moon")


@pytest.mark.parametrize(("kind", "roots"), [("arteries", 4), ("veins", 2)])
def test_trunks_begin_at_the_base_of_the_skull_and_reach_the_convexity(head, kind, roots):
    voxels = np.argwhere(head.perfusion > 0)[::97]
    need = np.ones(len(voxels))
    trunk = make_trunk(kind, head.pose, head.atlas, head.to_domain, voxels + 0.5, need)
    assert (trunk.parent < 0).sum() == roots
    base = trunk.position[trunk.parent < 0, 2]
    assert base.max() < np.percentile(trunk.position[:, 2], 10)
    assert trunk.position[:, 2].max() > np.percentile(voxels[:, 2], 90)
    assert trunk.flow[trunk.parent < 0].sum() == pytest.approx(need.sum(), rel=1e-3)
    assert (trunk.position >= 0).all()
    assert (trunk.position < head.perfusion.shape).all()


def test_vessels_reach_every_voxel_of_tissue_from_the_trunk(brain):
    for forest in (brain.arteries, brain.veins):
        terminal = forest.terminal[forest.terminal >= 0]
        assert np.unique(terminal).size == terminal.size == brain.parameters["terminals"]
        own = np.where(forest.terminal >= 0, forest.flow, 0.0)
        np.testing.assert_allclose(flow_from_terminals(forest.parent, own, forest.depth), forest.flow, rtol=1e-9)
        assert (forest.parent < 0).sum() <= 4


def test_pictures_truth_and_protocols_belong_together(brain):
    assert brain.delta_s.shape == (*brain.perfusion.shape, 4)
    np.testing.assert_allclose(brain.at(1.45, vessels.PUBLISHED_DELAYS_S), brain.delta_s)
    assert np.isfinite(brain.delta_s).all()
    assert (np.isfinite(brain.arrival_s) == (brain.perfusion > 0)).all()
    assert (
        0.3 < np.nanmin(brain.arrival_s) < np.nanmax(brain.arrival_s) < 30.0
    )  # little tissue draws little blood through the trunk
    flow = brain.perfusion[brain.mask]
    late = brain.delta_s[brain.mask][:, 3]
    assert np.corrcoef(flow, late)[0, 1] > 0.5


def test_all_label_that_entered_is_seen_while_it_is_young(brain):
    """Early on nothing has left the head: inflow times decay is in arteries, tissue and veins."""
    times = np.array([0.5, 1.0])
    amount = brain.propagation(times).sum(axis=(0, 1, 2)) * np.prod(whole_brain.BLOCK)
    roots = np.flatnonzero(brain.arteries.parent < 0)
    entry = brain.entry_s[roots]
    expected = [(brain.arteries.flow[roots] * 1.65 * (np.exp(-entry / 1.65) - np.exp(-time / 1.65))).sum() for time in times]
    # Tissue relaxes faster than blood: by the later time a little less is left.
    np.testing.assert_allclose(amount, expected, rtol=0.03)


def test_crushers_hide_label_in_fast_vessels_and_nothing_else(brain, head):
    crushed = _made(head, crushers_cm_per_s=3.0)
    gone = brain.delta_s - crushed.delta_s
    assert gone.min() > -1e-6
    assert gone.max() > 0.01
    speed = brain.arteries.velocity(brain.shear)
    np.testing.assert_allclose(speed, brain.arteries.flow / (np.pi * brain.arteries.radius(brain.shear) ** 2), rtol=1e-9)
    # away from all fast vessels, arteries or veins, the pictures are the same
    cells = np.zeros(brain.mask.shape, bool)
    for forest, shear in ((brain.arteries, brain.shear), (brain.veins, 0.5 * brain.shear)):
        fast = np.flatnonzero((forest.velocity(shear) > 30.0) & (forest.parent >= 0))
        for share in np.linspace(0.0, 1.0, 101):
            points = (1.0 - share) * forest.position[fast] + share * forest.position[forest.parent[fast]]
            cells[tuple(np.clip((points / whole_brain.BLOCK).astype(int), 0, np.array(cells.shape) - 1).T)] = True
    assert np.abs(gone[~cells]).max() < 1e-6
    assert 0.0 < cells[brain.mask].mean() < 0.5
    times = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(crushed.propagation(times), brain.propagation(times), atol=2e-5)  # the label is still there
    fields = bids_fields(vessels.brain_scan(crushed, seed=1, snr=np.inf, repetitions=1))
    assert (fields["VascularCrushing"], fields["VascularCrushingVENC"]) == (True, 3.0)
    assert "VascularCrushing" not in bids_fields(vessels.brain_scan(brain, seed=1, snr=np.inf, repetitions=1))


def test_a_brain_can_have_less_flow_and_later_label(brain, head):
    other = _made(head, flow_level=0.6, late_s=0.4)
    np.testing.assert_allclose(other.perfusion, 0.6 * brain.perfusion, rtol=1e-5)
    np.testing.assert_allclose(other.parameters["entry_s"], brain.parameters["entry_s"] + 0.4)
    assert other.parameters["gray_flow"] == pytest.approx(0.6 * brain.parameters["gray_flow"])
    # slower by the cube root of the flow on the way, and 0.4 s before it
    expected = 0.4 + brain.entry_s[0] + (brain.arrival_s - brain.entry_s[0]) * 0.6 ** (-1.0 / 3.0)
    assert np.nanmedian(other.arrival_s / expected) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"crushers_cm_per_s": 0.0}, "Crushers of 0 cm/s"),
        ({"flow_level": 9.0}, "9 times the usual"),
        ({"late_s": -1.0}, "-1 s late"),
    ],
)
def test_wishes_that_make_no_sense_are_refused_before_anything_grows(wish, message):
    with pytest.raises(InvalidInputError, match=message):
        vessels.brain(seed=1, **wish)


def test_label_travels_from_the_trunk_into_tissue(brain):
    times = np.arange(0.5, 4.6, 0.5)
    series_ = brain.propagation(times)
    brightest = series_[brain.mask].mean(axis=0)
    assert brightest.argmax() not in (0, times.size - 1)
    assert series_.min() > -1e-5


def test_the_scan_holds_the_label_density_exactly_without_noise(brain):
    scan = vessels.brain_scan(brain, seed=1, snr=np.inf, repetitions=1)
    control, label = scan.data[..., scan.of_type("control")], scan.data[..., scan.of_type("label")]
    pure = (brain.gray + brain.white > 0.999) & (brain.delta_s.max(axis=-1) < 0.02)
    density = 0.9 * (control - label)[pure] / (2.0 * 0.85 * scan.m0[pure, None])
    np.testing.assert_allclose(density, brain.delta_s[pure], atol=1e-6)
    np.testing.assert_allclose(scan.delays_s, vessels.PUBLISHED_DELAYS_S)


def test_noise_has_the_sd_that_was_asked_for(brain):
    scan = vessels.brain_scan(brain, seed=1, snr=100.0, repetitions=2)
    first, second = scan.data[..., 0], scan.data[..., 2]
    assert np.std((first - second)[brain.mask]) / np.sqrt(2.0) == pytest.approx(10.0, rel=0.03)
    with pytest.raises(InvalidInputError, match="0 pairs"):
        vessels.brain_scan(brain, seed=1, repetitions=0)


def test_the_command_writes_a_scan_that_can_be_read(folder, brain):
    scan = series.read(folder / f"sub-{SEED:04d}")
    assert scan.modality == "asl"
    assert scan.shape == brain.perfusion.shape
    np.testing.assert_allclose(scan.delays_s, vessels.PUBLISHED_DELAYS_S)
    assert scan.labeling_efficiency == 0.85


def test_truth_and_tracer_are_written_with_their_units(folder, brain):
    flow, affine = read_volume(folder / "truth" / "cbf.nii.gz")
    np.testing.assert_allclose(flow[brain.mask], brain.perfusion[brain.mask], rtol=1e-6)
    np.testing.assert_allclose(affine, brain.affine)
    pictures, _ = read_volume(folder / "tracer" / "propagation.nii.gz")
    facts = json.loads((folder / "tracer" / "propagation.json").read_text())
    assert pictures.shape[3] == len(facts["FrameTimesStart"]) == 18
    np.testing.assert_allclose(np.diff(facts["FrameTimesStart"]), 0.25)
    told = json.loads((folder / "truth" / "truth.json").read_text())["parameters"]
    assert told["terminals"] > 5000
    assert told["whole_brain_flow_ml_per_min"] == pytest.approx(0.06 * brain.arteries.flow[brain.arteries.parent < 0].sum())
    assert {"scale", "ventricle_widening", "atrophy", "warp_sd_mm", "entry_s", "gray_ml", "gray_arrival_s"} <= set(told)


def test_surfaces_open_in_vtk_where_the_vessels_are(brain, tmp_path):
    pytest.importorskip("vtk", reason="VTK comes with slicer-core")
    from vtk import vtkXMLPolyDataReader
    from vtk.util.numpy_support import vtk_to_numpy

    surface = tubes(brain.arteries, brain.to_ras, brain.shear, {"arrival_s": brain.arteries.arrival(brain.shear)}, most=300)
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(write_vtp(tmp_path / "arteries.vtp", surface)))
    reader.Update()
    data = reader.GetOutput()
    assert data.GetNumberOfCells() == 300 * 12
    points = vtk_to_numpy(data.GetPoints().GetData())
    np.testing.assert_allclose(points * [-1, -1, 1], surface.points, atol=1e-4)
    assert data.GetFieldData().GetAbstractArray("SPACE").GetValue(0) == "LPS"
    names = {data.GetPointData().GetArrayName(k) for k in range(data.GetPointData().GetNumberOfArrays())}
    assert names == {"arrival_s", "radius_mm"}


def test_tube_walls_lie_a_radius_from_their_axis_and_face_outwards():
    forest = vessels.Forest(np.array([[1.0, 1, 1], [4.0, 5, 1]]), np.array([-1, 0]), np.full(2, 0.5), np.array([-1, 0]))
    surface = tubes(forest, np.eye(4), 500.0, {})
    axis = np.array([0.6, 0.8, 0.0])
    off = surface.points - np.array([1.0, 1, 1])
    across = off - (off @ axis)[:, None] * axis
    np.testing.assert_allclose(np.linalg.norm(across, axis=1), forest.radius(500.0)[1], rtol=1e-5)
    corner = surface.points[surface.triangles]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    outward = across[surface.triangles].mean(axis=1)
    assert ((normal * outward).sum(axis=1) > 0).all() or ((normal * outward).sum(axis=1) < 0).all()
