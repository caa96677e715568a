# SPDX-License-Identifier: Apache-2.0
"""Tissue classes: both tables, a table of one's own, and how labels get onto another grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.hemopic.tissue_labels import (
    CORRECTED,
    PUBLISHED,
    RIGHT_TO_LEFT,
    collapse,
    display_image,
    read_table,
    resample_nearest,
    symmetric,
    write_table,
)

STRUCTURES = np.array([0, 2, 3, 4, 5, 7, 8, 14, 15, 16, 24, 41, 43, 44, 46, 60])


class TestTables:
    def test_the_published_table_gives_the_checked_classes(self) -> None:
        assert collapse(STRUCTURES, PUBLISHED).tolist() == [0, 2, 1, 3, 3, 1, 1, 3, 1, 4, 3, 2, 3, 3, 1, 1]

    def test_the_corrected_table_differs_in_the_fourth_ventricle_and_cerebellar_white_matter(self) -> None:
        changed = collapse(STRUCTURES, CORRECTED) != collapse(STRUCTURES, PUBLISHED)
        assert dict(zip(STRUCTURES[changed], collapse(STRUCTURES, CORRECTED)[changed], strict=True)) == {7: 2, 15: 3, 46: 2}

    def test_parcels_of_cortex_are_gray_matter(self) -> None:
        assert collapse(np.array([1001, 2035, 12175]), CORRECTED).tolist() == [1, 1, 1]

    @pytest.mark.parametrize("table", [PUBLISHED, CORRECTED])
    def test_left_and_right_are_of_one_class(self, table) -> None:
        for right, left in RIGHT_TO_LEFT.items():
            assert collapse(np.array([right]), table) == collapse(np.array([left]), table)

    def test_whole_numbers_may_come_as_floats_and_fractions_may_not(self) -> None:
        assert collapse(np.array([2.0, 3.0]), PUBLISHED).tolist() == [2, 1]
        with pytest.raises(InvalidInputError, match="holds fractions"):
            collapse(np.array([2.0, 2.5]), PUBLISHED)

    def test_an_image_that_is_no_segmentation_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="no structural labels"):
            collapse(np.array([0, 2_000_000_000]), PUBLISHED)

    def test_sides_are_merged(self) -> None:
        merged = symmetric(STRUCTURES)
        assert merged.dtype == np.int16
        assert merged.tolist() == [0, 2, 3, 4, 5, 7, 8, 14, 15, 16, 24, 2, 4, 5, 7, 28]

    def test_the_display_image_shows_gray_and_white_matter(self) -> None:
        assert display_image(np.arange(5, dtype=np.uint8)).tolist() == [0, 150, 240, 0, 0]


class TestOwnTable:
    @pytest.mark.parametrize("name", ["mine.csv", "mine.json"])
    @pytest.mark.parametrize("table", [PUBLISHED, CORRECTED])
    def test_what_is_written_can_be_read(self, tmp_path: Path, name: str, table) -> None:
        again = read_table(write_table(table, tmp_path / name))
        labels = np.arange(300)
        np.testing.assert_array_equal(collapse(labels, again), collapse(labels, table))

    def test_names_numbers_and_the_rest(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.csv"
        path.write_text("Label,Class\n10,Grey matter\n11,2\nother,background\n")
        assert collapse(np.array([0, 10, 11, 12]), read_table(path)).tolist() == [0, 1, 2, 0]

    @pytest.mark.parametrize(
        ("text", "words"),
        [("label,class\n2,bone\n", "is no class"), ("label,class\nx,csf\n", "is no label"), ("a,b\n1,2\n", "columns"),
         ("", "columns"), ("label,class\n", "no rows"), ("label,class\n2,7\n", "is no class")],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "mine.csv"
        path.write_text(text)
        with pytest.raises(InvalidInputError, match=words):
            read_table(path)

    def test_json_that_is_no_object_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        path.write_text("[1, 2]")
        with pytest.raises(InvalidInputError, match="no object"):
            read_table(path)


class TestResampling:
    def test_the_same_grid_changes_nothing(self) -> None:
        labels = np.random.default_rng(0).integers(0, 5, (6, 7, 4)).astype(np.uint8)
        affine = np.array([[-1.2, 0.1, 0, 40], [0.1, 1.2, 0, -30], [0, 0, 5.1, 7], [0, 0, 0, 1]], np.float32)
        np.testing.assert_array_equal(resample_nearest(labels, affine, (6, 7, 4), affine), labels)

    def test_flipped_axes_are_followed_in_the_patient(self) -> None:
        labels = np.random.default_rng(0).integers(0, 5, (6, 7, 4)).astype(np.uint8)
        flipped = np.array([[-1.0, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        np.testing.assert_array_equal(resample_nearest(labels, np.eye(4), (6, 7, 4), flipped), labels[::-1])

    def test_headers_of_single_precision_lose_no_slice(self) -> None:
        labels = np.ones((20, 20, 4), np.uint8)
        affine = np.array([[-0.9375, 0.013, 0.1, 113.7], [0.02, 0.93, -0.2, -87.3], [0.01, 0.1, 6.5, -33.9], [0, 0, 0, 1]])
        turned = affine @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1.0]])
        assert resample_nearest(labels, affine.astype(np.float32), (20, 20, 4), turned.astype(np.float32)).all()

    def test_a_coarse_grid_takes_the_label_at_its_centers(self) -> None:
        labels = np.arange(60, dtype=np.uint8).reshape(1, 1, 60) % 5
        coarse = np.diag([1.0, 1.0, 5.0, 1.0])
        np.testing.assert_array_equal(resample_nearest(labels, np.eye(4), (1, 1, 12), coarse)[0, 0], labels[0, 0, ::5])

    def test_outside_is_background(self) -> None:
        far = np.eye(4)
        far[0, 3] = 3.0
        moved = resample_nearest(np.ones((4, 2, 2), np.uint8), np.eye(4), (4, 2, 2), far)
        assert moved[:, 0, 0].tolist() == [1, 0, 0, 0]
