# SPDX-License-Identifier: Apache-2.0
"""Where the time of each image comes from: the first source that tells the images of a slice apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..core.errors import TimingError
from ..core.geometry import FloatArray
from .dicom_clock import unwrap_midnight
from .dicom_headers import ImageHeader
from .dicom_stack import Stack
from .notes import GIVE_INTERVAL, Notes

SOURCES = {
    "midscan": "GE private mid-scan time (0019,1024)",
    "midscan_in_acquisition": "DICOM AcquisitionTime plus GE private mid-scan time (0019,1024)",
    "frame_acquisition_datetime": "DICOM FrameAcquisitionDateTime",
    "acquisition_datetime": "DICOM AcquisitionDateTime",
    "acquisition_time": "DICOM AcquisitionTime",
    "delta_start": "GE private start time (0043,101E)",
    "dynamic_begin": "Philips private dynamic scan begin time (2005,10A0)",
    "reference_datetime": "DICOM FrameReferenceDateTime",
    "temporal_offset": "DICOM TemporalPositionTimeOffset",
    "trigger_time": "DICOM TriggerTime",
    "content_time": "DICOM ContentTime",
}
"""Sources in order of trust, in words."""

_CLOCK_NAMES = {"frame_acquisition_datetime", "acquisition_datetime", "acquisition_time", "reference_datetime", "content_time"}
_RELATIVE = {"midscan", "delta_start", "dynamic_begin", "temporal_offset", "trigger_time"}
_SAME_S = 1e-4
_MIN_SPAN_S = 5.0
_MIN_DISTINCT = 0.9


@dataclass(frozen=True, slots=True)
class ImageTimes:
    """The time of each image of a stack.

    Parameters
    ----------
    source : str
        Where it was found, in words.
    values_s : ndarray, shape (N,), s
        Times; only differences mean something.
    """

    source: str
    values_s: FloatArray


def image_times(stack: Stack, interval_s: float | None, notes: Notes) -> ImageTimes:
    """Choose the time source of a stack.

    Parameters
    ----------
    stack : Stack
        Images on one grid.
    interval_s : float, s, optional
        Time between frames, for files that only count them.
    notes : Notes
        Gets the decision.

    Returns
    -------
    ImageTimes
        Time of each image in the order of ``stack.images``.

    Raises
    ------
    TimingError
        If no source tells the frames apart and no interval was given.
    """
    rejected: list[str] = []
    for name, words in SOURCES.items():
        values = _values(stack.images, name)
        if values is None:
            continue
        reason = _why_useless(stack.slice_of, values)
        if not reason and name in _RELATIVE and _restarts(stack, values):
            reason = "restarts in each series"
        if not reason:
            values = _midscan_seconds(stack, values, notes) if name == "midscan" else values
            notes.decide(f"Frame times come from {words}{_rejected_text(rejected)}.")
            _compare_with_given(stack, values, interval_s, notes)
            _note_rounding(stack, values, notes)
            return ImageTimes(words, values)
        rejected.append(f"{words.removeprefix('DICOM ')} {reason}")
    return _counted(stack, interval_s, rejected, notes)


def _rejected_text(rejected: list[str]) -> str:
    return f" ({'; '.join(rejected)})" if rejected else ""


def _values(images: list[ImageHeader], name: str) -> FloatArray | None:
    if name == "midscan_in_acquisition":
        parts = [_values(images, "acquisition_time"), _values(images, "midscan")]
        return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]
    if any(name not in image.clocks for image in images):
        return None
    values: FloatArray = np.array([image.clocks[name] for image in images])
    return unwrap_midnight(values) if name in _CLOCK_NAMES else values


def _why_useless(slice_of: NDArray[np.int64], values: FloatArray) -> str:
    """Say why these values are no frame times; empty when they are."""
    pairs = np.unique(np.stack([slice_of, np.rint(values / _SAME_S)]), axis=1).shape[1]
    if np.ptp(values) < _SAME_S:
        return "is the same for all images"
    if pairs < _MIN_DISTINCT * values.size:
        return "does not tell the images of a slice apart"
    return "spans too little time" if np.ptp(values) < _MIN_SPAN_S else ""


def _restarts(stack: Stack, values: FloatArray) -> bool:
    """Whether joined series count from their own beginning; slabs that take turns share one beginning."""
    if "phases" not in stack.joined:
        return False
    uids = [image.series_uid for image in stack.images]
    spans = sorted((float(part.min()), float(part.max())) for uid in set(uids) for part in [values[[u == uid for u in uids]]])
    overlap = [after[0] <= before[1] for before, after in pairwise(spans)]
    return any(overlap) if "slabs" not in stack.joined else False


def typical_interval(slice_of: NDArray[np.int64], values: FloatArray) -> float:
    """Return the median time between images of one slice.

    Parameters
    ----------
    slice_of : ndarray of int, shape (N,)
        Slice of each image.
    values : ndarray, shape (N,), s
        Time of each image.

    Returns
    -------
    float, s
        The interval; 0 when no slice has two images.
    """
    order = np.lexsort((values, slice_of))
    steps = np.diff(values[order])[np.diff(slice_of[order]) == 0]
    steps = steps[steps > _SAME_S]
    return float(np.median(steps)) if steps.size else 0.0


def _midscan_seconds(stack: Stack, values: FloatArray, notes: Notes) -> FloatArray:
    interval = typical_interval(stack.slice_of, values)
    if interval <= 100.0:
        return values
    notes.decide(f"Mid-scan times {interval:.0f} apart were taken as milliseconds.")
    return values / 1000.0


def _compare_with_given(stack: Stack, values: FloatArray, interval_s: float | None, notes: Notes) -> None:
    if interval_s is None:
        return
    found = typical_interval(stack.slice_of, values)
    notes.decide(f"The given interval of {interval_s:g} s was not needed, since the files hold times.")
    notes.other_interval("the files say", found, interval_s)


def _note_rounding(stack: Stack, values: FloatArray, notes: Notes) -> None:
    """Whole seconds of frames that were not a whole number of seconds apart jitter by up to half a second."""
    whole = bool(np.all(np.abs(values - np.rint(values)) < 1e-6))
    order = np.lexsort((values, stack.slice_of))
    steps = np.diff(values[order])[np.diff(stack.slice_of[order]) == 0]
    if whole and steps.size > 4 and {float(step) for step in np.unique(steps)} in ({1.0, 2.0}, {2.0, 3.0}, {3.0, 4.0}):
        changes = int(np.count_nonzero(np.diff(steps)))
        if changes > 0.2 * steps.size:
            message = "Frame times are whole seconds that alternate, so that each may be off by half a second."
            notes.find("times_rounded", "warning", message, "Give the interval between frames if the scanner was regular.")


def _counted(stack: Stack, interval_s: float | None, rejected: list[str], notes: Notes) -> ImageTimes:
    """Count frames: by temporal position, else by instance number."""
    positions = _values(stack.images, "temporal_position")
    resolutions = np.array([image.temporal_resolution_s for image in stack.images])
    resolution = float(np.median(resolutions))
    step = interval_s if interval_s is not None else resolution
    known = bool(np.isfinite(step) and step > 0)
    if positions is not None and known and not _why_useless(stack.slice_of, positions * max(step, 1.0) * 10.0):
        origin = "the given interval" if interval_s is not None else "TemporalResolution"
        words = f"DICOM TemporalPositionIdentifier times {origin} of {step:g} s"
        notes.decide(f"Frame times come from {words}{_rejected_text(rejected)}.")
        return ImageTimes(words, positions * step)
    if interval_s is None:
        found = f" ({'; '.join(rejected)})" if rejected else ""
        msg = f"The DICOM files hold no usable frame times{found}. {GIVE_INTERVAL}"
        raise TimingError(msg)
    words = f"order of instance numbers times the given interval of {interval_s:g} s"
    notes.decide(f"Frame times come from the {words}{_rejected_text(rejected)}.")
    return ImageTimes(words, _ranks(stack, notes) * interval_s)


def _ranks(stack: Stack, notes: Notes) -> FloatArray:
    """Rank of each image among those of its slice, by instance number."""
    instance = np.array([image.instance for image in stack.images])
    if (instance < 0).any() or np.unique(np.stack([stack.slice_of, instance]), axis=1).shape[1] < instance.size:
        msg = "The DICOM files hold neither frame times nor instance numbers that tell the frames apart. Export the series again."
        raise TimingError(msg)
    ranks = np.zeros(instance.size)
    order = np.lexsort((instance, stack.slice_of))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(stack.slice_of[order])) + 1])
    lengths = np.diff([*starts, instance.size])
    if np.ptp(lengths):
        message = f"Slices have {lengths.min()} to {lengths.max()} images; without times nothing says which frames are missing."
        notes.find("uneven_counts", "warning", message, "Export the series again with all images, or with its times.")
    ranks[order] = np.arange(instance.size) - np.repeat(starts, lengths)
    return ranks
