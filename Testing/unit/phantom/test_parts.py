# SPDX-License-Identifier: Apache-2.0
"""Facts about the parts a digital patient is made of."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.phantom.acquisition import draw_protocol, fine_grid, sampling
from PerfusionSuiteLib.phantom.anatomy import draw_pose
from PerfusionSuiteLib.phantom.atlas import GROUPS, load_atlas
from PerfusionSuiteLib.phantom.bolus import STEP_S, Bolus, draw_bolus
from PerfusionSuiteLib.phantom.enhancement import DELAYS_S, MTTS_S, at_times, mixing, tissue_curves
from PerfusionSuiteLib.phantom.lesion import SITES, draw_lesion
from PerfusionSuiteLib.phantom.motion import draw_motion
from PerfusionSuiteLib.phantom.residues import draw_families, parse_family
from PerfusionSuiteLib.phantom.scanner import noise_gain
from PerfusionSuiteLib.phantom.tissue import Compartment

FAMILIES = ("box", "exponential", "gamma:1.5", "gamma:4")


def short_bolus() -> Bolus:
    """A bolus without recirculation, so that its area is finite."""
    times = np.linspace(0.0, 250.0, 2501)
    aif = 200.0 * np.exp(-0.5 * ((times - 15.0) / 4.0) ** 2)
    return Bolus(times, aif, aif, 0.2, 0.4, 2.0, {})


@pytest.mark.parametrize("name", FAMILIES)
def test_a_residue_starts_at_one_falls_and_has_the_mean_transit_time_as_area(name):
    family = parse_family(name)
    t = np.linspace(0.0, 200.0, 20001)
    values = family.residue(t, 5.0)
    assert values[0] == pytest.approx(1.0)
    assert (np.diff(values) <= 1e-12).all()
    assert np.trapezoid(values, t) == pytest.approx(5.0, rel=2e-3)
    assert family.integral(200.0, 5.0) == pytest.approx(5.0, rel=1e-9)
    assert family.residue(-1.0, 5.0) == 0.0


def test_a_gamma_of_shape_one_is_exponential():
    t = np.linspace(0.0, 30.0, 301)
    np.testing.assert_allclose(parse_family("gamma:1").residue(t, 4.0), np.exp(-t / 4.0), atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("delay", [0.0, 1.37, 7.9])
def test_the_area_of_a_tissue_curve_is_its_blood_volume_times_that_of_the_artery(name, delay):
    bolus = short_bolus()
    cbf, cbv = 31.0, 3.3
    voxel = Compartment(np.array([0]), *(np.array([v], np.float32) for v in (1.0, cbf, cbv, delay, cbf, 0.0)))
    curves = tissue_curves(bolus, parse_family(name), DELAYS_S, MTTS_S).reshape(-1, bolus.times_s.size)
    curve = (mixing(voxel) @ curves)[0]
    assert curve.sum() / bolus.aif.sum() == pytest.approx(cbv * 1.05 / (100.0 * 0.55 / 0.75), rel=0.005)
    # Its centre of mass comes after the artery's by the delay and the mean residence.
    family = parse_family(name)
    mtt = 60.0 * cbv / cbf
    second = np.diff(family.integral(np.linspace(0.0, 200.0, 20001), mtt))
    residence = (second * np.linspace(0.005, 199.995, 20000)).sum() / second.sum()
    shift = (curve * bolus.times_s).sum() / curve.sum() - (bolus.aif * bolus.times_s).sum() / bolus.aif.sum()
    assert shift == pytest.approx(delay + residence, abs=0.06)


def test_an_artery_keeps_its_area_however_late_it_fills():
    bolus = short_bolus()
    areas = bolus.arriving(np.array([0.0, 0.4, 3.0, 11.0])).sum(axis=1)
    np.testing.assert_allclose(areas, bolus.aif.sum(), rtol=1e-4)


def test_a_bolus_starts_after_the_first_frames_and_leaves_through_the_sinus_later():
    for seed in range(1, 31):
        bolus = draw_bolus(seed, 70.0)
        assert (bolus.aif[bolus.times_s < 2.5] == 0).all()
        later = bolus.times_s[bolus.vof.argmax()] - bolus.times_s[bolus.aif.argmax()]
        assert 1.5 < later < 18.0
        assert 100 < bolus.aif.max() < 500
        assert bolus.times_s[1] == pytest.approx(STEP_S)


def test_the_delay_to_the_sinus_has_the_clinical_median():
    found = []
    for seed in range(1, 101):
        bolus = draw_bolus(seed, 70.0)
        found.append(bolus.times_s[bolus.vof.argmax()] - bolus.times_s[bolus.aif.argmax()])
    assert np.median(found) == pytest.approx(6.4, abs=1.0)


def test_a_longer_scan_shows_the_same_bolus():
    short, long = draw_bolus(4, 40.0), draw_bolus(4, 90.0)
    n = short.times_s.size
    np.testing.assert_allclose(long.aif[:n], short.aif, rtol=1e-3, atol=0.2)


def test_positions_survive_the_way_to_the_atlas_and_back():
    rng = np.random.default_rng(0)
    points = rng.uniform(-60, 60, (3, 200))
    for seed in (1, 2, 3):
        pose = draw_pose(seed)
        np.testing.assert_allclose(pose.to_atlas(pose.to_scanner(points)), points, atol=0.05)


def test_warps_do_not_fold():
    for seed in range(1, 5):
        pose = draw_pose(seed)
        step = 3.0
        axis = np.arange(-60.0, 61.0, step)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
        shape = (axis.size,) * 3
        atlas = pose.to_atlas(grid).reshape(3, *shape)
        columns = [np.gradient(atlas, step, axis=d + 1) for d in range(3)]
        jacobian = np.stack(columns, axis=1).transpose(2, 3, 4, 0, 1)
        assert np.linalg.det(jacobian).min() > 0.05


def test_the_atlas_has_every_territory_and_both_trees():
    atlas = load_atlas()
    brain = atlas.brain[::2, ::2, ::2].astype(bool)
    sizes = {name: (atlas.group[brain] == n).sum() * 0.008 for n, name in enumerate(GROUPS)}
    assert sizes["none"] == 0
    assert all(20 <= sizes[name] < 320 for name in GROUPS[1:]) or sizes["deep"] > 15
    for tree in (atlas.arteries, atlas.veins):
        assert (tree.parents < np.arange(tree.parents.size)).all()
        assert tree.nodes[:, 3].min() > 0.2
    trunk = atlas.arteries.nodes[(atlas.arteries.nodes[:, 5] == 0) & (atlas.arteries.nodes[:, 2] < -40)]
    assert 4.0 < 2 * trunk[:, 3].mean() < 5.2  # the internal carotid


def test_the_notice_of_the_template_comes_with_the_atlas():
    from importlib import resources

    folder = resources.files("PerfusionSuiteLib") / "data" / "atlas"
    assert "1993-2004 Louis Collins" in (folder / "NOTICE.txt").read_text()
    assert len((folder / "atlas.npz").read_bytes()) + len((folder / "vessels.json").read_bytes()) < 3e6


@pytest.fixture(scope="module")
def lesions():
    """One patient's lesion at every site."""
    return {site: draw_lesion(7, load_atlas(), site) for site in SITES}


