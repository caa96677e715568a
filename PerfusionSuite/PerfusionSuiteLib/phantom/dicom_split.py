# SPDX-License-Identifier: Apache-2.0
"""Which DICOM series an image of a phantom goes to: some scanners start a new one for each phase or table position."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray

SPLITS = ("none", "phases", "slabs", "frames")
"""How a scan can be cut into series."""

_CHANGE = 0.3


def series_numbers(split: str, slice_times_s: FloatArray, frame_times_s: FloatArray) -> NDArray[np.int64]:
    """Return the series of each image.

    Parameters
    ----------
    split : {"none", "phases", "slabs", "frames"}
        ``phases``: a new series where the interval between frames changes. ``slabs``: one series per table position, which are
        the slices that share their times. ``frames``: one series per frame.
    slice_times_s : ndarray, shape (K, T), s
        Time of each image.
    frame_times_s : ndarray, shape (T,), s
        Time of each frame.

    Returns
    -------
    ndarray of int, shape (K, T)
        Numbers from 0.

    Raises
    ------
    InvalidInputError
        If `split` is unknown.
    """
    slices, frames = slice_times_s.shape
    if split == "none":
        return np.zeros((slices, frames), np.int64)
    if split == "frames":
        return np.tile(np.arange(frames, dtype=np.int64), (slices, 1))
    if split == "phases":
        return np.tile(phase_of_frames(frame_times_s), (slices, 1))
    if split == "slabs":
        changes = np.abs(np.diff(slice_times_s, axis=0)).max(axis=1) > 1e-6
        slab = np.concatenate([[0], np.cumsum(changes)]).astype(np.int64)
        return np.tile(slab[:, None], (1, frames))
    msg = f"A scan cannot be cut into series by '{split}'. Choose one of: {', '.join(SPLITS)}."
    raise InvalidInputError(msg)


def phase_of_frames(times_s: FloatArray) -> NDArray[np.int64]:
    """Number the phases of a scan: runs of frames with one interval.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    ndarray of int, shape (T,)
        Numbers from 0; a pause belongs to no phase.
    """
    steps = np.diff(times_s)
    phase = np.zeros(times_s.size, np.int64)
    start = 0
    for n in range(1, steps.size):
        usual = steps[start] if start < n else steps[n]
        if abs(steps[n] - usual) > _CHANGE * usual and n > start:
            phase[n + 1 :] += 1
            start = n + 1
    return phase
