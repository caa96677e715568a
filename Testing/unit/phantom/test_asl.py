# SPDX-License-Identifier: Apache-2.0
"""The digital ASL patient: its physics against equations integrated step by step, and what comes along as truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.phantom.asl_kinetics import artery_label, still_signal, suppression_times, tissue_label

SMALL: dict[str, Any] = {"shape": (32, 32, 3), "spacing_mm": (6.5, 6.5, 8.0), "motion": "none"}
T1, BLOOD, SHARE = 1.3, 1.65, 0.9


def integrated(flow: float, arrival: float, bolus: float, after: float, *, pulsed: bool) -> float:
    """Solve dM/dt = f c(t) - M (1/T1 + f/lambda) in small steps."""
    per_s = flow / 6000.0

    def inflow(t: float) -> float:
        if not arrival <= t < arrival + bolus:
            return 0.0
        return float(np.exp(-(t if pulsed else arrival) / BLOOD))

    found = solve_ivp(
        lambda t, m: per_s * inflow(t) - m * (1.0 / T1 + per_s / SHARE), (0.0, after), [0.0], max_step=0.002, rtol=1e-8
    )
    return float(found.y[0, -1])


class TestKinetics:
    @pytest.mark.parametrize("pulsed", [False, True])
    @pytest.mark.parametrize(("arrival", "after"), [(0.8, 0.7), (0.8, 1.6), (0.8, 3.4)])
    def test_tissue_follows_the_equation_before_during_and_after_the_bolus(
        self, arrival: float, after: float, pulsed: bool
    ) -> None:
        bolus = 0.8 if pulsed else 1.45
        seen = tissue_label(np.array([60.0]), np.array([arrival]), T1, BLOOD, SHARE, pulsed=pulsed, bolus_s=bolus, after_s=after)
        assert seen[0] == pytest.approx(integrated(60.0, arrival, bolus, after, pulsed=pulsed), rel=2e-3, abs=1e-7)

    def test_dispersion_keeps_the_amount_while_all_of_it_is_on_its_way(self) -> None:
        common = {"pulsed": False, "bolus_s": 1.5, "after_s": 2.6}
        sharp, spread = (
            tissue_label(np.array([50.0]), np.array([1.6]), 1e6, 1e6, SHARE, dispersion=d, **common) for d in (0.0, 0.1)
        )
        assert spread[0] == pytest.approx(sharp[0], rel=1e-3)

    def test_arteries_hold_label_only_while_the_bolus_passes(self) -> None:
        seen = artery_label(np.array([0.2, 1.2, 2.0]), BLOOD, pulsed=False, bolus_s=1.0, after_s=2.0)
        assert seen[0] == 0.0  # passed
        assert seen[1] == pytest.approx(np.exp(-1.2 / BLOOD))
        assert artery_label(np.array([2.5]), BLOOD, pulsed=False, bolus_s=1.0, after_s=2.0)[0] == 0.0  # not yet there

    @pytest.mark.parametrize("pulses", [2, 4])
    @pytest.mark.parametrize("readout", [2.475, 3.975])
    def test_suppression_leaves_little_of_any_brain_tissue_and_nothing_negative(self, pulses: int, readout: float) -> None:
        left = still_signal(np.linspace(0.8, 1.6, 9), suppression_times(pulses, readout), readout)
        assert left.min() > 0.0
        assert left.max() < 0.25

    def test_without_pulses_tissue_recovers_from_saturation(self) -> None:
        assert still_signal(1.3, np.zeros(0), 2.0) == pytest.approx(1.0 - np.exp(-2.0 / 1.3))


@pytest.fixture(scope="module")
def noiseless() -> tuple[Any, phantom.AslTruth]:
    """Return a patient with a lesion, without noise, and with truth."""
    return phantom.asl(seed=5, recipe="clean", site="m1", snr=float("inf"), repetitions=1, readout="3d", **SMALL)


class TestPatient:
    def test_controls_are_brighter_than_labels_where_there_is_flow(self, noiseless: tuple[Any, phantom.AslTruth]) -> None:
        scan, truth = noiseless
        difference = scan.data[..., scan.of_type("control")] - scan.data[..., scan.of_type("label")]
        gray = (truth.fractions["gm"] > 0.6) & ~truth.masks["lesion"]
        white = (truth.fractions["wm"] > 0.8) & ~truth.masks["lesion"]
        share = [difference[region].mean(axis=0) / truth.maps["m0"][region].mean() for region in (gray, white)]
        assert (share[0] > 0.0015).all()
        assert (share[0] < 0.01).all()
        assert (share[0] > 1.5 * share[1]).all()
        assert (np.diff(share[0]) < 0).all()  # label decays after it has come

    def test_pure_voxels_follow_the_closed_form_of_their_own_truth(self, noiseless: tuple[Any, phantom.AslTruth]) -> None:
        scan, truth = noiseless
        pure = (truth.fractions["wm"] > 0.99) & ~truth.masks["lesion"]
        assert pure.sum() >= 5
        drawn = truth.parameters["labeling"]
        for n, delay in enumerate(scan.delays_s):
            seen = (scan.data[..., 2 * n] - scan.data[..., 2 * n + 1])[pure] / truth.maps["m0"][pure]
            label = tissue_label(
                truth.maps["cbf"][pure], truth.maps["att"][pure], drawn["t1_s"]["wm"], drawn["t1_blood_s"], 0.9,
                pulsed=False, bolus_s=1.45, after_s=1.45 + float(delay),
            )  # fmt: skip
            expected = 2.0 * truth.parameters["protocol"]["labeling_efficiency"] * 0.95**2 / 0.9 * label
            assert np.median(seen / expected) == pytest.approx(1.0, abs=0.02)

    def test_the_lesion_has_less_flow_and_later_blood(self, noiseless: tuple[Any, phantom.AslTruth]) -> None:
        truth = noiseless[1]
        lesion, normal = truth.masks["lesion"], truth.masks["scored"] & ~truth.masks["lesion"]
        assert truth.volumes_ml["lesion"] > 5.0
        assert np.nanmedian(truth.maps["cbf"][lesion]) < 0.7 * np.nanmedian(truth.maps["cbf_healthy"][lesion])
        assert np.nanmedian(truth.maps["att"][lesion]) > np.nanmedian(truth.maps["att"][normal]) + 0.4

    def test_gray_matter_has_more_flow_than_white_and_blood_arrives_in_a_second_or_two(
        self, noiseless: tuple[Any, phantom.AslTruth]
    ) -> None:
        truth = noiseless[1]
        healthy = truth.masks["scored"] & ~truth.masks["lesion"]
        assert 45.0 < np.nanmedian(truth.maps["cbf_gm"][healthy]) < 75.0
        assert 15.0 < np.nanmedian(truth.maps["cbf_wm"][healthy]) < 30.0
        assert 0.5 < np.nanpercentile(truth.maps["att"][healthy], 5)
        assert np.nanpercentile(truth.maps["att"][healthy], 95) < 2.5

    def test_subtracted_images_are_pairs_subtracted_times_the_scaling(self, noiseless: tuple[Any, phantom.AslTruth]) -> None:
        scan, _ = noiseless
        other, _ = phantom.asl(
            seed=5,
            recipe="clean",
            site="m1",
            snr=float("inf"),
            repetitions=1,
            readout="3d",
            content="deltam",
            scaling=96.0,
            **SMALL,
        )
        difference = scan.data[..., scan.of_type("control")] - scan.data[..., scan.of_type("label")]
        assert other.volume_types == ("deltam",) * 4
        assert np.allclose(other.data / 96.0, difference, atol=0.01)

    def test_noise_has_the_size_asked_for_and_leaves_the_anatomy_alone(self, noiseless: tuple[Any, phantom.AslTruth]) -> None:
        scan, truth = phantom.asl(seed=5, recipe="clean", site="m1", snr=100.0, noise="gaussian", repetitions=12, readout="3d",
                                  post_label_delays_s=(1.8,), m0="included", **SMALL)  # fmt: skip
        assert np.array_equal(truth.maps["cbf"], noiseless[1].maps["cbf"], equal_nan=True)
        tissue = truth.fractions["gm"] + truth.fractions["wm"] > 0.8
        spread = scan.data[..., scan.of_type("control")][tissue].std(axis=1, ddof=1)
        assert np.sqrt((spread**2).mean()) == pytest.approx(truth.maps["m0"][tissue].mean() / 100.0, rel=0.1)
        assert scan.volume_types[0] == "m0scan"
        assert np.isnan(scan.post_label_delays_s[0])
        assert scan.m0 is None

    def test_a_pulsed_2d_scan_says_how_late_its_slices_are_and_its_mean_m0(self) -> None:
        scan, truth = phantom.asl(seed=5, recipe="clean", site="none", snr=float("inf"), repetitions=1, readout="2d",
                                  labeling="pasl", field_t=1.5, m0="estimate", **SMALL)  # fmt: skip
        assert np.allclose(np.diff(scan.slice_delays_s), 0.04)
        assert scan.labeling == "pasl"
        assert scan.field_strength_t == 1.5
        assert scan.m0_value == pytest.approx(np.nanmedian(truth.maps["m0"][truth.masks["scored"]]), rel=0.2)

    def test_motion_moves_volumes_and_comes_along(self) -> None:
        moving = {**SMALL, "motion": "jerks"}
        scan, truth = phantom.asl(seed=5, recipe="hard", motion_mm=4.0, repetitions=2, **moving)
        assert truth.volume_transforms.shape == (scan.data.shape[3], 4, 4)
        assert np.abs(truth.volume_transforms - np.eye(4)).max() > 0.5

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"labeling": "vsasl"}, "no labeling 'vsasl'"),
            ({"post_label_delays_s": (2.0, 1.0)}, "rising delays"),
            ({"labeling": "pasl", "post_label_delays_s": (0.5,)}, "shorter than the first inversion time"),
            ({"scaling": 32.0}, "for difference images"),
            ({"m0": "absent", "content": "deltam"}, "no anatomy"),
            ({"noise": "pink"}, "no noise 'pink'"),
            ({"repetitions": 500}, "cannot be made"),
        ],
    )
    def test_wishes_that_cannot_be_met_are_refused(self, wrong: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            phantom.asl(seed=1, **wrong)

    def test_truth_is_written_with_units(self, noiseless: tuple[Any, phantom.AslTruth], tmp_path: Path) -> None:
        folder = phantom.write_asl_truth(noiseless[1], tmp_path / "truth")
        content = json.loads((folder / "truth.json").read_text())
        assert content["units"]["att"] == "s"
        assert content["side"] in {"left", "right"}
        assert {"cbf.nii.gz", "att.nii.gz", "m0.nii.gz", "fraction_gm.nii.gz", "mask_lesion.nii.gz"} <= {
            path.name for path in folder.iterdir()
        }
