# SPDX-License-Identifier: Apache-2.0
"""Model fits: a perfusion model is adjusted to the measured curves instead of inverting the convolution."""

from .api import fit
from .artery_error import with_artery_error
from .bayes import FOUND_AT_FILTERED
from .field_file import load_field, save_field
from .field_sampling import fitted_aif, fitted_curves, sample
from .later_part import lacking_share, later_part, sampled_curves, unexplained
from .registry import METHODS, FitMethod
from .sampling_grid import sampling_grid
from .transit_atoms import expected_moments

__all__ = [
    "FOUND_AT_FILTERED",
    "METHODS",
    "FitMethod",
    "expected_moments",
    "fit",
    "fitted_aif",
    "fitted_curves",
    "lacking_share",
    "later_part",
    "load_field",
    "sample",
    "sampled_curves",
    "sampling_grid",
    "save_field",
    "unexplained",
    "with_artery_error",
]
