# SPDX-License-Identifier: Apache-2.0
"""Finds out whether predictors separate two groups, so that maximum likelihood has no finite answer."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from ..core.errors import NumericalError

Separation = Literal["none", "quasi-complete", "complete"]
_TOLERANCE = 1e-7


def separation(design: ArrayLike, positive: ArrayLike) -> Separation:
    """Find out by linear programming whether a plane separates the groups.

    Parameters
    ----------
    design : array-like, shape (n, k)
        Predictors with a column of ones, of full rank and similar scale.
    positive : array-like of bool, shape (n,)
        The outcome.

    Returns
    -------
    {"none", "quasi-complete", "complete"}
        Quasi-complete: some cases lie on the plane, all others on their own side.

    Raises
    ------
    NumericalError
        If the program cannot be solved.

    Notes
    -----
    Estimates are finite exactly when no direction b other than 0 has s_i x_i b >= 0 for all cases, s being +1 with and -1 without
    the outcome. The largest sum of those products within |b_j| <= 1 is 0 when there is none.

    References
    ----------
    Albert and Anderson, Biometrika 71:1, 1984; Konis, DPhil thesis, Oxford, 2007 (linear programs).
    """
    x, truth = np.asarray(design, float), np.asarray(positive, bool)
    signed = np.where(truth, 1.0, -1.0)[:, None] * x
    direction = _solve(-signed.sum(axis=0), -signed, np.zeros(len(x)))
    if float((signed @ direction).sum()) <= _TOLERANCE * len(x):
        return "none"
    # Complete: one direction keeps every case a positive distance away; the last unknown is that distance.
    with_margin = np.column_stack([-signed, np.ones(len(x))])
    margin = _solve(np.append(np.zeros(x.shape[1]), -1.0), with_margin, np.zeros(len(x)))[-1]
    return "complete" if margin > _TOLERANCE else "quasi-complete"


def _solve(cost: np.ndarray, matrix: np.ndarray, limit: np.ndarray) -> np.ndarray:
    found = linprog(cost, A_ub=matrix, b_ub=limit, bounds=(-1.0, 1.0), method="highs")
    if not found.success:
        msg = f"Whether the predictors separate the groups cannot be decided ({found.message}). Leave out extreme values."
        raise NumericalError(msg)
    return np.asarray(found.x, float)
