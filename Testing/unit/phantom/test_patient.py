# SPDX-License-Identifier: Apache-2.0
"""Facts about the digital CT perfusion patient as a whole."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.geometry import axis_codes
from PerfusionSuiteLib.phantom import ctp, write_truth
from PerfusionSuiteLib.phantom.anatomy import FineGrid, rotation
from PerfusionSuiteLib.phantom.ctp import moved_volume

SMALL = {"shape": (64, 64, 4), "spacing_mm": (3.4, 3.4, 10.0), "frames": 20, "interval_s": 2.4}


@pytest.fixture(scope="module")
def still():
    """A noiseless, still patient with a left middle cerebral artery occlusion."""
    return ctp(seed=2, recipe="clean", noise_hu=0.0, site="m1", motion="none", **SMALL)


@pytest.fixture(scope="module")
def noisy():
    """The same patient with 5 HU of noise."""
    return ctp(seed=2, recipe="clean", noise_hu=5.0, site="m1", motion="none", **SMALL)


@pytest.fixture(scope="module")
def healthy():
    """A noiseless, still patient without a lesion, scanned for four minutes."""
    common = {"recipe": "clean", "noise_hu": 0.0, "motion": "none", "residue": "box"}
    return ctp(seed=3, site="none", shape=(64, 64, 3), spacing_mm=(3.4, 3.4, 10.0), frames=60, interval_s=4.0, **common)


def test_the_same_seed_gives_the_same_scan_and_truth(noisy):
    again, truth = ctp(seed=2, recipe="clean", noise_hu=5.0, site="m1", motion="none", **SMALL)
    np.testing.assert_array_equal(again.data, noisy[0].data)
    np.testing.assert_array_equal(truth.maps["cbf"], noisy[1].maps["cbf"])


def test_noise_changes_nothing_but_the_noise(still, noisy):
    for key, values in still[1].maps.items():
        np.testing.assert_array_equal(values, noisy[1].maps[key])
    rest = (noisy[0].data - still[0].data)[still[1].masks["brain"]]
    assert rest.std() == pytest.approx(5.0, rel=0.06)
    assert abs(rest.mean()) < 0.1
    np.testing.assert_array_equal(noisy[0].data, np.rint(noisy[0].data))


def test_a_scan_lies_as_axial_ct_does(still):
    scan, truth = still
    assert axis_codes(scan.affine) == ("L", "P", "S")
    assert scan.data.shape == (*SMALL["shape"], SMALL["frames"])
    np.testing.assert_array_equal(truth.affine, scan.affine)
    assert scan.times_s[0] == 0.0 and scan.interval_s == pytest.approx(2.4)


def test_ct_numbers_are_those_of_a_head(still):
    scan, truth = still
    first = scan.data[..., 0]
    parts = truth.fractions
    assert 33 < np.median(first[parts["gm"] > 0.85]) < 41
    assert 25 < np.median(first[parts["wm"] > 0.95]) < 33
    assert first[parts["bone"] > 0.9].mean() > 500
    assert first[0, 0, 0] <= -1000


def test_volume_fractions_never_exceed_the_voxel(still):
    total = sum(values for values in still[1].fractions.values())
    assert total.max() < 1.02
    assert min(values.min() for values in still[1].fractions.values()) > -1e-5


def test_the_lesion_lies_on_the_side_that_the_truth_names(still):
    _, truth = still
    index = np.argwhere(truth.masks["hypoperfusion"])
    ras = index @ truth.affine[:3, :3].T + truth.affine[:3, 3]
    assert truth.side in ("left", "right")
    signed = ras @ truth.midplane[:3] - truth.midplane[3]
    share_right = (signed > 0).mean()
    assert share_right > 0.98 if truth.side == "right" else share_right < 0.02
    assert truth.midplane[0] > 0.9


def test_the_midplane_halves_the_brain(still):
    _, truth = still
    ras = np.argwhere(truth.masks["brain"]) @ truth.affine[:3, :3].T + truth.affine[:3, 3]
    assert (ras @ truth.midplane[:3] > truth.midplane[3]).mean() == pytest.approx(0.5, abs=0.05)


def test_true_maps_obey_the_central_volume_theorem(still):
    maps = still[1].maps
    have = np.isfinite(maps["cbf"])
    np.testing.assert_allclose(maps["mtt"][have], 60 * maps["cbv"][have] / maps["cbf"][have], rtol=1e-4)
    np.testing.assert_allclose(maps["tmax"][have], maps["delay"][have] + maps["mtt"][have] / 2, rtol=1e-4)


def test_masks_follow_their_thresholds(still):
    _, truth = still
    masks, maps = truth.masks, truth.maps
    assert masks["hypoperfusion"].any()
    assert maps["tmax"][masks["hypoperfusion"]].min() > 6.0
    assert not (masks["core"] & ~masks["hypoperfusion"]).any()
    np.testing.assert_array_equal(masks["penumbra"], masks["hypoperfusion"] & ~masks["core"])
    voxel_ml = 3.4 * 3.4 * 10.0 / 1000
    assert truth.volumes_ml["penumbra"] == pytest.approx(masks["penumbra"].sum() * voxel_ml)
    mixed = truth.fractions["artery"] + truth.fractions["vein"] > 0.2
    assert not (masks["scored"] & mixed).any()


def test_healthy_tissue_has_textbook_flow_and_volume(still):
    _, truth = still
    healthy = ~truth.masks["hypoperfusion"] & (truth.maps["delay"] < 3)
    grey, white = healthy & (truth.fractions["gm"] > 0.85), healthy & (truth.fractions["wm"] > 0.95)
    assert 45 < truth.maps["cbf"][grey].mean() < 75
    assert 16 < truth.maps["cbf"][white].mean() < 29
    assert 3.2 < truth.maps["cbv"][grey].mean() < 5.2
    assert truth.maps["delay"][white].mean() > truth.maps["delay"][grey].mean()


def test_arteries_fill_before_veins_and_tissue_enhances_a_little(still):
    scan, truth = still
    rise = scan.data - scan.data[..., :1]
    artery = rise.reshape(-1, SMALL["frames"])[np.argsort(truth.fractions["artery"].ravel())[-5:]].mean(axis=0)
    vein = rise.reshape(-1, SMALL["frames"])[np.argsort(truth.fractions["vein"].ravel())[-5:]].mean(axis=0)
    risen = [float(np.interp(0.5, c[: c.argmax() + 1] / c.max(), truth.times_s[: c.argmax() + 1])) for c in (artery, vein)]
    assert risen[0] < risen[1] - 1.0
    assert vein.max() > 60
    grey = rise[(truth.fractions["gm"] > 0.8) & ~truth.masks["hypoperfusion"]]
    assert 4 < np.median(grey.max(axis=-1)) < 30


def test_enhancement_of_a_voxel_obeys_mass_balance(healthy):
    """Up to any time, tissue holds at most what arrived; late on its area is CBV 1.05 / 0.7333 of the artery's."""
    scan, truth = healthy
    pure = (
        truth.masks["scored"]
        & (truth.fractions["artery"] + truth.fractions["vein"] < 1e-4)
        & (truth.fractions["gm"] + truth.fractions["wm"] > 0.97)
    )
    tissue = (scan.data - scan.data[..., :1])[pure].mean(axis=0)
    t = truth.fine_times_s
    late = truth.times_s > 150
    cbv, delay, mtt = (float(truth.maps[k][pure].mean()) for k in ("cbv", "delay", "mtt"))
    # Recirculation decays slowly, so that late tissue is CBV times the artery of half a transit before.
    expected = cbv * 1.05 / (100 * 0.733333) * np.interp(truth.times_s[late] - delay - mtt / 2, t, truth.fine_aif)
    filled = (truth.fractions["gm"] + truth.fractions["wm"] + truth.fractions["deep"])[pure].mean()
    assert tissue[late].mean() == pytest.approx(filled * expected.mean(), rel=0.02)


