# SPDX-License-Identifier: Apache-2.0
import dataclasses

from PerfusionSuiteLib import pipeline
from PerfusionSuiteLib.core import QualityFinding


def test_a_fact_that_two_rooms_noticed_is_told_once_and_by_its_gravest_form(a_study):
    mild = QualityFinding("truncated_venous", "info", "The vein is cut.")
    grave = QualityFinding("truncated_venous", "warning", "The vein is cut at 40 % of its peak.")
    other = QualityFinding("motion", "info", "The head moved.")
    masks = dataclasses.replace(a_study.masks, findings=(mild, other))
    lesions = dataclasses.replace(a_study.lesions, findings=(grave,))
    assert pipeline._all_findings(a_study.series, masks, None, lesions) == (grave, other)
