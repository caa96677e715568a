# SPDX-License-Identifier: Apache-2.0
"""DICOM from headers to a `PerfusionSeries`."""

from __future__ import annotations

from collections import Counter
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
from .asl_dicom import asl_dicom_candidates, split_asl
from .candidates import SeriesCandidate
from .dicom_files import read_headers
from .dicom_frames import SAME_TIME, FrameTable, frame_table, note_gaps
from .dicom_geometry import grid_of
from .dicom_headers import PLACED_BY_LOCATION, ImageHeader
from .dicom_load import load_pixels
from .dicom_reference import references_of
from .dicom_stack import Stack
from .dicom_stacks import candidate_of, stacks_of
from .dicom_times import image_times
from .notes import Notes

_JOINED = {
    "phases": "{} DICOM series on the same slices follow each other in time and were joined.",
    "slabs": "{} DICOM series on neighboring slices take turns in time (the table moves between them) and were joined.",
    "phases slabs": "{} DICOM series, phases of slabs that take turns in time, were joined.",
}


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
    paths: tuple[Path, ...], first_index: int, notes: Notes, progress: ProgressCallback | None, *, as_asl: bool = False
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
    as_asl : bool
        Take MR images for an ASL scan when none says that it is one.

    Returns
    -------
    list of SeriesCandidate
        One per stack, then one per ASL scan.
    """
    found = read_headers(paths, progress)
    if found.unreadable:
        message = f"{len(found.unreadable)} of {len(paths)} files look like DICOM but cannot be read."
        notes.find("unreadable_files", "warning", message, "Copy or export the series again.")
    labeled, others = split_asl(found.headers, everything=as_asl)
    candidates = [candidate_of(stack, first_index + n) for n, stack in enumerate(stacks_of(others))]
    _note_left_aside(candidates, found.without_image, notes)
    return candidates + asl_dicom_candidates(labeled, first_index + len(candidates))


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
        sentence = _JOINED[" ".join(sorted(stack.joined))].format(stack.series)
        notes.decide(sentence)
        notes.find("series_joined", "info", sentence)
    _note_origin(stack, notes)
    times = image_times(stack, interval_s, notes)
    table = frame_table(stack, times.values_s, notes)
    affine = grid_of([stack.images[n] for n in table.image[:, 0]], notes)
    data, good = load_pixels(stack, table, part_of(progress, 0.05, 0.95))
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
    return Scan(
        data, affine, frame_times, image.modality, all(i.rescaled for i in first), acquisition, references_of(first, affine)
    )


def _note_left_aside(candidates: list[SeriesCandidate], without_image: int, notes: Notes) -> None:
    """Say what else the folder holds: pictures, projections, localizers, maps, reports."""
    if not any(candidate.usable for candidate in candidates):
        return  # then the error says it
    counts: Counter[str] = Counter()
    for candidate in candidates:
        if not candidate.usable:
            counts[candidate.reason] += len(candidate.content.images)
    parts = [f"{number} image(s): {reason}" for reason, number in sorted(counts.items())]
    parts += [f"{without_image} file(s) without an image (reports, directories)"] if without_image else []
    if parts:
        notes.find("ignored_images", "info", f"Left aside: {'; '.join(parts)}.", "Nothing to do.")


def _note_origin(stack: Stack, notes: Notes) -> None:
    """Say when places are guessed or images are no originals."""
    if any(image.details.pop(PLACED_BY_LOCATION, False) for image in stack.images):
        message = "The images have no position; slices were placed by SliceLocation, so that where the head lies is unknown."
        notes.decide(message)
        notes.find("unknown_position", "warning", message, "Use the original series to compare with other scans.")
    if stack.derived:
        message = (
            "The series was derived from another (for example reformatted); its noise and slice profile are not the scanner's."
        )
        notes.find("derived_series", "info", message, "Prefer the original series when it is at hand.")


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
