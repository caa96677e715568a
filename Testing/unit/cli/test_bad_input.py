# SPDX-License-Identifier: Apache-2.0
"""Whatever is given, the command line says one sentence, ends with the documented code and leaves nothing behind."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, results
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.cli.study_writing import write_study


@pytest.fixture(scope="module")
def patient():
    return phantom.ctp(
        seed=8, recipe="clean", shape=(64, 64, 5), spacing_mm=(3.6, 3.6, 10.0), interval_s=1.5, frames=28
    )[0]  # fmt: skip


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """Drawing takes most of a small run's time and is tested elsewhere."""
    monkeypatch.setattr("PerfusionSuiteLib.results.writer.write_pictures", lambda *given: {})


@pytest.fixture(scope="module")
def scan_file(patient, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    phantom.write_nifti(patient, path)
    return path


@pytest.fixture
def made(patient, tmp_path):
    """Write a NIfTI file from changed data and times."""

    def make(data=None, times=None, name="scan", **facts):
        data = patient.data if data is None else np.asarray(data, np.float32)
        times = patient.times_s[: data.shape[-1]].tolist() if times is None else times
        results.write_volume(tmp_path / f"{name}.nii.gz", data, patient.affine)
        content = {"Modality": "CT", **({"VolumeTiming": times} if times != "none" else {}), **facts}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path / f"{name}.nii.gz"

    return make


def refused(capsys, tmp_path, *words, code=2):
    """Run; return the one sentence that was said, after checking that nothing was left."""
    out = tmp_path / "results"
    assert main(["run", str(words[0]), str(out), *(str(word) for word in words[1:])]) == code
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("[")]
    assert len(lines) == 1, error
    assert lines[0].startswith("perfusion-suite: ")
    assert "Unexpected" not in lines[0]
    assert not out.exists()
    assert not list(tmp_path.rglob(".writing-*"))
    return lines[0]


TIMES = {
    "missing": ("none", "without frame times"),
    "equal": ([0.0] * 28, "must increase"),
    "decreasing": ([1.5 * t for t in range(28, 0, -1)], "must increase"),
    "milliseconds": ([1500.0 * t for t in range(28)], "milliseconds"),
    "too few": ([1.5 * t for t in range(27)], "28 frames but 27 frame times"),
    "not a number": ([1.5 * t for t in range(27)] + [float("nan")], "frame times are missing"),
    "too short": ([0.5 * t for t in range(28)], "at least 20 s"),
}


@pytest.mark.parametrize(("times", "says"), TIMES.values(), ids=TIMES)
def test_wrong_frame_times_are_named(made, tmp_path, capsys, times, says):
    assert says in refused(capsys, tmp_path, made(times=times))


def flat(data):
    return np.repeat(data[..., :1], data.shape[-1], axis=-1)


VALUES = {
    "3D": (lambda data: data[..., :1], "no time axis"),
    "nine frames": (lambda data: data[..., :9], "only 9 frames, at least 10"),
    "zeros": (np.zeros_like, "cannot be Hounsfield units"),
    "nothing finite": (lambda data: np.full_like(data, np.nan), "no finite numbers"),
    "air": (lambda data: np.random.default_rng(0).normal(-1000.0, 20.0, data.shape), "no brain"),
    "no contrast": (flat, "enhance"),
    "starts in the bolus": (lambda data: data[..., 6:], "artery|arterial"),
}


@pytest.mark.parametrize(("change", "says"), VALUES.values(), ids=VALUES)
def test_data_without_a_bolus_are_refused(made, patient, tmp_path, capsys, change, says):
    sentence = refused(capsys, tmp_path, made(change(patient.data)), "--no-motion-correction")
    assert any(word in sentence for word in says.split("|")), sentence


def test_a_scan_that_ends_at_the_arterial_peak_must_not_be_used(made, patient, tmp_path, capsys):
    noise = np.random.default_rng(0).normal(0.0, 1.5, (*patient.shape, 14))
    before = np.repeat(patient.data[..., :3].mean(-1, keepdims=True), 14, -1) + noise
    data = np.concatenate([before, patient.data[..., :11]], axis=-1)
    times = [1.5 * t for t in range(data.shape[-1])]
    code = main(["run", str(made(data, times)), str(tmp_path / "results"), "--no-motion-correction"])
    said = capsys.readouterr()
    assert code == 2 or "Do not use maps and volumes of this scan; scan longer." in said.out
    assert "Unexpected" not in said.err


def test_slices_without_contrast_are_left_out_and_named(made, patient, tmp_path, capsys):
    data = patient.data.copy()
    data[:, :, 1] = data[:, :, 1, :4].mean(axis=-1, keepdims=True)
    out = tmp_path / "results"
    assert main(["run", str(made(data)), str(out), "--no-motion-correction"]) == 0
    assert "Slice(s) 2 of 5 show less than 15% of the usual enhancement" in capsys.readouterr().out
    tmax, _ = results.read_volume(out / "tmax.nii.gz")
    assert np.isnan(tmax[:, :, 1]).all()
    assert np.isfinite(tmax[:, :, 2]).any()
    core, _ = results.read_volume(out / "masks" / "core_mask.nii.gz")
    assert not core[:, :, 1].any()


