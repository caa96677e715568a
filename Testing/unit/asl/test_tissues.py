# SPDX-License-Identifier: Apache-2.0
"""Mixed voxels and means of regions, whose pure tissues are known."""

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import asl
from PerfusionSuiteLib.asl import label_density
from PerfusionSuiteLib.asl.partial_volume import corrected_flow
from PerfusionSuiteLib.asl.region_curves import region_curves
from PerfusionSuiteLib.asl.smoothing import smoothed_difference
from PerfusionSuiteLib.core import AslDifference, InvalidInputError

DELAYS = np.array([1.0, 1.6, 2.2, 2.8])
SHAPE = (20, 20, 3)


def mixed(noise=0.0, gray=60.0, white=20.0, seed=0):
    """A volume of random mixtures of gray and white matter and fluid, with M0 of 0.82, 0.7 and 1 per fraction."""
    rng = np.random.default_rng(seed)
    parts = rng.dirichlet([1.2, 1.2, 0.3], SHAPE)
    own = (
        label_density(gray, 1.2, DELAYS, 1.5, t1_tissue_s=1.33) * 820.0,
        label_density(white, 1.5, DELAYS, 1.5, t1_tissue_s=0.83) * 700.0,
    )
    images = (parts[..., :1] * own[0] + parts[..., 1:2] * own[1]) * 2 * 0.8 / 0.9
    images = images + rng.normal(0.0, noise, images.shape)
    m0 = (parts @ [820.0, 700.0, 1000.0]).astype(np.float32)
    scan = AslDifference(
        images.astype(np.float32), DELAYS, np.full(4, 1.5), m0, np.full(images.shape, noise, np.float32), np.ones(SHAPE, bool),
        np.diag([3.0, 3.0, 5.0, 1.0]), "pcasl", 0.8, 3.0, np.zeros(3), np.full(4, 2),
    )  # fmt: skip
    return scan, {"gm": parts[..., 0], "wm": parts[..., 1]}


def test_pure_tissues_are_found_in_mixtures():
    scan, tissue = mixed()
    found = corrected_flow(scan, tissue)
    for name, truth in (("gm", 60.0), ("wm", 20.0)):
        values = found[f"cbf_{name}"][tissue[name] > 0.1]
        assert np.median(values) == pytest.approx(truth, rel=0.01)
        assert np.isnan(found[f"cbf_{name}"][tissue[name] < 0.1]).all()
    plain = asl.quantify(scan, tissue=tissue)["cbf"]
    assert np.median(plain[(tissue["gm"] > 0.3) & (tissue["gm"] < 0.6)]) < 50


def test_separation_survives_noise():
    scan, tissue = mixed(noise=0.4)
    found = corrected_flow(scan, tissue, kernel=7)
    assert np.nanmean(found["cbf_gm"][tissue["gm"] > 0.5]) == pytest.approx(60.0, rel=0.05)


def test_a_kernel_without_center_and_a_scan_without_m0_are_refused():
    scan, tissue = mixed()
    with pytest.raises(InvalidInputError, match="kernel of 4 voxels has no center"):
        corrected_flow(scan, tissue, kernel=4)
    with pytest.raises(InvalidInputError, match="needs M0"):
        corrected_flow(replace(scan, m0=None), tissue)
    with pytest.raises(InvalidInputError, match="needs the fractions"):
        corrected_flow(scan, {})


def test_the_mean_curve_of_noisy_voxels_is_not_biased():
    flow = np.full((40, 40, 2), 20.0)
    density = label_density(flow[..., None], 1.5, DELAYS, 1.5)
    images = density * 2 * 0.8 * 1000 / 0.9 + np.random.default_rng(2).normal(0.0, 4.0, (*flow.shape, 4))
    scan = AslDifference(
        images.astype(np.float32), DELAYS, np.full(4, 1.5), np.full(flow.shape, 1000, np.float32),
        np.full(images.shape, 4.0, np.float32), np.ones(flow.shape, bool), np.eye(4), "pcasl", 0.8, 3.0, np.zeros(2),
        np.full(4, 2),
    )  # fmt: skip
    gray = {"gm": np.ones(flow.shape), "wm": np.zeros(flow.shape)}
    region = region_curves(scan, {"all": scan.mask, "few": np.zeros(flow.shape, bool)}, tissue=gray)
    assert set(region) == {"all"}
    facts = region["all"]
    assert abs(facts["cbf"] - 20.0) < 1.0
    assert facts["cbf_sd"] < 2.0  # the noise of one voxel is ten times that, but T1 of tissue and blood are not exact
    assert abs(facts["att"] - 1.5) < 3 * facts["att_sd"]
    assert asl.quantify(scan)["cbf"].mean() > 22.0  # what single voxels give, none being negative


def test_one_delay_has_a_flow_but_no_arrival():
    scan, _ = mixed()
    one = replace(
        scan, delta_m=scan.delta_m[..., 1:2], noise_sd=scan.noise_sd[..., 1:2], post_label_delays_s=DELAYS[1:2],
        label_durations_s=np.array([1.5]), repetitions=np.array([2]),
    )  # fmt: skip
    facts = region_curves(one, {"all": one.mask})["all"]
    assert facts["cbf"] > 10
    assert facts["att"] is None
    assert "model" not in facts


def test_without_m0_a_mean_curve_has_an_arrival_but_no_flow():
    scan, _ = mixed()
    facts = region_curves(replace(scan, m0=None), {"all": scan.mask})["all"]
    assert facts["cbf"] is None
    assert facts["att"] == pytest.approx(1.2, abs=0.2)


class TestSmoothing:
    def test_noise_falls_as_it_is_told_and_flow_stays(self):
        scan, _ = mixed(noise=0.4)
        still, _ = mixed()
        smooth = smoothed_difference(scan, 8.0)
        left = (smooth.delta_m - smoothed_difference(still, 8.0).delta_m)[5:-5, 5:-5]
        assert left.std() == pytest.approx(float(smooth.noise_sd.mean()), rel=0.4)
        assert smooth.noise_sd.mean() < 0.3 * scan.noise_sd.mean()
        assert smooth.delta_m.mean() == pytest.approx(scan.delta_m.mean(), rel=0.03)

    def test_uniform_tissue_does_not_darken_at_the_border_of_the_brain(self):
        scan, _ = mixed()
        mask = np.zeros(SHAPE, bool)
        mask[4:16, 5:15] = True
        images = np.where(mask[..., None], 5.0, 0.0).astype(np.float32) * np.ones(4, np.float32)
        flat = replace(scan, delta_m=images, mask=mask, m0=np.full(SHAPE, 1000, np.float32))
        assert smoothed_difference(flat, 10.0).delta_m[mask] == pytest.approx(5.0, rel=1e-4)

    def test_nothing_changes_without_width_and_nonsense_is_refused(self):
        scan, _ = mixed()
        assert smoothed_difference(scan, 0.0) is scan
        with pytest.raises(InvalidInputError, match="smoothing of 80 mm cannot be meant"):
            smoothed_difference(scan, 80.0)
