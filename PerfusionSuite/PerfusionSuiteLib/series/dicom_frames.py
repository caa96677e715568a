# SPDX-License-Identifier: Apache-2.0
"""From images with slice and time to a table of slices and frames; incomplete frames and duplicates are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError, TimingError
from ..core.geometry import FloatArray
from .dicom_headers import ImageHeader
from .dicom_pixels import FrameReader
from .dicom_stack import Stack
from .dicom_times import typical_interval
from .notes import Notes

SAME_TIME = 0.02
"""Fraction of the interval within which the slices of a frame count as simultaneous."""

_GAP_FACTOR = 1.8
_LONGEST_FRAME = 0.98
_MIN_PRESENT = 0.5
_COMPARED = 8
_ADVICE = "Export the series again if images were lost on the way."

Table = NDArray[np.int64]


@dataclass(slots=True)
class FrameTable:
    """Which image is which slice of which frame.

    Parameters
    ----------
    image : ndarray of int, shape (K, T)
        Index into the images of the stack.
    slices : ndarray of int, shape (K,)
        Slice positions of the stack that are used.
    times_s : ndarray, shape (K, T), s
        Time of each image.
    """

    image: Table
    slices: NDArray[np.int64]
    times_s: FloatArray


def frame_table(stack: Stack, times_s: FloatArray, notes: Notes) -> FrameTable:
    """Sort images into slices and frames.

    Parameters
    ----------
    stack : Stack
        Images on one grid.
    times_s : ndarray, shape (N,), s
        Time of each image.
    notes : Notes
        Gets decisions and findings.

    Returns
    -------
    FrameTable
        Complete frames only.

    Raises
    ------
    TimingError
        If the images cannot be sorted into frames.
    InvalidInputError
        If more than half of the frames are incomplete.
    """
    keep = _without_duplicates(stack, times_s, notes)
    slice_of, times = stack.slice_of[keep], times_s[keep]
    interval = typical_interval(slice_of, times)
    frame = _by_clusters(slice_of, times, interval)
    frame = _by_rank(slice_of, times, interval) if frame is None else frame
    frame = _by_neighbors(slice_of, times, interval) if frame is None else frame
    frame = _by_common_start(slice_of, times, interval) if frame is None else frame
    frame = _by_label(stack, keep, slice_of) if frame is None else frame
    if frame is None:
        msg = "The images cannot be sorted into frames: their times fit no common rhythm. Select one series, or export it again."
        raise TimingError(msg)
    table = np.full((stack.positions_mm.size, int(frame.max()) + 1), -1, np.int64)
    table[slice_of, frame] = keep
    return _complete(table, times_s, notes)


def _without_duplicates(stack: Stack, times_s: FloatArray, notes: Notes) -> NDArray[np.int64]:
    """Indices of images, one per object, slice and time."""
    instance = np.array([image.instance for image in stack.images])
    order = np.lexsort((instance, times_s))
    kept_by: dict[object, int] = {}
    keep, pairs = [], []
    for n in order:
        marks = (stack.images[n].sop_uid or f"no uid {n}", (int(stack.slice_of[n]), round(float(times_s[n]), 4)))
        earlier = next((kept_by[mark] for mark in marks if mark in kept_by), None)
        if earlier is None:
            keep.append(n)
        else:
            pairs.append((stack.images[earlier], stack.images[n]))
        for mark in marks:
            kept_by.setdefault(mark, int(n) if earlier is None else earlier)
    if pairs:
        _note_duplicates(pairs, len(order), notes)
    return np.sort(np.array(keep, np.int64))


def _note_duplicates(pairs: list[tuple[ImageHeader, ImageHeader]], total: int, notes: Notes) -> None:
    notes.decide(f"{len(pairs)} duplicate images were left out.")
    reader = FrameReader()
    differ = [not _equal(reader.stored(a), reader.stored(b)) for a, b in pairs[:_COMPARED]]
    if any(differ):
        message = f"{len(pairs)} of {total} images exist twice for one slice and time with different pixels; the first was kept."
        advice = "The series seems to hold two reconstructions or two scans. Export them as series of their own."
        notes.find("different_duplicates", "error", message, advice)
    else:
        notes.find("duplicate_images", "warning", f"{len(pairs)} of {total} images exist twice for one slice and time.", _ADVICE)


def _equal(a: NDArray[np.int64] | None, b: NDArray[np.int64] | None) -> bool:
    """Whether two pictures agree; one that cannot be read says nothing."""
    return a is None or b is None or bool(np.array_equal(a, b))


def _by_clusters(slice_of: Table, times: FloatArray, interval: float) -> Table | None:
    """Frames whose slices share one time."""
    order = np.argsort(times, kind="stable")
    cluster = np.empty(times.size, np.int64)
    cluster[order] = np.concatenate([[0], np.cumsum(np.diff(times[order]) > SAME_TIME * interval)])
    most = int(np.bincount(slice_of).max())
    many = int(cluster.max()) + 1 > 1.5 * most + 2
    return None if many or _clash(slice_of, cluster) else cluster


def _clash(slice_of: Table, frame: Table) -> bool:
    return bool(np.unique(np.stack([slice_of, frame]), axis=1).shape[1] < frame.size)


def _rank(slice_of: Table, times: FloatArray) -> Table:
    order = np.lexsort((times, slice_of))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(slice_of[order])) + 1])
    rank = np.empty(times.size, np.int64)
    rank[order] = np.arange(times.size) - np.repeat(starts, np.diff([*starts, times.size]))
    return rank


def _by_rank(slice_of: Table, times: FloatArray, interval: float) -> Table | None:
    """The n-th image of each slice belongs to the n-th frame, when every slice has equally many."""
    counts = np.bincount(slice_of)
    rank = _rank(slice_of, times)
    return None if np.ptp(counts) or _wide(rank, times, int(counts[0]), interval) else rank


def _by_common_start(slice_of: Table, times: FloatArray, interval: float) -> Table | None:
    """The same for a scan that ended before the last table position was reached again."""
    rank = _rank(slice_of, times)
    common = int(np.bincount(slice_of).min())
    return None if common < 2 or _wide(rank, times, common, interval) else rank


def _wide(rank: Table, times: FloatArray, frames: int, interval: float) -> bool:
    """Whether a frame takes as long as the interval, which happens when a slice lags one frame behind."""
    return max(float(np.ptp(times[rank == n])) for n in range(frames)) > _LONGEST_FRAME * interval


def _by_neighbors(slice_of: Table, times: FloatArray, interval: float) -> Table | None:
    """Frames of slices that lack images, from the times that neighboring complete slices lead to expect."""
    counts = np.bincount(slice_of)
    full = np.flatnonzero(counts == counts.max())
    if full.size < 0.5 * counts.size:
        return None
    rank = _rank(slice_of, times)
    expected = np.stack([np.sort(times[slice_of == k]) for k in full])
    if np.ptp(expected, axis=0).max() > _LONGEST_FRAME * interval:
        return None
    frame = rank.copy()
    for k in np.flatnonzero(counts < counts.max()):
        members = np.flatnonzero(slice_of == k)
        here = np.array([np.interp(k, full, column) for column in expected.T])
        apart = np.abs(times[members][:, None] - here[None, :])
        if apart.min(axis=1).max() > 0.5 * interval:
            return None
        frame[members] = apart.argmin(axis=1)
    return None if _clash(slice_of, frame) else frame


def _by_label(stack: Stack, keep: Table, slice_of: Table) -> Table | None:
    """Frames as the scanner numbered them."""
    images = [stack.images[n] for n in keep]
    position = [image.clocks.get("temporal_position", -1.0) for image in images]
    acquisition = [float(image.acquisition) for image in images]
    for labels in (np.array(position), np.array(acquisition)):
        if labels.min() >= 0 and np.ptp(labels) > 0:
            frame: Table = np.unique(labels, return_inverse=True)[1].astype(np.int64)
            if not _clash(slice_of, frame):
                return frame
    return None


def _complete(table: Table, times_s: FloatArray, notes: Notes) -> FrameTable:
    """Leave out slices that most frames lack, then frames that lack a slice."""
    present = table >= 0
    slices = np.flatnonzero(present.mean(axis=1) >= _MIN_PRESENT)
    if not slices.size:
        msg = f"No slice is present in most of the {table.shape[1]} frames. Select one series, or export it again."
        raise InvalidInputError(msg)
    if slices.size < table.shape[0]:
        lost = table.shape[0] - slices.size
        notes.decide(f"{lost} of {table.shape[0]} slice positions were left out, since less than half of the frames have them.")
        notes.find("slices_dropped", "warning", f"{lost} of {table.shape[0]} slice positions lack most frames.", _ADVICE)
    whole = present[slices].all(axis=0)
    lost, total = int((~whole).sum()), table.shape[1]
    if lost > _MIN_PRESENT * total:
        msg = f"{lost} of {total} frames lack slices, so that too few are left. Export the series again."
        raise InvalidInputError(msg)
    if lost:
        numbers = ", ".join(str(n + 1) for n in np.flatnonzero(~whole)[:8])
        notes.decide(f"{lost} incomplete frames were left out (frame {numbers}{' ...' if lost > 8 else ''} of {total}).")
        notes.find("incomplete_frames", "warning", f"{lost} of {total} frames lack slices and were left out.", _ADVICE)
    image = table[np.ix_(slices, np.flatnonzero(whole))]
    return FrameTable(image, slices, times_s[image])


def note_gaps(times_s: FloatArray, notes: Notes) -> None:
    """Report intervals that are much longer than those around them.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    notes : Notes
        Gets the finding ``missing_frames``.
    """
    steps = np.diff(times_s)
    local = np.array([np.median(steps[max(0, n - 2) : n + 3]) for n in range(steps.size)])
    # A planned pause between two phases changes the rhythm; a lost frame does not.
    gaps = np.flatnonzero(steps > _GAP_FACTOR * local)
    if gaps.size:
        worst = int(gaps[np.argmax(steps[gaps])])
        missing = round(sum(float(steps[n] / local[n]) - 1.0 for n in gaps))
        message = (
            f"About {missing} frames seem to be missing in {gaps.size} gaps; "
            f"the longest lasts {steps[worst]:.1f} s after {times_s[worst]:.1f} s."
        )
        notes.find("missing_frames", "warning", message, "Check that all files of the series are in the folder.")
