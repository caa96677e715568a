# SPDX-License-Identifier: Apache-2.0
"""Signal to tracer curves as published: one echo time, one interval and one baseline end for the whole volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError, InvalidInputError, TimingError
from ..core.geometry import FloatArray
from ..core.nifti import read_volume
from ..core.nifti_like import source_header, write_like
from ..core.progress import ProgressCallback, part_of
from ..series.sidecar import read_sidecar
from .subjects import SERIES

ECHO_TIME_S = 0.03
INTERVAL_S = 1.0
CHANGE = 0.05
DEFAULTS = "the published defaults"
_LISTS = ("VolumeTiming", "FrameTimesStart")
_UNEVEN = 0.01
_LONGEST_ECHO_S = 1.0
_LONGEST_STEP_S = 100.0


@dataclass(frozen=True, slots=True)
class TracerChoices:
    """How signals become tracer curves.

    Parameters
    ----------
    echo_time_s : float, s
        TE.
    interval_s : float, s
        Interval between frames that is stored.
    change : float
        Relative change of the mean signal that ends the baseline.
    always_store : bool
        Store the interval also where the published program loses it (raw series with five axes).
    origin : str
        Where the two times come from, in words.
    """

    echo_time_s: float = ECHO_TIME_S
    interval_s: float = INTERVAL_S
    change: float = CHANGE
    always_store: bool = False
    origin: str = DEFAULTS

    def __post_init__(self) -> None:
        for name, value, most in (
            ("echo time", self.echo_time_s, _LONGEST_ECHO_S),
            ("interval between frames", self.interval_s, _LONGEST_STEP_S),
        ):
            if not (np.isfinite(value) and 0 < value <= most):
                msg = f"The {name} must be a number of seconds above 0 and up to {most:g}, not {value:g}. Are these milliseconds?"
                raise InvalidInputError(msg)
        if not (np.isfinite(self.change) and 0 < self.change < 1):
            msg = (
                f"The relative change that ends the baseline must lie between 0 and 1, not {self.change:g}. The default is 0.05."
            )
            raise InvalidInputError(msg)


@dataclass(frozen=True, slots=True)
class Converted:
    """A tracer file and what it rests on.

    Parameters
    ----------
    path : Path
        The file.
    baseline_end : int
        Frames before this one make the baseline.
    peak_frame : int
        Frame with the lowest mean signal.
    frames : int
        Number of frames.
    stored_interval_s : float, s
        Fourth spacing of the file, which the fit reads.
    note : str
        What a user should know about times; empty when nothing is odd.
    """

    path: Path
    baseline_end: int
    peak_frame: int
    frames: int
    stored_interval_s: float
    note: str


def as_series(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Remove the axes of length one of a five-dimensional array.

    Parameters
    ----------
    values : ndarray
        Raw series.

    Returns
    -------
    ndarray, shape (I, J, K, T)
        The series.

    Raises
    ------
    GridMismatchError
        If there are not four axes then.
    """
    squeezed = values.squeeze() if values.ndim == 5 else values
    if squeezed.ndim != 4:
        msg = (
            f"The raw series has the shape {values.shape}; (I, J, K, T) or (I, J, K, 1, T) with more than one frame is needed. "
            "Convert the whole series to one file."
        )
        raise GridMismatchError(msg)
    return squeezed


def mean_signal(series: NDArray[np.generic]) -> FloatArray:
    """Return the mean over all voxels of each frame, air included.

    Parameters
    ----------
    series : ndarray, shape (I, J, K, T)
        Signal.

    Returns
    -------
    ndarray, shape (T,)
        Mean after missing samples became 1 and all were raised to at least 1.
    """
    return np.array([_clean(series[..., index]).mean() for index in range(series.shape[3])])


def _clean(frame: NDArray[np.generic]) -> FloatArray:
    values = frame.astype(np.float64)
    values[~np.isfinite(values)] = 1.0
    cleaned: FloatArray = np.maximum(values, 1.0)
    return cleaned


