# SPDX-License-Identifier: Apache-2.0
"""Thresholds, clusters, tissue, reference and side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError, PerfusionMaps, Provenance, Study
from PerfusionSuiteLib.lesion.presets import RCBF_FACTOR, TMAX_OFFSET_S

SHAPE = (40, 40, 5)
AFFINE = np.array([[-4.0, 0, 0, 78.0], [0, -4.0, 0, 78.0], [0, 0, 8.0, -16.0], [0, 0, 0, 1]])  # i grows to the left
PLANE = (1.0, 0.0, 0.0, 0.0)
VOXEL_ML = 0.128


def brain_arrays() -> dict[str, np.ndarray]:
    i, j, _ = np.indices(SHAPE)
    brain = np.hypot(i - 19.5, j - 19.5) < 18
    values = {"tmax": 2.0, "cbf": 50.0, "cbv": 3.5, "delay": 0.5}
    return {key: np.where(brain, value, np.nan) for key, value in values.items()}


def with_lesion(where: np.ndarray | tuple[slice, ...], **values: float) -> PerfusionMaps:
    arrays = brain_arrays()
    for key, value in values.items():
        inside = np.zeros(SHAPE, bool)
        inside[where] = True
        arrays[key][inside & np.isfinite(arrays[key])] = value
    return PerfusionMaps.from_arrays(arrays, AFFINE)


LEFT = (slice(26, 32), slice(14, 24), slice(1, 4))
RIGHT = (slice(8, 14), slice(14, 24), slice(1, 4))


@pytest.mark.parametrize(("where", "side", "reference"), [(LEFT, "left", "right"), (RIGHT, "right", "left")])
def test_the_side_is_the_patients(where: tuple[slice, ...], side: str, reference: str) -> None:
    maps, lesions = lesion.segment(with_lesion(where, tmax=9.0, cbf=10.0), midplane=PLANE)
    assert lesions.side == side
    assert int(lesions.hypoperfusion.sum()) == 180
    assert lesion.metrics(maps, lesions).values["reference"]["side"] == reference
    x = (np.indices(SHAPE)[0] - 19.5) * -4.0
    assert (np.sign(x[lesions.reference]) == (1 if reference == "right" else -1)).all()


def test_flipping_the_stored_image_leaves_side_and_volumes_alone() -> None:
    maps = with_lesion(LEFT, tmax=9.0, cbf=10.0)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    flipped = PerfusionMaps.from_arrays({key: maps[key].values[::-1] for key in maps}, AFFINE @ flip)
    for one, two in zip(lesion.segment(maps), lesion.segment(flipped), strict=True):
        if hasattr(one, "side"):
            assert one.side == two.side == "left"
            np.testing.assert_array_equal(one.core, two.core[::-1])


def test_a_healthy_brain_has_no_lesion() -> None:
    maps, lesions = lesion.segment(with_lesion(LEFT))
    values = lesion.metrics(maps, lesions).values
    assert (lesions.side, values["hypoperfusion_volume_ml"], values["infarct_core_volume_ml"]) == ("none", 0.0, 0.0)
    assert values["mismatch_ratio"] is None
    assert "no core" in values["mismatch_note"]
    assert values["hir"] is None
    assert values["penumbra_fraction_percent"] is None


@pytest.mark.parametrize(
    ("tmax", "preset", "counts"), [(6.0, "ct-perfusion-auto", 0), (6.0, "neuroflow", 180), (6.01, "rapid-like", 180)]
)
def test_the_threshold_itself_counts_only_in_the_preset_that_says_so(tmax: float, preset: str, counts: int) -> None:
    _, lesions = lesion.segment(with_lesion(LEFT, tmax=tmax), midplane=PLANE, preset=preset)
    assert int(lesions.hypoperfusion.sum()) == counts


def test_low_flow_outside_of_hypoperfusion_is_core_only_in_the_preset_that_says_so() -> None:
    maps = with_lesion(LEFT, cbf=10.0)
    assert not lesion.segment(maps, midplane=PLANE)[1].core.any()
    anywhere = lesion.segment(maps, midplane=PLANE, preset="rapid-like")[1]
    assert int(anywhere.core.sum()) == 180
    assert "core_outside_hypoperfusion" in {f.code for f in anywhere.findings}


def test_the_delay_preset_uses_the_delay() -> None:
    maps = with_lesion(LEFT, delay=3.5, cbf=10.0)
    lesions = lesion.segment(maps, midplane=PLANE, preset="mistar-like")[1]
    assert int(lesions.hypoperfusion.sum()) == int(lesions.core.sum()) == 180


def test_the_absolute_preset_uses_the_thresholds_that_were_entered() -> None:
    maps = with_lesion(LEFT, cbf=20.0, cbv=1.0)
    preset = replace(lesion.PRESETS["syngo-like"], hypoperfusion_cbf=25.0, core_cbv=0.9)
    lesions = lesion.segment(maps, midplane=PLANE, preset=preset)[1]
    assert int(lesions.hypoperfusion.sum()) == 180
    assert not lesions.core.any()
    assert "absolute_thresholds" in {f.code for f in lesions.findings}


def test_clusters_below_one_milliliter_are_removed_and_still_reported() -> None:
    small = (slice(28, 30), slice(18, 20), slice(2, 3))  # 4 voxels = 0.5 mL
    maps, lesions = lesion.segment(with_lesion(small, tmax=9.0), midplane=PLANE)
    values = lesion.metrics(maps, lesions).values
    assert values["volumes_ml"]["tmax_gt_6"] == 0.0
    assert values["volumes_unfiltered_ml"]["tmax_gt_6"] == pytest.approx(4 * VOXEL_ML)
    keep = replace(lesion.PRESETS["ct-perfusion-auto"], min_cluster_ml=0.4)
    assert int(lesion.segment(with_lesion(small, tmax=9.0), midplane=PLANE, preset=keep)[1].hypoperfusion.sum()) == 4


def test_voxels_that_touch_by_a_corner_form_one_cluster() -> None:
    from PerfusionSuiteLib.lesion.clusters import without_small_clusters

    mask = np.zeros((4, 4, 4), bool)
    mask[np.arange(4), np.arange(4), np.arange(4)] = True
    assert without_small_clusters(mask, 0.25, 1.0).sum() == 4
    assert without_small_clusters(mask, 0.24, 1.0).sum() == 0


def test_both_sides_affected_make_the_reference_global() -> None:
    arrays = brain_arrays()
    i = np.indices(SHAPE)[0]
    late = ((i < 12) | (i > 27)) & np.isfinite(arrays["tmax"])
    arrays["tmax"][late] = 9.0
    arrays["cbf"][late] = 30.0
    maps, lesions = lesion.segment(PerfusionMaps.from_arrays(arrays, AFFINE), midplane=PLANE)
    assert lesions.side == "bilateral"
    assert "bilateral" in {f.code for f in lesions.findings}
    np.testing.assert_array_equal(lesions.reference, lesions.tissue & ~late)
    assert maps["rcbf"].values[late] == pytest.approx(60.0)


@pytest.mark.parametrize(("columns", "said"), [(5, True), (1, False)])
def test_hypoperfusion_that_is_nearly_alike_on_both_sides_is_told(columns: int, said: bool) -> None:
    arrays = brain_arrays()
    arrays["tmax"][LEFT] = 9.0
    arrays["tmax"][8 : 8 + columns, 14:24, 1:4] = 9.0
    maps = PerfusionMaps.from_arrays(arrays, AFFINE)
    _, lesions = lesion.segment(maps, midplane=PLANE)
    found = [f for f in lesions.findings if f.code == "both_sides"]
    assert (lesions.side, bool(found)) == ("left", said)
    assert all("23.0 mL of the left and 19.2 mL of the right hemisphere" in f.message for f in found)
    _, told = lesion.segment(maps, midplane=PLANE, side="left")
    assert "both_sides" not in {f.code for f in told.findings}


def test_a_contralateral_region_overrides_the_reference() -> None:
    contra = np.zeros(SHAPE, bool)
    contra[10:14, 10:14, 2] = True
    arrays = brain_arrays()
    arrays["cbf"][contra] = 80.0
    maps, lesions = lesion.segment(PerfusionMaps.from_arrays(arrays, AFFINE), contra_mask=contra, midplane=PLANE)
    np.testing.assert_array_equal(lesions.reference, contra)
    assert maps["rcbf"].values[20, 20, 2] == pytest.approx(62.5)


def test_the_median_reference_ignores_an_outlier() -> None:
    arrays = brain_arrays()
    arrays["cbf"][10, 20, 2] = 5000.0
    maps = PerfusionMaps.from_arrays(arrays, AFFINE)
    median = replace(lesion.PRESETS["ct-perfusion-auto"], reference_statistic="median")
    assert lesion.segment(maps, midplane=PLANE, preset=median)[0]["rcbf"].values[20, 20, 2] == pytest.approx(100.0)
    assert lesion.segment(maps, midplane=PLANE)[0]["rcbf"].values[20, 20, 2] < 99.0


def test_relative_maps_do_not_depend_on_the_scale_of_the_aif() -> None:
    maps = with_lesion(LEFT, tmax=9.0, cbf=12.0, cbv=2.0)
    scaled = PerfusionMaps.from_arrays({key: maps[key].values * (3.5 if key in ("cbf", "cbv") else 1.0) for key in maps}, AFFINE)
    (one, first), (two, second) = lesion.segment(maps, midplane=PLANE), lesion.segment(scaled, midplane=PLANE)
    np.testing.assert_allclose(one["rcbf"].values, two["rcbf"].values, rtol=1e-5)
    np.testing.assert_array_equal(first.core, second.core)
    assert "cbv_scale_implausible" in {f.code for f in second.findings}


def test_high_blood_volume_counts_as_vessel() -> None:
    maps = with_lesion((slice(28, 30), slice(18, 26), slice(1, 4)), tmax=9.0, cbv=12.0)
    assert not lesion.segment(maps, midplane=PLANE)[1].hypoperfusion.any()


def test_the_offset_of_a_method_moves_all_tmax_thresholds() -> None:
    preset = replace(lesion.PRESETS["ct-perfusion-auto"], tmax_offset_s={"osvd": 1.5})
    maps = with_lesion(LEFT, tmax=7.0)
    assert lesion.segment(maps, midplane=PLANE, preset=preset, method="nlr")[1].hypoperfusion.sum() == 180
    shifted = lesion.segment(maps, midplane=PLANE, preset=preset, method="osvd")[1]
    assert not shifted.hypoperfusion.any()
    assert (shifted.thresholds["tmax_offset_s"], shifted.thresholds["tmax_applied_s"]) == (1.5, 7.5)
    by_provenance = PerfusionMaps.from_arrays({k: maps[k].values for k in maps}, AFFINE, provenance=Provenance("osvd"))
    assert not lesion.segment(by_provenance, midplane=PLANE, preset=preset)[1].hypoperfusion.any()
    values = lesion.metrics(*lesion.segment(with_lesion(LEFT, tmax=8.0), midplane=PLANE, preset=preset, method="osvd")).values
    assert values["volumes_ml"]["tmax_gt_6"] == pytest.approx(180 * VOXEL_ML)
    assert values["volumes_ml"]["tmax_gt_8"] == 0.0


def test_the_factor_of_a_method_moves_all_relative_flow_thresholds_and_no_map() -> None:
    preset = replace(lesion.PRESETS["ct-perfusion-auto"], rcbf_factor={"csvd": 1.5})
    maps = with_lesion(LEFT, tmax=8.0, cbf=20.0)
    plain, without = lesion.segment(maps, midplane=PLANE, preset=preset, method="osvd")
    scaled, with_factor = lesion.segment(maps, midplane=PLANE, preset=preset, method="csvd")
    assert not without.core.any()
    assert with_factor.core.sum() == with_factor.hypoperfusion.sum() == 180
    assert np.array_equal(plain["rcbf"].values, scaled["rcbf"].values, equal_nan=True)
    assert (with_factor.thresholds["rcbf_factor"], with_factor.thresholds["rcbf_applied_percent"]) == (1.5, 45.0)
    volumes = lesion.metrics(scaled, with_factor).values["volumes_ml"]
    assert (volumes["cbf_lt_20"], volumes["cbf_lt_30"]) == (0.0, pytest.approx(180 * VOXEL_ML))


@pytest.mark.parametrize("method", ["csvd", "osvd", "tikhonov", "ssvd", "ssvd-delay", "nlr"])
def test_every_method_has_a_calibration_that_the_results_state(method: str) -> None:
    preset = lesion.PRESETS["ct-perfusion-auto"]
    found = lesion.segment(with_lesion(LEFT, tmax=12.0), midplane=PLANE, preset=preset, method=method)[1].thresholds
    assert found["tmax_applied_s"] == pytest.approx(6.0 + TMAX_OFFSET_S[method])
    assert found["rcbf_applied_percent"] == pytest.approx(30.0 * RCBF_FACTOR[method])
    assert (found["tmax_s"], found["rcbf_percent"]) == (6.0, 30.0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cutoff=st.floats(0.0, 3.0))
def test_lesions_are_always_consistent(seed: int, cutoff: float) -> None:
    rng = np.random.default_rng(seed)
    arrays = brain_arrays()
    arrays["tmax"] = arrays["tmax"] + rng.gamma(1.2, 2.0, SHAPE)
    arrays["cbf"] = arrays["cbf"] * rng.uniform(0.05, 1.5, SHAPE)
    preset = replace(lesion.PRESETS["ct-perfusion-auto"], min_cluster_ml=cutoff)
    maps, lesions = lesion.segment(PerfusionMaps.from_arrays(arrays, AFFINE), midplane=PLANE, preset=preset)
    values: Any = lesion.metrics(maps, lesions).values
    assert not (lesions.core & ~lesions.hypoperfusion).any()
    np.testing.assert_array_equal(lesions.penumbra, lesions.hypoperfusion & ~lesions.core)
    assert not (lesions.hypoperfusion & ~lesions.tissue).any()
    levels = [values["volumes_ml"][f"tmax_gt_{level}"] for level in (4, 6, 8, 10)]
    assert levels == sorted(levels, reverse=True)
    assert values["volumes_ml"]["tmax_gt_6"] == values["hypoperfusion_volume_ml"]
    assert values["volumes_ml"]["cbf_lt_30"] == values["infarct_core_volume_ml"]
    by_side = values["hemispheres"]
    assert by_side["left"]["core_ml"] + by_side["right"]["core_ml"] == pytest.approx(values["infarct_core_volume_ml"], abs=1e-3)
    slices = sum(row["hypoperfusion_cm2"] for row in values["slice_statistics"])
    assert slices * 0.8 == pytest.approx(values["hypoperfusion_volume_ml"], abs=1e-2)


def test_missing_maps_are_named() -> None:
    arrays = brain_arrays()
    with pytest.raises(InvalidInputError, match="needs the maps tmax"):
        lesion.segment(PerfusionMaps.from_arrays({"cbf": arrays["cbf"]}, AFFINE))
    with pytest.raises(InvalidInputError, match="cbf or rcbf"):
        lesion.segment(PerfusionMaps.from_arrays({"tmax": arrays["tmax"]}, AFFINE))
    with pytest.raises(InvalidInputError, match="delay"):
        lesion.segment(PerfusionMaps.from_arrays({k: arrays[k] for k in ("tmax", "cbf")}, AFFINE), preset="mistar-like")


def test_unknown_presets_and_impossible_thresholds_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no threshold preset 'siemens'"):
        lesion.segment(with_lesion(LEFT), preset="siemens")
    with pytest.raises(InvalidInputError, match="'tmax_s' must be above 0"):
        replace(lesion.PRESETS["rapid-like"], tmax_s=-1.0)
    with pytest.raises(InvalidInputError, match="not a choice for 'core_rule'"):
        replace(lesion.PRESETS["rapid-like"], core_rule="mtt")  # type: ignore[arg-type]


def test_a_region_of_another_grid_and_one_without_tissue_are_refused() -> None:
    with pytest.raises(GridMismatchError, match="contra mask has"):
        lesion.segment(with_lesion(LEFT), contra_mask=np.ones((3, 3, 3)))
    outside = np.zeros(SHAPE, bool)
    outside[0, 0, 0] = True
    with pytest.raises(InvalidInputError, match="contains no brain tissue"):
        lesion.segment(with_lesion(LEFT), contra_mask=outside, midplane=PLANE)


def test_a_brain_that_is_late_everywhere_has_no_reference() -> None:
    with pytest.raises(InvalidInputError, match="no normal reference"):
        lesion.segment(with_lesion((slice(None), slice(None), slice(None)), tmax=12.0), midplane=PLANE)


def test_a_complete_study_is_segmented_on_the_patients_left(a_study: Study) -> None:
    maps, lesions = lesion.segment(a_study.maps, masks=a_study.masks, baseline=a_study.concentration.baseline)
    assert lesions.side == "left"
    truth = a_study.lesions
    inside = lesions.tissue
    np.testing.assert_array_equal(lesions.hypoperfusion, truth.hypoperfusion & inside)
    np.testing.assert_array_equal(lesions.core, truth.core & inside)
    values = lesion.metrics(maps, lesions, aif=a_study.aif, vof=a_study.vof, findings=a_study.findings).values
    assert values["aif_vof_delay_s"] == pytest.approx(6.0, abs=0.1)
    assert "aif_scaled" in values["quality"]["flags"]
    assert values["aif"]["peak"] == 180.0


def test_metrics_accept_lesions_from_elsewhere(a_study: Study) -> None:
    values = lesion.metrics(a_study.maps, a_study.lesions).values
    assert values["mismatch_ratio"] == pytest.approx(float(a_study.lesions.hypoperfusion.sum() / a_study.lesions.core.sum()))
