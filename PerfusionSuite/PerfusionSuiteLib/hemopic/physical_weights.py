# SPDX-License-Identifier: Apache-2.0
"""How much each frame counts, and what single wrong frames may do to a curve."""

from __future__ import annotations

import numpy as np

from ..core.geometry import FloatArray
from .physical_solver import Priors, Solution, Solver, Values, solve
from .physical_surface import Surface

LEAST_FREE = 0.25
"""Frames that the responses fill to more than the rest of this share say too little about noise."""

WEIGHT_RANGE = (0.05, 5.0)
HUBER = 2.0
"""Residuals beyond this many standard deviations count linearly only."""

ROUNDS = 2
_ROWS = 8192


def frame_weights(curves: Values, surface: Surface) -> FloatArray:
    """Estimate the inverse variance of the noise of each frame.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Tissue.
    surface : Surface
        Responses, with equal weights of the frames.

    Returns
    -------
    ndarray, shape (T,)
        Weights of mean 1.

    Notes
    -----
    The logarithm makes noise grow where contrast has taken signal: by ``exp(TE c)``. Instead of trusting a formula (and an echo
    time), the scatter of what no response explains is measured at each frame over many voxels, each in units of its own noise.
    A frame of high leverage, which the responses mostly explain, is corrected by its leverage. Bad frames lose weight as well.
    """
    count = surface.frames.root.size
    if len(curves) < 100:
        return np.ones(count)
    centred = curves - curves.mean(axis=1, keepdims=True)
    left = centred - (centred @ surface.basis.astype(np.float32)) @ surface.basis.T.astype(np.float32)
    own = np.sqrt(np.maximum(np.einsum("nt,nt->n", left, left) / max(surface.frames.freedom - surface.rank, 1), 1e-30))
    scatter = (1.4826 * np.median(np.abs(left / own[:, None]), axis=0)) ** 2
    free = 1.0 - (surface.basis**2).sum(axis=1) - 1.0 / count
    known = free > LEAST_FREE
    variance = np.full(count, np.nan)
    variance[known] = scatter[known] / free[known]
    places = np.arange(count)
    variance = np.interp(places, places[known], variance[known]) if known.sum() >= 3 else np.ones(count)
    weights: FloatArray = np.clip(np.median(variance) / np.maximum(variance, 1e-6), *WEIGHT_RANGE)
    weights /= weights.mean()
    return weights


def robust_fit(curves: Values, solver: Solver, variance: Values, priors: Priors, first: Solution) -> Solution:
    """Fit again with residuals of single frames drawn in to twice their standard deviation.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement.
    solver : Solver
        Responses.
    variance : ndarray, shape (n,)
        Noise variance of each curve.
    priors : Priors
        Of each curve.
    first : Solution
        Fits to begin with.

    Returns
    -------
    Solution
        Robust fits.

    References
    ----------
    Huber and Ronchetti, Robust Statistics, 2nd edition (2009), section 7.8: modified residuals.
    """
    surface, solution = solver.surface, first
    basis = surface.basis.astype(np.float32)
    few = np.empty((len(curves), surface.rank), np.float32)
    for _ in range(ROUNDS):
        for start in range(0, len(curves), _ROWS):
            here = slice(start, min(start + _ROWS, len(curves)))
            part = curves[here]
            mean = part @ surface.frames.share.astype(np.float32)
            weighted = (part - mean[:, None]) * surface.frames.root.astype(np.float32)
            xp = surface.arrays
            found = xp.take(surface.look(xp.put(solution.centre_s[here]), xp.put(solution.log_mtt[here])))
            model = (found[:, : surface.rank] * solution.volume[here, None]) @ basis.T
            limit = HUBER * np.sqrt(variance[here])[:, None]
            few[here] = (model + np.clip(weighted - model, -limit, limit)) @ basis
        solution = solve(solver, few, variance, priors, start=(solution.centre_s, solution.log_mtt))
    return solution
