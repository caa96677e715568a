# SPDX-License-Identifier: Apache-2.0
import dataclasses

from PerfusionSuiteLib import finished_maps, measurement, pipeline
from PerfusionSuiteLib.core import QualityFinding


def test_a_fact_that_two_rooms_noticed_is_told_once_and_by_its_gravest_form(a_study):
    mild = QualityFinding("truncated_venous", "info", "The vein is cut.")
    grave = QualityFinding("truncated_venous", "warning", "The vein is cut at 40 % of its peak.")
    other = QualityFinding("motion", "info", "The head moved.")
    masks = dataclasses.replace(a_study.masks, findings=(mild, other))
    lesions = dataclasses.replace(a_study.lesions, findings=(grave,))
    assert pipeline._all_findings(a_study.series, masks, None, lesions) == (grave, other)


def test_who_asks_for_a_tumor_and_gives_none_is_told(a_study):
    settings = pipeline.Settings(preset="tumor")
    assert [finding.code for finding in measurement._no_tumor(settings, pipeline.UserInputs())] == ["tumor_not_given"]
    assert measurement._no_tumor(settings, pipeline.UserInputs(roi_mask=a_study.masks.brain)) == ()


def test_a_core_by_flow_is_doubtful_in_dsc_alone_and_also_in_finished_maps(a_study):
    assert a_study.lesions.core.any()
    for modality, told in (("dsc", True), ("ctp", False)):
        found = finished_maps.analyze_maps(a_study.maps, masks=a_study.masks, modality=modality)
        assert ("core_by_dsc_flow" in {finding.code for finding in found.findings}) == told
    drawn = finished_maps.analyze_maps(a_study.maps, masks=a_study.masks, modality="dsc", core=a_study.lesions.core)
    assert "core_by_dsc_flow" not in {finding.code for finding in drawn.findings}
