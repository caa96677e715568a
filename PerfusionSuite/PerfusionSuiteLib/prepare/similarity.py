# SPDX-License-Identifier: Apache-2.0
"""Average each curve with those of its surroundings that are alike beyond their noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, part_of
from ..core.values import Concentration
from .neighbors import distance_mm, smooth_curves, weighted_average, window
from .noise import baseline_autocovariance, noise_sd

RADIUS_MM, SHARPNESS, GUIDE_MM = 9.0, 0.35, 1.25
COMPONENTS = 10
REFINE_MM, REFINE_SPREAD, REFINE_SLICES = 7.0, 1.0, 1
"""Chosen on digital patients with seeds below 100, 4 HU noise: the second look finds the borders of lesions and gyri that
the first, which has to judge by noisy curves, runs across."""

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
    refine_mm: float = REFINE_MM,
    refine_spread: float = REFINE_SPREAD,
    refine_slices: int = REFINE_SLICES,
) -> NDArray[np.float32]:
    """Average neighbors weighted by how alike their curves are, judged twice.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    guide : ndarray, shape (I, J, K, T), or None
        Curves that likeness is judged by at first; by default the data.
    progress : callable
        Called after each slice.
    radius_mm : float, mm
        In-plane radius of the first neighborhood.
    components : int
        Temporal principal components that curves are described by.
    sharpness : float
        How selective the first look is.
    guide_mm : float, mm
        Gaussian SD that the guide is smoothed with in plane; at least one voxel.
    refine_mm : float, mm
        In-plane radius of the second neighborhood; 0 leaves out the second look.
    refine_spread : float
        Squared distance, in units of the noise variance of one frame, at which the second look gives the weight 1/e.
    refine_slices : int
        Slices above and below that the second look takes neighbors from.

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
    First look: weight ``exp(-max(d - E, 0) s / sqrt(2 R)) exp(-x^2 / 2 (0.75 r)^2)`` with d the squared distance of two smoothed
    curves on R noise-whitened temporal components and E = R its expectation when they differ by noise only (both scaled by twice
    the noise variance, which is measured before contrast on the smoothed guide, so that correlation between voxels is accounted
    for). Second look: weight ``exp(-d / h) exp(-x^2 / 2 (0.75 r)^2)`` with d the squared distance of the curves that the first
    look left, in units of the noise variance of one frame. Their own noise is small by then, so that curves from the other side
    of a border are told apart, and partial volumes along a border find each other, in the slices above and below too.

    On a fine grid only every n-th neighbor is visited; then lightly smoothed curves are averaged, for averages of the curves
    themselves would share no sample with those of the next voxel and print a checkerboard into every map.
    """
    _check_options(
        {
            "radius_mm": radius_mm,
            "components": components,
            "sharpness": sharpness,
            "guide_mm": guide_mm,
            "refine_spread": refine_spread,
        },
        {"refine_mm": refine_mm, "refine_slices": refine_slices},
    )
    spacing = voxel_sizes(concentration.affine)
    sigma = (max(1.0, guide_mm / float(spacing[0])), max(1.0, guide_mm / float(spacing[1])))
    profiles = smooth_curves(concentration.data if guide is None else guide, mask, sigma, truncate=3.0)
    own_noise = noise_sd(concentration.data[mask], concentration.baseline_frames)
    own_noise = own_noise if np.isfinite(own_noise) else 0.0
    floor = own_noise**2 / EFFECTIVE_NEIGHBORS
    features = whitened_components(profiles, concentration.baseline_frames, int(components), floor)
    del profiles  # as large as all curves of the brain
    first = _neighborhood(radius_mm, spacing)
    scale = np.float32(sharpness / np.sqrt(2.0 * features.shape[1]))

    def by_noisy_curves(distance: NDArray[np.float32]) -> NDArray[np.float32]:
        weight: NDArray[np.float32] = np.exp(-np.maximum(distance - np.float32(features.shape[1]), 0) * scale)
        return weight

    curves, mean, basis = _few_numbers(concentration.data, mask, _stride(first), int(components))
    share = 0.4 if refine_mm else 1.0
    averaged = weighted_average(curves, features, mask, first, by_noisy_curves, part_of(progress, 0.0, share))
    if refine_mm:
        second = _neighborhood(refine_mm, spacing, int(refine_slices))
        unit = np.float32(np.sqrt(refine_spread * max(own_noise**2, floor, 1e-6 * float(curves.var()), 1e-12)))
        averaged = weighted_average(curves, averaged / unit, mask, second, _likeness, part_of(progress, share, 1.0))
    result: NDArray[np.float32] = averaged @ basis.T + mean
    return result


def _likeness(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight of the second look by squared distance."""
    weight: NDArray[np.float32] = np.exp(-distance)
    return weight


def _check_options(positive: dict[str, float], not_negative: dict[str, float]) -> None:
    for name, value in positive.items():
        if not value > 0:
            msg = f"The option {name} is {value!r}; a positive number is expected. Correct the settings."
            raise InvalidInputError(msg)
    for name, value in not_negative.items():
        if not value >= 0:
            msg = f"The option {name} is {value!r}; zero or a positive number is expected. Correct the settings."
            raise InvalidInputError(msg)


def _neighborhood(radius_mm: float, spacing: FloatArray, slices: int = 0) -> list[tuple[tuple[int, int, int], float]]:
    """Offsets and their weight by distance in plane; likeness alone decides between slices."""
    width = 0.75 * radius_mm
    plane = window(radius_mm, spacing)
    flat = [(o, float(np.exp(-0.5 * (distance_mm(o, spacing) / width) ** 2))) for o in plane]
    return flat + [
        ((i, j, k), nearness)
        for k in (*range(-slices, 0), *range(1, slices + 1))
        for (i, j, _), nearness in (((0, 0, 0), 1.0), *flat)
    ]


def _stride(neighborhood: list[tuple[tuple[int, int, int], float]]) -> float:
    """Steps between the visited neighbors, in voxels."""
    steps = [abs(i) for (i, _, _), _ in neighborhood if i]
    return float(min(steps)) if steps else 1.0


def _few_numbers(
    data: NDArray[np.float32], mask: BoolArray, stride: float, components: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Describe curves by their leading temporal components: scores (N, R), mean curve (T,) and basis (T, R)."""
    sigma = 0.4 * stride
    curves = smooth_curves(data, mask, (sigma, sigma), truncate=3.0) if stride > 1 else data[mask].astype(np.float32, copy=False)
    mean = curves.mean(axis=0, dtype=np.float64).astype(np.float32)
    step = max(1, curves.shape[0] // 200_000)
    sample = curves[::step] - mean
    _, vectors = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    basis = np.ascontiguousarray(vectors[:, ::-1][:, :components].astype(np.float32))
    return curves @ basis - mean @ basis, mean, basis


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
