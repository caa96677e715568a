# SPDX-License-Identifier: Apache-2.0
"""What is measured of one analysis of one digital patient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, LesionMasks, PerfusionMaps, Study
from PerfusionSuiteLib.evaluation import area_error, curve_error, patient_rows, residue_class, seen_truth, voxel_shares


def values_of(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], float]:
    return {(row["subject"], row["region"], row["measure"]): row["value"] for row in rows}


def test_a_study_that_is_the_truth_has_no_error_anywhere(a_study: Study, a_truth: Any) -> None:
    found = values_of(patient_rows(a_study, a_truth))
    for (subject, _, measure), value in found.items():
        if subject in ("cbf", "cbv", "mtt", "tmax", "delay") and measure not in ("correlation",):
            assert value == pytest.approx(0.0, abs=1e-5)
        if measure == "dice":
            assert value == 1.0
    assert found["aif", "", "curve_error_percent"] < 0.5
    assert found["aif", "", "least_artery"] == pytest.approx(0.3)
    assert found["core", "all voxels", "error"] == 0.0


def test_a_bias_is_told_by_tissue_and_in_percent(a_study: Study, a_truth: Any) -> None:
    a_truth.maps["cbf"] = a_truth.maps["cbf"] / 0.8  # the study finds 20 % too little
    a_truth.maps["tmax"] = a_truth.maps["tmax"] - np.float32(1.5)
    found = values_of(patient_rows(a_study, a_truth))
    for region in ("normal gray matter", "normal white matter", "penumbra", "core"):
        assert found["cbf", region, "bias_percent"] == pytest.approx(-20.0, abs=1e-3)
        assert found["cbf", region, "median_error_percent"] == pytest.approx(-20.0, abs=1e-3)
        assert found["tmax", region, "bias"] == pytest.approx(1.5, abs=1e-4)
    assert found["tmax", "true Tmax near 6 s", "offset"] == pytest.approx(1.5, abs=1e-4)  # the penumbra, truly 6.5 s
    assert ("cbf", "deep gray matter", "bias") not in found  # there is none


def test_only_scored_voxels_count_for_maps_but_lesions_are_told_on_all_voxels_too(a_study: Study, a_truth: Any) -> None:
    outside = a_truth.masks["core"].copy()
    a_truth.masks["scored"] = a_truth.masks["scored"] & ~outside
    a_truth.maps["cbf"] = np.where(outside, 1000.0, a_truth.maps["cbf"])
    found = values_of(patient_rows(a_study, a_truth))
    assert found["cbf", "tissue", "bias"] == pytest.approx(0.0, abs=1e-5)
    assert found["core", "scored voxels", "truth"] == 0.0
    assert found["core", "all voxels", "truth"] > 0.0


def test_an_empty_lesion_is_right_where_there_is_none(a_study: Study, a_truth: Any) -> None:
    none = np.zeros_like(a_study.lesions.core)
    lesions = replace(a_study.lesions, core=none)
    assert isinstance(lesions, LesionMasks)
    a_truth.masks["core"] = none
    found = values_of(patient_rows(replace(a_study, lesions=lesions), a_truth))
    assert found["core", "all voxels", "volume"] == found["core", "all voxels", "error"] == 0.0


def test_truth_on_another_grid_is_refused(a_study: Study, a_truth: Any) -> None:
    moved = a_truth.affine.copy()
    moved[0, 3] += 30.0
    a_truth.affine = moved
    with pytest.raises(GridMismatchError, match="truth"):
        patient_rows(a_study, a_truth)


def test_the_family_of_residues_is_mixed_when_tissues_differ(a_truth: Any) -> None:
    assert residue_class(a_truth) == "gamma"
    a_truth.parameters["residue"]["wm"] = "box"
    assert residue_class(a_truth) == "mixed"


def test_a_late_arrival_is_no_error_of_a_curve_but_a_wrong_height_is() -> None:
    fine = np.linspace(0.0, 60.0, 601)
    true = np.maximum(fine - 8.0, 0.0) ** 3 * np.exp(-np.maximum(fine - 8.0, 0.0) / 1.6)
    t = np.linspace(0.0, 45.0, 46)
    error, shift = curve_error(t, np.interp(t - 1.5, fine, true), fine, true)
    assert error < 0.01
    assert shift == pytest.approx(1.5)
    assert curve_error(t, 1.2 * np.interp(t, fine, true), fine, true)[0] == pytest.approx(0.2, abs=1e-3)
    assert area_error(t, 1.2 * np.interp(t, fine, true), fine, true) == pytest.approx(0.2, abs=1e-3)


def test_a_curve_without_voxels_or_truth_has_no_numbers() -> None:
    assert np.isnan(voxel_shares(np.zeros((0, 3), int), {})).all()
    t = np.linspace(0.0, 10.0, 11)
    assert np.isnan(curve_error(t, t, t, np.zeros(11))[0])
    assert np.isnan(area_error(t, t, t, np.zeros(11)))


def test_the_truth_follows_the_head_to_the_frame_that_motion_correction_refers_to(a_study: Study, a_truth: Any) -> None:
    transforms = a_truth.frame_transforms.copy()
    transforms[5:, 0, 3] = -4.0  # one voxel, to the patient's left
    a_truth.frame_transforms = transforms
    frames = len(transforms)
    motion = replace(
        a_study.motion,
        translation_mm=np.where(np.arange(frames) < 5, 4.0, 0.0)[:, None] * [1.0, 0.0, 0.0],
        rotation_deg=np.zeros((frames, 3)),
    )
    seen = seen_truth(replace(a_study, motion=motion), a_truth)
    for name in ("core", "hypoperfusion"):
        np.testing.assert_array_equal(seen.masks[name][1:], a_truth.masks[name][:-1])
    known = np.isfinite(a_truth.maps["cbf"][:-1])
    np.testing.assert_allclose(seen.maps["cbf"][1:][known], a_truth.maps["cbf"][:-1][known], rtol=1e-5)
    assert seen.midplane[3] == pytest.approx(a_truth.midplane[3] - 4.0)
    assert seen_truth(replace(a_study, motion=replace(motion, applied=False)), a_truth) is a_truth


def test_a_displaced_mask_keeps_its_volume_and_penumbra_stays_what_is_left(a_study: Study, a_truth: Any) -> None:
    half = np.eye(4)
    half[:3, 3] = (1.7, 0.9, 3.1)
    a_truth.frame_transforms = np.tile(half, (len(a_truth.frame_transforms), 1, 1))
    seen = seen_truth(a_study, a_truth)
    for name in ("core", "hypoperfusion", "scored"):
        assert seen.masks[name].sum() == pytest.approx(a_truth.masks[name].sum(), rel=0.03)
    np.testing.assert_array_equal(seen.masks["penumbra"], seen.masks["hypoperfusion"] & ~seen.masks["core"])


def test_maps_that_are_missing_are_left_out(a_study: Study, a_truth: Any) -> None:
    fewer = PerfusionMaps([a_study.maps[key] for key in ("cbf", "tmax")])
    subjects = {row["subject"] for row in patient_rows(replace(a_study, maps=fewer), a_truth)}
    assert {"cbf", "tmax"} <= subjects
    assert not {"cbv", "mtt"} & subjects
