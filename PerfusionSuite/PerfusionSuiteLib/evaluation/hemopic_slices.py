# SPDX-License-Identifier: Apache-2.0
"""The cosmetic steps of the published slice figures: they change numbers for the eye and must never reach a measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray
from .hemopic_case import CSF, GM, WM

FLOW_LIMITS, VOLUME_LIMITS = (0.35, 2.50), (0.50, 2.00)
LARGEST_SPOT, FEWEST_DEEP, FEWEST_FOR_PERCENTILE = 600, 50, 200
CENTRAL_BAND = 0.08
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True)
class SliceChoices:
    """What a slice figure is made with.

    Parameters
    ----------
    cbf_max, cbv_max, mtt_max : float
        Top of the windows (mL/100g/min, mL/100g, s).
    border_px : int
        Pixels of this depth or less are hidden.
    csf_depth_px : int
        CSF below this depth is hidden, the rest gets a new texture.
    """

    cbf_max: float = 70.0
    cbv_max: float = 7.0
    mtt_max: float = 15.0
    border_px: int = 2
    csf_depth_px: int = 5


@dataclass(frozen=True, slots=True)
class DisplaySlice:
    """One slice after the cosmetic steps.

    Parameters
    ----------
    cbf, cbv, mtt : ndarray, shape (R, A)
        For display only; NaN where hidden.
    replaced : int
        Pixels whose transit time was replaced by a median.
    painted : int
        CSF pixels that got a new texture.
    hidden : int
        Brain pixels that are not shown.
    """

    cbf: FloatArray
    cbv: FloatArray
    mtt: FloatArray
    replaced: int
    painted: int
    hidden: int


def published_slice(
    maps: dict[str, FloatArray],
    labels: NDArray[np.integer],
    lesion: BoolArray,
    choices: SliceChoices,
    *,
    curves: FloatArray | None = None,
    supplied_cbv: FloatArray | None = None,
    interval_s: float = 1.0,
) -> DisplaySlice:
    """Apply the published display steps to one slice (hemopic 6.5).

    Parameters
    ----------
    maps : dict of ndarray, shape (R, A)
        ``cbf cbv mtt`` of a slice turned to right and anterior.
    labels : ndarray of int, shape (R, A)
        Tissue labels.
    lesion : ndarray of bool, shape (R, A)
        The lesion.
    choices : SliceChoices
        Strip, depth, windows.
    curves : ndarray, shape (R, A, T), optional
        Tracer curves: without them CSF keeps what the fit gave it.
    supplied_cbv : ndarray, shape (R, A), optional
        Blood volume that CSF is textured with.
    interval_s : float, s
        Between frames.

    Returns
    -------
    DisplaySlice
        Numbers for the eye.
    """
    shown = {key: np.array(values, float) for key, values in maps.items()}
    brain = labels > 0
    depth = ndimage.distance_transform_edt(brain)
    deep = (labels == CSF) & (depth >= choices.csf_depth_px)
    painted = 0
    if curves is not None and supplied_cbv is not None and deep.sum() >= FEWEST_DEEP:
        _paint_csf(shown, deep, curves, supplied_cbv, interval_s)
        painted = int(deep.sum())
    replaced = _clean_transit_time(shown["mtt"], np.isin(labels, (GM, WM)), lesion)
    hidden = brain & ((depth <= choices.border_px) | ((labels == CSF) & (depth < choices.csf_depth_px)))
    for values in shown.values():
        values[hidden | ~brain] = np.nan
    return DisplaySlice(shown["cbf"], shown["cbv"], shown["mtt"], replaced, painted, int(hidden.sum()))


def opposite_half(lesion: BoolArray) -> BoolArray:
    """Return the half of a slice that the published cleanup works on.

    Parameters
    ----------
    lesion : ndarray of bool, shape (R, A)
        The lesion.

    Returns
    -------
    ndarray of bool, shape (R, A)
        Along the second axis, so in front of or behind the lesion and not on its other side; 8 % in the middle are left out.
        Nothing without a lesion.
    """
    half = np.zeros(lesion.shape, bool)
    if not lesion.any():
        return half
    width = lesion.shape[1]
    middle, band = 0.5 * (width - 1), 0.5 * CENTRAL_BAND * width
    at = np.arange(width)
    in_front = float(np.nonzero(lesion)[1].mean()) > middle
    half[:, (at < middle - band) if in_front else (at > middle + band)] = True
    return half


def _clean_transit_time(mtt: FloatArray, tissue: BoolArray, lesion: BoolArray) -> int:
    candidates = opposite_half(lesion) & tissue & np.isfinite(mtt)
    if not candidates.any():
        return 0
    inside = mtt[candidates]
    limit = 0.85 * float(inside.max())
    if inside.size >= FEWEST_FOR_PERCENTILE:
        limit = max(float(np.percentile(inside, 99.7)), limit)
    spots, count = ndimage.label(candidates & (mtt >= limit), structure=_EIGHT)
    sizes = np.bincount(spots.ravel(), minlength=count + 1)
    small = np.flatnonzero(sizes <= LARGEST_SPOT)
    chosen = np.isin(spots, small[small > 0])
    median = ndimage.median_filter(np.nan_to_num(mtt), size=3, mode="nearest")
    mtt[chosen] = median[chosen]
    return int(chosen.sum())


def _paint_csf(
    shown: dict[str, FloatArray], deep: BoolArray, curves: FloatArray, supplied_cbv: FloatArray, interval_s: float
) -> None:
    own = np.asarray(curves[deep], float)
    excess = np.maximum(own - own[:, :5].mean(axis=1, keepdims=True), 0.0)
    slope = excess.max(axis=1) / (excess.argmax(axis=1) * interval_s + interval_s)
    flow = float(np.nanmean(shown["cbf"][deep])) * _texture(slope, FLOW_LIMITS)
    volume = float(np.nanmean(shown["cbv"][deep])) * _texture(supplied_cbv[deep], VOLUME_LIMITS)
    shown["cbf"][deep], shown["cbv"][deep] = flow, volume
    shown["mtt"][deep] = 60.0 * volume / np.maximum(flow, 1e-6)


def _texture(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    positive = values[np.isfinite(values) & (values > 0)]
    middle = float(np.median(positive)) if positive.size else 1.0
    ratio = np.where(np.isfinite(values) & (values > 0), values / middle, 1.0)
    limited = np.clip(ratio, *limits)
    result: FloatArray = limited / limited.mean()
    return result
