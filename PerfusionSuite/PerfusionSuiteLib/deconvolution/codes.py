# SPDX-License-Identifier: Apache-2.0
"""Why a voxel has no value, or a doubtful one: the codes of the `quality` map that every method returns."""

from __future__ import annotations

from enum import IntEnum


class QualityCode(IntEnum):
    """Reason codes of a voxel; 0 where all is well."""

    OK = 0
    OUTSIDE_MASK = 1
    """Not asked for."""
    NOT_FINITE = 2
    """The curve has missing or infinite samples; all maps are NaN."""
    NO_ENHANCEMENT = 3
    """The curve never rises (no positive flow was found); flow, transit time and times are NaN."""
    LOW_FLOW = 4
    """Flow is below a thousandth of the median; the transit time is NaN."""
    AT_BOUND = 5
    """A fitted parameter stopped at its bound; the parameters are NaN."""
    POOR_FIT = 6
    """The model explains too little of the curve; the parameters are NaN."""
    LOW_SNR = 7
    """The fitted curve rises less than three standard deviations of the noise; the parameters are NaN."""
    NOT_CONVERGED = 8
    """The fit was still moving when it was stopped; the parameters are NaN."""
