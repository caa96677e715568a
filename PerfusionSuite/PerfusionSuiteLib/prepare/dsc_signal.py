# SPDX-License-Identifier: Apache-2.0
"""MR signal to the change of transverse relaxation, for one or two gradient echoes, and the guards around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..core.series import PerfusionSeries
from .noise import noise_sd

SHORTEST_ECHO_S, LONGEST_ECHO_S = 0.001, 0.1
FLOOR_SHARE, FLOOR_OVER_NOISE = 0.01, 2.0
SATURATED_FRAMES = 2
RAYLEIGH_MEAN = float(np.sqrt(np.pi / 2.0))
"""Mean of a magnitude without signal over the standard deviation of the noise: 1.2533."""

RAYLEIGH_RATIO = float(np.sqrt(2.0 - np.pi / 2.0)) / RAYLEIGH_MEAN


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Change of R2* of many voxels.

    Parameters
    ----------
    curves : ndarray, shape (N, T), 1/s
        Delta R2*.
    baseline : ndarray, shape (N,)
        Mean signal before contrast; of two echoes the first.
    saturated : ndarray of bool, shape (N,)
        Voxels whose signal sank into the noise in two or more frames: their peak is cut off.
    """

    curves: NDArray[np.float32]
    baseline: NDArray[np.float32]
    saturated: BoolArray


def echo_time(series: PerfusionSeries) -> float:
    """Return the echo time of a DSC series, or say what is wrong with it.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.

    Returns
    -------
    float, s
        The echo time.

    Raises
    ------
    InvalidInputError
        If the series is not DSC, has no echo time, or one that no gradient-echo sequence has.
    """
    if series.modality != "dsc":
        msg = f"This step needs DSC-MRI, but the series is of modality '{series.modality}'. Choose a DSC series."
        raise InvalidInputError(msg)
    if not series.acquisition.echo_times_s:
        msg = (
            "The series has no echo time, which turns signal into contrast. "
            "Put 'EchoTime' (seconds) into the JSON sidecar, or read the original DICOM files."
        )
        raise InvalidInputError(msg)
    echo = float(series.acquisition.echo_times_s[0])
    if SHORTEST_ECHO_S <= echo <= LONGEST_ECHO_S:
        return echo
    msg = f"The echo time is {echo:g} s, but 0.001 to 0.1 s are possible.{_guess(echo)} Correct 'EchoTime' in the header."
    raise InvalidInputError(msg)


def _guess(echo: float) -> str:
    """Say which unit a wrong echo time seems to have."""
    if SHORTEST_ECHO_S <= echo / 1000.0 <= LONGEST_ECHO_S:
        return f" It seems to be in milliseconds ({echo:g} ms = {echo / 1000.0:g} s)."
    if SHORTEST_ECHO_S <= echo * 1000.0 <= LONGEST_ECHO_S:
        return f" It seems that {echo * 1000.0:g} s were written where milliseconds are expected."
    return ""


def check_signal(series: PerfusionSeries) -> None:
    """Refuse a series that holds no MR magnitudes.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.

    Raises
    ------
    InvalidInputError
        If values are negative or all equal.
    """
    low, high = float(np.nanmin(series.data)), float(np.nanmax(series.data))
    if low < 0:
        count = int((series.data < 0).any(axis=3).sum())
        msg = (
            f"{count} voxels have negative values down to {low:.4g}, which MR magnitudes cannot have. "
            "Give the original images, not phase, filtered or subtracted ones."
        )
        raise InvalidInputError(msg)
    if not high > low:
        msg = f"All values of the series are {low:.4g}. Choose another series."
        raise InvalidInputError(msg)


def signal_noise(series: PerfusionSeries, head: BoolArray, baseline_frames: int) -> float:
    """Estimate the standard deviation of the noise of the signal.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.
    head : ndarray of bool, shape (I, J, K)
        Where there is signal.
    baseline_frames : int
        Frames before contrast.

    Returns
    -------
    float
        From the background, where magnitudes are Rayleigh distributed; from baseline fluctuations of the head when the
        background was set to zero or holds something else.
    """
    outside = ~ndimage.binary_dilation(head, iterations=3)
    sample = series.data[outside][:, : max(baseline_frames, 3)].ravel()
    sample = sample[np.isfinite(sample)]
    if sample.size >= 1000 and (sample > 0).mean() > 0.9:
        typical = float(np.median(sample)) / float(np.sqrt(2.0 * np.log(2.0)))
        kept = sample[sample < 5.0 * typical].astype(np.float64)
        if abs(kept.std() / kept.mean() / RAYLEIGH_RATIO - 1.0) < 0.25:
            return float(kept.mean()) / RAYLEIGH_MEAN
    return noise_sd(series.data[head], baseline_frames)


def relaxation(
    signals: tuple[NDArray[np.float32], ...],
    echo_times_s: tuple[float, ...],
    baseline_frames: int,
    noise: tuple[float, ...],
) -> Relaxation:
    """Turn signal into the change of R2*.

    Parameters
    ----------
    signals : tuple of ndarray, shape (N, T)
        Signal of one echo, or of two.
    echo_times_s : tuple of float, s
        Their echo times.
    baseline_frames : int
        Frames before contrast.
    noise : tuple of float
        Standard deviation of the noise of each echo; 0 or NaN when it is not known.

    Returns
    -------
    Relaxation
        Curves, baseline and which voxels are saturated.

    Notes
    -----
    One echo: ``-ln(S / S_BL) / TE`` (CAPLEX M.SM1.001). Two: ``ln[(S1 / S1_BL) / (S2 / S2_BL)] / (TE2 - TE1)`` (M.SM6.001), in
    which changes of T1 cancel. Signals below ``max(0.01 S_BL, 2 sd)`` are set to that floor.
    """
    logs, saturated = [], np.zeros(signals[0].shape[0], bool)
    for signal, sd in zip(signals, noise, strict=True):
        level = signal[:, :baseline_frames].mean(axis=1, dtype=np.float64)
        lowest = np.maximum(FLOOR_SHARE * level, FLOOR_OVER_NOISE * sd if np.isfinite(sd) else 0.0)
        lowest = np.maximum(lowest, 1e-30)
        sunk = signal < lowest[:, None].astype(np.float32)
        saturated |= sunk.sum(axis=1) >= SATURATED_FRAMES
        safe = np.where(sunk, lowest[:, None], signal)
        logs.append(np.log(safe / np.maximum(level, lowest)[:, None]))
    if len(logs) == 1:
        curves = logs[0] / -echo_times_s[0]
    else:
        curves = (logs[0] - logs[1]) / (echo_times_s[1] - echo_times_s[0])
    baseline = signals[0][:, :baseline_frames].mean(axis=1, dtype=np.float64)
    return Relaxation(curves.astype(np.float32), baseline.astype(np.float32), saturated)