def test_lesions_have_about_the_volumes_that_were_drawn(lesions):
    for site in ("m1", "m2-superior", "aca", "pca"):
        lesion = lesions[site]
        whole = (lesion.severity > 0).sum() * 0.008
        assert whole == pytest.approx(lesion.parameters["asked_whole_ml"], rel=0.1)
        core = (lesion.severity > 1.0).sum() * 0.008
        assert core <= lesion.parameters["asked_core_ml"] * 1.1 + 0.5


def test_every_site_can_be_drawn(lesions):
    for site, lesion in lesions.items():
        assert lesion.site == site
        assert (lesion.side == "none") == (site == "none")
        assert (lesion.severity > 0).any() == (site != "none")


def test_averaging_keeps_constants_and_amounts():
    protocol = draw_protocol(1, "clean", "m1", shape=(40, 40, 5), spacing_mm=(4.0, 4.0, 9.0), interval_s=2.0, frames=3)
    grid = fine_grid(protocol)
    averaging = sampling(protocol, grid)
    inside = averaging.average(np.ones(grid.shape, np.float32))
    np.testing.assert_allclose(inside[2, 15:25, 15:25], 1.0, rtol=1e-5)
    spot = np.zeros(grid.shape, np.float32)
    spot[tuple(n // 2 for n in grid.shape)] = 1.0
    got = averaging.average(spot).sum() * 4.0 * 4.0 * 9.0
    assert got == pytest.approx(grid.step_mm**3, rel=0.1)


def test_a_fine_grid_is_never_coarser_than_the_scan():
    for spacing in ((0.45, 0.45, 5.0), (1.8, 1.8, 8.0), (3.5, 3.5, 10.0)):
        protocol = draw_protocol(1, "clean", "m1", shape=(64, 64, 4), spacing_mm=spacing, interval_s=2.0, frames=3)
        assert fine_grid(protocol).step_mm <= max(1.0, min(spacing))


def test_a_shuttle_scan_has_times_for_each_slice():
    protocols = [
        draw_protocol(s, "hard", "m1", shape=(64, 64, 8), spacing_mm=(3, 3, 8), interval_s=None, frames=None)
        for s in range(1, 40)
    ]
    moving = [p for p in protocols if p.slice_times_s is not None]
    assert 4 < len(moving) < 25
    for protocol in moving:
        assert protocol.slice_times_s.shape == (8, protocol.times_s.size)
        assert (np.diff(protocol.slice_times_s, axis=0) >= 0).all()


def test_noise_has_little_power_at_low_frequency_and_keeps_its_variance():
    gain = noise_gain((128, 128), (0.9, 0.9), 0.3) ** 2
    assert gain[0, 0] < 0.3 * gain.max()
    full = np.concatenate([gain, gain[:, -2:0:-1]], axis=1)
    assert full.mean() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("kind", ["none", "drift", "nod", "jerks"])
def test_motion_starts_still_and_stays_within_its_limits(kind):
    times = np.linspace(0.0, 60.0, 61)
    for seed in range(1, 8):
        transforms, drawn = draw_motion(seed, "hard", kind, times, 12.0)
        assert drawn["kind"] == kind
        np.testing.assert_allclose(transforms[0], np.eye(4), atol=1e-12)
        pivot = transforms[:, :3, :] @ np.array([0.0, -30.0, -30.0, 1.0])
        assert np.abs(pivot - [0.0, -30.0, -30.0]).max() <= 6.0 + 1e-9
        moved = np.abs(transforms - np.eye(4)).max() > 1e-6
        assert moved == (kind != "none")


@pytest.mark.parametrize("kind", ["drift", "nod", "jerks"])
@pytest.mark.parametrize("size_mm", [0.5, 4.0, 12.0])
def test_motion_of_a_given_size_moves_the_brain_that_far_and_no_farther(kind, size_mm):
    times = np.linspace(0.0, 50.0, 51)
    transforms, drawn = draw_motion(5, "typical", kind, times, 12.0, size_mm)
    azimuth, height = np.meshgrid(np.linspace(0, 2 * np.pi, 40), np.linspace(-1, 1, 21))
    ring = np.sqrt(1 - height**2)
    surface = np.stack([65 * ring * np.cos(azimuth), 80 * ring * np.sin(azimuth), 55 * height], axis=-1).reshape(-1, 3)
    brain = surface + np.array([0.0, -18.0, 12.0])
    far = np.linalg.norm(brain @ transforms[:, :3, :3].transpose(0, 2, 1) + transforms[:, None, :3, 3] - brain, axis=2).max()
    assert far == pytest.approx(size_mm, rel=0.15)
    assert drawn["farthest_mm"] == pytest.approx(size_mm, rel=1e-3)
    assert drawn["kind"] == kind


@pytest.mark.parametrize("size_mm", [0.0, -1.0, 50.0, float("nan")])
def test_a_motion_that_cannot_be_made_is_refused(size_mm):
    with pytest.raises(InvalidInputError, match="at most 20 mm"):
        draw_motion(5, "typical", "drift", np.linspace(0.0, 50.0, 51), 12.0, size_mm)


def test_mixed_residues_differ_between_tissues():
    families = draw_families(np.random.default_rng(3), "mixed")
    assert len({f.name for f in families.values()}) > 1
    assert {f.name for f in draw_families(np.random.default_rng(3), "gamma:2").values()} == {"gamma:2"}


def test_curves_are_read_between_steps():
    fine = np.arange(100.0)[None]
    np.testing.assert_allclose(at_times(fine, np.array([0.0, 0.25, 3.33]))[0], [0.0, 2.5, 33.3], rtol=1e-5)
