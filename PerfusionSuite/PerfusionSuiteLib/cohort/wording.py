# SPDX-License-Identifier: Apache-2.0
"""Numbers as a paper prints them."""

from __future__ import annotations

import math
from typing import Any

_MINUS, _DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NOTHING = "\N{EN DASH}"


def number(value: Any, digits: int = 2) -> str:
    """Return a number with a fixed count of decimals.

    Parameters
    ----------
    value : float or None
        The number.
    digits : int
        Decimals; very large and very small ones get three significant digits instead.

    Returns
    -------
    str
        With a true minus sign; a dash for a missing number.
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 10_000:
        return f"{value:.2e}".replace("e+0", "e").replace("e+", "e").replace("-", _MINUS)
    text = f"{value:.{digits}f}"
    if value and not text.strip("-0."):
        text = f"{value:.2g}" if abs(value) >= 1e-4 else f"{0.0:.{digits}f}"
    text = text.removeprefix("-") if not text.strip("-0.") else text
    return text.replace("-", _MINUS)


def between(low: Any, high: Any, digits: int = 2) -> str:
    """Return limits in brackets.

    Parameters
    ----------
    low, high : float or None
        The limits.
    digits : int
        Decimals.

    Returns
    -------
    str
        ``[0.75-0.90]`` with an en dash; with ``to`` where a limit is negative.
    """
    first, last = number(low, digits), number(high, digits)
    return f"[{first} to {last}]" if _MINUS in first + last else f"[{first}{_DASH}{last}]"


def with_limits(value: Any, low: Any, high: Any, digits: int = 2) -> str:
    """Return a number with its limits.

    Parameters
    ----------
    value, low, high : float or None
        The number and its limits.
    digits : int
        Decimals.

    Returns
    -------
    str
        ``0.83 [0.75-0.90]``; a dash without a number.
    """
    return NOTHING if value is None else f"{number(value, digits)} {between(low, high, digits)}"


def p_value(p: Any) -> str:
    """Return a p value.

    Parameters
    ----------
    p : float or None
        The value.

    Returns
    -------
    str
        Three decimals, ``< 0.001`` below that; a dash without a value.
    """
    if p is None or not math.isfinite(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def measured(value: float) -> str:
    """Return a number of unknown size with three significant digits.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        Without exponent where it is between 0.001 and 10 000.
    """
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e4):
        return f"{value:.2e}".replace("-", _MINUS)
    digits = 2 if size == 0 else max(0, 2 - math.floor(math.log10(size)))
    return f"{value:.{min(digits, 4)}f}".replace("-", _MINUS)


def alike(value: float, low: float, high: float) -> str:
    """Return a number with its quartiles, all with the decimals that suit the largest.

    Parameters
    ----------
    value, low, high : float
        The number and its quartiles.

    Returns
    -------
    str
        ``13.8 [7.9-23.6]`` with an en dash.
    """
    largest = max((abs(each) for each in (value, low, high) if math.isfinite(each)), default=0.0)
    digits = 2 if largest == 0 else min(max(0, 2 - math.floor(math.log10(largest))), 6)
    return with_limits(value, low, high, digits)
