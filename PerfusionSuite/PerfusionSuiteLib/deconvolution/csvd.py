# SPDX-License-Identifier: Apache-2.0
"""Block-circulant SVD, made by Fourier transform: the residue may begin before the AIF arrives."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.geometry import FloatArray
from .levels import needs_tail, truncation_level
from .matrices import circulant_spectrum, lag_indices, padding_matrix
from .problem import Problem
from .residues import LinearEstimator, ResidueEstimator

OPTIONS: Mapping[str, Any] = MappingProxyType({"truncation": 0.1, "lag_window": (-4.0, 20.0), "extend_tail": "auto"})
"""Truncation relative to the largest singular value (or "auto"); lags in s that a peak may lie at; tail of truncated curves."""


def circulant_operator(problem: Problem, padding: FloatArray, truncation: float) -> FloatArray:
    """Return the truncated block-circulant inverse for measured samples.

    Parameters
    ----------
    problem : Problem
        Arterial input and grid.
    padding : ndarray, shape (N, L)
        From `padding_matrix`.
    truncation : float
        Modes whose modulus is below this fraction of the largest are dropped.

    Returns
    -------
    ndarray, shape (T, L), 1/s
        ``k = curve @ operator`` over all L lags, negative ones at the end (Wu et al., MRM 50:164, 2003).
    """
    spectrum = circulant_spectrum(problem.aif_on_grid, problem.grid.interval_s, padding)
    modulus = np.abs(spectrum)
    keep = modulus >= truncation * modulus.max()
    inverse = np.zeros_like(spectrum)
    inverse[keep] = 1.0 / spectrum[keep]
    length = padding.shape[1]
    return problem.grid.resampling @ np.fft.irfft(np.fft.rfft(padding, axis=1) * inverse, n=length, axis=1)


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
        One thin matrix for all voxels: only the lags of the window are computed.
    """
    grid = problem.grid
    count = grid.times_s.size
    lags = lag_indices(options["lag_window"], grid.interval_s, count, causal=False)
    padding = padding_matrix(count, grid.interval_s, needs_tail(options["extend_tail"], problem))

    def operator(level: float) -> FloatArray:
        return circulant_operator(problem, padding, level)[:, lags % (2 * count)]

    level = truncation_level(options["truncation"], problem, operator)
    return LinearEstimator(operator(level), lags * grid.interval_s)
