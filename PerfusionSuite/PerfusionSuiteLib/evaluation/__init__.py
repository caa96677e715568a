# SPDX-License-Identifier: Apache-2.0
"""How good results are: overlap of masks, errors of maps, agreement with a known truth, and the study that measures methods."""

from .against_truth import as_rows, as_text, score_study
from .conditions import GRIDS, Condition, one_at_a_time
from .curves import area_error, curve_error, voxel_shares
from .errors import bland_altman, map_errors
from .head_pose import seen_truth
from .overlap import dice, overlap, surface_distances
from .patient_rows import patient_rows, residue_class
from .report import StudyFiles, agreement_text, write_agreement, write_study
from .study import Design, run_study
from .targets import TARGETS, judge

__all__ = [
    "GRIDS",
    "TARGETS",
    "Condition",
    "Design",
    "StudyFiles",
    "agreement_text",
    "area_error",
    "as_rows",
    "as_text",
    "bland_altman",
    "curve_error",
    "dice",
    "judge",
    "map_errors",
    "one_at_a_time",
    "overlap",
    "patient_rows",
    "residue_class",
    "run_study",
    "score_study",
    "seen_truth",
    "surface_distances",
    "voxel_shares",
    "write_agreement",
    "write_study",
]
