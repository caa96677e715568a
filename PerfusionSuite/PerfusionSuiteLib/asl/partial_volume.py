# SPDX-License-Identifier: Apache-2.0
"""Partial-volume correction: flow of pure gray and of pure white matter, by regression among neighbors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.asl import AslDifference
from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..core.progress import ProgressCallback, part_of
from .api import checked_tissue, quantify

KERNEL = 5
"""Voxels along each side of the square within a slice (Asllani 2008)."""

LEAST_FRACTION = 0.1
"""A tissue that fills less of a voxel has no flow there."""

_RIDGE = 1e-3
"""Part of the mean square of a fraction that keeps the regression solvable where neighbors are all alike."""


def corrected_flow(
    difference: AslDifference,
    tissue: Mapping[str, Any],
    *,
    method: str = "asl-multi",
    settings: Mapping[str, Any] | None = None,
    kernel: int = KERNEL,
    progress: ProgressCallback | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Separate the flow of gray and white matter.

    In a small square of neighbors the flow of each tissue is taken as constant, so that what varies is the mixture: a linear
    regression of the difference images on the fractions gives the image that each pure tissue would have. M0 is separated
    likewise, fluid being its third part, and each tissue is then quantified with its own relaxation time.

    Parameters
    ----------
    difference : AslDifference
        Difference images.
    tissue : mapping of str to array-like, shape (I, J, K)
        Fractions ``gm`` and ``wm``, 0 to 1.
    method : str
        A key of `METHODS` that fits voxels one by one.
    settings : mapping, optional
        Options of the method.
    kernel : int
        Voxels along each side of the square within a slice (k constant); odd, 3 or more.
    progress : callable, optional
        Progress.

    Returns
    -------
    dict of ndarray, shape (I, J, K)
        ``cbf_gm`` and ``cbf_wm`` in mL/100 g/min, NaN where the tissue fills less than a tenth of the voxel.

    Raises
    ------
    InvalidInputError
        If fractions are missing, the kernel is even or too small, or there is no M0.

    References
    ----------
    Asllani, Borogovac, Brown, Magn Reson Med 60:1362 (2008), equations 2 to 6.
    """
    if kernel < 3 or kernel % 2 == 0:
        msg = f"A kernel of {kernel} voxels has no center or no neighbors. Choose 3, 5, 7 or more."
        raise InvalidInputError(msg)
    if difference.m0 is None:
        msg = "Partial-volume correction needs M0, but the scan has none. Give an M0 image, or leave the correction out."
        raise InvalidInputError(msg)
    parts = checked_tissue(tissue, difference.mask.shape)
    if not parts:
        msg = "Partial-volume correction needs the fractions of gray and white matter. Give both."
        raise InvalidInputError(msg)
    grey, white = (np.clip(np.nan_to_num(parts[name]), 0.0, 1.0) for name in ("gm", "wm"))
    fluid = np.clip(1.0 - grey - white, 0.0, 1.0)
    images, spread = separated(difference.delta_m, (grey, white), difference.mask, kernel)
    relaxed, _ = separated(difference.m0[..., None], (grey, white, fluid), difference.mask, kernel)
    found: dict[str, NDArray[np.float32]] = {}
    for at, (name, fraction) in enumerate((("gm", grey), ("wm", white))):
        noise = difference.noise_sd
        noise = None if noise is None else (noise * np.sqrt(np.maximum(spread[at], 0.0))[..., None]).astype(np.float32)
        mask = difference.mask & (fraction >= LEAST_FRACTION)
        if not mask.any():
            found[f"cbf_{name}"] = np.full(mask.shape, np.nan, np.float32)
            continue
        pure = {key: np.full(mask.shape, float(key == name), np.float32) for key in ("gm", "wm")}
        own = replace(difference, delta_m=images[at], m0=_sensible_m0(relaxed[at][..., 0], difference), noise_sd=noise, mask=mask)
        part = part_of(progress, 0.5 * at, 0.5 * at + 0.5)
        found[f"cbf_{name}"] = quantify(own, method=method, tissue=pure, settings=settings, progress=part)["cbf"]
    return found


def separated(
    images: NDArray[Any], fractions: tuple[NDArray[np.float32], ...], mask: BoolArray, kernel: int
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Regress images on fractions within a square of each slice.

    Parameters
    ----------
    images : ndarray, shape (I, J, K, D)
        Mixed images.
    fractions : tuple of ndarray, shape (I, J, K)
        Fractions of P tissues.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that count.
    kernel : int
        Voxels along each side.

    Returns
    -------
    parts : list of ndarray, shape (I, J, K, D)
        Image of each pure tissue, 0 outside the mask.
    variances : list of ndarray, shape (I, J, K)
        Variance of each part for images with a variance of 1.
    """
    inside = [np.where(mask, part, 0.0).astype(np.float64) for part in fractions]
    count = len(inside)
    gram = np.empty((int(mask.sum()), count, count))
    for a in range(count):
        for b in range(a, count):
            gram[:, a, b] = gram[:, b, a] = _sums(inside[a] * inside[b], kernel)[mask]
    usual = np.array([float((part[mask] ** 2).mean()) for part in inside]) * kernel**2
    plain = gram.copy()
    gram[:, range(count), range(count)] += _RIDGE * np.maximum(usual, 1e-6)
    inverse = np.linalg.inv(gram)
    depth = images.shape[3]
    right = np.empty((len(gram), count, depth))
    for d in range(depth):
        image = np.where(mask, np.nan_to_num(images[..., d]), 0.0).astype(np.float64)
        for a in range(count):
            right[:, a, d] = _sums(inside[a] * image, kernel)[mask]
    solved = inverse @ right
    variance = np.einsum("nab,nbc,nca->na", inverse, plain, inverse)
    parts, variances = [], []
    for a in range(count):
        part, spread = np.zeros(images.shape, np.float32), np.zeros(mask.shape, np.float32)
        part[mask], spread[mask] = solved[:, a], variance[:, a]
        parts.append(part)
        variances.append(spread)
    return parts, variances


def _sums(values: NDArray[np.float64], kernel: int) -> NDArray[np.float64]:
    """Sums over the square of neighbors within a slice."""
    mean = ndimage.uniform_filter(values, size=(kernel, kernel, 1), mode="constant")
    return np.asarray(mean * kernel**2)


def _sensible_m0(own: NDArray[np.float32], difference: AslDifference) -> NDArray[np.float32]:
    """M0 of the pure tissue; where the regression found nonsense, the measured one."""
    measured = np.asarray(difference.m0, np.float32)
    good = (own > 0.5 * measured) & (own < 2.0 * measured)
    return np.where(good, own, measured).astype(np.float32)
