# SPDX-License-Identifier: Apache-2.0
"""Flow at every arrival time of a grid at once, and what the measurement says about which arrival time it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray

_EXACT = 3e-5
"""Part of the signal that counts as noise at least: ties between arrival times that fit exactly are broken by expectation."""


@dataclass(frozen=True, slots=True)
class ArrivalGrid:
    """Arrival times that are tried, with what is expected of them.

    Parameters
    ----------
    arrival_s : ndarray, shape (A,), s
        Arrival times.
    expected_s, spread_s : float, s
        Mean and standard deviation of what is expected.
    """

    arrival_s: FloatArray
    expected_s: float
    spread_s: float

    @property
    def penalty(self) -> FloatArray:
        """Squared distance from what is expected, in standard deviations."""
        return np.asarray(((self.arrival_s - self.expected_s) / self.spread_s) ** 2)


class GridFit(NamedTuple):
    """Estimates of some voxels: flow in mL/g/s and arrival in s with their standard errors, residual, and the best grid index."""

    flow: FloatArray
    arrival: FloatArray
    flow_sd: FloatArray
    arrival_sd: FloatArray
    residual: FloatArray
    best: NDArray[np.int64]


def fit_on_grid(curves: FloatArray, responses: FloatArray, noise: FloatArray, grid: ArrivalGrid, *, mean: bool = True) -> GridFit:
    """Fit flow (not negative) and arrival time to curves.

    The flow is linear, so it is solved exactly at every arrival time (variable projection); what remains is a function of the
    arrival time alone, which is looked at on the whole grid: no start value, no local minimum.

    Parameters
    ----------
    curves : ndarray, shape (N, D)
        Label densities, each delay divided by its relative noise.
    responses : ndarray, shape (A, D)
        Response to a unit of flow at each arrival time, divided alike.
    noise : ndarray, shape (N,)
        Standard error of the curves.
    grid : ArrivalGrid
        Arrival times and what is expected of them; the expectation counts in proportion to the squared noise.
    mean : bool
        Average over all arrival times by their probability, or take the most probable one.

    Returns
    -------
    GridFit
        The estimates.

    Notes
    -----
    ``log p(ATT) = -(SSE(ATT) / sigma^2 + ((ATT - expected) / spread)^2) / 2``; variance of the flow is that at a known arrival
    time, ``sigma^2 / |g|^2``, averaged over arrival times, plus that between arrival times.
    """
    power = np.einsum("ad,ad->a", responses, responses)
    fits = power > 1e-8 * power.max()
    scale = np.where(fits, 1.0 / np.sqrt(np.where(fits, power, 1.0)), 0.0)
    energy = np.einsum("nd,nd->n", curves, curves)
    along = np.maximum(curves @ (responses * scale[:, None]).T, 0.0)  # times `scale` it is the flow, squared the gain
    variance = np.maximum(noise, _EXACT * np.sqrt(energy) + 1e-12)[:, None] ** 2
    score = np.square(along)
    score /= 2.0 * variance
    score -= np.where(fits, grid.penalty / 2.0, np.inf)
    best = score.argmax(axis=1)
    rows = np.arange(len(best))
    residual = np.maximum(energy - along[rows, best] ** 2, 0.0)
    likely = along[rows, best] * scale[best]
    # What follows are sums over probabilities: single precision is enough once the best score is taken off.
    score -= score[rows, best][:, None]
    weights = np.exp(score.astype(np.float32))
    weights /= weights.sum(axis=1, keepdims=True)
    apart = (along * scale - likely[:, None]).astype(np.float32)
    moments = weights @ np.stack([grid.arrival_s, grid.arrival_s**2, scale**2], axis=1).astype(np.float32)
    product = weights * apart
    shift, between = product.sum(axis=1), np.einsum("na,na->n", product, apart)
    arrival, spread = moments[:, 0].astype(np.float64), np.maximum(moments[:, 1] - moments[:, 0] ** 2, 0.0)
    within = noise**2 * moments[:, 2] * _known_positive(likely / np.maximum(noise * scale[best], 1e-30))
    if mean:
        flow, between = likely + shift, np.maximum(between - shift**2, 0.0)
    else:
        flow, spread, arrival = likely, spread + (arrival - grid.arrival_s[best]) ** 2, grid.arrival_s[best]
    return GridFit(flow, arrival, np.sqrt(within + between), np.sqrt(spread), residual, best)


def _known_positive(ratio: FloatArray) -> FloatArray:
    """Return by how much the variance of a flow shrinks because it is known not to be negative.

    A flow well above its noise keeps its variance; one of zero would have 0.36 of it under a truncated normal distribution.
    The estimate itself is cut off at zero, not a mean over positive flows: the geometric mean of both variances covers right.
    """
    from scipy.stats import norm

    near = np.minimum(ratio, 8.0)
    tilt = norm.pdf(near) / norm.cdf(near)
    return np.asarray(np.sqrt(1.0 - near * tilt - tilt**2))


def residual_noise(residual: FloatArray, count: int, positive: BoolArray) -> float:
    """Return the noise that residuals of a fit of two parameters tell.

    Parameters
    ----------
    residual : ndarray, shape (N,)
        Sums of squares.
    count : int
        Number of delays.
    positive : ndarray of bool, shape (N,)
        Voxels where a flow was found.

    Returns
    -------
    float
        Standard error of a delay, robust against voxels that the model does not describe; NaN when there are too few delays.
    """
    if count < 3 or not positive.any():
        return float("nan")
    from scipy.stats import chi2

    return float(np.sqrt(np.median(residual[positive]) / chi2.median(count - 2)))
