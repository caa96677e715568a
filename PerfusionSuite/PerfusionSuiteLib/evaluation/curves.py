# SPDX-License-Identifier: Apache-2.0
"""How good a vascular curve is: its shape against the true one, and what its voxels are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHIFTS_S = np.linspace(-1.0, 4.0, 51)
"""Arrival at the chosen artery after the true one that is no error: perfusion is measured from the artery on."""


def curve_error(times_s: ArrayLike, values: ArrayLike, true_times_s: ArrayLike, true_values: ArrayLike) -> tuple[float, float]:
    """Compare a curve with the true one, whatever its arrival.

    Parameters
    ----------
    times_s, values : array-like, shape (T,)
        The curve, s and HU (or 1/s).
    true_times_s, true_values : array-like, shape (F,)
        The true one, the finer the better.

    Returns
    -------
    error : float
        Root-mean-square difference over the root mean square of the true curve, at the best shift.
    shift_s : float, s
        That shift; positive when the curve arrives later.
    """
    t, c = np.asarray(times_s, float), np.asarray(values, float)
    shifted = np.interp(t[None, :] - SHIFTS_S[:, None], np.asarray(true_times_s, float), np.asarray(true_values, float))
    power = np.sqrt((shifted**2).mean(axis=1))
    if not power.min() > 0:
        return float("nan"), 0.0
    errors = np.sqrt(((c - shifted) ** 2).mean(axis=1)) / power
    at = int(errors.argmin())
    return float(errors[at]), float(SHIFTS_S[at])


def area_error(times_s: ArrayLike, values: ArrayLike, true_times_s: ArrayLike, true_values: ArrayLike) -> float:
    """Return how much the area of a curve exceeds that of the true one over the same times.

    Parameters
    ----------
    times_s, values, true_times_s, true_values
        As for `curve_error`.

    Returns
    -------
    float
        Area over true area, minus 1; NaN without a true curve.
    """
    t = np.asarray(times_s, float)
    known = float(np.trapezoid(np.interp(t, np.asarray(true_times_s, float), np.asarray(true_values, float)), t))
    return float(np.trapezoid(np.asarray(values, float), t)) / known - 1.0 if known else float("nan")


def voxel_shares(voxels: NDArray[Any], fractions: Any) -> tuple[float, float]:
    """Return how arterial the chosen voxels are.

    Parameters
    ----------
    voxels : ndarray of int, shape (n, 3)
        Where the curve was measured.
    fractions : mapping of str to ndarray, shape (I, J, K)
        True volume fractions ``artery`` and ``vein``.

    Returns
    -------
    least_artery : float
        Smallest arterial fraction of a voxel.
    most_vein : float
        Largest venous one; both NaN for a curve without voxels.
    """
    if len(voxels) == 0:
        return float("nan"), float("nan")
    where = tuple(np.asarray(voxels).T)
    return float(np.asarray(fractions["artery"])[where].min()), float(np.asarray(fractions["vein"])[where].max())
