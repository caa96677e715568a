# SPDX-License-Identifier: Apache-2.0
"""Difference images: pairs, motion, brain, noise and what is left out, on digital patients and on made-up numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.asl.brain import brain_of
from PerfusionSuiteLib.asl.difference import DifferenceSettings, difference_of
from PerfusionSuiteLib.asl.motion import correct_asl_motion
from PerfusionSuiteLib.asl.pairs import odd_pairs, pairs_of
from PerfusionSuiteLib.core import AslSeries, GridMismatchError, InvalidInputError

SHAPE = (20, 18, 6)
AFFINE = np.diag([-4.0, -4.0, 6.0, 1.0])
STILL = DifferenceSettings(motion_correction=False)


def series_of(kinds: tuple[str, ...], delays: tuple[float, ...], data: np.ndarray | None = None, **more: Any) -> AslSeries:
    """Return a scan with an M0 of 1000 and a label of 5 in its middle."""
    ball = np.zeros(SHAPE, np.float32)
    ball[4:-4, 4:-4, 1:-1] = 1.0
    level = {"control": 100.0, "label": 95.0, "deltam": 5.0, "m0scan": 1000.0, "cbf": 50.0}
    made = np.stack([ball * np.float32(level.get(kind, 0.0)) for kind in kinds], axis=3)
    usual: dict[str, Any] = {
        "m0": None if "m0scan" in kinds else 1000.0 * ball, "m0_repetition_s": 60.0, "background_suppression_pulses": 0,
        "field_strength_t": 3.0,
    }  # fmt: skip
    times = np.array(delays, float)
    durations = np.where(np.isfinite(times), 1.5, np.nan)
    return AslSeries(made if data is None else data, AFFINE, kinds, times, durations, **{**usual, **more})


class TestPairs:
    def test_controls_meet_labels_of_their_delay_whichever_comes_first(self) -> None:
        scan = series_of(("label", "control", "control", "control", "label", "label"), (1.0, 1.0, 2.0, 2.0, 2.0, 2.0))
        pairs, findings = pairs_of(scan)
        assert [(p.control, p.label, p.delay_s) for p in pairs] == [(1, 0, 1.0), (2, 4, 2.0), (3, 5, 2.0)]
        assert findings == ()

    def test_volumes_without_a_partner_are_left_out_and_told(self) -> None:
        scan = series_of(("control", "label", "control"), (1.0, 1.0, 1.0))
        pairs, findings = pairs_of(scan)
        assert len(pairs) == 1
        assert "volume 3" in findings[0].message

    @pytest.mark.parametrize(
        ("kinds", "delays", "words"),
        [
            (("cbf", "m0scan"), (1.0, float("nan")), "only perfusion maps"),
            (("control", "control"), (1.0, 1.0), "no pair of control and label"),
            (("control", "label"), (1.0, float("nan")), "Volume 2 has no post-label delay"),
        ],
    )
    def test_scans_without_pairs_are_refused(self, kinds: tuple[str, ...], delays: tuple[float, ...], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            pairs_of(series_of(kinds, delays))

    def test_a_pulsed_bolus_of_unknown_length_is_asked_for(self) -> None:
        scan = replace(series_of(("control", "label"), (1.8, 1.8)), labeling="pasl", label_durations_s=np.full(2, np.nan))
        with pytest.raises(InvalidInputError, match="Give BolusCutOffDelayTime"):
            pairs_of(scan)

    def test_one_pair_of_many_that_is_spoiled_is_found(self) -> None:
        rng = np.random.default_rng(1)
        scan = series_of(("control", "label") * 8, (1.0,) * 16)
        pairs, _ = pairs_of(scan)
        images = rng.normal(5.0, 2.0, (*SHAPE, 8)).astype(np.float32)
        brain = np.ones(SHAPE, bool)
        assert odd_pairs(images, pairs, brain) == ()
        images[..., 3] += rng.normal(0.0, 8.0, SHAPE)
        assert odd_pairs(images, pairs, brain) == (3,)
        assert odd_pairs(images[..., 2:5], pairs[2:5], brain) == ()  # three pairs cannot tell


class TestDifference:
    def test_the_difference_of_each_delay_is_control_minus_label(self) -> None:
        scan = series_of(("control", "label") * 4, (2.0, 2.0, 1.0, 1.0) * 2)
        found, motion = difference_of(scan, settings=STILL)
        assert motion is None
        assert found.post_label_delays_s.tolist() == [1.0, 2.0]
        assert found.repetitions.tolist() == [2, 2]
        assert found.delta_m[10, 9, 3].tolist() == [5.0, 5.0]
        assert found.mask[10, 9, 3]
        assert found.m0 is not None
        assert found.m0[10, 9, 3] == pytest.approx(1000.0)

    def test_a_scanners_scaling_is_divided_out(self) -> None:
        scan = series_of(("deltam", "deltam"), (1.0, 2.0), scaling=96.0)
        found, _ = difference_of(scan)
        assert found.delta_m[10, 9, 3] == pytest.approx([5.0 / 96.0] * 2)

    def test_the_noise_is_the_standard_error_over_repetitions(self) -> None:
        rng = np.random.default_rng(2)
        kinds, delays = ("control", "label") * 20, (1.0, 1.0, 2.0, 2.0) * 10
        scan = series_of(kinds, delays)
        noisy = scan.data + rng.normal(0.0, 3.0, scan.data.shape).astype(np.float32)
        found, _ = difference_of(replace(scan, data=noisy), mask=scan.data[..., 0] > 0, settings=STILL)
        assert found.noise_sd is not None
        inside = found.noise_sd[found.mask]
        assert np.sqrt((inside**2).mean()) == pytest.approx(3.0 * np.sqrt(2.0 / 10.0), rel=0.05)

    def test_without_repetitions_the_texture_tells_the_noise(self) -> None:
        rng = np.random.default_rng(2)
        scan = series_of(("control", "label"), (1.0, 1.0))
        noisy = scan.data + rng.normal(0.0, 1.5, scan.data.shape).astype(np.float32)
        found, _ = difference_of(replace(scan, data=noisy), mask=scan.data[..., 0] > 0, settings=STILL)
        assert found.noise_sd is not None
        assert np.median(found.noise_sd[found.mask]) == pytest.approx(1.5 * np.sqrt(2.0), rel=0.25)

    def test_exchanged_controls_and_labels_are_an_error_finding(self) -> None:
        rng = np.random.default_rng(2)
        scan = series_of(("label", "control") * 6, (1.0,) * 12)
        swapped = replace(scan, volume_types=("control", "label") * 6, data=scan.data + rng.normal(0, 1, scan.data.shape))
        found, _ = difference_of(swapped, mask=scan.data[..., 0] > 0, settings=STILL)
        assert [f.severity for f in found.findings if f.code == "control_label_swapped"] == ["error"]

    def test_masks_that_do_not_fit_are_refused(self) -> None:
        scan = series_of(("control", "label"), (1.0, 1.0))
        with pytest.raises(GridMismatchError, match="brain mask"):
            difference_of(scan, mask=np.ones((3, 3, 3), bool), settings=STILL)
        with pytest.raises(InvalidInputError, match="mask is empty"):
            difference_of(scan, mask=np.zeros(SHAPE, bool), settings=STILL)


@pytest.fixture(scope="module")
def patient() -> tuple[AslSeries, phantom.AslTruth]:
    """Return a still head with four pairs at two delays."""
    return phantom.asl(
        seed=5, shape=(56, 56, 8), spacing_mm=(4.0, 4.0, 6.0), repetitions=4, post_label_delays_s=(1.5, 2.5), motion="none",
        readout="3d",
    )  # fmt: skip


def moved(image: np.ndarray, voxels: tuple[float, float, float]) -> np.ndarray:
    """Shift along the voxel axes."""
    return np.asarray(ndimage.shift(image, voxels, order=3, mode="nearest"), np.float32)


class TestPatient:
    def test_the_brain_is_found_in_m0_and_in_controls(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan, truth = patient
        brain = truth.masks["brain"]
        assert scan.m0 is not None
        for image in (scan.m0, scan.data[..., scan.of_type("control")].mean(axis=-1)):
            found, _ = brain_of(image, scan.affine)
            assert 2.0 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.94

    def test_a_still_head_is_left_alone(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan = patient[0]
        same, motion = correct_asl_motion(scan)
        assert same is scan
        assert motion is not None
        assert not motion.applied
        assert np.abs(motion.translation_mm).max() < 0.1

    def test_motion_is_measured_and_m0_near_by_keeps_its_place(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan = patient[0]
        data = scan.data.copy()
        for n in range(8, 16):
            data[..., n] = moved(data[..., n], (-1.0, 1.0, 0.0))  # whole voxels: nothing is interpolated
        found, motion = correct_asl_motion(replace(scan, data=data))
        assert motion is not None
        assert motion.applied
        apart = motion.translation_mm[8:].mean(axis=0) - motion.translation_mm[:8].mean(axis=0)
        assert apart == pytest.approx(scan.affine[:3, :3] @ [-1.0, 1.0, 0.0], abs=0.3)
        assert found.m0 is scan.m0

    def test_a_shift_of_all_labels_against_controls_is_no_motion(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan = patient[0]
        data = scan.data.copy()
        for n in np.flatnonzero(scan.of_type("label")):
            data[..., n] = moved(data[..., n], (-0.15, 0.0, 0.0))
        _, motion = correct_asl_motion(replace(scan, data=data))
        assert motion is not None
        assert np.abs(np.diff(motion.translation_mm, axis=0)).max() < 0.2

    def test_a_jump_between_control_and_label_spoils_the_pair(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan = patient[0]
        data = scan.data.copy()
        data[..., 5] = moved(data[..., 5], (-0.75, 0.0, 0.0))
        found, _ = difference_of(replace(scan, data=data))
        assert found.repetitions.tolist() == [3, 4]
        assert "pairs_left_out" in {finding.code for finding in found.findings}

    def test_a_far_m0_is_moved_onto_the_scan(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan = patient[0]
        assert scan.m0 is not None
        found, motion = correct_asl_motion(replace(scan, m0=moved(scan.m0, (-2.0, 0.0, 0.0))))
        assert motion is not None
        assert "m0_moved" in {finding.code for finding in motion.findings}
        assert found.m0 is not None
        gone = moved(scan.m0, (-2.0, 0.0, 0.0)) - scan.m0
        inner = (slice(8, -8), slice(8, -8), slice(2, -2))
        assert np.abs(found.m0 - scan.m0)[inner].mean() < 0.35 * np.abs(gone)[inner].mean()

    def test_label_and_m0_have_the_size_of_the_truth(self, patient: tuple[AslSeries, phantom.AslTruth]) -> None:
        scan, truth = patient
        found, _ = difference_of(scan)
        gray = (truth.fractions["gm"] > 0.7) & found.mask & ~truth.masks["lesion"]
        assert found.m0 is not None
        assert np.median(found.m0[gray] / truth.maps["m0"][gray]) == pytest.approx(1.0, abs=0.03)
        share = found.delta_m[gray].mean(axis=0) / found.m0[gray].mean()
        assert (share > 0.001).all()
        assert (share < 0.008).all()
        assert found.labeling_efficiency == pytest.approx(0.85 * 0.95**2)
