# SPDX-License-Identifier: Apache-2.0
"""A failed command says one sentence, ends with the documented code and leaves nothing behind."""

import json

import numpy as np
import pytest

from PerfusionSuiteLib import asl, pipeline
from PerfusionSuiteLib.cli.main import build_parser, main
from PerfusionSuiteLib.cli.run import settings_from
from PerfusionSuiteLib.core import CancelledError, NumericalError


def one_sentence(capsys):
    error = capsys.readouterr().err.strip()
    lines = [line for line in error.splitlines() if line.startswith("perfusion-suite: ")]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]


def test_a_missing_input_is_invalid_input(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "none" in one_sentence(capsys)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_invalid_input(tmp_path, capsys):
    (tmp_path / "scan").mkdir()
    assert main(["run", str(tmp_path / "scan"), str(tmp_path / "out")]) == 2
    assert one_sentence(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ('{"speed": 3}', "unknown entries: speed"), ('{"method": "magic"}', "no method 'magic'")],
)
def test_a_wrong_settings_file_is_invalid_input(tmp_path, capsys, content, message):
    config = tmp_path / "settings.json"
    config.write_text(content)
    assert main(["run", str(tmp_path), str(tmp_path / "out"), "--config", str(config)]) == 2
    assert message in one_sentence(capsys)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CancelledError("Stopped."), 3),
        (KeyboardInterrupt(), 3),
        (MemoryError(), 4),
        (NumericalError("No."), 5),
        (RuntimeError("x"), 1),
    ],
)
def test_every_kind_of_failure_has_its_exit_code(monkeypatch, tmp_path, capsys, error, code):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("PerfusionSuiteLib.series.read", fail)
    assert main(["run", str(tmp_path), str(tmp_path / "out")]) == code
    one_sentence(capsys)
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_ends_with_code_2(tmp_path, capsys):
    assert main(["run", str(tmp_path), str(tmp_path / "out"), "--method", "magic"]) == 2
    assert "'magic' (choose from" in one_sentence(capsys)


def test_the_ways_to_find_the_artery_and_to_reduce_noise_win_over_the_settings_file(tmp_path):
    config = tmp_path / "settings.json"
    config.write_text('{"aif_method": "hierarchical", "noise_reduction": "gaussian", "motion_correction": false}')
    words = ["run", "IN", "OUT", "--config", str(config), "--aif-method", "cluster", "--noise-reduction", "none"]
    settings = settings_from(build_parser().parse_args(words))
    assert (settings.aif_method, settings.noise_reduction, settings.motion_correction) == ("cluster", "none", False)


def test_methods_lists_every_registered_method(capsys):
    assert main(["methods"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [*pipeline.methods(), *asl.METHODS]
    assert {"ssvd", "ssvd-delay", "csvd", "osvd", "tikhonov", "nlr"} <= set(listed)


def test_every_command_has_help():
    for name in ("run", "segment", "methods", "phantom", "demo"):
        with pytest.raises(SystemExit) as stop:
            build_parser().parse_args([name, "--help"])
        assert stop.value.code == 0


def test_settings_can_be_given_as_a_file_and_overridden(tmp_path):
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({"method": "csvd", "motion_correction": False}))
    settings = pipeline.Settings.from_json(config, method="tikhonov")
    assert settings.method == "tikhonov"
    assert not settings.motion_correction
    assert np.isclose(settings.density, 1.05)
