# SPDX-License-Identifier: Apache-2.0
"""When gray and white matter may have a residue each."""

from __future__ import annotations

from ..core.geometry import BoolArray

PURE = 0.75
"""Share of gray or of white matter from which on a curve speaks for its tissue."""

LEAST_CURVES, LEAST_SEEN = 300, 0.5
"""A tissue chooses for itself if it has so many curves, and if at least this share of them stands out of the noise: the few that
do where most do not are those that vessels or the other tissue brighten."""


def may_choose(stands_out: BoolArray) -> bool:
    """Say whether the curves of a tissue can tell its residue.

    Parameters
    ----------
    stands_out : ndarray of bool, shape (n,)
        Which of them stand out of the noise.

    Returns
    -------
    bool
        If there are enough.
    """
    return int(stands_out.sum()) >= LEAST_CURVES and float(stands_out.mean()) >= LEAST_SEEN
