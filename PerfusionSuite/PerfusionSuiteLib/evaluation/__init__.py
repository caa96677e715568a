# SPDX-License-Identifier: Apache-2.0
"""How good results are: overlap of masks, errors of maps, agreement with a known truth."""

from .against_truth import as_rows, as_text, score_study
from .errors import bland_altman, map_errors
from .overlap import dice, overlap, surface_distances

__all__ = ["as_rows", "as_text", "bland_altman", "dice", "map_errors", "overlap", "score_study", "surface_distances"]
