# SPDX-License-Identifier: Apache-2.0
"""Frame times of a NRRD file: index values of a sequence, labels of a multi-volume, time stamps, or a regular step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np

from ..core.errors import TimingError
from ..core.geometry import FloatArray
from ..core.series import NO_TIMES, check_times
from .dicom_clock import DAY_S, unwrap_midnight
from .notes import GIVE_INTERVAL

UNITS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "min": 60.0,
}  # fmt: skip
"""Seconds of each unit of time."""

GIVEN = "the given interval"
"""How the source begins when the user, and not the file, says the times."""

_LONGEST_STEP_S = 100.0
_STAMP = re.compile(r"^Seq_Frame(\d+)_Timestamp$")
_PLAIN_KEYS = ("timing", "times", "frame times", "frametimes", "volumetiming")


@dataclass(frozen=True, slots=True)
class TimeFields:
    """What a header says about its axis of frames.

    Parameters
    ----------
    pairs : mapping of str to str
        ``key:=value`` lines.
    units : tuple of str
        Unit of each axis, empty when there is none.
    axis : int
        Its number.
    step : float
        Spacing of the axis; NaN when the header gives none.
    frames : int
        Its length.
    """

    pairs: Mapping[str, str]
    units: tuple[str, ...]
    axis: int
    step: float
    frames: int

    @property
    def unit(self) -> str:
        """Unit of the axis of frames."""
        return self.units[self.axis]


def nrrd_times(fields: TimeFields, interval_s: float | None) -> tuple[str, FloatArray]:
    """Find the times of a NRRD file.

    Parameters
    ----------
    fields : TimeFields
        What the header says.
    interval_s : float, s, optional
        Given by the user; used when the header only counts frames or lists something other than times.

    Returns
    -------
    source : str
        Where the times were found, in words.
    times_s : ndarray, shape (T,), s
        From the first frame on.

    Raises
    ------
    TimingError
        If there are none, or they cannot be right.
    """
    name, words, unit = _labels(fields)
    if words:
        return _listed(fields, name, words, unit, interval_s)
    factor = UNITS.get(fields.unit.strip().lower())
    if interval_s is None and factor is not None and np.isfinite(fields.step) and fields.step > 0:
        step = fields.step * factor
        _check_step(step, "The spacing of the time axis", fields.unit)
        return f"spacing of the time axis of the NRRD file ({fields.step:g} {fields.unit.strip()})", _regular(fields.frames, step)
    if interval_s is None:
        msg = f"The NRRD file holds no frame times (index values). {GIVE_INTERVAL}"
        raise TimingError(msg)
    return f"{GIVEN} of {interval_s:g} s", _regular(fields.frames, interval_s)


def _labels(fields: TimeFields) -> tuple[str, list[str], str]:
    """Name, texts and unit of the first list in the header."""
    pairs = fields.pairs
    labels = pairs.get("MultiVolume.FrameLabels", "").replace(",", " ").split()
    if labels:
        tag = pairs.get("MultiVolume.FrameIdentifyingDICOMTagName", "")
        unit = pairs.get("MultiVolume.FrameIdentifyingDICOMTagUnits", "")
        # Echo times are in milliseconds too, but no times of frames.
        return "MultiVolume.FrameLabels" + (f" ({tag})" if tag else ""), labels, "" if tag.endswith(NO_TIMES) else unit
    for axis in dict.fromkeys((fields.axis, 0, 3)):
        words = unquote(pairs.get(f"axis {axis} index values", "")).split()
        if words:
            return f"axis {axis} index values", words, fields.units[axis]
    stamps = sorted((int(match[1]), value) for key, value in pairs.items() if (match := _STAMP.match(key)))
    if stamps:
        return "Seq_Frame Timestamp", [value for _, value in stamps], "s"
    for key, value in pairs.items():
        if key.lower().removeprefix(f"axis {fields.axis} ") in _PLAIN_KEYS:
            return key, value.replace(",", " ").split(), fields.unit
    return "", [], ""


def _listed(fields: TimeFields, name: str, words: list[str], unit: str, interval_s: float | None) -> tuple[str, FloatArray]:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        msg = f"'{name}' of the NRRD file holds something that is no number. {GIVE_INTERVAL}"
        raise TimingError(msg) from error
    factor = UNITS.get(unit.strip().lower())
    if factor is None:
        if interval_s is None:
            named = f"the unit '{unit}'" if unit else "no unit of time"
            msg = f"'{name}' of the NRRD file has {named} and may only count frames. {GIVE_INTERVAL}"
            raise TimingError(msg)
        return f"{GIVEN} of {interval_s:g} s", _regular(fields.frames, interval_s)
    seconds: FloatArray = numbers * factor
    # Labels of a DICOM clock count from midnight and may pass it.
    seconds = unwrap_midnight(seconds) if np.isfinite(seconds).all() and seconds.max() <= DAY_S else seconds
    times = check_times(seconds, fields.frames)
    if fields.frames > 1:
        _check_step(float(np.median(np.diff(times))), f"'{name}'", unit)
    origin = fields.pairs.get("PerfusionSuite.TimeSource", "")
    words_of_origin = f", from {origin}" if origin else ""
    return f"{name} of the NRRD file (unit {unit.strip()}){words_of_origin}", np.round(times - times[0], 9)


def _regular(frames: int, step_s: float) -> FloatArray:
    times: FloatArray = np.linspace(0.0, (frames - 1) * step_s, frames)
    return times


def _check_step(step: float, name: str, unit: str) -> None:
    if step > _LONGEST_STEP_S:
        msg = f"{name} gives {step:g} s between frames, so the unit '{unit}' seems wrong. Correct the file."
        raise TimingError(msg)
