# SPDX-License-Identifier: Apache-2.0
"""What panels offer around the method is what the rooms can do."""

import subprocess
import sys

import pytest

from PerfusionSuiteLib import input_function, lesion, pipeline, prepare
from PerfusionSuiteLib.core import catalog, preparation_choices
from PerfusionSuiteLib.core.threshold_choices import LISTS, THRESHOLD_OPTIONS
from PerfusionSuiteLib.core.threshold_words import BY_NETWORK, MIN_CLUSTER_ML, THRESHOLDS


@pytest.mark.parametrize(
    ("choices", "known", "default"),
    [
        (preparation_choices.NOISE_REDUCTION, ("auto", *prepare.NOISE_METHODS), pipeline.Settings().noise_reduction),
        (preparation_choices.ARTERY, input_function.METHODS, pipeline.Settings().aif_method),
        (preparation_choices.LEAKAGE, ("auto", *prepare.LEAKAGE), pipeline.Settings().leakage_correction),
    ],
)
def test_each_choice_is_known_and_the_default_comes_first(choices, known, default):
    assert [choice.name for choice in choices] == list(known)
    assert choices[0].name == default


def test_every_threshold_has_the_value_and_the_rule_of_its_preset():
    assert list(THRESHOLDS) == [choice.name for choice in catalog.PRESETS]
    for name, (hypoperfusion, core) in THRESHOLDS.items():
        preset = lesion.find_preset(name)
        assert preset.min_cluster_ml == MIN_CLUSTER_ML
        assert hypoperfusion.quantity == preset.hypoperfusion_rule
        fields = {"rcbf": "rcbf_percent", "cbv": "core_cbv", "network": "core_probability"}
        assert core.field == fields[preset.core_rule]
        assert (name in BY_NETWORK) == (preset.core_rule == "network")
        for threshold in (hypoperfusion, core):
            assert threshold.value == getattr(preset, threshold.field)
            lesion.edited_preset(preset, {threshold.field: threshold.high})  # a slider leads to nothing that is refused


def test_the_words_load_without_what_computes():
    names = "PerfusionSuiteLib.core.preparation_choices, PerfusionSuiteLib.core.threshold_words"
    code = f"import sys, {names}; print([m for m in ('scipy', 'SimpleITK', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", list(THRESHOLDS))
def test_the_form_offers_every_threshold_with_the_preset_s_own_value(name):
    preset = lesion.PRESETS[name]
    offered = {option.name: option.default for option in THRESHOLD_OPTIONS[name]}
    on_sliders = {threshold.field for threshold in THRESHOLDS[name]} | {"min_cluster_ml"}
    assert set(offered) | on_sliders == set(lesion.EDITABLE) - {"tmax_offset_s", "rcbf_factor"}
    for field, value in offered.items():
        own = getattr(preset, field)
        if field in LISTS:
            assert tuple(float(part) for part in value.split(",")) == tuple(own)
        else:
            assert (value, type(value)) == (own, type(own))
    for option in THRESHOLD_OPTIONS[name]:
        if option.kind in ("int", "float"):
            assert option.low <= option.default <= option.high
