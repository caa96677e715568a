# SPDX-License-Identifier: Apache-2.0
"""Folders, names and numbers of subjects."""

from __future__ import annotations

from pathlib import Path

import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.hemopic.subjects import LABELS, Subject, parse_ids, subjects_at


@pytest.fixture
def a_dataset(tmp_path: Path) -> Path:
    for name in ("training_1", "training_2", "training_10", "testing_3", "training_x"):
        (tmp_path / name).mkdir()
    (tmp_path / "training_4").write_text("a file")
    return tmp_path


class TestFinding:
    def test_all_numbered_folders_in_the_order_of_their_numbers(self, a_dataset: Path) -> None:
        subjects, absent = subjects_at(a_dataset)
        assert ([subject.number for subject in subjects], absent) == ([1, 2, 10], [])

    def test_a_range_names_what_is_absent(self, a_dataset: Path) -> None:
        subjects, absent = subjects_at(a_dataset, parse_ids(["1-4"]))
        assert ([subject.name for subject in subjects], absent) == (["training_1", "training_2"], ["training_3", "training_4"])

    def test_one_folder_and_a_file_in_it_are_one_subject(self, a_dataset: Path) -> None:
        series = a_dataset / "training_2" / "MR_4DPWI.nii"
        series.write_text("x")
        for place in (a_dataset / "training_2", series):
            subjects, _ = subjects_at(place)
            assert [subject.number for subject in subjects] == [2]

    def test_a_folder_of_another_name_is_a_subject_without_a_number(self, tmp_path: Path) -> None:
        subjects, _ = subjects_at(tmp_path)
        assert (subjects[0].folder, subjects[0].number) == (tmp_path, None)

    def test_nothing_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="does not exist"):
            subjects_at(tmp_path / "nowhere")

    def test_numbers_need_a_dataset(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="holds no folder training_<N>"):
            subjects_at(tmp_path, [1])


class TestFiles:
    def test_plain_files_come_before_packed_ones(self, tmp_path: Path) -> None:
        for end in (".nii.gz", ".nii"):
            (tmp_path / f"MR_rCBF{end}").write_text("x")
        assert Subject(tmp_path, 1).find("MR_rCBF") == tmp_path / "MR_rCBF.nii"

    def test_empty_files_do_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "MR_rCBF.nii").write_text("")
        (tmp_path / "MR_rCBF.nii.gz").write_text("x")
        assert Subject(tmp_path, 1).find("MR_rCBF") == tmp_path / "MR_rCBF.nii.gz"

    def test_all_that_is_missing_is_said_in_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "MR_rCBF.nii").write_text("x")
        words = r"MR_rCBV.nii\[.gz\], MR_MTT.nii\[.gz\] and hemopic_seg4/seg4_label_ref24.nii.gz are missing"
        with pytest.raises(InvalidInputError, match=words):
            Subject(tmp_path, 1).need("MR_rCBF", "MR_rCBV", "MR_MTT", LABELS)

    @pytest.mark.parametrize(("stem", "advice"), [("CTC_from_MR_4DPWI", "hemopic convert"), (LABELS, "hemopic partition")])
    def test_the_step_that_makes_a_missing_file_is_named(self, tmp_path: Path, stem: str, advice: str) -> None:
        with pytest.raises(InvalidInputError, match=f"is missing in .*{advice}"):
            Subject(tmp_path, 1).need(stem)


class TestNumbers:
    @pytest.mark.parametrize(
        ("words", "numbers"), [(["1-4"], [1, 2, 3, 4]), (["3", "7,9", "8-9"], [3, 7, 8, 9]), (["5", "5"], [5])]
    )
    def test_numbers_and_ranges(self, words: list[str], numbers: list[int]) -> None:
        assert parse_ids(words) == numbers

    @pytest.mark.parametrize("word", ["x", "4-1", "-3", "1-", "", "1-999999999"])
    def test_other_words_are_refused(self, word: str) -> None:
        with pytest.raises(InvalidInputError, match="no number and no range"):
            parse_ids([word])
