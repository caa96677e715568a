# SPDX-License-Identifier: Apache-2.0
"""What a user chose by name is checked in one place."""

from __future__ import annotations

import pytest

from PerfusionSuiteLib import asl, deconvolution, fitting, hemopic
from PerfusionSuiteLib.core.choosing import check_device, chosen, refuse_unknown
from PerfusionSuiteLib.core.errors import InvalidInputError


def test_a_thing_is_found_by_its_name_and_a_wrong_name_lists_all():
    assert chosen("b", {"a": 1, "b": 2}, "letter") == 2
    with pytest.raises(InvalidInputError, match=r"There is no letter 'c'\. Choose one of a, b\."):
        chosen("c", {"a": 1, "b": 2}, "letter")


@pytest.mark.parametrize("room", [asl, deconvolution, fitting, hemopic])
def test_every_registry_finds_its_methods_and_names_them_when_asked_for_another(room):
    registry = __import__(f"{room.__name__}.registry", fromlist=["METHODS"])
    for name, method in registry.METHODS.items():
        assert registry.find_method(name) is method
    with pytest.raises(InvalidInputError, match=f"no .*method 'magic'.*{next(iter(registry.METHODS))}"):
        registry.find_method("magic")


def test_unknown_options_are_named_with_those_there_are():
    refuse_unknown("The tool", ("a", "b"), {"a": 1}, "option")
    with pytest.raises(InvalidInputError, match=r"The tool has no option 'c', 'd'\. It has a, b\."):
        refuse_unknown("The tool", ("a", "b"), {"d": 1, "c": 2}, "option")
    with pytest.raises(InvalidInputError, match=r"It has none\."):
        refuse_unknown("The tool", (), ["c"], "option")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "CPU", "auto\n"])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(InvalidInputError, match="Choose auto, cpu or cuda"):
        check_device(device)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:12"])
def test_devices_pass(device):
    check_device(device)
