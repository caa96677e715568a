# SPDX-License-Identifier: Apache-2.0
"""How noisy the data are, read from the data themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES = 200_000


def noise_sd(curves: NDArray[np.float32], baseline_frames: int, lag: int = 1) -> float:
    """Estimate the noise of one voxel and frame.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves of tissue voxels, not smoothed.
    baseline_frames : int
        Frames before contrast; with fewer than three all frames are used, where the bolus hardly bends a tissue curve.
    lag : int
        Distance in frames of the samples that are compared; more than one for data that were interpolated in time.

    Returns
    -------
    float
        Standard deviation; NaN without data.

    Notes
    -----
    Second differences ``x[t-1] - 2 x[t] + x[t+1]`` have the variance ``6 sigma^2`` and do not see a baseline or a drift. Their
    MAD sets a cut at 4 SD, within which the root mean square is taken: as robust, but not quantised by data in whole HU.
    """
    total = curves.shape[1]
    used = baseline_frames if baseline_frames >= 3 else total
    step = max(1, min(lag, (used - 1) // 2))
    stride = max(1, curves.shape[0] // MAX_SAMPLES)
    part = curves[::stride, :used].astype(np.float64)
    if not part.size or used < 3:
        return float("nan")
    second = (part[:, : -2 * step] - 2.0 * part[:, step:-step] + part[:, 2 * step :]).ravel()
    second = second - np.median(second)
    spread = 1.4826 * float(np.median(np.abs(second)))
    kept = second[np.abs(second) <= 4.0 * spread] if spread > 0 else second
    return float(np.sqrt(np.mean(kept**2) / 6.0))


def baseline_autocovariance(curves: NDArray[np.float32], baseline_frames: int) -> NDArray[np.float64]:
    """Estimate variance and temporal correlation of the noise from frames before contrast.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Curves of tissue voxels.
    baseline_frames : int
        Frames before contrast; with fewer than three, second differences over all frames give the variance alone.

    Returns
    -------
    ndarray, shape (L,)
        Autocovariance at lags 0, 1, ... (at most 3); later lags are taken as uncorrelated.

    Notes
    -----
    From the variogram ``g(l) = mean (x[t+l] - x[t])^2 / 2``, which needs no mean of a short baseline: the variance is its value
    at the largest lag, the covariance at lag l what is missing from it.
    """
    if baseline_frames < 3:
        return np.array([noise_sd(curves, baseline_frames) ** 2])
    stride = max(1, curves.shape[0] // MAX_SAMPLES)
    part = curves[::stride, :baseline_frames].astype(np.float64)
    lags = range(1, min(4, baseline_frames - 1) + 1)
    variogram = np.array([0.5 * _trimmed_mean_square(part[:, lag:] - part[:, :-lag]) for lag in lags])
    variance = float(variogram[-2:].mean())
    covariance = np.concatenate([[variance], variance - variogram[:-2]]) if len(lags) > 2 else np.array([variance])
    covariance[1:][np.abs(covariance[1:]) < 0.1 * variance] = 0.0  # not distinguishable from white noise
    return covariance


def _trimmed_mean_square(values: NDArray[np.float64]) -> float:
    """Mean square without outliers beyond 4 robust standard deviations."""
    spread = 1.4826 * float(np.median(np.abs(values)))
    kept = values[np.abs(values) <= 4.0 * spread] if spread > 0 else values
    return float(np.mean(kept**2))
