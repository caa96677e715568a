# SPDX-License-Identifier: Apache-2.0
"""Vascular curves as CSV files with the columns ``time_sec`` and ``aif`` or ``vof``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from ..core.errors import InvalidInputError
from ..core.files import write_text
from ..core.geometry import FloatArray
from ..core.series import check_times
from ..core.values import InputFunction
from .quality import describe, judge_aif, judge_vof, require_bolus, with_findings

TIME_COLUMN = "time_sec"
MIN_OVERLAP = 0.8
MIN_SAMPLES = 5


def from_csv(path: str | Path, times_s: ArrayLike | None, *, kind: str, unit: str = "HU") -> InputFunction:
    """Read a curve and bring it to the frame times of a scan.

    The first row names the columns: ``time_sec`` (or ``time_s``) and any other name; of several the one named like `kind`.
    Times need not be uniform; samples between them come from a natural cubic spline (straight lines would widen the bolus).
    Frames before the first or after the last row take the value of that row.

    Parameters
    ----------
    path : path-like
        The file; comma, semicolon or tab between columns.
    times_s : array-like, shape (T,), s, or None
        Frame times of the scan; None keeps the curve at its own times.
    kind : {"aif", "vof"}
        What the curve is.
    unit : {"HU", "1/s"}
        Unit of the curve.

    Returns
    -------
    InputFunction
        With the origin ``file``.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, lacks a column, has rows that are not numbers, covers less than 80 % of the scan,
        or shows no bolus.
    TimingError
        If the times do not increase.
    """
    if kind not in {"aif", "vof"}:
        msg = f"A vascular curve is an 'aif' or a 'vof', not '{kind}'. Use one of the two."
        raise InvalidInputError(msg)
    name = Path(path).name
    own_times, own_values = _read(Path(path), kind)
    times = check_times(own_times, own_times.size) if times_s is None else check_times(times_s, np.size(times_s))
    _check_overlap(name, own_times, times)
    spline = CubicSpline(own_times, own_values, bc_type="natural")
    values = np.asarray(spline(np.clip(times, own_times[0], own_times[-1])), np.float64)
    require_bolus(values, times, kind)
    quality = describe(times, values)
    findings = judge_aif(quality, times, unit) if kind == "aif" else judge_vof(quality)
    return with_findings(InputFunction(times, values, kind=kind, origin="file", quality=quality), *findings)


def to_csv(curve: InputFunction, path: str | Path) -> Path:
    """Write a curve with the columns ``time_sec`` and ``aif`` or ``vof``.

    Parameters
    ----------
    curve : InputFunction
        The curve; its values are written as they are, scaling included.
    path : path-like
        The file.

    Returns
    -------
    Path
        The file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([TIME_COLUMN, curve.kind])
    writer.writerows([f"{t:.6g}", f"{v:.7g}"] for t, v in zip(curve.times_s, curve.values, strict=True))
    return write_text(path, text.getvalue())


def _read(path: Path, kind: str) -> tuple[FloatArray, FloatArray]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        msg = f"The curve file '{path.name}' cannot be read ({reason}). Give a CSV file with the columns time_sec and aif or vof."
        raise InvalidInputError(msg) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        msg = f"The curve file '{path.name}' is empty. Give a CSV file with the columns time_sec and aif or vof."
        raise InvalidInputError(msg)
    delimiter = next((d for d in ("\t", ";", ",") if d in lines[0]), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    head = [cell.lower() for cell in rows[0]]
    time_column = next((name for name in (TIME_COLUMN, "time_s") if name in head), None)
    if time_column is None or len(head) < 2:
        msg = f"The first row of '{path.name}' is {', '.join(rows[0])}. Name the columns time_sec and aif or vof."
        raise InvalidInputError(msg)
    at = head.index(time_column)
    other = head.index(kind) if kind in head else next(i for i in range(len(head)) if i != at)
    if head[other] == "reference":
        msg = f"'{path.name}' holds a reference curve (mean of tissue), not an artery. Give an arterial curve."
        raise InvalidInputError(msg)
    values = np.array([_numbers(path.name, number, row, at, other) for number, row in enumerate(rows[1:], start=2)])
    if values.shape[0] < MIN_SAMPLES:
        msg = f"'{path.name}' has {values.shape[0]} rows of numbers, at least {MIN_SAMPLES} are needed. Give the whole curve."
        raise InvalidInputError(msg)
    return check_times(values[:, 0], values.shape[0]), values[:, 1]


def _numbers(name: str, row_number: int, row: list[str], at: int, other: int) -> tuple[float, float]:
    try:
        time, value = float(row[at]), float(row[other])
    except (ValueError, IndexError) as error:
        msg = f"Row {row_number} of '{name}' does not hold two numbers: {', '.join(row)}. Correct or remove it."
        raise InvalidInputError(msg) from error
    if not (np.isfinite(time) and np.isfinite(value)):
        msg = f"Row {row_number} of '{name}' has a missing value. Correct or remove it."
        raise InvalidInputError(msg)
    return time, value


def _check_overlap(name: str, own: FloatArray, scan: FloatArray) -> None:
    common = min(own[-1], scan[-1]) - max(own[0], scan[0])
    part = common / (scan[-1] - scan[0])
    if part < MIN_OVERLAP or int(((own >= scan[0]) & (own <= scan[-1])).sum()) < MIN_SAMPLES:
        msg = (
            f"'{name}' covers {own[0]:g} to {own[-1]:g} s in steps of {np.median(np.diff(own)):g} s "
            f"but the scan runs from {scan[0]:g} to {scan[-1]:g} s. "
            "Give times in seconds from the first frame."
        )
        raise InvalidInputError(msg)
