# SPDX-License-Identifier: Apache-2.0
"""4D NIfTI with a BIDS sidecar."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.nifti import NiftiHeader, read_header
from ..core.series import MIN_FRAMES, Acquisition
from .candidates import SeriesCandidate
from .dicom import Scan
from .notes import Notes
from .raw_stream import StoredNumbers, read_numbers
from .sidecar import file_times, read_sidecar
from .write_nifti import DETAILS

_SAME_S = 1e-3


def nifti_candidate(path: Path, index: int) -> SeriesCandidate:
    """Describe a NIfTI file by its header.

    Parameters
    ----------
    path : Path
        The file.
    index : int
        Its number.

    Returns
    -------
    SeriesCandidate
        Not usable when it is damaged, 3D or too short.
    """
    try:
        shape = read_header(path).shape
    except InvalidInputError as error:
        return SeriesCandidate(index, "nifti", "NIfTI", "", 0, 0, (0, 0), usable=False, reason=str(error), paths=(path,))
    frames = shape[3] if len(shape) == 4 else 1
    echo_s = math.nan if why_not(shape) else _echo_of(path)
    return SeriesCandidate(
        index,
        "nifti",
        f"NIfTI, TE {1000.0 * echo_s:g} ms" if math.isfinite(echo_s) else "NIfTI",
        "",
        frames,
        shape[2],
        (shape[0], shape[1]),
        usable=not why_not(shape),
        reason=why_not(shape),
        paths=(path,),
        echo_s=echo_s,
    )


def _echo_of(path: Path) -> float:
    try:
        found = _numbers(read_sidecar(path).get("EchoTime"))
    except InvalidInputError:
        return math.nan  # which reading the file will say
    return found[0] if len(found) == 1 else math.nan


def why_not(shape: tuple[int, ...]) -> str:
    """Say why an array of this shape is no dynamic series; empty when it may be one.

    Parameters
    ----------
    shape : tuple of int
        Shape with time last.

    Returns
    -------
    str
        The reason.
    """
    if len(shape) == 3:
        return "it is 3D and has no time axis"
    if len(shape) != 4:
        return f"it has {len(shape)} dimensions instead of 4"
    return f"only {shape[3]} frames, at least {MIN_FRAMES} are needed" if shape[3] < MIN_FRAMES else ""


def read_nifti(path: Path, *, interval_s: float | None, notes: Notes) -> Scan:
    """Read a 4D NIfTI file.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``, with a JSON sidecar of the same name or a given interval.
    interval_s : float, s, optional
        Time between frames when no file says it.
    notes : Notes
        Gets decisions and findings.

    Returns
    -------
    Scan
        Data, grid and times.

    Raises
    ------
    InvalidInputError
        If the file is damaged or no frame times are known.
    """
    header, sidecar = read_header(path), read_sidecar(path)
    times = file_times(sidecar, header.shape[3], interval_s=interval_s, header_step_s=header.interval_s, notes=notes)
    if not header.placed:
        message = "The NIfTI file does not say how the head lies (neither qform nor sform); left and right may be exchanged."
        notes.find("unknown_orientation", "warning", message, "Check the side in the pictures, or convert the scan again.")
    data = _numbers_of(path, header, header.shape)
    modality = str(sidecar.get("Modality", "")).upper()
    slice_times = _slice_times(sidecar, data.shape, times.times_s, notes)
    frame_times = times.times_s
    if slice_times is not None and "SliceVolumeTiming" not in sidecar:  # BIDS times are those of the first slice
        slice_times = slice_times - slice_times[:, 0].mean()
        frame_times = slice_times.mean(axis=0)
    acquisition = replace(
        acquisition_of(sidecar, times.source), slice_times_s=slice_times, shuttle=slice_times is not None and modality == "CT"
    )
    return Scan(data, header.affine, frame_times, modality, rescaled=True, acquisition=acquisition, dicom={})


def acquisition_of(sidecar: Mapping[str, Any], time_source: str) -> Acquisition:
    """Return what a BIDS sidecar says about how a scan was taken, but for its times.

    Parameters
    ----------
    sidecar : mapping
        Fields of the JSON file.
    time_source : str
        Where frame times come from, in words.

    Returns
    -------
    Acquisition
        With echo times and repetition time in s, as BIDS wants them.
    """
    repetition = _numbers(sidecar.get("RepetitionTimeExcitation")) or _numbers(sidecar.get("RepetitionTime"))
    return Acquisition(
        time_source=time_source,
        manufacturer=str(sidecar.get("Manufacturer", "")),
        echo_times_s=_numbers(sidecar.get("EchoTime")),
        repetition_time_s=repetition[0] if repetition else None,
        details={key: sidecar[name] for name, key in DETAILS.items() if _numbers(sidecar.get(name))},
    )


def read_nifti_frame(path: Path) -> tuple[NDArray[np.float32], FloatArray]:
    """Read a 3D NIfTI file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    values : ndarray of float32, shape (I, J, K)
        Values.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Raises
    ------
    InvalidInputError
        If it is damaged.
    """
    header = read_header(path)
    return _numbers_of(path, header, (*header.shape[:3], 1))[..., 0], header.affine


def _numbers_of(path: Path, header: NiftiHeader, sizes: tuple[int, ...]) -> NDArray[np.float32]:
    packed = "all" if header.packed else "none"
    stored = StoredNumbers(path, header.offset, packed, header.kind, sizes, 3, header.slope, header.intercept)
    try:
        return read_numbers(stored, path.name)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"'{path.name}' cannot be read ({error}). Check that the file exists and is complete."
        raise InvalidInputError(msg) from error


def _numbers(value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(float(item) for item in values if isinstance(item, int | float) and not isinstance(item, bool))


def _slice_times(sidecar: dict[str, Any], shape: tuple[int, ...], times_s: FloatArray, notes: Notes) -> FloatArray | None:
    """Times of slices that differ between frames (our own field), or BIDS slice timing, the same in all frames."""
    values = sidecar.get("SliceVolumeTiming")
    if values is not None:
        try:
            times = np.array(values, np.float64)
        except (TypeError, ValueError):  # rows of different lengths, or words
            times = np.empty(0)
        if times.shape != shape[2:]:
            msg = f"'SliceVolumeTiming' has shape {times.shape}, expected (slices, frames) = {shape[2:]}. Correct the sidecar."
            raise InvalidInputError(msg)
        notes.decide("Slices keep their own times (SliceVolumeTiming of the JSON sidecar).")
        return times
    late = sidecar.get("SliceTiming")
    if not isinstance(late, list) or len(_numbers(late)) == 0:
        return None
    offsets = np.array(_numbers(late))
    direction = str(sidecar.get("SliceEncodingDirection", "k"))
    interval = float(np.median(np.diff(times_s))) if times_s.size > 1 else 0.0
    if direction not in {"k", "k-"} or offsets.size != shape[2] or offsets.min() < 0 or offsets.max() > 1.5 * interval:
        message = "SliceTiming of the JSON sidecar does not fit the slices or the frames and was not used."
        notes.find("slice_timing_ignored", "warning", message, "Give one time per slice, in seconds.")
        return None
    if float(np.ptp(offsets)) < _SAME_S:
        return None
    notes.decide(f"Slices of a frame were taken up to {np.ptp(offsets):.2f} s apart (SliceTiming of the JSON sidecar).")
    slice_times: FloatArray = np.asarray(times_s + (offsets if direction == "k" else offsets[::-1])[:, None], np.float64)
    return slice_times
