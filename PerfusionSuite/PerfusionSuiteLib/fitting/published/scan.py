# SPDX-License-Identifier: Apache-2.0
"""A scan as the networks see it: times and curves of order one, positions scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.errors import InvalidInputError
from ...core.geometry import FloatArray, voxel_sizes

ARRIVED = 0.1
"""Frames at which the artery is above this share of its peak are not baseline."""


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Scales between the scan and the networks.

    Parameters
    ----------
    time_mean_s, time_sd_s : float, s
        Networks see ``(t - mean) / sd``.
    peak : float
        Largest value of the AIF, which all curves are divided by.
    aif_baseline : float
        What was subtracted from the AIF.
    """

    time_mean_s: float
    time_sd_s: float
    peak: float
    aif_baseline: float


@dataclass(frozen=True, slots=True)
class NormalizedScan:
    """Tensors that a fit reads.

    Parameters
    ----------
    curves : Tensor, shape (N, T)
        Tissue curves over the peak of the AIF; float32.
    positions : Tensor, shape (N, 2 or 3)
        Scaled coordinates.
    times, aif : Tensor, shape (T,)
        Scaled.
    clockwork : Clockwork
        The scales.
    """

    curves: Tensor
    positions: Tensor
    times: Tensor
    aif: Tensor
    clockwork: Clockwork

    def to(self, device: torch.device) -> NormalizedScan:
        """Return the scan on a device."""
        curves, positions, times, aif = (part.to(device) for part in (self.curves, self.positions, self.times, self.aif))
        return NormalizedScan(curves, positions, times, aif, self.clockwork)


def baseline_count(aif: FloatArray, wanted: int) -> int:
    """Return how many first frames are baseline: those wanted, but none after the contrast arrived, and at least one.

    Parameters
    ----------
    aif : ndarray, shape (T,)
        Arterial input.
    wanted : int
        Frames that the user wants; 0 for no baseline.

    Returns
    -------
    int
        Frames.
    """
    if not wanted:
        return 0
    late = np.flatnonzero(aif - aif[0] > ARRIVED * (aif.max() - aif[0]))
    return max(1, min(wanted, int(late[0]) if late.size else 1))


def normalized(
    curves: NDArray[np.float32], positions: NDArray[np.float32], times_s: FloatArray, aif: FloatArray, baseline_frames: int
) -> NormalizedScan:
    """Scale a scan.

    Parameters
    ----------
    curves : ndarray, shape (N, T)
        Tissue curves; overwritten.
    positions : ndarray, shape (N, 2 or 3)
        Scaled coordinates.
    times_s, aif : ndarray, shape (T,)
        Frame times in s and arterial input.
    baseline_frames : int
        First frames whose mean is subtracted; 0 for none.

    Returns
    -------
    NormalizedScan
        Tensors on the CPU.

    Raises
    ------
    InvalidInputError
        If the AIF does not rise above its own baseline.
    """
    count = baseline_count(aif, baseline_frames)
    start = float(aif[:count].mean()) if count else 0.0
    peak = float(aif.max()) - start
    if peak <= 0:
        msg = f"The AIF does not rise above its first {count} frames. Choose other AIF voxels, or set baseline_frames to 0."
        raise InvalidInputError(msg)
    if count:
        curves -= curves[:, :count].mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    curves /= np.float32(peak)
    mean, sd = float(times_s.mean()), float(times_s.std())
    return NormalizedScan(
        torch.from_numpy(curves),
        torch.from_numpy(np.ascontiguousarray(positions, np.float32)),
        torch.from_numpy(((times_s - mean) / sd).astype(np.float32)),
        torch.from_numpy(((aif - start) / peak).astype(np.float32)),
        Clockwork(mean, sd, peak, start),
    )


def volume_scale(shape: tuple[int, ...], affine: FloatArray, scaling: str) -> FloatArray:
    """Return what voxel indices are multiplied by to lie in [0, 1].

    Parameters
    ----------
    shape : tuple of int, (I, J, K)
        Raster.
    affine : ndarray, shape (4, 4), mm
        Its voxel to RAS.
    scaling : {"axes", "isotropic"}
        Each axis to [0, 1], or the longest one, in mm, and the others alike.

    Returns
    -------
    ndarray, shape (3,)
        Factors.
    """
    steps = np.maximum(np.array(shape, float) - 1.0, 1.0)
    if scaling == "axes":
        return np.asarray(1.0 / steps)
    sizes = voxel_sizes(affine)
    return np.asarray(sizes / (sizes * steps).max())


def slice_scale(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return mean and standard deviation of in-plane indices: one pair for both axes, as the original does.

    Parameters
    ----------
    shape : tuple of int, (I, J, ...)
        Raster.

    Returns
    -------
    mean, sd : float
        Of the indices of all pixels of a slice, both axes together.
    """
    both = np.concatenate([np.tile(np.arange(n, dtype=float), shape[1 - axis]) for axis, n in enumerate(shape[:2])])
    return float(both.mean()), float(both.std()) or 1.0
