# SPDX-License-Identifier: Apache-2.0
"""From a raw series to enhancement curves: times, motion, masks, baseline, noise."""

from .arrival import arrival_time
from .dsc_chain import LEAKAGE, PreparedDsc, prepare_dsc
from .enhancement import ct_concentration
from .gray_matter import gray_share
from .masks import tissue_masks
from .motion import correct_motion
from .motion_leaks import without_leaks
from .noise import noise_sd
from .residual_motion import motion_courses, without_courses
from .smoothing import NOISE_METHODS, NoiseMethod, reduce_noise, smoothed_curves
from .timing import common_times, regular_times

__all__ = [
    "LEAKAGE",
    "NOISE_METHODS",
    "NoiseMethod",
    "PreparedDsc",
    "arrival_time",
    "common_times",
    "correct_motion",
    "ct_concentration",
    "gray_share",
    "motion_courses",
    "noise_sd",
    "prepare_dsc",
    "reduce_noise",
    "regular_times",
    "smoothed_curves",
    "tissue_masks",
    "without_courses",
    "without_leaks",
]
