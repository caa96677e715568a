# SPDX-License-Identifier: Apache-2.0
"""Volume check, contrasts, curves, time constants and slices of fitted DSC patients: known answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import hemopic_dataset as made_up
import numpy as np
import pytest
from scipy import ndimage, stats

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.core.nifti import read_volume, write_volume
from PerfusionSuiteLib.evaluation import dice
from PerfusionSuiteLib.evaluation import hemopic_reconstruction as curves
from PerfusionSuiteLib.evaluation import hemopic_tau as tau
from PerfusionSuiteLib.evaluation.hemopic_case import read_case
from PerfusionSuiteLib.evaluation.hemopic_cohort import compare_paired
from PerfusionSuiteLib.evaluation.hemopic_contrasts import cohort_contrasts, contrast_rows
from PerfusionSuiteLib.evaluation.hemopic_folders import find_cases
from PerfusionSuiteLib.evaluation.hemopic_mirror import flipped, left_right_axis, mirrored_lesion, published_mirror
from PerfusionSuiteLib.evaluation.hemopic_slices import SliceChoices, opposite_half, published_slice
from PerfusionSuiteLib.evaluation.hemopic_volume_check import agreement_rows, fitted_line, volume_points


def read(folders: tuple[Path, Path], number: int = 1, definitions: Any = "corrected") -> Any:
    cases, _ = find_cases(*folders, patients=(str(number),))
    return read_case(cases[0], definitions=definitions)


def tracer_of(case: Any, table: Any | None = None) -> curves.TracerData:
    labels = read_volume(case.files.other["regions"])[0]
    return curves.read_tracer(case, table or tau.read_regions(case.files.fit), labels)


def test_older_names_numbers_and_single_results_are_found(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    fits, data = dsc_fits
    old = tmp_path / "p2_kmeans" / "global" / "core"
    old.mkdir(parents=True)
    for key, name in (("CBF", "CBF_raw"), ("CBV", "CBV_raw"), ("MTT", "MTT_raw_clamped")):
        shutil.copy(fits / "training_2" / f"HemoPIC_{key}.nii.gz", old / f"Model_{name}.nii.gz")
    (tmp_path / "notes").mkdir()
    cases, skipped = find_cases(tmp_path, data)
    assert [case.patient for case in cases] == ["2"]
    assert set(cases[0].maps["hemopic"]) == {"cbf", "cbv", "mtt"}
    assert cases[0].maps["deconv"]["cbf"].parent.name == "training_2"
    assert [name for name, _ in skipped] == ["notes"]
    single, _ = find_cases(fits / "training_1", data / "training_1" / "OT.nii.gz")
    assert single[0].other["lesion"].name == "OT.nii.gz"
    assert "deconv" not in single[0].maps
    with pytest.raises(InvalidInputError, match="no fitted patients with the numbers 77"):
        find_cases(fits, data, patients=("77",))


def test_the_lesion_is_mirrored_about_the_plane_of_a_turned_head(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    turn = np.radians(12.0)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = made_up.AFFINE
    # The head turns within the scanner: every voxel takes the value of the place that the turn brings there.
    back = np.linalg.inv(affine) @ np.linalg.inv(rotation) @ affine
    made = made_up.patient(1)
    turned = {
        key: ndimage.affine_transform(np.asarray(made[key], float), back[:3, :3], back[:3, 3], order=0)
        for key in ("cbf", "cbv", "mtt", "tmax", "lesion", "labels")
    }
    turned["lesion"], turned["labels"] = turned["lesion"] > 0, turned["labels"].astype(np.uint8)
    made_up.write_data(tmp_path / "data" / "training_1", {**turned, "curves": made["curves"]})
    shutil.copytree(dsc_fits[0] / "training_1", tmp_path / "fits" / "training_1")
    found = mirrored_lesion(read((tmp_path / "fits", tmp_path / "data")), "corrected")
    assert found.how == "midplane"
    i, j, k = np.indices(made_up.SHAPE)
    here = np.einsum("ij,j...->i...", affine[:3, :3], np.stack([i, j, k]).astype(float)) + affine[:3, 3, None, None, None]
    still = np.einsum("ji,j...->i...", rotation[:3, :3], here)  # where the voxel lies in the head that is not turned
    mirrored = still * np.array([-1.0, 1.0, 1.0])[:, None, None, None]  # the still head is symmetric about R = 0
    voxel = np.linalg.inv(affine)
    at = np.einsum("ij,j...->i...", voxel[:3, :3], mirrored) + voxel[:3, 3, None, None, None]
    lesion = made["lesion"]
    expected = ndimage.map_coordinates(lesion.astype(float), at, order=0) > 0
    expected &= (turned["labels"] > 0) & (turned["labels"] != 3) & ~turned["lesion"]
    flip, _ = published_mirror(turned["lesion"], (turned["labels"] > 0) & (turned["labels"] != 3))
    assert dice(found.mask, expected) > 0.85
    assert dice(found.mask, expected) > dice(flip, expected) + 0.1


def test_the_published_axis_is_the_one_that_keeps_more_of_the_lesion_in_tissue() -> None:
    tissue = np.zeros((10, 20, 2), bool)
    tissue[:, 8:] = True
    lesion = np.zeros_like(tissue)
    lesion[1:3, 15:18] = True
    mask, axis = published_mirror(lesion, tissue)
    assert axis == 0
    assert np.argwhere(mask)[:, 0].min() == 7
    assert left_right_axis(made_up.AFFINE) == 0
    assert left_right_axis(np.array([[0, 2.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]])) == 1


def test_a_flip_is_about_the_middle_of_the_brain_not_of_the_array() -> None:
    brain = np.zeros((20, 4, 2), bool)
    brain[2:11] = True  # the middle is voxel 6
    mask = np.zeros_like(brain)
    mask[9] = True
    assert np.argwhere(flipped(mask, 0, brain))[:, 0].tolist() == [3] * 8


def test_points_of_the_check_are_means_and_ratios_of_means(dsc_fits: tuple[Path, Path]) -> None:
    case = read(dsc_fits)
    points = {row["region"]: row for row in volume_points(case, "corrected")}
    assert set(points) == {"GM", "WM", "lesion", "brain"}
    white = case.labels == 2
    model, data = case.maps["hemopic"], case.maps["deconv"]
    assert points["WM"]["x_data_mtt"] == pytest.approx(data["mtt"][white].mean(), rel=1e-5)
    assert points["WM"]["y_model_ratio"] == pytest.approx(60 * model["cbv"][white].mean() / model["cbf"][white].mean(), rel=1e-5)
    assert points["WM"]["n_vox"] == white.sum()
    published = volume_points(read(dsc_fits, definitions="published"), "published")
    assert tuple(published[0]) == ("patient", "region", "x_data_mtt", "y_model_ratio", "n_vox")


def test_the_line_and_its_error_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(2, 10, 12)
    y = 1.0 + 0.8 * x + rng.normal(0, 0.5, 12)
    line, known = fitted_line(x, y, at=[0.0, x.mean()]), stats.linregress(x, y)
    assert line is not None
    assert (line.slope, line.intercept) == pytest.approx((known.slope, known.intercept))
    assert line.se[0] == pytest.approx(known.intercept_stderr)
    assert line.se[1] == pytest.approx(np.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / 10 / 12))
    assert fitted_line(x[:2], y[:2]) is None


def test_agreement_tells_a_shift_from_a_spread() -> None:
    x = np.array([3.0, 4.0, 5.0, 6.0, 7.0])
    points = [{"region": "GM", "x_data_mtt": a, "y_model_ratio": a + 2.0} for a in x]
    (row,) = agreement_rows(points)
    assert row["pearson"] == pytest.approx(1.0)
    assert row["bias_s"] == pytest.approx(2.0)
    assert row["sd_s"] == pytest.approx(0.0, abs=1e-12)
    assert row["concordance"] == pytest.approx(2 * x.var() / (2 * x.var() + 4.0))
    assert row["concordance_low"] < row["concordance"] < row["concordance_high"]
    (alone,) = agreement_rows(points[:1])
    assert alone["pearson"] is None
    assert alone["slope"] is None


def test_contrasts_are_ratios_and_welchs_test(dsc_fits: tuple[Path, Path]) -> None:
    case = read(dsc_fits, definitions="published")
    opposite = mirrored_lesion(case, "published")
    tables = contrast_rows(case, opposite, "published")
    row = next(r for r in tables["lesion"] if r["metric"] == "data_cbf")
    flow, lesion = case.maps["deconv"]["cbf"].astype(float), case.lesion & case.tissue
    a, b = flow[lesion], flow[opposite.mask]
    test = stats.ttest_ind(a, b, equal_var=False)
    assert row["mu_r"] == pytest.approx(a.mean() / b.mean())
    assert row["sigma_r"] == pytest.approx(a.std(ddof=1) / b.std(ddof=1))
    assert (row["t_value"], row["p_value"]) == pytest.approx((test.statistic, test.pvalue))
    assert [r["metric"] for r in tables["gmwm"]] == ["model_cbf", "model_cbv", "data_cbf", "data_cbv"]
    corrected = contrast_rows(read(dsc_fits), mirrored_lesion(read(dsc_fits), "corrected"), "corrected")
    honest = next(r for r in corrected["lesion"] if r["metric"] == "data_cbf")
    assert honest["blocks_a"] < honest["n_a"] / 4
    assert abs(honest["t_value"]) < abs(row["t_value"])
    assert {r["metric"] for r in corrected["lesion"]} == {
        "model_cbf", "model_cbv", "model_mtt", "data_cbf", "data_cbv", "data_mtt", "data_tmax",
    }  # fmt: skip


def test_a_contrast_is_tested_across_patients() -> None:
    rows = [{"patient": str(n), "metric": "model_cbf", "mu_r": 0.5 + 0.01 * n} for n in range(10)]
    (row,) = cohort_contrasts(rows)
    assert (row["n"], row["losses"]) == (10, 10)
    assert row["p_wilcoxon"] == pytest.approx(2.0 / 2**10)
    assert compare_paired([1.0, np.nan], [1.0, 2.0]).n == 1
    assert np.isnan(compare_paired([1.0, 2.0], [1.0, 2.0]).p)


def test_rebuilt_curves_are_those_of_the_fit(dsc_fits: tuple[Path, Path]) -> None:
    case = read(dsc_fits)
    fit = made_up.fitted(made_up.patient(1))
    found = curves.published_curves(tracer_of(case))
    assert len(found) == len(fit.regions.rows)
    for row, curve in zip(fit.regions.rows, fit.regions.fitted, strict=True):
        np.testing.assert_allclose(found[row["roi_id"]], curve, rtol=1e-4, atol=1e-4 * curve.max())


def test_errors_of_curves_are_weighted_within_the_window() -> None:
    observed, fitted = np.array([0.0, 1.0, 4.0, 2.0, 9.0]), np.array([0.0, 1.0, 3.0, 4.0, 0.0])
    found = curves.curve_errors(observed, fitted, [0.2, 0.4, 1.0, 0.5, 0.2])
    assert found["rmse"] == pytest.approx(np.sqrt((1.0 + 0.5 * 4.0) / 1.9))
    assert found["nrmse"] == pytest.approx(found["rmse"] / 4.0)
    assert found["nmse"] == pytest.approx(3.0 / (0.4 + 16.0 + 2.0))
    wider = curves.curve_errors(observed, fitted, [0.2, 0.4, 1.0, 0.2, 0.2])
    assert wider["rmse"] == pytest.approx(np.sqrt((1.0 + 0.2 * 4.0 + 0.2 * 81.0) / 2.0))


def test_held_out_frames_do_not_enter_their_prediction(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    fits, data = (shutil.copytree(folder, tmp_path / folder.name) for folder in dsc_fits)
    before = curves.held_out_curves(tracer_of(read((fits, data))))
    series = data / "training_1" / "CTC_from_MR_4DPWI.nii"
    values, affine = read_volume(series)
    values[..., 1::2] = np.random.default_rng(0).normal(5.0, 3.0, values[..., 1::2].shape)
    write_volume(series, values, affine, interval_s=made_up.INTERVAL_S)
    after = curves.held_out_curves(tracer_of(read((fits, data))))
    assert before.keys() == after.keys()
    for number, curve in before.items():
        np.testing.assert_array_equal(curve, after[number])


def test_lines_between_kept_frames_are_exact_for_a_straight_curve() -> None:
    straight = np.arange(7.0)
    np.testing.assert_allclose(curves.without_odd(straight), straight)
    np.testing.assert_allclose(curves.without_odd(np.arange(6.0)), [0, 1, 2, 3, 4, 4])
    np.testing.assert_allclose(curves.without_odd(np.array([0.0, 9.0, 2.0])), [0.0, 1.0, 2.0])


def test_a_reconstruction_has_the_published_rows(dsc_fits: tuple[Path, Path]) -> None:
    case = read(dsc_fits, definitions="published")
    data = tracer_of(case)
    found = curves.reconstruct(case, data, curves.published_curves(data), "published")
    assert {row["region"] for row in found.rows} == set(curves.REGIONS)
    assert all(tuple(row) == curves.COLUMNS for row in found.rows)
    assert found.rows[0]["t_end_seconds"] == pytest.approx((made_up.FRAMES - 1) * made_up.INTERVAL_S)
    lesion = next(row for row in found.rows if row["region"] == "lesion")
    assert lesion["n_vox"] == int((case.lesion & (case.labels > 0)).sum())
    # The published model has no delay, so it misses the late curves of the lesion most.
    assert lesion["nmse"] > 3 * next(row for row in found.rows if row["region"] == "WM")["nmse"]
    times, means = curves.cohort_curves([found, found])
    np.testing.assert_allclose(means["GM"][0], found.observed["GM"])
    assert times.size == made_up.FRAMES


def test_a_series_on_another_grid_is_refused(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    fits, data = (shutil.copytree(folder, tmp_path / folder.name) for folder in dsc_fits)
    write_volume(data / "training_1" / "CTC_from_MR_4DPWI.nii", np.zeros((4, 4, 4, 5)), np.eye(4))
    with pytest.raises(GridMismatchError, match="patient 1 has the shape"):
        tracer_of(read((fits, data)))


def test_a_series_of_one_frame_is_refused_and_one_with_five_axes_is_read(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    import nibabel

    fits, data = (shutil.copytree(folder, tmp_path / folder.name) for folder in dsc_fits)
    series = data / "training_1" / "CTC_from_MR_4DPWI.nii"
    before = curves.published_curves(tracer_of(read((fits, data))))
    values, affine = read_volume(series)
    nibabel.save(nibabel.Nifti1Image(values[:, :, :, None], affine), series)
    after = curves.published_curves(tracer_of(read((fits, data))))
    np.testing.assert_allclose(after[1], before[1], rtol=1e-6)
    write_volume(series, values[..., 0], affine)
    with pytest.raises(GridMismatchError, match="patient 1 has the shape"):
        tracer_of(read((fits, data)))


def test_weighted_quantiles_meet_the_test_vector() -> None:
    found = tau.weighted_quantile([13.15, 4.31, 38.22, 2.30], [24493, 1161, 6309, 3144], [0.25, 0.40, 0.50, 0.60, 0.75])
    assert found == pytest.approx([5.92394153, 7.82456138, 9.09164129, 10.35872119, 12.25934104], abs=1e-7)


def test_the_display_factor_ends_the_median_at_thirty_percent() -> None:
    rois = [{"patient": "1", "roi_id": n, "tissue": "GM" if n % 2 else "WM", "tau": 5.0 + n, "w": 100.0} for n in range(9)]
    (grey, white) = tau.quantile_rows(rois, [])
    assert tuple(grey) == tau.SUMMARY_COLUMNS
    assert (grey["n"], white["n"]) == (4, 5)
    median = tau.weighted_quantile([r["tau"] for r in rois], [r["w"] for r in rois], 0.5)
    assert np.exp(-grey["gamma"] * 40.0 / median) == pytest.approx(0.30)


def test_time_constants_of_a_lesion_are_weighted_by_its_voxels(dsc_fits: tuple[Path, Path]) -> None:
    case = read(dsc_fits)
    table, labels = tau.read_regions(case.files.fit), read_volume(case.files.other["regions"])[0]
    rows = tau.overlap_rows(case, table, labels, None, "published")
    weight = sum(row["w"] for row in rows if row["region"] == "lesion")
    assert weight == int((case.lesion & (labels > 0)).sum())
    assert {row["tissue"] for row in tau.tau_rows(case, table, "published")} == {"GM", "WM"}
    bad = [{**row, "loss": 0.9} if row["roi_id"] == 1 else row for row in table]
    assert len(tau.tau_rows(case, bad, "corrected")) == len(tau.tau_rows(case, bad, "published")) - 1
    with pytest.raises(InvalidInputError, match="no table of regions"):
        tau.read_regions(case.files.fit.parent)


def test_the_published_cleanup_works_in_front_of_or_behind_the_lesion_not_beside_it() -> None:
    lesion = np.zeros((40, 40), bool)
    lesion[5:10, 28:34] = True  # in front
    half = opposite_half(lesion)
    assert half[:, :18].all()
    assert not half[:, 19:].any()
    assert not opposite_half(np.zeros((40, 40), bool)).any()


def test_published_display_steps_change_pixels_and_say_how_many() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[3:37, 3:37] = 1
    labels[14:26, 14:26] = 3
    lesion = np.zeros((40, 40), bool)
    lesion[8:12, 28:32] = True
    mtt = np.full((40, 40), 5.0)
    mtt[30, 8] = mtt[30, 32] = 14.0  # one spot behind, one in front
    maps = {"cbf": np.full((40, 40), 40.0), "cbv": np.full((40, 40), 4.0), "mtt": mtt}
    shown = published_slice(maps, labels, lesion, SliceChoices())
    assert shown.mtt[30, 8] == pytest.approx(5.0)
    assert shown.mtt[30, 32] == pytest.approx(14.0)
    assert (shown.replaced, shown.painted) == (1, 0)
    assert np.isnan(shown.cbf[3, 3:37]).all()
    assert mtt[30, 8] == 14.0  # what was measured stays
    curves_of_slice = np.random.default_rng(0).normal(1.0, 0.1, (40, 40, 20)).cumsum(axis=-1)
    painted = published_slice(maps, labels, lesion, SliceChoices(), curves=curves_of_slice, supplied_cbv=maps["cbv"])
    assert painted.painted == int((labels == 3).sum())
    assert painted.cbf[15:25, 15:25].std() > 0
    assert painted.cbf[14:26, 14:26].mean() == pytest.approx(40.0)


def test_flow_of_a_run_without_an_artery_has_no_unit(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    fits = tmp_path / "fits"
    shutil.copytree(dsc_fits[0], fits)
    assert read((fits, dsc_fits[1])).unit("cbf") == "mL/100g/min"
    (find_cases(fits, dsc_fits[1])[0][0].fit / "metrics.json").write_text('{"flow_scale": "relative"}')
    case = read((fits, dsc_fits[1]))
    assert [case.unit(key) for key in ("cbf", "cbv", "mtt")] == ["relative", "relative", "s"]
