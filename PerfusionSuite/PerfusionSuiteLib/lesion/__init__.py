# SPDX-License-Identifier: Apache-2.0
"""Lesions from perfusion maps: thresholds, mid-sagittal plane, normal reference, volumes and indices."""

from .asl_report import asl_metrics, asl_regions
from .diffusion import adc_map
from .edited import EDITABLE, edited_preset, thresholds_from_json, thresholds_from_words
from .flow_asymmetry import LOW_FLOW_PERCENT, FlowAsymmetry, low_flow
from .follow_up import FollowUp, follow_up_change
from .midline import Midplane, check_midplane, estimate_midplane, mirror, side_distance
from .presets import PRESETS, TMAX_OFFSET_S, Preset, find_preset
from .reference import SIDES
from .report import metrics
from .segmentation import segment
from .trials import trial_criteria
from .white_matter import scale_to_white_matter, tumor_blood_volume, white_matter

__all__ = [
    "EDITABLE",
    "LOW_FLOW_PERCENT",
    "PRESETS",
    "SIDES",
    "TMAX_OFFSET_S",
    "FlowAsymmetry",
    "FollowUp",
    "Midplane",
    "Preset",
    "adc_map",
    "asl_metrics",
    "asl_regions",
    "check_midplane",
    "edited_preset",
    "estimate_midplane",
    "find_preset",
    "follow_up_change",
    "low_flow",
    "metrics",
    "mirror",
    "scale_to_white_matter",
    "segment",
    "side_distance",
    "thresholds_from_json",
    "thresholds_from_words",
    "trial_criteria",
    "tumor_blood_volume",
    "white_matter",
]
