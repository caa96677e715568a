# SPDX-License-Identifier: Apache-2.0
"""Frame times from a BIDS JSON sidecar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError, TimingError
from ..core.geometry import FloatArray
from ..core.series import check_times
from .dicom_clock import seconds_of_time, unwrap_midnight
from .notes import Notes

_LONGEST_STEP_S = 100.0
_LISTS = ("VolumeTiming", "FrameTimesStart", "AcquisitionTime")


@dataclass(frozen=True, slots=True)
class FileTimes:
    """Frame times of a file.

    Parameters
    ----------
    source : str
        Where they were found, in words.
    times_s : ndarray, shape (T,), s
        From the first frame on.
    """

    source: str
    times_s: FloatArray


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the JSON file beside a NIfTI file.

    Parameters
    ----------
    path : Path
        The NIfTI file.

    Returns
    -------
    dict
        Its fields; empty when there is none.

    Raises
    ------
    InvalidInputError
        If it is no JSON object.
    """
    name = path.name
    for end in (".nii.gz", ".nii"):
        name = name.removesuffix(end)
    place = path.with_name(f"{name}.json")
    return read_fields(place) if place.exists() else {}


def read_fields(place: Path) -> dict[str, Any]:
    """Read the fields of a JSON file.

    Parameters
    ----------
    place : Path
        The file.

    Returns
    -------
    dict
        Its fields.

    Raises
    ------
    InvalidInputError
        If it is no JSON object.
    """
    try:
        content = json.loads(place.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        msg = f"The sidecar '{place.name}' is no valid JSON ({error}). Correct or remove it."
        raise InvalidInputError(msg) from error
    if not isinstance(content, dict):
        msg = f"The sidecar '{place.name}' must hold one JSON object. Correct or remove it."
        raise InvalidInputError(msg)
    return content


def file_times(
    sidecar: Mapping[str, Any], frames: int, *, interval_s: float | None, header_step_s: float | None, notes: Notes
) -> FileTimes:
    """Choose the frame times of a NIfTI file.

    Parameters
    ----------
    sidecar : mapping
        Fields of the JSON file.
    frames : int
        Number of frames.
    interval_s : float, s, optional
        Given by the user.
    header_step_s : float, s, optional
        Step of the fourth axis in the NIfTI header, when it names its unit.
    notes : Notes
        Gets the decision.

    Returns
    -------
    FileTimes
        In this order: ``VolumeTiming``, ``FrameTimesStart``, a list in ``AcquisitionTime``, ``RepetitionTime``, the given
        interval, the step in the NIfTI header unless it is the default of 1.

    Raises
    ------
    TimingError
        If there are none, or they are not in seconds, not increasing or not one per frame.
    """
    for name in _LISTS:
        values = sidecar.get(name)
        if isinstance(values, list):
            times = _listed(values, name, frames) + _half_durations(sidecar, name, frames)
            notes.other_interval(f"{name} says", float(np.median(np.diff(times))) if frames > 1 else 0.0, interval_s)
            origin = sidecar.get("TimeSource")
            words = f"{name} of the JSON sidecar" + (f", from {origin}" if isinstance(origin, str) and origin else "")
            return _decided(words, times - times[0], notes)
        if values is not None and name != "AcquisitionTime":  # of which converters write only the first
            msg = f"'{name}' of the JSON sidecar is no list. Give one number in seconds for each frame."
            raise TimingError(msg)
    step = sidecar.get("RepetitionTime")
    if isinstance(step, int | float) and not isinstance(step, bool) and step > 0:
        _check_seconds(float(step), "RepetitionTime")
        notes.other_interval("RepetitionTime says", float(step), interval_s)
        return _decided("RepetitionTime of the JSON sidecar", _regular(frames, float(step)), notes)
    if interval_s is not None:
        return _decided(f"the given interval of {interval_s:g} s", _regular(frames, interval_s), notes)
    if header_step_s is not None and header_step_s != 1.0:
        _check_seconds(header_step_s, "The time step of the NIfTI header")
        message = f"Frame times rest on the step of {header_step_s:g} s in the NIfTI header, which many programs do not maintain."
        notes.find("times_from_header_step", "warning", message, "Give the times in a JSON sidecar (VolumeTiming).")
        return _decided(f"the time step of {header_step_s:g} s in the NIfTI header", _regular(frames, header_step_s), notes)
    default = " (1 s is what many programs write there by default)" if header_step_s is not None else ""
    msg = (
        f"The NIfTI file comes without frame times{default}. Put a JSON file of the same name with 'VolumeTiming' (seconds) "
        "beside it, or give the interval between frames: interval_s=1.5 in Python, --interval 1.5 on the command line."
    )
    raise TimingError(msg)


def _half_durations(sidecar: Mapping[str, Any], name: str, frames: int) -> FloatArray:
    """Frames that last differently long count from their middle."""
    values = sidecar.get("FrameDuration")
    if name != "FrameTimesStart" or not isinstance(values, list) or len(values) != frames:
        return np.zeros(frames)
    try:
        durations = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        return np.zeros(frames)
    return 0.5 * durations


def _regular(frames: int, step_s: float) -> FloatArray:
    times: FloatArray = np.linspace(0.0, (frames - 1) * step_s, frames)
    return times


def _decided(words: str, times: FloatArray, notes: Notes) -> FileTimes:
    notes.decide(f"Frame times come from {words}.")
    return FileTimes(words, np.round(times, 9))


def _listed(values: list[Any], name: str, frames: int) -> FloatArray:
    try:
        numbers = [seconds_of_time(value) if isinstance(value, str) else float(value) for value in values]
    except (TypeError, ValueError) as error:
        msg = f"'{name}' of the JSON sidecar holds something that is no time. Give one number in seconds for each frame."
        raise TimingError(msg) from error
    times = np.array(numbers)
    if any(isinstance(value, str) for value in values):
        times = unwrap_midnight(times)
    times = check_times(times, frames)
    if frames > 1:
        _check_seconds(float(np.median(np.diff(times))), f"'{name}'")
    return times


def _check_seconds(step: float, name: str) -> None:
    if not np.isfinite(step) or step > _LONGEST_STEP_S:
        msg = f"{name} gives {step:g} s between frames, so it seems to be in milliseconds. Divide by 1000: BIDS wants seconds."
        raise TimingError(msg)
