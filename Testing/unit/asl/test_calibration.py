# SPDX-License-Identifier: Apache-2.0
"""Calibration: where M0 comes from, what it is corrected for, and what is assumed when the scan does not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.asl.calibration import CalibrationSettings, calibrated_m0, field_strength, labeling_efficiency
from PerfusionSuiteLib.core import Acquisition, AslSeries, GridMismatchError, InvalidInputError

SHAPE = (10, 10, 3)
BRAIN = np.zeros(SHAPE, bool)
BRAIN[2:-2, 2:-2] = True


def scan(**more: Any) -> AslSeries:
    """Return one pair with a uniform M0 of 900."""
    usual: dict[str, Any] = {
        "m0": np.full(SHAPE, 900.0, np.float32), "m0_repetition_s": 60.0, "background_suppression_pulses": 0,
        "field_strength_t": 3.0,
    }  # fmt: skip
    data = np.full((*SHAPE, 2), 700.0, np.float32)
    return AslSeries(
        data, np.diag([4.0, 4.0, 5.0, 1.0]), ("control", "label"), np.full(2, 1.8), np.full(2, 1.5), **{**usual, **more}
    )


def codes(findings: tuple[Any, ...]) -> set[str]:
    return {finding.code for finding in findings}


class TestEfficiency:
    @pytest.mark.parametrize(("labeling", "expected"), [("pcasl", 0.85), ("casl", 0.68), ("pasl", 0.98)])
    def test_each_labeling_has_its_consensus_value(self, labeling: str, expected: float) -> None:
        assert labeling_efficiency(scan(labeling=labeling), CalibrationSettings())[0] == pytest.approx(expected)

    def test_each_suppression_pulse_costs_five_percent_and_is_told(self) -> None:
        total, findings = labeling_efficiency(scan(background_suppression_pulses=3), CalibrationSettings())
        assert total == pytest.approx(0.85 * 0.95**3)
        assert "0.95 for each of 3" in findings[0].message

    def test_a_measured_efficiency_wins_and_the_users_wins_over_it(self) -> None:
        assert labeling_efficiency(scan(labeling_efficiency=0.7), CalibrationSettings())[0] == pytest.approx(0.7)
        settings = CalibrationSettings(labeling_efficiency=0.6, suppression_pulses=1)
        assert labeling_efficiency(scan(labeling_efficiency=0.7), settings)[0] == pytest.approx(0.6 * 0.95)

    def test_an_unknown_number_of_pulses_is_assumed_aloud(self) -> None:
        told = Acquisition("x", manufacturer="GE MEDICAL SYSTEMS", details={"background_suppression": True})
        unknown = scan(background_suppression_pulses=None, acquisition=told)
        total, findings = labeling_efficiency(unknown, CalibrationSettings())
        assert total == pytest.approx(0.85 * 0.95**5)
        assert "suppression_pulses_assumed" in codes(findings)
        total, findings = labeling_efficiency(replace(unknown, acquisition=Acquisition("x")), CalibrationSettings())
        assert total == pytest.approx(0.85)
        assert "suppression_unknown" in codes(findings)

    def test_an_unknown_field_is_taken_for_three_tesla_aloud(self) -> None:
        assert field_strength(scan(field_strength_t=1.5), CalibrationSettings()) == (1.5, ())
        tesla, findings = field_strength(scan(field_strength_t=None), CalibrationSettings())
        assert tesla == 3.0
        assert codes(findings) == {"field_strength_assumed"}
        assert field_strength(scan(), CalibrationSettings(field_strength_t=7.0))[0] == 7.0


class TestM0:
    def test_incomplete_relaxation_is_undone(self) -> None:
        image, findings = calibrated_m0(scan(m0_repetition_s=2.0), BRAIN, CalibrationSettings(m0_t1_s=1.3))
        assert image is not None
        assert image[5, 5, 1] == pytest.approx(900.0 / (1.0 - np.exp(-2.0 / 1.3)))
        assert "m0_relaxation" in codes(findings)

    def test_an_unknown_repetition_time_is_told(self) -> None:
        image, findings = calibrated_m0(scan(m0_repetition_s=None), BRAIN, CalibrationSettings())
        assert image is not None
        assert image[5, 5, 1] == 900.0
        assert "m0_repetition_unknown" in codes(findings)

    def test_one_number_serves_where_there_is_no_image_and_the_users_number_always(self) -> None:
        image, findings = calibrated_m0(scan(m0=None, m0_value=500.0), BRAIN, CalibrationSettings())
        assert image is not None
        assert np.unique(image).tolist() == [500.0]
        assert "m0_value" in codes(findings)
        image, _ = calibrated_m0(scan(), BRAIN, CalibrationSettings(m0_value=400.0))
        assert image is not None
        assert np.unique(image).tolist() == [400.0]

    def test_controls_serve_only_when_the_background_was_not_suppressed(self) -> None:
        control = np.full(SHAPE, 700.0, np.float32)
        bare = scan(m0=None, acquisition=Acquisition("x", repetition_time_s=60.0))
        image, findings = calibrated_m0(bare, BRAIN, CalibrationSettings(), control=control)
        assert image is not None
        assert image[5, 5, 1] == pytest.approx(700.0)
        assert "m0_from_control" in codes(findings)
        image, findings = calibrated_m0(
            replace(bare, background_suppression_pulses=2), BRAIN, CalibrationSettings(), control=control
        )
        assert image is None
        assert "relative" in findings[0].message

    @pytest.mark.parametrize(("reference", "ratio"), [("csf", 0.87), ("white-matter", 1.19)])
    def test_a_reference_region_gives_m0_of_blood_times_the_partition_coefficient(self, reference: str, ratio: float) -> None:
        region = np.zeros(SHAPE, bool)
        region[4:6, 4:6] = True
        m0 = np.full(SHAPE, 900.0, np.float32)
        m0[region] = 1200.0
        settings = CalibrationSettings(m0_reference=reference, reference_mask=region)
        image, _ = calibrated_m0(scan(m0=m0), BRAIN, settings)
        assert image is not None
        assert np.unique(np.round(image)).tolist() == [round(0.9 * ratio * 1200.0)]
        with pytest.raises(GridMismatchError, match="reference mask"):
            calibrated_m0(scan(), BRAIN, replace(settings, reference_mask=np.ones((2, 2, 2), bool)))
        with pytest.raises(InvalidInputError, match="no voxel with a positive M0"):
            calibrated_m0(scan(), BRAIN, replace(settings, reference_mask=np.zeros(SHAPE, bool)))

    def test_edges_are_continued_and_smoothing_stays_within_the_brain(self) -> None:
        m0 = np.where(BRAIN, 900.0, 0.0).astype(np.float32)
        m0[2, 2:-2] = 300.0  # shares its voxels with air
        image, _ = calibrated_m0(scan(m0=m0), BRAIN, CalibrationSettings())
        assert image is not None
        assert image[2, 5, 1] == 300.0
        image, _ = calibrated_m0(scan(m0=m0), BRAIN, CalibrationSettings(fill_m0_edges=True))
        assert image is not None
        assert image[2, 5, 1] == pytest.approx(900.0, rel=1e-3)
        image, _ = calibrated_m0(scan(m0=np.where(BRAIN, 900.0, 0.0)), BRAIN, CalibrationSettings(m0_smoothing_mm=10.0))
        assert image is not None
        assert np.allclose(image[BRAIN], 900.0, rtol=1e-4)

    def test_a_brain_without_m0_is_refused_and_a_partly_empty_one_told(self) -> None:
        with pytest.raises(InvalidInputError, match="M0 is not positive"):
            calibrated_m0(scan(m0=np.zeros(SHAPE, np.float32)), BRAIN, CalibrationSettings())
        m0 = np.full(SHAPE, 900.0, np.float32)
        m0[2:4] = 10.0
        assert "m0_low" in codes(calibrated_m0(scan(m0=m0), BRAIN, CalibrationSettings())[1])

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"m0_reference": "bone"}, "no M0 reference 'bone'"),
            ({"m0_reference": "csf"}, "needs a mask"),
            ({"labeling_efficiency": 85.0}, "labeling efficiency is 85"),
            ({"m0_repetition_s": 6000.0}, "repetition time of M0 is 6000 s"),
            ({"scaling": 0.0}, "scaling is 0"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, wrong: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            CalibrationSettings(**wrong)
