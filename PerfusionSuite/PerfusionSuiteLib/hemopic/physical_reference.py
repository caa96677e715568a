# SPDX-License-Identifier: Apache-2.0
"""The curve that stands in for an artery: early normal tissue of the whole scan, freed from the transit through that tissue.

A curve of tissue is an artery's curve after a transit. Fitted with it as input, normal tissue would have a transit time near zero
and flow would be wrong everywhere. So the transit of normal tissue is assumed (`REFERENCE_MTT_S`) and taken out; what is left
over, smooth and nowhere negative, is the mean arterial shape of the early tissue. Differences of transit times between tissues
come from the data: with an assumption that is off by 1 s, a transit time of 12 s is off by about 0.5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..deconvolution.timegrid import TAIL_DECAY_S
from .physical_families import Residue
from .physical_features import CurveFeatures, curve_features
from .physical_response import STEP_S, Input

REFERENCE_MTT_S = 4.5
"""Mean transit time that is assumed for normal early tissue; PET and DSC-MRI of healthy volunteers give 4 to 5 s for it."""

REFERENCE_CBV = 4.0
"""Blood volume, mL/100 g, that the reference tissue is given so that relative maps have familiar numbers."""

AREA_RANGE = (30.0, 90.0)
TISSUE_AREA_RANGE = (10.0, 90.0)
MEAN_TIME_RANGE = (10.0, 40.0)
"""Percentiles: neither little nor vessel-like enhancement, early but not earliest."""

LEAST_SNR = 5.0
LEAST_VOXELS = 50
KNOT_S = 0.5
RESIDUAL = 0.01
"""Root mean square of what the artery may leave of the reference curve, as a share of its peak."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Mean curve of early normal tissue.

    Parameters
    ----------
    curve : ndarray, shape (T,)
        The curve.
    chosen : ndarray of bool, shape (n,)
        Curves that it is the mean of.
    tissue : ndarray of bool, shape (n,)
        All curves that are neither fluid nor vessels, late ones included.
    """

    curve: FloatArray
    chosen: BoolArray
    tissue: BoolArray


def find_reference(
    curves: NDArray[Any], times_s: FloatArray, noise: NDArray[Any] | float, features: CurveFeatures | None = None
) -> Reference:
    """Average the curves of early normal tissue.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement of brain voxels.
    times_s : ndarray, shape (T,), s
        Frame times.
    noise : ndarray, shape (n,), or float
        Standard deviation of the noise of a sample.
    features : CurveFeatures, optional
        Features computed before.

    Returns
    -------
    Reference
        The mean curve.

    Raises
    ------
    InvalidInputError
        If no voxel enhances well enough.

    Notes
    -----
    hemopic.md section 5.2 averages all voxels above a threshold; here vessels (largest areas), fluid (smallest), late and
    therefore possibly ill tissue, and the earliest voxels, which are arterial, are left out.
    """
    found = features or curve_features(curves, times_s)
    good = (found.peak > LEAST_SNR * np.asarray(noise)) & (found.area > 0) & np.isfinite(found.peak)
    if good.sum() < LEAST_VOXELS:
        good = (found.peak > 0) & (found.area > 0) & np.isfinite(found.peak)
    if not good.any():
        msg = "No voxel of the mask enhances, so there is no reference curve. Check the mask, and that the scan holds the bolus."
        raise InvalidInputError(msg)
    tissue = _between(found.area, good, TISSUE_AREA_RANGE)
    chosen = _between(found.mean_s, _between(found.area, good, AREA_RANGE), MEAN_TIME_RANGE)
    return Reference(np.asarray(curves[chosen]).mean(axis=0, dtype=np.float64), chosen, tissue)


def _between(values: NDArray[Any], good: BoolArray, limits: tuple[float, float]) -> BoolArray:
    """Keep the curves whose value lies between two percentiles."""
    low, high = np.percentile(values[good], limits)
    kept: BoolArray = good & (values >= low) & (values <= high)
    return kept if kept.any() else good


def blind_artery(times_s: FloatArray, curve: FloatArray, residue: Residue, mtt_s: float, beyond_s: float) -> Input:
    """Take the transit through the reference tissue out of its curve.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    curve : ndarray, shape (T,)
        Reference curve.
    residue : Residue
        Family of the tissue's residue.
    mtt_s : float, s
        Assumed transit time of the reference tissue.
    beyond_s : float, s
        How long the result is continued behind the last frame.

    Returns
    -------
    Input
        Smoothest curve without negative values that the tissue's transit turns into the reference curve, up to one percent of
        its peak. Its area is that of the reference curve: with it as input the reference tissue has the blood volume 1.
    """
    knots = np.arange(times_s[0] - KNOT_S, times_s[-1] + 0.5 * KNOT_S, KNOT_S)
    since = times_s[:, None] - knots

    def ramp(x: FloatArray) -> FloatArray:
        return mtt_s * residue.twice(np.maximum(x, 0.0) / mtt_s)

    design = (ramp(since + KNOT_S) - 2.0 * ramp(since) + ramp(since - KNOT_S)) / KNOT_S
    bend = np.diff(np.eye(knots.size), 2, axis=0)
    target = np.concatenate([curve, np.zeros(bend.shape[0])])
    peak = float(np.abs(curve).max())
    values = np.zeros(knots.size)
    for weight in np.geomspace(30.0, 1e-3, 24):
        values, _ = optimize.nnls(np.vstack([design, weight * bend]), target)
        if np.sqrt(np.mean((design @ values - curve) ** 2)) <= RESIDUAL * peak:
            break
    start, end = float(times_s[0]), float(times_s[-1])
    count = int(np.ceil((end + beyond_s - start) / STEP_S)) + 2
    fine = start + STEP_S * np.linspace(0.0, count - 1.0, count)
    shape = np.interp(np.minimum(fine, end), knots, values) * np.exp(-np.maximum(fine - end, 0.0) / TAIL_DECAY_S)
    shape[0] = 0.0
    return Input(start, shape)