def test_no_lesion_means_empty_masks(healthy):
    _, truth = healthy
    assert truth.side == "none"
    for name in ("hypoperfusion", "core", "penumbra"):
        assert not truth.masks[name].any()
        assert truth.volumes_ml[name] == 0.0


def test_a_stenosis_delays_without_taking_flow(healthy):
    _, without = healthy
    given = {"shape": (64, 64, 3), "spacing_mm": (3.4, 3.4, 10.0), "frames": 2, "interval_s": 5.0}
    _, truth = ctp(seed=3, recipe="clean", site="stenosis", noise_hu=0.0, **given)
    struck = truth.maps["delay"] - without.maps["delay"] > 1.5
    assert struck.sum() > 50
    assert np.mean(truth.maps["cbf"][struck] / without.maps["cbf"][struck]) > 0.9
    assert not truth.masks["core"].any()


def test_two_grids_show_the_same_patient(still):
    _, coarse = still
    common = {"seed": 2, "recipe": "clean", "noise_hu": 0.0, "site": "m1", "motion": "none", "frames": 2, "interval_s": 5.0}
    _, fine = ctp(shape=(80, 80, 8), spacing_mm=(2.72, 2.72, 5.0), **common)
    for name in ("hypoperfusion", "core"):
        # In mixed voxels normal tissue, which flows more, decides about delay: thick voxels hold a little less lesion.
        assert fine.volumes_ml[name] == pytest.approx(coarse.volumes_ml[name], rel=0.25, abs=3.0)
    for name in ("gm", "wm", "csf", "bone", "artery"):
        amounts = [truth.fractions[name].sum() * abs(np.linalg.det(truth.affine)) for truth in (coarse, fine)]
        assert amounts[0] == pytest.approx(amounts[1], rel=0.02)
    assert fine.parameters["lesion"] == coarse.parameters["lesion"]