def test_an_empty_slice_and_single_gaps_are_named(made, patient, tmp_path, capsys):
    data = patient.data.copy()
    data[:, :, 0] = np.nan
    data[30, 30:33, 2, 5] = np.nan
    assert main(["run", str(made(data)), str(tmp_path / "results"), "--no-motion-correction"]) == 0
    said = capsys.readouterr().out
    assert "Slice(s) 1 of 5 hold no values" in said
    assert "Up to 3 voxels of a frame had no finite value; they were interpolated" in said


OPTIONS = {
    "interval": (("--interval", "0"), "not possible"),
    "interval of text": (("--interval", "fast"), "invalid float value: 'fast'"),
    "series": (("--series", "5"), "no series '5'"),
    "device": (("--device", "tpu"), "no device 'tpu'"),
    "modality": (("--modality", "pet"), "invalid choice: 'pet'"),
    "no option": (("--fast",), "unrecognized arguments: --fast"),
}


@pytest.mark.parametrize(("words", "says"), OPTIONS.values(), ids=OPTIONS)
def test_wrong_options_are_one_sentence(scan_file, tmp_path, capsys, words, says):
    assert says.lower() in refused(capsys, tmp_path, scan_file, *words).lower()


SETTINGS = {
    "list": ("[1]", "not a JSON object"),
    "text for true": ('{"motion_correction": "no"}', "true or false is expected"),
    "list for text": ('{"method": ["osvd"]}', "a text is expected"),
    "number for options": ('{"method_options": 3}', "an object such as"),
    "text for number": ('{"density": "x"}', "a number is expected"),
    "unknown option": ('{"method": "csvd", "method_options": {"speed": 1}}', "no option 'speed'"),
    "unknown artery": ('{"aif_method": "magic"}', "no method for the arterial input 'magic'"),
}


@pytest.mark.parametrize(("content", "says"), SETTINGS.values(), ids=SETTINGS)
def test_wrong_settings_are_told_before_the_work(scan_file, tmp_path, capsys, content, says):
    (tmp_path / "settings.json").write_text(content)
    assert says in refused(capsys, tmp_path, scan_file, "--config", tmp_path / "settings.json")


def bolus_rows(shift=0.0, factor=1.0, last=28):
    rows = [(1.5 * t + shift, factor * 100.0 * np.exp(-((1.5 * t - 9.0) ** 2) / 8.0)) for t in range(last)]
    return "time_sec,aif\n" + "\n".join(f"{a},{b}" for a, b in rows)


CURVES = {
    "no overlap": (bolus_rows(shift=500.0), "but the scan runs from 0"),
    "a part": (bolus_rows(last=10), "but the scan runs from 0"),
    "text": ("hello\n", "Name the columns"),
    "a word": (bolus_rows().replace("0.0,", "abc,", 1), "does not hold two numbers"),
    "nan": (bolus_rows() + "\n43.5,nan", "missing value"),
    "empty": ("", "is empty"),
    "zero": (bolus_rows(factor=0.0), "no positive bolus"),
    "below zero": (bolus_rows(factor=-1.0), "arterial curve|no positive bolus"),
    "still rising": ("time_sec,aif\n" + "\n".join(f"{1.5 * t},{t}" for t in range(28)), "still rises when the scan ends"),
}


@pytest.mark.parametrize(("content", "says"), CURVES.values(), ids=CURVES)
def test_wrong_curves_are_named(scan_file, tmp_path, capsys, content, says):
    (tmp_path / "aif.csv").write_text(content)
    sentence = refused(capsys, tmp_path, scan_file, "--aif", tmp_path / "aif.csv")
    assert any(words in sentence for words in says.split("|")), sentence


