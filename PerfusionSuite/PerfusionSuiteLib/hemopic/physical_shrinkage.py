# SPDX-License-Identifier: Apache-2.0
"""What a region lets expect of its voxels: a random-effects estimate of mean and spread from noisy fits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .physical_regions import RegionSolution
from .physical_solver import Priors, Solution
from .regions import Regions

LEAST_SPREAD = {"log_mtt": 0.08, "delay_s": 0.2}
"""Voxels of one region differ at least by this (ln s and s)."""

LARGEST_SCORE = 16.0
"""Squares of standardized deviations count at most this much, so that single wild fits do not set the spread of a region."""

BISECTIONS = 24


def region_priors(solution: Solution, centre_share: float, regions: Regions, fitted: RegionSolution, wide: Priors) -> Priors:
    """Say what a voxel's region lets expect of it.

    Parameters
    ----------
    solution : Solution
        First fits of the voxels, with one wide prior.
    centre_share : float
        Of the family.
    regions : Regions
        Region of each voxel.
    fitted : RegionSolution
        Fits of the regions' mean curves.
    wide : Priors
        The wide prior; it stays where a region could not be fitted.

    Returns
    -------
    Priors
        Mean and spread of ln MTT and delay per voxel. The spread is what the voxels of the region differ by beyond their
        noise: where they agree a noisy voxel is drawn to them, where they do not it keeps its own values.
    """
    mtt = np.exp(solution.log_mtt)
    mtt_variance = solution.covariance[:, 5]
    turn = -centre_share * mtt
    delay_variance = solution.covariance[:, 3] + 2.0 * turn * solution.covariance[:, 4] + turn**2 * mtt_variance
    parts = {name: getattr(wide, name).copy() for name in Priors.__slots__}
    for n in np.flatnonzero(fitted.usable):
        here = np.flatnonzero((regions.number == n + 1) & (solution.volume > 1e-10))
        if not here.size:
            continue
        fits: tuple[tuple[str, str, NDArray[Any], NDArray[Any]], ...] = (
            ("log_mtt", "log_mtt_sd", solution.log_mtt, mtt_variance),
            ("delay_s", "delay_sd_s", solution.centre_s + turn, delay_variance),
        )
        for mean, sd, values, own in fits:
            first, widest = float(getattr(wide, mean)[0]), float(getattr(wide, sd)[0])
            alone, noise = without_prior(values[here], own[here], first, widest)
            parts[mean][here], parts[sd][here] = random_effects(alone, noise, LEAST_SPREAD[mean], widest)
    return Priors(**parts)


def without_prior(
    values: NDArray[Any], variances: NDArray[Any], mean: float, sd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take a prior out of posterior means and variances again.

    Parameters
    ----------
    values, variances : ndarray, shape (n,)
        Posterior means and variances.
    mean, sd : float
        Of the prior, which is the same for all.

    Returns
    -------
    alone, noise : ndarray, shape (n,)
        What the data alone say, and its variance. Where they say next to nothing the variance is large.

    Notes
    -----
    Values drawn to a common prior scatter less than what they stand for, so the spread of a region would come out too small.
    """
    own = np.maximum(variances.astype(np.float64), 1e-8)
    precision = np.maximum(1.0 / own - 1.0 / sd**2, 0.05 / sd**2)
    alone: NDArray[np.float64] = (values / own - mean / sd**2) / precision
    return np.clip(alone, mean - 4.0 * sd, mean + 4.0 * sd), 1.0 / precision


def random_effects(values: NDArray[np.float64], variances: NDArray[np.float64], least: float, most: float) -> tuple[float, float]:
    """Estimate mean and standard deviation of what noisy values scatter around.

    Parameters
    ----------
    values, variances : ndarray, shape (n,)
        Estimates and their noise variances.
    least, most : float
        Bounds of the standard deviation.

    Returns
    -------
    mean, spread : float
        Such that deviations from the mean, over noise and spread together, have a mean square of one.

    References
    ----------
    Paule and Mandel, J Res Natl Bur Stand 87:377 (1982), here with a bound on single deviations.
    """
    own = np.maximum(variances, 1e-8)
    low, high = np.log(least), np.log(most)
    centre = float(np.median(values))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        weight = 1.0 / (own + np.exp(2.0 * middle))
        centre = _mean(values, weight, centre)
        score = float(np.minimum((values - centre) ** 2 * weight, LARGEST_SCORE).mean())
        low, high = (middle, high) if score > 1.0 else (low, middle)
    return centre, float(np.exp(0.5 * (low + high)))


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64], around: float) -> float:
    """Weighted mean of the values that lie within four standard deviations of a first guess."""
    near = (values - around) ** 2 * weight < LARGEST_SCORE
    if not near.any():
        return around
    return float((values[near] * weight[near]).sum() / weight[near].sum())
