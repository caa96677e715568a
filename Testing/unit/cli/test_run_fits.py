# SPDX-License-Identifier: Apache-2.0
"""Fits on the command line: options of the method, losses as events, and going on after an interruption."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from PerfusionSuiteLib import fitting, phantom
from PerfusionSuiteLib.cli.console import ConsoleProgress
from PerfusionSuiteLib.cli.fit_options import watched_fit
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import CancelledError, InvalidInputError
from PerfusionSuiteLib.core.choosing import method_options
from PerfusionSuiteLib.phantom.export import write_nifti

PLACE = Path(__file__).resolve().parents[2] / "watched_method.py"


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    series = phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(40, 40, 3), spacing_mm=(5.0, 5.0, 18.0), interval_s=2.0, frames=25
    )[0]
    return str(write_nifti(series, tmp_path_factory.mktemp("scan") / "case-7.nii.gz"))


@pytest.fixture
def watched():
    spec = importlib.util.spec_from_file_location("watched_method", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    undo = module.register()
    yield module
    undo()


def events_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def run(scan, out, *words):
    return main(["run", scan, str(out), "--method", "watched", "--no-motion-correction", *words])


def test_losses_are_printed_as_events_and_the_field_lies_beside_the_maps(scan, watched, tmp_path, capsys):
    assert run(scan, tmp_path / "out", "--json-events", "--option", "steps=3") == 0
    losses = [event for event in events_of(capsys.readouterr().out) if event["event"] == "loss"]
    assert losses[-1]["step"] == losses[-1]["steps"] == 3
    assert set(losses[-1]["parts"]) == {"loss", "data", "smoothness"}
    field = fitting.load_field(tmp_path / "out" / "field.safetensors")
    assert (field.method, field.settings["steps"]) == ("watched", 3)
    assert not (tmp_path / "out" / ".checkpoint").exists()


def test_an_interrupted_fit_is_gone_on_with_and_only_when_asked(scan, watched, tmp_path, capsys, monkeypatch):
    whole = watched.fit

    def interrupted(request):
        def stop(fraction, stage):
            if fraction > 0.6:
                raise CancelledError("Cancelled; no results were written.")

        return whole(replace(request, progress=stop))

    monkeypatch.setattr(watched, "fit", interrupted)
    undo = watched.register()
    assert run(scan, tmp_path / "out", "--option", "steps=10") == 3
    assert "run the same command with --resume" in capsys.readouterr().out
    assert not (tmp_path / "out" / "field.safetensors").exists()
    undo()
    assert run(scan, tmp_path / "out", "--option", "steps=10", "--resume") == 0
    assert "The fit began at step 7." in capsys.readouterr().out
    assert not (tmp_path / "out" / ".checkpoint").exists()


def test_what_an_interrupted_fit_left_is_only_used_when_asked(tmp_path, capsys):
    kept = tmp_path / ".checkpoint" / "state"
    kept.parent.mkdir()
    kept.touch()
    with watched_fit(ConsoleProgress(), tmp_path, resume=True) as watch:
        assert (watch.checkpoint / "state").exists()
    assert not kept.exists()  # the fit is done
    with watched_fit(ConsoleProgress(), tmp_path, resume=True):
        assert "There is no interrupted fit" in capsys.readouterr().out
    kept.parent.mkdir()
    kept.touch()
    with watched_fit(ConsoleProgress(), tmp_path, resume=False):
        assert not kept.exists()


def test_options_are_numbers_words_and_lists():
    assert method_options(["steps=500", "rate=1e-2", "family=box", "guide=off", "start=null", "smoothness=[4, 0.5, 1]"]) == {
        "steps": 500, "rate": 0.01, "family": "box", "guide": "off", "start": None, "smoothness": [4, 0.5, 1],
    }  # fmt: skip
    with pytest.raises(InvalidInputError, match="'steps' is no option"):
        method_options(["steps"])


def test_an_unknown_option_is_refused_before_the_scan_is_read(tmp_path, capsys):
    assert main(["run", str(tmp_path / "nowhere"), str(tmp_path / "out"), "--method", "nlr", "--option", "magic=1"]) == 2
    assert "has no setting 'magic'" in capsys.readouterr().err


def test_the_options_of_all_methods_are_listed(capsys):
    assert main(["methods", "--options"]) == 0
    assert "mtt_range_s=[0.5, 30.0]" in capsys.readouterr().out