@pytest.mark.parametrize("words", [("--method", "spatial"), ("--modality", "asl", "--method", "qtmnet")])
def test_a_missing_torch_is_told_before_the_scan_is_read(words, capsys, scan_file, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    monkeypatch.setattr("PerfusionSuiteLib.series.read", None)
    assert f"'torch' is needed to compute maps with '{words[-1]}'" in refused(capsys, tmp_path, scan_file, *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--aif-at", 0, 0, 900], "lies outside the scan"),
        (["--aif-at", 0, 900, 0, "--aif-at", 5, 5, 0], "1 of 2 points for the AIF lie outside"),
        (["--vof-at", 1, 2, 3, "--vof", "vof.csv"], "Both a curve and points were given for the VOF"),
        (["--aif-at", 1, 2], "expected 3 arguments"),
    ],
)
def test_points_that_hit_no_vessel_are_refused(words, sentence, capsys, scan_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vof.csv").write_text(bolus_rows().replace("aif", "vof"))
    assert sentence in refused(capsys, tmp_path, scan_file, "--no-motion-correction", *words)


def corner(shape):
    mask = np.zeros(shape)
    mask[:2, :2] = 1
    return mask


MASKS = {
    "another grid": ("--brain-mask", lambda shape: np.ones((9, 9, 9)), "Resample it to the scan's grid"),
    "empty": ("--brain-mask", np.zeros, "is empty"),
    "region in air": ("--roi-mask", corner, "no brain tissue"),
    "other side in air": ("--contra-mask", corner, "no brain tissue"),
}


@pytest.mark.parametrize(("option", "draw", "says"), MASKS.values(), ids=MASKS)
def test_wrong_masks_are_named(scan_file, patient, tmp_path, capsys, option, draw, says):
    mask = results.write_volume(tmp_path / "mask.nii.gz", draw(patient.shape), patient.affine, dtype=np.uint8)
    assert says in refused(capsys, tmp_path, scan_file, option, mask, "--no-motion-correction")


def test_a_mask_beside_the_grid_is_named(scan_file, patient, tmp_path, capsys):
    moved = patient.affine @ np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    mask = results.write_volume(tmp_path / "mask.nii.gz", np.ones(patient.shape), moved, dtype=np.uint8)
    assert "lies up to 10.80 mm away" in refused(capsys, tmp_path, scan_file, "--brain-mask", mask)


def test_an_output_that_is_a_file_is_told_before_the_work(scan_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("PerfusionSuiteLib.pipeline.run", lambda *a, **k: pytest.fail("worked in vain"))
    blocker = tmp_path / "results"
    blocker.write_text("mine")
    for out in (blocker, blocker / "below"):
        assert main(["run", str(scan_file), str(out)]) == 2
        assert f"'{blocker}' is a file" in capsys.readouterr().err
    assert blocker.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission_is_told(scan_file, tmp_path, capsys):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert main(["run", str(scan_file), str(closed / "out")]) == 2
    assert "must not be written to" in capsys.readouterr().err


def test_json_events_end_with_failed(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none"), str(tmp_path / "out"), "--json-events"]) == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "failed"
    assert events[-1]["code"] == 2
    assert "none" in events[-1]["message"]


def test_a_run_is_repeated_by_its_curves_and_by_segment(scan_file, tmp_path, capsys):
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    assert main(["run", str(scan_file), str(first), "--json-events"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]  # nothing but JSON
    assert events[-1]["event"] == "finished"
    curves = ["--aif", str(first / "aif.csv"), "--vof", str(first / "vof.csv")]
    assert main(["run", str(scan_file), str(second), *curves]) == 0
    for key in ("cbf", "cbv", "mtt", "tmax", "rcbf"):
        one, two = (results.read_volume(folder / f"{key}.nii.gz")[0] for folder in (first, second))
        assert np.array_equal(np.isnan(one), np.isnan(two))
        assert np.nanmax(np.abs(one - two)) <= 1e-3 * np.nanmax(np.abs(one))  # six digits of the curves are in the file
    assert main(["segment", str(first), str(third)]) == 0
    numbers = [json.loads((folder / "metrics.json").read_text()) for folder in (first, third)]
    for key in ("infarct_core_volume_ml", "hypoperfusion_volume_ml", "penumbra_volume_ml", "mismatch_ratio", "volumes_ml", "pvt"):
        assert numbers[0][key] == numbers[1][key], key
    assert main(["segment", str(first), str(first)]) == 2
    assert "Choose another folder" in capsys.readouterr().err


def test_a_later_run_without_scene_leaves_no_old_scene(a_study, tmp_path):
    (tmp_path / "qa").mkdir()
    old = [tmp_path / "scene.mrb", tmp_path / "qa" / "slicer_cbf.png", tmp_path / "truth.csv"]
    for path in (*old, tmp_path / "notes.txt"):
        path.write_text("old")
    write_study(a_study, tmp_path)
    assert not any(path.exists() for path in old)
    assert (tmp_path / "notes.txt").read_text() == "old"


@pytest.mark.parametrize(("number", "stage"), [(signal.SIGINT, "Reading file"), (signal.SIGTERM, "Pictures")])
def test_a_signal_stops_the_run_and_leaves_nothing(scan_file, tmp_path, number, stage):
    shutil.copy(scan_file, tmp_path)
    shutil.copy(scan_file.with_name("scan.json"), tmp_path)
    words = ["run", str(tmp_path / "scan.nii.gz"), str(tmp_path / "out"), "--json-events"]
    with subprocess.Popen(
        [sys.executable, "-m", "PerfusionSuiteLib.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if json.loads(line).get("stage") == stage:
                process.send_signal(number)
                break
        events, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert json.loads(events.splitlines()[-1])["code"] == 3
    assert said.strip() == "perfusion-suite: Cancelled; no results were written."
    assert {path.name for path in tmp_path.iterdir()} == {"scan.nii.gz", "scan.json"}