def test_the_head_moves_as_the_transforms_say():
    grid = FineGrid(np.array([[-1.5, 0, 0, 40.0], [0, -1.5, 0, 50.0], [0, 0, 1.5, -30.0], [0, 0, 0, 1]]), (40, 60, 50), 1.5)
    k, j, i = np.indices(grid.shape)
    spot = np.exp(-((i - 20) ** 2 + (j - 35) ** 2 + (k - 18) ** 2) / 18.0).astype(np.float32)
    transform = np.eye(4)
    transform[:3, :3] = rotation((5.0, -3.0, 4.0))
    transform[:3, 3] = (3.0, -2.0, 4.0)
    moved = moved_volume(spot, grid, transform)
    centre = [float((moved * axis).sum() / moved.sum()) for axis in (i, j, k)]
    expected = transform @ grid.affine @ [20, 35, 18, 1]
    np.testing.assert_allclose(grid.affine @ [*centre, 1], expected, atol=0.05)
    assert moved.sum() == pytest.approx(spot.sum(), rel=1e-3)


def test_a_moving_scan_starts_where_the_still_one_does(still):
    moving, truth = ctp(seed=2, recipe="clean", noise_hu=0.0, site="m1", motion="drift", **SMALL)
    quiet, _ = still
    np.testing.assert_array_equal(truth.frame_transforms[0], np.eye(4))
    np.testing.assert_array_equal(moving.data[..., 0], quiet.data[..., 0])
    assert np.abs(moving.data[..., -1] - quiet.data[..., -1]).max() > 50


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recipe": "easy"}, "no recipe 'easy'"),
        ({"site": "m9"}, "no lesion site 'm9'"),
        ({"motion": "wild"}, "no motion 'wild'"),
        ({"residue": "triangle"}, "no residue family 'triangle'"),
        ({"residue": "gamma:0.2"}, "no residue family 'gamma:0.2'"),
        ({"noise_hu": -1.0}, "noise is -1 HU"),
        ({"frames": 1}, "1 frames"),
        ({"spacing_mm": (1.0, 0.0, 5.0)}, "cannot be made"),
    ],
)
def test_wrong_values_are_named(given, words):
    with pytest.raises(InvalidInputError, match=words):
        ctp(seed=1, **given)


def test_a_negative_seed_is_refused():
    with pytest.raises(InvalidInputError, match="seed is -3"):
        ctp(seed=-3)


def test_truth_is_written_as_images_json_and_curves(still, tmp_path):
    _, truth = still
    write_truth(truth, tmp_path / "truth")
    image = nibabel.load(tmp_path / "truth" / "tmax.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), truth.maps["tmax"])
    np.testing.assert_allclose(image.affine, truth.affine, atol=1e-3)
    told = json.loads((tmp_path / "truth" / "truth.json").read_text())
    assert told["side"] == truth.side
    assert told["parameters"]["seed"] == 2
    rows = (tmp_path / "truth" / "curves_fine.csv").read_text().splitlines()
    assert rows[0] == "time_s,aif,vof"
    assert len(rows) == truth.fine_times_s.size + 1
