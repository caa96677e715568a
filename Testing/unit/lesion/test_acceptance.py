# SPDX-License-Identifier: Apache-2.0
"""Check 1 of ct-perfusion-auto section 19, as written there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InputFunction, LesionMasks, Metrics, PerfusionMaps

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
NO_FILTER = replace(lesion.PRESETS["ct-perfusion-auto"], min_cluster_ml=0.0)


def toy_maps(flow: str = "cbf") -> tuple[PerfusionMaps, np.ndarray]:
    x = np.indices((10, 10, 4))[0]
    arrays = {
        "tmax": np.select([x < 2, x < 5], [11.0, 7.0], 2.0),
        flow: np.select([x < 2, x < 5], [10.0, 30.0], 50.0),
        "cbv": np.select([x < 2, x < 5], [1.5, 5.0], 4.0),
    }
    return PerfusionMaps.from_arrays(arrays, AFFINE), x >= 5


def toy_curves() -> tuple[InputFunction, InputFunction]:
    t = np.arange(40.0)
    return (
        InputFunction(t, np.exp(-((t - 12) ** 2) / 8), kind="aif"),
        InputFunction(t, np.exp(-((t - 18) ** 2) / 12), kind="vof"),
    )


@pytest.fixture(params=["cbf", "rcbf"])
def toy(request: pytest.FixtureRequest) -> tuple[LesionMasks, Metrics]:
    maps, contra = toy_maps(request.param)
    maps, lesions = lesion.segment(maps, preset=NO_FILTER, contra_mask=contra)
    aif, vof = toy_curves()
    return lesions, lesion.metrics(maps, lesions, aif=aif, vof=vof, case_id="toy")


def test_the_toy_volume_gives_the_expected_volumes(toy: tuple[LesionMasks, Metrics]) -> None:
    lesions, numbers = toy
    assert (int(lesions.hypoperfusion.sum()), int(lesions.core.sum()), int(lesions.penumbra.sum())) == (200, 80, 120)
    assert numbers.values["hypoperfusion_volume_ml"] == pytest.approx(4.0)
    assert numbers.values["infarct_core_volume_ml"] == pytest.approx(1.6)
    assert numbers.values["penumbra_volume_ml"] == pytest.approx(2.4)


def test_the_toy_volume_gives_the_expected_indices(toy: tuple[LesionMasks, Metrics]) -> None:
    values = toy[1].values
    assert values["mismatch_ratio"] == pytest.approx(2.5)
    assert values["hir"] == pytest.approx(0.40)
    assert values["corrected_cbv_index"] == pytest.approx(0.90)
    assert values["penumbra_fraction_percent"] == pytest.approx(60.0)
    assert values["aif_vof_delay_s"] == pytest.approx(6.0, abs=1e-6)
    assert values["prr_percent"] is None


def test_the_corrected_index_is_the_same_without_the_contralateral_region() -> None:
    maps, lesions = lesion.segment(toy_maps()[0], preset=NO_FILTER, midplane=(1, 0, 0, 9.0))
    assert lesion.metrics(maps, lesions).values["corrected_cbv_index"] == pytest.approx(0.90)
    assert lesions.side == "left"  # x grows to the patient's right


def test_the_conventional_index_needs_regions_on_both_sides() -> None:
    maps, contra = toy_maps()
    assert lesion.metrics(*lesion.segment(maps, preset=NO_FILTER, contra_mask=contra)).values["conventional_cbv_index"] is None
    roi = np.indices(maps.shape)[0] < 2
    with_regions = lesion.segment(maps, preset=NO_FILTER, contra_mask=contra, roi_mask=roi)
    assert lesion.metrics(*with_regions).values["conventional_cbv_index"] == pytest.approx(1.5 / 4.0)


def test_all_keys_of_section_17_are_there_and_are_strict_json(toy: tuple[LesionMasks, Metrics]) -> None:
    values = toy[1].values
    text = """schema software case_id input acquisition aif vof method thresholds reference volumes_ml volumes_voxels
    hypoperfusion_volume_ml infarct_core_volume_ml penumbra_volume_ml mismatch_volume_ml mismatch_ratio hir corrected_cbv_index
    conventional_cbv_index contralateral_cbv prr_percent penumbra_fraction_percent aif_vof_delay_s pvt slice_statistics quality
    warnings aliases"""
    assert set(text.split()) <= set(values)
    assert {"side", "statistic", "cbf", "voxels"} <= set(values["reference"])
    assert {"status", "sss_tmax_s", "torcula_tmax_s", "threshold_s", "assessable"} <= set(values["pvt"])
    json.dumps(values, allow_nan=False)


def test_the_aliases_are_the_keys_of_the_published_program(toy: tuple[LesionMasks, Metrics]) -> None:
    aliases = toy[1].values["aliases"]
    assert aliases == {
        "Corrected_CBV_Index": pytest.approx(0.9),
        "Conventional_CBV_Index": None,
        "HIR": pytest.approx(0.4),
        "Mismatch_Ratio": pytest.approx(2.5),
        "PVT_sec": pytest.approx(6.0, abs=1e-6),
        "PRR_percent": None,
        "hypoperfusion_vox": 200,
        "core_vox": 80,
        "penumbra_vox": 120,
    }
