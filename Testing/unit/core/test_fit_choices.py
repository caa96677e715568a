# SPDX-License-Identifier: Apache-2.0
"""What the panel for fits offers is what the methods have."""

import pytest

from PerfusionSuiteLib.core import catalog
from PerfusionSuiteLib.core.fit_choices import CUSTOM, FIT_OPTIONS, FIT_PRESETS, NEEDS_TORCH, preset_of
from PerfusionSuiteLib.fitting import METHODS

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


def test_the_methods_that_need_pytorch_are_those_that_can_use_a_gpu():
    assert {name for name, method in METHODS.items() if method.gpu} == set(NEEDS_TORCH) & set(METHODS)


def test_presets_are_complete_choices_of_known_methods():
    assert {preset.method for preset in FIT_PRESETS} >= {choice.name for choice in catalog.FITTING}
    for preset in FIT_PRESETS:
        if preset.method in METHODS:
            METHODS[preset.method].complete(preset.options)
        assert preset_of(preset.method, preset.options) == preset.name
    assert preset_of("spatial", {"family": "box"}) == CUSTOM
