# SPDX-License-Identifier: Apache-2.0
"""Average each curve with those of its surroundings that are alike beyond their noise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import toeplitz

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, voxel_sizes
from ..core.progress import ProgressCallback
from ..core.values import Concentration
from .neighbors import distance_mm, threads, weighted_average, window
from .noise import baseline_autocovariance, noise_sd

RADIUS_MM = 12.0
COMPONENTS = 6
SHARPNESS = 0.35
GUIDE_MM = 1.25
ANATOMY = 0.0
"""Chosen on digital patients with seeds below 10, 4 HU noise, 0.9 and 1.75 mm voxels: judging by enhancement alone keeps enough
neighbors in folded cortex, where partial volumes of fluid differ from voxel to voxel."""

EFFECTIVE_NEIGHBORS = 30.0
"""Differences far below the noise that is left after averaging this many voxels are not worth separating."""


def similarity(
    concentration: Concentration,
    mask: BoolArray,
    guide: NDArray[np.float32] | None,
    progress: ProgressCallback,
    *,
    radius_mm: float = RADIUS_MM,
    components: int = COMPONENTS,
    sharpness: float = SHARPNESS,
    guide_mm: float = GUIDE_MM,
    anatomy: float = ANATOMY,
) -> NDArray[np.float32]:
    """Average in-plane neighbors weighted by how alike their smoothed curves are.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    guide : ndarray, shape (I, J, K, T), or None
        Curves that likeness is judged by; by default the data.
    progress : callable
        Called after each slice.
    radius_mm : float, mm
        Radius of the neighborhood.
    components : int
        Temporal principal components that likeness is judged on.
    sharpness : float
        Larger is more selective.
    guide_mm : float, mm
        Gaussian SD that curves and guide are smoothed with in plane; at least one voxel.
    anatomy : float
        How much of each curve's own temporal mean (hence of its unenhanced density) takes part in likeness, 0 to 1.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Averaged curves of the voxels in the mask.

    Raises
    ------
    InvalidInputError
        If an option is out of range.

    Notes
    -----
    Weight ``exp(-max(d - E, 0) s / sqrt(2 R)) exp(-x^2 / 2 (0.75 r)^2)`` with d the squared distance of two curves on R noise-
    whitened temporal components and E = R its expectation when they differ by noise only (both scaled by twice the noise
    variance, which is measured before contrast on the smoothed guide, so that correlation between voxels is accounted for).

    What is averaged are the lightly smoothed curves: on a fine grid only every n-th neighbor is visited, so averages of the
    curves themselves would share no sample with those of the next voxel and print a checkerboard into every map.
    """
    for name, value in (
        ("radius_mm", radius_mm),
        ("components", components),
        ("sharpness", sharpness),
        ("guide_mm", guide_mm),
    ):
        if not value > 0:
            msg = f"The option {name} is {value!r}; a positive number is expected. Correct the settings."
            raise InvalidInputError(msg)
    if not 0.0 <= anatomy <= 1.0:
        msg = f"The option anatomy is {anatomy!r}; a number from 0 to 1 is expected. Correct the settings."
        raise InvalidInputError(msg)
    spacing = voxel_sizes(concentration.affine)
    sigma = (max(1.0, guide_mm / float(spacing[0])), max(1.0, guide_mm / float(spacing[1])))
    curves = _smoothed(concentration.data, mask, sigma)
    if guide is not None:
        profiles = _smoothed(guide, mask, sigma)
    else:
        profiles = curves + _smoothed(concentration.baseline[..., None], mask, sigma) if anatomy > 0 else curves
    profiles = profiles - np.float32(1.0 - anatomy) * profiles.mean(axis=1, keepdims=True)
    own_noise = noise_sd(concentration.data[mask], concentration.baseline_frames)
    floor = own_noise**2 / EFFECTIVE_NEIGHBORS if np.isfinite(own_noise) else 0.0
    features = whitened_components(profiles, concentration.baseline_frames, int(components), floor)
    rank = features.shape[1]
    scale = np.float32(sharpness / np.sqrt(2.0 * rank))
    width = 0.75 * radius_mm
    offsets = [(o, float(np.exp(-0.5 * (distance_mm(o, spacing) / width) ** 2))) for o in window(radius_mm, spacing)]

    def weight_of(distance: NDArray[np.float32]) -> NDArray[np.float32]:
        excess = np.maximum(distance - np.float32(rank), 0) * scale
        weight: NDArray[np.float32] = np.exp(-excess)
        return weight

    return weighted_average(curves, features, mask, offsets, weight_of, progress)


def _smoothed(data: NDArray[np.float32], mask: BoolArray, sigma: tuple[float, float]) -> NDArray[np.float32]:
    """Curves of the mask after a small Gaussian in plane, normalised within the mask."""
    result = np.empty((int(mask.sum()), data.shape[3]), np.float32)
    start = np.concatenate([[0], np.cumsum(mask.sum(axis=(0, 1)))])
    order = np.argsort(np.nonzero(mask)[2], kind="stable")  # voxels in the order of the mask, sorted by slice

    def one_slice(k: int) -> None:
        inside = mask[:, :, k]
        weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, mode="constant", truncate=3.0)
        curves = np.where(inside[..., None], data[:, :, k], 0.0).astype(np.float32)
        for axis in (0, 1):
            curves = ndimage.gaussian_filter1d(curves, sigma[axis], axis=axis, mode="constant", truncate=3.0)
        result[order[start[k] : start[k + 1]]] = curves[inside] / weight[inside][:, None]

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(one_slice, [int(k) for k in np.flatnonzero(mask.any(axis=(0, 1)))]))
    return result


def whitened_components(
    profiles: NDArray[np.float32], baseline_frames: int, components: int, floor: float = 0.0
) -> NDArray[np.float32]:
    """Project curves on their leading temporal components, in units of twice the noise.

    Parameters
    ----------
    profiles : ndarray, shape (N, T)
        Curves.
    baseline_frames : int
        Frames before contrast, from which the noise is measured.
    components : int
        How many components are kept, at most.
    floor : float
        Smallest noise variance to assume.

    Returns
    -------
    ndarray of float32, shape (N, R)
        Scores whose squared distance is R on average for two curves that differ by noise only.
    """
    mean = profiles.mean(axis=0, dtype=np.float64).astype(np.float32)
    stride = max(1, profiles.shape[0] // 100_000)
    sample = profiles[::stride] - mean
    _, vectors = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    basis = vectors[:, ::-1][:, :components]
    covariance = baseline_autocovariance(profiles, baseline_frames)
    column = np.zeros(profiles.shape[1])
    column[: covariance.size] = covariance
    noise = np.einsum("tr,ts,sr->r", basis, toeplitz(column), basis)
    noise = np.maximum(noise, max(floor, 1e-3 * float(covariance[0]), 1e-12))
    scores: NDArray[np.float32] = (profiles - mean) @ (basis / np.sqrt(2.0 * noise)).astype(np.float32)
    return scores
