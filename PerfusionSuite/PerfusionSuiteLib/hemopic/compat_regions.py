# SPDX-License-Identifier: Apache-2.0
"""Masks, the reference curve, the regions and what each of them brings to the fit, as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter1d

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from .compat_clusters import BASELINE_FRAMES, CurveShapes, class_clusters
from .compat_model import EPSILON, RegionPriors

SMOOTHING_FRAMES = 1.8
MIN_SAMPLES_TO_SMOOTH = 5
MIN_VOXELS_FOR_THRESHOLD = 100
MIN_FIT_VOXELS = 5000
MIN_REGION = 200
MIN_CURVE_VOXELS = 80
MIN_PRIOR_VOXELS = 20

GRAY, WHITE, CSF, BRAIN_STEM = 1, 2, 3, 4
TISSUES = {GRAY: "GM", WHITE: "WM", CSF: "CSF", BRAIN_STEM: "BrainStem"}


@dataclass(frozen=True, slots=True)
class MaskedCurves:
    """The curves of the voxels that take part.

    Parameters
    ----------
    values : ndarray of float32, shape (N, T)
        Tracer curves of the voxels of `show`, in C order.
    show : ndarray of bool, shape (I, J, K)
        Labeled voxels whose samples are all finite.
    dt_s : float, s
        Interval between frames.
    """

    values: NDArray[np.float32]
    show: BoolArray
    dt_s: float


@dataclass(frozen=True, slots=True)
class Reference:
    """The curve that stands for the arterial input, and the voxels that it is the mean of.

    Parameters
    ----------
    threshold : float
        Peak above which a voxel counts.
    chosen : ndarray of bool, shape (N,)
        Voxels above it (all of them when fewer than 5000 are).
    curve : ndarray, shape (T,)
        Smoothed mean curve with maximum 1.
    """

    threshold: float
    chosen: BoolArray
    curve: FloatArray


@dataclass(frozen=True, slots=True)
class RegionData:
    """What one region brings to the fit.

    Parameters
    ----------
    number : int
        Its number, from 1.
    tissue : str
        ``GM``, ``WM``, ``CSF`` or ``BrainStem``.
    members : ndarray of int, shape (M,)
        Its voxels among the masked ones.
    curve_voxels : int
        How many of them the mean curve rests on.
    observed : ndarray, shape (T,)
        Smoothed mean curve.
    priors : RegionPriors
        Medians of the given maps, and the peak of the curve.
    """

    number: int
    tissue: str
    members: NDArray[np.intp]
    curve_voxels: int
    observed: FloatArray
    priors: RegionPriors


def masked_curves(
    tracer: NDArray[np.floating], dt_s: float, labels: NDArray[np.integer], mask: BoolArray | None = None
) -> MaskedCurves:
    """Take the curves of labeled voxels out of a series.

    Parameters
    ----------
    tracer : ndarray, shape (I, J, K, T)
        Tracer curves.
    dt_s : float, s
        Interval between frames.
    labels : ndarray of int, shape (I, J, K)
        Tissue labels, 0 outside of the brain.
    mask : ndarray of bool, shape (I, J, K), optional
        Further restriction.

    Returns
    -------
    MaskedCurves
        Curves without a missing sample.

    Raises
    ------
    InvalidInputError
        If no voxel is left.
    """
    wanted = labels > 0 if mask is None else (labels > 0) & mask
    values = np.asarray(tracer[wanted], dtype=np.float32)
    return without_gaps(values, wanted, dt_s)


def without_gaps(values: NDArray[np.float32], wanted: BoolArray, dt_s: float) -> MaskedCurves:
    """Leave out curves with a sample that is not finite.

    Parameters
    ----------
    values : ndarray of float32, shape (N, T)
        Curves of the voxels of `wanted`.
    wanted : ndarray of bool, shape (I, J, K)
        Where they are.
    dt_s : float, s
        Interval between frames.

    Returns
    -------
    MaskedCurves
        The others.

    Raises
    ------
    InvalidInputError
        If no voxel is left.
    """
    whole = np.isfinite(values).all(axis=1)
    if not whole.any():
        msg = f"None of the {whole.size} labeled voxels has a complete tracer curve. Check the tissue labels and the tracer file."
        raise InvalidInputError(msg)
    show = wanted.copy()
    show[wanted] = whole
    return MaskedCurves(values if whole.all() else values[whole], show, dt_s)


def smoothed(curve: FloatArray) -> FloatArray:
    """Smooth a mean curve in time as published: Gaussian of 1.8 frames, edges held, negative values to 0.

    Parameters
    ----------
    curve : ndarray, shape (T,)
        Mean curve.

    Returns
    -------
    ndarray, shape (T,)
        Smoothed; unchanged with fewer than five samples.
    """
    if curve.size < MIN_SAMPLES_TO_SMOOTH:
        return curve
    base = curve[:BASELINE_FRAMES].mean()
    smooth: FloatArray = np.maximum(gaussian_filter1d(curve - base, SMOOTHING_FRAMES, mode="nearest") + base, 0.0)
    return smooth


def reference_of(curves: MaskedCurves, shapes: CurveShapes) -> Reference:
    """Choose the voxels with tracer and average their curves.

    Parameters
    ----------
    curves : MaskedCurves
        All curves.
    shapes : CurveShapes
        Their peaks.

    Returns
    -------
    Reference
        About four fifths of the brain by construction.
    """
    peaks = shapes.peak[np.isfinite(shapes.peak)]
    threshold = 0.0
    if peaks.size >= MIN_VOXELS_FOR_THRESHOLD:
        low, high = np.percentile(peaks, [20.0, 80.0])
        threshold = max(float(low + 0.02 * max(high - low, 1e-12)), 0.0)
    return reference_above(curves, shapes, threshold)


def reference_above(curves: MaskedCurves, shapes: CurveShapes, threshold: float) -> Reference:
    """Average the curves of the voxels whose peak is above a given threshold.

    Parameters
    ----------
    curves : MaskedCurves
        All curves.
    shapes : CurveShapes
        Their peaks.
    threshold : float
        For example ``aif_peak_threshold`` of a run record.

    Returns
    -------
    Reference
        All voxels when fewer than 5000 are above.
    """
    chosen = shapes.peak > threshold
    if np.count_nonzero(chosen) < MIN_FIT_VOXELS:
        chosen = np.ones_like(chosen)
    curve = smoothed(mean_curve(curves.values, np.flatnonzero(chosen)))
    return Reference(threshold, chosen, curve / max(float(curve.max()), 1e-12))


def mean_curve(values: NDArray[np.float32], members: NDArray[np.intp]) -> FloatArray:
    """Average curves in double precision.

    Parameters
    ----------
    values : ndarray of float32, shape (N, T)
        All curves.
    members : ndarray of int, shape (M,)
        Which ones.

    Returns
    -------
    ndarray, shape (T,)
        Their mean.
    """
    mean: FloatArray = values[members].mean(axis=0, dtype=np.float64)
    return mean


def find_regions(
    curves: MaskedCurves, shapes: CurveShapes, labels: NDArray[np.integer], *, k_gm: int, k_wm: int, seed: int
) -> tuple[NDArray[np.int32], dict[int, int], int]:
    """Number the regions: clusters of gray matter, then of white matter, then CSF, then brain stem.

    Parameters
    ----------
    curves : MaskedCurves
        All curves.
    shapes : CurveShapes
        What they are clustered by.
    labels : ndarray of int, shape (I, J, K)
        Tissue labels.
    k_gm, k_wm : int
        Wanted number of clusters.
    seed : int
        Of the random numbers.

    Returns
    -------
    regions : ndarray of int32, shape (N,)
        Region of each voxel; 0 where none could be given.
    tissues : dict of int to int
        Tissue class of each region.
    unlabeled : int
        Voxels with 0.
    """
    tissue_of_voxel = labels[curves.show]
    positions = np.argwhere(curves.show)
    regions = np.zeros(tissue_of_voxel.size, np.int32)
    tissues: dict[int, int] = {}
    for tissue, wanted in ((GRAY, k_gm), (WHITE, k_wm), (CSF, 1), (BRAIN_STEM, 1)):
        members = np.flatnonzero(tissue_of_voxel == tissue)
        if not members.size:
            continue
        clusters = class_clusters(shapes, positions, members, clusters=wanted, seed=seed, tissue=tissue)
        first = len(tissues) + 1
        regions[members] = first + clusters
        tissues.update(dict.fromkeys(range(first, first + int(clusters.max()) + 1), tissue))
    _take_nearest(regions, curves.show)
    return regions, tissues, int(np.count_nonzero(regions == 0))


def _take_nearest(regions: NDArray[np.int32], show: BoolArray) -> None:
    """Give voxels of an unknown tissue label the region of the nearest voxel that has one."""
    if regions.all() or not regions.any():
        return
    volume = np.zeros(show.shape, np.int32)
    volume[show] = regions
    nearest = distance_transform_edt(volume == 0, return_distances=False, return_indices=True)
    regions[:] = volume[tuple(nearest)][show]


def region_data(
    number: int,
    tissue: str,
    members: NDArray[np.intp],
    curves: MaskedCurves,
    reference: Reference,
    flow: FloatArray,
    volume: FloatArray,
) -> RegionData:
    """Collect the mean curve and the priors of one region.

    Parameters
    ----------
    number : int
        Its number.
    tissue : str
        Its tissue.
    members : ndarray of int, shape (M,)
        Its voxels.
    curves : MaskedCurves
        All curves.
    reference : Reference
        Which voxels carry tracer.
    flow : ndarray, shape (N,), mL / 100 g / min
        Given flow of every voxel.
    volume : ndarray, shape (N,), mL / 100 g
        Given volume of every voxel.

    Returns
    -------
    RegionData
        All of the region's voxels make the curve when fewer than 80 carry tracer.
    """
    used = members[reference.chosen[members]]
    if used.size < MIN_CURVE_VOXELS:
        used = members
    observed = smoothed(mean_curve(curves.values, used))
    peak = max(float(observed.max()), EPSILON)
    priors = RegionPriors(positive_median(flow[members]), positive_median(volume[members]), peak)
    return RegionData(number, tissue, members, used.size, observed, priors)


def positive_median(values: FloatArray) -> float:
    """Return the median of the positive finite values, or 1e-6 when there are fewer than 20.

    Parameters
    ----------
    values : ndarray
        Values of a region.

    Returns
    -------
    float
        A positive number.
    """
    usable = values[np.isfinite(values) & (values > 0)]
    return float(np.median(usable)) if usable.size >= MIN_PRIOR_VOXELS else EPSILON
