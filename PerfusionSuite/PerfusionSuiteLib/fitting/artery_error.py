# SPDX-License-Identifier: Apache-2.0
"""How well an arterial input is known, which no curve of tissue can tell: a factor of all flow, a shift of all Tmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInputError
from ..core.values import InputFunction

OPTION = "artery_error"
EXACT = (0.0, 0.0)

USUAL, DOUBTFUL = (0.12, 0.3), (0.35, 0.7)
"""Standard deviations of flow (share) and Tmax (s) that an artery measured in the scan adds: its area is wrong, and it lies
behind or beside the vessel that truly feeds the tissue. Read off development patients (automatic artery, 4 HU, 1.15 mm) as
what 68 % intervals of spatial lacked (13 scans of the seeds 201 to 215, boxes and exponentials: medians of 67 and 67 % for flow
and Tmax; 0.15 gave 75 % of flow), for doubtful arteries some of seeds below 100."""

DOUBTS = frozenset(
    {
        "aif_uncertain",
        "aif_unlike_tissue",
        "aif_scaled_large",
        "aif_weak",
        "aif_late",
        "aif_saturated",
        "absolute_values_unreliable",
    }
)
"""Findings of an arterial input after which it counts as doubtful."""


def artery_error(aif: InputFunction) -> tuple[float, float]:
    """Say how well an arterial input that was measured in a scan is known.

    Parameters
    ----------
    aif : InputFunction
        With its findings.

    Returns
    -------
    tuple of float
        Standard deviations: of flow as a share, of Tmax in s.
    """
    return DOUBTFUL if DOUBTS & {finding.code for finding in aif.findings} else USUAL


def with_artery_error(known: Mapping[str, Any], settings: Mapping[str, Any], aif: InputFunction) -> dict[str, Any]:
    """Add the option `artery_error` to the settings of a method that has it, unless it was given.

    Parameters
    ----------
    known : mapping
        All options of the method.
    settings : mapping
        Settings that differ from the defaults.
    aif : InputFunction
        The arterial input of the scan.

    Returns
    -------
    dict
        Settings.
    """
    added = {OPTION: artery_error(aif)} if OPTION in known else {}
    return {**added, **settings}


def checked_error(value: Any) -> tuple[float, float]:
    """Check the option `artery_error`.

    Parameters
    ----------
    value : sequence of float
        Share and seconds.

    Returns
    -------
    tuple of float
        The same.

    Raises
    ------
    InvalidInputError
        If it is something else.
    """
    try:
        found = [float(number) for number in value]
    except (TypeError, ValueError):
        found = []
    if len(found) != 2 or not all(0.0 <= number <= 10.0 for number in found):
        msg = f"artery_error must be a share of flow and a time in s, both from 0 to 10, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return found[0], found[1]
