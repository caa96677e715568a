# SPDX-License-Identifier: Apache-2.0
"""DICOM dates and times as seconds."""

from __future__ import annotations

import re
from datetime import date

import numpy as np

from ..core.geometry import FloatArray

DAY_S = 86400.0
_EPOCH_S = date(2000, 1, 1).toordinal() * DAY_S
_TIME = re.compile(r"^(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?$")
_ZONE = re.compile(r"[+-]\d{4}$")


def seconds_of_time(text: object) -> float:
    """Read a DICOM time (TM).

    Parameters
    ----------
    text : object
        ``HHMMSS.FFFFFF``, shortened or with colons.

    Returns
    -------
    float, s
        Seconds after midnight; NaN when unreadable.
    """
    match = _TIME.match(str(text).strip())
    if not match:
        return float("nan")
    hours, minutes, seconds = (int(match[n] or 0) for n in (1, 2, 3))
    return hours * 3600.0 + minutes * 60.0 + seconds + float(match[4] or 0.0)


def seconds_of_date(text: object) -> float:
    """Read a DICOM date (DA).

    Parameters
    ----------
    text : object
        ``YYYYMMDD``, or ``YYYY.MM.DD`` as in old files.

    Returns
    -------
    float, s
        Seconds since the first day of 2000, near enough to today that a 64-bit number still tells microseconds apart; 0 when
        unreadable or absent.
    """
    digits = re.sub(r"\D", "", str(text))
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).toordinal() * DAY_S - _EPOCH_S
    except ValueError:
        return 0.0


def seconds_of_datetime(text: object) -> float:
    """Read a DICOM date and time (DT); the time zone, the same for a whole scan, is left out.

    Parameters
    ----------
    text : object
        ``YYYYMMDDHHMMSS.FFFFFF&ZZXX``.

    Returns
    -------
    float, s
        Seconds since the first day of 2000; NaN when there is no time of day.
    """
    plain = _ZONE.sub("", str(text).strip())
    return seconds_of_date(plain[:8]) + seconds_of_time(plain[8:]) if len(plain) >= 10 else float("nan")


def unwrap_midnight(values: FloatArray) -> FloatArray:
    """Let times go on after midnight when the date did not.

    Parameters
    ----------
    values : ndarray, s
        Clock times of one scan.

    Returns
    -------
    ndarray, s
        The same with a day added to the small ones when they span more than half a day.
    """
    if values.size and 0.5 * DAY_S < float(np.ptp(values)) < 1.5 * DAY_S:
        return np.where(values < values.max() - 0.5 * DAY_S, values + DAY_S, values)
    return values
