# SPDX-License-Identifier: Apache-2.0
"""The words of the panels and the registries that compute say the same."""

import subprocess
import sys

from PerfusionSuiteLib import asl, deconvolution, fitting, hemopic, lesion, pipeline
from PerfusionSuiteLib.core import catalog


def test_every_method_is_in_the_catalog_with_the_words_of_its_registry():
    registries = (deconvolution.METHODS, fitting.METHODS, hemopic.METHODS, asl.METHODS)
    known = (catalog.DECONVOLUTION, catalog.FITTING, catalog.REGIONAL, catalog.ASL)
    for choices, registry in zip(known, registries, strict=True):
        assert [(c.name, c.description) for c in choices] == [(name, m.description) for name, m in registry.items()]


def test_every_preset_is_in_the_catalog():
    known = [choice.name for choice in (*catalog.PRESETS, *catalog.MR_PRESETS)]
    assert (known[0], sorted(known)) == (next(iter(lesion.PRESETS)), sorted(lesion.PRESETS))


def test_the_catalog_recommends_what_the_pipeline_uses():
    settings = pipeline.Settings()
    assert (settings.method, settings.preset) == (catalog.DEFAULT_METHOD, catalog.DEFAULT_PRESET)


def test_labels_are_unique():
    for choices in ((catalog.AUTOMATIC, *catalog.METHODS), (*catalog.PRESETS, *catalog.MR_PRESETS)):
        assert len({choice.label for choice in choices}) == len(choices)


def test_the_catalog_opens_without_what_computes():
    code = "import sys, PerfusionSuiteLib.core.catalog; print([m for m in ('scipy', 'SimpleITK', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