def baseline_end(mean: FloatArray, change: float = CHANGE) -> int:
    """Return how many frames make the baseline.

    Parameters
    ----------
    mean : ndarray, shape (T,)
        Mean signal of each frame.
    change : float
        The baseline ends before the first frame that differs from its mean by this share.

    Returns
    -------
    int
        At least 1. Without such a frame the baseline takes in all frames but two, the bolus too.
    """
    end = 0
    while True:
        if end + 1 >= mean.size:
            end = max(mean.size - 2, 0)
            break
        level = float(mean[: end + 1].mean())
        if abs(level - float(mean[end + 1])) / max(level, 1e-12) >= change:
            end = max(end - 1, 0)
            break
        end += 1
    return max(end, 1)


def tracer_curves(
    signal: NDArray[np.generic],
    *,
    echo_time_s: float = ECHO_TIME_S,
    change: float = CHANGE,
    progress: ProgressCallback | None = None,
) -> tuple[NDArray[np.float32], int, int]:
    """Turn a signal series into tracer curves.

    Parameters
    ----------
    signal : ndarray, shape (I, J, K, T) or (I, J, K, 1, T)
        Signal in arbitrary units.
    echo_time_s : float, s
        TE.
    change : float
        See `baseline_end`.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    curves : ndarray of float32, shape (I, J, K, T), 1/s
        ln(S0 / S) / TE; negative values are kept.
    baseline_end : int
        Frames of the baseline.
    peak_frame : int
        Frame with the lowest mean signal.

    Raises
    ------
    GridMismatchError
        If the axes are not those of a series.
    TimingError
        If there is only one frame.

    Notes
    -----
    No mask, no motion correction, no leakage correction, no smoothing, as published.
    """
    report = part_of(progress, 0.0, 1.0)
    series = as_series(signal)
    frames = series.shape[3]
    if frames < 2:
        msg = "The raw series has a single frame, so there is no bolus to follow. Give the whole series."
        raise TimingError(msg)
    mean = mean_signal(series)
    end = baseline_end(mean, change)
    level = np.zeros(series.shape[:3])
    for index in range(end):
        level += _clean(series[..., index])
    level = np.log(np.maximum(level / end, 1.0))
    curves = np.empty(series.shape, np.float32, order="F")  # frames contiguous, as they are written
    for index in range(frames):
        report(index / frames, "Signal to tracer")
        curves[..., index] = (level - np.log(_clean(series[..., index]))) / echo_time_s
    return curves, end, int(mean.argmin())


def convert_file(
    path: str | Path, choices: TracerChoices, *, progress: ProgressCallback | None = None, overwrite: bool = False
) -> Converted | None:
    """Write the tracer file beside a raw series.

    Parameters
    ----------
    path : path-like
        Raw series, ``MR_4DPWI.nii[.gz]``.
    choices : TracerChoices
        Times and threshold.
    progress : callable, optional
        Progress and cancelling.
    overwrite : bool
        Replace a tracer file that exists.

    Returns
    -------
    Converted or None
        What was written; None when the file exists already.

    Raises
    ------
    InvalidInputError
        If the series cannot be used.

    Notes
    -----
    The header is the raw series' own. With four axes the interval is stored; a header of five axes refuses four spacings in the
    published program, which goes on silently, and so what that header held for its fourth axis stays there.
    """
    source = Path(path)
    target = tracer_path(source)
    if target.exists() and not overwrite:
        return None
    header = source_header(source)
    values, _ = read_volume(source)
    # The reader drops trailing axes of length one, which would hide a series of one frame.
    curves, end, peak = tracer_curves(
        values.reshape(header.sizes), echo_time_s=choices.echo_time_s, change=choices.change, progress=progress
    )
    lost = len(header.sizes) != 4 and not choices.always_store
    write_like(target, curves, header, dtype=np.float32, step_s=None if lost else choices.interval_s)
    stored = header.spacings[3] if lost else float(np.float32(choices.interval_s))
    notes = [_about_interval(stored, choices, header.spacings, lost=lost), _about_baseline(choices, end, curves.shape[3])]
    return Converted(target, end, peak, curves.shape[3], stored, " ".join(filter(None, notes)))


