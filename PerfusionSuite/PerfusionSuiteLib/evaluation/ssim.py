# SPDX-License-Identifier: Apache-2.0
"""Structural similarity of two maps, slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter, uniform_filter

WINDOW = 7
RANGE_PERCENTILE = 99.5
_K1, _K2 = 0.01, 0.03


def ssim(estimate: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Return the mean structural similarity over all in-plane windows that lie within a mask.

    Parameters
    ----------
    estimate, truth : ndarray, shape (I, J, K)
        Maps; what the estimate leaves out (NaN) counts as 0, as it is displayed.
    mask : ndarray of bool, shape (I, J, K)
        Where the truth is known.

    Returns
    -------
    float
        1 for equal maps; NaN when no window fits into the mask. The range of values is the 99.5th percentile of the truth.

    References
    ----------
    Wang et al., IEEE Trans Image Process 13:600 (2004), equation 13, with uniform windows of 7 x 7 voxels and unbiased variances.
    """
    known = mask & np.isfinite(truth)
    fits = minimum_filter(known.astype(np.uint8), (WINDOW, WINDOW, 1), mode="constant").astype(bool)
    if not fits.any():
        return float("nan")
    a = np.where(known & np.isfinite(estimate), estimate, 0.0).astype(np.float64)
    b = np.where(known, truth, 0.0).astype(np.float64)
    top = float(np.percentile(b[known], RANGE_PERCENTILE))
    c1, c2 = (_K1 * top) ** 2, (_K2 * top) ** 2
    mean_a, mean_b = _mean(a), _mean(b)
    unbiased = WINDOW**2 / (WINDOW**2 - 1.0)
    var_a, var_b = (unbiased * (_mean(x * x) - m * m) for x, m in ((a, mean_a), (b, mean_b)))
    shared = unbiased * (_mean(a * b) - mean_a * mean_b)
    score = ((2.0 * mean_a * mean_b + c1) * (2.0 * shared + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(score[fits].mean())


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(uniform_filter(values, (WINDOW, WINDOW, 1), mode="constant"))
