# SPDX-License-Identifier: Apache-2.0
"""The scan as it travels: a 4D series with its geometry, its frame times and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInputError, TimingError
from .findings import QualityFinding
from .geometry import FloatArray, check_affine, voxel_sizes

Modality = Literal["ctp", "dsc", "asl"]

MIN_FRAMES = 10
MIN_DURATION_S = 20.0

NO_TIMES = ("EchoTime", "RepetitionTime", "FlipAngle", "B-value", "InversionTime")
"""Ends of DICOM tag names by which frames can differ without being a series in time."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How a series was acquired.

    Parameters
    ----------
    time_source : str
        Where the frame times were found, in words (``"DICOM AcquisitionTime"``).
    slice_times_s : ndarray, shape (K, T), s, optional
        Times of each slice when slices of one frame differ (shuttle, jog, 2D EPI).
    shuttle : bool
        True when the table moves between positions during the scan.
    manufacturer : str
        Scanner manufacturer, empty when unknown.
    echo_times_s : tuple of float, s
        Echo times of MR data.
    repetition_time_s : float, s, optional
        Repetition time of MR data.
    details : mapping
        Further technical header values (tube voltage, kernel, field strength); never identifiers.
    """

    time_source: str = "given"
    slice_times_s: FloatArray | None = None
    shuttle: bool = False
    manufacturer: str = ""
    echo_times_s: tuple[float, ...] = ()
    repetition_time_s: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a series was read from, free of patient identifiers.

    Parameters
    ----------
    kind : str
        ``dicom``, ``nifti``, ``nrrd``, ``array`` or ``phantom``.
    case_id : str
        De-identified name of the case; by default the name of the input folder or file.
    decisions : tuple of str
        One sentence for each decision that reading took (grouping, time source, frames left out).
    findings : tuple of QualityFinding
        What was odd about the input.
    dicom : mapping, optional
        For DICOM output: path of one source file and the UIDs that derived objects must refer to.
    """

    kind: str = "array"
    case_id: str = "case"
    decisions: tuple[str, ...] = ()
    findings: tuple[QualityFinding, ...] = ()
    dicom: Mapping[str, Any] = field(default_factory=dict)


def check_times(times_s: Any, frames: int) -> FloatArray:
    """Return the frame times as float64 or say what is wrong with them.

    Parameters
    ----------
    times_s : array-like, shape (T,), s
        Frame times.
    frames : int
        Number of frames they belong to.

    Returns
    -------
    ndarray, shape (T,), s
        A float64 copy.

    Raises
    ------
    TimingError
        If the length is wrong, a value is missing, or they do not increase strictly.
    """
    times = np.array(times_s, dtype=np.float64)
    if times.ndim != 1 or times.size != frames:
        msg = f"The series has {frames} frames but {times.size} frame times. Give one time in seconds for each frame."
        raise TimingError(msg)
    if not np.isfinite(times).all():
        msg = f"{int((~np.isfinite(times)).sum())} of {frames} frame times are missing. Give a time in seconds for each frame."
        raise TimingError(msg)
    bad = np.flatnonzero(np.diff(times) <= 0)
    if bad.size:
        first = int(bad[0])
        msg = (
            f"Frame times must increase, but frame {first + 2} of {frames} is at {times[first + 1]:g} s "
            f"after {times[first]:g} s. Sort the frames or correct the times."
        )
        raise TimingError(msg)
    return times


def check_enough_times(times_s: FloatArray) -> None:
    """Refuse a scan that is too short to follow a bolus.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Valid frame times.

    Raises
    ------
    TimingError
        If there are fewer than 10 frames or they span less than 20 s.
    """
    if times_s.size < MIN_FRAMES:
        msg = f"The series has {times_s.size} frames, at least {MIN_FRAMES} are needed. Choose the dynamic perfusion series."
        raise TimingError(msg)
    duration = float(times_s[-1] - times_s[0])
    if duration < MIN_DURATION_S:
        hint = "Check that the times are in seconds." if duration < 1.0 else "Choose the dynamic perfusion series."
        msg = f"The frames span {duration:.3g} s, at least {MIN_DURATION_S:g} s are needed. {hint}"
        raise TimingError(msg)
    if duration > 3600.0:
        msg = f"The frames span {duration:.0f} s. Check that the times are in seconds, not in milliseconds."
        raise TimingError(msg)


@dataclass(frozen=True, slots=True)
class PerfusionSeries:
    """A dynamic series: CT perfusion or DSC-MRI.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T), HU or signal
        Stored as float32 with time last (contiguous per voxel).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s : ndarray, shape (T,), s
        Strictly increasing frame times.
    modality : {"ctp", "dsc", "asl"}
        What kind of scan it is.
    acquisition : Acquisition
        Technical facts.
    source : Source
        Where it came from.

    Raises
    ------
    InvalidInputError
        If shapes, times or the affine do not fit together.
    """

    data: NDArray[np.float32]
    affine: FloatArray
    times_s: FloatArray
    modality: Modality = "ctp"
    acquisition: Acquisition = field(default_factory=Acquisition)
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        data = np.asarray(self.data)
        if data.ndim != 4:
            msg = f"A perfusion series must have 4 dimensions (I, J, K, time), not {data.ndim}. Choose the dynamic series."
            raise InvalidInputError(msg)
        if 0 in data.shape:
            msg = f"The series is empty: its shape is {data.shape}. Choose another series."
            raise InvalidInputError(msg)
        if any(data.strides):  # else it is one number everywhere, see `released`
            data = np.ascontiguousarray(data, dtype=np.float32)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "affine", check_affine(self.affine))
        object.__setattr__(self, "times_s", check_times(self.times_s, data.shape[3]))
        slice_times = self.acquisition.slice_times_s
        if slice_times is not None and np.shape(slice_times) != data.shape[2:]:
            msg = (
                f"Slice times have shape {np.shape(slice_times)}, expected (slices, frames) = {data.shape[2:]}. Check the header."
            )
            raise TimingError(msg)

    def released(self) -> PerfusionSeries:
        """Return the series without its values, for those who only need to know what it was.

        Returns
        -------
        PerfusionSeries
            Same shape, grid, times and facts; every value is NaN and takes no memory.
        """
        return replace(self, data=np.broadcast_to(np.float32(np.nan), self.data.shape))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Spatial shape (I, J, K)."""
        return self.data.shape[:3]

    @property
    def interval_s(self) -> float:
        """Median time between frames in s (0 for a single frame)."""
        return float(np.median(np.diff(self.times_s))) if self.times_s.size > 1 else 0.0

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Voxel spacing in mm."""
        sizes = voxel_sizes(self.affine)
        return float(sizes[0]), float(sizes[1]), float(sizes[2])
