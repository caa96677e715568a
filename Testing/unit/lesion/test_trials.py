# SPDX-License-Identifier: Apache-2.0
"""Criteria of trials as they were published."""

from __future__ import annotations

import pytest

from PerfusionSuiteLib.lesion import trial_criteria


@pytest.mark.parametrize(
    ("core", "hypoperfusion", "defuse", "extend"),
    [
        (20, 60, True, True),
        (69.9, 130, True, True),
        (70, 200, False, False),
        (40, 71.9, False, True),
        (40, 72, True, True),
        (10, 24.9, False, True),
        (10, 25, True, True),
        (50, 60, False, False),
        (8, 17, False, False),
        (0, 20, True, True),
        (0, 0, False, False),
    ],
)
def test_defuse_3_and_extend(core: float, hypoperfusion: float, defuse: bool, extend: bool) -> None:
    found = trial_criteria(core, hypoperfusion)
    assert (found["DEFUSE 3"]["met"], found["EXTEND"]["met"]) == (defuse, extend)


@pytest.mark.parametrize(
    ("age", "nihss", "core", "met"),
    [
        (85, 10, 20.9, True),
        (80, 25, 21, False),
        (85, 9, 5, False),
        (79, 10, 30.9, True),
        (79, 19, 31, False),
        (60, 20, 31, True),
        (60, 20, 50.9, True),
        (60, 20, 51, False),
        (60, 9, 5, False),
    ],
)
def test_dawn(age: float, nihss: int, core: float, met: bool) -> None:
    assert trial_criteria(core, 100, age_years=age, nihss=nihss)["DAWN"]["met"] is met


def test_dawn_cannot_be_said_without_the_examination() -> None:
    assert trial_criteria(10, 50)["DAWN"]["met"] is None


def test_the_numbers_used_stand_beside_each_criterion() -> None:
    found = trial_criteria(20, 60)["DEFUSE 3"]
    assert (found["core_ml"], found["mismatch_ml"], found["ratio"]) == (20, 40, 3.0)


@pytest.mark.parametrize("flag", ["both_sides", "bilateral"])
def test_lesions_on_both_sides_leave_the_judgment_to_the_reader(flag: str) -> None:
    found = trial_criteria(20, 60, age_years=70, nihss=12, flags={flag, "motion"})
    assert {name: entry["met"] for name, entry in found.items()} == {"DEFUSE 3": None, "EXTEND": None, "DAWN": None}
    assert all(entry["met_by_numbers"] for entry in found.values())
    assert all("both sides" in entry["reason"] for entry in found.values())
    assert found["DEFUSE 3"]["mismatch_ml"] == 40


def test_other_findings_change_no_criterion() -> None:
    assert trial_criteria(20, 60, flags={"motion", "aif_uncertain"}) == trial_criteria(20, 60)
