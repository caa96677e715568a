# SPDX-License-Identifier: Apache-2.0
"""``evaluate hemopic``: files, columns, definitions, failures."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import hemopic_dataset as made_up
import numpy as np
import pytest

from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core.nifti import read_volume, write_volume

BOTH = ("corrected", "published")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def both(dsc_fits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both definitions on two patients, of which one has no flow and the other a second entry."""
    root = tmp_path_factory.mktemp("cohort")
    fits, data = (shutil.copytree(folder, root / folder.name) for folder in dsc_fits)
    for folder in (fits, data):
        shutil.copytree(folder / "training_2", folder / "training_3")
    values, affine = read_volume(data / "training_1" / "MR_rCBF.nii.gz")
    write_volume(data / "training_1" / "MR_rCBF.nii.gz", np.full(values.shape, np.nan), affine)
    words = ["evaluate", "hemopic", str(fits), str(data), str(root / "out"), "--definitions", "corrected", "published"]
    assert main(words) == 0
    return root / "out"


def test_published_files_have_the_published_columns(both: Path) -> None:
    out = both / "published"
    heads = {
        "cvt/tables/points.csv": "patient,region,x_data_mtt,y_model_ratio,n_vox",
        "summary_stats/run_*/tables/lesion.csv": "patient,metric,mu_r,sigma_r,t_value,p_value,n_a,n_b",
        "summary_stats/run_*/tables/gmwm.csv": "patient,metric,mu_r,sigma_r,t_value,p_value,n_a,n_b",
        "curve_reconstruction/run_*/tables/metrics.csv": "patient,region,n_vox,dt_seconds,t_end_seconds,rmse,nrmse,nmse",
        "curve_reconstruction/run_*/curves/full_mean.csv": "time_seconds,obs_mean,fit_mean",
        "tau/cohort_roi_tau_values.csv": "patient,roi_id,tissue,tau,w",
        "tau/cohort_lesion_overlap_roi_tau_values.csv": "patient,region,roi_id,tissue,tau,w",
        "tau/tau_quantiles_summary.csv": "group,n,w_sum,q25,q40,q50,q60,q75,wmean,gamma,t_max,target_end",
        "roc/all_patient_metrics.csv": "patient_id,method,metric,score_rule,relative_mode,normalization_denominator,"
        "n_eval_voxels,n_lesion_voxels,n_nonlesion_voxels,lesion_fraction,roc_auc,pr_auc_trapezoid,average_precision,source_file",
    }
    for name, head in heads.items():
        assert one(out, name).read_text(encoding="utf-8").splitlines()[0] == head
    for name in (
        "roc/patient_1/roc_curves.png",
        "roc/patient_1/pr_curves.png",
        "roc/patient_1/run_info.json",
        "roc/failures.txt",
    ):
        assert (out / name).is_file()
    assert (out / "roc" / "pooled_voxel_results" / "pooled_voxel_metrics.csv").is_file()
    assert len(list(one(out, "curve_reconstruction/run_*").glob("tables/*.tex"))) == 3
    manifest = json.loads(one(out, "summary_stats/run_*/manifest.json").read_text(encoding="utf-8"))
    assert manifest["patients_ok"] == 3
    assert manifest["run_folder"].startswith("run_2")


