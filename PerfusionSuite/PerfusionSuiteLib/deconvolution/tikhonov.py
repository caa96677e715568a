# SPDX-License-Identifier: Apache-2.0
"""Tikhonov regularization of the causal convolution, its strength chosen per voxel or fixed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .levels import fraction, noise_limited
from .matrices import causal_matrix, lag_indices
from .problem import Curves, Problem
from .residues import Floats, LinearEstimator, ResidueBlock, ResidueEstimator

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"rule": "lcurve", "strength": 0.1, "strength_min": "auto", "lag_window": (-4.0, 20.0)}
)
"""Rule "lcurve", "gcv" or "fixed"; strength of "fixed" and smallest strength of the others, relative to the largest singular
value ("auto": what the noise of the scan allows, see `levels.noise_limited`; the L-curve finds far too little regularization
in noisy curves by itself); lags in s, of which those from 0 on exist."""

STRENGTHS = np.geomspace(1e-4, 1.0, 60)


def filter_factors(singular: FloatArray, strengths: FloatArray) -> FloatArray:
    """Return the Tikhonov filter.

    Parameters
    ----------
    singular : ndarray, shape (N,)
        Singular values.
    strengths : ndarray, shape (Q,)
        Regularization parameters in the same unit.

    Returns
    -------
    ndarray, shape (N, Q)
        ``s^2 / (s^2 + lambda^2)`` (Calamante et al., MRM 50:1237, 2003).
    """
    return np.asarray(singular[:, None] ** 2 / (singular[:, None] ** 2 + strengths[None] ** 2))


class AdaptiveTikhonov:
    """Tikhonov solution with a strength per voxel.

    The norms of residual and solution at all strengths are two products with the squared coefficients of a curve.

    Parameters
    ----------
    problem : Problem
        Arterial input and grid.
    rule : {"lcurve", "gcv"}
        How the strength is chosen.
    strength_min : float
        Smallest strength, relative to the largest singular value.
    lags : ndarray of int, shape (W,)
        Window of lags.
    """

    def __init__(self, problem: Problem, rule: str, strength_min: float, lags: NDArray[np.int64]) -> None:
        grid = problem.grid
        u, s, vt = np.linalg.svd(causal_matrix(problem.aif_on_grid, grid.interval_s))
        first = int(np.searchsorted(STRENGTHS, strength_min * (1.0 - 1e-9)))
        relative = STRENGTHS[min(first, STRENGTHS.size - 3) :]  # a bend needs three points
        factors = filter_factors(s, relative * s[0])
        inverse = factors / np.maximum(s, 1e-12 * s[0])[:, None]
        self.lags_s = lags * grid.interval_s
        self._rule = rule
        self._project = np.ascontiguousarray((grid.resampling @ u).T, dtype=np.float32)
        self._misfit = np.ascontiguousarray(((1.0 - factors) ** 2).T, dtype=np.float32)
        self._size = np.ascontiguousarray((inverse**2).T, dtype=np.float32)
        self._freedom = (s.size - factors.sum(axis=0)).astype(np.float32)[:, None]
        self._inverse = np.ascontiguousarray(inverse, dtype=np.float32)
        self._synthesis = np.ascontiguousarray(vt.T[lags], dtype=np.float32)

    def __call__(self, curves: Curves) -> ResidueBlock:
        """Return the residues of curves of shape (M, T)."""
        coefficients: Floats = self._project @ curves.T
        power = coefficients**2
        misfit = self._misfit @ power
        if self._rule == "gcv":
            chosen = (misfit / self._freedom**2).argmin(axis=0)
        else:
            chosen = self._corner(misfit, self._size @ power)
        return ResidueBlock(self._synthesis @ (self._inverse[:, chosen] * coefficients))

    def _corner(self, misfit: Floats, size: Floats) -> NDArray[np.intp]:
        """Return where the curve (log residual, log solution) bends most towards the origin."""
        tiny = np.float32(1e-30)
        x, y = np.log(np.maximum(misfit, tiny)), np.log(np.maximum(size, tiny))
        dx, dy = x[2:] - x[:-2], y[2:] - y[:-2]
        ddx, ddy = x[2:] - 2 * x[1:-1] + x[:-2], y[2:] - 2 * y[1:-1] + y[:-2]
        bend = (dx * ddy - ddx * dy) / np.maximum(dx * dx + dy * dy, tiny) ** 1.5
        return np.asarray(bend.argmax(axis=0) + 1)


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
        One matrix for a fixed strength, otherwise a strength for each voxel.

    Raises
    ------
    InvalidInputError
        If the rule does not exist.
    """
    grid, rule = problem.grid, options["rule"]
    if rule not in ("lcurve", "gcv", "fixed"):
        msg = f'The Tikhonov rule must be "lcurve", "gcv" or "fixed", not {rule!r}. Correct the setting.'
        raise InvalidInputError(msg)
    lags = lag_indices(options["lag_window"], grid.interval_s, grid.times_s.size, causal=True)
    u, s, vt = np.linalg.svd(causal_matrix(problem.aif_on_grid, grid.interval_s))

    def operator(strength: float) -> FloatArray:
        factors = filter_factors(s, np.array([strength * s[0]]))[:, 0]
        return np.asarray(grid.resampling @ u @ (vt.T[lags] * (factors / np.maximum(s, 1e-12 * s[0]))).T)

    name = "strength" if rule == "fixed" else "strength_min"
    level = options[name]
    if isinstance(level, str) and level == "auto":
        level = noise_limited(problem, STRENGTHS, operator)
    elif level != 0 or rule == "fixed":
        level = fraction(level, name)
    if rule == "fixed":
        return LinearEstimator(operator(level), lags * grid.interval_s)
    return AdaptiveTikhonov(problem, rule, level, lags)
