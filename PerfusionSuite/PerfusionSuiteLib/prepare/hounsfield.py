# SPDX-License-Identifier: Apache-2.0
"""Guards on CT numbers: is this CT, is it in HU, and what lies outside the field of view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..core.series import PerfusionSeries

AIR_HU = -1000.0


def check_ct(series: PerfusionSeries) -> None:
    """Refuse a series that is not CT or whose numbers are not HU.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.

    Raises
    ------
    InvalidInputError
        If it is no CT perfusion series, if soft tissue lies near 1000 instead of near 0, or if nothing looks like soft tissue.
    """
    if series.modality != "ctp":
        msg = f"This step needs CT perfusion, but the series is of modality '{series.modality}'. Choose a CT perfusion series."
        raise InvalidInputError(msg)
    sample = series.data[::2, ::2, :, 0]
    sample = sample[np.isfinite(sample)]
    soft = int(((sample > 5) & (sample < 100)).sum())
    shifted = int(((sample > 1000) & (sample < 1130)).sum())
    if shifted > 0.08 * sample.size and not (sample < -500).any():  # no air, and too much of what could only be bone
        middle = float(np.median(sample[(sample > 1000) & (sample < 1130)]))
        msg = f"Soft tissue lies near {middle:.0f} instead of 35 HU: rescale slope and intercept were not applied. Convert to HU."
        raise InvalidInputError(msg)
    if soft < 0.005 * sample.size:
        msg = (
            f"Only {soft} of {sample.size} sampled voxels lie between 5 and 100 HU, so there is no brain in this series. "
            "Choose a CT perfusion series in HU."
        )
        raise InvalidInputError(msg)


def padding(data: NDArray[np.float32]) -> BoolArray:
    """Find voxels that the scanner or a skull stripper filled in.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T), HU
        The scan.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        True where every frame has exactly the value of the first corner.
    """
    same: BoolArray = (data[..., 0] == data[0, 0, 0, 0]) & (data[..., -1] == data[0, 0, 0, 0])
    same &= data[..., data.shape[3] // 2] == data[0, 0, 0, 0]
    return same


def baseline_image(series: PerfusionSeries, frames: int) -> NDArray[np.float32]:
    """Average the frames before contrast, with air where nothing was measured.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.
    frames : int
        Number of frames to average.

    Returns
    -------
    ndarray of float32, shape (I, J, K), HU
        Mean image; missing and padded voxels are air.
    """
    mean = np.zeros(series.shape, np.float32)
    for frame in range(frames):
        mean += series.data[..., frame]
    mean /= np.float32(frames)
    mean[~np.isfinite(mean) | padding(series.data)] = AIR_HU
    return mean
