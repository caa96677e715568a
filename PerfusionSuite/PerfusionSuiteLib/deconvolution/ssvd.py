# SPDX-License-Identifier: Apache-2.0
"""Standard truncated SVD of the causal convolution matrix."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.geometry import FloatArray
from .levels import truncation_level
from .matrices import causal_matrix, lag_indices
from .problem import Problem
from .residues import LinearEstimator, ResidueEstimator

OPTIONS: Mapping[str, Any] = MappingProxyType({"truncation": 0.2, "lag_window": (-4.0, 20.0)})
"""Truncation relative to the largest singular value (or "auto"); lags in s, of which only those from 0 on exist here."""


def causal_inverse(aif: FloatArray, interval_s: float, truncation: float) -> FloatArray:
    """Return the truncated pseudo-inverse of the causal matrix.

    Parameters
    ----------
    aif : ndarray, shape (N,)
        Arterial input on a uniform grid.
    interval_s : float, s
        Grid interval.
    truncation : float
        Singular values below this fraction of the largest are dropped.

    Returns
    -------
    ndarray, shape (N, N), 1/s
        ``k = inverse @ tissue`` (Østergaard et al., MRM 36:715, 1996).
    """
    u, s, vt = np.linalg.svd(causal_matrix(aif, interval_s))
    keep = s >= truncation * s[0]
    return np.asarray((vt[keep].T / s[keep]) @ u[:, keep].T)


def prepare(problem: Problem, options: Mapping[str, Any]) -> ResidueEstimator:
    """Make the operator of a scan.

    Parameters
    ----------
    problem : Problem
        Arterial input and grid.
    options : mapping
        See `OPTIONS`.

    Returns
    -------
    ResidueEstimator
        One matrix for all voxels.
    """
    grid = problem.grid
    lags = lag_indices(options["lag_window"], grid.interval_s, grid.times_s.size, causal=True)

    def operator(level: float) -> FloatArray:
        inverse = causal_inverse(problem.aif_on_grid, grid.interval_s, level)
        return np.asarray(grid.resampling @ inverse.T[:, lags])

    level = truncation_level(options["truncation"], problem, operator)
    return LinearEstimator(operator(level), lags * grid.interval_s)
