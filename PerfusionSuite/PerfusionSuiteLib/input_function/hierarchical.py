# SPDX-License-Identifier: Apache-2.0
"""Arterial voxels of one slice by repeated splitting (Peruzzo et al., Comput. Methods Programs Biomed. 104:e148, 2011)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from ..core.geometry import BoolArray, FloatArray, axis_codes
from .arterial import Choice
from .pool import Pool

HALF_FRONT_BACK, HALF_LEFT_RIGHT = 0.35, 0.15
DROP_AREA, DROP_TTP, DROP_IRREGULAR = 0.4, 0.4, 0.05
FEWEST, MOST = 4, 6
SAME_PEAK = 0.04
MOST_CURVES = 2000


def search(pool: Pool, allowed: BoolArray, mask: BoolArray, affine: FloatArray) -> Choice | None:
    """Return four to six arterial voxels of the best slice.

    Parameters
    ----------
    pool : Pool
        Candidates.
    allowed : ndarray of bool, shape (n,)
        Which of them may be used.
    mask : ndarray of bool, shape (I, J, K)
        Brain; its extent places the search ellipse.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    Choice or None
        None when too few voxels lie in the ellipse.
    """
    members = np.flatnonzero(allowed & _in_ellipse(pool, mask, affine))
    if members.size < FEWEST:
        return None
    members = members[pool.voxels(pool.index[members])[:, 2] == _best_slice(pool, members, mask)]
    f = pool.features
    members = _without(members, -f.area, DROP_AREA)
    members = _without(members, f.ttp_s, DROP_TTP)
    members = _without(members, f.irregularity, DROP_IRREGULAR)
    members = members[np.argsort(-f.peak[members], kind="stable")[:MOST_CURVES]]
    if members.size < FEWEST:
        return None
    while members.size > MOST:
        branches = _split(pool.curves[members])
        parts = [members[branches == 1], members[branches == 2]]
        large = [part for part in parts if part.size >= FEWEST]
        if not large:
            members = members[np.argsort(-f.peak[members], kind="stable")[:MOST]]
            break
        members = _better(pool, large)
    score = float(f.peak[members].mean() / max(pool.noise_sd, 1e-9))
    return Choice(pool.index[members], score)


def _in_ellipse(pool: Pool, mask: BoolArray, affine: FloatArray) -> BoolArray:
    codes = axis_codes(affine)
    place = pool.voxels(pool.index)
    inside = np.zeros(pool.index.size)
    for axis in range(3):
        if codes[axis] in "IS":
            continue
        where = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        half = HALF_LEFT_RIGHT if codes[axis] in "LR" else HALF_FRONT_BACK
        extent = float(where[-1] - where[0] + 1)
        inside += ((place[:, axis] - 0.5 * (where[0] + where[-1])) / (half * extent)) ** 2
    return inside <= 1.0


def _best_slice(pool: Pool, members: NDArray[np.int64], mask: BoolArray) -> int:
    """Return the slice with most voxels among the top 1 % of peak / (TTP x FWHM), in the middle of the brain."""
    f = pool.features
    since = np.maximum(f.ttp_s - pool.times_s[0], 1e-3)
    figure = (f.peak / (since * np.maximum(f.fwhm_s, 1e-3)))[members]
    slices = pool.voxels(pool.index[members])[:, 2]
    used = np.flatnonzero(mask.any(axis=(0, 1)))
    low, high = used[0] + 0.2 * (used[-1] - used[0]), used[0] + 0.6 * (used[-1] - used[0])
    middle = (slices >= np.floor(low)) & (slices <= np.ceil(high))
    if not middle.any():
        middle[:] = True
    top = middle & (figure >= np.quantile(figure[middle], 0.99))
    return int(np.bincount(slices[top]).argmax())


def _without(members: NDArray[np.int64], values: FloatArray, share: float) -> NDArray[np.int64]:
    """Drop the part of the members with the largest values, but keep at least four."""
    keep = max(FEWEST, int(np.ceil((1.0 - share) * members.size)))
    return members[np.argsort(values[members], kind="stable")[:keep]]


def _split(curves: NDArray[np.float32]) -> NDArray[np.int64]:
    result: NDArray[np.int64] = fcluster(linkage(curves, "complete"), 2, "maxclust")
    return result


def _better(pool: Pool, parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    if len(parts) == 1:
        return parts[0]
    means = [pool.curves[part].mean(0) for part in parts]
    peaks = [float(m.max()) for m in means]
    if abs(peaks[0] - peaks[1]) < SAME_PEAK * max(peaks):
        return parts[int(np.argmin([int(m.argmax()) for m in means]))]
    return parts[int(np.argmax(peaks))]
