# SPDX-License-Identifier: Apache-2.0
"""Block-circulant SVD whose truncation is chosen for each voxel by the oscillation of its residue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .levels import fraction, needs_tail
from .matrices import ComplexArray, circulant_spectrum, lag_indices, padding_matrix
from .problem import Curves, Problem
from .residues import ResidueBlock, ResidueEstimator

OPTIONS: Mapping[str, Any] = MappingProxyType({"oi_max": None, "lag_window": (-4.0, 20.0), "extend_tail": "auto"})
"""Largest oscillation index (None: see `default_oi_max`); lags in s that a peak may lie at; tail of truncated curves."""

WEAKEST, STRONGEST = 0.01, 0.95
"""Truncations that are tried, relative to the largest singular value."""


def default_oi_max(length: int) -> float:
    """Return the largest oscillation index of a series of `length` padded samples.

    Parameters
    ----------
    length : int
        Number of samples L after zero padding.

    Returns
    -------
    float
        0.04 + 6 / L. Two sharp edges of a perfect box already have 4 / L, whatever the noise; what noise adds is the
        same for every lag. 0.04 lies between what suits L = 60 (0.03) and L = 322 (0.046). The published 0.035 belongs
        to one long series (Wu et al., MRM 50:164, 2003).
    """
    return 0.04 + 6.0 / length


class OscillationLimited:
    """Prepared oSVD of a scan.

    The Fourier coefficients of a curve are computed once and sorted by the modulus of the AIF's spectrum, so that every
    truncation is a prefix of them; a level costs one product on the voxels that no weaker one solved.

    Parameters
    ----------
    analysis : ndarray, shape (2 M, T), 1/s
        Curve to the coefficients of the residue, largest modulus first.
    synthesis : ndarray, shape (2 M, L)
        Coefficients to the residue.
    prefixes : sequence of int
        Number of coefficients of each level, weakest regularization first.
    oi_max : float
        Largest oscillation index.
    lags : ndarray of int, shape (W,)
        Window of lags.
    interval_s : float, s
        Grid interval.
    """

    def __init__(
        self,
        analysis: FloatArray,
        synthesis: FloatArray,
        prefixes: list[int],
        oi_max: float,
        lags: NDArray[np.int64],
        interval_s: float,
    ) -> None:
        length = synthesis.shape[1]
        bends = synthesis[:, 2:] - 2.0 * synthesis[:, 1:-1] + synthesis[:, :-2]
        self.lags_s = lags * interval_s
        self._analysis = analysis.astype(np.float32)
        self._levels = [
            np.ascontiguousarray(np.concatenate([synthesis[:n], bends[:n]], axis=1).T, dtype=np.float32) for n in prefixes
        ]
        self._length, self._rows, self._limit = length, lags % length, np.float32(oi_max * length)

    def __call__(self, curves: Curves) -> ResidueBlock:
        """Return the residues of curves of shape (M, T)."""
        coefficients = self._analysis @ curves.T
        result = np.empty((self._rows.size, curves.shape[0]), np.float32)
        open_ = np.arange(curves.shape[0])
        # One buffer for all levels: fresh megabytes at every level would cost more in page faults than the product.
        buffer = np.empty(self._levels[0].shape[0] * curves.shape[0], np.float32)
        for number, level in enumerate(self._levels):
            both = buffer[: level.shape[0] * open_.size].reshape(level.shape[0], open_.size)
            np.matmul(level, coefficients[: level.shape[1]], out=both)
            k, bends = both[: self._length], both[self._length :]
            np.abs(bends, out=bends)
            highest = k.max(axis=0)
            solved = (bends.sum(axis=0) <= self._limit * highest) & (highest > 0)
            if number == len(self._levels) - 1:
                solved[:] = True
            if not solved.any():
                continue
            done, left = np.flatnonzero(solved), np.flatnonzero(~solved)
            result[:, open_[done]] = k[self._rows[:, None], done]
            if not left.size:
                break
            open_, coefficients = open_[left], coefficients[:, left]
        return ResidueBlock(result)


def fourier_basis(problem: Problem, padding: FloatArray, spectrum: ComplexArray) -> tuple[FloatArray, FloatArray, list[int]]:
    """Return analysis, synthesis and the prefix lengths of the truncation levels.

    Parameters
    ----------
    problem : Problem
        The grid.
    padding : ndarray, shape (N, L)
        From `padding_matrix`.
    spectrum : ndarray of complex, shape (L // 2 + 1,), s
        From `circulant_spectrum`.

    Returns
    -------
    analysis : ndarray, shape (2 M, T), 1/s
        Real and imaginary parts in turn.
    synthesis : ndarray, shape (2 M, L)
        Their contributions to the residue.
    prefixes : list of int
        Distinct truncations from the weakest to the strongest.
    """
    length = padding.shape[1]
    modulus = np.abs(spectrum) / np.abs(spectrum).max()
    order = np.argsort(-modulus, kind="stable")
    order = order[modulus[order] >= WEAKEST]
    coefficients = (problem.grid.resampling @ np.fft.rfft(padding, axis=1)[:, order]) / spectrum[order]
    analysis = np.stack([coefficients.real, coefficients.imag], axis=2).reshape(problem.times_s.size, -1).T
    twice = np.where((order == 0) | (2 * order == length), 1.0, 2.0) / length
    angle = 2.0 * np.pi * np.outer(order, np.arange(length)) / length
    waves = twice[:, None] * np.stack([np.cos(angle), -np.sin(angle)])
    synthesis = waves.transpose(1, 0, 2).reshape(-1, length)
    counts = {2 * int((modulus >= level).sum()) for level in np.append(np.sort(modulus[modulus >= WEAKEST]), STRONGEST)}
    return analysis, synthesis, sorted((n for n in counts if n > 0), reverse=True)


def prepare(problem: Problem, options: Mapping[str, Any]) -> ResidueEstimator:
    """Make the bases and levels of a scan.

    Parameters
    ----------
    problem : Problem
        Arterial input and grid.
    options : mapping
        See `OPTIONS`.

    Returns
    -------
    ResidueEstimator
        The smallest truncation whose residue has an oscillation index of at most `oi_max`; the strongest if none has.
    """
    grid = problem.grid
    count = grid.times_s.size
    lags = lag_indices(options["lag_window"], grid.interval_s, count, causal=False)
    padding = padding_matrix(count, grid.interval_s, needs_tail(options["extend_tail"], problem))
    spectrum = circulant_spectrum(problem.aif_on_grid, grid.interval_s, padding)
    limit = default_oi_max(2 * count) if options["oi_max"] is None else fraction(options["oi_max"], "oi_max")
    analysis, synthesis, prefixes = fourier_basis(problem, padding, spectrum)
    return OscillationLimited(analysis, synthesis, prefixes, limit, lags, grid.interval_s)
