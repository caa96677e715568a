# SPDX-License-Identifier: Apache-2.0
"""Where a network drew the core, every result says so, and none speaks of a threshold on flow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from PerfusionSuiteLib.core import QUANTITIES, LesionMasks, PerfusionMap, PerfusionMaps, Study
from PerfusionSuiteLib.results import write
from PerfusionSuiteLib.results.bids import mask_sidecar
from PerfusionSuiteLib.results.dicom_export import write_dicom
from PerfusionSuiteLib.results.dicom_seg import applied
from PerfusionSuiteLib.results.layout import Layout
from PerfusionSuiteLib.results.references import references_of
from PerfusionSuiteLib.results.thresholds import all_words, core_words, is_standard

DRAWN = {
    "preset": "core-network", "core_rule": "network", "core_network": "mine.safetensors", "core_probability": 0.4, "tmax_s": 6.0,
    "rcbf_percent": 30.0, "rcbf_factor": 0.9, "core_cbv": 1.2, "core_adc": 620.0, "hypoperfusion_rule": "tmax",
}  # fmt: skip


@pytest.fixture
def drawn(a_study: Study) -> Study:
    """The complete study with a core that a network drew: probability 0.9 in it, 0 elsewhere in the brain."""
    values = np.where(a_study.lesions.core, 0.9, np.where(a_study.masks.brain, 0.0, np.nan)).astype(np.float32)
    probable = PerfusionMap(values, a_study.maps.affine, QUANTITIES["core_probability"])
    return replace(a_study, maps=a_study.maps.added(probable), lesions=replace(a_study.lesions, thresholds=DRAWN))


def test_the_core_is_said_to_come_from_the_network() -> None:
    assert core_words(DRAWN) == "network 'mine', probability > 0.4"
    assert core_words(DRAWN | {"strict": False, "core_network": "core"}) == "network 'core', probability ≥ 0.4"
    assert core_words(DRAWN | {"core_region": "anywhere"}).endswith("anywhere in tissue")
    assert "relative CBF" not in all_words(DRAWN)


def test_the_names_that_promise_a_threshold_are_not_used() -> None:
    assert not is_standard(DRAWN)
    assert is_standard({**DRAWN, "core_rule": "rcbf"})


def test_dicom_names_the_network_and_leaves_out_what_did_not_decide(a_study: Study) -> None:
    facts = applied(replace(a_study.lesions, thresholds=DRAWN))
    assert (facts["core_rule"], facts["core_network"], facts["core_probability"]) == ("network", "mine.safetensors", 0.4)
    assert not {"rcbf_percent", "rcbf_factor", "core_cbv", "core_adc"} & set(facts)
    assert "core_network" not in applied(replace(a_study.lesions, thresholds={**DRAWN, "core_rule": "rcbf"}))


@pytest.mark.parametrize(
    ("rules", "core", "late"),
    [
        ({}, "rcbf", "tmax"),
        ({"core_rule": "network"}, "core_probability", "tmax"),
        ({"core_rule": "cbv", "hypoperfusion_rule": "cbf"}, "cbv", "cbf"),
        ({"core_rule": "adc"}, "adc", "tmax"),
        ({"hypoperfusion_rule": "delay"}, "rcbf", "delay"),
    ],
)
def test_bids_masks_name_the_maps_that_decided(rules: dict[str, str], core: str, late: str, tmp_path: Path) -> None:
    names = Layout("bids", "case-01")
    for key in ("rcbf", "cbv", "cbf", "adc", "tmax", "delay", "core_probability"):
        path = tmp_path / names.map(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    links = {key: f"bids::{names.map(key).as_posix()}" for key in (core, late)}
    assert mask_sidecar("core_mask", names, tmp_path, rules)["Sources"] == [links[core], links[late]]
    assert mask_sidecar("hypoperfusion_mask", names, tmp_path, rules)["Sources"] == [links[late]]
    assert "Sources" not in mask_sidecar("brain", names, tmp_path, rules)


def test_literature_is_that_of_what_drew_the_core(drawn: Study, a_study: Study) -> None:
    by_network, by_flow = references_of(drawn, with_trials=False), references_of(a_study, with_trials=False)
    assert any("U-Net" in line for line in by_network)
    assert not any("relative CBF" in line for line in by_network)
    assert any("relative CBF" in line for line in by_flow)
    assert not any("U-Net" in line for line in by_flow)


def test_the_probability_is_a_file_beside_the_other_maps(drawn: Study, tmp_path: Path) -> None:
    names = {path.name for path in write(drawn, tmp_path / "flat", pictures=False, report=False)}
    assert {"core_probability.nii.gz", "core_mask.nii.gz"} <= names
    assert not any("rcbf30" in name for name in names)
    write(drawn, tmp_path / "bids", layout="bids", pictures=False, report=False)
    assert (tmp_path / "bids" / "sub-case01" / "perf" / "sub-case01_desc-perfusion_coreprobability.nii.gz").is_file()


def test_the_report_shows_the_network_in_the_card_of_the_core(drawn: Study, tmp_path: Path) -> None:
    write(drawn, tmp_path, pictures=False)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "network &#39;mine&#39;, probability &gt; 0.4" in text
    assert "relative CBF &lt;" not in text


def test_the_probability_is_a_dicom_map_without_unit_between_0_and_1(drawn: Study, tmp_path: Path) -> None:
    maps = PerfusionMaps([drawn.maps["tmax"], drawn.maps["core_probability"]])
    lesions: LesionMasks = drawn.lesions
    write_dicom(tmp_path, maps, lesions, drawn.metrics, case_id="case-01")
    found = pydicom.dcmread(tmp_path / "core_probability.dcm")
    mapping = found.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    (code,) = [item.ConceptCodeSequence[0] for item in mapping.QuantityDefinitionSequence]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("core_probability", "99PERFSUITE")
    assert found.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PERFSUITE"
    shown = found.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (float(shown.WindowCenter), float(shown.WindowWidth)) == (0.5, 1.0)
    assert np.nanmax(found.pixel_array) == pytest.approx(0.9)
    segments = pydicom.dcmread(tmp_path / "segmentation.dcm").SegmentSequence
    used = segments[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert "core_network=mine.safetensors" in str(used)
    assert "rcbf" not in str(used)
