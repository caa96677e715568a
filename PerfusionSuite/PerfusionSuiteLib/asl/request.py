# SPDX-License-Identifier: Apache-2.0
"""What an ASL model is given: label densities of the voxels that count, with times, relaxation and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.asl import AslDifference
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback
from .kinetic import scaled_density
from .relaxation import PARTITION_ML_PER_G, Relaxation, mixture_of, relaxation_at, tissue_relaxation

_NOISE_FWHM_MM = 20.0
"""Few repetitions tell the noise of one voxel badly; that of its neighborhood they tell well."""
_M0_FLOOR = 0.02
"""Part of the brain's median M0 below which a voxel holds no tissue."""


@dataclass(frozen=True, slots=True)
class AslRequest:
    """One call of a model.

    Parameters
    ----------
    difference : AslDifference
        The measurement.
    options : mapping
        Every option of the method.
    tissue : mapping of str to ndarray
        Fractions ``gm`` and ``wm`` on the grid of the difference images, when they are known.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    progress : callable
        Progress.
    """

    difference: AslDifference
    options: Mapping[str, Any]
    tissue: Mapping[str, NDArray[Any]]
    device: str
    progress: ProgressCallback


@dataclass(frozen=True, slots=True)
class Curves:
    """The voxels of a mask as a kinetic model sees them.

    Parameters
    ----------
    density : ndarray, shape (N, D), mL/g
        Label density; relative to an unknown factor when `relative`.
    noise : ndarray, shape (N,), or None
        Standard error of the density of a delay with `weights` 1.
    weights : ndarray, shape (D,)
        Standard error of each delay relative to `noise`.
    usable : ndarray of bool, shape (N,)
        Finite and calibrated.
    calibrated : ndarray of bool, shape (N,)
        With an M0 that is no air.
    post_label_delays_s, label_durations_s : ndarray, shape (D,), s
        Of the first slice.
    slice_delay_s : ndarray, shape (N,), s
        Added to the delays of each voxel.
    t1_tissue_s : ndarray, shape (N,), s
        T1 of tissue.
    t1_blood_s : float, s
        T1 of arterial blood.
    labeling : str
        How blood is labeled.
    partition : float, mL/g
        Brain-blood partition coefficient.
    relative : bool
        True without M0.
    mixture : ndarray, shape (N, 2), or None
        How much gray and white matter share each voxel and how much of it is fluid (`mixture_of`); None without fractions.
    """

    density: FloatArray
    noise: FloatArray | None
    weights: FloatArray
    usable: BoolArray
    calibrated: BoolArray
    post_label_delays_s: FloatArray
    label_durations_s: FloatArray
    slice_delay_s: FloatArray
    t1_tissue_s: FloatArray
    t1_blood_s: float
    labeling: str
    partition: float
    relative: bool
    mixture: FloatArray | None


def relaxation_of(request: AslRequest) -> Relaxation:
    """Return the relaxation times of a request: those of the magnet, or what options replace them by.

    Parameters
    ----------
    request : AslRequest
        The request; the options ``t1_blood``, ``t1_gm``, ``t1_wm`` and ``t1_tissue`` count where they are not None.

    Returns
    -------
    Relaxation
        Times in s.
    """
    known = relaxation_at(request.difference.field_strength_t)
    options = request.options
    given = {"blood": options.get("t1_blood"), "grey": options.get("t1_gm"), "white": options.get("t1_wm")}
    given["tissue"] = options.get("t1_tissue")
    return known._replace(**{name: float(value) for name, value in given.items() if value is not None})


def curves_of(request: AslRequest) -> Curves:
    """Return the measurement as label densities of the voxels of the mask.

    Parameters
    ----------
    request : AslRequest
        The request; the option ``partition`` counts when there is one.

    Returns
    -------
    Curves
        For the models.
    """
    measured, mask = request.difference, request.difference.mask
    partition = float(request.options.get("partition") or PARTITION_ML_PER_G)
    times = relaxation_of(request)
    m0, relative = _m0_of(measured)
    calibrated = np.isfinite(m0) & (m0 > _M0_FLOOR * float(np.median(m0[m0 > 0]))) if (m0 > 0).any() else np.zeros(m0.size, bool)
    factor = np.where(calibrated, m0, 1.0)[:, None]
    density = scaled_density(measured.delta_m[mask].astype(np.float64), factor, measured.labeling_efficiency, partition=partition)
    finite = np.isfinite(density).all(axis=1)
    noise, weights = _noise(measured, request.progress)
    if noise is not None:
        noise = scaled_density(noise, factor[:, 0], measured.labeling_efficiency, partition=partition)
    white, grey = request.tissue.get("wm"), request.tissue.get("gm")
    mixture = mixture_of(grey, white, mask.shape)
    return Curves(
        np.where(finite[:, None], density, 0.0),
        noise,
        weights,
        finite & calibrated,
        calibrated,
        np.asarray(measured.post_label_delays_s, np.float64),
        np.asarray(measured.label_durations_s, np.float64),
        np.broadcast_to(np.asarray(measured.slice_delays_s, np.float64), mask.shape)[mask],
        tissue_relaxation(grey, white, times, mask.shape)[mask],
        times.blood,
        measured.labeling,
        partition,
        relative,
        None if mixture is None else mixture[mask],
    )


def _m0_of(measured: AslDifference) -> tuple[FloatArray, bool]:
    """M0 of the voxels of the mask; without one, a number that gives densities of a usual size."""
    if measured.m0 is not None:
        return measured.m0[measured.mask].astype(np.float64), False
    usual = np.nanmean(np.where(np.isfinite(measured.delta_m[measured.mask]), measured.delta_m[measured.mask], np.nan))
    return np.full(int(measured.mask.sum()), max(float(usual), 1e-12) / 0.007), True


def _noise(measured: AslDifference, progress: ProgressCallback) -> tuple[FloatArray | None, FloatArray]:
    """Standard error of each voxel, smoothed, and of each delay relative to it."""
    mask, delays = measured.mask, measured.delta_m.shape[3]
    if measured.noise_sd is None:
        pairs = np.maximum(np.asarray(measured.repetitions, np.float64), 1.0)
        weights = np.sqrt(pairs.mean() / pairs) if pairs.size == delays else np.ones(delays)
        return None, weights
    sigma = (_NOISE_FWHM_MM / 2.355) / voxel_sizes(measured.affine)
    variance = np.where(mask[..., None], np.nan_to_num(measured.noise_sd.astype(np.float64)) ** 2, 0.0)
    level = np.sqrt([variance[..., at][mask].mean() for at in range(delays)])
    if not (level > 0).all():
        return np.zeros(int(mask.sum())), np.ones(delays)
    weights = level / np.sqrt((level**2).mean())
    pooled = (variance / weights**2).mean(axis=3)
    share = np.maximum(ndimage.gaussian_filter(mask.astype(np.float32), sigma), 1e-6)
    smooth = ndimage.gaussian_filter(pooled.astype(np.float32), sigma) / share
    progress(0.05, "Noise")
    return np.sqrt(smooth[mask].astype(np.float64)), weights
