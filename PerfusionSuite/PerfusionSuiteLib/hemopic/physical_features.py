# SPDX-License-Identifier: Apache-2.0
"""What can be read off a curve without any model: height, times, width, area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from ..deconvolution.timegrid import trapezoid_weights

BLOCK = 16384
BASE_SHARE = 0.3
"""Moments of the first pass are taken of what rises above this share of the peak."""

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CurveFeatures:
    """Numbers of each curve.

    Parameters
    ----------
    peak : ndarray, shape (n,)
        Maximum of the curve, smoothed over three frames.
    ttp_s : ndarray, shape (n,), s
        Its time.
    area : ndarray, shape (n,)
        Area of the curve.
    mean_s, width_s : ndarray, shape (n,), s
        First moment, and root of the second central moment, of the first pass.
    """

    peak: Values
    ttp_s: Values
    area: Values
    mean_s: Values
    width_s: Values


def curve_features(curves: NDArray[Any], times_s: FloatArray) -> CurveFeatures:
    """Read the features off curves.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement.
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    CurveFeatures
        One number of each kind per curve.
    """
    count = curves.shape[0]
    found = np.empty((5, count), np.float32)
    widths = trapezoid_weights(times_s)
    weights, at, squared = (a.astype(np.float32) for a in (widths, widths * times_s, widths * times_s**2))
    for start in range(0, count, BLOCK):
        here = slice(start, min(start + BLOCK, count))
        part = np.asarray(curves[here], np.float32)
        padded = np.pad(part, ((0, 0), (1, 1)), mode="edge")
        smooth = np.float32(0.25) * (padded[:, :-2] + padded[:, 2:]) + np.float32(0.5) * part
        peak = smooth.max(axis=1)
        found[0, here], found[1, here] = peak, times_s[smooth.argmax(axis=1)]
        found[2, here] = part @ weights
        above = np.maximum(smooth - np.float32(BASE_SHARE) * np.maximum(peak, 1e-12)[:, None], 0.0)
        total = np.maximum(above @ weights, 1e-12)
        mean = (above @ at) / total
        found[3, here] = mean
        found[4, here] = np.sqrt(np.maximum((above @ squared) / total - mean**2, 0.0))
    return CurveFeatures(*found)
