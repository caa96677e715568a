# SPDX-License-Identifier: Apache-2.0
"""Cubes on disk, protocols, and the command that makes them."""

import numpy as np
import pytest

from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.phantom.vessels import (
    PRESETS,
    PUBLISHED_DELAYS_S,
    PUBLISHED_DURATION_S,
    Preset,
    make_cube,
    read_cubes,
    signal,
    write_cubes,
)
from PerfusionSuiteLib.phantom.vessels import store as store_module
from PerfusionSuiteLib.phantom.vessels.values import response_times


@pytest.fixture
def tiny(monkeypatch):
    """Cubes of 8 mm in files of two, so that they are made in no time."""
    monkeypatch.setitem(PRESETS, "default", Preset("default", "one-way", 0.0, 0.0, size_mm=8))
    monkeypatch.setitem(PRESETS, "published", Preset("published", "none", 0.0, 0.0, size_mm=8))
    monkeypatch.setattr(store_module, "PER_FILE", 2)


def test_cubes_are_read_as_they_were_made(tiny, tmp_path):
    assert write_cubes(tmp_path, count=3, seed=40) == 3
    cubes = read_cubes(tmp_path, PUBLISHED_DURATION_S, PUBLISHED_DELAYS_S)
    np.testing.assert_array_equal(cubes.seeds, [40, 41, 42])
    made = make_cube(41)
    expected = signal(made.response, made.times_s, PUBLISHED_DURATION_S, PUBLISHED_DELAYS_S)
    assert np.linalg.norm(cubes.signal[1] - expected) < 1e-3 * np.linalg.norm(expected)
    np.testing.assert_array_equal(cubes.perfusion[1], made.perfusion)
    assert cubes.facts["preset"] == "default"


def test_a_stopped_run_is_resumed_and_a_longer_one_adds_what_is_missing(tiny, tmp_path):
    write_cubes(tmp_path, count=5, seed=0)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "cubes-00000002.npz").unlink()
    assert write_cubes(tmp_path, count=6, seed=0) == 4  # the file that was lost, and the one that held a single cube
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after["cubes-00000000.npz"] == before["cubes-00000000.npz"]
    assert read_cubes(tmp_path, 1.45, (1.025,)).seeds.tolist() == [0, 1, 2, 3, 4, 5]
    assert read_cubes(tmp_path, 1.45, (1.025,), limit=3).signal.shape[0] == 3


def test_kinds_of_cubes_are_not_mixed(tiny, tmp_path):
    write_cubes(tmp_path, count=2, seed=0)
    with pytest.raises(InvalidInputError, match=r"holds cubes of preset default.*not of preset published"):
        write_cubes(tmp_path, count=2, seed=0, preset="published")


def test_numbers_and_folders_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="0 cubes"):
        write_cubes(tmp_path, count=0, seed=1)
    with pytest.raises(InvalidInputError, match="no preset 'other'"):
        write_cubes(tmp_path, count=1, seed=1, preset="other")
    with pytest.raises(InvalidInputError, match="no cubes in"):
        read_cubes(tmp_path, 1.45, (1.0,))


def test_progress_may_stop_between_cubes_and_leaves_no_half_file(tiny, tmp_path):
    def stop(fraction, stage):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cubes(tmp_path, count=4, seed=0, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["cubes-00000000.npz"]


def test_a_protocol_is_a_difference_of_responses_and_other_delays_are_interpolated():
    times = response_times()
    rise = 1.0 - np.exp(-np.maximum(times - 0.6, 0.0) / 1.3)
    found = signal(rise[None], times, 1.45, PUBLISHED_DELAYS_S)[0]
    delays = np.array(PUBLISHED_DELAYS_S)
    np.testing.assert_allclose(found, np.exp(-(delays - 0.6) / 1.3) - np.exp(-(delays + 1.45 - 0.6) / 1.3), rtol=1e-5)
    other = signal(rise[None], times, 1.8, (1.8, 2.1))[0]
    wanted = np.array([1.8, 2.1])
    np.testing.assert_allclose(other, np.exp(-(wanted - 0.6) / 1.3) - np.exp(-(wanted + 1.2) / 1.3), rtol=1e-3)


def test_delays_beyond_the_response_are_refused():
    with pytest.raises(InvalidInputError, match=r"picture at 7 s is beyond the simulated 6 s"):
        signal(np.zeros((1, response_times().size)), response_times(), 2.0, (5.0,))


def test_the_command_makes_cubes_and_says_how_many_are_new(tiny, tmp_path, capsys):
    words = ["phantom", "asl-cubes", str(tmp_path / "cubes"), "--count", "2", "--seed", "5"]
    assert main(words) == 0
    assert main(words) == 0
    assert "0 new cubes, 2 in all" in capsys.readouterr().out
    assert len(list((tmp_path / "cubes").iterdir())) == 1


def test_options_of_other_patients_are_refused(tmp_path, capsys):
    assert main(["phantom", "asl-cubes", str(tmp_path), "--seed", "1", "--crop"]) == 2
    assert "'asl-cubes' patient has no option --crop" in capsys.readouterr().err
    assert main(["phantom", "tiles", str(tmp_path), "--seed", "1", "--count", "3"]) == 2
    assert "no option --count" in capsys.readouterr().err
