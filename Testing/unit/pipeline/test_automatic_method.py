# SPDX-License-Identifier: Apache-2.0
"""Without a method, the scan and what is installed decide, and the study says what was used."""

import pytest

from PerfusionSuiteLib import phantom, pipeline, settings
from PerfusionSuiteLib.core import InvalidInputError


@pytest.fixture
def no_torch(monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda name: None)


@pytest.fixture
def with_torch(monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda name: object())


def test_ct_gets_the_spatial_fit_and_mr_posterior_means(with_torch):
    assert pipeline.Settings().decided("ctp").method == "spatial"
    assert pipeline.Settings().decided("dsc").method == "bayes"


def test_a_named_method_stays(with_torch):
    assert pipeline.Settings(method="csvd").decided("ctp").method == "csvd"


def test_without_torch_the_method_needs_none_and_a_gpu_is_not_asked_for(no_torch):
    decided = pipeline.Settings(device="cuda").decided("ctp")
    assert (decided.method, decided.device, decided.noise_reduction_used) == ("bayes", "auto", "similarity")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method_options": {"shapes": [1.0]}}, "The options shapes belong to a method"),
        ({"noise_options": {"sigma_mm": 3.0}}, "The options sigma_mm belong to a noise reduction"),
    ],
)
def test_options_need_the_name_of_what_they_belong_to(given, words):
    with pytest.raises(InvalidInputError, match=words):
        pipeline.Settings(**given)


def test_a_study_made_without_torch_says_that_a_better_method_was_missing(no_torch):
    scan, _ = phantom.ctp(
        seed=8,
        recipe="clean",
        site="m1",
        residue="box",
        shape=(96, 96, 6),
        spacing_mm=(2.2, 2.2, 10.0),
        interval_s=1.5,
        frames=36,
    )
    study = pipeline.run(scan)
    assert study.settings["method"] == study.maps["tmax"].provenance.method == "bayes"
    assert {"info"} == {f.severity for f in study.findings if f.code == "method_fallback"}
