# SPDX-License-Identifier: Apache-2.0
import dataclasses

from PerfusionSuiteLib import measurement, pipeline
from PerfusionSuiteLib.core import QualityFinding


def test_a_fact_that_two_rooms_noticed_is_told_once_and_by_its_gravest_form(a_study):
    mild = QualityFinding("truncated_venous", "info", "The vein is cut.")
    grave = QualityFinding("truncated_venous", "warning", "The vein is cut at 40 % of its peak.")
    other = QualityFinding("motion", "info", "The head moved.")
    masks = dataclasses.replace(a_study.masks, findings=(mild, other))
    lesions = dataclasses.replace(a_study.lesions, findings=(grave,))
    assert pipeline._all_findings(a_study.series, masks, None, lesions) == (grave, other)


def test_who_asks_for_a_tumor_and_gives_none_is_told(a_study):
    settings, inputs = pipeline.Settings(preset="tumor"), pipeline.UserInputs()
    codes = [finding.code for finding in measurement._cautions(a_study.lesions, settings, inputs, "dsc")]
    assert "tumor_not_given" in codes
    given = pipeline.UserInputs(roi_mask=a_study.masks.brain)
    codes = [finding.code for finding in measurement._cautions(a_study.lesions, settings, given, "dsc")]
    assert "tumor_not_given" not in codes
