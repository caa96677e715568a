# SPDX-License-Identifier: Apache-2.0
"""Whether numba is there, and loops that run with it or, slower and with the same result, without."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

from ...core.errors import InvalidInputError, require_package

BUILDERS = ("auto", "compiled", "rounds")


def compiler_present() -> bool:
    """Return whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def use_compiler(builder: str) -> bool:
    """Decide between compiled loops and numpy.

    Parameters
    ----------
    builder : str
        One of `BUILDERS`: ``compiled`` needs numba, ``rounds`` is numpy, ``auto`` takes what is there.

    Returns
    -------
    bool
        True for compiled loops.

    Raises
    ------
    InvalidInputError
        If there is no such builder.
    MissingPackageError
        If numba was asked for and is missing.
    """
    if builder not in BUILDERS:
        msg = f"There is no vessel builder '{builder}'. Use {', '.join(BUILDERS)}."
        raise InvalidInputError(msg)
    if builder == "compiled":
        require_package("numba", "grow vessels with compiled loops (or choose the builder 'rounds')")
    return builder == "compiled" or (builder == "auto" and compiler_present())


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that calls no other function of this package, if numba is there.

    Parameters
    ----------
    function : callable
        Plain loops over arrays.

    Returns
    -------
    callable
        The compiled function, or `function` itself.
    """
    if not compiler_present():
        return function
    import numba

    result: Callable[..., Any] = numba.njit(cache=True)(function)
    return result
