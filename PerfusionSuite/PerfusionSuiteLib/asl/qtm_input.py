# SPDX-License-Identifier: Apache-2.0
"""What QTMnet is given of a scan: label density of the delays that it knows, on its own voxels, with the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslDifference
from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, voxel_sizes
from .kinetic import scaled_density
from .qtm_grid import Resampling
from .qtm_weights import Q_REF, S_REF, VOXEL_MM, QtmWeights

FIELD_T = 3.0
FIELD_TOLERANCE_T = 0.3
SLICE_TOLERANCE_S = 0.05

_FEWEST_DELAYS = 4
"""From so many on, the component of the images that differs least is noise alone."""


@dataclass(frozen=True, slots=True)
class QtmInput:
    """A scan as the network sees it.

    Parameters
    ----------
    images : ndarray, shape (L, M, N, D), mL/g
        Label density on the network's voxels, zero outside the mask.
    inside : ndarray of bool, shape (L, M, N)
        Mask.
    valid : ndarray of bool, shape (I, J, K)
        Voxels of the scan that count.
    way : Resampling
        Between the two grids.
    order : tuple of int
        Axes of the scan in the order of the network.
    noise : float, mL/g
        Standard deviation of the noise of `images`.
    absolute : bool
        Whether there is M0.
    """

    images: NDArray[np.float32]
    inside: BoolArray
    valid: BoolArray
    way: Resampling
    order: tuple[int, int, int]
    noise: float
    absolute: bool


def check_protocol(difference: AslDifference, weights: QtmWeights) -> list[int]:
    """Find the images that the network was trained for.

    Parameters
    ----------
    difference : AslDifference
        The scan.
    weights : QtmWeights
        The network.

    Returns
    -------
    list of int
        One image for each of the network's delays.

    Raises
    ------
    InvalidInputError
        If labeling, delays, magnet or readout are others.
    """
    known = weights.protocol
    if difference.labeling not in ("pcasl", "casl"):
        msg = f"QTMnet was trained for (P)CASL, but this scan is {difference.labeling.upper()}. Choose asl-multi or asl-single."
        raise InvalidInputError(msg)
    if abs(difference.field_strength_t - FIELD_T) > FIELD_TOLERANCE_T:
        msg = (
            f"QTMnet was trained for {FIELD_T:g} T (T1 of blood {known.t1_blood_s:g} s), but this scan was made at "
            f"{difference.field_strength_t:g} T. Choose asl-multi."
        )
        raise InvalidInputError(msg)
    late = float(np.ptp(difference.slice_delays_s)) if np.size(difference.slice_delays_s) else 0.0
    if late > SLICE_TOLERANCE_S:
        msg = (
            f"QTMnet needs one delay for all slices, but the last slice of this 2D scan is read {late:.2f} s after the first. "
            "Choose asl-multi."
        )
        raise InvalidInputError(msg)
    found = known.matching(difference.label_durations_s.tolist(), difference.post_label_delays_s.tolist())
    if found is None:
        durations = sorted({round(float(v), 4) for v in difference.label_durations_s})
        mine = ", ".join(f"{v:.4g}" for v in difference.post_label_delays_s)
        labeling = ", ".join(f"{v:.4g}" for v in durations)
        msg = (
            f"These weights of QTMnet know {known.words()}, but the scan has labeling {labeling} s, delays {mine} s. Choose "
            "asl-multi, or train weights for these delays with 'train qtmnet --protocol'."
        )
        raise InvalidInputError(msg)
    return found


def noise_of(images: NDArray[np.float32], inside: BoolArray) -> float:
    """Estimate the noise of images of several delays from the component in which they differ least.

    Parameters
    ----------
    images : ndarray, shape (I, J, K, D)
        Label density; with four delays or more, label fills fewer components than there are.
    inside : ndarray of bool, shape (I, J, K)
        Brain.

    Returns
    -------
    float
        Standard deviation, in the unit of the images; NaN where it cannot be told.
    """
    curves = np.asarray(images[inside], np.float64)
    if curves.shape[0] <= 2 * curves.shape[1] or curves.shape[1] < _FEWEST_DELAYS:
        return float("nan")
    _, vectors = np.linalg.eigh(np.cov(curves.T))
    least = curves @ vectors[:, 0]
    return float(1.4826 * np.median(np.abs(least - np.median(least))))


def prepare(difference: AslDifference, weights: QtmWeights) -> QtmInput:
    """Scale, select and resample what was measured.

    Parameters
    ----------
    difference : AslDifference
        The scan.
    weights : QtmWeights
        The network.

    Returns
    -------
    QtmInput
        Without M0 scaled to the mean label of the training.

    Raises
    ------
    InvalidInputError
        If the protocol is another one, or nothing was measured.
    """
    wanted = check_protocol(difference, weights)
    signal = np.asarray(difference.delta_m[..., wanted], np.float32)
    valid = difference.mask & np.isfinite(signal).all(axis=-1)
    if difference.m0 is not None:
        valid &= np.isfinite(difference.m0) & (difference.m0 > 0)
    if not valid.any():
        msg = "No voxel of the mask has difference images and M0. Check the mask and the M0 scan."
        raise InvalidInputError(msg)
    if difference.m0 is None:
        mean = float(signal[valid].mean())
        if not mean > 0:
            msg = "The difference images have no positive mean in the brain. Check which volumes are control and which label."
            raise InvalidInputError(msg)
        density = signal * np.float32(weights.mean_label / mean)
    else:
        m0 = np.where(valid, difference.m0, np.float32(1.0))[..., None]
        density = scaled_density(signal, m0, difference.labeling_efficiency).astype(np.float32)
    sizes = voxel_sizes(difference.affine)
    order = _axes(sizes)
    density, turned = np.transpose(density, (*order, 3)), np.transpose(valid, order)
    way = Resampling.between(turned.shape, tuple(float(sizes[axis]) for axis in order), VOXEL_MM)
    images, inside = way.forth(density, turned)
    noise = noise_of(images, inside)
    if not np.isfinite(noise):
        noise = _told_noise(difference, wanted, valid) * way.noise_factor
    return QtmInput(images, inside, valid, way, order, noise, difference.m0 is not None)


def _axes(sizes: NDArray[Any]) -> tuple[int, int, int]:
    """Order the axes so that the coarsest comes last, as in the training."""
    last = 2 if np.isclose(sizes[2], sizes.max(), rtol=0.05) else int(np.argmax(sizes))
    first, second = (axis for axis in range(3) if axis != last)
    return first, second, last


def _told_noise(difference: AslDifference, wanted: list[int], valid: BoolArray) -> float:
    """Take the noise from the scatter of repetitions; 0 where nothing is known."""
    if difference.noise_sd is None or difference.m0 is None:
        return 0.0
    deviation = scaled_density(difference.noise_sd[..., wanted], difference.m0[..., None], difference.labeling_efficiency)
    found = deviation[valid]
    return float(np.median(found[np.isfinite(found)])) if np.isfinite(found).any() else 0.0


def network_input(images: NDArray[np.float32], weights: QtmWeights, noise: float, inside: BoolArray) -> tuple[Any, float]:
    """Scale label density as the network knows it.

    Parameters
    ----------
    images : ndarray, shape (I, J, K, D)
        Label density on the network's voxels, zero outside the mask.
    weights : QtmWeights
        The network.
    noise : float
        Standard deviation of the noise in label density.
    inside : ndarray of bool, shape (I, J, K)
        Mask.

    Returns
    -------
    x : Tensor, shape (1, channels, I, J, K)
        Input.
    factor : float
        What the output is multiplied with, mL/100 g/min.
    """
    import torch

    divisor = S_REF if weights.scale == "physical" else max(float(np.percentile(images[inside], 99.9)), 1e-6)
    planes = [np.moveaxis(images, 3, 0) / np.float32(divisor)]
    if weights.noise_channel:
        planes.append(np.full((1, *inside.shape), noise / divisor, np.float32))
    return torch.from_numpy(np.concatenate(planes)[None].astype(np.float32)), Q_REF * divisor / S_REF
