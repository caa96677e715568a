# SPDX-License-Identifier: Apache-2.0
"""Why a voxel of an ASL map has no value, or a doubtful one: the codes of the `quality` map."""

from __future__ import annotations

from enum import IntEnum


class AslQuality(IntEnum):
    """Reason codes of a voxel; 0 where all is well."""

    OK = 0
    OUTSIDE_MASK = 1
    """Not asked for."""
    NOT_FINITE = 2
    """A difference image is missing or infinite here; all maps are NaN."""
    NO_SIGNAL = 3
    """Control minus label is not positive at any arrival time: flow is 0, the arrival time NaN."""
    EARLY_ARRIVAL = 4
    """All label arrived before the first picture: its arrival can only be told to be earlier; the flow is good."""
    AT_BOUND = 5
    """The arrival time lies at the late end of its range: flow is a lower limit."""
    UNCERTAIN = 6
    """The standard error of the flow exceeds half of the flow."""
    NO_CALIBRATION = 7
    """M0 is missing or near zero here; all maps are NaN."""
