# SPDX-License-Identifier: Apache-2.0
"""What the panel for fits offers is what the methods have."""

import pytest

from PerfusionSuiteLib import asl, fitting, hemopic
from PerfusionSuiteLib.core import catalog
from PerfusionSuiteLib.core.fit_choices import (
    BOLUS,
    CUSTOM,
    FIT_OPTIONS,
    FIT_PRESETS,
    MODALITIES,
    NEEDS_TORCH,
    SHOWN_WHILE_RUNNING,
    USES_GPU,
    preset_of,
)
from PerfusionSuiteLib.hemopic.physical_families import FAMILIES

METHODS = {**fitting.METHODS, **hemopic.METHODS, **asl.METHODS}

OFFERED = [(method, option) for method, options in FIT_OPTIONS.items() if method in METHODS for option in options]


@pytest.mark.parametrize(("method", "option"), OFFERED, ids=[f"{m}-{o.name}" for m, o in OFFERED])
def test_an_option_of_the_panel_is_one_of_the_method_with_its_default(method, option):
    assert METHODS[method].options[option.name] == option.default
    if option.kind == "choice":
        assert option.default in option.choices
    if option.kind in ("int", "float"):
        assert option.low < option.high
        assert option.default is None or option.low <= option.default <= option.high
    assert option.description


def test_the_methods_that_need_pytorch_and_those_that_can_use_a_gpu_are_told_apart():
    networks = {**fitting.METHODS, **asl.METHODS}
    assert {name for name, method in networks.items() if method.gpu} == set(NEEDS_TORCH)
    assert {name for name, method in METHODS.items() if method.gpu} == set(USES_GPU)
    assert not any(method.needs_torch for method in hemopic.METHODS.values())


def test_only_fits_by_networks_and_neighbors_are_shown_while_they_run():
    assert {name for name, method in fitting.METHODS.items() if method.gpu} == set(SHOWN_WHILE_RUNNING)


def test_the_kinds_of_scans_are_those_of_the_registry():
    of_bolus = {**fitting.METHODS, **hemopic.METHODS}
    known = {name: tuple(method.modalities) for name, method in of_bolus.items() if set(method.modalities) != set(BOLUS)}
    assert dict(MODALITIES) == known | dict.fromkeys(asl.METHODS, ("asl",))


def test_every_family_that_a_scan_may_choose_from_is_offered():
    offered = next(option for option in FIT_OPTIONS["hemopic"] if option.name == "family")
    assert set(offered.choices) == {"auto", *FAMILIES}


def test_presets_are_complete_choices_of_known_methods():
    assert {preset.method for preset in FIT_PRESETS} >= {choice.name for choice in (*catalog.FITTING, *catalog.REGIONAL)}
    for preset in FIT_PRESETS:
        if preset.method in METHODS:
            METHODS[preset.method].complete(preset.options)
        assert preset_of(preset.method, preset.options) == preset.name
    assert preset_of("spatial", {"family": "box"}) == CUSTOM
