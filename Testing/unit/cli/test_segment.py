# SPDX-License-Identifier: Apache-2.0
"""Lesions from finished maps, as ct-perfusion-auto.md section 19.1 defines the toy volume."""

import json

import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.cli.main import main

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def pictures():
    """Asked for by the tests that look at pictures."""


@pytest.fixture(autouse=True)
def without_pictures(request, monkeypatch):
    """Pictures take most of the time."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("PerfusionSuiteLib.results.writer.write_pictures", lambda *_: {})


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


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def draw(path, where, affine=AFFINE):
    mask = np.zeros((40, 40, 6), np.float32)
    mask[where] = 1
    return results.write_volume(path, mask, affine, dtype=np.uint8)


@pytest.mark.usefixtures("pictures")
def test_everything_is_written_that_finished_maps_can_show(maps, tmp_path):
    drawn = ["--torcula", str(draw(tmp_path / "t.nii.gz", np.s_[18:22, 36:39, :3]))]
    assert main(["segment", str(maps), str(tmp_path / "out"), *drawn, "--followup", str(maps)]) == 0
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {
        "report.html", "log.txt", "metrics.csv", "aif.csv", "vof.csv", "rcbf.nii.gz", "rcbv.nii.gz", "masks/brain.nii.gz",
        "qa/aif_vof.png", "qa/tmax_mip.png", "qa/core_penumbra_mip.png", "qa/maps_montage.png",
        "qa/venous_transit.png", "qa/follow_up.png", "masks/torcula.nii.gz", "masks/persistent.nii.gz",
        "masks/core_mask.nii.gz", "masks/penumbra_mask.nii.gz", "core_mask_rcbf30.nii.gz", "metrics.json",
    } <= found  # fmt: skip
    assert not {"tmax.nii.gz", "qa/motion.png"} & found  # what was given is not written again, and nothing moved


def test_drawn_regions_give_both_blood_volume_indices(maps, tmp_path):
    roi = draw(tmp_path / "roi.nii.gz", np.s_[:4])
    contra = draw(tmp_path / "contra.nii.gz", np.s_[30:])
    assert main(["segment", str(maps), str(tmp_path / "out"), "--roi-mask", str(roi), "--contra-mask", str(contra)]) == 0
    numbers = metrics_of(tmp_path / "out")
    assert numbers["conventional_cbv_index"] == pytest.approx(1.5 / 4.0)
    assert numbers["corrected_cbv_index"] == pytest.approx((4 * 1.5 + 8 * 5.0) / 12 / 4.0)
    assert numbers["reference"]["side"] == "mask"
    assert (tmp_path / "out" / "masks" / "roi_region.nii.gz").is_file()


def test_thresholds_are_entered_as_words_or_as_a_file(maps, tmp_path):
    (tmp_path / "mine.json").write_text('{"tmax_s": 10, "min_cluster_ml": 0}')
    words = ["segment", str(maps), str(tmp_path / "out"), "--thresholds", str(tmp_path / "mine.json")]
    assert main([*words, "--threshold", "rcbf_percent=19", "--preset", "rapid-like"]) == 0
    numbers = metrics_of(tmp_path / "out")
    assert numbers["hypoperfusion_volume_ml"] == pytest.approx(4 * 40 * 6 * 0.02)
    assert numbers["infarct_core_volume_ml"] == 0.0
    assert (numbers["thresholds"]["tmax_s"], numbers["thresholds"]["rcbf_percent"]) == (10.0, 19.0)
    assert set(numbers["thresholds"]["edited"]) == {"tmax_s", "min_cluster_ml", "rcbf_percent"}
    assert not (tmp_path / "out" / "core_mask_rcbf30.nii.gz").exists()


def test_a_threshold_that_does_not_exist_is_named(maps, tmp_path, capsys):
    assert main(["segment", str(maps), str(tmp_path / "out"), "--threshold", "tmx=5"]) == 2
    assert "no threshold 'tmx'" in capsys.readouterr().err


def test_curves_and_maps_may_lie_elsewhere_under_other_names(maps, tmp_path):
    odd = tmp_path / "odd"
    odd.mkdir()
    for old, new in (("tmax.nii.gz", "delay to max.nii.gz"), ("cbv.nii.gz", "volume.nii.gz"), ("aif.csv", "artery.txt"),
                     ("vof.csv", "vein.txt")):  # fmt: skip
        (maps / old).rename(odd / new)
    named = ["--tmax", str(odd / "delay to max.nii.gz"), "--cbv", str(odd / "volume.nii.gz")]
    curves = ["--aif", str(odd / "artery.txt"), "--vof", str(odd / "vein.txt")]
    assert main(["segment", str(maps), str(tmp_path / "out"), *named, *curves]) == 0
    assert metrics_of(tmp_path / "out")["aif_vof_delay_s"] == pytest.approx(6.0, abs=0.05)


def test_age_and_nihss_let_dawn_be_judged(maps, tmp_path):
    assert main(["segment", str(maps), str(tmp_path / "out"), "--age", "70", "--nihss", "12"]) == 0
    trial = metrics_of(tmp_path / "out")["trials"]["DAWN"]
    assert (trial["met"], trial["group"], trial["age_years"], trial["nihss"]) == (True, "B", 70, 12)
    assert main(["segment", str(maps), str(tmp_path / "out"), "--age", "170", "--nihss", "12"]) == 2


def test_side_and_plane_can_be_entered(maps, tmp_path):
    words = ["segment", str(maps), str(tmp_path / "out"), "--midplane", "-1", "0", "0", "30", "--side", "left"]
    assert main(words) == 0
    numbers = metrics_of(tmp_path / "out")
    assert numbers["reference"]["midplane"] == [1.0, 0.0, 0.0, -30.0]
    assert (numbers["reference"]["midplane_from"], numbers["affected_side"]) == ("manual", "left")


def test_drawn_sinuses_are_measured_and_written(maps, tmp_path):
    sss = draw(tmp_path / "sss.nii.gz", np.s_[2:4, 36:39, 3:])
    assert main(["segment", str(maps), str(tmp_path / "out"), "--sss", str(sss)]) == 0
    pvt = metrics_of(tmp_path / "out")["pvt"]
    assert (pvt["status"], pvt["sss_tmax_s"]) == ("sss", 11.0)
    written, _ = results.read_volume(tmp_path / "out" / "masks" / "sss.nii.gz")
    assert int(written.sum()) == 2 * 3 * 3


def test_finished_maps_of_a_follow_up_give_the_change(maps, tmp_path, capsys):
    later = tmp_path / "later"
    for key in ("tmax", "cbf", "cbv"):
        values, affine = results.read_volume(maps / f"{key}.nii.gz")
        values[6:12] = {"tmax": 2.0, "cbf": 50.0, "cbv": 4.0}[key]
        results.write_volume(later / f"{key}.nii.gz", values, affine)
    assert main(["segment", str(maps), str(tmp_path / "out"), "--followup", str(later)]) == 0
    numbers = metrics_of(tmp_path / "out")
    assert numbers["prr_percent"] == pytest.approx(50.0)
    assert numbers["aliases"]["PRR_percent"] == pytest.approx(50.0)
    assert numbers["follow_up"]["new_ml"] == 0.0
    assert {"resolved.nii.gz", "persistent.nii.gz", "new.nii.gz"} <= {p.name for p in (tmp_path / "out" / "masks").iterdir()}
    assert "Follow-up" in (tmp_path / "out" / "report.html").read_text()
    assert "PRR 50 %" in capsys.readouterr().out
    assert main(["segment", str(maps), str(tmp_path / "out"), "--followup", str(tmp_path / "nowhere")]) == 2


def test_results_hold_no_number_that_json_does_not_know(maps, tmp_path):
    for key in ("cbf", "tmax"):
        values, affine = results.read_volume(maps / f"{key}.nii.gz")
        values[30:] = np.nan
        values[29, 0, 0] = np.inf
        results.write_volume(maps / f"{key}.nii.gz", values, affine)
    assert main(["segment", str(maps), str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "metrics.json").read_text()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in metrics.json"))


def test_all_thresholds_are_listed(capsys):
    from PerfusionSuiteLib.lesion import EDITABLE

    assert main(["methods", "--thresholds"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(EDITABLE)
