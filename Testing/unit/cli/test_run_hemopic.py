# SPDX-License-Identifier: Apache-2.0
"""``run --method hemopic`` end to end, from DICOM and NIfTI: no artery, tissue labels, BIDS, DICOM out, and what comes after."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pydicom
import pytest

from PerfusionSuiteLib import phantom, results
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core.nifti import write_volume

SIZE = {"shape": (56, 56, 6), "spacing_mm": (3.9, 3.9, 10.0), "frames": 40, "interval_s": 1.9, "motion": "none"}
QUICK = ["--no-motion-correction", "--device", "cpu"]


@pytest.fixture(scope="module")
def stroke():
    return phantom.dsc(seed=8, site="m1", recipe="typical", field_t=3.0, **SIZE)


@pytest.fixture(scope="module")
def folder(stroke, tmp_path_factory):
    """A run from DICOM with tissue labels on another grid, and DICOM objects among the results."""
    series, truth = stroke
    place = tmp_path_factory.mktemp("hemopic")
    phantom.write_dicom(series, place / "dicom", seed=8)
    parts = np.stack([np.asarray(truth.fractions[key], np.float32) for key in ("gm", "wm", "csf")])
    parts[0] += np.asarray(truth.fractions["deep"], np.float32)
    classes = np.where(np.asarray(truth.masks["brain"], bool), 1 + parts.argmax(axis=0), 0)
    structures = np.array([0, 1035, 5001, 4], np.int32)[classes]  # cortex, white matter, lateral ventricle of FreeSurfer
    affine = series.affine.copy()
    affine[:3, 2] /= 2.0
    affine[:3, 3] -= 0.5 * affine[:3, 2]
    write_volume(place / "aparc.nii.gz", np.repeat(structures, 2, axis=2), affine, dtype=np.int32)
    words = [
        "run",
        str(place / "dicom"),
        str(place / "out"),
        "--method",
        "hemopic",
        "--tissue-labels",
        str(place / "aparc.nii.gz"),
    ]
    assert main([*words, *QUICK, "--dicom"]) == 0
    return place / "out"


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_results_are_relative_and_say_so_on_every_page(folder, stroke):
    found = metrics(folder)
    assert (found["flow_scale"], found["times_from"], found["aif"]) == ("relative", "early normal tissue", None)
    assert found["method"]["name"] == "hemopic"
    assert found["affected_side"] == stroke[1].side
    assert found["input"]["maps"]["cbf"] == "relative"
    page = (folder / "report.html").read_text()
    assert "Flow and volume are relative" in page
    assert "not an artery" in page
    assert "mL/100g" not in page
    assert "MICCAI" in page
    assert not (folder / "aif.csv").exists()
    assert "tissue_estimated" not in found["quality"]["flags"]


def test_regions_have_labels_table_and_curves(folder):
    labels, _ = results.read_volume(folder / "regions.nii.gz")
    with (folder / "regions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {int(row["roi_id"]) for row in rows} == set(np.unique(labels).astype(int)) - {0}
    assert {"GM", "WM"} <= {row["tissue"] for row in rows}
    with (folder / "region_curves.csv").open(newline="") as stream:
        assert len(list(csv.reader(stream))) == found_frames(folder) + 1
    assert (folder / "qa" / "regions.png").exists()
    assert (folder / "status.nii.gz").exists()


def found_frames(folder):
    return metrics(folder)["acquisition"]["frames"]


def test_dicom_maps_are_of_relative_quantities_without_unit(folder):
    item = pydicom.dcmread(folder / "dicom" / "cbf.dcm")
    mapping = item.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert quantity.CodeMeaning == "Relative Regional Blood Flow"


def test_finished_relative_maps_stay_relative_when_they_are_segmented_anew(folder, tmp_path, capsys):
    assert main(["segment", str(folder), str(tmp_path / "again")]) == 0
    found = metrics(tmp_path / "again")
    assert found["flow_scale"] == "relative"
    assert found["thresholds"]["method"] == "hemopic"
    assert found["hypoperfusion_volume_ml"] == pytest.approx(metrics(folder)["hypoperfusion_volume_ml"], rel=0.02)
    assert main(["segment", str(folder), str(tmp_path / "absolute"), "--preset", "syngo-like"]) == 2
    assert "the maps are relative" in capsys.readouterr().err


def test_the_reference_curve_of_a_run_is_not_taken_for_an_artery(folder, stroke, tmp_path, capsys):
    phantom.write_nifti(stroke[0], tmp_path / "scan.nii.gz")
    words = ["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out"), "--aif", str(folder / "reference_curve.csv")]
    assert main(words) == 2
    assert "reference curve (mean of tissue), not an artery" in capsys.readouterr().err


def test_a_given_artery_makes_it_absolute_and_labels_are_estimated(stroke, tmp_path):
    series, truth = stroke
    phantom.write_nifti(series, tmp_path / "scan.nii.gz")
    times, curve = np.asarray(truth.times_s, float), np.asarray(truth.aif, float)
    (tmp_path / "aif.csv").write_text("time_sec,aif\n" + "".join(f"{t},{v}\n" for t, v in zip(times, curve, strict=True)))
    words = [
        "run",
        str(tmp_path / "scan.nii.gz"),
        str(tmp_path / "out"),
        "--method",
        "hemopic",
        "--aif",
        str(tmp_path / "aif.csv"),
    ]
    assert main([*words, *QUICK, "--layout", "bids"]) == 0
    perf = tmp_path / "out" / "sub-scan" / "perf"
    found = json.loads((perf / "sub-scan_desc-metrics_perf.json").read_text())
    assert (found["flow_scale"], found["times_from"]) == ("white_matter", "artery")
    assert found["thresholds"]["method"] == "hemopic-aif"
    assert "tissue_estimated" in found["quality"]["flags"]
    assert (perf / "sub-scan_desc-regions_dseg.nii.gz").is_file()


def test_the_published_method_runs_on_its_own_priors(stroke, tmp_path):
    series, _ = stroke
    phantom.write_nifti(series, tmp_path / "scan.nii.gz")
    words = ["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out"), "--method", "hemopic-compat"]
    assert main([*words, "--no-motion-correction", "--option", "k_gm=4"]) == 0
    found = metrics(tmp_path / "out")
    assert "hemopic_priors" in found["quality"]["flags"]
    with (tmp_path / "out" / "regions.csv").open(newline="") as stream:
        assert next(csv.reader(stream))[:4] == ["roi_id", "tissue", "n_vox_all", "n_vox_fit"]


def test_wishes_that_do_not_fit_are_refused(stroke, tmp_path, capsys):
    series, _ = stroke
    phantom.write_nifti(series, tmp_path / "scan.nii.gz")
    write_volume(tmp_path / "far.nii.gz", np.ones((4, 4, 4), np.uint8), np.diag([1.0, 1.0, 1.0, 1.0]) + 900.0 * np.eye(4, k=3))
    scan = ["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out")]
    assert main([*scan, "--method", "hemopic", "--tissue-labels", str(tmp_path / "far.nii.gz")]) == 2
    assert "hold nothing where the scan lies" in capsys.readouterr().err
    write_volume(tmp_path / "labels.nii.gz", np.ones(series.shape, np.uint8), series.affine)
    assert main([*scan, "--tissue-labels", str(tmp_path / "labels.nii.gz")]) == 2
    assert "serve the methods hemopic and hemopic-compat only" in capsys.readouterr().err
    assert main([*scan, "--method", "hemopic", "--modality", "ctp"]) == 2
    assert "the series is MR" in capsys.readouterr().err
    shutil.copy(tmp_path / "scan.nii.gz", tmp_path / "bare.nii.gz")  # without the sidecar that says so
    bare = ["run", str(tmp_path / "bare.nii.gz"), str(tmp_path / "out"), "--interval", "1.5", "--modality", "ctp"]
    assert main([*bare, "--method", "hemopic"]) == 2
    assert "made for DSC-MRI" in capsys.readouterr().err


def test_the_methods_are_listed_with_their_options(capsys):
    assert main(["methods", "--options"]) == 0
    said = capsys.readouterr().out
    assert "hemopic-compat" in said
    assert 'input="reference"' in said
