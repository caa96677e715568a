# SPDX-License-Identifier: Apache-2.0
import io
import json
import math

import pytest

from PerfusionSuiteLib.core import CancelledError, InvalidInputError, NumericalError, OutOfMemoryError, PerfusionError
from PerfusionSuiteLib.core.failures import failure_of
from PerfusionSuiteLib.jobs import JobFolder, JobOutcome
from PerfusionSuiteLib.jobs import report as report_room
from PerfusionSuiteLib.jobs.events import Event, EventReader, line_of
from PerfusionSuiteLib.jobs.outcome import outcome_of
from PerfusionSuiteLib.jobs.report import Report


def test_events_survive_any_way_the_stream_is_cut():
    text = line_of("progress", fraction=0.5, stage="Maps äöü") + line_of("loss", step=3, value=math.nan)
    for size in (1, 2, 7, 1000):
        reader = EventReader()
        data = text.encode()
        events = [event for at in range(0, len(data), size) for event in reader.feed(data[at : at + size])]
        assert [event.kind for event in events] == ["progress", "loss"]
        assert events[0].content == {"fraction": 0.5, "stage": "Maps äöü"}
        assert events[1].content["value"] is None


def test_what_libraries_print_is_kept_and_breaks_nothing():
    reader = EventReader()
    events = reader.feed(b"Warning: old driver\n\n{not json}\n[1]\n" + line_of("finished").encode() + b"end without break")
    assert [event.kind for event in events] == ["log", "log", "log", "finished"]
    assert reader.close() == [Event("log", {"message": "end without break"})]
    assert reader.close() == []


def test_a_stream_without_line_breaks_does_not_fill_the_memory():
    reader = EventReader()
    kinds = [event.kind for _ in range(40) for event in reader.feed("x" * 100_000)]
    assert kinds == ["log"] * 3


def test_lines_are_ascii_and_one_object_each():
    line = line_of("log", message="a\nb µ")
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["message"] == "a\nb µ"


def test_a_report_says_each_stage_but_not_every_step(tmp_path):
    stream = io.StringIO()
    report = Report(JobFolder(tmp_path), stream, lambda: None)
    for step in range(1000):
        report.progress(step / 1000, "Motion" if step < 500 else "Maps")
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) < 20
    assert {json.loads(line)["stage"] for line in lines} == {"Motion", "Maps"}
    assert (tmp_path / "events.jsonl").read_text() == stream.getvalue()


def test_the_remaining_time_is_guessed_from_the_speed_of_the_last_while(tmp_path, monkeypatch):
    stream, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(report_room.time, "perf_counter", lambda: clock[0])
    report = Report(JobFolder(tmp_path), stream, lambda: None)
    report.progress(0.4, "Motion")  # what came before was quick
    for step in range(1, 11):
        clock[0] = 3.0 * step
        report.progress(0.4 + 0.01 * step, f"Fit, step {step} of 60")
    guesses = [json.loads(line)["left_s"] for line in stream.getvalue().splitlines()]
    assert guesses[:2] == [None, None]
    # 0.01 in 3 s: at half the way, 0.5 takes 150 s
    assert guesses[-1] == pytest.approx(150.0)
    report.progress(0.9, "Report")
    assert json.loads(stream.getvalue().splitlines()[-1])["left_s"] is None


def test_steps_that_are_counted_are_one_stage(tmp_path):
    stream = io.StringIO()
    report = Report(JobFolder(tmp_path), stream, lambda: None)
    for step in range(1000):
        report.progress(step / 1000, f"Fit, step {step} of 1000")
    assert len(stream.getvalue().splitlines()) < 10


def test_a_folder_that_cannot_be_written_to_does_not_silence_the_worker(tmp_path):
    stream = io.StringIO()
    report = Report(JobFolder(tmp_path / "gone"), stream, lambda: None)
    report.emit("started", task="run")
    assert json.loads(stream.getvalue())["task"] == "run"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InvalidInputError("The scan is empty."), 2, "The scan is empty."),
        (KeyboardInterrupt(), 3, "Cancelled"),
        (MemoryError(), 4, "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), 4, "GPU"),
        (FloatingPointError("overflow"), 5, "another method"),
        (OSError(28, "No space left on device"), 2, "disk is full"),
        (KeyError("x"), 1, "Unexpected KeyError: 'x'. Report it."),
    ],
)
def test_every_error_has_a_sentence_and_an_exit_code(error, code, words):
    failure = failure_of(error, advice="Report it.")
    assert failure.code == code
    assert words in failure.sentence


@pytest.mark.parametrize(
    ("code", "kind"), [(2, InvalidInputError), (4, OutOfMemoryError), (5, NumericalError), (1, PerfusionError)]
)
def test_what_a_worker_failed_with_is_raised_again(code, kind):
    said = {"state": "failed", "code": code, "error": "X", "message": "Because."}
    outcome = outcome_of(said, code, cancelled=False, log=[])
    assert outcome == JobOutcome("failed", code, "Because.", "X")
    with pytest.raises(PerfusionError, match="Because") as raised:
        outcome.check()
    assert type(raised.value) is kind


def test_a_cancelled_job_is_cancelled_whatever_else_happened():
    for said, code in (({"state": "done", "code": 0}, 0), (None, -9), (None, -15), ({"code": 1}, 1)):
        outcome = outcome_of(said, code, cancelled=True, log=[])
        assert (outcome.state, outcome.code) == ("cancelled", 3)
        with pytest.raises(CancelledError):
            outcome.check()


@pytest.mark.parametrize(
    ("code", "log", "exit_code", "words"),
    [
        (-9, [], 4, "memory ran out"),
        (137, [], 4, "memory ran out"),
        (-11, [], 1, "SIGSEGV"),
        (1, ["Traceback", "No module named 'numpy'", ""], 1, "No module named 'numpy'"),
        (None, [], 1, "could not be started"),
        (0, [], 1, "ended unexpectedly"),
    ],
)
def test_a_worker_that_could_not_say_how_it_ended_is_explained(code, log, exit_code, words):
    outcome = outcome_of(None, code, cancelled=False, log=log)
    assert (outcome.state, outcome.code) == ("failed", exit_code)
    assert words in outcome.message


def test_a_worker_that_crashes_after_its_last_word_has_failed():
    assert outcome_of({"state": "done", "code": 0}, -11, cancelled=False, log=[]).state == "failed"
