# SPDX-License-Identifier: Apache-2.0
"""Real worker processes: results, errors, cancelling, and ends that nobody planned."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import deconvolution, fitting, jobs, phantom, pipeline
from PerfusionSuiteLib.core import InputFunction, InvalidInputError, MissingPackageError, Study
from PerfusionSuiteLib.jobs import JobFolder, JobOutcome, JobSpec, SubprocessRunner
from PerfusionSuiteLib.jobs import job as job_room
from PerfusionSuiteLib.jobs.report import Report
from PerfusionSuiteLib.jobs.tasks import TASKS, find_task
from PerfusionSuiteLib.phantom.export import write_dicom

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX systems")
PIPELINE = {"motion_correction": False, "noise_reduction": "none"}


@pytest.fixture(scope="module")
def scan():
    return phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(64, 64, 4), spacing_mm=(3.2, 3.2, 14.0), interval_s=2.0, frames=25
    )[0]


@pytest.fixture(scope="module")
def reference(scan):
    return pipeline.run(scan, pipeline.Settings(**PIPELINE))


def curves(voxels, frames=45):
    """Return arguments of a fit of that many voxels."""
    times = np.arange(frames) * 1.0
    aif = 200.0 * np.maximum(times - 6, 0) ** 3 * np.exp(-np.maximum(times - 6, 0) / 1.5) / 40
    tissue = np.cumsum(np.roll(aif, 2)) * 0.01
    noise = np.random.default_rng(1).standard_normal((voxels, times.size), np.float32) * 0.3
    return {"concentration": tissue.astype(np.float32) + noise, "aif": aif, "times_s": times}


def long_spec():
    """Describe a fit of some ten seconds, whose time goes with the square of the frames."""
    return JobSpec("fit", {"method": "osvd"}, curves(120_000, frames=200))


def long_job(**options):
    """Start a fit that takes far longer than any test, and wait until it computes."""
    seen = []
    job = SubprocessRunner().start(long_spec(), event=seen.append, **options)
    end = time.monotonic() + 30
    while not any(event.kind == "progress" for event in seen):
        assert job.poll() == "running" and time.monotonic() < end
        time.sleep(0.02)
    return job


def script(folder, body):
    """Write a program that stands in for the Python interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_the_worker_computes_what_the_pipeline_computes(scan, reference):
    seen = []
    job = SubprocessRunner().start(JobSpec("run", {"pipeline": PIPELINE}, {"series": scan}), event=seen.append)
    assert job.wait().state == "done"
    study = job.result()
    assert isinstance(study, Study)
    for key, item in reference.maps.items():
        assert np.array_equal(study.maps[key].values, item.values, equal_nan=True), key
    assert np.array_equal(study.lesions.core, reference.lesions.core)
    assert study.findings == reference.findings
    fractions = [event.content["fraction"] for event in seen if event.kind == "progress"]
    assert fractions == sorted(fractions)
    assert [event.kind for event in (seen[0], seen[-1])] == ["started", "finished"]
    told = [event.content["code"] for event in seen if event.kind == "finding"]  # what a fit notes is told while it runs
    assert sorted(told) == sorted(f.code for f in reference.findings)


