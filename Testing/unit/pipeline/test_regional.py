# SPDX-License-Identifier: Apache-2.0
"""HemoPIC in the chain: without an artery, with one, as published; what is refused, and what results say about themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.core import InputFunction, InvalidInputError

SIZE = {"shape": (56, 56, 6), "spacing_mm": (3.9, 3.9, 10.0), "frames": 40, "interval_s": 1.9, "motion": "none"}
QUICK = {"motion_correction": False, "device": "cpu"}


@pytest.fixture(scope="module")
def patient():
    return phantom.dsc(seed=8, site="m1", recipe="typical", field_t=3.0, **SIZE)


@pytest.fixture(scope="module")
def study(patient):
    return pipeline.run(patient[0], pipeline.Settings(method="hemopic", **QUICK))


@pytest.fixture(scope="module")
def with_artery(patient):
    settings = pipeline.Settings(method="hemopic", method_options={"input": "aif"}, **QUICK)
    return pipeline.run(patient[0], settings)


@pytest.fixture(scope="module")
def published(patient):
    return pipeline.run(patient[0], pipeline.Settings(method="hemopic-compat", motion_correction=False))


def test_without_an_artery_the_study_says_so_in_its_curve_maps_metrics_and_findings(study):
    assert study.aif.kind == "reference"
    assert study.vof is None
    assert {study.maps[key].unit for key in ("cbf", "cbv", "cbf_sd", "cbv_sd")} == {"relative"}
    assert {study.maps[key].unit for key in ("mtt", "tmax", "delay")} == {"s"}
    numbers = study.metrics.values
    assert (numbers["flow_scale"], numbers["times_from"]) == ("relative", "early normal tissue")
    assert numbers["aif"] is None
    assert "reference curve" in study.metrics.notes["aif"]
    assert "no_artery" in {finding.code for finding in study.findings}
    assert study.regions.relative


def test_regions_lie_in_the_brain_and_have_curves_of_the_scans_times(study):
    regions = study.regions
    assert not (regions.labels > 0)[~study.masks.brain].any()
    assert set(np.unique(regions.labels)) - {0} == {row["roi_id"] for row in regions.rows}
    assert np.array_equal(regions.times_s, study.concentration.times_s)
    inside = (regions.labels == regions.rows[0]["roi_id"]) & study.concentration.mask
    assert np.allclose(regions.observed[0], study.concentration.data[inside].mean(axis=0), rtol=1e-3, atol=1e-3)


def test_the_table_of_regions_is_on_the_scale_of_the_maps(study):
    number = max(study.regions.rows, key=lambda row: row["n_vox_fit"])
    inside = study.regions.labels == number["roi_id"]
    assert np.nanmedian(study.maps["cbv"].values[inside]) == pytest.approx(number["V_fit"], rel=0.35)


def test_the_lesion_lies_on_the_true_side_with_and_without_an_artery(study, with_artery, patient):
    for each in (study, with_artery):
        assert each.lesions.side == patient[1].side


def test_with_an_artery_maps_have_units_and_times_count_from_it(with_artery):
    assert with_artery.aif.kind == "aif"
    assert with_artery.maps["cbf"].unit == "mL/100g/min"
    numbers = with_artery.metrics.values
    assert (numbers["flow_scale"], numbers["times_from"]) == ("white_matter", "artery")
    assert with_artery.lesions.thresholds["method"] == "hemopic-aif"
    assert not with_artery.regions.relative


def test_a_given_arterial_curve_is_used_without_asking(patient, with_artery):
    curve = with_artery.aif
    given = InputFunction(curve.times_s, curve.values, origin="file")
    settings = pipeline.Settings(method="hemopic", scale_to_white_matter=False, **QUICK)
    found = pipeline.run(patient[0], settings, inputs=pipeline.UserInputs(aif=given))
    assert found.aif.origin == "file"
    assert found.metrics.values["flow_scale"] == "absolute"


def test_relative_results_do_not_depend_on_the_amount_of_contrast_in_the_signal(study, patient):
    series = patient[0]
    brighter = replace(series, data=(3.0 * series.data).astype(np.float32))
    found = pipeline.run(brighter, pipeline.Settings(method="hemopic", **QUICK))
    both = np.isfinite(found.maps["mtt"].values) & np.isfinite(study.maps["mtt"].values)
    assert np.allclose(found.maps["mtt"].values[both], study.maps["mtt"].values[both], rtol=0.02, atol=0.05)


def test_the_published_method_says_where_its_priors_and_times_come_from(published):
    assert {"cbf", "cbv", "mtt", "tmax", "delay"} <= set(published.maps)
    assert published.maps["cbf"].provenance.method == "hemopic-compat"
    assert published.maps["cbf"].provenance.settings["priors"] == "csvd"
    assert published.maps["tmax"].provenance.method == "csvd"
    told = next(finding for finding in published.findings if finding.code == "hemopic_priors")
    assert "block-circulant SVD" in told.message
    assert published.metrics.values["times_from"] == "artery"
    assert "tau_fit" in published.regions.rows[0]


def test_given_tissue_labels_divide_the_brain(patient):
    series, truth = patient
    gray = np.asarray(truth.fractions["gm"], np.float32) + np.asarray(truth.fractions["deep"], np.float32)
    white, fluid = (np.asarray(truth.fractions[key], np.float32) for key in ("wm", "csf"))
    brain = np.asarray(truth.masks["brain"], bool)
    labels = np.where(brain, 1 + np.argmax(np.stack([gray, white, fluid]), axis=0), 0)
    settings = pipeline.Settings(method="hemopic", **QUICK)
    found = pipeline.run(series, settings, inputs=pipeline.UserInputs(tissue_labels=labels))
    assert "tissue_estimated" not in {finding.code for finding in found.findings}
    tissue = {row["roi_id"]: row["tissue"] for row in found.regions.rows}
    numbers = found.regions.labels
    known = numbers > 0
    classes = np.array([{"GM": 1, "WM": 2, "CSF": 3}[tissue[n]] for n in numbers[known]])
    assert (classes == labels[known]).mean() > 0.95


def test_structural_labels_mean_their_tissue(patient):
    labels = np.zeros(patient[0].shape, np.int32)
    labels[...] = 42
    labels[20:30] = 41
    study = pipeline.run(
        patient[0], pipeline.Settings(method="hemopic", **QUICK), inputs=pipeline.UserInputs(tissue_labels=labels)
    )
    tissue = {row["roi_id"]: row["tissue"] for row in study.regions.rows}
    assert {tissue[n] for n in np.unique(study.regions.labels[20:30]) if n} == {"WM"}
    assert {tissue[n] for n in np.unique(study.regions.labels[:20]) if n} == {"GM"}


def test_ct_is_refused_in_one_sentence(patient):
    series = replace(patient[0], modality="ctp")
    with pytest.raises(InvalidInputError, match=r"'hemopic' is made for DSC-MRI, but the series is of modality 'ctp'"):
        pipeline.run(series, pipeline.Settings(method="hemopic"))


def test_what_nobody_would_use_is_refused(patient):
    series = patient[0]
    labels = np.ones(series.shape, np.int32)
    with pytest.raises(InvalidInputError, match="Tissue labels serve the methods hemopic and hemopic-compat only"):
        pipeline.run(series, inputs=pipeline.UserInputs(tissue_labels=labels))
    with pytest.raises(InvalidInputError, match=r"tissue labels has \(4, 4, 4\) voxels"):
        inputs = pipeline.UserInputs(tissue_labels=labels[:4, :4, :4])
        pipeline.run(series, pipeline.Settings(method="hemopic", **QUICK), inputs=inputs)
    with pytest.raises(InvalidInputError, match="compares absolute flow and volume"):
        pipeline.run(series, pipeline.Settings(method="hemopic", preset="syngo-like", **QUICK))
    vein = InputFunction(series.times_s, np.ones(series.times_s.size), kind="vof")
    with pytest.raises(InvalidInputError, match="uses no artery here"):
        pipeline.run(series, pipeline.Settings(method="hemopic", **QUICK), inputs=pipeline.UserInputs(vof=vein))
    with pytest.raises(InvalidInputError, match="must be one of reference, aif"):
        pipeline.Settings(method="hemopic", method_options={"input": "vein"})
