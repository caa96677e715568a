# SPDX-License-Identifier: Apache-2.0
"""Which shape of residue explains curves: what the best responses of several shapes leave of them, and the shape in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.geometry import FloatArray
from ..deconvolution.problem import Curves
from .explanations import Explanations, energies

CLEAREST = 0.5
"""Share of the curves that has a say: those that can be explained best. Noise and vessels tell nothing about tissue."""

LEAST_SHARE = 1e-6

BOX_BELOW, EXPONENTIAL_ABOVE = 0.06, 0.96
"""Inverse shapes that are taken for a box (0) and an exponential residue (1)."""

APART = 0.1
"""Inverse shapes of two tissues that lie closer are one: so far the choice can be off, and two fits take twice as long."""


def misfits(left: FloatArray, total: FloatArray) -> FloatArray:
    """Say how badly each shape explains the clearest curves.

    A single curve cannot tell a box from an exponential, but thousands together can. The mean logarithm does not depend on how
    well the noise is known, and single strange voxels do not decide.

    Parameters
    ----------
    left : ndarray, shape (S, n)
        Sum of squares that the best response of each shape leaves of each curve.
    total : ndarray, shape (n,)
        Sum of squares of each curve.

    Returns
    -------
    ndarray, shape (S,)
        Mean logarithm of the share that is left.
    """
    share = np.maximum(left / np.maximum(total, np.finfo(np.float32).tiny), LEAST_SHARE)
    least = share.min(axis=0)
    return np.asarray(np.log(share[:, least <= np.quantile(least, CLEAREST)]).mean(axis=1))


def inverse_shape(misfit: FloatArray, shapes: Sequence[float]) -> float:
    """Find the shape that explains curves best, also between those that were tried.

    Parameters
    ----------
    misfit : ndarray, shape (S,)
        From `misfits`.
    shapes : sequence of float
        Of the transit-time distributions, infinity for a box, in falling or rising order.

    Returns
    -------
    float
        One over the shape, where a parabola through the best one and its neighbors is lowest: 0 is a box, 1 an exponential.
    """
    inverse = 1.0 / np.asarray(shapes, np.float64)
    best = int(np.argmin(misfit))
    if len(shapes) < 3:
        return float(inverse[best])
    middle = int(np.clip(best, 1, len(shapes) - 2))
    near = slice(middle - 1, middle + 2)
    bend, slope, _ = np.polyfit(inverse[near], misfit[near], 2)
    lowest = -0.5 * slope / bend if bend > 0 else inverse[best]
    return float(np.clip(lowest, inverse.min(), inverse.max()))


def shape_from(inverse: float, found_at: tuple[float, float] = (0.0, 1.0)) -> float:
    """Return a shape, a box or an exponential where it hardly differs.

    Parameters
    ----------
    inverse : float
        One over the shape, as `inverse_shape` found it.
    found_at : tuple of float
        What a method finds for boxes and for exponentials; the rest is stretched accordingly. Mixed voxels, the averaging of
        neighbors and dispersion round boxes off and make exponentials begin less steeply.

    Returns
    -------
    float
        Between 1 and infinity, with two decimals.
    """
    low, high = found_at
    inverse = (inverse - low) / (high - low)
    if inverse < BOX_BELOW:
        return float("inf")
    return 1.0 if inverse > EXPONENTIAL_ABOVE else round(1.0 / inverse, 2)


def best_inverse(candidates: Sequence[Explanations], curves: Curves, variance: Curves) -> float:
    """Find the shape of a scan whose noise is hardly known.

    Parameters
    ----------
    candidates : sequence of Explanations
        One for each shape, in falling or rising order.
    curves : ndarray, shape (n, T)
        Sample of the scan.
    variance : ndarray, shape (n,)
        Noise variance.

    Returns
    -------
    float
        See `inverse_shape`.
    """
    shapes = [candidate.shape for candidate in candidates]
    if not len(curves):
        return 1.0 / shapes[0]
    left = np.stack([candidate.misfits(curves, variance) for candidate in candidates])
    return inverse_shape(misfits(left, energies(curves)), shapes)
