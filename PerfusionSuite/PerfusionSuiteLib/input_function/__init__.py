# SPDX-License-Identifier: Apache-2.0
"""Arterial input and venous output: automatic choice, choice by hand, files, partial-volume scaling, gamma variate."""

from . import gamma_variate
from .alike_arteries import shared_course
from .manual import from_click, from_mask, from_points, from_voxels
from .quality import describe
from .scaling import area_ratio, scale_to_vof
from .selection import METHODS, aif_candidates, select_aif
from .tables import from_csv, to_csv
from .venous import select_vof

__all__ = [
    "METHODS",
    "aif_candidates",
    "area_ratio",
    "describe",
    "from_click",
    "from_csv",
    "from_mask",
    "from_points",
    "from_voxels",
    "gamma_variate",
    "scale_to_vof",
    "select_aif",
    "select_vof",
    "shared_course",
    "to_csv",
]
