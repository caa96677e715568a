# SPDX-License-Identifier: Apache-2.0
"""Are the numbers what they should be: HU for CT, finite everywhere?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from .notes import Notes

AIR_HU = -1024.0
_SOFT = (0.0, 100.0)
_OFFSET = 1024.0
_MAX_MISSING = 1e-3


def sample_of(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return finite values of the first frame, every other voxel in the plane.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        The scan.

    Returns
    -------
    ndarray, shape (n,)
        Values.
    """
    sample: NDArray[np.float32] = data[::2, ::2, :, 0]
    return sample[np.isfinite(sample)]


def looks_like_ct(data: NDArray[np.float32]) -> bool:
    """Tell by the air peak near -1000 whether values are HU.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        The scan.

    Returns
    -------
    bool
        True when at least 3 % of the voxels are air and some are soft tissue.
    """
    sample = sample_of(data)
    if not sample.size:
        return False
    air = float(((sample > -1100) & (sample < -850)).mean())
    soft = float(((sample > _SOFT[0]) & (sample < _SOFT[1])).mean())
    return air > 0.03 and soft > 0.01


def fill_missing(data: NDArray[np.float32], modality: str, notes: Notes) -> BoolArray:
    """Fill what has no value, in place: background that some programs leave as NaN, and single gaps in a voxel's curve.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        The scan; changed.
    modality : {"ctp", "dsc"}
        Background becomes air (-1024 HU) or 0.
    notes : Notes
        Gets findings.

    Returns
    -------
    ndarray of bool, shape (T,)
        Frames to keep.

    Raises
    ------
    InvalidInputError
        If values are missing in single frames of the head.
    """
    frames = data.shape[3]
    # Slice by slice, since a mask of the whole scan would take a quarter of its memory.
    if all(bool(np.isfinite(data[:, :, k]).all()) for k in range(data.shape[2])):
        return np.ones(frames, np.bool_)
    missing = [~np.isfinite(data[..., t]) for t in range(frames)]
    counts = np.array([int(item.sum()) for item in missing])
    empty = counts == data[..., 0].size
    keep: BoolArray = ~empty
    if empty.all():
        msg = "The series holds no finite numbers. Choose another file."
        raise InvalidInputError(msg)
    if empty.any():
        notes.decide(f"{int(empty.sum())} of {frames} frames without any finite value were left out.")
        notes.find("empty_frames", "warning", f"{int(empty.sum())} of {frames} frames hold no finite value and were left out.")
    kept = np.flatnonzero(keep)
    always = np.logical_and.reduce([missing[t] for t in kept])
    stray = int(counts[kept].max() - always.sum())
    if stray > _MAX_MISSING * data[..., 0].size:
        msg = f"Up to {stray} voxels of a frame have no finite value though other frames do. Repair or export the scan again."
        raise InvalidInputError(msg)
    if stray:
        _bridge_gaps(data, always, kept)
        notes.find(
            "missing_values",
            "warning",
            f"Up to {stray} voxels of a frame had no finite value; they were interpolated in time between the frames around.",
            "Check the source images.",
        )
    background = np.float32(AIR_HU if modality == "ctp" else 0.0)
    for t in kept:
        data[..., t][always] = background
    if always.any():
        notes.decide(f"{int(always.sum())} voxels without values in all frames were taken as background.")
        _name_empty_slices(always, notes)
    return keep


def _bridge_gaps(data: NDArray[np.float32], always: BoolArray, kept: NDArray[np.intp]) -> None:
    """Fill missing frames of single voxels from their own curve, in place."""
    frames = data[..., kept]
    voxels = np.argwhere(~np.isfinite(frames).all(axis=3) & ~always)
    at = np.arange(kept.size, dtype=np.float64)
    for i, j, k in voxels:  # at most one voxel in a thousand
        curve = frames[i, j, k]
        known = np.isfinite(curve)
        data[i, j, k, kept] = np.interp(at, at[known], curve[known])


def _name_empty_slices(always: BoolArray, notes: Notes) -> None:
    empty = np.flatnonzero(always.all(axis=(0, 1)))
    if empty.size:
        names = ", ".join(str(k + 1) for k in empty)
        message = f"Slice(s) {names} of {always.shape[2]} hold no values and were left out: lesions there cannot be seen."
        notes.find("empty_slices", "warning", message, "Export the scan again if these slices were acquired.")


def to_hounsfield(data: NDArray[np.float32], notes: Notes, *, rescaled: bool) -> None:
    """Correct or refuse CT values that are not HU, in place.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        The scan; changed.
    notes : Notes
        Gets decisions and findings.
    rescaled : bool
        Whether the file said how to turn stored values into HU.

    Raises
    ------
    InvalidInputError
        If the values can be no HU.
    """
    sample = sample_of(data)
    low, high = float(sample.min()), float(sample.max())
    if high - low < 20.0 or high > 40000.0:
        msg = (
            f"Values range from {low:.4g} to {high:.4g}, which cannot be Hounsfield units. "
            "Give the original CT series with rescale slope and intercept."
        )
        raise InvalidInputError(msg)
    if _is_offset(sample):
        data -= np.float32(_OFFSET)
        applied = "although the header has a rescale intercept" if rescaled else "since rescaling was not applied"
        notes.decide(f"1024 was subtracted from all values, {applied}: soft tissue lay near {np.median(_shifted(sample)):.0f}.")
        message = "Soft tissue lay 1024 above its Hounsfield units (rescale slope and intercept not applied); this was corrected."
        notes.find("rescale_not_applied", "warning", message, "Check that brain is near 35 HU in the pictures.")
    below = float(data.min())
    if below < AIR_HU:
        np.maximum(data, np.float32(AIR_HU), out=data)
        notes.decide(f"Padding down to {below:.0f} HU was set to {AIR_HU:.0f} HU.")


def _shifted(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    return sample[(sample > _OFFSET + _SOFT[0]) & (sample < _OFFSET + _SOFT[1])]


def _is_offset(sample: NDArray[np.float32]) -> bool:
    """Nothing as low as air, but a peak at 1024 + 0..100, where HU would have sparse bone."""
    edges = _OFFSET + np.array([-100.0, *_SOFT, 200.0])
    below, soft, above = np.histogram(sample, edges)[0]
    return bool(sample.min() > -500) and soft > 0.02 * sample.size and bool(soft > 2 * (below + above))
