# SPDX-License-Identifier: Apache-2.0
"""Values survive the way to the worker and back."""

import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps, Study
from PerfusionSuiteLib.jobs import JobFolder, JobSpec, load_result
from PerfusionSuiteLib.jobs.storage import load_inputs, load_value, save_value


def assert_same(left, right):
    """Compare two values field by field; arrays by their bits and types."""
    assert type(left) is type(right) or isinstance(left, np.ndarray), (type(left), type(right))
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    elif isinstance(left, PerfusionMaps):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif dataclasses.is_dataclass(left):
        for field in dataclasses.fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right or (math.isnan(left) and math.isnan(right))


def test_a_study_comes_back_as_it_was(a_study, tmp_path):
    save_value(a_study, tmp_path / "study.json")
    again = load_value(tmp_path / "study.json")
    assert isinstance(again, Study)
    assert_same(a_study, again)


def test_plain_values_keep_their_types(tmp_path):
    value = {"a": (1, 2.5, "x"), "b": [None, True, {"c": math.inf}], 3: np.float64(0.1), "empty": np.zeros((0, 3), np.int64)}
    save_value(value, tmp_path / "v.json")
    again = load_value(tmp_path / "v.json")
    assert again["a"] == (1, 2.5, "x")
    assert again["b"] == [None, True, {"c": math.inf}]
    assert again[3] == 0.1
    assert again["empty"].shape == (0, 3)


def test_the_file_is_strict_json(a_study, tmp_path):
    save_value(dataclasses.replace(a_study, seconds={"x": math.nan}), tmp_path / "v.json")
    json.loads((tmp_path / "v.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_large_arrays_stay_on_disk_and_changing_them_changes_no_file(tmp_path):
    save_value({"data": np.zeros((64, 64, 64, 5), np.float32)}, tmp_path / "v.json")
    data = load_value(tmp_path / "v.json")["data"]
    assert isinstance(data, np.memmap)
    data[0] = 1.0
    assert load_value(tmp_path / "v.json")["data"].max() == 0.0


def test_an_array_that_two_values_share_is_written_once(tmp_path):
    data = np.ones((40, 40))
    save_value({"a": data, "b": data}, tmp_path / "v.json")
    assert len(list(tmp_path.glob("*.npy"))) == 1
    again = load_value(tmp_path / "v.json")
    assert np.array_equal(again["a"], again["b"])


def test_data_that_came_with_a_job_are_not_written_again(tmp_path):
    data = np.random.default_rng(1).normal(size=(64, 64, 40, 3)).astype(np.float32)
    JobFolder.create(JobSpec("run", inputs={"data": data}), path=tmp_path / "job")
    folder = JobFolder(tmp_path / "job")
    spec = folder.read_spec()
    folder.save_result({"same": spec.inputs["data"], "other": data + 1})
    sizes = [path.stat().st_size for path in (tmp_path / "job" / "result").iterdir()]
    assert sum(sizes) < 1.1 * data.nbytes
    result = load_result(tmp_path / "job")
    assert np.array_equal(result["same"], data)
    assert np.array_equal(result["other"], data + 1)


def test_inputs_of_a_job_cannot_be_changed_by_accident(tmp_path):
    save_value(np.zeros((64, 64, 64, 2)), tmp_path / "v.json")
    data, known = load_inputs(tmp_path / "v.json")
    assert list(known.values()) == ["v-001-value.npy"]
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1


def test_values_from_elsewhere_are_refused(tmp_path):
    @dataclasses.dataclass
    class Own:
        x: int = 1

    for value in (Own(), object(), {"f": print}, {1, 2}):
        with pytest.raises(InvalidInputError, match="cannot carry a value of type"):
            save_value(value, tmp_path / "v.json")


def test_an_array_of_objects_is_refused(tmp_path):
    with pytest.raises((InvalidInputError, ValueError), match="pickle|Object"):
        save_value(np.array([object()]), tmp_path / "v.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"array": "missing.npy"}',
        '{"class": "values.Nothing", "fields": {}}',
        '{"class": "files.Path", "fields": {}}',
        '{"class": "../os.system", "fields": {}}',
        '{"what": 1}',
    ],
)
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(InvalidInputError, match="'v.json' cannot be read"):
        load_value(tmp_path / "v.json")


def test_a_full_disk_is_said_in_one_sentence(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("1000 requested and 0 written")  # what numpy raises

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InvalidInputError, match="Free disk space"):
        JobFolder.create(JobSpec("run", inputs={"data": np.ones(3)}), parent=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_goes_with_its_owner_and_a_named_one_stays(tmp_path):
    folder = JobFolder.create(JobSpec("run"), parent=tmp_path)
    path = folder.path
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0  # scans of patients lie in it
    del folder
    assert not path.exists()
    named = JobFolder.create(JobSpec("run"), path=tmp_path / "kept")
    named.remove()
    assert named.job_file.is_file()
    with pytest.raises(InvalidInputError, match="holds a job already"):
        JobFolder.create(JobSpec("run"), path=tmp_path / "kept")


def test_a_job_comes_back_as_it_was(tmp_path, a_ctp_series):
    spec = JobSpec("run", {"pipeline": {"method": "osvd"}}, {"series": a_ctp_series}, Path("out"), "cpu")
    JobFolder.create(spec, path=tmp_path / "job")
    again = JobFolder(tmp_path / "job").read_spec()
    assert_same(spec.inputs["series"], again.inputs["series"])
    assert (again.task, again.settings, again.device) == ("run", {"pipeline": {"method": "osvd"}}, "cpu")
    assert again.output == Path.cwd() / "out"  # the worker runs in another folder


def test_jobs_that_cannot_be_meant_are_refused(tmp_path):
    for changes, words in (
        ({"task": "rm -rf"}, "no name of a task"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"settings": ["osvd"]}, "settings of a job must be a mapping"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            JobSpec(**{"task": "run", **changes})
    save_value({**JobSpec("run").as_document(), "version": 99}, tmp_path / "job.json")
    with pytest.raises(InvalidInputError, match="has version 99"):
        JobFolder(tmp_path).read_spec()
    save_value({"task": "run"}, tmp_path / "job.json")
    with pytest.raises(InvalidInputError, match="must hold"):
        JobFolder(tmp_path).read_spec()


def test_a_job_without_result_says_so(tmp_path):
    with pytest.raises(InvalidInputError, match="has no result"):
        load_result(tmp_path)
