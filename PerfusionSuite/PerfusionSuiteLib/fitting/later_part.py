# SPDX-License-Identifier: Apache-2.0
"""What an artery's curve lacks after its first pass, or has too much, as thousands of curves of tissue show it together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray
from ..deconvolution.levels import noise_sd
from ..deconvolution.problem import Curves
from .explanations import energies
from .residue_shape import misfits
from .transit_atoms import transit_atoms

LATE_LEVEL = 0.25
"""Part of its peak to which an artery falls before its later part begins."""

SHAPES = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, float("inf"))
DELAYS_S = np.linspace(-3.0, 12.0, 31)
MTTS_S = np.geomspace(1.5, 20.0, 18)

SHARES = np.linspace(-0.5, 0.5, 11)
"""What is tried; in between a parabola tells."""

LEAST_CONTRAST = 0.2
"""Difference of `residue_shape.misfits` over all shares that the curves must make to tell anything. Scans that end 14 s after the
arterial peak make 0.03, 18 s 0.2, 22 s and more at least 0.4."""

COMPONENTS = 12
SAMPLE = 6000
SEEN, LEAST_CURVES = 4.0, 500
"""A curve counts if its sum of squares exceeds that of noise so many times; and how many must be left."""

WIDTH_MM, REACH_MM = 1.7, 4.0
"""Standard deviation and reach of the Gaussian by which neighbors in a slice are averaged."""


def later_part(times_s: FloatArray, aif: FloatArray) -> FloatArray:
    """Say which part of an artery's curve is what comes back after its first pass.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    aif : ndarray, shape (T,)
        Curve with its baseline at zero.

    Returns
    -------
    ndarray, shape (T,)
        0 up to the peak, 1 from where the curve has fallen to `LATE_LEVEL` of it; 0 everywhere if it never does.
    """
    top = int(aif.argmax())
    fallen = np.flatnonzero(aif[top:] <= LATE_LEVEL * aif[top])
    if not fallen.size:
        return np.zeros(aif.size)
    part: FloatArray = np.clip((times_s - times_s[top]) / (times_s[top + fallen[0]] - times_s[top]), 0.0, 1.0) ** 2
    return part


def sampled_curves(data: NDArray[np.float32], tissue: BoolArray, spacing_mm: FloatArray) -> Curves:
    """Take curves evenly from all tissue, each averaged over its neighbors in the slice.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        Curves.
    tissue : ndarray of bool, shape (I, J, K)
        Where they are taken and averaged.
    spacing_mm : ndarray, shape (3,), mm
        Voxel sizes.

    Returns
    -------
    ndarray, shape (n, T)
        About `SAMPLE` curves, without incomplete ones.
    """
    at = np.argwhere(tissue)
    at = at[:: max(1, len(at) // SAMPLE)]
    total, weights = np.zeros((len(at), data.shape[3]), np.float32), np.zeros((len(at), 1), np.float32)
    reach = [int(REACH_MM / spacing_mm[axis]) for axis in (0, 1)]
    for i in range(-reach[0], reach[0] + 1):
        for j in range(-reach[1], reach[1] + 1):
            apart = float(np.hypot(i * spacing_mm[0], j * spacing_mm[1]))
            if apart > REACH_MM:
                continue
            here = tuple(np.clip(at + np.array([i, j, 0]), 0, np.array(tissue.shape) - 1).T)
            weight = tissue[here][:, None] * np.float32(np.exp(-0.5 * (apart / WIDTH_MM) ** 2))
            total += weight * np.where(weight > 0, data[here], np.float32(0))
            weights += weight
    curves: Curves = total / weights
    return curves[np.isfinite(curves).all(axis=1)]


def lacking_share(curves: Curves, times_s: FloatArray, aif: FloatArray) -> float:
    """Find by which share the later part of an artery must be raised to explain tissue best.

    A single curve cannot tell a long residue from an artery that comes back stronger. But all tissue is fed by the same artery,
    and short and long transits together tell both.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves of tissue (see `sampled_curves`).
    times_s : ndarray, shape (T,), s
        Frame times.
    aif : ndarray, shape (T,)
        Arterial input, in any unit.

    Returns
    -------
    float
        NaN if the curve has no later part, too little tissue stands out of the noise, or the scan is too short to tell;
        infinite, with its sign, if tissue asks for more than was tried.

    Notes
    -----
    Blind deconvolution of one unknown: for each share and each shape of gamma-distributed transit times the best response of a
    dictionary is taken for each curve, and `residue_shape.misfits` are minimized over both.
    """
    curves = _clear(curves)
    if not later_part(times_s, aif).any() or len(curves) < LEAST_CURVES:
        return float("nan")
    left = _left_by_share(curves, times_s, aif, SHARES)
    if np.ptp(left) < LEAST_CONTRAST:
        return float("nan")
    best = int(left.argmin())
    if best in (0, left.size - 1):
        return float(np.copysign(np.inf, SHARES[best]))
    low, middle, high = left[best - 1 : best + 2]
    return float(SHARES[best] + 0.5 * (SHARES[1] - SHARES[0]) * (low - high) / (low - 2.0 * middle + high))


def unexplained(curves: Curves, times_s: FloatArray, aif: FloatArray) -> float:
    """Say how badly an artery explains tissue, its later part raised or lowered if that helps.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves of tissue (see `sampled_curves`).
    times_s : ndarray, shape (T,), s
        Frame times.
    aif : ndarray, shape (T,)
        Arterial input, in any unit.

    Returns
    -------
    float
        `residue_shape.misfits` of the shape that suits best; NaN if too little tissue stands out of the noise.
    """
    curves = _clear(curves)
    return float(_left_by_share(curves, times_s, aif, SHARES).min()) if len(curves) >= LEAST_CURVES else float("nan")


def _clear(curves: Curves) -> Curves:
    """Curves that stand out of the noise."""
    noise = noise_sd(curves.astype(np.float64))
    clear: Curves = curves[energies(curves) > SEEN * curves.shape[1] * noise**2]
    return clear


def _left_by_share(curves: Curves, times_s: FloatArray, aif: FloatArray, shares: FloatArray) -> FloatArray:
    """What is left of the curves for each share that the later part is raised by."""
    later = aif * later_part(times_s, aif)
    pairs = [(_responses(times_s, aif, shape), _responses(times_s, later, shape)) for shape in SHAPES]
    every = np.concatenate([responses[::3] for pair in pairs for responses in pair])
    basis = np.linalg.eigh(every.T @ every)[1][:, ::-1][:, :COMPONENTS]
    few, total = ((curves - curves.mean(axis=1, keepdims=True)) @ basis).astype(np.float32), energies(curves)
    small = [(first @ basis, second @ basis) for first, second in pairs]
    return np.array([_left(few, total, [first + share * second for first, second in small]) for share in shares])


def _responses(times_s: FloatArray, aif: FloatArray, shape: float) -> FloatArray:
    """Curves of tissue, centered in time, so that an unknown baseline needs no parameter."""
    found = transit_atoms(times_s, aif, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=shape, dispersion=0.0).curves
    centered: FloatArray = found - found.mean(axis=1, keepdims=True)
    return centered


def _left(few: Curves, total: Curves, shapes: Sequence[FloatArray]) -> float:
    """Mean logarithm of the share that the best shape leaves of the clearest curves."""
    left = np.stack([total - np.maximum((few @ _units(responses)).max(axis=1), 0.0) ** 2 for responses in shapes])
    return float(misfits(left, total).min())


def _units(responses: FloatArray) -> Curves:
    """Directions of those that leave a curve at all, which what arrives after the scan does not; shape (components, n)."""
    norm = np.linalg.norm(responses, axis=1)
    seen = norm > 1e-3 * norm.max()
    return np.ascontiguousarray((responses[seen] / norm[seen, None]).T, dtype=np.float32)
