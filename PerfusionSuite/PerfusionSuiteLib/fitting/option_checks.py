# SPDX-License-Identifier: Apache-2.0
"""Checks of single options of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError


def checked_number(settings: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Return an option as a number.

    Parameters
    ----------
    settings : mapping
        All options.
    name : str
        Which one.
    low, high : float
        Range, ends included.

    Returns
    -------
    float
        The number.

    Raises
    ------
    InvalidInputError
        If it is none, or outside the range.
    """
    try:
        number = float("nan") if isinstance(settings[name], bool) else float(settings[name])
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        msg = f"{name} must be a number from {low:g} to {high:g}, not {settings[name]!r}. Correct the setting."
        raise InvalidInputError(msg)
    return number


def checked_whole(settings: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Return an option as a whole number; parameters and errors as for `checked_number`."""
    try:
        number = checked_number(settings, name, low, high)
    except InvalidInputError:
        number = float("nan")
    if number != np.floor(number):
        msg = f"{name} must be a whole number from {low} to {high}, not {settings[name]!r}. Correct the setting."
        raise InvalidInputError(msg)
    return int(number)


def checked_flag(settings: Mapping[str, Any], name: str) -> bool:
    """Return an option that is true or false.

    Parameters
    ----------
    settings : mapping
        All options.
    name : str
        Which one.

    Returns
    -------
    bool
        The flag.

    Raises
    ------
    InvalidInputError
        If it is neither.
    """
    value = settings[name]
    if not isinstance(value, bool):
        msg = f"{name} must be true or false, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return value
