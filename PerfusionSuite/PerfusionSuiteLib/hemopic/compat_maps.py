# SPDX-License-Identifier: Apache-2.0
"""Maps of flow, volume and transit time from regional values, painted with each voxel's own texture as published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ..core.geometry import BoolArray, FloatArray
from .compat_clusters import CurveShapes
from .compat_fit import FittedRegion
from .compat_model import EPSILON
from .compat_regions import MIN_PRIOR_VOXELS, RegionData

TAIL_SHARE = 0.20
MIN_TAIL = 3
FLOW_TEXTURE = (0.35, 2.50)
VOLUME_TEXTURE = (0.50, 2.00)
MIN_LIMIT_VOXELS = 200
DEFAULT_FLOW_LIMITS = (1.0, 200.0)
DEFAULT_MTT_LIMITS = (1.0, 30.0)
_TEXTURED = ("GM", "WM")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits taken from a given map.

    Parameters
    ----------
    low, high : float
        First and 99.5th percentile of its positive values, or the published defaults.
    """

    low: float
    high: float


def regional_flow(fit: FittedRegion) -> float:
    """Return the flow of a region: the mean of its late outflow, not F.

    Parameters
    ----------
    fit : FittedRegion
        What the search found.

    Returns
    -------
    float, mL / 100 g / min
        Mean of the last fifth (at least three samples) of Q(t); F when none of them is finite.
    """
    flows = fit.outflow
    tail = flows[-max(MIN_TAIL, int(TAIL_SHARE * flows.size)) :]
    tail = tail[np.isfinite(tail)]
    return max(float(tail.mean()) if tail.size else fit.parameters.flow, EPSILON)


def flow_texture(shapes: CurveShapes, members: NDArray[np.intp], dt_s: float) -> FloatArray:
    """Return the relative flow within a region: peak over time to peak plus one interval.

    Parameters
    ----------
    shapes : CurveShapes
        Of all voxels.
    members : ndarray of int, shape (M,)
        Voxels of the region.
    dt_s : float, s
        Interval between frames.

    Returns
    -------
    ndarray, shape (M,)
        Mean 1, limited to 0.35 to 2.5 before it is divided by its mean.
    """
    slope = shapes.peak[members] / (shapes.ttp_s[members] + max(dt_s, EPSILON))
    positive = slope[slope > 0]
    ratio = np.ones_like(slope)
    if positive.size >= MIN_PRIOR_VOXELS:
        ratio = slope / np.median(positive)
    return _texture(ratio, FLOW_TEXTURE)


def volume_texture(volume: FloatArray, prior: float) -> FloatArray:
    """Return the relative volume within a region, taken from the given map.

    Parameters
    ----------
    volume : ndarray, shape (M,), mL / 100 g
        Given volume of the region's voxels.
    prior : float, mL / 100 g
        What stands for the median when fewer than 20 of them are positive.

    Returns
    -------
    ndarray, shape (M,)
        Mean 1, limited to 0.5 to 2 before it is divided by its mean.
    """
    usable = np.isfinite(volume) & (volume > 0)
    middle = float(np.median(volume[usable])) if np.count_nonzero(usable) >= MIN_PRIOR_VOXELS else prior
    ratio = np.ones(volume.size)
    ratio[usable] = volume[usable] / max(middle, EPSILON)
    return _texture(ratio, VOLUME_TEXTURE)


def _texture(ratio: FloatArray, limits: tuple[float, float]) -> FloatArray:
    limited = np.clip(np.where(np.isfinite(ratio), ratio, 1.0), *limits)
    relative: FloatArray = limited / limited.mean()
    return relative


def paint(
    regions: Iterable[tuple[RegionData, FittedRegion]], shapes: CurveShapes, volume: FloatArray, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """Spread regional flow and volume over the voxels.

    Parameters
    ----------
    regions : iterable of (RegionData, FittedRegion)
        The fitted regions.
    shapes : CurveShapes
        Of all voxels.
    volume : ndarray, shape (N,), mL / 100 g
        Given volume of every voxel.
    dt_s : float, s
        Interval between frames.

    Returns
    -------
    cbf, cbv : ndarray, shape (N,)
        NaN in voxels of no fitted region; constant within CSF and brain stem.
    """
    cbf, cbv = np.full(volume.size, np.nan), np.full(volume.size, np.nan)
    for data, fit in regions:
        members = data.members
        cbf[members], cbv[members] = regional_flow(fit), max(fit.parameters.volume, EPSILON)
        if data.tissue in _TEXTURED:
            cbf[members] *= flow_texture(shapes, members, dt_s)
            cbv[members] *= volume_texture(volume[members], data.priors.volume)
    return cbf, cbv


def fill_from_nearest(values: FloatArray, show: BoolArray) -> tuple[NDArray[np.float32], int]:
    """Put voxels into a volume; those without a value above 1e-6 take the nearest one's.

    Parameters
    ----------
    values : ndarray, shape (N,)
        Values of the voxels of `show`.
    show : ndarray of bool, shape (I, J, K)
        Where they are.

    Returns
    -------
    volume : ndarray of float32, shape (I, J, K)
        NaN outside; distances are counted in voxels, as published.
    filled : int
        How many voxels were filled.
    """
    volume = np.full(show.shape, np.nan)
    volume[show] = values
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(volume) & (volume > EPSILON)
    missing = show & ~valid
    count = int(np.count_nonzero(missing))
    if count and valid.any():
        nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
        volume[missing] = volume[tuple(axis[missing] for axis in nearest)]
    return volume.astype(np.float32), count


def limits_of(values: FloatArray, default: tuple[float, float]) -> Limits:
    """Return the limits that a given map sets.

    Parameters
    ----------
    values : ndarray, shape (N,)
        The map in the voxels that take part.
    default : tuple of float
        Used when no more than 200 values are positive.

    Returns
    -------
    Limits
        First and 99.5th percentile of the positive values.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size <= MIN_LIMIT_VOXELS:
        return Limits(*default)
    low, high = np.percentile(positive, [1.0, 99.5])
    return Limits(float(low), float(high))


def transit_time(cbf: FloatArray, cbv: FloatArray, flow_limits: Limits, mtt_limits: Limits) -> NDArray[np.float32]:
    """Return 60 CBV / CBF within the limits of the given maps.

    Parameters
    ----------
    cbf : ndarray, mL / 100 g / min
        Flow; limited for this division only.
    cbv : ndarray, mL / 100 g
        Volume.
    flow_limits, mtt_limits : Limits
        Of the given CBF and MTT maps.

    Returns
    -------
    ndarray of float32, s
        Mean transit time; NaN where the maps are.
    """
    divisor = np.clip(cbf, max(flow_limits.low, EPSILON), flow_limits.high)
    limited = np.clip(60.0 * np.asarray(cbv, dtype=np.float64) / divisor, mtt_limits.low, mtt_limits.high)
    return limited.astype(np.float32)
