# SPDX-License-Identifier: Apache-2.0
"""Lesions from perfusion maps: thresholds, mid-sagittal plane, normal reference, volumes and indices."""

from .follow_up import follow_up_change
from .midline import Midplane, estimate_midplane, mirror, side_distance
from .presets import PRESETS, TMAX_OFFSET_S, Preset, find_preset
from .report import metrics
from .segmentation import segment
from .trials import trial_criteria

__all__ = [
    "PRESETS",
    "TMAX_OFFSET_S",
    "Midplane",
    "Preset",
    "estimate_midplane",
    "find_preset",
    "follow_up_change",
    "metrics",
    "mirror",
    "segment",
    "side_distance",
    "trial_criteria",
]
