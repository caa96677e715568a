# SPDX-License-Identifier: Apache-2.0
"""The errors that a user may see, each with the exit code the command line ends with.

A message is one sentence that says what is wrong (with the value), followed by what to do.
"""

from __future__ import annotations


class PerfusionError(Exception):
    """Root of all errors that this package raises on purpose."""

    exit_code: int = 1


class InvalidInputError(PerfusionError, ValueError):
    """The data or the settings that were given cannot be used."""

    exit_code = 2


class GridMismatchError(InvalidInputError):
    """Two images that must share one voxel grid do not."""


class TimingError(InvalidInputError):
    """The frame times are missing, inconsistent or too few."""


class CancelledError(PerfusionError):
    """The user asked to stop; nothing was left half-written."""

    exit_code = 3


class OutOfMemoryError(PerfusionError):
    """The computation does not fit in the memory of this machine or device."""

    exit_code = 4


class NumericalError(PerfusionError):
    """A computation broke down on data that looked valid."""

    exit_code = 5


class MissingPackageError(PerfusionError):
    """A step needs a Python package that is not installed."""

    exit_code = 2


def require_package(name: str, purpose: str) -> None:
    """Raise a helpful error when an optional package is missing.

    Parameters
    ----------
    name : str
        Import name of the package, for example ``"matplotlib"``.
    purpose : str
        What it is needed for, completing "is needed to ...".

    Raises
    ------
    MissingPackageError
        If the package cannot be found.
    """
    import importlib.util

    if importlib.util.find_spec(name) is None:
        msg = f"The Python package '{name}' is needed to {purpose}. Install it with 'pip install {name}' and run again."
        raise MissingPackageError(msg)
