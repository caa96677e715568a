# SPDX-License-Identifier: Apache-2.0
"""A fit that runs in a worker can be watched, interrupted and resumed; what it learned can be sampled again."""

import importlib.util
import io
import json
import os
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import fitting, phantom
from PerfusionSuiteLib.core import CancelledError, GridMismatchError, InvalidInputError
from PerfusionSuiteLib.jobs import JobFolder, JobSpec, SubprocessRunner
from PerfusionSuiteLib.jobs import job as job_room
from PerfusionSuiteLib.jobs import watch as watch_room
from PerfusionSuiteLib.jobs.field_text import facts_of_text, field_of_text, text_of_field
from PerfusionSuiteLib.jobs.report import Report
from PerfusionSuiteLib.jobs.tasks import find_task
from PerfusionSuiteLib.jobs.watch import JobWatch

posix = pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for the interpreter")
PLACE = Path(__file__).resolve().parents[2] / "watched_method.py"
PIPELINE = {"motion_correction": False, "method": "watched"}


def watched():
    spec = importlib.util.spec_from_file_location("watched_method", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scan():
    return phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(40, 40, 3), spacing_mm=(5.0, 5.0, 18.0), interval_s=2.0, frames=25
    )[0]


@pytest.fixture
def runner(tmp_path):
    return SubprocessRunner(watched().interpreter(tmp_path), temporary_folder=tmp_path)


@pytest.fixture
def report(tmp_path):
    return Report(JobFolder.create(JobSpec("fit"), path=tmp_path / "job"), io.StringIO(), lambda: None)


def said(report, kind):
    text = report.folder.events_file.read_text() if report.folder.events_file.exists() else ""
    return [event for line in text.splitlines() if (event := json.loads(line))["event"] == kind]


def until(job, seen, kind, count=1, seconds=30.0):
    """Wait for events; fails when the job ends before."""
    end = time.monotonic() + seconds
    while sum(event.kind == kind for event in seen) < count:
        assert job.poll() == "running" and time.monotonic() < end, (job.outcome, [event.kind for event in seen])
        time.sleep(0.02)


def test_losses_are_said_now_and_then_and_the_last_one_always(report):
    watch = JobWatch(report)
    for step in range(1, 101):
        watch.loss(step, 100, {"loss": 1.0 / step, "data": np.float32(0.5)})
    losses = said(report, "loss")
    assert [event["step"] for event in losses] == [1, 100]
    assert losses[-1]["steps"] == 100
    assert losses[-1]["parts"] == {"loss": 0.01, "data": 0.5}


def test_a_preview_is_only_made_when_somebody_wants_it(report):
    watch = JobWatch(report)
    watch.preview(lambda: pytest.fail("nobody asked"))
    report.folder.preview_file.write_text("tmax cbf magic")
    maps = {"tmax": np.full((3, 4, 2), 5.0), "cbf": np.zeros((3, 4, 2)), "mtt": np.zeros((3, 4, 2))}
    watch.preview(lambda: maps)
    watch.preview(lambda: pytest.fail("too soon"))
    (event,) = said(report, "preview")
    assert set(event["maps"]) == {"tmax", "cbf"}
    shown = np.load(report.folder.path / event["maps"]["tmax"])
    assert shown.dtype == np.float32
    assert (shown == 5.0).all()


def test_previews_that_take_long_come_seldom(report, monkeypatch):
    monkeypatch.setattr(watch_room, "PREVIEW_S", 0.0)
    report.folder.preview_file.write_text("cbf")
    watch = JobWatch(report)

    def slow():
        time.sleep(0.2)
        return {"cbf": np.zeros((2, 2, 2))}

    watch.preview(slow)
    watch.preview(lambda: pytest.fail("a tenth of the time is enough for looking on"))
    assert len(said(report, "preview")) == 1


def test_a_note_is_said_once_though_the_results_hold_it_too(report):
    JobWatch(report).note("fit_on_cpu", "Went on with the CPU.", "Wait.")
    JobWatch(report).note("fit_on_cpu", "Went on with the CPU.", "Wait.")
    (event,) = said(report, "finding")
    assert (event["severity"], event["code"]) == ("warning", "fit_on_cpu")


@posix
def test_a_cancelled_fit_keeps_its_state_and_goes_on_where_it_was(scan, runner):
    seen = []
    spec = JobSpec("run", {"pipeline": {**PIPELINE, "method_options": {"steps": 200, "pause_s": 0.05}}}, {"series": scan})
    job = runner.start(spec, event=seen.append)
    assert stat.S_IMODE(job.folder.path.stat().st_mode) == 0o700  # a scan lies there
    job.ask_preview(["tmax"])
    until(job, seen, "loss", 2)
    until(job, seen, "preview")
    job.cancel()
    assert job.wait().state == "cancelled"
    assert job.folder.has_checkpoint
    reached = next(event.content["step"] for event in reversed(seen) if event.kind == "loss")
    again = []
    (job.folder.path / "preview").unlink()
    resumed = runner.resume(job.folder, event=again.append)
    until(resumed, again, "loss")
    first = next(event.content["step"] for event in again if event.kind == "loss")
    assert first >= reached
    resumed.cancel()
    assert resumed.wait().state == "cancelled"
    job.folder.remove()
    assert not job.folder.path.exists()


