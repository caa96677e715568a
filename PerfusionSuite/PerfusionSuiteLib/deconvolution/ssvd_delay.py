# SPDX-License-Identifier: Apache-2.0
"""Truncated SVD after the AIF was moved to each voxel's own arrival."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .box import DELAY_RANGE_S, BoxRegression
from .levels import truncation_level
from .matrices import lag_indices
from .problem import Curves, Problem
from .residues import Floats, ResidueBlock, ResidueEstimator
from .ssvd import causal_inverse
from .timegrid import spline_on_grid

OPTIONS: Mapping[str, Any] = MappingProxyType({"truncation": 0.2, "lag_window": (-4.0, 20.0)})
"""Truncation relative to the largest singular value; lags in s after the voxel's own arrival."""

MTT_RANGE_S = (1.5, 30.0)
"""Shorter boxes are below what frames of 1 to 2 s resolve; without a lower limit noise would choose them and move the delay."""

DELAY_STEP_S = 0.5


class DelayCorrected:
    """One causal operator for each delay, and the regression that tells a voxel's delay.

    Parameters
    ----------
    problem : Problem
        Arterial input and grid.
    options : mapping
        See `OPTIONS`.
    """

    def __init__(self, problem: Problem, options: Mapping[str, Any]) -> None:
        grid = problem.grid
        lags = lag_indices(options["lag_window"], grid.interval_s, grid.times_s.size, causal=True)
        self.lags_s = lags * grid.interval_s
        self._box = BoxRegression(problem.times_s, problem.aif, mtt_range_s=MTT_RANGE_S)
        first, last = (round(edge / DELAY_STEP_S) for edge in DELAY_RANGE_S)
        self._first = first

        def operator(delay: float, level: float) -> Floats:
            moved = spline_on_grid(problem.times_s, problem.aif, grid.times_s - delay)
            inverse = causal_inverse(moved, grid.interval_s, level)
            return np.ascontiguousarray((grid.resampling @ inverse.T[:, lags]).T, dtype=np.float32)

        level = truncation_level(options["truncation"], problem, lambda value: operator(0.0, value).T.astype(np.float64))
        self._operators = [operator(DELAY_STEP_S * number, level) for number in range(first, last + 1)]

    def __call__(self, curves: Curves) -> ResidueBlock:
        """Return the residues of curves of shape (M, T)."""
        fit = self._box.fit(curves)
        group = np.nan_to_num(np.rint(fit.start_s / DELAY_STEP_S)).astype(np.int64) - self._first
        k = np.empty((self.lags_s.size, curves.shape[0]), np.float32)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(len(self._operators) + 1))
        for number, operator in enumerate(self._operators):
            members = order[bounds[number] : bounds[number + 1]]
            if members.size:
                k[:, members] = operator @ curves[members].T
        shift = (group + self._first).astype(np.float32) * np.float32(DELAY_STEP_S)
        return ResidueBlock(k, shift, fit.start_s)


def prepare(problem: Problem, options: Mapping[str, Any]) -> ResidueEstimator:
    """Make the operators of a scan.

    Parameters
    ----------
    problem : Problem
        Arterial input and grid.
    options : mapping
        See `OPTIONS`.

    Returns
    -------
    ResidueEstimator
        Delay by box regression, rounded to 0.5 s; then sSVD with the AIF moved by it.
    """
    return DelayCorrected(problem, options)
