# SPDX-License-Identifier: Apache-2.0
"""What panels offer for ASL is what a run can be told."""

from dataclasses import fields

import pytest

from PerfusionSuiteLib import asl, pipeline
from PerfusionSuiteLib.asl.calibration import REFERENCES, CalibrationSettings
from PerfusionSuiteLib.asl_settings import M0_OPTIONS
from PerfusionSuiteLib.core import asl_choices


def test_the_methods_are_those_of_the_registry_behind_the_automatic_choice():
    assert [choice.name for choice in asl_choices.METHODS] == [pipeline.AslSettings().method, *asl.METHODS]


@pytest.mark.parametrize("option", asl_choices.SETTINGS, ids=lambda option: option.name)
def test_each_setting_has_the_default_of_a_run(option):
    default = getattr(pipeline.AslSettings(), option.name)
    assert (option.default, type(option.default)) == (default, type(default))
    if option.kind in ("int", "float") and default is not None:
        assert option.low <= default <= option.high
    if option.kind == "choice":
        assert default in option.choices


def test_every_way_to_make_m0_is_offered_with_its_default():
    defaults = {item.name: item.default for item in fields(CalibrationSettings) if item.name in M0_OPTIONS}
    assert {option.name: option.default for option in asl_choices.M0_SETTINGS} == defaults
    assert asl_choices.M0_REFERENCES == REFERENCES


def test_every_setting_that_is_no_number_of_a_method_can_be_chosen_in_the_panel():
    own_controls = {"method", "motion_correction", "partial_volume", "m0_options", "method_options", "device", "scaling"}
    offered = {option.name for option in asl_choices.SETTINGS}
    assert offered | own_controls == {item.name for item in fields(pipeline.AslSettings)}


@pytest.mark.parametrize("option", [o for o in (*asl_choices.SETTINGS, *asl_choices.M0_SETTINGS) if o.default is None])
def test_an_open_choice_says_who_decides(option):
    assert option.undecided
