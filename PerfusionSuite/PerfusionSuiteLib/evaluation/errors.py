# SPDX-License-Identifier: Apache-2.0
"""How far a map is from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError

_MIN_VALUES = 2


def map_errors(estimate: NDArray[Any], truth: NDArray[Any], mask: NDArray[Any] | None = None) -> dict[str, float | int | None]:
    """Compare a map with the truth within a mask.

    Parameters
    ----------
    estimate, truth : ndarray, any equal shape
        Values; places where either is not finite are left out and counted.
    mask : ndarray of bool, optional
        Where to compare.

    Returns
    -------
    dict
        ``n missing_percent bias mae rmse nrmse correlation slope concordance`` and the Bland-Altman
        numbers ``sd limits_low limits_high``; in the unit of the map, None where a number does not exist.
        ``nrmse`` is relative to the mean of the truth, ``slope`` that of the estimate over the truth.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """
    a, b, asked = _compared(estimate, truth, mask)
    names = ("bias", "mae", "rmse", "nrmse", "correlation", "slope", "concordance", "sd", "limits_low", "limits_high")
    result: dict[str, float | int | None] = {
        "n": int(a.size),
        "missing_percent": 100.0 * (asked - a.size) / asked if asked else None,
        **dict.fromkeys(names),
    }
    if a.size < _MIN_VALUES:
        return result
    difference = a - b
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    rmse, mean_truth = float(np.sqrt((difference**2).mean())), float(b.mean())
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    var_a, var_b = float(a.var()), float(b.var())
    spread = var_a + var_b + (float(a.mean()) - mean_truth) ** 2
    return result | {
        "bias": bias,
        "mae": float(np.abs(difference).mean()),
        "rmse": rmse,
        "nrmse": rmse / abs(mean_truth) if mean_truth else None,
        "correlation": covariance / float(np.sqrt(var_a * var_b)) if var_a > 0 and var_b > 0 else None,
        "slope": covariance / var_b if var_b > 0 else None,
        "concordance": 2.0 * covariance / spread if spread > 0 else None,
        "sd": sd,
        "limits_low": bias - 1.96 * sd,
        "limits_high": bias + 1.96 * sd,
    }


def bland_altman(estimate: NDArray[Any], truth: NDArray[Any], mask: NDArray[Any] | None = None) -> dict[str, float | int | None]:
    """Return bias and limits of agreement (Bland and Altman, Lancet 1:307, 1986).

    Parameters
    ----------
    estimate, truth, mask
        As for `map_errors`.

    Returns
    -------
    dict
        ``n bias sd limits_low limits_high``.
    """
    numbers = map_errors(estimate, truth, mask)
    return {key: numbers[key] for key in ("n", "bias", "sd", "limits_low", "limits_high")}


def _compared(
    estimate: NDArray[Any], truth: NDArray[Any], mask: NDArray[Any] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    a, b = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    where = np.ones(a.shape, bool) if mask is None else np.asarray(mask, bool)
    if a.shape != b.shape or where.shape != a.shape:
        msg = f"Values of shape {a.shape}, truth of {b.shape} and a mask of {where.shape} cannot be compared. Use one grid."
        raise GridMismatchError(msg)
    valid = where & np.isfinite(a) & np.isfinite(b)
    return a[valid], b[valid], int((where & np.isfinite(b)).sum())
