# SPDX-License-Identifier: Apache-2.0
"""``run`` on DSC-MRI, end to end, from DICOM and from NIfTI."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, results
from PerfusionSuiteLib.cli import run_inputs
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core.nifti import write_volume

SIZE = {"shape": (64, 64, 8), "spacing_mm": (3.4, 3.4, 8.0), "frames": 42, "interval_s": 1.9, "motion": "none"}


@pytest.fixture(scope="module")
def stroke():
    return phantom.dsc(seed=8, site="m1", recipe="typical", field_t=3.0, **SIZE)


@pytest.fixture(scope="module")
def tumor():
    return phantom.dsc_echoes(seed=11, site="tumor", recipe="typical", field_t=1.5, **SIZE)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_dicom_is_recognized_as_dsc_and_gives_maps_and_report(stroke, tmp_path, capsys):
    series, truth = stroke
    phantom.write_dicom(series, tmp_path / "dicom", seed=8)
    assert main(["run", str(tmp_path / "dicom"), str(tmp_path / "out"), "--no-motion-correction"]) == 0
    found = metrics(tmp_path / "out")
    assert found["acquisition"]["modality"] == "dsc"
    assert found["affected_side"] == truth.side
    late, _ = results.read_volume(tmp_path / "out" / "masks" / "hypoperfusion_mask.nii.gz")
    tissue, _ = results.read_volume(tmp_path / "out" / "masks" / "tissue.nii.gz")
    scored = truth.masks["scored"][:, :, ::1] & (tissue > 0)
    overlap = 2 * ((late > 0) & truth.masks["hypoperfusion"] & scored).sum()
    assert overlap / (((late > 0) & scored).sum() + (truth.masks["hypoperfusion"] & scored).sum()) > 0.7
    core, _ = results.read_volume(tmp_path / "out" / "masks" / "core_mask.nii.gz")
    assert ("core_by_dsc_flow" in found["quality"]["flags"]) == bool((core > 0).any())
    page = (tmp_path / "out" / "report.html").read_text()
    assert "white matter" in page
    assert " HU" not in page
    assert (tmp_path / "out" / "mip.nii.gz").is_file()
    with (tmp_path / "out" / "aif.csv").open() as stream:
        assert len(list(csv.reader(stream))) > 30


def test_nifti_with_a_diffusion_map_on_another_grid_defines_the_core(stroke, tmp_path):
    series, truth = stroke
    phantom.write_nifti(series, tmp_path / "scan.nii.gz")
    adc, affine = truth.maps["adc_measured"], series.affine.copy()
    affine[:3, :3] *= [1.0, 1.0, 0.5]
    affine[:3, 3] -= 0.5 * affine[:3, 2]
    write_volume(tmp_path / "adc.nii.gz", 1e-6 * np.repeat(np.nan_to_num(adc), 2, axis=2), affine)
    words = ["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out"), "--adc", str(tmp_path / "adc.nii.gz")]
    assert main([*words, "--no-motion-correction"]) == 0
    found = metrics(tmp_path / "out")
    assert found["thresholds"]["core_rule"] == "adc"
    assert "core_by_dsc_flow" not in found["quality"]["flags"]
    core, _ = results.read_volume(tmp_path / "out" / "masks" / "core_mask.nii.gz")
    assert (core > 0).any()
    assert np.median(adc[core > 0]) < 620
    assert np.isfinite(adc[core > 0]).mean() > 0.98  # no core where diffusion is not known
    assert "mm²/s" in (tmp_path / "out" / "report.html").read_text()


def test_a_diffusion_map_whose_header_is_rounded_keeps_its_outermost_slices(stroke, tmp_path):
    series, _ = stroke
    affine = series.affine.copy()
    affine[:3, 3] += 0.001
    write_volume(tmp_path / "adc.nii.gz", np.full(series.shape, 7e-4, np.float32), affine)
    placed = run_inputs._diffusion(tmp_path / "adc.nii.gz", series)
    np.testing.assert_allclose(placed, 7e-4, rtol=1e-5)


def test_a_tumor_gets_its_blood_volume_relative_to_white_matter(tumor, tmp_path, capsys):
    series, truth = tumor
    for number, echo in enumerate(series):
        phantom.write_nifti(echo, tmp_path / f"echo{number + 1}.nii.gz")
    write_volume(tmp_path / "tumor.nii.gz", truth.masks["tumor_alive"].astype(np.uint8), truth.affine)
    words = ["--preset", "tumor", "--roi-mask", str(tmp_path / "tumor.nii.gz"), "--no-motion-correction"]
    for name, more in (("one", []), ("two", ["--second-echo", str(tmp_path / "echo1.nii.gz")])):
        place = "echo2" if not more else "echo1"
        more = [] if not more else ["--second-echo", str(tmp_path / "echo2.nii.gz")]
        assert main(["run", str(tmp_path / f"{place}.nii.gz"), str(tmp_path / name), *words, *more]) == 0
        assert "times that of normal white matter" in capsys.readouterr().out
    white = (truth.fractions["wm"] > 0.9) & ~truth.masks["tumor"]
    true = np.nanmean(truth.maps["cbv"][truth.masks["tumor_alive"]]) / np.nanmedian(truth.maps["cbv"][white])
    for name in ("one", "two"):
        assert metrics(tmp_path / name)["tumor"]["rcbv_mean"] == pytest.approx(true, rel=0.35)
    flags = metrics(tmp_path / "two")["quality"]["flags"]
    assert "dual_echo" in flags
    assert (tmp_path / "one" / "k2.nii.gz").is_file()


def test_wishes_that_do_not_fit_are_refused_before_any_work(stroke, tmp_path, capsys):
    series, _ = stroke
    phantom.write_nifti(series, tmp_path / "scan.nii.gz")
    assert main(["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out"), "--preset", "adc"]) == 2
    assert "needs a map of apparent diffusion" in capsys.readouterr().err
    facts = json.loads((tmp_path / "scan.json").read_text())
    facts["EchoTime"] = 1e3 * facts["EchoTime"]
    (tmp_path / "scan.json").write_text(json.dumps(facts))
    assert main(["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out")]) == 2
    assert "milliseconds" in capsys.readouterr().err
