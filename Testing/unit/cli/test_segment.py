# SPDX-License-Identifier: Apache-2.0
"""Lesions from finished maps, as ct-perfusion-auto.md section 19.1 defines the toy volume."""

import json

import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.cli.main import main

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / "case-7"
    x = np.indices((40, 40, 6))[0]
    lesion = x < 12
    values = {
        "tmax": np.where(x < 4, 11.0, np.where(lesion, 7.0, 2.0)),
        "cbf": np.where(x < 4, 10.0, np.where(lesion, 30.0, 50.0)),
        "cbv": np.where(x < 4, 1.5, np.where(lesion, 5.0, 4.0)),
        "mtt": np.where(lesion, 9.0, 4.8),
    }
    for key, value in values.items():
        results.write_volume(folder / f"{key}.nii.gz", value.astype(np.float32), AFFINE)
    t = np.arange(40.0)
    for name, center, width in (("aif", 12, 8), ("vof", 18, 12)):
        rows = "\n".join(f"{a},{np.exp(-((a - center) ** 2) / width):.8f}" for a in t)
        (folder / f"{name}.csv").write_text(f"time_sec,{name}\n{rows}\n")
    return folder


def test_maps_and_curves_of_a_folder_become_lesions_and_metrics(maps, tmp_path, capsys):
    assert main(["segment", str(maps), str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["hypoperfusion_volume_ml"] == pytest.approx(12 * 40 * 6 * 0.02)
    assert metrics["infarct_core_volume_ml"] == pytest.approx(4 * 40 * 6 * 0.02)
    assert metrics["aif_vof_delay_s"] == pytest.approx(6.0, abs=0.05)
    assert metrics["case_id"] == "case-7"
    core, affine = results.read_volume(tmp_path / "out" / "core_mask_rcbf30.nii.gz")
    assert core.sum() == 4 * 40 * 6
    assert np.allclose(affine, AFFINE)
    assert "Core 19.2 mL" in capsys.readouterr().out


def test_a_folder_without_tmax_is_refused(tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    assert main(["segment", str(tmp_path / "maps"), str(tmp_path / "out")]) == 2
    assert "no tmax.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
