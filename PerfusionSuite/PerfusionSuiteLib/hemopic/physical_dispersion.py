# SPDX-License-Identifier: Apache-2.0
"""Dispersion of each voxel: which share of its delay is a spread of the bolus rather than a shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.progress import ProgressCallback
from .physical_arrays import Arrays
from .physical_maps import VoxelFit
from .physical_response import Response
from .physical_settings import DISPERSIONS
from .physical_solver import Solution, Solver, Values, negative_log_posterior, solve
from .physical_surface import Surface, tabulate

LEAST_GAIN = 1.0
"""Log posterior by which a share must beat none: one more parameter that pays."""


def with_dispersion(curves: Values, fit: VoxelFit, arrays: Arrays, progress: ProgressCallback) -> VoxelFit:
    """Fit voxels again behind vessels that spread the bolus, and keep for each voxel the share that explains it best.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement.
    fit : VoxelFit
        Fits without dispersion.
    arrays : Arrays
        Library that computes.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    VoxelFit
        The best fits, with `dispersion` for each voxel. Standard errors are those at the chosen share.
    """
    surface = fit.solver.surface
    without = surface.nodes.response
    best = negative_log_posterior(fit.solution, fit.variance, fit.priors, surface.centre_share, fit.rest) - LEAST_GAIN
    solution, rest = fit.solution, fit.rest
    shares = np.zeros(len(curves), np.float32)
    others = [share for share in DISPERSIONS if share > 0.0]
    for n, share in enumerate(others):
        progress(n / len(others), "Dispersion")
        response = Response(without.times_s, without.source, without.residue, share)
        solver = Solver(Surface(tabulate(response), surface.frames, arrays, surface.rank))
        few, other_rest = solver.surface.compress(curves)
        found = solve(solver, few, fit.variance, fit.priors, start=(fit.solution.centre_s, fit.solution.log_mtt))
        value = negative_log_posterior(found, fit.variance, fit.priors, surface.centre_share, other_rest)
        better: NDArray[np.bool_] = value < best
        best, shares = np.where(better, value, best), np.where(better, np.float32(share), shares)
        solution, rest = _chosen(better, found, solution), np.where(better, other_rest, rest)
    return replace(fit, solution=solution, rest=rest, dispersion=shares)


def _chosen(better: NDArray[np.bool_], a: Solution, b: Solution) -> Solution:
    """Take the rows of `a` where it is better."""
    parts = {name: (getattr(a, name), getattr(b, name)) for name in Solution.__slots__}
    return Solution(**{k: np.where(better if x.ndim == 1 else better[:, None], x, y) for k, (x, y) in parts.items()})
