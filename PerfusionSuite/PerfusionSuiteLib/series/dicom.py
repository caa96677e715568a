# SPDX-License-Identifier: Apache-2.0
"""DICOM from headers to a `PerfusionSeries`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, part_of
from ..core.series import Acquisition
from .candidates import SeriesCandidate
from .dicom_files import read_headers
from .dicom_frames import SAME_TIME, FrameTable, frame_table, note_gaps
from .dicom_geometry import grid_of
from .dicom_headers import ImageHeader
from .dicom_pixels import FrameReader
from .dicom_stacks import Stack, candidate_of, stacks_of
from .dicom_times import image_times
from .notes import Notes

_MAX_THREADS = 8


@dataclass(frozen=True, slots=True)
class Scan:
    """What a reader of any format hands over before values are judged.

    Parameters
    ----------
    data : ndarray of float32, shape (I, J, K, T)
        Values.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s : ndarray, shape (T,), s
        Frame times from the first frame on.
    dicom_modality : str
        ``CT``, ``MR`` or empty.
    rescaled : bool
        False when the file does not say how stored values become HU.
    acquisition : Acquisition
        Technical facts.
    dicom : dict
        For derived DICOM objects.
    """

    data: NDArray[np.float32]
    affine: FloatArray
    times_s: FloatArray
    dicom_modality: str
    rescaled: bool
    acquisition: Acquisition
    dicom: dict[str, Any]


def dicom_candidates(
    paths: tuple[Path, ...], first_index: int, notes: Notes, progress: ProgressCallback | None
) -> list[SeriesCandidate]:
    """List the series that DICOM files make up.

    Parameters
    ----------
    paths : tuple of Path
        Files that look like DICOM.
    first_index : int
        Number of the first candidate.
    notes : Notes
        Gets findings about unreadable files.
    progress : callable, optional
        Called between files.

    Returns
    -------
    list of SeriesCandidate
        One per stack.
    """
    headers, unreadable = read_headers(paths, progress)
    if unreadable:
        message = f"{len(unreadable)} of {len(paths)} files look like DICOM but cannot be read."
        notes.find("unreadable_files", "warning", message, "Copy or export the series again.")
    return [candidate_of(stack, first_index + n) for n, stack in enumerate(stacks_of(headers))]


def read_dicom(
    candidate: SeriesCandidate, *, interval_s: float | None, notes: Notes, progress: ProgressCallback | None = None
) -> Scan:
    """Read the pixels of a stack and put them in order.

    Parameters
    ----------
    candidate : SeriesCandidate
        A usable DICOM candidate.
    interval_s : float, s, optional
        Time between frames, for files that only count them.
    notes : Notes
        Gets decisions and findings.
    progress : callable, optional
        Called between slices.

    Returns
    -------
    Scan
        Data, grid and times.

    Raises
    ------
    InvalidInputError
        If geometry, times or pixels cannot be used.
    """
    stack: Stack = candidate.content
    if stack.series > 1:
        notes.decide(f"{stack.series} DICOM series on the same slices follow each other in time and were joined.")
    times = image_times(stack, interval_s, notes)
    table = frame_table(stack, times.values_s, notes)
    affine = grid_of([stack.images[n] for n in table.image[:, 0]], notes)
    data, good = _load(stack, table, part_of(progress, 0.05, 0.95))
    if not good.all():
        data, table = _without_bad_frames(data, table, good, stack.images[0], notes)
    frame_times, slice_times = _common_or_slice_times(table.times_s)
    note_gaps(frame_times, notes)
    image = stack.images[int(table.image[0, 0])]
    shuttle = slice_times is not None and image.modality == "CT"
    if slice_times is not None:
        spread = float(np.ptp(slice_times, axis=0).max())
        notes.decide(f"Slices of a frame were taken up to {spread:.2f} s apart; each keeps its own times.")
    acquisition = _acquisition(image, times.source, slice_times, shuttle=shuttle)
    first = [stack.images[n] for n in table.image[:, 0]]
    return Scan(data, affine, frame_times, image.modality, all(i.rescaled for i in first), acquisition, _references(first))


def _load(stack: Stack, table: FrameTable, progress: ProgressCallback) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read all images slice by slice; `good` (K, T) says which could be decoded."""
    layout = stack.images[0].pixels
    slices, frames = table.image.shape
    data = np.zeros((layout.columns, layout.rows, slices, frames), np.float32)
    good = np.zeros((slices, frames), np.bool_)
    reader = FrameReader()

    def load(k: int) -> None:
        block = np.zeros((frames, layout.rows, layout.columns), np.float32)
        for t, n in enumerate(table.image[k]):
            image = stack.images[n]
            stored = reader.stored(image)
            if stored is not None:
                block[t] = stored * np.float64(image.slope) + image.intercept
                good[k, t] = True
        data[:, :, k] = block.transpose(2, 1, 0)

    _in_threads(load, slices, progress)
    return data, good


