# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.files import folder_name, plain, remove_leftovers, staged_folder, write_json, written_beside


def test_numbers_that_json_cannot_hold_become_null(tmp_path):
    path = write_json(tmp_path / "a.json", {"x": np.float32(np.nan), "y": [np.int64(3), np.inf], "z": np.arange(2)})
    assert json.loads(path.read_text()) == {"x": None, "y": [3, None], "z": [0, 1]}
    assert plain((np.bool_(True),)) == [True]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "map.nii.gz"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_beside(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_run_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "out") as staging:
        (staging / "cbf.nii.gz").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_replaces_its_files_and_keeps_foreign_ones(tmp_path):
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    (out / "masks" / "core.nii.gz").write_text("old")
    with staged_folder(out) as staging:
        (staging / "masks").mkdir()
        (staging / "masks" / "core.nii.gz").write_text("new")
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "masks" / "core.nii.gz").read_text() == "new"


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InvalidInputError, match="is a file"), staged_folder(tmp_path / "out"):
        pass


def test_an_unwritable_place_is_one_sentence(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(InvalidInputError, match="Choose another output folder"), staged_folder(blocker / "out"):
        pass


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("301: CTP 1/2", "301_ CTP 1_2"),
        ("brain", "brain"),
        ('a"b?c*', "a_b_c_"),
        ("..", "case"),
        ("scan. ", "scan"),
        ("Kopf ä", "Kopf ä"),
    ],
)
def test_names_of_scans_become_folders_on_every_system(text, name):
    assert folder_name(text) == name


def test_what_a_killed_run_left_is_removed_and_what_other_cases_write_is_not(tmp_path):
    names = [".writing-a2194aqm-case-1", ".writing-itqj0znx-.writing-a2194aqm-case-1", ".writing-a2194aqm-other-case-1", "case-1"]
    for name in names:
        (tmp_path / name / "qa").mkdir(parents=True)
    remove_leftovers(tmp_path / "case-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-a2194aqm-other-case-1", "case-1"]
    remove_leftovers(tmp_path / "nowhere" / "case-1")
