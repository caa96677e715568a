# SPDX-License-Identifier: Apache-2.0
"""Results of the physical mode are judged like published ones: curves, frames left out, transit times."""

from __future__ import annotations

import shutil
from pathlib import Path

import hemopic_dataset as made_up
import numpy as np
import pytest

from PerfusionSuiteLib import hemopic
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.nifti import read_volume, write_volume
from PerfusionSuiteLib.evaluation import hemopic_physical as physical
from PerfusionSuiteLib.evaluation import hemopic_reconstruction as curves
from PerfusionSuiteLib.evaluation.hemopic_case import read_case
from PerfusionSuiteLib.evaluation.hemopic_folders import find_cases
from PerfusionSuiteLib.evaluation.hemopic_study import HemopicDesign, run_hemopic
from PerfusionSuiteLib.evaluation.hemopic_tau import read_regions
from PerfusionSuiteLib.results.regions import curve_rows
from PerfusionSuiteLib.results.tables import write_rows


@pytest.fixture(scope="module")
def a_result(dsc_fits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Patient 1 in the physical mode, as ``run`` writes it, and the folder of the data."""
    folder = tmp_path_factory.mktemp("physical")
    made = made_up.patient(1)
    times = np.arange(made_up.FRAMES) * made_up.INTERVAL_S
    settings = {"k_gm": 3, "k_wm": 3}
    maps, regions = hemopic.fit(
        made["curves"], times, mask=made["labels"] > 0, affine=made_up.AFFINE, labels=made["labels"], settings=settings
    )
    place = folder / "patient_1"
    for key in ("cbf", "cbv", "mtt", "delay", "tmax"):
        write_volume(place / f"{key}.nii.gz", maps[key], made_up.AFFINE)
    write_volume(place / "regions.nii.gz", regions.labels, made_up.AFFINE, dtype=np.int32)
    write_rows(place / "regions.csv", regions.rows)
    write_rows(place / "region_curves.csv", curve_rows(regions))
    return folder, dsc_fits[1]


def test_all_parts_run_on_results_of_the_physical_mode(a_result: tuple[Path, Path]) -> None:
    cases, _ = find_cases(*a_result)
    found = run_hemopic(cases, HemopicDesign(parts=("cvt", "summary", "curves", "tau", "roc")))
    assert found.skipped == []
    assert {row["metric"] for row in found.metrics if row["method"] == "hemopic"} == {"cbf", "cbv", "mtt", "tmax", "delay"}
    late = next(row for row in found.metrics if (row["method"], row["metric"]) == ("hemopic", "tmax"))
    assert late["roc_auc"] > 0.9
    assert not any("delay" in row["metric"] for row in found.contrasts["lesion"])
    assert found.rois == []
    middle = {(r["quantity"], r["group"]): r["q50"] for r in physical.time_quantiles(found.times)}
    assert middle["mtt", "lesion"] > middle["mtt", "c_lesion"]
    assert middle["delay", "lesion"] > middle["delay", "c_lesion"] + 1.0


def test_a_model_with_delay_predicts_frames_that_it_never_saw(a_result: tuple[Path, Path], dsc_fits: tuple[Path, Path]) -> None:
    case = read_case(find_cases(*a_result)[0][0])
    with_delay = physical.held_out_errors(case, {"lesion": case.lesion}, case.labels, made_up.INTERVAL_S)["lesion"]
    published = read_case(find_cases(*dsc_fits, patients=("1",))[0][0])
    data = curves.read_tracer(published, read_regions(published.files.fit), read_volume(published.files.other["regions"])[0])
    fits = curves.held_out_curves(data)
    found = curves.reconstruct(published, data, curves.published_curves(data), "corrected", held_out=fits)
    without = next(row for row in found.rows if row["region"] == "lesion")
    assert with_delay["held_out_nrmse"] < 0.1
    assert with_delay["held_out_nrmse"] < 0.5 * without["held_out_nrmse"]
    assert with_delay["interpolation_nrmse"] == pytest.approx(without["interpolation_nrmse"], rel=0.05)


def test_without_a_tracer_series_frames_cannot_be_left_out(a_result: tuple[Path, Path], tmp_path: Path) -> None:
    write_volume(tmp_path / "lesion.nii.gz", made_up.patient(1)["lesion"], made_up.AFFINE, dtype=np.uint8)
    case = read_case(find_cases(a_result[0] / "patient_1", tmp_path / "lesion.nii.gz")[0][0])
    rows, labels = read_regions(case.files.fit), read_volume(case.files.other["regions"])[0]
    assert physical.is_physical(rows)
    found = physical.reconstruct_stored(case, rows, labels, "corrected", None, held_out=True)
    assert {row["region"] for row in found.rows} == {"GM", "WM", "lesion", "full_brain"}
    assert all("held_out_nrmse" not in row for row in found.rows)
    assert all(row["nrmse"] < 0.1 for row in found.rows)


def test_results_under_bids_names_are_found(a_result: tuple[Path, Path], tmp_path: Path) -> None:
    source, place = a_result[0] / "patient_1", tmp_path / "sub-01" / "perf"
    place.mkdir(parents=True)
    for key in ("cbf", "cbv", "mtt", "tmax"):
        shutil.copy(source / f"{key}.nii.gz", place / f"sub-01_desc-perfusion_{key}.nii.gz")
    shutil.copy(source / "regions.nii.gz", place / "sub-01_desc-regions_dseg.nii.gz")
    for name, other in (("regions", "regions"), ("region_curves", "regioncurves")):
        text = (source / f"{name}.csv").read_text(encoding="utf-8")
        (place / f"sub-01_desc-{other}_perf.tsv").write_text(text.replace(",", "\t"), encoding="utf-8")
    (files,), _ = find_cases(tmp_path, a_result[1])
    assert (files.patient, set(files.maps["hemopic"])) == ("1", {"cbf", "cbv", "mtt", "tmax"})
    found = run_hemopic([files], HemopicDesign(parts=("curves", "tau"), held_out=False))
    assert found.skipped == []
    assert found.curves[0].rows[0]["nrmse"] < 0.1


def test_tissue_of_regions_is_read_back() -> None:
    rows = [{"roi_id": 1, "tissue": "GM"}, {"roi_id": 2, "tissue": "CSF"}]
    np.testing.assert_array_equal(physical.tissue_of(rows, np.array([[[0, 1, 2]]])), [[[0, 1, 3]]])
    assert physical.tissue_of([{"roi_id": 1, "tissue": "Brain"}], np.array([[[1]]])) is None


def test_curves_of_another_table_are_refused(a_result: tuple[Path, Path]) -> None:
    folder = a_result[0] / "patient_1"
    rows = read_regions(folder)
    with pytest.raises(InvalidInputError, match="columns, but 1 regions need 4"):
        physical.read_stored(folder, rows[:1])
    with pytest.raises(InvalidInputError, match="no curves of regions"):
        physical.read_stored(folder.parent, rows)