def _in_threads(work: Callable[[int], None], count: int, progress: ProgressCallback) -> None:
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(work, n) for n in range(count)]
        try:
            for number, job in enumerate(jobs):
                job.result()
                progress((number + 1) / count, "Reading pixels")
        finally:
            for job in jobs:
                job.cancel()


def _without_bad_frames(
    data: NDArray[np.float32], table: FrameTable, good: NDArray[np.bool_], image: ImageHeader, notes: Notes
) -> tuple[NDArray[np.float32], FrameTable]:
    whole = good.all(axis=0)
    lost, total = int((~whole).sum()), whole.size
    if lost > 0.5 * total:
        kind = UID(image.pixels.transfer_syntax).name
        msg = (
            f"The pixels of {int((~good).sum())} of {good.size} images cannot be decoded ({kind}). "
            "Check that the files are complete, or export them without compression."
        )
        raise InvalidInputError(msg)
    notes.decide(f"{lost} of {total} frames were left out, since pixels of {int((~good).sum())} images cannot be decoded.")
    message = f"Pixels of {int((~good).sum())} of {good.size} images cannot be decoded; {lost} frames were left out."
    notes.find("damaged_images", "warning", message, "Copy or export the series again.")
    return data[..., whole], FrameTable(table.image[:, whole], table.slices, table.times_s[:, whole])


def _common_or_slice_times(times_s: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Frame times from the first frame on, and slice times only where slices of a frame differ."""
    frame_times = times_s.mean(axis=0)
    start = frame_times[0]
    interval = float(np.median(np.diff(frame_times))) if frame_times.size > 1 else 0.0
    same = float(np.ptp(times_s, axis=0).max()) < max(SAME_TIME * interval, 1e-3)
    # Microseconds are what DICOM stores; what is below is rounding of large clock values.
    return np.round(frame_times - start, 6), None if same else np.round(times_s - start, 6)


def _acquisition(image: ImageHeader, source: str, slice_times: FloatArray | None, *, shuttle: bool) -> Acquisition:
    details = dict(image.details)
    if image.kernel:
        details["kernel"] = image.kernel
    if np.isfinite(image.thickness):
        details["slice_thickness_mm"] = image.thickness
    magnetic = image.modality == "MR"
    return Acquisition(
        time_source=source,
        slice_times_s=slice_times,
        shuttle=shuttle,
        manufacturer=image.manufacturer,
        echo_times_s=(image.echo_time_ms / 1000.0,) if magnetic and np.isfinite(image.echo_time_ms) else (),
        repetition_time_s=image.repetition_time_ms / 1000.0 if magnetic and np.isfinite(image.repetition_time_ms) else None,
        details=details,
    )


def _references(first: list[ImageHeader]) -> dict[str, Any]:
    image = first[0]
    return {
        "files": tuple(str(item.pixels.path) for item in first),
        "frame_numbers": tuple(item.frame + 1 for item in first),
        "study_uid": image.study_uid,
        "series_uid": image.series_uid,
        "frame_of_reference_uid": image.frame_of_reference_uid,
    }
