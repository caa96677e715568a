# SPDX-License-Identifier: Apache-2.0
"""A run with what the user drew and entered, and with a second scan of the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib import finished_maps, phantom, pipeline
from PerfusionSuiteLib.core import InvalidInputError

FAST = {"method": "csvd", "motion_correction": False, "noise_reduction": "gaussian"}
SETTINGS = pipeline.Settings(**FAST, thresholds={"min_cluster_ml": 0.5})


@pytest.fixture(scope="module")
def scan():
    return phantom.ctp(
        seed=8, recipe="clean", site="m1", noise_hu=1.0, shape=(96, 96, 8), spacing_mm=(2.3, 2.3, 10.0), interval_s=2.0, frames=25
    )[0]


@pytest.fixture(scope="module")
def moved(scan):
    """The same scan, with the head lying elsewhere."""
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("zx", [7, -4], degrees=True).as_matrix()
    motion[:3, 3] = [8.0, -6.0, 5.0]
    return replace(scan, affine=motion @ scan.affine)


@pytest.fixture(scope="module")
def study(scan, moved):
    where = np.zeros(scan.shape, bool)
    where[30:40, 30:60, 3:6] = True
    inputs = pipeline.UserInputs(follow_up=moved, roi_mask=where, contra_mask=where[::-1], sss=where, age_years=70, nihss=15)
    return pipeline.run(scan, SETTINGS, inputs=inputs)


def test_the_same_lesion_in_a_moved_head_has_hardly_changed(study):
    later = study.metrics.values["follow_up"]
    assert abs(study.metrics.values["prr_percent"]) < 5.0
    assert later["moved_deg"] == pytest.approx(np.degrees(Rotation.from_euler("zx", [7, -4], degrees=True).magnitude()), abs=0.7)
    assert later["persistent_ml"] > 0.9 * later["first_ml"] > 10.0
    assert later["likeness"] > 0.9


def test_the_parts_of_the_follow_up_are_regions_of_the_study(study):
    extra = study.lesions.extra
    assert not (extra["resolved"] & extra["persistent"]).any()
    assert (extra["persistent"] & ~study.lesions.hypoperfusion).sum() == 0


def test_what_was_drawn_and_entered_reaches_the_numbers(study):
    numbers = study.metrics.values
    assert numbers["conventional_cbv_index"] is not None
    assert numbers["pvt"]["regions_from"]["sss"] == "mask"
    assert numbers["trials"]["DAWN"]["met"] is not None
    assert numbers["thresholds"]["min_cluster_ml"] == 0.5
    assert numbers["method"]["settings"]["thresholds"] == {"min_cluster_ml": 0.5}


def test_finished_maps_give_the_numbers_of_the_run_and_serve_as_a_follow_up(study, scan):
    inputs = pipeline.UserInputs(
        aif=study.aif, vof=study.vof, follow_up=study.maps, contra_mask=study.lesions.extra["contra_region"]
    )
    again = finished_maps.analyze_maps(
        study.maps, masks=study.masks, inputs=inputs, thresholds={"min_cluster_ml": 0.5}, method="csvd", modality="ctp"
    )
    for key in ("hypoperfusion_volume_ml", "infarct_core_volume_ml", "hir", "corrected_cbv_index", "aif_vof_delay_s"):
        assert again.metrics.values[key] == pytest.approx(study.metrics.values[key])
    assert again.metrics.values["follow_up"]["likeness"] > 0.99


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"side": "up"}, "no affected side"),
        ({"midplane": (0, 0, 1, 0)}, "does not separate left from right"),
        ({"age_years": 200}, "age of 200"),
        ({"nihss": 50}, "NIHSS of 50"),
    ],
)
def test_what_cannot_be_right_is_refused_at_once(choice, words):
    with pytest.raises(InvalidInputError, match=words):
        pipeline.UserInputs(**choice)


def test_a_follow_up_of_another_modality_is_refused_before_any_work(scan):
    other = replace(scan, modality="dsc")
    with pytest.raises(InvalidInputError, match="modality 'dsc'"):
        pipeline.run(scan, SETTINGS, inputs=pipeline.UserInputs(follow_up=other))


def test_a_threshold_that_does_not_exist_is_refused_with_the_settings():
    with pytest.raises(InvalidInputError, match="no threshold 'tmx_s'"):
        pipeline.Settings(thresholds={"tmx_s": 5})
