# SPDX-License-Identifier: Apache-2.0
"""The main job as a user runs it: a DICOM folder in; maps, lesions, tables, pictures, report and scene out."""

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.cli.main import main

README = Path(__file__).resolve().parents[2] / "README.md"

FILES = [
    *(
        f"{name}.nii.gz"
        for name in ("cbf", "cbv", "mtt", "tmax", "rcbf", "ttp", "delay", "hypoperf_mask_tmax6", "core_mask_rcbf30")
    ),
    *(f"masks/{name}.nii.gz" for name in ("brain", "tissue", "hypoperfusion_mask", "core_mask", "penumbra_mask", "aif", "vof")),
    *("metrics.json", "metrics.csv", "log.txt", "aif.csv", "vof.csv", "report.html"),
    *(f"qa/{name}.png" for name in ("aif_vof", "tmax_mip", "core_penumbra_mip", "maps_montage", "motion")),
]
"""ct-perfusion-auto.md section 17."""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A small patient as DICOM, and the results of the command on it."""
    folder = tmp_path_factory.mktemp("job")
    grid = {"shape": (128, 128, 9), "spacing_mm": (1.8, 1.8, 9.0), "interval_s": 1.5, "frames": 34}
    scan, truth = phantom.ctp(seed=8, recipe="clean", site="m1", residue="box", motion="none", **grid)
    phantom.write_dicom(scan, folder / "demo-output" / "dicom", seed=8)
    code = main(["run", str(folder / "demo-output" / "dicom"), str(folder / "results"), "--mrb", "--case-id", "case-12"])
    assert code == 0
    return folder, scan, truth


def test_every_agreed_file_is_there(job):
    folder = job[0] / "results"
    missing = [name for name in FILES if not (folder / name).is_file() or (folder / name).stat().st_size == 0]
    assert missing == []


def test_maps_lie_where_the_scan_lies(job):
    folder, scan, _ = job
    image = nib.load(folder / "results" / "tmax.nii.gz")
    assert image.shape == scan.shape
    assert np.allclose(image.affine, scan.affine, atol=1e-3)
    assert image.get_data_dtype() == np.float32


def test_the_lesion_lies_on_the_patients_true_side(job):
    folder, _, truth = job
    image = nib.load(folder / "results" / "hypoperf_mask_tmax6.nii.gz")
    where = nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > 0))
    on_the_right = (where @ truth.midplane[:3] > truth.midplane[3]).mean()
    assert truth.side in {"left", "right"}
    assert (on_the_right if truth.side == "right" else 1.0 - on_the_right) > 0.8
    assert json.loads((folder / "results" / "metrics.json").read_text())["case_id"] == "case-12"


def test_numbers_agree_between_files(job):
    folder = job[0] / "results"
    metrics = json.loads((folder / "metrics.json").read_text())
    for name, key in (("hypoperf_mask_tmax6", "hypoperfusion_volume_ml"), ("core_mask_rcbf30", "infarct_core_volume_ml")):
        image = nib.load(folder / f"{name}.nii.gz")
        volume = np.asarray(image.dataobj).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000.0
        assert volume == pytest.approx(metrics[key], abs=0.01)
    shown = f"{metrics['hypoperfusion_volume_ml']:.1f}"
    assert shown in (folder / "report.html").read_text()


def test_the_scene_holds_the_study(job):
    slicer = pytest.importorskip("slicer")
    from PerfusionSuiteSlicer.headless.Runtime import startRuntime
    from PerfusionSuiteSlicer.mrml import StudyScene

    startRuntime()
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(job[0] / "results" / "scene.mrb"))
    nodes = StudyScene.findStudy(slicer.mrmlScene, "case-12")
    assert {"cbf", "cbv", "mtt", "tmax"} <= set(nodes.maps)
    assert nodes.lesions.GetSegmentation().GetNumberOfSegments() == 3
    assert nodes.sequence.GetNumberOfDataNodes() == 34
    saved = nib.load(job[0] / "results" / "tmax.nii.gz").get_fdata(dtype=np.float32)
    array = slicer.util.arrayFromVolume(nodes.maps["tmax"]).transpose(2, 1, 0)
    assert np.array_equal(array, saved, equal_nan=True)
    slicer.mrmlScene.Clear()


def test_a_second_run_with_the_first_runs_curves_gives_the_same_maps(job, tmp_path):
    folder = job[0]
    curves = ["--aif", str(folder / "results" / "aif.csv"), "--vof", str(folder / "results" / "vof.csv")]
    assert main(["run", str(folder / "demo-output" / "dicom"), str(tmp_path / "again"), *curves]) == 0
    first = nib.load(folder / "results" / "cbf.nii.gz").get_fdata()
    second = nib.load(tmp_path / "again" / "cbf.nii.gz").get_fdata()
    both = np.isfinite(first) & np.isfinite(second)
    assert np.allclose(first[both], second[both], rtol=0.01, atol=0.1)


def test_the_python_examples_of_the_readme_run(job, monkeypatch):
    monkeypatch.chdir(job[0])
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    here = [block for block in blocks if "getNode" not in block]  # the others are for Slicer's own console
    assert len(here) >= 2
    names: dict = {}
    for block in here:
        exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["study"], pipeline.Study)
    assert np.nanmedian(names["maps"]["cbf"]) > 0
