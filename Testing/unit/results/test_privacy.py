# SPDX-License-Identifier: Apache-2.0
"""Paths and DICOM identifiers do not reach a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from PerfusionSuiteLib.results.privacy import without_identifiers


@pytest.mark.parametrize(
    "text",
    [
        "/data/DOE^JOHN/scan",
        "Read 20 files from '/data/DOE^JOHN 1970/scan'.",
        "Read /data/DOE^JOHN/a.dcm first.",
        r"C:\patients\DOE^JOHN\scan",
        r"\\server\share\DOE^JOHN",
        "~/DOE^JOHN/x.nii.gz",
    ],
)
def test_a_path_is_taken_out(text: str) -> None:
    assert "DOE" not in without_identifiers(text)


def test_the_kind_of_a_file_stays() -> None:
    assert without_identifiers(Path("/a/DOE/aif.csv")) == "(file .csv)"
    assert without_identifiers("Brain mask from '/a/DOE/m.nii.gz'.") == "Brain mask from (file .nii.gz)."


def test_a_uid_is_taken_out_wherever_it_hides() -> None:
    cleaned = without_identifiers({"a": ["series 1.2.840.113619.2.55.3.604688"], "b": 1})
    assert cleaned == {"a": ["series (uid)"], "b": 1}


@pytest.mark.parametrize(
    "text", ["52 mL/100g/min", "core / penumbra", "1/s", "0.25-1.5 s", "version 1.2.3", "AIF/VOF", "2 mm/2°"]
)
def test_units_and_plain_words_stay(text: str) -> None:
    assert without_identifiers(text) == text