@posix
def test_a_resumed_fit_ends_with_its_results_and_the_field_is_beside_them(scan, runner, tmp_path):
    spec = JobSpec("run", {"pipeline": {**PIPELINE, "method_options": {"steps": 5}}}, {"series": scan})
    folder = JobFolder.create(spec, path=tmp_path / "job")
    folder.checkpoint_folder.mkdir()
    (folder.checkpoint_folder / "state.json").write_text('{"step": 3}')
    folder.cancel_file.touch()
    job = runner.resume(folder)
    assert job.wait().state == "done", job.outcome.message
    study = job.result()
    assert any("began at step 3" in finding.message for finding in study.findings)
    assert study.fitted.history["step"].tolist() == [4.0, 5.0]
    field = fitting.load_field(folder.field_file)
    assert field.shape == scan.shape
    with pytest.raises(InvalidInputError, match="is done; there is nothing to resume"):
        runner.resume(folder)


@posix
def test_a_fit_with_long_steps_is_not_interrupted_within_one(scan, runner, monkeypatch):
    monkeypatch.setattr(job_room, "ASK_S", 0.1)
    monkeypatch.setattr(job_room, "TERMINATE_S", 0.1)
    seen = []
    spec = JobSpec("run", {"pipeline": {**PIPELINE, "method_options": {"steps": 50, "pause_s": 1.5}}}, {"series": scan})
    job = runner.start(spec, event=seen.append)
    until(job, seen, "loss")
    job.cancel()
    assert job.wait().state == "cancelled"
    assert job.folder.has_checkpoint


@posix
def test_a_killed_worker_can_be_resumed_in_its_folder(scan, runner):
    seen = []
    spec = JobSpec("run", {"pipeline": {**PIPELINE, "method_options": {"steps": 100, "pause_s": 0.05}}}, {"series": scan})
    job = runner.start(spec, event=seen.append)
    until(job, seen, "loss")
    os.killpg(job._process.pid, signal.SIGKILL)
    assert job.wait().code == 4
    resumed = runner.resume(job.folder)
    resumed.cancel()
    assert resumed.wait().state == "cancelled"


def test_a_folder_without_a_job_cannot_be_resumed(tmp_path):
    with pytest.raises(InvalidInputError, match="holds no job"):
        SubprocessRunner().resume(JobFolder(tmp_path))


@pytest.fixture
def field():
    module = watched()
    undo = module.register()
    times = np.arange(24.0)
    aif = np.exp(-0.5 * ((times - 6.0) / 2.0) ** 2)
    curves = np.zeros((6, 8, 3, 24), np.float32)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    try:
        yield fitting.fit(curves, aif, times, method="watched", affine=affine)[1]
    finally:
        undo()


def task(name, report, settings=None, **inputs):
    return find_task(name)(JobSpec(name, settings or {}, inputs), report)


def test_a_stored_field_is_sampled_at_another_resolution_from_its_text(field, report, tmp_path):
    text = text_of_field(fitting.save_field(field, tmp_path / "f.safetensors").read_bytes())
    content = np.frombuffer(text.replace("\n", "\r\n").encode(), np.uint8)  # as another system may have saved it
    maps = task("sample-field", report, {"spacing_mm": [1.0, 1.0, 2.5]}, field=content)
    assert maps.shape == (12, 16, 6)
    assert np.allclose(np.linalg.norm(maps.affine[:3, :3], axis=0), [1.0, 1.0, 2.5])
    assert np.allclose(maps["mtt"].values, 5.0, atol=1e-4)
    assert np.allclose(maps["tmax"].values, 4.0, atol=1e-4)  # the center of a box lies at delay + MTT / 2
    per_volume = task("sample-field", report, {"density": 1.0}, field=content)
    assert (maps["cbf"].unit, per_volume["cbf"].unit) == ("mL/100g/min", "mL/100mL/min")


def test_a_field_as_text_is_checked():
    content = np.random.default_rng(1).bytes(300_000)
    text = text_of_field(content)
    assert text.isascii() and max(map(len, text.split("\n"))) <= 1 << 16
    assert field_of_text(text) == content
    assert facts_of_text(text)[0] == 300_000
    for damaged, words in (
        (text[:-9], "damaged"),
        (text.replace(" 300000 ", " 300001 "), "not those"),
        ("[1, 2]", "no fitted field"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            field_of_text(damaged)


def test_fitted_curves_come_at_the_frame_times_or_finer_and_on_the_baseline(field, report):
    own = task("field-curves", report, field=field)
    assert np.array_equal(own["times_s"], field.times_s)
    fine = task("field-curves", report, {"step_s": 0.5}, field=field, baseline=np.full(field.shape, 35.0))
    assert fine["times_s"].tolist() == np.arange(0.0, 23.01, 0.5).tolist()
    assert np.allclose(fine["data"][..., ::2], own["data"] + 35.0, atol=1e-4)
    assert fine["data"].max() > 35.0
    with pytest.raises(GridMismatchError, match="baseline has shape"):
        task("field-curves", report, field=field, baseline=np.zeros((2, 2, 2)))
    with pytest.raises(InvalidInputError, match="between 0.05 and 60"):
        task("field-curves", report, {"step_s": 0.0}, field=field)


def test_a_job_without_a_field_says_so(report):
    with pytest.raises(InvalidInputError, match="no stored field"):
        task("sample-field", report)
    with pytest.raises(InvalidInputError, match="no setting 'magic'"):
        task("sample-field", report, {"magic": 1})


def test_a_fit_of_plain_curves_is_stopped_like_any_other_and_keeps_its_state(report):
    undo = watched().register()
    data = {"concentration": np.zeros((4, 4, 2, 24), np.float32), "aif": np.ones(24), "times_s": np.arange(24.0)}
    calls = []

    def stop_later():
        calls.append(1)
        if len(calls) > 5:
            raise CancelledError("Cancelled.")

    report._check_stop = stop_later
    try:
        with pytest.raises(CancelledError):
            task("fit", report, {"method": "watched"}, **data, affine=np.eye(4))
    finally:
        undo()
    assert report.folder.has_checkpoint