def test_a_scan_on_disk_and_the_users_curve_become_a_study_and_files(scan, reference, tmp_path):
    write_dicom(scan, tmp_path / "dicom")
    settings = {"path": str(tmp_path / "dicom"), "pipeline": PIPELINE}
    job = SubprocessRunner().start(JobSpec("run", settings, {"aif": reference.aif}, output=tmp_path / "out"))
    assert job.wait().state == "done", job.outcome.message
    study = job.result()
    assert study.series.source.kind == "dicom"
    assert study.series.source.decisions
    assert np.array_equal(study.aif.values, reference.aif.values)
    assert {"metrics.json", "tmax.nii.gz"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_finished_maps_and_what_was_drawn_become_lesions_numbers_and_files(reference, tmp_path):
    contra = reference.lesions.reference
    inputs = {
        "maps": reference.maps, "masks": reference.masks, "aif": reference.aif, "vof": reference.vof, "contra_mask": contra,
        "roi_mask": reference.lesions.core, "sss": contra, "midplane": reference.lesions.midplane, "side": "left",
        "age_years": 70.0, "nihss": 12, "follow_up": reference.maps,
    }  # fmt: skip
    settings = {"method": reference.settings["method"], "thresholds": {"tmax_s": 5}, "case_id": "case-3", "modality": "ctp"}
    job = SubprocessRunner().start(JobSpec("segment", settings, inputs, output=tmp_path / "out"))
    assert job.wait().state == "done", job.outcome.message
    found = job.result()
    numbers = found["metrics"].values
    assert (found["lesions"].side, numbers["case_id"], numbers["thresholds"]["tmax_s"]) == ("left", "case-3", 5.0)
    assert numbers["pvt"]["regions_from"]["sss"] == "mask"
    assert numbers["trials"]["DAWN"]["met"] is not None
    assert numbers["prr_percent"] is not None
    assert set(found["maps"]) == {"rcbf", "rcbv"}
    assert {"metrics.json", "report.html"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_lesions_edited_by_hand_are_measured_as_they_are(reference):
    drawn = reference.lesions.tissue.copy()
    drawn[:, :, 1:] = False
    job = SubprocessRunner().start(JobSpec("segment", {}, {"maps": reference.maps, "core": drawn, "hypoperfusion": drawn}))
    assert job.wait().state == "done", job.outcome.message
    found = job.result()
    assert found["metrics"].values["aliases"]["core_vox"] == int(drawn.sum())
    assert found["metrics"].values["penumbra_volume_ml"] == 0.0
    assert found["lesions"].thresholds["edited_by_hand"] == ["core", "hypoperfusion"]


@pytest.mark.parametrize("method", ["nlr", "csvd"])
def test_a_fit_of_plain_curves_gives_the_rooms_maps(method):
    data = curves(200)
    settings = {"method": method, "density": 1.0}
    job = SubprocessRunner().start(JobSpec("fit", settings, {**data, "aif": InputFunction(data["times_s"], data["aif"])}))
    assert job.wait().state == "done", job.outcome.message
    room = fitting.fit if method == "nlr" else deconvolution.deconvolve
    reference = room(**data, **settings)
    reference = reference[0] if method == "nlr" else reference
    result = job.result()
    assert set(result) == set(reference)
    for key, values in reference.items():
        assert np.array_equal(result[key], values, equal_nan=True), key


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (JobSpec("dance"), "no task 'dance'"),
        (JobSpec("run"), "has no scan"),
        (JobSpec("run", {"path": "/nowhere/at/all"}), "nowhere"),
        (JobSpec("run", {"pipeline": {"methd": "osvd"}}), "no setting of the pipeline 'methd'"),
        (JobSpec("run", {"pipeline": {"method": "magic"}}), "no method 'magic'"),
        (JobSpec("run", {"speed": 3}), "no setting 'speed'"),
        (JobSpec("fit", {}, {"aif": np.ones(3)}), "no concentration, no times_s"),
    ],
)
def test_bad_input_is_refused_before_any_work(spec, words, tmp_path):
    with pytest.raises(InvalidInputError, match=words):
        find_task(spec.task)(spec, Report(JobFolder(tmp_path), io.StringIO(), lambda: None))


def test_bad_input_is_one_sentence_with_the_class_and_code_of_the_command_line():
    seen = []
    job = SubprocessRunner().start(JobSpec("dance"), event=seen.append)
    outcome = job.wait()
    sentence = f"There is no task 'dance'. Known ones: {', '.join(TASKS)}."
    assert outcome == JobOutcome("failed", 2, sentence, "InvalidInputError")
    assert seen[-1].kind == "failed"
    with pytest.raises(InvalidInputError, match="no task 'dance'"):
        job.result()
    assert not job.folder.result_folder.exists()


def test_a_bug_is_told_with_its_class_and_the_traceback_is_kept(tmp_path):
    job = SubprocessRunner().start(JobSpec("fit", {"options": 7}, curves(3)), folder=tmp_path / "job")
    outcome = job.wait()
    assert (outcome.state, outcome.code) == ("failed", 1)
    assert "Unexpected TypeError" in outcome.message
    assert "Traceback" in job.folder.log_file.read_text()


def test_cancel_ends_a_job_at_its_next_step_and_leaves_no_result():
    ended = []
    job = long_job(finished=ended.append)
    before = time.monotonic()
    job.cancel()
    assert job.is_cancelling
    outcome = job.wait()
    assert time.monotonic() - before < job_room.ASK_S  # asked, not killed
    assert (outcome.state, outcome.code) == ("cancelled", 3)
    assert ended == [outcome]
    assert not job.folder.result_folder.exists()
    job.cancel()  # nothing left to cancel
    assert job.state == "cancelled"


@posix
def test_a_polite_kill_ends_a_job_in_order():
    job = long_job()
    job._process.terminate()
    assert job.wait().state == "cancelled"
    assert job.folder.read_status()["state"] == "cancelled"


