# SPDX-License-Identifier: Apache-2.0
"""Candidate voxels of a vessel search: the strongly enhancing part of the mask, with noise taken out of their curves.

Noise of 2-8 HU per voxel makes the maximum of a curve too large, most of all where there is no vessel. The search
therefore looks at a copy of the curves in the few time courses that the candidates share (the leading singular vectors);
this removes most of the noise, mixes no neighbors, and keeps the arrival where it is. Results are averaged from the
measured data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray, FloatArray, check_affine
from ..core.progress import ProgressCallback, no_progress
from ..core.series import check_enough_times, check_times
from .features import CurveFeatures, curve_features, median_of_three
from .motion_artifact import CONTRAST_SHARE, MotionFilter, find_motion

CHUNK = 65536
TISSUE_SAMPLE = 20000
POOL_SHARE = 0.15
POOL_MIN = 400
POOL_MAX = 150_000
MIN_RANK, MAX_RANK = 3, 6
BASIS_EDGES_S = (-5.0, -0.5)
"""Peak times, relative to tissue, between which voxels count together when the shared time courses are determined."""

MOST_MOTION = 0.35
"""Largest part of motion in the curve of a candidate."""

BASIS_SHARE, BASIS_VOXELS = 0.02, (60, 600)


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates of a vessel search.

    Parameters
    ----------
    data : ndarray, shape (I * J * K, T)
        All measured curves.
    shape : tuple of int
        Spatial shape.
    times_s : ndarray, shape (T,), s
        Frame times.
    index : ndarray of int, shape (n,)
        Flat index of each candidate.
    curves : ndarray, shape (n, T)
        Their curves without most of the noise.
    features : CurveFeatures
        Of these curves.
    tissue : ndarray, shape (T,)
        Mean curve of ordinary tissue.
    tissue_ttp_s : float, s
        Its time to peak.
    noise_sd : float
        Noise of one voxel and frame.
    nonfinite : int
        Voxels of the mask that were left out because of missing values.
    motion_share : ndarray, shape (n,)
        How large the part of remaining motion is in each candidate's curve; 0 for a still head.
    motion : MotionFilter or None
        Takes the part of the motion out of a curve.
    """

    data: NDArray[Any]
    shape: tuple[int, int, int]
    times_s: FloatArray
    index: NDArray[np.int64]
    curves: NDArray[np.float32]
    features: CurveFeatures
    tissue: FloatArray
    tissue_ttp_s: float
    noise_sd: float
    nonfinite: int
    motion_share: FloatArray
    motion: MotionFilter | None = None

    def voxels(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return voxel coordinates (n, 3) of flat indices."""
        return np.stack(np.unravel_index(index, self.shape), axis=1).astype(np.int64)


def check_inputs(
    concentration: NDArray[Any], times_s: ArrayLike, mask: NDArray[Any], affine: ArrayLike
) -> tuple[NDArray[Any], FloatArray, BoolArray, FloatArray]:
    """Return the inputs of a vessel search in a known form or say what is wrong.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T)
        Enhancement or delta R2*.
    times_s : array-like, shape (T,), s
        Frame times.
    mask : ndarray of bool, shape (I, J, K)
        Where to search.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    tuple
        Concentration, times, mask, affine.

    Raises
    ------
    GridMismatchError
        If shapes differ.
    InvalidInputError
        If the array is not 4D or the mask is empty.
    TimingError
        If the times are unusable or too few.
    """
    data = np.asarray(concentration)
    if data.ndim != 4:
        msg = f"The concentration must have 4 dimensions (I, J, K, time), not {data.ndim}. Give the whole dynamic series."
        raise InvalidInputError(msg)
    inside = np.asarray(mask, bool)
    if inside.shape != data.shape[:3]:
        msg = f"The mask has {inside.shape} voxels but the scan has {data.shape[:3]}. Resample it to the scan's grid."
        raise GridMismatchError(msg)
    times = check_times(times_s, data.shape[3])
    check_enough_times(times)
    if not inside.any():
        msg = "The mask for the vessel search is empty. Give a brain mask that contains voxels."
        raise InvalidInputError(msg)
    return data, times, inside, check_affine(affine)


def build_pool(
    data: NDArray[Any],
    times_s: FloatArray,
    mask: BoolArray,
    *,
    tissue_curve: FloatArray | None = None,
    share: float = POOL_SHARE,
    calm: BoolArray | None = None,
    most_motion: float = MOST_MOTION,
    known: NDArray[Any] | None = None,
    progress: ProgressCallback | None = None,
) -> Pool:
    """Find the most strongly enhancing voxels and describe their curves.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        Enhancement or delta R2*.
    times_s : ndarray, shape (T,), s
        Frame times.
    mask : ndarray of bool, shape (I, J, K)
        Where to search.
    tissue_curve : ndarray, shape (T,), optional
        Mean curve of tissue; by default from ordinary voxels of the mask.
    share : float
        Part of the mask that becomes a candidate.
    calm : ndarray of bool, shape (I, J, K), optional
        Where the skull cannot be moved in (see `prepare.calm`); with it, voxels that the skull passes are
        recognized and left out.
    most_motion : float
        Largest part of motion in a candidate's curve.
    known : ndarray, shape (m, T), optional
        Courses of contrast that are not to pass for motion.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Pool
        The candidates.

    Raises
    ------
    InvalidInputError
        If every voxel has missing values or nothing enhances.
    """
    tell = progress or no_progress
    flat = data.reshape(-1, data.shape[3])
    index = np.flatnonzero(mask)
    height, depth = np.empty(index.size, np.float32), np.empty(index.size, np.float32)
    for start in range(0, index.size, CHUNK):
        tell(0.6 * start / index.size, "looking for vessels")
        part = smoothed(flat[index[start : start + CHUNK]])
        height[start : start + CHUNK], depth[start : start + CHUNK] = part.max(axis=1), part.min(axis=1)
    finite = np.isfinite(height) & np.isfinite(depth)
    index, height, depth = index[finite], height[finite], depth[finite]
    if index.size == 0 or float(height.max()) <= 0:
        msg = "No voxel of the mask enhances. Check that the baseline was subtracted and that contrast was given."
        raise InvalidInputError(msg)
    tissue, noise = _tissue(flat, index, height)
    if tissue_curve is not None:
        tissue = np.asarray(tissue_curve, np.float64)
    tissue_peak = int(smoothed(tissue[None])[0].argmax())
    motion = None if calm is None else _motion_filter(flat, index, height, depth, calm, noise, known)
    count = int(np.clip(share * index.size, min(POOL_MIN, index.size), POOL_MAX))
    chosen, part_of_motion = _strongest(flat, index[np.argsort(-height, kind="stable")], count, motion, most_motion)
    curves = denoised(without_motion(flat[chosen], motion), times_s, float(times_s[tissue_peak]))
    tell(0.8, "describing candidates")
    features = _features(curves, times_s)
    nonfinite = int((~finite).sum())
    ttp = float(times_s[tissue_peak])
    return Pool(flat, mask.shape, times_s, chosen, curves, features, tissue, ttp, noise, nonfinite, part_of_motion, motion)


def without_motion(curves: NDArray[Any], motion: MotionFilter | None) -> NDArray[np.float32]:
    """Return curves without the part of the motion.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Measured curves.
    motion : MotionFilter or None
        None changes nothing.

    Returns
    -------
    ndarray, shape (n, T)
        Float32 copy.
    """
    measured = curves.astype(np.float32)
    return measured if motion is None else measured - motion.motion_part(smoothed(measured))


def _motion_filter(
    flat: NDArray[Any],
    index: NDArray[np.int64],
    height: NDArray[np.float32],
    depth: NDArray[np.float32],
    calm: BoolArray,
    noise: float,
    known: NDArray[Any] | None,
) -> MotionFilter | None:
    inner = np.flatnonzero(calm.reshape(-1)[index])
    inner = inner[np.argsort(-height[inner], kind="stable")[: max(int(CONTRAST_SHARE * index.size), 1)]]
    deep = np.flatnonzero(depth < 0)
    deep = deep[np.argsort(depth[deep], kind="stable")[: max(int(CONTRAST_SHARE * index.size), 1)]]
    rows = np.concatenate([inner, np.setdiff1d(deep, inner)])
    return find_motion(smoothed(flat[index[rows]].astype(np.float32)), np.arange(rows.size) < inner.size, noise, known)


def _strongest(
    flat: NDArray[Any], order: NDArray[np.int64], count: int, motion: MotionFilter | None, most: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Take the first voxels of a list that motion did not make; return flat indices, sorted, and the share of motion."""
    if motion is None:
        return np.sort(order[:count]), np.zeros(min(count, order.size))
    kept, shares = [], []
    for start in range(0, order.size, max(count, 1)):
        part = order[start : start + count]
        smooth = smoothed(flat[part].astype(np.float32))
        share = motion.motion_share(smooth)
        good = share <= most
        kept.append(part[good])
        shares.append(share[good])
        if sum(k.size for k in kept) >= count:
            break
    chosen, found = np.concatenate(kept)[:count], np.concatenate(shares)[:count].astype(np.float64)
    if chosen.size < min(POOL_MIN // 4, order.size):  # hardly anything is left: better all than none
        return np.sort(order[:count]), np.zeros(min(count, order.size))
    by_place = np.argsort(chosen)
    return chosen[by_place], found[by_place]


def denoised(curves: NDArray[Any], times_s: FloatArray, tissue_ttp_s: float) -> NDArray[np.float32]:
    """Return curves in the leading time courses that they share.

    Early and late voxels count alike when the courses are determined, since arteries are few and small beside veins.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Measured curves.
    times_s : ndarray, shape (T,), s
        Frame times.
    tissue_ttp_s : float, s
        Separates early from late voxels.

    Returns
    -------
    ndarray, shape (n, T)
        Float32 copy.
    """
    clean = median_of_three(curves.astype(np.float32))
    smooth = smoothed(clean)
    when = np.digitize(times_s[smooth.argmax(axis=1)], tissue_ttp_s + np.array(BASIS_EDGES_S))
    gram = np.zeros((times_s.size, times_s.size))
    for bin_number in np.unique(when):
        group = when == bin_number
        count = int(np.clip(BASIS_SHARE * group.sum(), *BASIS_VOXELS))
        order = np.argsort(-smooth[group].max(axis=1), kind="stable")[:count]
        top = clean[group][order].astype(np.float64)
        gram += top.T @ top / top.shape[0]
    values, vectors = np.linalg.eigh(gram)
    rank = min(MAX_RANK, times_s.size, max(int((values > 6.0 * np.median(values)).sum()), MIN_RANK))
    basis = vectors[:, -rank:].astype(np.float32)
    result: NDArray[np.float32] = (clean @ basis) @ basis.T
    return result


def smoothed(curves: NDArray[Any]) -> NDArray[Any]:
    """Smooth curves by a median of three and then binomial weights, both along time.

    Parameters
    ----------
    curves : ndarray, shape (..., T)
        Curves.

    Returns
    -------
    ndarray, shape (..., T)
        The ends are kept.
    """
    median = median_of_three(curves)
    result = median.copy()
    result[..., 1:-1] = 0.25 * median[..., :-2] + 0.5 * median[..., 1:-1] + 0.25 * median[..., 2:]
    return result


def _tissue(flat: NDArray[Any], index: NDArray[np.int64], height: NDArray[np.float32]) -> tuple[FloatArray, float]:
    """Return the mean curve of ordinary voxels and the noise of a single voxel and frame."""
    low, high = np.quantile(height, [0.2, 0.8])
    ordinary = index[(height >= low) & (height <= high)]
    step = max(1, ordinary.size // TISSUE_SAMPLE)
    sample = flat[ordinary[::step]].astype(np.float64)
    second = np.abs(np.diff(sample, 2, axis=1))
    noise = float(np.median(second)) / (0.6745 * np.sqrt(6.0))
    return sample.mean(0), noise


def _features(curves: NDArray[np.float32], times_s: FloatArray) -> CurveFeatures:
    parts = [curve_features(curves[start : start + CHUNK], times_s) for start in range(0, curves.shape[0], CHUNK)]
    return CurveFeatures(*(np.concatenate([getattr(part, name) for part in parts]) for name in CurveFeatures.__slots__))