def test_the_second_entry_of_a_subject_counts_as_published_only(both: Path) -> None:
    tables = {name: rows_of(both / name / "roc" / "all_patient_metrics.csv") for name in BOTH}
    assert {row["patient_id"] for row in tables["published"]} == {"1", "2", "3"}
    assert {row["patient_id"] for row in tables["corrected"]} == {"1", "2"}
    manifest = json.loads((both / "corrected" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["same_subject"] == {"3": "2"}
    assert manifest["mirror"]["1"]["how"] == "midplane"


def test_a_missing_map_is_an_empty_cell_with_a_status_and_no_crash(both: Path) -> None:
    rows = rows_of(both / "corrected" / "roc" / "all_patient_metrics.csv")
    (flow,) = (r for r in rows if (r["patient_id"], r["method"], r["metric"]) == ("1", "deconv", "cbf"))
    assert (flow["roc_auc"], flow["status"]) == ("", "no usable values")
    transit = [r for r in rows if (r["patient_id"], r["metric"]) == ("1", "mtt")]
    assert len(transit) == 2
    assert {r["status"] for r in transit} == {"ok"}
    assert len({r["n_eval_voxels"] for r in transit}) == 1


def test_corrected_tables_judge_by_patients(both: Path) -> None:
    out = both / "corrected"
    assert "pr_auc_trapezoid" not in rows_of(out / "roc" / "all_patient_metrics.csv")[0]
    summary = {(r["method"], r["metric"]): r for r in rows_of(out / "roc" / "summary_patient_mean_metrics.csv")}
    assert summary["hemopic", "mtt"]["n"] == "2"
    assert summary["deconv", "cbf"]["n"] == "1"
    assert ("deconv", "tmax") in summary
    assert {r["region"] for r in rows_of(out / "cvt" / "tables" / "agreement.csv")} == {"GM", "WM", "lesion", "brain"}
    metrics = rows_of(one(out, "curve_reconstruction/run_*/tables/metrics.csv"))
    assert all(float(r["held_out_nrmse"]) > 0 for r in metrics)
    assert "Lesion detection" in (out / "report.html").read_text(encoding="utf-8")
    assert "* Patients: 2: 1, 2\n" in (out / "summary.md").read_text(encoding="utf-8")
    halves = rows_of(out / "roc" / "summary_odd_and_even_ids.csv")
    assert {r["ids"] for r in halves} == {"odd", "even"}


def test_slice_figures_say_whether_pixels_were_altered(both: Path) -> None:
    for name in BOTH:
        folder = one(both / name / "slices", "training_1_z*")
        assert {"lesion.png", "cbf.png", "cbv.png", "mtt.png", "manifest.json"} <= {path.name for path in folder.iterdir()}
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        lesion = made_up.patient(1)["lesion"]
        assert facts["slice"] == int(lesion.sum(axis=(0, 1)).argmax())
        assert facts["definitions"] == name
        assert facts.get("display_only", False) is (name == "published")
        assert (facts["altered_pixels"] == 0) or name == "published"


def test_the_result_of_run_is_evaluated_with_a_lesion_mask_alone(tmp_path: Path) -> None:
    made = made_up.patient(4)
    result = tmp_path / "result"
    for key in ("cbf", "cbv", "mtt", "tmax"):
        write_volume(result / f"{key}.nii.gz", np.where(made["labels"] > 0, made[key], np.nan), made_up.AFFINE)
    write_volume(result / "masks" / "brain.nii.gz", made["labels"] > 0, made_up.AFFINE, dtype=np.uint8)
    turned = np.flip(made["lesion"], 0)  # another program stores the same mask with the first axis the other way round
    affine = made_up.AFFINE @ np.array([[-1, 0, 0, made_up.SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_volume(tmp_path / "lesion.nii.gz", turned, affine, dtype=np.uint8)
    out = tmp_path / "out"
    words = ["evaluate", "hemopic", str(result), str(tmp_path / "lesion.nii.gz"), str(out), "--what", "roc", "summary", "slices"]
    assert main([*words, "--volumes"]) == 0
    found = {row["metric"]: row for row in rows_of(out / "roc" / "all_patient_metrics.csv")}
    assert set(found) == {"cbf", "cbv", "mtt", "tmax"}
    assert float(found["tmax"]["roc_auc"]) > 0.95
    assert int(found["tmax"]["n_lesion_voxels"]) == int(made["lesion"].sum())
    stored = read_volume(out / "roc" / "patient_result" / "lesion_mask.nii.gz")[0]
    np.testing.assert_array_equal(stored > 0, made["lesion"])


def test_further_sources_and_other_names_take_part(dsc_fits: tuple[Path, Path], tmp_path: Path) -> None:
    fits, data = dsc_fits
    made = made_up.patient(1)
    write_volume(tmp_path / "other" / "case_1" / "ttp.nii.gz", made["tmax"] + 20.0, made_up.AFFINE)
    write_volume(data / "training_1" / "infarct.nii.gz", made["lesion"], made_up.AFFINE, dtype=np.uint8)
    out = tmp_path / "out"
    words = [
        "evaluate",
        "hemopic",
        str(fits),
        str(data),
        str(out),
        "--what",
        "roc",
        "--patients",
        "1",
        "--names",
        "lesion=infarct",
    ]
    assert main([*words, "--compare", f"mine={tmp_path / 'other'}", "--metrics", "ttp", "tmax"]) == 0
    found = {(row["method"], row["metric"]): float(row["roc_auc"]) for row in rows_of(out / "roc" / "all_patient_metrics.csv")}
    assert found["mine", "ttp"] == pytest.approx(found["deconv", "tmax"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["{fits}", "{data}", "{out}", "--names", "lesion"], "cannot be read. Write --names KEY=STEM"),
        (["{fits}", "{data}", "{out}", "--names", "nose=OT"], "There is no file called 'nose'"),
        (["{fits}", "{data}", "{out}", "--max", "0", "7", "15"], "Windows must be above 0"),
        (["{fits}", "{fits}/none", "{out}"], "does not exist"),
        (["{data}", "{data}", "{out}"], "no fitted patients"),
        (["{fits}", "{data}", "{out}", "--what", "roc", "--names", "lesion=none"], "no lesion mask"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    dsc_fits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    places = {"fits": dsc_fits[0], "data": dsc_fits[1], "out": tmp_path / "out"}
    assert main(["evaluate", "hemopic", *(word.format(**places) for word in words)]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