def test_a_cancel_file_is_enough():
    job = long_job()
    job.folder.cancel_file.touch()
    assert job.wait().code == 3


@posix
def test_a_worker_ends_when_its_starter_dies_and_leaves_no_scan_on_the_disk():
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import numpy as np\n"
        "from PerfusionSuiteLib.jobs import JobSpec, SubprocessRunner\n"
        "t = np.arange(200.0)\n"
        "d = {'concentration': np.random.default_rng(1).random((120000, 200), np.float32), 'aif': t, 'times_s': t}\n"
        "j = SubprocessRunner().start(JobSpec('fit', {'method': 'osvd'}, d))\n"
        "print(j._process.pid, j.folder.path, flush=True); time.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(jobs.launch.PACKAGE_FOLDER)], stdout=subprocess.PIPE, text=True)
    worker, folder = starter.stdout.readline().split()
    _until(lambda: Path(folder, "events.jsonl").is_file())
    starter.kill()
    starter.wait()
    starter.stdout.close()
    _until(lambda: not _is_alive(int(worker)))
    assert not Path(folder).exists()


@posix
def test_a_killed_worker_is_explained_and_leaves_no_result():
    job = long_job()
    os.kill(job._process.pid, signal.SIGKILL)
    outcome = job.wait()
    assert (outcome.state, outcome.code) == ("failed", 4)
    assert "memory ran out" in outcome.message
    assert not job.folder.result_folder.exists()


@posix
def test_a_worker_that_does_not_listen_is_terminated_and_then_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(job_room, "ASK_S", 0.3)
    monkeypatch.setattr(job_room, "TERMINATE_S", 0.3)
    deaf = script(tmp_path, "trap 'echo terminated' TERM\necho ready\nwhile :; do sleep 0.05; done")
    seen = []
    job = SubprocessRunner(deaf).start(JobSpec("run"), event=lambda event: seen.append(event.content["message"]))
    _until(lambda: job.poll() and seen)
    job.cancel()
    assert job.wait(20).state == "cancelled"
    assert seen == ["ready", "terminated"]


@posix
def test_a_full_disk_gives_one_sentence_and_no_half_result(tmp_path):
    small = script(tmp_path, f'ulimit -f 64\nexec "{sys.executable}" "$@"')
    job = SubprocessRunner(small).start(JobSpec("fit", {"method": "csvd"}, curves(60_000)))
    outcome = job.wait()
    assert (outcome.state, outcome.code) == ("failed", 2), outcome
    assert "Free disk space" in outcome.message
    assert not job.folder.result_folder.exists()
    assert not list(job.folder.path.glob(".writing*"))


def test_an_interpreter_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(MissingPackageError, match="'no-such-python' cannot be started"):
        SubprocessRunner("no-such-python").start(JobSpec("run"))


@posix
def test_an_interpreter_without_the_package_says_what_is_missing(tmp_path):
    bare = script(tmp_path, "echo \"No module named 'numpy'\" >&2\nexit 1")
    outcome = SubprocessRunner(bare).start(JobSpec("run")).wait()
    assert outcome.code == 1
    assert "No module named 'numpy'" in outcome.message


def test_an_error_of_a_callback_ends_the_job_and_reaches_the_caller():
    def fail(event):
        raise KeyError(event.kind)

    job = SubprocessRunner().start(long_spec(), event=fail)
    with pytest.raises(KeyError):
        job.wait()
    assert job.state == "cancelled"


def test_waiting_has_an_end():
    job = long_job()
    assert job.wait(0.1) is None
    assert job.state == "running"
    job.stop()
    assert job.wait().state == "cancelled"


def test_devices_are_listed_by_a_worker_and_torch_stays_out_of_the_process_that_asks():
    code = (
        "import sys; from PerfusionSuiteLib import jobs; found = jobs.devices(); "
        "assert found.devices[0].name == 'cpu'; assert len(found.devices) > 1 or 'Only the CPU' in found.note; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_room_can_be_imported_without_heavy_packages():
    code = (
        "import sys, PerfusionSuiteLib.jobs; print([m for m in ('scipy', 'SimpleITK', 'torch', 'pydicom') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_current_folder_with_modules_of_the_same_name_does_no_harm(tmp_path):
    (tmp_path / "json.py").write_text("raise ImportError('wrong one')\n")
    job = SubprocessRunner().start(JobSpec("devices"), folder=tmp_path)
    assert job.wait().state == "done"


def _until(is_true, seconds=30.0):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