def tracer_path(source: Path) -> Path:
    """Return where the tracer file of a raw series lies.

    Parameters
    ----------
    source : Path
        Raw series.

    Returns
    -------
    Path
        ``CTC_from_<name>.nii`` beside it.
    """
    return source.with_name(f"CTC_from_{source.name.removesuffix('.gz').removesuffix('.nii') or SERIES}.nii")


def _about_interval(stored: float, choices: TracerChoices, spacings: tuple[float, ...], *, lost: bool) -> str:
    if lost and not np.isclose(stored, choices.interval_s):
        used = "1 s" if not (np.isfinite(stored) and stored > 0) else f"{stored:g} s"
        return (
            f"The raw header has five axes, so {stored:g} s was saved as the interval instead of {choices.interval_s:g} s, "
            f"as the published program does; the fit will use {used}. Use --sidecar or --store-dt to save the true one."
        )
    if choices.origin == DEFAULTS and spacings[-1] > 0 and not np.isclose(spacings[-1], choices.interval_s):
        return f"The raw header names an interval of {spacings[-1]:g}, which the published default ignores; give --dt to use it."
    return ""


def _about_baseline(choices: TracerChoices, end: int, frames: int) -> str:
    if end >= max(frames - 2, 2):
        return f"The mean signal never changed by {100 * choices.change:g} %, so the baseline takes in the bolus. Lower --theta."
    if end == 1:
        return "The baseline rests on the first frame alone, which is often brighter than the others."
    return ""


def times_of_sidecar(
    path: str | Path, choices: TracerChoices, *, echo_time_s: float | None = None, interval_s: float | None = None
) -> TracerChoices:
    """Take echo time and interval from the JSON file beside a raw series.

    Parameters
    ----------
    path : path-like
        Raw series.
    choices : TracerChoices
        Gives the threshold.
    echo_time_s, interval_s : float, s, optional
        Win over the file.

    Returns
    -------
    TracerChoices
        With the scan's own times, which are always stored.

    Raises
    ------
    InvalidInputError
        If the file is missing or lacks a time.
    TimingError
        If frames are not evenly spaced, which this mode cannot express.
    """
    source = Path(path)
    fields = read_sidecar(source)
    if not fields:
        msg = f"There is no JSON file beside '{source.name}'. Give the times with --te and --dt, or put the sidecar there."
        raise InvalidInputError(msg)
    echo = fields.get("EchoTime") if echo_time_s is None else echo_time_s
    if not isinstance(echo, int | float) or isinstance(echo, bool):
        msg = f"The JSON file of '{source.name}' has no EchoTime in seconds. Add it, or give --te."
        raise InvalidInputError(msg)
    step = _interval(fields, source.name) if interval_s is None else interval_s
    own = [name for name, value in (("echo time", echo_time_s), ("interval", interval_s)) if value is not None]
    origin = "the JSON file beside the series" + (f", {' and '.join(own)} as given" if own else "")
    return TracerChoices(float(echo), step, choices.change, True, origin)


def _interval(fields: dict[str, object], name: str) -> float:
    for key in _LISTS:
        listed = fields.get(key)
        if isinstance(listed, list) and len(listed) > 1:
            steps = np.diff(np.asarray(listed, dtype=np.float64))
            step = float(np.median(steps))
            if step <= 0 or np.abs(steps - step).max() > _UNEVEN * step:
                msg = (
                    f"The frames of '{name}' are not evenly spaced ({key}), which this mode cannot express. Use --method hemopic."
                )
                raise TimingError(msg)
            return step
    step_field = fields.get("RepetitionTime")
    if not isinstance(step_field, int | float) or isinstance(step_field, bool):
        msg = f"The JSON file of '{name}' has neither VolumeTiming nor RepetitionTime. Add one, or give --dt."
        raise InvalidInputError(msg)
    return float(step_field)
